"""Turns of the loop: all who ask for much share one, and whoever has used least goes first."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from unittest.mock import patch

import pytest

from presence_server.transports.websocket.reading import BRIEF
from presence_server.transports.websocket.shares import HALVED_EVERY, TURN, Shares
from support.raw import TEXT, frame
from support.transport import StoppedClock, Wire

COSTS = 0.001
"""Seconds that a message of the flood takes."""

HELLO = frame(TEXT, b'{"type":"hello","observer":true}')


def message(id: int, size: int = BRIEF + 1) -> bytes:
    return frame(TEXT, (b'{"type":"ping","id":%d}' % id).ljust(size))


@contextmanager
def dear(wire: Wire) -> Iterator[list[int]]:
    """Each message takes a millisecond; what was handled, in order."""
    handle, handled = wire.gateway.hub.handle, []

    def slowly(session: Any, said: Any, now: float) -> Any:
        wire.clock.time += COSTS
        handled.append(said.id)
        return handle(session, said, now)

    with patch.object(wire.gateway.hub, "handle", slowly):
        yield handled


def hundred(wire: Wire) -> list[Wire]:
    attackers = [wire.another() for _ in range(100)]
    for attacker in attackers:
        attacker.receive(HELLO)
    return attackers


def test_a_hundred_that_flood_have_one_turn_of_the_loop_between_them() -> None:
    wire = Wire()
    attackers = hundred(wire)
    with dear(wire):
        for _ in range(5):
            began = wire.clock.time
            for attacker in attackers:
                if attacker.transport.is_reading:
                    attacker.receive(message(1) * 50)
            wire.turn()
            # What the sockets had to say, and the turn after it.
            assert wire.clock.time - began <= 2 * (TURN + COSTS)


def test_a_hundred_that_send_one_dear_message_each_do_so_as_well() -> None:
    wire = Wire()
    attackers = hundred(wire)
    with dear(wire) as handled:
        began = wire.clock.time
        for attacker in attackers:
            attacker.receive(message(1))
        assert wire.clock.time - began <= TURN + COSTS
        wire.settle()
    assert len(handled) == 100, "and all are handled in the end"


def test_who_has_used_least_goes_before_a_hundred_that_flood() -> None:
    wire = Wire()
    wire.receive(HELLO)
    attackers = hundred(wire)
    with dear(wire) as handled:
        for attacker in attackers:
            attacker.receive(message(1) * 50)
        for _ in range(100):
            wire.turn()
        handled.clear()
        wire.receive(message(2))
        wire.turn()
        assert handled[0] == 2


def test_a_brief_message_waits_for_nobody() -> None:
    wire = Wire()
    wire.receive(HELLO)
    attackers = hundred(wire)
    with dear(wire):
        for attacker in attackers:
            attacker.receive(message(1) * 50)
    wire.receive(message(2, BRIEF - 10))
    assert b'"id":2' in wire.transport.written


def test_those_who_flood_share_evenly() -> None:
    wire = Wire()
    attackers = hundred(wire)[:10]
    with dear(wire) as handled:
        for number, attacker in enumerate(attackers):
            attacker.receive(message(number) * 200)
        for _ in range(400):
            wire.turn()
        shares = [handled.count(number) for number in range(10)]
    assert min(shares) > 0
    assert max(shares) - min(shares) <= 4


def test_who_leaves_while_it_waits_has_no_turn() -> None:
    wire = Wire()
    attackers = hundred(wire)
    with dear(wire) as handled:
        for attacker in attackers:
            attacker.receive(message(1) * 50)
        for attacker in attackers:
            attacker.connection.connection_lost(None)
        handled.clear()
        wire.settle()
    assert not handled
    assert not len(wire.gateway.shares)


def test_what_was_used_is_forgotten() -> None:
    clock = StoppedClock()
    later: list[Any] = []
    shares = Shares(clock, later.append)
    order: list[str] = []

    class Runner:
        def __init__(self, name: str) -> None:
            self.name = name

        def take_turn(self, now: float, ends_at: float) -> bool:
            order.append(self.name)
            return False

    def turn() -> None:
        due, later[:] = later[:], []
        for callback in due:
            callback()

    busy, calm = Runner("busy"), Runner("calm")
    shares.charge(busy, 1.0)
    shares.charge(calm, 0.1)
    for _ in range(2):
        shares.ask(busy)
        shares.ask(calm)
        turn()
        clock.time += 30 * HALVED_EVERY
        turn()
    assert order == ["calm", "busy", "busy", "calm"]


def test_what_an_endpoint_does_piece_by_piece_shares_the_turn_as_well() -> None:
    clock = StoppedClock()
    done: list[int] = []

    async def story() -> None:
        loop = asyncio.get_running_loop()
        shares = Shares(clock, lambda callback: loop.call_soon(callback) and None)
        longest = 0.0

        def steps(number: int) -> Iterator[None]:
            for _ in range(5):
                clock.time += COSTS
                yield
            done.append(number)

        asking = [asyncio.create_task(shares.do(steps(number))) for number in range(20)]
        while not all(task.done() for task in asking):
            began = clock.time
            await asyncio.sleep(0)
            longest = max(longest, clock.time - began)
        await asyncio.gather(*asking)
        assert longest <= 2 * (TURN + COSTS)
        assert not len(shares)

    asyncio.run(story())
    assert sorted(done) == list(range(20))


def test_a_failure_halfway_is_raised_to_whoever_asked() -> None:
    clock = StoppedClock()

    async def story() -> None:
        shares = Shares(clock, lambda callback: asyncio.get_running_loop().call_soon(callback) and None)

        def steps() -> Iterator[None]:
            clock.time += 2 * TURN
            yield
            raise LookupError

        with pytest.raises(LookupError):
            await shares.do(steps())

    asyncio.run(story())
