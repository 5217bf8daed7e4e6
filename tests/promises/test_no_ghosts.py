"""Promise 1, no ghosts: a device whose link died is OFFLINE for all watchers within the printed bound."""

import asyncio
import re
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager

import pytest

from support.client import Client
from support.proxy import run_proxy
from support.server import Server, Span, run_server

GRACE = 0.6
USER = 7


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with run_server(
        grace_period=GRACE, ping_interval=0.5, pong_timeout=0.5, heartbeat_interval=0.4, min_publish_interval=0
    ) as running:
        yield running


def bounds(server: Server) -> tuple[float, float]:
    """The bounds for WebSocket and REST devices, in seconds, as the start-up line prints them."""
    found = re.search(r"within ([\d.]+) s \(WebSocket\) or ([\d.]+) s \(REST\)", server.log[0])
    assert found is not None, server.log[0]
    return float(found[1]), float(found[2])


@asynccontextmanager
async def watched(server: Server) -> AsyncIterator[Client]:
    watcher = await Client.observe(server, [USER])
    await watcher.receive("snapshot")
    try:
        yield watcher
    finally:
        await watcher.close()


async def offline(watcher: Client, since: Span) -> tuple[float, float]:
    """Until the user is: how long that took, in real and in fair seconds."""
    await watcher.change_of(USER, "OFFLINE", 60)
    return since.real, since.fair


def test_the_bounds_are_printed(server: Server) -> None:
    assert bounds(server) == (0.5 + 0.5 + GRACE + 2, 2.5 * 0.4 + 2)


def test_a_process_that_is_killed(server: Server) -> None:
    script = (
        "import sys, json, time\n"
        "from websockets.sync.client import connect\n"
        "ws = connect(sys.argv[1], proxy=None)\n"
        f"ws.send(json.dumps({{'type': 'hello', 'userId': {USER}, 'deviceId': 'd', 'platform': 'PC'}}))\n"
        "time.sleep(60)\n"
    )

    async def story() -> None:
        async with watched(server) as watcher:
            process = await asyncio.create_subprocess_exec(sys.executable, "-c", script, server.ws_url)
            await watcher.change_of(USER, "ONLINE", 60)
            process.kill()
            real, fair = await offline(watcher, Span(server))
            await process.wait()
            assert real >= GRACE - 0.1
            assert fair <= bounds(server)[0]

    asyncio.run(story())


def stop_answering(client: Client) -> None:
    client.connection.transport.pause_reading()


@pytest.mark.parametrize("die", [Client.vanish, stop_answering], ids=["a reset", "a client that answers no pings"])
def test_a_link_that_dies(server: Server, die: Callable[[Client], None]) -> None:
    async def story() -> None:
        async with watched(server) as watcher:
            client = await Client.hello(server, USER)
            await watcher.change_of(USER, "ONLINE")
            die(client)
            real, fair = await offline(watcher, Span(server))
            assert real >= GRACE - 0.1
            assert fair <= bounds(server)[0]
            client.vanish()

    asyncio.run(story())


def test_a_cable_that_is_pulled(server: Server) -> None:
    async def story() -> None:
        async with watched(server) as watcher, run_proxy(server.port) as proxy:
            client = await Client.hello(server, USER, url=proxy.ws_url)
            await watcher.change_of(USER, "ONLINE")
            proxy.faults.black_hole = True  # neither side is told
            _, fair = await offline(watcher, Span(server))
            assert fair <= bounds(server)[0]
            client.vanish()

    asyncio.run(story())


def test_a_client_that_dies_with_a_full_socket(server: Server) -> None:
    async def story() -> None:
        async with watched(server) as watcher:
            client = await Client.hello(server, USER)
            await watcher.change_of(USER, "ONLINE")
            client.connection.transport.pause_reading()
            for _ in range(40):  # far more than both socket buffers hold
                await client.send(type="query", userIds=list(range(1, 1001)))
            _, fair = await offline(watcher, Span(server))
            assert fair <= bounds(server)[0]
            client.vanish()

    asyncio.run(story())


def test_a_rest_device_without_heartbeats(server: Server) -> None:
    async def story() -> None:
        async with watched(server) as watcher:
            server.online(USER)
            began = Span(server)
            await watcher.change_of(USER, "ONLINE")
            for _ in range(4):
                await asyncio.sleep(0.4)
                assert server.post("/heartbeat", {"userId": USER, "deviceId": "rest"}).status == 200
                began = Span(server)
            real, fair = await offline(watcher, began)
            assert real >= 0.9
            assert fair <= bounds(server)[1]
            assert server.post("/heartbeat", {"userId": USER, "deviceId": "rest"}).status == 404

    asyncio.run(story())


@pytest.mark.parametrize("code", [1000, None])
def test_a_deliberate_end_is_told_at_once(server: Server, code: int | None) -> None:
    async def story() -> None:
        async with watched(server) as watcher:
            client = await Client.hello(server, USER)
            await watcher.change_of(USER, "ONLINE")
            began = Span(server)
            if code is None:
                client.connection.transport.write(b"\x88\x80\0\0\0\0")  # a close frame without a code
            else:
                await client.close(code)
            _, fair = await offline(watcher, began)
            assert fair < GRACE / 2
            client.vanish()

    asyncio.run(story())
