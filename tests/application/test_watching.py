"""Watch and unwatch: answered in order whenever the engine answers, and each follow has its unfollow."""

from __future__ import annotations

import sys

import pytest

from application.kit import ANN, BOB, EVE, Client, World
from presence_protocol.messages import (
    AnyServerMessage,
    Diff,
    Error,
    Ok,
    Ping,
    Query,
    Snapshot,
    Unwatch,
    Watch,
    Welcome,
)
from presence_server.application import entries
from presence_server.application.hub_limits import HubLimits
from presence_server.application.watching import MAX_PENDING


def observer(world: World) -> Client:
    client = world.connect()
    client.take()
    return client


def ids(messages: list[AnyServerMessage]) -> list[tuple[str, int | None]]:
    return [(type(message).__name__, message.id) for message in messages]


# -- at once ---------------------------------------------------------------------------------------------------------


def test_a_watch_is_answered_by_a_snapshot_of_each_user_once() -> None:
    world = World()
    world.online(BOB)
    client = observer(world)
    (snapshot,) = client.say(Watch(user_ids=[EVE, BOB, EVE], id=1))
    assert isinstance(snapshot, Snapshot)
    assert [(entry.user_id, entry.status) for entry in snapshot.statuses] == [(EVE, "OFFLINE"), (BOB, "ONLINE")]
    assert snapshot.cursor == world.fanout.cursor
    assert world.follows.counts == {EVE: 1, BOB: 1}


def test_who_is_watched_already_is_told_again_but_followed_once() -> None:
    world = World()
    client = observer(world)
    client.say(Watch(user_ids=[ANN]))
    (snapshot,) = client.say(Watch(user_ids=[ANN, BOB], id=2))
    assert isinstance(snapshot, Snapshot)
    assert len(snapshot.statuses) == 2
    assert world.follows.counts == {ANN: 1, BOB: 1}


