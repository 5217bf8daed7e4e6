"""Slow watchers: nothing is queued for them, and once they read again they are told what counts, once."""

from __future__ import annotations

import pytest

from application.kit import ANN, BOB, EVE, Client, World
from presence_protocol.messages import Diff, Error, SelfChanged, SetStatus, Snapshot, Watch
from presence_server.application import entries
from presence_server.application.cursors import parse
from presence_server.application.ports import TruthChanged
from presence_server.domain.model import Status
from presence_server.domain.transitions import SetActivity

FILLER = 99


def blocked_watcher(world: World, *watched: int, user_id: int | None = None) -> Client:
    """A watcher whose socket is full; what filled it is the first diff that it reads later."""
    client = world.connect(user_id, watch=[FILLER, *watched])
    client.link.stop()
    world.online(FILLER)
    world.flush()
    assert world.hub.statistics().behind == 1
    client.take()
    return client


def test_a_blocked_watcher_gets_one_diff_of_last_values_however_much_happened() -> None:
    world = World()
    world.online(ANN)
    world.online(BOB)
    client = blocked_watcher(world, ANN, BOB, EVE)
    for text in "abc":
        world.override(Status.AWAY, BOB, text)
        world.flush()
    world.online(EVE)
    world.flush()
    assert len(client.link.waiting) == 1
    client.link.drain()
    first, caught_up = client.take(Diff)
    assert [entry.user_id for entry in first.changes] == [FILLER]
    assert [(entry.user_id, entry.status_text) for entry in caught_up.changes] == [(BOB, "c"), (EVE, None)]
    world.check_converged()
    world.check_cursors()


def test_nothing_is_said_to_one_that_missed_nothing() -> None:
    world = World()
    client = blocked_watcher(world, ANN)
    client.link.drain()
    assert len(client.take()) == 1  # what had filled the socket
    assert world.hub.statistics().behind == 0
    world.online(ANN)
    world.flush()
    assert client.take(Diff)


def test_it_is_not_read_from_until_it_caught_up() -> None:
    world = World()
    client = blocked_watcher(world, ANN)
    client.say(Watch(user_ids=[BOB], id=1))
    assert world.interest.watchers(BOB).tolist() == []
    client.link.drain()
    assert [message.id for message in client.take(Snapshot)] == [1]


