"""Who leaves at once after a call still hears of it, over WebSocket and over REST."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Literal

import pytest

from presence_client import ConnectionClosed, PresenceError, connect
from presence_client.testing import FakePresenceServer
from support.server import Server, run_server


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with run_server() as running:
        yield running


@pytest.mark.parametrize("transport", ["websocket", "rest"])
def test_what_was_sent_before_the_goodbye_is_answered(server: Server, transport: Literal["websocket", "rest"]) -> None:
    user = 7 if transport == "websocket" else 8

    async def story() -> None:
        client = await connect(server.url, user_id=user, device_id="d", platform="PC", transport=transport).start()
        calls = [
            asyncio.create_task(client.set_status("BUSY", text=f"by {transport}")),
            asyncio.create_task(client.query([user])),
            asyncio.create_task(client.activity(True)),
        ]
        await asyncio.sleep(0)
        await client.aclose()
        said, asked, _ = await asyncio.gather(*calls)
        assert said is None
        assert asked[0].user_id == user
        assert all(call.done() for call in calls)

    asyncio.run(asyncio.wait_for(story(), 30))
    assert server.status_of(user) == "OFFLINE", "others see the device go at once"
    (told,) = server.post("/status/batch", {"userIds": [user], "detail": True}).data
    assert told["statusText"] == f"by {transport}", "it was carried out"


def test_a_server_that_answers_nothing_is_not_waited_for() -> None:
    async def story() -> None:
        async with FakePresenceServer() as fake:
            client = await fake.connect(user_id=1).start()
            fake.is_deaf = True
            call = asyncio.create_task(client.set_status("BUSY"))
            await asyncio.sleep(0)
            async with asyncio.timeout(8):
                await client.aclose()
            with pytest.raises(ConnectionClosed) as closed:
                await call
            assert closed.value.was_sent
            with pytest.raises(PresenceError):
                await client.query([1])

    asyncio.run(story())
