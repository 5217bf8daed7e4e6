"""Promise 5, bounded: a slow or hostile client costs a bounded amount of memory and CPU, and nobody else any delay."""

import asyncio
import socket
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, suppress
from itertools import count

import pytest

from support.client import Client, vanish
from support.raw import CONTINUATION, PING, TEXT, RawClient, frame, upgrade
from support.server import Server, Servers, Span

LATE = 0.5
"""Seconds that the server may work, for whomever, until somebody else is told. How busy the machine is with other
things does not count."""

WAIT = 60.0
"""Seconds after which what must happen does not happen any more; a machine may be busy."""

fresh_users = count(10_000)

HELLO = b'{"type":"hello","observer":true}'


@pytest.fixture(scope="module")
def servers() -> Iterator[Servers]:
    servers = Servers(is_measured=True, hello_timeout=1, max_lag=2, ping_interval=30, min_publish_interval=0)
    try:
        yield servers
    finally:
        servers.close()


@pytest.fixture
def server(servers: Servers) -> Iterator[Server]:
    with servers.one(is_clean) as running:
        yield running


async def raw(server: Server, *, hello: bool = True) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """A WebSocket by hand, that can do what no client would."""
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    writer.write(upgrade())
    await reader.readuntil(b"\r\n\r\n")
    if hello:
        writer.write(frame(TEXT, HELLO))
        size = (await reader.readexactly(2))[1]
        await reader.readexactly(int.from_bytes(await reader.readexactly(2), "big") if size == 126 else size)
    return reader, writer


async def close_code(reader: asyncio.StreamReader, seconds: float = WAIT) -> int:
    """The code of the close frame with which the stream ends; 1006 if it ends without."""
    async with asyncio.timeout(seconds):
        data = b""
        with suppress(ConnectionError):
            while piece := await reader.read(65_536):
                data = (data + piece)[-200:]
    start = data.rfind(b"\x88")
    return int.from_bytes(data[start + 2 : start + 4], "big") if start >= 0 else 1006


@asynccontextmanager
async def undisturbed(server: Server, late: float = LATE) -> AsyncIterator[None]:
    """While the block runs, a user changes and their watcher is told in time; after it, nothing is left behind."""
    user_id = next(fresh_users)
    watcher = await Client.observe(server, [user_id])
    await watcher.receive("snapshot")
    client = await Client.hello(server, user_id)
    await watcher.change_of(user_id, "ONLINE")
    costs: list[float] = []

    async def change() -> None:
        for number in range(10_000):
            began = server.worked()
            await client.send(type="status", status="BUSY", statusText=str(number))
            await watcher.receive("diff", WAIT)
            costs.append(server.worked() - began)
            await asyncio.sleep(0.02)

    changing = asyncio.create_task(change())
    try:
        yield
        await until(lambda: costs or changing.done())
    finally:
        changing.cancel()
        await asyncio.gather(changing, return_exceptions=True)
        await vanish(watcher, client)
    assert max(costs) < late
    await left_alone(server)


async def until(condition: Callable[[], object], seconds: float = WAIT) -> None:
    """Until `condition` holds of the server, which is another process: there is no clock to pass in."""
    give_up = time.monotonic() + seconds
    for _ in count():
        if condition():
            return
        assert time.monotonic() < give_up, "it never came true"
        await asyncio.sleep(0.02)


def is_clean(server: Server) -> bool:
    """Whether it has no connection, and nothing that any of them cost."""
    names = ("websocket_connections", "websocket_sessions", "slow_sessions", "watches", "watchers")
    return not any(server.metric(f"presence_{name}") for name in names)


async def left_alone(server: Server) -> None:
    """Until no connection is left, and with it nothing that any of them cost."""
    await until(lambda: is_clean(server))


def run(server: Server, attack: Callable[[Server], object], late: float = LATE) -> None:
    async def story() -> None:
        async with undisturbed(server, late):
            await attack(server)  # type: ignore[misc]

    asyncio.run(story())


def test_a_client_that_stops_reading_is_dropped_after_max_lag(server: Server) -> None:
    async def attack(server: Server) -> None:
        reader, writer = await raw(server)
        writer.transport.pause_reading()  # type: ignore[attr-defined]
        for _ in range(40):
            writer.write(frame(TEXT, b'{"type":"query","userIds":[%b]}' % b",".join(b"%d" % n for n in range(1, 1001))))
        began = Span(server)
        await until(lambda: server.metric("presence_slow_sessions") == 1)
        await until(lambda: server.metric("presence_slow_sessions") == 0)
        assert began.real > 1.8
        assert began.fair < 5
        writer.transport.abort()
        with suppress(ConnectionError):
            await reader.read()

    run(server, attack)


def test_a_flood_of_pings_whose_pongs_nobody_reads(server: Server) -> None:
    async def attack(server: Server) -> None:
        before = server.resident_kb()
        _, writer = await raw(server)
        writer.transport.pause_reading()  # type: ignore[attr-defined]
        flood = frame(PING, b"x" * 100) * 1000
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
        writer.write(frame(TEXT, b'{"type":"ping"}') * 50_000)
        received = 0
        async with asyncio.timeout(WAIT):
            while received < 50_000:
                received += (await reader.read(65_536)).count(b'"pong"')
        writer.transport.abort()

    run(server, attack)


