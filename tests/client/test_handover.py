"""A view that passes from one connection to the next, while both are open."""

from __future__ import annotations

from typing import Any

from presence_protocol.messages import Diff, Limits, Snapshot, StatusEntry, Welcome
from presence_protocol.view import View

LIMITS = Limits(ping_interval=25_000, pong_timeout=10_000, max_watched=5000, max_message=262_144, max_batch=1000)


def entry(user_id: int, version: int, status: Any = "ONLINE") -> StatusEntry:
    return StatusEntry(user_id, status, [], None, version)


def welcome(resumed: bool) -> Welcome:
    return Welcome(session_id="s", server_time="t", continued=True, resumed=resumed, self_=None, limits=LIMITS)


def fresh(*entries: StatusEntry) -> View:
    view = View(now=0)
    view.watch(each.user_id for each in entries)
    view.hello()
    view.receive(welcome(False))
    view.receive(Snapshot(statuses=list(entries), cursor="c1"))
    return view


def test_a_fork_says_the_same_hello_and_leaves_the_original_alone() -> None:
    view = fresh(entry(1, 10), entry(2, 11))
    fork = view.fork()
    assert fork.hello() == ([1, 2], "c1")
    view.receive(Diff(changes=[entry(1, 20)], cursor="c2"))
    assert (view.cursor, fork.cursor) == ("c2", "c1")
    assert fork.entries[1] == entry(1, 10)


def test_what_the_former_learned_meanwhile_is_not_lost_and_does_not_go_back() -> None:
    view = fresh(entry(1, 10), entry(2, 11))
    fork = view.fork()
    fork.hello()
    view.receive(Diff(changes=[entry(1, 20, "BUSY")], cursor="c2"))
    fork.succeed(view)
    assert fork.entries[1] == entry(1, 20, "BUSY")
    fork.receive(welcome(True))
    assert fork.receive(Snapshot(statuses=[entry(1, 15, "AWAY"), entry(2, 30)], cursor="c3")) == []
    assert fork.entries == {1: entry(1, 20, "BUSY"), 2: entry(2, 30)}
    assert fork.cursor == "c3"


def test_a_full_snapshot_of_another_server_replaces_all_the_same() -> None:
    view = fresh(entry(1, 10))
    fork = view.fork()
    fork.hello()
    fork.succeed(view)
    fork.receive(welcome(False))
    fork.receive(Snapshot(statuses=[entry(1, 3, "AWAY")], cursor="x"))
    assert fork.entries == {1: entry(1, 3, "AWAY")}


def test_who_came_in_between_is_left_out_since_no_cursor_speaks_for_them() -> None:
    view = fresh(entry(1, 10))
    fork = view.fork()
    fork.hello()
    view.watch([2], id=7)
    view.receive(Snapshot(id=7, statuses=[entry(2, 12)], cursor="c2"))
    fork.succeed(view)
    fork.receive(welcome(True))
    assert fork.left_out() == [2]
    assert set(fork.entries) == {1}


def test_who_was_unwatched_and_watched_again_in_between_is_asked_for_anew() -> None:
    view = fresh(entry(1, 10))
    fork = view.fork()
    fork.hello()
    view.unwatch([1])
    view.watch([1], id=7)
    fork.succeed(view)
    fork.receive(welcome(True))
    assert fork.left_out() == [1], "a resumed snapshot may not name them"


def test_who_is_unwatched_in_between_is_gone() -> None:
    view = fresh(entry(1, 10), entry(2, 11))
    fork = view.fork()
    fork.hello()
    view.unwatch([2])
    fork.succeed(view)
    fork.receive(welcome(True))
    fork.receive(Snapshot(statuses=[entry(2, 30)], cursor="c3"))
    assert set(fork.entries) == fork.watched == {1}