def test_it_is_served_in_parts_by_seq_and_each_part_moves_its_cursor(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(entries, "SNAPSHOT_PART", 2)
    world = World()
    users = [1, 2, 3, 4, 5]
    client = blocked_watcher(world, *users)
    for user_id in users:
        world.online(user_id)
    world.flush()
    client.link.drain()
    diffs = client.take(Diff)[1:]
    assert [[entry.user_id for entry in diff.changes] for diff in diffs] == [[1, 2], [3, 4], [5]]
    seqs = [world.table.presence(diff.changes[-1].user_id).seq for diff in diffs]
    cursors = [parse(diff.cursor) for diff in diffs]
    assert [cursor and cursor.seq for cursor in cursors] == seqs
    world.check_cursors()


def test_one_that_blocks_again_halfway_goes_on_where_it_was(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(entries, "SNAPSHOT_PART", 2)
    world = World()
    users = [1, 2, 3, 4, 5]
    client = blocked_watcher(world, *users)
    for user_id in users:
        world.online(user_id)
    world.flush()
    client.link.drain(is_still_slow=True)
    assert len(client.link.waiting) == 1
    assert world.hub.statistics().behind == 1
    world.override(Status.BUSY, 1)
    world.flush()
    client.link.drain()
    assert world.hub.statistics().behind == 1  # the last scan was just now
    world.wait(0.25)
    assert world.hub.statistics().behind == 0
    assert [[entry.user_id for entry in diff.changes] for diff in client.take(Diff)[1:]] == [[1, 2], [3, 4], [5, 1]]
    world.check_converged()


def test_without_room_it_stays_behind_until_a_later_sweep() -> None:
    world = World()
    client = blocked_watcher(world, ANN)
    world.online(ANN)
    world.flush()
    client.link.room = 0
    client.link.drain()
    assert world.hub.statistics().behind == 1
    client.link.room = 2
    world.wait(0.25)
    assert world.hub.statistics().behind == 0
    world.check_converged()


def test_one_that_drains_and_fills_in_turn_is_served_at_most_every_tenth_of_a_second() -> None:
    world = World()
    client = blocked_watcher(world, ANN)
    client.link.drain()
    client.take()
    for _ in range(3):
        world.hub.blocked(client.session, world.now)
        world.online(ANN)
        world.offline(ANN)
        world.flush()
        world.hub.unblocked(client.session, world.now)
        assert client.take() == []
    world.wait(0.25)
    assert len(client.take(Diff)) == 1
    world.check_converged()


def test_where_something_was_forgotten_since_it_gets_a_full_snapshot(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(entries, "SNAPSHOT_PART", 2)
    world = World(max_remembered=1)
    world.online(ANN)
    client = blocked_watcher(world, ANN, BOB)
    world.offline(ANN)
    for user_id in (71, 72, 73):  # and so Ann is forgotten
        world.online(user_id)
        world.offline(user_id)
    world.flush()
    assert world.table.record(ANN) is None
    client.link.drain()
    first, last = client.take(Snapshot)
    assert (first.more, first.cursor, last.more) == (True, None, False)
    assert [entry.user_id for entry in (*first.statuses, *last.statuses)] == [FILLER, ANN, BOB]
    assert last.cursor == world.fanout.cursor
    assert client.status(ANN) == "OFFLINE"
    world.check_converged()


def test_a_changed_truth_is_told_once_when_it_has_caught_up() -> None:
    world = World()
    client = blocked_watcher(world, BOB, user_id=ANN)
    world.override(Status.BUSY, ANN)
    world.override(Status.AWAY, ANN)
    assert client.take(SelfChanged) == []
    client.link.drain()
    assert [told.status for told in client.take(SelfChanged)] == ["AWAY"]


def test_what_waited_for_its_slice_while_it_was_behind_does_not_follow_what_it_was_served() -> None:
    world = World(slice_deliveries=2, slice_writes=1)
    world.online(ANN)
    client = blocked_watcher(world, ANN, BOB)
    world.connect(watch=[ANN, BOB])
    world.override(Status.AWAY, ANN)
    world.online(BOB)
    world.turn()
    world.clock.time += 1
    world.fanout.step(world.now)  # AWAY is in its outbox
    world.override(Status.ONLINE, ANN)
    client.link.drain()
    client.take()
    world.flush()
    assert all(entry.status != "AWAY" for diff in client.take(Diff) for entry in diff.changes)
    world.check_converged()


def test_a_session_that_ends_while_it_waits_is_not_served() -> None:
    world = World()
    client = blocked_watcher(world, ANN)
    client.link.room = 0
    client.link.drain()
    client.lose()
    client.take()
    world.online(ANN)
    world.wait(1)
    assert client.take() == []
    world.check_empty()


def test_a_snapshot_that_is_answered_late_to_one_behind_claims_only_what_it_was_sent() -> None:
    world = World(is_late=True)
    client = world.connect(watch=[ANN])
    world.late.answer_all()
    client.say(Watch(user_ids=[BOB], id=1))
    follow = world.late.waiting.pop()
    client.link.stop()
    world.online(ANN)
    world.late.answer_all()
    world.flush()
    world.offline(ANN)
    world.late.answer_all()
    world.flush()
    follow.users.clear()
    follow.answer(True)
    world.turn()
    client.take()
    client.link.drain(2)
    assert client.take(Snapshot)
    world.check_cursors()


def test_it_is_served_after_all_that_a_sweep_has_to_say() -> None:
    """Otherwise a diff would name a user before the snapshot that answers its watch."""
    world = World(is_late=True)
    client = world.connect(watch=[ANN])
    world.late.answer_all()
    client.say(Watch(user_ids=[BOB], id=1))
    client.say(Watch(user_ids=[EVE], id=2))
    client.link.stop()
    world.online(ANN)
    world.late.waiting.pop().answer(True)
    world.flush()
    world.online(EVE)
    world.late.waiting.pop().answer(True)
    client.link.room = 0
    client.link.drain()
    client.link.room = 2
    client.take()
    world.late.is_eager = True
    world.clock.time += 10
    world.sweep()  # which is skipped: the loop had stalled
    world.sweep()
    error, snapshot, *missed = client.take()
    assert all(isinstance(message, Diff) for message in missed)
    assert isinstance(error, Error)
    assert isinstance(snapshot, Snapshot)
    assert (error.id, snapshot.id) == (1, 2)


def test_a_truth_told_before_is_not_told_after_what_the_client_says_next() -> None:
    """What is read again comes last: it may change what the effects before it tell."""
    world = World()
    client = blocked_watcher(world, user_id=ANN)
    other = world.connect(ANN, "phone")
    client.say(SetStatus(status="AWAY"))
    client.link.room = 0
    client.link.drain()
    client.link.room = 2
    world.clock.time += 0.5
    world.table.apply(SetActivity(ANN, "phone", other.session.number, True), world.now, world.clock.utc())
    world.hub.receive(TruthChanged(ANN), world.now)
    client.take()
    other.take()
    world.hub.sweep(world.now)
    assert [told.status for told in other.take(SelfChanged)][-1] == "AWAY"
    assert [told.status for told in client.take(SelfChanged)][-1] == "AWAY"
