"""The changes of a tick: when they go out, to whom, in how many writes, and what the cursors say meanwhile."""

from __future__ import annotations

from collections.abc import Iterable

import pytest

from application.kit import ANN, BOB, EVE, Client, World
from presence_protocol.messages import Diff, Ok, Ping, Query, Snapshot, Statuses, Unwatch, Watch
from presence_server.application import fanout
from presence_server.application.cursors import Cursor, parse
from presence_server.domain.model import Status

CROWD = range(500, 510)


def told(client: Client) -> list[list[int]]:
    """Whom each diff named that the client got since it was last asked."""
    return [[entry.user_id for entry in diff.changes] for diff in client.take(Diff)]


def crowd(world: World, count: int, watch: Iterable[int]) -> list[Client]:
    clients = [world.connect(watch=watch, codec_number=number % 2) for number in range(count)]
    for client in clients:
        client.take()
    return clients


def seq_of(cursor: str) -> int:
    parsed = parse(cursor)
    assert parsed is not None
    return parsed.seq


# -- when ----------------------------------------------------------------------------------------------------------


def test_a_quiet_server_flushes_at_once() -> None:
    world = World()
    (client,) = crowd(world, 1, [ANN])
    assert world.fanout.delay(world.now) is None
    world.online(ANN)
    assert world.is_woken
    assert world.fanout.delay(world.now) == 0
    world.fanout.step(world.now)
    assert told(client) == [[ANN]]
    assert world.fanout.delay(world.now) is None


def test_the_next_flush_waits_for_the_flush_interval_and_gathers_last_values() -> None:
    world = World(flush_interval=0.5)
    (client,) = crowd(world, 1, [ANN, BOB])
    world.online(ANN)
    world.fanout.step(world.now)
    client.take()
    world.online(BOB)
    world.override(Status.BUSY, ANN)
    world.override(Status.AWAY, ANN)
    assert world.fanout.delay(world.now) == 0.5
    world.fanout.step(world.now)
    assert told(client) == []
    world.clock.time += 0.5
    world.fanout.step(world.now)
    (diff,) = client.take(Diff)
    assert [(entry.user_id, entry.status) for entry in diff.changes] == [(BOB, "ONLINE"), (ANN, "AWAY")]


@pytest.mark.parametrize(
    ("took", "together", "waits"),
    [(0.001, 4, 0.25), (0.25, 4, 0.375), (0.25, 2, 0.25), (0.25, 10, 0.45), (0.25, 1, 0.25), (8, 4, 1.0)],
)
def test_the_more_writes_it_saves_the_longer_it_waits_up_to_a_maximum(took: float, together: int, waits: float) -> None:
    world = World(flush_interval=0.25, max_flush_interval=1.0)
    (client,) = crowd(world, 1, CROWD)
    write = client.link.write

    def slow(frame: bytes) -> None:
        world.clock.time += took
        write(frame)

    client.link.write = slow  # type: ignore[method-assign]
    for user_id in CROWD[:together]:
        world.online(user_id)
    world.fanout.step(world.now)
    world.offline(CROWD[0])
    assert world.fanout.delay(world.now) == pytest.approx(waits)


def test_who_is_watched_by_nobody_is_not_gathered() -> None:
    world = World()
    world.online(ANN)
    assert world.fanout.delay(world.now) is None
    assert world.fanout.statistics().gathered == 0


def test_a_change_whose_watchers_left_before_the_flush_goes_nowhere() -> None:
    world = World()
    (client,) = crowd(world, 1, [ANN])
    world.online(ANN)
    client.lose()
    world.flush()
    assert world.fanout.statistics().writes == 0
    assert world.fanout.settled == world.engine.seq


# -- how -----------------------------------------------------------------------------------------------------------


def test_one_change_is_one_frame_shared_by_all_of_a_codec() -> None:
    world = World()
    clients = crowd(world, 6, [ANN])
    world.online(ANN)
    world.flush()
    json, msgpack = ({id(client.link.raw[-1]) for client in clients[codec::2]} for codec in (0, 1))
    assert len(json) == len(msgpack) == 1
    assert json != msgpack
    assert {client.status(ANN) for client in clients} == {"ONLINE"}
    assert world.fanout.statistics()[3:] == (1, 6, 6)