def test_ten_megabytes_in_one_frame_are_refused_although_the_client_is_still_sending(server: Server) -> None:
    async def attack(server: Server) -> None:
        reader, writer = await raw(server)
        writer.write(frame(TEXT, b"x" * 10_000_000))
        assert await close_code(reader) in (1009, 4413)
        writer.close()

    run(server, attack)


@pytest.mark.parametrize("payload", [b"", b"x", b"x" * 10_000], ids=["empty", "small", "large"])
def test_fragments_without_end(server: Server, payload: bytes) -> None:
    async def attack(server: Server) -> None:
        before = server.resident_kb()
        reader, writer = await raw(server)
        writer.write(frame(TEXT, b"", head=0))
        with suppress(ConnectionError):
            for _ in range(60):
                writer.write(frame(CONTINUATION, payload, head=0) * 1000)
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
            data = upgrade()
        else:
            reader, writer = await raw(server, hello=stage == "message")
            data = frame(TEXT, HELLO if stage == "hello" else b'{"type":"ping","id":1}')
        with suppress(ConnectionError):
            for position in range(10 if stage == "http" else len(data)):
                writer.write(data[position : position + 1])
                await asyncio.sleep(0.04)
        if stage == "message":
            assert b"pong" in await asyncio.wait_for(reader.read(100), WAIT)
        elif stage == "hello":
            assert await close_code(reader) == 4504
        else:
            assert b"HTTP/1.1 408" in await asyncio.wait_for(reader.read(), WAIT)
        writer.close()

    run(server, attack)


def test_messages_that_lack_a_byte_cost_what_their_bytes_do(server: Server) -> None:
    """Four clients stop one byte short of the greatest message, having sent it in fragments of two bytes."""

    async def attack(server: Server) -> None:
        before = server.resident_kb()
        fragments = frame(TEXT, b"xx", head=0) + frame(CONTINUATION, b"xx", head=0) * (262_140 // 2)
        attackers = [await raw(server) for _ in range(4)]
        for _, writer in attackers:
            writer.write(fragments + frame(PING, b"") * 2)
        for reader, _ in attackers:
            async with asyncio.timeout(3 * WAIT):  # half a million frames
                await reader.readexactly(4)  # its pongs: all before them was read
        assert server.resident_kb() - before < 4 * 600
        for _, writer in attackers:
            writer.transport.abort()

    run(server, attack)


DEAR = {
    "a query": b'{"type":"query","userIds":[%b]}' % b",".join(b"%d" % n for n in range(1, 1001)),
    "a watch": b'{"type":"watch","userIds":[%b]}' % b",".join(b"%d" % n for n in range(1, 5001)),
    "nonsense": b'{"type":"query","userIds":[%b]}' % b",".join([b"0"] * 80_000),
    "a long word": b'{"type":"query","userIds":["%b"]}' % (rb"\u0041" * 40_000),
}


@pytest.mark.parametrize("message", DEAR)
def test_who_keeps_the_server_busy_delays_nobody_by_more_than_a_turn(server: Server, message: str) -> None:
    """Two clients send what is dear to answer as fast as they can, and read the answers."""

    async def attack(server: Server) -> None:
        attackers = [RawClient.observer(server) for _ in range(2)]
        for attacker in attackers:
            attacker.socket.settimeout(None)  # before two threads use it
        deeds = [(flood, attacker, frame(TEXT, DEAR[message]) * 5) for attacker in attackers]
        threads = [asyncio.create_task(asyncio.to_thread(*deed)) for deed in deeds]
        threads += [asyncio.create_task(asyncio.to_thread(attacker.ended)) for attacker in attackers]
        try:
            await asyncio.sleep(1.5)
        finally:
            for attacker in attackers:
                attacker.socket.shutdown(socket.SHUT_RDWR)
            await asyncio.gather(*threads)
            for attacker in attackers:
                attacker.socket.close()

    run(server, attack, late=0.3)  # it would be about a second if a turn had no end


def flood(attacker: RawClient, data: bytes) -> None:
    with suppress(OSError):
        while True:
            attacker.send(data)


def test_who_half_closes_with_a_full_socket_is_let_go_of(server: Server) -> None:
    """Watchers with a tiny window that read nothing are sent diffs, and say only that they will send no more."""

    async def story() -> None:
        users = list(range(2000, 2200))
        people = [await Client.hello(server, user_id) for user_id in users]
        readers = [asyncio.create_task(read_all(client)) for client in people]
        slow = [RawClient.observer(server, users, receive_buffer=4096) for _ in range(5)]
        for turn in count():
            for client in people:
                await client.send(type="status", status="BUSY", statusText=f"{turn} " + "x" * 130)
            if server.metric("presence_slow_sessions") == 5:
                break
        for half in slow:
            half.socket.shutdown(socket.SHUT_WR)
        await until(lambda: server.metric("presence_websocket_connections") == len(people))
        for reader in readers:
            reader.cancel()
        for half in slow:
            half.socket.close()
        await vanish(*people)
        await left_alone(server)

    asyncio.run(story())


def test_opening_and_closing_in_a_loop_leaves_nothing(server: Server) -> None:
    async def cycle(server: Server, times: int) -> None:
        for number in range(times):
            reader, writer = await raw(server, hello=False)
            if number % 3:
                hello = b'{"type":"hello","userId":%d,"deviceId":"d","platform":"WEB","watch":[1,2,3]}' % (
                    number % 50 + 100
                )
                writer.write(frame(TEXT, hello))
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
        await until(lambda: server.metric("presence_slow_sessions") == 20)
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