def test_a_long_snapshot_comes_in_parts_each_with_the_id(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(entries, "SNAPSHOT_PART", 2)
    world = World()
    parts = observer(world).say(Watch(user_ids=[1, 2, 3, 4, 5], id=1))
    assert [len(part.statuses) for part in parts if isinstance(part, Snapshot)] == [2, 2, 1]
    assert [(part.id, part.more, part.cursor is None) for part in parts if isinstance(part, Snapshot)] == [
        (1, True, True),
        (1, True, True),
        (1, False, False),
    ]


def test_after_unwatch_nothing_more_is_told() -> None:
    world = World()
    client = world.connect(watch=[ANN, BOB])
    client.take()
    assert ids(client.say(Unwatch(user_ids=[ANN, ANN, EVE], id=1))) == [("Ok", 1)]
    client.take()
    world.online(ANN)
    world.online(BOB)
    world.flush()
    assert [[entry.user_id for entry in diff.changes] for diff in client.take(Diff)] == [[BOB]]
    assert world.follows.counts == {BOB: 1}


def test_too_many_are_refused_and_nothing_of_it_is_applied() -> None:
    world = World(limits=HubLimits(max_watched=3))
    client = observer(world)
    client.say(Watch(user_ids=[1, 2]))
    (error,) = client.say(Watch(user_ids=[2, 3, 4], id=1))
    assert isinstance(error, Error)
    assert (error.code, error.error, error.id) == (400, "too_many_watched", 1)
    assert world.follows.counts == {1: 1, 2: 1}
    assert isinstance(client.say(Watch(user_ids=[2, 3, 3], id=2))[0], Snapshot)
    client.say(Unwatch(user_ids=[1]))
    assert isinstance(client.say(Watch(user_ids=[4], id=3))[0], Snapshot)


def test_the_end_of_a_session_withdraws_all_of_its_interest() -> None:
    world = World()
    clients = [world.connect(watch=[ANN, BOB, number]) for number in (1, 2)]
    assert world.follows.counts == {ANN: 2, BOB: 2, 1: 1, 2: 1}
    for client in clients:
        client.lose()
    world.check_empty()


# -- later -----------------------------------------------------------------------------------------------------------


def late_observer(world: World) -> Client:
    client = observer(world)
    assert world.late.waiting == []
    return client


def test_what_follows_a_late_watch_waits_for_it_and_all_else_overtakes() -> None:
    world = World(is_late=True)
    client = late_observer(world)
    for message in (
        Watch(user_ids=[ANN], id=1),
        Unwatch(user_ids=[ANN], id=2),
        Watch(user_ids=[BOB], id=3),
        Ping(id=4),
        Query(user_ids=[BOB], id=5),
    ):
        client.say(message)
    assert ids(client.take()) == [("Pong", 4)]
    world.late.waiting.pop().answer(True)
    assert ids(client.take()) == [("Statuses", 5)]
    assert world.follows.counts == {ANN: 1}
    world.late.answer_next()
    assert ids(client.take()) == [("Snapshot", 1), ("Ok", 2)]
    world.late.answer_next()
    assert ids(client.take()) == [("Snapshot", 3)]
    assert world.follows.counts == {BOB: 1}
    assert client.session.pending is None


def test_one_that_waits_holds_nobody_else_up() -> None:
    world = World(is_late=True)
    slow, quick = late_observer(world), late_observer(world)
    slow.say(Watch(user_ids=[ANN], id=1))
    quick.say(Watch(user_ids=[BOB], id=1))
    world.late.waiting.pop().answer(True)
    assert ids(quick.take()) == [("Snapshot", 1)]
    assert slow.take() == []


def test_no_diff_names_a_user_before_the_snapshot() -> None:
    world = World(is_late=True)
    first, client = world.connect(watch=[ANN]), late_observer_after(world)
    client.say(Watch(user_ids=[ANN], id=1))
    world.online(ANN)
    world.late.waiting.pop().answer(True)
    world.flush()
    assert first.take(Diff)
    assert client.take() == []
    world.late.answer_all()
    (snapshot,) = client.take()
    assert isinstance(snapshot, Snapshot)
    assert snapshot.statuses[0].status == "ONLINE"


def late_observer_after(world: World) -> Client:
    world.late.answer_all()
    return observer(world)


def test_after_ten_seconds_it_is_answered_503_and_the_interest_withdrawn() -> None:
    world = World(is_late=True)
    client = late_observer(world)
    client.say(Watch(user_ids=[ANN, BOB], id=1))
    client.say(Unwatch(user_ids=[EVE], id=2))
    world.wait(9.5)
    assert client.take() == []
    world.wait(1)
    error, ok = client.take()
    assert isinstance(error, Error)
    assert (error.code, error.error, error.id) == (503, "unavailable", 1)
    assert isinstance(ok, Ok)
    assert len(world.hub.watching) == 0
    world.late.answer_all()
    assert client.take() == []
    assert not world.follows.counts
    assert world.interest.statistics().edges == 0


def test_each_watch_has_its_ten_seconds_from_when_it_arrived() -> None:
    world = World(is_late=True)
    client = late_observer(world)
    client.say(Watch(user_ids=[ANN], id=1))
    world.wait(9)
    client.say(Watch(user_ids=[BOB], id=2))
    world.late.answer_next()
    assert ids(client.take()) == [("Snapshot", 1)]
    world.wait(9)
    assert client.take() == []
    world.wait(1.25)
    assert ids(client.take()) == [("Error", 2)]


def test_an_engine_that_cannot_tell_is_answered_503_and_the_interest_withdrawn() -> None:
    world = World(is_late=True)
    client = late_observer(world)
    client.say(Watch(user_ids=[ANN], id=1))
    world.late.answer_next(well=False)
    assert ids(client.take()) == [("Error", 1)]
    assert not world.follows.counts
    client.say(Watch(user_ids=[ANN], id=2))
    world.late.answer_next()
    assert ids(client.take()) == [("Snapshot", 2)]


def test_a_hello_whose_look_up_takes_too_long_is_welcomed_without_a_snapshot() -> None:
    world = World(is_late=True)
    client = world.connect(watch=[ANN], id=1, cursor="e.0")
    world.wait(10.5)
    welcome, error = client.take()
    assert isinstance(welcome, Welcome)
    assert not welcome.resumed
    assert isinstance(error, Error)
    assert (error.code, error.id) == (503, None)
    world.late.answer_all()
    assert not world.follows.counts


def test_who_leaves_during_a_look_up_leaves_nothing_behind() -> None:
    world = World(is_late=True)
    client = late_observer(world)
    client.say(Watch(user_ids=[ANN], id=1))
    client.say(Watch(user_ids=[BOB], id=2))
    client.lose()
    world.late.answer_all()
    assert world.late.waiting == []
    world.check_empty()


def test_who_is_closed_by_an_answer_is_not_answered_further() -> None:
    world = World(is_late=True)
    client = late_observer(world)
    client.say(Watch(user_ids=[ANN], id=1))
    client.say(Watch(user_ids=[BOB], id=2))
    client.link.write = lambda frame: client.lose()  # type: ignore[method-assign]
    world.late.answer_all()
    world.check_empty()


def test_only_so_many_may_wait_their_turn() -> None:
    world = World(is_late=True)
    client = late_observer(world)
    client.say(Watch(user_ids=[ANN], id=0))
    for number in range(1, MAX_PENDING + 1):
        assert client.say(Unwatch(user_ids=[ANN], id=number)) == []
    (error,) = client.say(Watch(user_ids=[BOB], id=MAX_PENDING + 1))
    assert isinstance(error, Error)
    assert (error.code, error.id) == (503, MAX_PENDING + 1)
    client.take()
    world.late.answer_all()
    assert len(client.take()) == MAX_PENDING + 1


def test_however_many_wait_they_do_not_nest() -> None:
    world = World(is_late=True)
    client = late_observer(world)
    client.say(Watch(user_ids=[ANN], id=0))
    for number in range(1, MAX_PENDING + 1):
        client.say(Watch(user_ids=[number], id=number))
    world.late.is_eager = True
    depth, frame = 0, sys._getframe()
    while frame := frame.f_back:  # type: ignore[assignment]
        depth += 1
    limit = sys.getrecursionlimit()
    sys.setrecursionlimit(depth + 80)
    try:
        world.late.answer_next()
    finally:
        sys.setrecursionlimit(limit)
    assert [number for _, number in ids(client.take())] == list(range(MAX_PENDING + 1))