def test_each_gets_what_it_watches_in_one_write() -> None:
    world = World()
    both, one = world.connect(watch=[ANN, BOB]), world.connect(watch=[BOB], codec_number=1)
    both.take(), one.take()
    world.online(ANN)
    world.online(BOB)
    world.online(EVE)
    world.flush()
    assert told(both) == [[ANN, BOB]]
    assert told(one) == [[BOB]]


def test_many_changes_go_in_parts_and_large_ones_sooner(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fanout, "FEW", 1)
    monkeypatch.setattr(fanout, "PART_BYTES", 300)
    world = World()
    (client,) = crowd(world, 1, CROWD)
    for user_id in CROWD[:3]:
        world.online(user_id)
        world.override(Status.BUSY, user_id, "x" * 140 if user_id == CROWD[0] else None)
    world.flush()
    assert told(client) == [[CROWD[0]], [CROWD[1], CROWD[2]]]
    world.check_cursors()


def test_a_user_forgotten_before_the_flush_is_told_offline_at_the_version_that_it_had() -> None:
    world = World(max_remembered=1)
    (client,) = crowd(world, 1, [ANN])
    world.online(ANN)
    world.flush()
    world.offline(ANN)
    version = world.table.presence(ANN).version
    for user_id in (71, 72):
        world.online(user_id)
        world.offline(user_id)
    assert world.table.record(ANN) is None
    client.take()
    world.flush()
    (diff,) = client.take(Diff)
    assert [(entry.status, entry.version) for entry in diff.changes] == [("OFFLINE", version)]


# -- cursors -------------------------------------------------------------------------------------------------------


def test_a_flush_without_slices_includes_itself() -> None:
    world = World()
    (client,) = crowd(world, 1, [ANN])
    world.online(ANN)
    seq = world.engine.seq
    assert world.fanout.settled < seq
    world.flush()
    assert seq_of(client.take(Diff)[0].cursor) == seq == world.fanout.settled
    assert world.fanout.cursor == str(Cursor(world.engine.epoch, seq))


def test_what_concerns_no_watcher_moves_the_cursor_all_the_same() -> None:
    world = World()
    world.online(ANN)
    assert world.fanout.settled == world.engine.seq > 0


def test_the_cursor_stands_still_while_writes_are_sliced() -> None:
    world = World(slice_writes=2)
    clients = crowd(world, 5, [ANN])
    world.online(ANN)
    before = world.fanout.settled
    for written in (2, 4):
        world.fanout.step(world.now)
        assert sum(bool(client.received) for client in clients) == written
        assert world.fanout.settled == before
        assert world.fanout.delay(world.now) == 0
        world.check_cursors()
    world.fanout.step(world.now)
    assert [told(client) for client in clients] == [[[ANN]]] * 5
    assert {seq_of(client.given[-1].cursor) for client in clients} == {before}
    assert world.fanout.settled == world.engine.seq


def test_deliveries_are_sliced_and_whoever_is_written_to_meanwhile_gets_what_waits_first() -> None:
    world = World(slice_deliveries=2)
    first, second = crowd(world, 2, [ANN, BOB])
    world.online(ANN)
    before = world.fanout.settled
    assert before < world.engine.seq
    world.online(BOB)
    world.fanout.step(world.now)
    assert told(first) == []
    world.override(Status.BUSY, ANN)
    answer = first.say(Query(user_ids=[ANN], id=1))
    assert [type(message) for message in answer] == [Diff, Statuses]
    assert seq_of(first.given[-1].cursor) == before
    first.take()
    world.flush()
    assert told(first) == [[BOB], [ANN]]
    assert told(second) == [[ANN, BOB], [ANN]]
    world.check_converged()
    world.check_cursors()


def test_what_waits_goes_out_before_a_snapshot_and_before_a_close() -> None:
    world = World(slice_deliveries=1)
    watching, leaving = crowd(world, 2, [ANN, BOB])
    world.online(ANN)
    world.online(BOB)
    world.fanout.step(world.now)
    assert [type(message) for message in watching.say(Watch(user_ids=[ANN, EVE], id=1))] == [Diff, Snapshot]
    world.hub.dismissals.close_all(1012, "the end", world.now)  # type: ignore[arg-type]
    assert told(leaving) == [[ANN]]


def test_a_message_without_versions_need_not_wait() -> None:
    world = World(slice_deliveries=1)
    (client,) = crowd(world, 1, [ANN, BOB])
    world.online(ANN)
    world.online(BOB)
    world.fanout.step(world.now)
    client.say(Ping(id=1))
    client.view.unwatch([BOB])
    assert [type(message) for message in client.say(Unwatch(user_ids=[BOB], id=2))] == [Ok]
    world.flush()
    assert told(client) == [[ANN]]
    world.check_converged()


