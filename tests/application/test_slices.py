"""Long answers: made piece by piece, in parts that fit a message, with nothing lost and nothing out of order."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from application.kit import ANN, BOB, Client, World
from presence_protocol.limits import MAX_STATUS_TEXT
from presence_protocol.messages import Diff, Hello, Ok, Ping, Pong, Query, Snapshot, Statuses, Unwatch, Watch, Welcome
from presence_server.application.hub_limits import HubLimits
from presence_server.application.slices import PIECE
from presence_server.domain.model import Status

MANY = list(range(20_000, 20_000 + 3 * PIECE))


class Held:
    """A client whose answers go on only when the test says so."""

    def __init__(self, world: World, client: Client) -> None:
        self.world = world
        self.client = client
        client.link.read_on = lambda: None  # type: ignore[method-assign]

    def say(self, message: Any) -> None:
        self.world.hub.handle(self.client.session, message, self.world.now)

    def step(self) -> None:
        self.world.hub.go_on(self.client.session, self.world.now)

    def finish(self) -> int:
        steps = 0
        while self.client.session.can_go_on:
            self.step()
            steps += 1
        return steps


def held(world: World, *watched: int) -> Held:
    client = world.connect(watch=watched or None)
    client.take()
    return Held(world, client)


LONG: dict[str, tuple[Any, type[Any]]] = {
    "watch": (Watch(user_ids=MANY, id=1), Snapshot),
    "query": (Query(user_ids=MANY[:1000], id=1), Statuses),
}


@pytest.mark.parametrize("kind", LONG)
def test_a_long_answer_takes_a_step_for_each_piece_and_each_part_has_the_id(kind: str) -> None:
    message, answer = LONG[kind]
    world = World()
    asker = held(world)
    asker.say(message)
    told: list[Any] = []
    while asker.client.session.can_go_on:
        asker.step()
        parts = asker.client.take(answer)
        assert sum(len(part.statuses) for part in parts) <= PIECE
        told += parts
    assert [entry.user_id for part in told for entry in part.statuses] == message.user_ids
    assert [part.id for part in told] == [1] * len(told)
    assert [part.more for part in told] == [True] * (len(told) - 1) + [False]
    assert not asker.client.session.must_wait


@pytest.mark.parametrize("most", [1024, 5000, 262_144])
@pytest.mark.parametrize("kind", [*LONG, "hello"])
def test_no_part_is_longer_than_a_message_may_be(kind: str, most: int) -> None:
    world = World(limits=HubLimits(max_message=most))
    for user_id in MANY[:1000]:
        world.online(user_id)
        world.override(Status.BUSY, user_id, "\U0001f600" * MAX_STATUS_TEXT)
    if kind == "hello":
        client = world.connect(watch=MANY)
    else:
        client = world.connect()
        client.say(LONG[kind][0])
    frames = [message for message in client.take() if isinstance(message, Snapshot | Statuses)]
    assert len(frames) > 3
    assert max(len(msgspec.json.encode(frame)) for frame in frames) <= most


def test_diffs_respect_a_small_message_as_well() -> None:
    world = World(limits=HubLimits(max_message=1024), max_message=1024)
    client = world.connect(watch=MANY[:10])
    client.take()
    for user_id in MANY[:10]:
        world.online(user_id)
        world.override(Status.BUSY, user_id, "\U0001f600" * MAX_STATUS_TEXT)
    world.flush()
    assert max(len(msgspec.json.encode(diff)) for diff in client.take(Diff)) <= 1024
    world.check_converged()


def test_what_changes_halfway_is_told_after_the_answer() -> None:
    """Of those told of already, those still to come, and those watched before."""
    world = World()
    asker = held(world, ANN)
    asker.client._asked.update(MANY)
    asker.client.view.watched.update(MANY)
    asker.say(Watch(user_ids=MANY, id=1))
    asker.step()
    for user_id in (ANN, MANY[0], MANY[-1]):
        world.online(user_id)
        world.flush()
    assert not asker.client.take(Diff)
    asker.finish()
    world.flush()
    told = asker.client.take()
    kinds = [type(message) for message in told]
    assert kinds.index(Diff) > max(number for number, kind in enumerate(kinds) if kind is Snapshot)
    assert {entry.user_id for diff in told if isinstance(diff, Diff) for entry in diff.changes} >= {ANN, MANY[0]}
    world.check_converged()
    world.check_cursors()


def test_no_cursor_halfway_claims_those_who_are_still_to_be_told_of() -> None:
    world = World()
    client = world.client().open()
    hello = Held(world, client)
    hello.say(Hello(observer=True, watch=MANY))
    hello.step()
    world.online(MANY[-1])
    world.flush()
    told = client.take()
    assert isinstance(told[0], Welcome)
    assert all(getattr(message, "cursor", None) is None for message in told)


def test_what_is_said_meanwhile_is_answered_after() -> None:
    world = World()
    client = world.connect()
    client.take()
    client.link.unread += [Query(user_ids=MANY[:1000], id=1), Ping(id=2), Unwatch(user_ids=MANY, id=3), Ping(id=4)]
    client.link.read_on()
    told = client.take()
    assert [message.id for message in told if not getattr(message, "more", False)] == [1, 2, 3, 4]
    assert [type(message) for message in told[-3:]] == [Pong, Ok, Pong]


def test_who_reads_nothing_is_made_one_part_and_no_more() -> None:
    world = World()
    client = world.connect()
    client.take()
    client.link.stop()
    client.say(Query(user_ids=MANY[:1000], id=1))
    assert len(client.link.waiting) == 1
    world.wait(1)
    assert len(client.link.waiting) == 1
    client.link.drain()
    assert sum(len(part.statuses) for part in client.take(Statuses)) == 1000


@pytest.mark.parametrize("steps", [0, 1, 2])
def test_the_end_of_a_session_halfway_leaves_nothing(steps: int) -> None:
    world = World()
    asker = held(world, BOB)
    asker.say(Watch(user_ids=MANY, id=1))
    for _ in range(steps):
        asker.step()
    asker.client.lose()
    asker.step()
    world.wait(0.5)
    world.check_empty()


def test_a_long_unwatch_is_answered_when_it_is_done() -> None:
    world = World()
    asker = held(world, *MANY)
    asker.say(Unwatch(user_ids=MANY, id=1))
    asker.step()
    assert not asker.client.take(Ok)
    asker.finish()
    assert [ok.id for ok in asker.client.take(Ok)] == [1]
    assert world.interest.statistics().edges == 0


def test_whose_turn_it_is_not_has_its_answer_later() -> None:
    world = World()
    world.hub.answering.has_time = lambda: False
    asker = held(world)
    asker.say(Query(user_ids=MANY[:100], id=1))
    assert not asker.client.take()
    asker.finish()
    assert len(asker.client.take(Statuses)) == 1
