"""Promise 5, bounded: a slow or hostile client costs a bounded amount of memory and CPU, and nobody else any delay."""

import asyncio
import socket
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, suppress
from itertools import count

import pytest

from support.client import Client, vanish
from support.server import Server, run_server

LATE = 1.0
"""Seconds within which everybody else must be told; generous, since the machine is shared."""

fresh_users = count(10_000)

HANDSHAKE = (
    b"GET /api/v1/presence/ws HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Version: 13\r\n\r\n"
)
MASK = b"\0\0\0\0"  # masking with zeros leaves the payload as it is
HELLO = b'{"type":"hello","observer":true}'


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with run_server(hello_timeout=1, max_lag=2, ping_interval=30, min_publish_interval=0) as running:
        yield running


def frame(opcode: int, payload: bytes, fin: bool = True) -> bytes:
    size = len(payload)
    head = bytes((opcode | (0x80 if fin else 0),))
    if size < 126:
        return head + bytes((0x80 | size,)) + MASK + payload
    if size < 65_536:
        return head + b"\xfe" + size.to_bytes(2, "big") + MASK + payload
    return head + b"\xff" + size.to_bytes(8, "big") + MASK + payload


async def raw(server: Server, *, hello: bool = True) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """A WebSocket by hand, that can do what no client would."""
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    writer.write(HANDSHAKE)
    await reader.readuntil(b"\r\n\r\n")
    if hello:
        writer.write(frame(1, HELLO))
        await reader.readuntil(b"}}")
    return reader, writer


async def close_code(reader: asyncio.StreamReader, seconds: float = 5) -> int:
    """The code of the close frame with which the stream ends; 1006 if it ends without."""
    async with asyncio.timeout(seconds):
        data = b""
        with suppress(ConnectionError):
            while piece := await reader.read(65_536):
                data = (data + piece)[-200:]
    start = data.rfind(b"\x88")
    return int.from_bytes(data[start + 2 : start + 4], "big") if start >= 0 else 1006


@asynccontextmanager
async def undisturbed(server: Server) -> AsyncIterator[None]:
    """While the block runs, a user changes and their watcher is told in time; after it, nothing is left behind."""
    user_id = next(fresh_users)
    watcher = await Client.observe(server, [user_id])
    await watcher.receive("snapshot")
    client = await Client.hello(server, user_id)
    await watcher.change_of(user_id, "ONLINE")
    worst = 0.0

    async def change() -> None:
        nonlocal worst
        for number in range(10_000):
            began = time.monotonic()
            await client.send(type="status", status="BUSY", statusText=str(number))
            await watcher.receive("diff", 30)
            worst = max(worst, time.monotonic() - began)
            await asyncio.sleep(0.02)

    changing = asyncio.create_task(change())
    try:
        yield
    finally:
        changing.cancel()
    assert worst < LATE
    await vanish(watcher, client)
    await left_alone(server)


async def until(condition: Callable[[], bool], seconds: float = 8) -> None:
    """Until `condition` holds of the server, which is another process: there is no clock to pass in."""
    give_up = time.monotonic() + seconds
    for _ in count():
        if condition():
            return
        assert time.monotonic() < give_up, "it never came true"
        await asyncio.sleep(0.02)


async def left_alone(server: Server) -> None:
    """Until no connection is left, and with it nothing that any of them cost."""
    names = ("gateway_connections", "hub_sessions", "hub_behind", "interest_edges", "interest_watchers")
    await until(lambda: not any(server.metric(f"presence_{name}") for name in names))


def run(server: Server, attack: Callable[[Server], object]) -> None:
    async def story() -> None:
        async with undisturbed(server):
            await attack(server)  # type: ignore[misc]

    asyncio.run(story())


def test_a_client_that_stops_reading_is_dropped_after_max_lag(server: Server) -> None:
    async def attack(server: Server) -> None:
        reader, writer = await raw(server)
        writer.transport.pause_reading()  # type: ignore[attr-defined]
        for _ in range(40):
            writer.write(frame(1, b'{"type":"query","userIds":[%b]}' % b",".join(b"%d" % n for n in range(1, 1001))))
        began = time.monotonic()
        await until(lambda: server.metric("presence_hub_behind") == 1)
        await until(lambda: server.metric("presence_hub_behind") == 0)
        assert 1.8 < time.monotonic() - began < 5
        writer.transport.abort()
        with suppress(ConnectionError):
            await reader.read()

    run(server, attack)