# -- the heavy lane ------------------------------------------------------------------------------------------------


def test_a_celebrity_goes_by_segments_after_everybody_else() -> None:
    world = World(slice_writes=2, heavy=4)
    fans = crowd(world, 5, [ANN])
    (other,) = crowd(world, 1, [BOB])
    world.online(ANN)
    before = world.fanout.settled
    assert before < world.engine.seq
    world.online(BOB)
    world.fanout.step(world.now)
    assert told(other) == [[BOB]]
    assert sum(bool(fan.received) for fan in fans) == 0
    assert world.fanout.statistics().heavy == 1
    world.fanout.step(world.now)
    assert sum(bool(fan.received) for fan in fans) == 2
    assert world.fanout.settled == before
    world.clock.time += 1
    world.offline(BOB)
    world.fanout.step(world.now)
    assert told(other) == [[BOB]]  # not delayed by the celebrity
    world.flush()
    assert [told(fan) for fan in fans] == [[[ANN]]] * 5
    assert world.fanout.settled == world.engine.seq
    world.check_cursors()


def test_a_celebrity_that_changes_on_the_way_goes_around_once_more() -> None:
    world = World(slice_writes=3, heavy=4, flush_interval=0.0)
    fans = crowd(world, 5, [ANN])
    world.online(ANN)
    world.fanout.step(world.now)
    world.fanout.step(world.now)
    for status in (Status.BUSY, Status.AWAY):
        world.override(status, ANN)
        world.fanout.step(world.now)  # an ordinary flush, which hands it to the lane
    world.flush()
    assert {fan.status(ANN) for fan in fans} == {"AWAY"}
    assert world.fanout.settled == world.engine.seq
    world.check_converged()
    world.check_cursors()


def test_a_celebrity_that_is_left_on_the_way_stays_in_the_lane() -> None:
    """Else a later change would overtake it, and where it was forgotten meanwhile, be followed by an older one."""
    world = World(slice_writes=2, heavy=4, flush_interval=0.0, max_remembered=1)
    fans = crowd(world, 5, [ANN])
    world.online(ANN)
    world.fanout.step(world.now)
    world.fanout.step(world.now)
    fans.pop(0).lose()
    world.offline(ANN)
    world.fanout.step(world.now)
    for user_id in (71, 72):
        world.online(user_id)
        world.offline(user_id)
    world.flush()
    assert {fan.status(ANN) for fan in fans} == {"OFFLINE"}
    world.check_cursors()


def test_who_left_a_celebrity_gets_no_more_of_it_than_was_on_its_way() -> None:
    world = World(is_late=True, slice_writes=2, heavy=4)
    fans = [world.connect(watch=[ANN]) for _ in range(5)]
    world.late.answer_all()
    world.online(ANN)
    world.late.answer_all()
    world.fanout.step(world.now)
    world.fanout.step(world.now)
    for fan in fans:
        fan.take()
        fan.view.unwatch([ANN])
        fan.say(Unwatch(user_ids=[ANN]))
    world.flush()
    assert [told(fan) for fan in fans] == [[]] * 5
    assert world.fanout.settled == world.engine.seq


# -- slots ---------------------------------------------------------------------------------------------------------


def test_a_slot_is_not_used_again_while_a_slice_may_hold_it() -> None:
    world = World(slice_writes=1)
    first, second, third = crowd(world, 3, [ANN])
    world.online(ANN)
    world.fanout.step(world.now)
    slot = third.session.slot
    second.lose()
    third.lose()
    newcomer = world.connect(watch=[BOB])
    assert newcomer.session.slot != slot
    newcomer.take()
    world.flush()
    assert told(newcomer) == []
    assert told(first) == [[ANN]]
    slots = {world.connect(codec_number=number % 2).session.slot for number in range(4)}
    assert slots & {second.session.slot, slot} == {second.session.slot, slot}


def test_memory_follows_the_most_that_were_connected_at_once() -> None:
    world = World()
    slots = set()
    for _ in range(20):
        client = world.connect(watch=[ANN])
        slots.add(client.session.slot)
        client.lose()
    assert len(slots) == 1
    assert world.fanout.statistics().outlets == 0
