"""A duration counts by the server's clock: this machine's may be wrong, and may be set while the program runs."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Awaitable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from presence_client import Phase, PresenceApi
from presence_client.testing import FakePresenceServer
from presence_protocol.messages import Ok, SetStatus
from support.http_stub import answering, response
from support.scripted_link import Scripted, until, welcome

LUNCH = timedelta(hours=1)


def play(story: Awaitable[None]) -> None:
    async def bounded() -> None:
        async with asyncio.timeout(20):
            await story

    asyncio.run(bounded())


@pytest.mark.parametrize("is_welcomed", [True, False])
def test_the_client_counts_from_the_welcome(is_welcomed: bool) -> None:
    async def story() -> None:
        scripted = Scripted()
        async with scripted.client as client:
            link = await scripted.greeted()
            if is_welcomed:
                link.say(welcome("2020-01-01T00:00:00Z"))
            call = asyncio.create_task(client.set_status("BUSY", LUNCH))
            await asyncio.sleep(0)
            if not is_welcomed:
                link.say(welcome("2020-01-01T00:00:00Z"))
            message = link.said[-1]
            assert isinstance(message, SetStatus)
            assert message.until in ("2020-01-01T01:00:00Z", "2020-01-01T01:00:01Z")
            link.say(Ok(id=message.id))
            await call

    play(story())


def test_without_the_servers_time_this_machines_is_better_than_none() -> None:
    async def story() -> None:
        scripted = Scripted()
        async with scripted.client as client:
            link = await scripted.greeted()
            link.say(welcome(""))
            call = asyncio.create_task(client.set_status("BUSY", LUNCH))
            await asyncio.sleep(0)
            message = link.said[-1]
            assert isinstance(message, SetStatus)
            assert message.until is not None
            until = datetime.strptime(message.until, "%Y-%m-%dT%H:%M:%S%z")
            assert abs(until - datetime.now(UTC) - LUNCH) < timedelta(seconds=10)
            link.say(Ok(id=message.id))
            await call

    play(story())


def test_the_rest_api_counts_from_the_date_of_an_answer() -> None:
    async def story() -> None:
        bodies: list[Any] = []

        def answer(head: str, body: bytes) -> str:
            bodies.extend([json.loads(body)] if body else [])
            data = {"userId": 1, "status": "BUSY", "lastActiveTime": None, "devices": []}
            written = json.dumps({"code": 200, "message": "success", "data": data})
            return response(200, written, Date="Wed, 01 Jan 2020 00:00:00 GMT")

        async with answering(answer) as url:
            async with PresenceApi(url) as api:
                await api.set_status(1, "BUSY", LUNCH)
            assert bodies[0]["until"] in ("2020-01-01T01:00:00Z", "2020-01-01T01:00:01Z")

    play(story())


@pytest.mark.parametrize("until", [timedelta.max, 60, datetime(2026, 1, 1)])  # noqa: DTZ001 - that is the point
def test_an_end_that_cannot_be_is_named(until: Any) -> None:
    async def story() -> None:
        scripted = Scripted()
        async with scripted.client as client:
            with pytest.raises(ValueError, match="until must"):
                await client.set_status("BUSY", until)

    play(story())


@pytest.mark.parametrize("step", [-86_400.0, 86_400.0])
def test_a_dead_link_is_found_although_the_clock_is_set(step: float, monkeypatch: pytest.MonkeyPatch) -> None:
    async def story() -> None:
        async with (
            FakePresenceServer(ping_interval=0.01, pong_timeout=0.01) as server,
            server.connect(user_id=1, watch=[2]) as client,
        ):
            right = time.time
            monkeypatch.setattr(time, "time", lambda: right() + step)
            since = asyncio.get_running_loop().time()
            server.is_deaf = True
            await until(lambda: client.state.phase is not Phase.ONLINE)
            assert client.state.reason == "no answer to ping"
            assert asyncio.get_running_loop().time() - since < 5
            server.is_deaf = False
            await client.wait_online()

    play(story())
