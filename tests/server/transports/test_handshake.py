"""The usual handshake against the full one: it lets nobody in whom that would not, and says the same."""

from __future__ import annotations

from random import Random
from typing import Any

import httptools
import pytest
from hypothesis import given
from hypothesis import strategies as st

from presence_server.app import build_gateway
from presence_server.settings import Settings
from presence_server.transports.websocket.handshake import LONGEST, Handshake, shake_hands, usual
from presence_server.transports.websocket.websockets import WebSockets
from support.raw import message, upgrade
from support.transport import StoppedClock

CHROME = {
    "Host": "127.0.0.1:8004",
    "Connection": "Upgrade",
    "Pragma": "no-cache",
    "User-Agent": "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/130.0.0.0",
    "Upgrade": "websocket",
    "Origin": "http://127.0.0.1:8004",
    "Sec-WebSocket-Version": "13",
    "Accept-Encoding": "gzip, deflate, br, zstd",
    "Accept-Language": "zh-CN,zh;q=0.9,en;q=0.8",
    "Cookie": "a=b; c=d",
    "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
    "Sec-WebSocket-Extensions": "permessage-deflate; client_max_window_bits",
    "Sec-WebSocket-Protocol": "presence.v1.msgpack, presence.v1.json",
}
FIREFOX = CHROME | {"Connection": "keep-alive, Upgrade", "Sec-Fetch-Mode": "websocket"}
PLAIN = {
    "Host": "localhost",
    "Upgrade": "websocket",
    "Connection": "Upgrade",
    "Sec-WebSocket-Key": "AAAAAAAAAAAAAAAAAAAAAA==",
    "Sec-WebSocket-Version": "13",
}


def gateway(limit: int = 10, **settings: Any) -> WebSockets:
    return build_gateway(Settings(**settings), StoppedClock(), Random(1), limit).websockets


def request(headers: dict[str, str], line: str = "GET /api/v1/presence/ws HTTP/1.1", end: bytes = b"") -> bytes:
    return "".join([line, "\r\n", *(f"{name}: {value}\r\n" for name, value in headers.items()), "\r\n"]).encode() + end


def in_full(data: bytes, house: WebSockets) -> Handshake:
    """The answer of the long way, which the connection's HTTP parser leads to."""
    read = Read(data)
    return shake_hands(read.method, read.url, "1.1", read.headers, house)


def undated(answer: bytes) -> bytes:
    return b"\r\n".join(line for line in answer.split(b"\r\n") if not line.startswith(b"Date:"))


@pytest.mark.parametrize("headers", [CHROME, FIREFOX, PLAIN, PLAIN | {"Authorization": "Bearer x"}])
def test_what_browsers_and_libraries_send_is_answered_as_in_full(headers: dict[str, str]) -> None:
    house = gateway()
    found = usual(request(headers), house)
    assert found is not None
    full = in_full(request(headers), house)
    assert found == (full._replace(answer=undated(full.answer)), b"")
    assert found[0].is_accepted


def test_the_sample_of_the_rfc() -> None:
    """RFC 6455 section 1.3."""
    found = usual(request(CHROME), gateway())
    assert found is not None
    assert b"\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n" in found[0].answer


def test_what_follows_the_request_is_handed_on() -> None:
    found = usual(request(PLAIN, end=message(type="ping") + b"\r\n\r\n"), gateway())
    assert found is not None
    assert found[1] == message(type="ping") + b"\r\n\r\n"


