"""However a connection ends, nothing that it leaves waits for the garbage collector, and no traceback is logged.

The collector of the server is off. After each kind of end, some times over, it is run once, and must find nothing.
"""

from __future__ import annotations

import json
import signal
import socket
import struct
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from support import raw
from support.raw import BINARY, CLOSE, CONTINUATION, PING, TEXT, RawClient, frame, message, upgrade
from support.server import BASE, Server, run_server

HARNESS = Path(raw.__file__).with_name("collecting.py")
TIMES = 12
WAIT = 15
"""Seconds that a server on a busy machine takes to notice an end."""

HELLO = message(type="hello", userId=10001, deviceId="d", platform="WEB", watch=[1, 2, 3])


@pytest.fixture(scope="module", params=["", "permessage-deflate"], ids=["plain", "compressing"])
def server(request: pytest.FixtureRequest) -> Iterator[Server]:
    more = {"compression": "on"} if request.param else {}
    with run_server(
        (sys.executable, str(HARNESS)), is_measured=True, hello_timeout=1, ping_interval=2, pong_timeout=1, **more
    ) as running:
        garbage(running)
        yield running
        told = [line for line in running.log if '"level":"error"' in line or "Traceback" in line]
        assert not told, "a client's error is never our traceback"


def garbage(server: Server) -> Any:
    """What the collector finds now: the number of objects, and their types."""
    told = len(server.log)
    server.process.send_signal(signal.SIGUSR1)
    give_up = time.monotonic() + WAIT
    while time.monotonic() < give_up:
        for line in server.log[told:]:
            if '"unreachable"' in line:
                return json.loads(line)
        time.sleep(0.005)
    raise AssertionError("the server did not tell")


def post(path: str, body: str, *lines: str) -> bytes:
    head = (f"POST {BASE}{path} HTTP/1.1", "Host: localhost", "Content-Type: application/json", *lines)
    return "\r\n".join((*head, f"Content-Length: {len(body)}", "", body)).encode()


ONLINE = post("/online", '{"userId":5,"deviceId":"d","platform":"WEB"}')
STATUS = f"GET {BASE}/status/5 HTTP/1.1\r\nHost: localhost\r\n\r\n".encode()


def cursor(server: Server) -> str:
    told: str = server.post("/changes", {"userIds": [5]}).data["cursor"]
    return told


def poll(server: Server, wait: int) -> bytes:
    return post("/changes", json.dumps({"userIds": [5], "cursor": cursor(server), "waitMs": wait}))


def reset(client: RawClient) -> None:
    """The next close sends RST."""
    client.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def says(*pieces: bytes, hears: bool = True, resets: bool = False, half: bool = False) -> Callable[[Server], None]:
    """Somebody who sends this, hears something or not, and leaves: closed, reset, or with the writing side first."""

    def end(server: Server) -> None:
        with RawClient(server) as client:
            for piece in pieces:
                client.send(piece)
            if hears:
                client.socket.recv(65_536)
            if half:
                client.socket.shutdown(socket.SHUT_WR)
                client.ended()
            if resets:
                reset(client)

    return end


def upgraded(
    *pieces: bytes, close: bool = False, resets: bool = False, headers: Any = None
) -> Callable[[Server], None]:
    """A WebSocket that sends this; it waits for the server's close frame, or just leaves."""

    def end(server: Server) -> None:
        with RawClient(server) as client:
            client.send(upgrade(headers))
            client.reply()
            for piece in pieces:
                client.send(piece)
            if close:
                client.close_code()
                client.ended()
            elif pieces:
                client.socket.recv(65_536)
            if resets:
                reset(client)

    return end


def left_poll(server: Server) -> None:
    with RawClient(server) as client:
        client.send(poll(server, 20_000))
        time.sleep(0.02)


def broken_after_a_poll(server: Server) -> None:
    """A poll is under way when what follows it turns out to be no request."""
    says(poll(server, 1) + post("/online", "x", "Transfer-Encoding: chunked").replace(b"\r\n\r\nx", b"\r\n\r\nzz\r\n"))(
        server
    )


def replaced(server: Server) -> None:
    with RawClient.upgraded(server) as first, RawClient.upgraded(server) as second:
        for client in (first, second):
            client.send(HELLO)
            client.message()
        first.close_code()


def stops_reading(server: Server) -> None:
    with RawClient.upgraded(server, receive_buffer=2048) as client:
        client.send(HELLO)
        client.send(message(type="query", userIds=list(range(1, 900))) * 20)
        time.sleep(0.05)
        reset(client)


