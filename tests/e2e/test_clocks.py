"""The system's clock is set ahead and back, and the machine sleeps for hours: times are right, and nothing is held."""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Iterator
from email.utils import parsedate_to_datetime
from pathlib import Path

import pytest

from presence_protocol.fields import format_time, parse_time
from support import raw
from support.client import Client, vanish
from support.server import Server, run_server

HARNESS = Path(raw.__file__).with_name("shifted.py")
HOURS = 2 * 3600.0
WAIT = 10
"""Seconds for what takes a few sweeps, on a busy machine."""


class Machine:
    """A server, and the clocks of its machine."""

    def __init__(self, server: Server, clocks: Path) -> None:
        self.server = server
        self._clocks = clocks
        self.set_by = self.slept = 0.0

    def move(self, set_by: float = 0.0, slept: float = 0.0) -> None:
        self.set_by += set_by
        self.slept += slept
        fresh = self._clocks.with_suffix(".new")
        fresh.write_text(f"{self.set_by} {self.slept}")
        fresh.replace(self._clocks)

    def utc(self) -> float:
        return time.time() + self.set_by + self.slept

    def is_now(self, told: str, since: float) -> bool:
        """Whether this is the calendar's time at some moment after `since`, give or take a second."""
        return since - 1.01 <= parse_time(told) <= self.utc() + 1.01

    def wait_for(self, user_id: int, status: str) -> None:
        give_up = time.monotonic() + WAIT
        while self.server.status_of(user_id) != status:
            assert time.monotonic() < give_up, f"{user_id} is {self.server.status_of(user_id)}, not {status}"
            time.sleep(0.02)


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Machine]:
    clocks = tmp_path / "clocks"
    clocks.write_text("0 0")
    monkeypatch.setenv("CLOCKS", str(clocks))
    with run_server((sys.executable, str(HARNESS)), grace_period=5, heartbeat_interval=10) as server:
        yield Machine(server, clocks)


def all_times_are_right(machine: Machine, user_id: int) -> None:
    """Of a user whom nobody knows yet, and in everything that tells the time."""
    server = machine.server
    time.sleep(0.25)  # two sweeps: nothing is slewed, so nothing is waited for
    since = machine.utc()
    online = server.online(user_id)
    assert machine.is_now(online.data["lastActiveTime"], since)
    shown = server.get(f"/status/{user_id}")
    assert machine.is_now(shown.data["lastActiveTime"], since)
    assert machine.is_now(shown.data["devices"][0]["onlineTime"], since)
    date = parsedate_to_datetime(shown.headers["Date"]).timestamp()
    assert since - 1.5 <= date <= machine.utc() + 0.1

    async def greeted() -> str:
        client = await Client.hello(server, user_id + 1)
        told: str = client.heard[0]["serverTime"]
        await vanish(client)
        return told

    assert machine.is_now(asyncio.run(greeted()), since)


@pytest.mark.parametrize("step", [HOURS, -HOURS, 5.0, -5.0])
def test_a_clock_that_is_set_ends_nothing_and_tells_the_right_time(machine: Machine, step: float) -> None:
    server = machine.server
    server.online(1)
    before = server.get("/status/1").data
    machine.move(set_by=step)
    all_times_are_right(machine, 100)
    after = server.get("/status/1").data
    assert after == before, "a stamp stays as it was, and the device is there"
    assert server.post("/heartbeat", {"userId": 1, "deviceId": "rest"}).status == 200
    active = server.get("/status/1").data["lastActiveTime"]
    assert active >= before["lastActiveTime"], "the last activity of a user never moves back"
    assert step < 0 or machine.is_now(active, machine.utc() - 1)


def test_an_override_ends_when_the_calendar_says_so(machine: Machine) -> None:
    server = machine.server
    server.online(1)
    for user_id in (1, 2):
        until = format_time(int(machine.utc()) + 3600)
        assert server.request("PUT", f"/status/{user_id}", {"status": "BUSY", "until": until}).status == 200
    machine.move(set_by=-HOURS)
    time.sleep(0.3)
    assert server.status_of(1) == "BUSY"
    machine.move(set_by=HOURS + 3600)
    machine.wait_for(1, "ONLINE")
    refused = server.request("PUT", "/status/1", {"status": "BUSY", "until": until})
    assert (refused.status, refused.data["details"][0]["field"]) == (400, "until")


def test_versions_only_grow_whatever_the_clock_does(machine: Machine) -> None:
    server = machine.server
    server.online(1)
    last = 0
    for number, step in enumerate([0.0, -HOURS, HOURS, 20 * HOURS, -40 * HOURS]):
        machine.move(set_by=step)
        server.request("PUT", "/status/1", {"status": "BUSY", "statusText": str(number)})
        (entry,) = server.post("/changes", {"userIds": [1]}).data["changes"]
        assert entry["version"] > last
        last = entry["version"]


def test_a_machine_that_slept_holds_nobody_who_is_gone_and_loses_nobody_who_is_there(machine: Machine) -> None:
    server = machine.server

    async def story() -> None:
        client = await Client.hello(server, 2)
        server.online(1)
        machine.move(slept=HOURS)
        await asyncio.to_thread(machine.wait_for, 1, "OFFLINE")
        assert server.status_of(2) == "ONLINE"
        await client.send(type="ping", id=7)
        assert (await client.receive("pong"))["id"] == 7, "it is the same connection"
        await vanish(client)

    asyncio.run(story())
    all_times_are_right(machine, 100)
