"""Folding. The sequences that other languages run, too, are in `vectors/fold.json`."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from presence_protocol.messages import (
    AnyServerMessage,
    Diff,
    Error,
    Limits,
    Pong,
    Snapshot,
    StatusEntry,
    Welcome,
)
from presence_protocol.view import Entries, View, apply_diff, apply_snapshot, is_shown_alike, unknown

LIMITS = Limits(ping_interval=25_000, pong_timeout=10_000, max_watched=5000, max_message=262_144, max_batch=1000)


def entry(user_id: int, version: int, status: Any = "ONLINE", **more: Any) -> StatusEntry:
    return StatusEntry(user_id=user_id, version=version, status=status, platforms=[], last_active_time=None, **more)


def held(*entries: StatusEntry) -> Entries:
    return {each.user_id: each for each in entries}


def welcome(*, resumed: bool = False) -> Welcome:
    return Welcome(session_id="s", server_time="t", continued=False, resumed=resumed, self_=None, limits=LIMITS)


def unavailable(id: int | None = None) -> Error:
    return Error(id=id, code=503, error="unavailable", message="the look-up took too long")


def fresh_view(*entries: StatusEntry) -> View:
    view = View(now=0)
    view.watch(each.user_id for each in entries)
    view.hello()
    view.receive(welcome())
    view.receive(Snapshot(statuses=list(entries), cursor="c1"))
    return view


# --- the two rules -------------------------------------------------------------------------------------------------


def test_a_snapshot_replaces_even_by_an_older_version() -> None:
    view = held(entry(1, 10))
    assert apply_snapshot(view, [entry(1, 3, "AWAY")], [1]) == [entry(1, 3, "AWAY")]
    assert view == held(entry(1, 3, "AWAY"))


def test_a_snapshot_returns_only_what_is_shown_anew() -> None:
    view = held(entry(1, 10), entry(2, 11), entry(3, 12))
    changed = apply_snapshot(view, [entry(1, 20), entry(2, 11), entry(3, 13, "BUSY")], None)
    assert changed == [entry(3, 13, "BUSY")]
    assert view == held(entry(1, 20), entry(2, 11), entry(3, 13, "BUSY"))


def test_a_snapshot_speaks_for_those_who_were_asked_for() -> None:
    view = held(entry(1, 10), entry(2, 11), entry(3, 12))
    changed = apply_snapshot(view, [entry(1, 20, "AWAY"), entry(9, 21)], [1, 2])
    assert changed == [entry(1, 20, "AWAY"), unknown(2)]
    assert view == held(entry(1, 20, "AWAY"), unknown(2), entry(3, 12))


def test_a_snapshot_without_asked_leaves_the_others_alone() -> None:
    view = held(entry(1, 10))
    assert apply_snapshot(view, [entry(2, 11)], None) == [entry(2, 11)]
    assert view == held(entry(1, 10), entry(2, 11))


def test_a_diff_merges_by_greater_version() -> None:
    view = held(entry(1, 10), entry(2, 10), entry(3, 10))
    changed = apply_diff(view, [entry(1, 9, "AWAY"), entry(2, 10, "AWAY"), entry(3, 11, "AWAY")], {1, 2, 3})
    assert changed == [entry(3, 11, "AWAY")]
    assert view == held(entry(1, 10), entry(2, 10), entry(3, 11, "AWAY"))


def test_a_diff_ignores_users_that_are_not_watched() -> None:
    view = held(entry(1, 10))
    assert apply_diff(view, [entry(1, 11, "AWAY"), entry(2, 12)], {2}) == [entry(2, 12)]
    assert view == held(entry(1, 10), entry(2, 12))


def test_a_greater_version_that_shows_the_same_is_kept_but_not_reported() -> None:
    view = held(entry(1, 10))
    assert apply_diff(view, [entry(1, 11)], {1}) == []
    assert view[1].version == 11
    assert apply_diff(view, [entry(1, 10, "AWAY")], {1}) == []


@pytest.mark.parametrize(
    "other",
    [
        entry(1, 1, "BUSY"),
        entry(1, 1, status_text="lunch"),
        StatusEntry(user_id=1, version=1, status="ONLINE", platforms=["PC"], last_active_time=None),
        StatusEntry(user_id=1, version=1, status="ONLINE", platforms=[], last_active_time="2025-11-09T15:00:00Z"),
    ],
)
def test_what_is_shown_is_all_but_the_version(other: StatusEntry) -> None:
    assert is_shown_alike(entry(1, 1), entry(1, 2))
    assert not is_shown_alike(entry(1, 1), other)


# Versions are unique to a change, so the version says the rest.
STATUS_OF_VERSION = ("ONLINE", "AWAY", "BUSY", "OFFLINE")
versions = st.tuples(st.integers(1, 4), st.integers(1, 60))


def of_version(user_id: int, version: int) -> StatusEntry:
    return entry(user_id, version, STATUS_OF_VERSION[version % 4])


@given(changes=st.lists(versions, max_size=30), data=st.data())
def test_any_order_with_any_repeats_yields_the_newest(changes: list[tuple[int, int]], data: st.DataObject) -> None:
    repeats = data.draw(st.lists(st.sampled_from(changes), max_size=30)) if changes else []
    shuffled = data.draw(st.permutations(changes + repeats))
    cuts = sorted(data.draw(st.lists(st.integers(0, len(shuffled)), max_size=8)))
    view = View(now=0)
    view.watch([1, 2, 3])  # and not 4
    view.hello()
    view.receive(welcome())
    view.receive(Snapshot(statuses=[unknown(1), unknown(2), unknown(3)], cursor="c0"))
    for start, end in zip([0, *cuts], [*cuts, len(shuffled)], strict=True):
        view.receive(Diff(changes=[of_version(*change) for change in shuffled[start:end]], cursor=f"c{end}"))
    newest = {user_id: max([v for u, v in changes if u == user_id], default=0) for user_id in (1, 2, 3)}
    for user_id, version in newest.items():
        assert view.entries[user_id] == (of_version(user_id, version) if version else unknown(user_id))
    assert set(view.entries) == {1, 2, 3}


@given(st.lists(versions, max_size=30))
def test_what_is_reported_is_enough_to_follow(changes: list[tuple[int, int]]) -> None:
    """Whoever keeps only the returned entries shows the same as the view."""
    view: Entries = {}
    followed: Entries = {}
    for change in changes:
        for told in apply_diff(view, [of_version(*change)], {1, 2, 3, 4}):
            followed[told.user_id] = told
    assert followed.keys() == view.keys()
    assert all(is_shown_alike(followed[user_id], view[user_id]) for user_id in view)


# --- the view ------------------------------------------------------------------------------------------------------


def test_a_view_is_stale_until_its_first_snapshot_is_complete() -> None:
    view = View(now=7)
    view.watch([1, 2])
    assert view.hello() == ([1, 2], None)
    view.receive(welcome())
    assert view.receive(Snapshot(statuses=[entry(1, 1)], more=True)) == [entry(1, 1)]
    assert (view.stale_since, view.cursor) == (7, None)
    view.receive(Snapshot(statuses=[entry(2, 2)], cursor="c1"))
    assert (view.stale_since, view.cursor) == (None, "c1")


def test_stale_since_is_when_the_connection_was_lost_first() -> None:
    view = fresh_view(entry(1, 1))
    view.lost(now=50)
    view.hello()
    view.lost(now=60)
    assert view.stale_since == 50
    assert view.entries == held(entry(1, 1))


def test_a_full_snapshot_that_leaves_somebody_out_makes_them_unknown() -> None:
    view = fresh_view(entry(1, 10), entry(2, 11))
    view.lost(now=1)
    view.hello()
    view.receive(welcome())
    assert view.receive(Snapshot(statuses=[entry(1, 12)], cursor="c2")) == [unknown(2)]
    assert view.entries == held(entry(1, 12), unknown(2))


def test_a_part_that_names_a_user_twice() -> None:
    view = View(now=0)
    view.watch([1])
    view.hello()
    view.receive(welcome())
    view.receive(Snapshot(statuses=[entry(1, 1), entry(1, 2)], cursor="c1"))
    assert view.entries == held(entry(1, 2))


def test_watch_says_what_has_to_be_sent() -> None:
    view = fresh_view(entry(1, 10))
    assert view.watch([3, 1, 2, 3], id=5) == [3, 2]
    assert view.watch([2, 4], id=6) == [4]
    assert view.watch([1, 2, 3, 4], id=7) == []
    assert view.watched == {1, 2, 3, 4}


def test_what_hello_asks_for_is_not_asked_for_again() -> None:
    view = View(now=0)
    view.watch([1, 2])
    view.hello()
    assert view.watch([2, 3], id=4) == [3]


def test_a_watch_snapshot_that_leaves_somebody_out_makes_them_unknown() -> None:
    view = fresh_view()
    view.watch([1, 2], id=5)
    assert view.receive(Snapshot(id=5, statuses=[entry(1, 10)], cursor="c2")) == [entry(1, 10), unknown(2)]


def test_a_diff_from_before_unwatch_and_watch_again_is_ignored() -> None:
    view = fresh_view(entry(1, 10))
    view.unwatch([1])
    view.watch([1], id=5)
    assert view.receive(Diff(changes=[entry(1, 11, "AWAY")], cursor="c2")) == []
    assert view.entries == {}
    # Had the connection been lost here, the cursor would not speak for user 1.
    view.lost(now=9)
    assert view.hello() == ([1], None)


def test_the_answer_to_an_earlier_watch_of_the_same_user_is_ignored() -> None:
    view = fresh_view()
    view.watch([1], id=5)
    view.unwatch([1])
    view.watch([1], id=7)
    assert view.receive(Snapshot(id=5, statuses=[entry(1, 10)], cursor="c2")) == []
    assert view.receive(Snapshot(id=7, statuses=[entry(1, 11)], cursor="c3")) == [entry(1, 11)]


def test_a_watch_that_is_answered_before_hello_is_complete_brings_no_cursor() -> None:
    view = View(now=0)
    view.watch([1])
    view.hello()
    view.watch([2], id=5)
    view.receive(welcome())
    view.receive(Snapshot(id=5, statuses=[entry(2, 2)], cursor="c1"))
    cursors = [view.cursor]
    view.receive(Snapshot(statuses=[entry(1, 1)], cursor="c2"))
    assert [*cursors, view.cursor] == [None, "c2"]


def test_unwatched_while_hello_is_under_way() -> None:
    view = View(now=0)
    view.watch([1, 2])
    view.hello()
    view.receive(welcome())
    view.unwatch([2])
    assert view.receive(Snapshot(statuses=[entry(1, 1), entry(2, 2)], cursor="c1")) == [entry(1, 1)]
    assert view.entries == held(entry(1, 1))


def test_a_cursor_goes_only_with_users_whose_entry_is_held() -> None:
    view = fresh_view(entry(1, 10))
    view.watch([2], id=5)
    view.lost(now=1)
    view.watch([3])
    assert view.hello() == ([1], "c1")
    view.receive(welcome(resumed=True))
    assert view.left_out() == [2, 3]
    assert view.watch(view.left_out(), id=1) == [2, 3]
    assert view.left_out() == []


def test_without_a_cursor_hello_asks_for_everybody() -> None:
    view = fresh_view(entry(1, 10))
    view.lost(now=1)
    view.hello()
    view.receive(welcome())
    view.lost(now=2)
    view.watch([2])
    assert view.hello() == ([1, 2], None)
    assert view.left_out() == []


def test_a_cursor_that_speaks_for_nobody_is_not_sent() -> None:
    view = fresh_view(entry(1, 10))
    view.unwatch([1])
    view.lost(now=1)
    assert view.hello() == ([], None)
    view.receive(welcome())
    assert view.stale_since is None


def test_a_refused_watch_adds_nobody() -> None:
    view = fresh_view(entry(1, 10))
    view.watch([1, 2], id=5)
    view.receive(Error(id=5, code=400, error="too_many_watched", message="at most 5000"))
    assert view.watched == {1}
    assert view.left_out() == []


def test_a_look_up_of_hello_that_took_too_long_leaves_its_users_to_be_watched_again() -> None:
    view = fresh_view(entry(1, 10), entry(2, 11))
    view.lost(now=1)
    view.hello()
    view.receive(welcome())
    view.receive(unavailable())
    assert view.entries == {}
    assert view.left_out() == [1, 2]
    assert view.stale_since is None


def test_an_error_of_something_else_changes_nothing() -> None:
    view = fresh_view(entry(1, 10))
    assert view.receive(unavailable()) == []
    assert view.receive(unavailable(id=77)) == []
    assert view.watched == {1}
    assert view.entries == held(entry(1, 10))


@pytest.mark.parametrize("message", [Pong(), welcome()])
def test_other_messages_show_nothing_new(message: AnyServerMessage) -> None:
    view = fresh_view(entry(1, 10))
    assert view.receive(message) == []
    assert view.entries == held(entry(1, 10))


def test_a_view_says_how_it_stands() -> None:
    view = View(now=3)
    view.watch([1])
    assert repr(view) == "<View of 1, 0 awaited, stale since 3>"
    assert repr(fresh_view(entry(1, 1))) == "<View of 1, 0 awaited, fresh>"
