"""The fault proxy does what it says, else the tests that stand on it prove nothing."""

import asyncio
import time
from contextlib import suppress

import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from support.proxy import FaultProxy, run_proxy
from support.server import Server, run_server

HELLO = '{"type":"hello","userId":1,"deviceId":"d","platform":"WEB"}'


@pytest.fixture(scope="module")
def server():  # type: ignore[no-untyped-def]
    with run_server(ping_interval=0.3, pong_timeout=0.3, grace_period=0.3) as running:
        yield running


async def welcomed(proxy: FaultProxy) -> ClientConnection:
    connection = await connect(proxy.ws_url, proxy=None, ping_interval=None)
    await connection.send(HELLO)
    assert "welcome" in str(await connection.recv())
    return connection


async def ends_with(connection: ClientConnection, seconds: float = 5) -> int:
    with suppress(ConnectionClosed):
        async with asyncio.timeout(seconds):
            while True:
                await connection.recv()
    code = connection.close_code
    return 1006 if code is None else code


def test_a_cut_and_a_code_of_its_own(server: Server) -> None:
    async def story() -> None:
        async with run_proxy(server.port) as proxy:
            cut = await welcomed(proxy)
            proxy.cut()
            assert await ends_with(cut) == 1006
            closed = await welcomed(proxy)
            proxy.close_with(4508, "too slow")
            assert await ends_with(closed) == 4508

    asyncio.run(story())


def test_swallowed_pongs_end_the_connection(server: Server) -> None:
    async def story() -> None:
        async with run_proxy(server.port) as proxy:
            connection = await welcomed(proxy)
            await asyncio.sleep(1)
            await (await connection.ping())  # alive so far
            proxy.faults.swallow_pongs = True
            assert await ends_with(connection) == 1006

    asyncio.run(story())


def test_refused_upgrades_and_a_trickle(server: Server) -> None:
    async def story() -> None:
        async with run_proxy(server.port) as proxy:
            proxy.faults.refuse_upgrades, proxy.faults.retry_after = 503, 7
            with pytest.raises(InvalidStatus) as refused:
                await welcomed(proxy)
            assert refused.value.response.headers["Retry-After"] == "7"
            proxy.faults.refuse_upgrades = 0
            proxy.faults.trickle = 0.001
            began = time.monotonic()
            connection = await welcomed(proxy)
            assert time.monotonic() - began > 0.2
            await connection.close()

    asyncio.run(story())


def test_half_open_and_half_closed(server: Server) -> None:
    async def story() -> None:
        async with run_proxy(server.port) as proxy:
            connection = await welcomed(proxy)
            proxy.half_close()
            assert await ends_with(connection) == 1006
            silent = await welcomed(proxy)
            proxy.faults.black_hole = True
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.5):
                    await silent.recv()
            silent.transport.abort()

    asyncio.run(story())
