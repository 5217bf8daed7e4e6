"""One HTTP connection without a socket: what is read when, what it is given time for, and what is left of it."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Awaitable, Callable
from random import Random
from typing import Any

import pytest
from uvicorn.server import ServerState

from presence_server.app import build_gateway
from presence_server.settings import Settings
from presence_server.transports.http.connection import LINGER, HttpConnection
from presence_server.transports.http.reading import LEAVING, MAX_AHEAD
from support.transport import StoppedClock

GET = b"GET / HTTP/1.1\r\nHost: h\r\n\r\n"
OK = b"HTTP/1.1 200 OK\r\n"


class Transport(asyncio.Transport):
    """Keeps what is written. `untaken`: bytes that the client has not read."""

    def __init__(self) -> None:
        super().__init__()
        self.written = b""
        self.untaken = 0
        self.is_reading = True
        self.state = "open"

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return ("127.0.0.1", 1) if name in ("peername", "sockname") else None

    def write(self, data: Any) -> None:
        assert self.state == "open"
        self.written += data

    def get_write_buffer_size(self) -> int:
        return self.untaken

    def pause_reading(self) -> None:
        assert self.is_reading
        self.is_reading = False

    def resume_reading(self) -> None:
        assert not self.is_reading
        self.is_reading = True

    def can_write_eof(self) -> bool:
        return True

    def write_eof(self) -> None:
        self.state = "half-closed"

    def close(self) -> None:
        self.state = "closed"

    def abort(self) -> None:
        if self.state != "closed":  # which a real one would have come to by now
            self.state = "aborted"


class Http:
    """A connection of a server of its own, whose application answers when it is told to."""

    def __init__(self, **settings: Any) -> None:
        self.clock = StoppedClock()
        self.gateway = build_gateway(Settings(**settings), self.clock, Random(1), 10)
        self.asked: list[str] = []
        self.bodies: list[bytes] = []
        self.answers = asyncio.Semaphore(1000)
        self.state = ServerState()
        self.transport = Transport()
        self.connection = self._connect(self.transport)

    def _connect(self, transport: Transport) -> HttpConnection:
        place = self.gateway.http.books.arrive(self, self.clock.now())
        connection = HttpConnection(self.gateway.http, self._app, self.state, place)
        place.holder = connection
        connection.connection_made(transport)
        return connection

    def give_way(self) -> None: ...

    async def _app(self, scope: Any, receive: Any, send: Any) -> None:
        self.asked.append(scope["path"])
        body, more = b"", True
        while more and scope["path"] != "/early":
            message = await receive()
            if message["type"] == "http.disconnect":
                return
            body, more = body + message["body"], message["more_body"]
        self.bodies.append(body)
        waits = asyncio.ensure_future(self.answers.acquire())
        gone = asyncio.ensure_future(receive())
        try:
            await asyncio.wait((waits, gone), return_when=asyncio.FIRST_COMPLETED)
        finally:
            waits.cancel()
            gone.cancel()
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
        await send({"type": "http.response.body", "body": b"ok"})

    async def receive(self, data: bytes) -> None:
        self.connection.data_received(data)
        await self.settle()

    async def settle(self) -> None:
        for _ in range(100):
            await asyncio.sleep(0)

    async def wait(self, seconds: float) -> None:
        """Let time pass, in steps of a sweep."""
        ends_at = self.clock.time + seconds
        while self.clock.time < ends_at:
            self.clock.time = min(ends_at, self.clock.time + 0.1)
            for timeout in self.gateway.driver._timeouts.pop_due(self.clock.time):
                timeout()
        await self.settle()

    @property
    def statuses(self) -> list[int]:
        return [int(part[:3]) for part in self.transport.written.split(b"HTTP/1.1 ")[1:]]


class Hurrying(StoppedClock):
    """Goes on by 3 ms each time that it is asked."""

    def now(self) -> float:
        self.time += 0.003
        return self.time


def story(tell: Callable[[Http], Awaitable[None]], **settings: Any) -> None:
    async def run() -> None:
        await tell(Http(**settings))

    asyncio.run(run())


def test_requests_that_come_at_once_are_served_one_after_the_other() -> None:
    async def tell(http: Http) -> None:
        http.answers = asyncio.Semaphore(0)
        await http.receive(GET + GET.replace(b"/ ", b"/two ") + GET.replace(b"/ ", b"/three "))
        for number in range(1, 4):
            assert http.asked == ["/", "/two", "/three"][:number]
            assert len(http.statuses) == number - 1
            http.answers.release()
            await http.settle()
        assert http.statuses == [200] * 3

    story(tell)


BODIES = {
    "of a length": b"Content-Length: 5\r\n\r\nhello",
    "in chunks": b"Transfer-Encoding: chunked\r\n\r\n3;x=y\r\nhel\r\n2\r\nlo\r\n0\r\nX: y\r\n\r\n",
}
UPGRADES = {
    "none": b"",
    "h2c": b"Connection: Upgrade\r\nUpgrade: h2c\r\n",
    "by the proxy's header": b"Proxy-Connection: upgrade\r\nUpgrade: h2c\r\n",
}


@pytest.mark.parametrize("size", [1, 7, 1000])
@pytest.mark.parametrize("body", BODIES)
@pytest.mark.parametrize("upgrade", UPGRADES)
def test_however_a_stream_is_cut_it_is_the_same_requests(size: int, body: str, upgrade: str) -> None:
    async def tell(http: Http) -> None:
        stream = (b"\r\nPOST /a HTTP/1.1\r\nHost: h\r\n" + UPGRADES[upgrade] + BODIES[body] + GET) * 3
        for at in range(0, len(stream), size):
            await http.receive(stream[at : at + size])
        assert http.asked == ["/a", "/"] * 3
        assert http.bodies == [b"hello", b""] * 3
        assert http.statuses == [200] * 6

    story(tell)


def test_what_is_sent_ahead_is_bounded_and_read_on_afterwards() -> None:
    async def tell(http: Http) -> None:
        http.answers = asyncio.Semaphore(0)
        await http.receive(GET + GET * 10)
        assert http.transport.is_reading
        await http.receive(GET * (MAX_AHEAD // len(GET)))
        assert not http.transport.is_reading
        assert len(http.asked) == 1
        for _ in range(1000):
            http.answers.release()
        await asyncio.sleep(0.2)
        assert http.transport.is_reading
        assert set(http.statuses) == {200}

    story(tell)


def test_a_broken_second_request_leaves_the_first_its_answer() -> None:
    for broken in (b"\0garbage\r\n\r\n", b"GET / HTTP/1.1\r\n\r\n", b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n"):

        async def tell(http: Http, broken: bytes = broken) -> None:
            http.answers = asyncio.Semaphore(0)
            await http.receive(GET + broken)
            assert http.statuses == []
            http.answers.release()
            await http.settle()
            assert http.statuses[0] == 200
            assert http.statuses[1:] in ([], [400])
            assert http.transport.state == "half-closed"
            await http.wait(LINGER + 0.2)
            assert http.transport.state == "aborted"

        story(tell)


def test_a_body_that_is_broken_after_its_answer_gets_no_second_one() -> None:
    async def tell(http: Http) -> None:
        await http.receive(GET.replace(b"GET / ", b"POST /early ")[:-2] + b"Transfer-Encoding: chunked\r\n\r\n1\r\n")
        assert http.statuses == [200]
        await http.receive(b"xxxx")
        assert http.statuses == [200]
        assert http.transport.state == "half-closed"

    story(tell)


def test_each_thing_has_its_time() -> None:
    async def head(http: Http) -> None:
        await http.receive(GET[:5])
        await http.wait(1.9)
        assert http.transport.state == "open"
        await http.receive(GET[5:9])
        await http.wait(0.3)
        assert (http.statuses, http.transport.state) == ([408], "half-closed")

    async def nothing(http: Http) -> None:
        await http.wait(2.2)
        assert (http.statuses, http.transport.state) == ([], "closed")

    async def body(http: Http) -> None:
        await http.receive(GET.replace(b"GET", b"POST")[:-2] + b"Content-Length: 5\r\n\r\nhe")
        await http.wait(2.9)
        assert http.transport.state == "open"
        await http.receive(b"l")
        await http.wait(0.3)
        assert (http.statuses, http.transport.state) == ([408], "half-closed")

    async def body_after_its_answer(http: Http) -> None:
        await http.receive(GET.replace(b"GET / ", b"POST /early ")[:-2] + b"Content-Length: 5\r\n\r\nhe")
        assert http.statuses == [200]
        await http.wait(3.3)
        assert (http.statuses, http.transport.state) == ([200], "half-closed")

    async def the_next_head(http: Http) -> None:
        await http.receive(GET)
        await http.wait(3)
        await http.receive(GET[:5])
        await http.wait(2.3)
        assert (http.statuses, http.transport.state) == ([200, 408], "half-closed")

    async def between_requests(http: Http) -> None:
        for _ in range(3):
            await http.receive(GET)
            await http.wait(3.9)
        await http.wait(0.3)
        assert (http.statuses, http.transport.state) == ([200] * 3, "closed")

    async def the_application(http: Http) -> None:
        http.answers = asyncio.Semaphore(0)
        await http.receive(GET)
        await http.wait(100)
        http.answers.release()
        await http.settle()
        assert (http.statuses, http.transport.state) == ([200], "open")

    for tell in (head, nothing, body, body_after_its_answer, the_next_head, between_requests, the_application):
        story(tell, header_timeout=2, body_timeout=3, keep_alive_timeout=4)


def test_an_answer_that_nobody_takes_is_given_up() -> None:
    async def tell(http: Http) -> None:
        await http.receive(GET)
        http.transport.untaken = 100_000
        await http.wait(4.5)
        assert http.transport.state == "open"
        await http.wait(6)
        assert http.transport.state == "aborted"

    story(tell, answer_timeout=10, keep_alive_timeout=3)


def test_an_answer_that_is_taken_slowly_is_not_given_up() -> None:
    async def tell(http: Http) -> None:
        await http.receive(GET)
        for untaken in range(10, 0, -1):
            http.transport.untaken = untaken * 1000
            await http.wait(5)
            assert http.transport.state == "open"
        http.transport.untaken = 0
        await http.wait(12)
        assert http.transport.state == "closed"  # as any that is idle

    story(tell, answer_timeout=10, keep_alive_timeout=3)


def test_who_takes_no_answers_is_not_served_further() -> None:
    async def tell(http: Http) -> None:
        http.connection.pause_writing()
        await http.receive(GET * 5)
        assert http.asked == []
        http.connection.resume_writing()
        await http.settle()
        assert http.statuses == [200] * 5

    story(tell)


def test_who_half_closes_is_answered_all_that_it_has_asked() -> None:
    async def tell(http: Http) -> None:
        http.answers = asyncio.Semaphore(0)
        await http.receive(GET * 3)
        assert http.connection.eof_received()
        for _ in range(3):
            http.answers.release()
        await http.settle()
        assert http.statuses == [200] * 3
        assert http.transport.written.count(b"connection: close") == 1
        assert http.transport.state == "closed"

    story(tell)


def test_who_half_closes_while_waiting_is_answered_soon() -> None:
    async def tell(http: Http) -> None:
        http.answers = asyncio.Semaphore(0)
        await http.receive(GET)
        assert http.connection.eof_received()
        await http.wait(LEAVING - 0.2)
        assert http.statuses == []
        await http.wait(0.5)
        assert (http.statuses, http.transport.state) == ([200], "closed")

    story(tell)


def test_chunks_of_a_byte_take_turns_with_others() -> None:
    async def tell(http: Http) -> None:
        http.clock = http.gateway.http.clock = Hurrying()
        head = GET.replace(b"GET", b"POST")[:-2] + b"Transfer-Encoding: chunked\r\n\r\n"
        http.connection.data_received(head + b"1\r\nx\r\n" * 20_000)
        assert not http.transport.is_reading
        await asyncio.sleep(0.2)
        await http.receive(b"0\r\n\r\n")
        await http.settle()
        assert http.bodies == [b"x" * 20_000]

    story(tell)


ENDS: dict[str, list[bytes]] = {
    "answered": [GET],
    "behind": [GET * 5],
    "half a head": [GET[:9]],
    "half a body": [GET.replace(b"GET", b"POST")[:-2] + b"Content-Length: 5\r\n\r\nhe"],
    "garbage": [b"\0\r\n\r\n"],
    "refused": [GET[:-2] + b"Host: again\r\n\r\n"],
    "another upgrade": [GET[:-2] + b"Connection: Upgrade\r\nUpgrade: h2c\r\n\r\n"],
    "no chunks": [GET.replace(b"GET", b"POST")[:-2] + b"Transfer-Encoding: chunked\r\n\r\nx"],
}


@pytest.mark.parametrize("waits", [False, True])
@pytest.mark.parametrize("end", ENDS)
def test_nothing_that_a_connection_leaves_waits_for_the_collector(end: str, waits: bool) -> None:
    async def run() -> None:
        http = Http()
        if waits:
            http.answers = asyncio.Semaphore(0)

        async def one() -> None:
            transport = Transport()
            connection = http._connect(transport)
            for data in ENDS[end]:
                connection.data_received(data)
            await http.settle()
            connection.connection_lost(None)
            await http.settle()

        await one()
        gc.collect()
        gc.disable()
        try:
            for _ in range(10):
                await one()
            assert gc.collect() == 0
        finally:
            gc.enable()
        assert http.gateway.http.books.open == 1
        assert not http.state.tasks

    asyncio.run(run())