def test_a_flood_of_pings_whose_pongs_nobody_reads(server: Server) -> None:
    async def attack(server: Server) -> None:
        before = server.resident_kb()
        _, writer = await raw(server)
        writer.transport.pause_reading()  # type: ignore[attr-defined]
        flood = frame(9, b"x" * 100) * 1000
        with suppress(TimeoutError, ConnectionError):
            async with asyncio.timeout(1.5):
                while True:
                    writer.write(flood)
                    await writer.drain()  # stalls once the server has stopped reading
        assert server.resident_kb() - before < 8_000
        writer.transport.abort()

    run(server, attack)


def test_fifty_thousand_messages_in_one_write(server: Server) -> None:
    async def attack(server: Server) -> None:
        reader, writer = await raw(server)
        writer.write(frame(1, b'{"type":"ping"}') * 50_000)
        received = 0
        async with asyncio.timeout(20):
            while received < 50_000:
                received += (await reader.read(65_536)).count(b'"pong"')
        writer.transport.abort()

    run(server, attack)


def test_ten_megabytes_in_one_frame_are_refused_although_the_client_is_still_sending(server: Server) -> None:
    async def attack(server: Server) -> None:
        reader, writer = await raw(server)
        writer.write(frame(1, b"x" * 10_000_000))
        assert await close_code(reader) in (1009, 4413)
        writer.close()

    run(server, attack)


@pytest.mark.parametrize("payload", [b"", b"x", b"x" * 10_000], ids=["empty", "small", "large"])
def test_fragments_without_end(server: Server, payload: bytes) -> None:
    async def attack(server: Server) -> None:
        before = server.resident_kb()
        reader, writer = await raw(server)
        writer.write(frame(1, b"", fin=False))
        with suppress(ConnectionError):
            for _ in range(60):
                writer.write(frame(0, payload, fin=False) * 1000)
                await writer.drain()
        if len(payload) > 1000:
            assert await close_code(reader) in (1009, 4413, 1006)
        assert server.resident_kb() - before < 8_000
        writer.transport.abort()

    run(server, attack)


@pytest.mark.parametrize("stage", ["http", "hello", "message"])
def test_one_byte_at_a_time(server: Server, stage: str) -> None:
    """Before the hello the time for it runs out; after it, it is merely slow."""

    async def attack(server: Server) -> None:
        if stage == "http":
            reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
            data = HANDSHAKE
        else:
            reader, writer = await raw(server, hello=stage == "message")
            data = frame(1, HELLO if stage == "hello" else b'{"type":"ping","id":1}')
        with suppress(ConnectionError):
            for position in range(10 if stage == "http" else len(data)):
                writer.write(data[position : position + 1])
                await asyncio.sleep(0.04)
        if stage == "message":
            assert b"pong" in await asyncio.wait_for(reader.read(100), 5)
        elif stage == "hello":
            assert await close_code(reader) == 4504
        else:
            assert b"HTTP/1.1 408" in await asyncio.wait_for(reader.read(), 5)
        writer.close()

    run(server, attack)


def test_opening_and_closing_in_a_loop_leaves_nothing(server: Server) -> None:
    async def cycle(server: Server, times: int) -> None:
        for number in range(times):
            reader, writer = await raw(server, hello=False)
            if number % 3:
                hello = b'{"type":"hello","userId":%d,"deviceId":"d","platform":"WEB","watch":[1,2,3]}' % (
                    number % 50 + 100
                )
                writer.write(frame(1, hello))
                if number % 2:
                    await reader.read(1)
            sock = writer.get_extra_info("socket")
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")  # RST, not FIN
            writer.transport.abort()

    async def story() -> None:
        await cycle(server, 300)
        await left_alone(server)
        before = server.resident_kb()
        async with undisturbed(server):
            await asyncio.gather(*(cycle(server, 500) for _ in range(4)))
        assert server.resident_kb() - before < 4_000

    asyncio.run(story())


def test_what_slow_watchers_cost_does_not_grow_with_what_they_miss(server: Server) -> None:
    """Twenty watchers stop reading while 200 users change again and again."""

    async def story() -> None:
        users = list(range(1000, 1200))
        people = [await Client.hello(server, user_id) for user_id in users]
        readers = [asyncio.create_task(read_all(client)) for client in people]
        slow = [await Client.observe(server, users) for _ in range(20)]
        for client in slow:
            client.connection.transport.pause_reading()
            for _ in range(6):
                await client.send(type="query", userIds=list(range(1, 1001)))
        await until(lambda: server.metric("presence_hub_behind") == 20)
        before = server.resident_kb()
        for turn in range(10):
            for client in people:
                await client.send(type="status", status="BUSY", statusText=f"{turn} " + "x" * 100)
            await asyncio.sleep(0.05)
        assert server.resident_kb() - before < 3_000
        for reader in readers:
            reader.cancel()
        await vanish(*people, *slow)
        await left_alone(server)

    asyncio.run(story())


async def read_all(client: Client) -> None:
    while True:
        await client.next()