UNUSUAL = {
    "cut short": request(PLAIN)[:-1],
    "another method": request(PLAIN, "POST /api/v1/presence/ws HTTP/1.1"),
    "another path": request(PLAIN, "GET /api/v1/presence/wsx HTTP/1.1"),
    "a query": request(PLAIN, "GET /api/v1/presence/ws?a=b HTTP/1.1"),
    "another version": request(PLAIN, "GET /api/v1/presence/ws HTTP/1.0"),
    "two keys": upgrade(extra=b"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n"),
    "two keys in other letters": upgrade(extra=b"SEC-WEBSOCKET-KEY: AAAAAAAAAAAAAAAAAAAAAA==\r\n"),
    "a short key": request(PLAIN | {"Sec-WebSocket-Key": "AAAA"}),
    "a key of 17 bytes": request(PLAIN | {"Sec-WebSocket-Key": "AAAAAAAAAAAAAAAAAAAAAAA="}),
    "another version of the protocol": request(PLAIN | {"Sec-WebSocket-Version": "8"}),
    "a body": request(PLAIN | {"Content-Length": "5"}),
    "a chunked body": request(PLAIN | {"Transfer-Encoding": "chunked"}),
    "a folded header": upgrade(extra=b"X: a\r\n b\r\n"),
    "a bare line feed": upgrade(extra=b"X: a\nY: b\r\n"),
    "a header that is no token": upgrade(extra=b"X Y: a\r\n"),
    "bytes that are no ASCII": upgrade(extra="X: é\r\n".encode()),
    "an unknown subprotocol": request(PLAIN | {"Sec-WebSocket-Protocol": "graphql-ws"}),
    "a subprotocol that is no token": request(PLAIN | {"Sec-WebSocket-Protocol": "presence.v1.json, a b"}),
    "a host that is not ours": request(PLAIN | {"Host": "evil.example:8004"}),
    "a foreign page": request(PLAIN | {"Origin": "https://evil.example"}),
    "no host": request({name: value for name, value in PLAIN.items() if name != "Host"}),
    "a host that is none": request(PLAIN | {"Host": "a b"}),
    "another upgrade": request(PLAIN | {"Upgrade": "h2c"}),
    "no upgrade": request(PLAIN | {"Connection": "keep-alive"}),
    "a long head": request(PLAIN | {"X": "y" * LONGEST}),
    "many headers": request(PLAIN | {f"X-{number}": "y" for number in range(100)}),
}


@pytest.mark.parametrize("case", UNUSUAL)
def test_whatever_is_unusual_is_left_to_the_others(case: str) -> None:
    assert usual(UNUSUAL[case], gateway()) is None


def test_who_may_not_come_in_is_left_to_the_others_who_say_why() -> None:
    draining = gateway()
    draining.hub.drain(1)
    assert usual(request(PLAIN), draining) is None
    assert usual(request(CHROME), gateway(compression=True)) is None  # it is offered, and has to be agreed on


PIECES = st.sampled_from(
    [" ", "\t", "\r\n", "\n", "\r", ":", ",", ", ", "\0", "\x7f", "é", "=", "==", "A", "Upgrade", "websocket", "close"]
    + [f"{name}: {value}\r\n" for name, value in CHROME.items()]
    + ["Content-Length: 3\r\n", "Transfer-Encoding: chunked\r\n", "Expect: 100-continue\r\n", "Host:\r\n", "X:y\r\n"]
)


@st.composite
def damaged(draw: st.DrawFn) -> bytes:
    """A request of a browser in which something was cut out or put in, here and there."""
    text = request(draw(st.sampled_from([CHROME, FIREFOX, PLAIN]))).decode()
    for _ in range(draw(st.integers(0, 3))):
        start = draw(st.integers(0, len(text)))
        text = text[:start] + draw(PIECES | st.just("")) + text[start + draw(st.integers(0, 12)) :]
    return text.encode()


class Read:
    """What the HTTP parser makes of a request. `upgrades` is None while it is not whole."""

    upgrades: bool | None = None

    def __init__(self, data: bytes) -> None:
        self.url = self.method = b""
        self.headers: list[tuple[bytes, bytes]] = []
        parser = httptools.HttpRequestParser(self)
        self._parser = parser
        try:
            parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            self.upgrades = True
        except httptools.HttpParserError:
            self.upgrades = False
        self.method = parser.get_method()

    def on_url(self, url: bytes) -> None:
        self.url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        self.headers.append((name.lower(), value))


@given(damaged())
def test_it_lets_nobody_in_whom_the_parsers_would_not(data: bytes) -> None:
    house = gateway()
    found = usual(data, house)
    if found is not None:
        handshake, rest = found
        head = data[: len(data) - len(rest)]
        full = in_full(head, house)
        assert handshake == full._replace(answer=undated(full.answer))
        assert Read(head).upgrades
