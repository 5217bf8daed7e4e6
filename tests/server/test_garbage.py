"""When all objects are looked at: in idle moments, and when memory has doubled."""

from __future__ import annotations

import asyncio
import gc
import sys
from collections.abc import Callable

import pytest

from presence_server import garbage
from presence_server.garbage import CHECK, PAUSE, SHARE, Collections, Look
from presence_server.memory import resident_memory

MB = 1024 * 1024


class Machine:
    def __init__(self, megabytes: int = 60) -> None:
        self.now = self.cpu = 0.0
        self.resident = megabytes * MB
        self.collections = Collections(self.look())
        self.collected: list[float] = []

    def look(self) -> Look:
        return Look(self.now, self.cpu, self.resident)

    def run(self, seconds: float, load: float, takes: float = 0.02, grows: float = 0.0) -> list[float]:
        """When it was collected in so many seconds."""
        self.collected = []
        until = self.now + seconds
        while self.now < until:
            self.now += CHECK
            self.cpu += CHECK * load
            self.resident += int(CHECK * grows * MB)
            if self.collections.is_due(began := self.look()):
                self.now += takes
                self.cpu += takes
                self.collected.append(self.now)
                self.collections.done(began, self.look())
        return self.collected


def test_an_idle_server_looks_at_all_once_in_a_while() -> None:
    machine = Machine()
    collected = machine.run(600, load=0.005)
    assert 5 <= len(collected) <= 600 / PAUSE
    assert machine.run(600, load=0.5) == [], "nobody is kept waiting by it"


def test_what_takes_long_is_done_seldom() -> None:
    machine = Machine(2_000)
    collected = machine.run(7_200, load=0.0, takes=0.5)
    assert 0.5 * len(collected) <= 1.1 * SHARE * 7_200
    assert collected


def test_a_busy_server_looks_at_all_when_memory_has_doubled_and_not_before() -> None:
    machine = Machine(100)
    collected = machine.run(1_000, load=0.9, grows=1.0)
    assert len(collected) == 3, "at 200, 400 and 800 MB"


def test_a_small_server_may_double_by_its_first_clients() -> None:
    machine = Machine(30)
    assert machine.run(60, load=0.9, grows=1.0) == []


def test_what_nobody_let_go_of_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    class Knot:
        def __init__(self, told: Callable[[], None]) -> None:
            self.itself = self
            self.told = told

        def __del__(self) -> None:
            self.told()

    freed = asyncio.Event()
    monkeypatch.setattr(garbage, "CHECK", 0.001)
    monkeypatch.setattr(garbage, "PAUSE", 0.0)
    monkeypatch.setattr(garbage, "IDLE", 1e9)

    async def story() -> None:
        gc.disable()
        try:
            Knot(freed.set)
            collecting = asyncio.ensure_future(garbage.collect_when_due())
            await freed.wait()
            collecting.cancel()
        finally:
            gc.enable()

    asyncio.run(asyncio.wait_for(story(), 20))


def test_memory_can_be_told() -> None:
    assert 5 * MB < resident_memory() < 100_000 * MB


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="glibc's heap")
def test_what_a_flood_has_used_goes_back_to_the_system_in_an_idle_moment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(garbage, "CHECK", 0.001)
    monkeypatch.setattr(garbage, "PAUSE", 0.0)
    monkeypatch.setattr(garbage, "IDLE", 1e9)
    flood = [bytes(50_000) for _ in range(4_000)]
    last = bytes(50_000)  # without it the end of the heap were free, and the system had it back by itself
    flood.clear()
    before = resident_memory()

    async def story() -> None:
        collecting = asyncio.ensure_future(garbage.collect_when_due())
        while resident_memory() > before - 100 * MB:  # noqa: ASYNC110 - the system says nothing
            await asyncio.sleep(0.01)
        collecting.cancel()

    asyncio.run(asyncio.wait_for(story(), 20))
    assert last