DEFLATE = {"Sec-WebSocket-Extensions": "permessage-deflate"}
ENDS: dict[str, Callable[[Server], None]] = {
    "nothing said": says(hears=False),
    "nothing said, reset": says(hears=False, resets=True),
    "an answer": says(STATUS),
    "an answer, half-closed": says(STATUS, half=True),
    "an answer, reset": says(STATUS, resets=True),
    "an answer that nobody waits for": says(STATUS, hears=False, resets=True),
    "a body": says(ONLINE),
    "a body that is wrong": says(post("/online", "{}")),
    "a body that is no JSON": says(post("/online", "{")),
    "an unknown path": says(b"GET /x HTTP/1.1\r\nHost: localhost\r\n\r\n"),
    "another host": says(b"GET / HTTP/1.1\r\nHost: evil.example\r\n\r\n"),
    "the page": says(b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n", half=True),
    "pipelined": says(STATUS * 50, half=True),
    "pipelined and left": says(STATUS * 50, hears=False, resets=True),
    "half a head": says(b"GET / HTTP/1.1\r\nHost: loc", hears=False),
    "half a head, half-closed": says(b"GET / HTTP/1.1\r\nHost: loc", hears=False, half=True),
    "half a body": says(ONLINE[:-5], hears=False),
    "half a body, reset": says(ONLINE[:-5], hears=False, resets=True),
    "no request": says(b"nonsense\r\n\r\n"),
    "CONNECT": says(b"CONNECT / HTTP/1.1\r\nHost: localhost\r\n\r\n"),
    "h2c": says(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n"),
    "a poll that is answered": lambda server: says(poll(server, 1))(server),
    "a poll that is left": left_poll,
    "a broken request after a poll": broken_after_a_poll,
    "a handshake alone": upgraded(),
    "a handshake that is refused": says(upgrade({"Sec-WebSocket-Version": "8"})),
    "a handshake elsewhere": says(upgrade(path="/elsewhere")),
    "half a handshake": says(upgrade()[:-4], hears=False),
    "dropped": upgraded(HELLO),
    "reset": upgraded(HELLO, resets=True),
    "a close frame": upgraded(HELLO, frame(CLOSE, b"\x03\xe8"), close=True),
    "a close frame without a code": upgraded(HELLO, frame(CLOSE, b""), close=True),
    "bye": upgraded(HELLO, message(type="bye"), close=True),
    "no hello": upgraded(message(type="ping"), close=True),
    "no JSON": upgraded(HELLO, frame(TEXT, b"{"), close=True),
    "no UTF-8": upgraded(HELLO, frame(TEXT, b"\xff"), close=True),
    "a binary frame": upgraded(HELLO, frame(BINARY, b"{}"), close=True),
    "a frame that the RFC forbids": upgraded(HELLO, frame(PING, b"x" * 126), close=True),
    "a fragment without a beginning": upgraded(HELLO, frame(CONTINUATION, b"x"), close=True),
    "too large a message": upgraded(HELLO, frame(TEXT, b"x" * 300_000), close=True),
    "half a message": upgraded(HELLO, frame(TEXT, b"x" * 9000)[:5000]),
    "fragments": upgraded(HELLO, frame(TEXT, b"{", head=0)),
    "a message of which a field is wrong": upgraded(HELLO, message(type="watch", userIds=["x"])),
    "pings": upgraded(HELLO, frame(PING, b"p") * 100),
    "who compresses": upgraded(HELLO, headers=DEFLATE),
    "who compresses, closed": upgraded(HELLO, frame(CLOSE, b""), close=True, headers=DEFLATE),
    "replaced": replaced,
    "who stops reading": stops_reading,
}


def connections_of(server: Server) -> float:
    return server.metric("presence_websocket_connections") + server.metric("presence_long_polls")


@pytest.mark.parametrize("kind", ENDS)
def test_nothing_is_left_to_the_collector(server: Server, kind: str) -> None:
    ENDS[kind](server)  # what is made once and kept is made now
    garbage(server)
    for _ in range(TIMES):
        ENDS[kind](server)
    give_up = time.monotonic() + WAIT
    while connections_of(server) and time.monotonic() < give_up:
        time.sleep(0.02)
    time.sleep(0.05)
    found = garbage(server)
    assert found["unreachable"] == 0, found["types"]
