"""The WebSocket handshake, byte by byte: who is let in, what the others are told, and that nothing is left of them."""

import json
import socket
import time
from collections.abc import Iterator

import pytest

from support.raw import BINARY, RawClient, frame, message, upgrade
from support.server import Server, run_server

HELLO = message(type="hello", observer=True)


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with run_server() as running:
        yield running
        assert not [line for line in running.log if '"level":"error"' in line]


@pytest.fixture(autouse=True)
def nothing_is_left(server: Server) -> Iterator[None]:
    yield
    give_up = time.monotonic() + 5
    while server.metric("presence_websocket_connections"):
        assert time.monotonic() < give_up, "a connection was never let go of"
        time.sleep(0.02)


def test_frames_in_the_same_segment_as_the_request_are_read(server: Server) -> None:
    with RawClient(server) as client:
        client.send(upgrade() + HELLO + message(type="ping", id=5))
        assert client.reply().status == 101
        assert client.message()["type"] == "welcome"
        assert client.message() == {"type": "pong", "id": 5}


def test_a_request_in_pieces(server: Server) -> None:
    with RawClient(server) as client:
        data = upgrade() + HELLO
        for piece in (data[:30], data[30:200], data[200:-5], data[-5:]):
            client.send(piece)
            time.sleep(0.02)
        assert client.reply().status == 101
        assert client.message()["type"] == "welcome"


def test_what_is_offered_in_several_headers_is_one_list(server: Server) -> None:
    offered = b"Sec-WebSocket-Protocol: graphql-ws\r\nSec-WebSocket-Protocol: presence.v1.msgpack, presence.v1.json\r\n"
    with RawClient(server) as client:
        client.send(upgrade(extra=offered))
        reply = client.reply()
        assert (reply.status, "presence.v1.msgpack" in reply.head) == (101, True)
        client.send(frame(BINARY, b"\x82\xa4type\xa5hello\xa8observer\xc3"))
        assert b"welcome" in client.frame()[1]


def test_extensions_are_not_taken_up(server: Server) -> None:
    with RawClient(server) as client:
        client.send(upgrade({"Sec-WebSocket-Extensions": "permessage-deflate; client_max_window_bits"}))
        reply = client.reply()
        assert (reply.status, "extensions" in reply.head.lower()) == (101, False)


ACCEPTED = {
    "a cookie of 20,000 bytes": upgrade(extra=b"Cookie: a=" + b"x" * 20_000 + b"\r\n"),
    "a query of 20,000 bytes": upgrade(path="/api/v1/presence/ws?" + "y" * 20_000),
    "ws:// in the target": upgrade(path="ws://localhost/api/v1/presence/ws"),
    "http:// in the target": upgrade(path="http://localhost:8004/api/v1/presence/ws?a=b"),
    "no subprotocol in the list": upgrade({"Sec-WebSocket-Protocol": ""}),
    "commas as subprotocols": upgrade({"Sec-WebSocket-Protocol": ", ,"}),
    "empty elements between subprotocols": upgrade({"Sec-WebSocket-Protocol": ",x,, presence.v1.json,"}),
    "no extension in the list": upgrade({"Sec-WebSocket-Extensions": ""}),
    "commas as extensions": upgrade({"Sec-WebSocket-Extensions": " , "}),
    "other letters": upgrade({"Upgrade": "WebSocket", "Connection": "keep-alive,UPGRADE"}),
    "300 headers": upgrade(extra=b"".join(b"X-%d: y\r\n" % number for number in range(300))),
    "another protocol beside": upgrade({"Upgrade": "h2c, WebSocket"}),
    "another protocol in a line of its own": upgrade(extra=b"Upgrade: h2c\r\n"),
    "escapes in the path": upgrade(path="/api/v1/presence/%77s"),
    "a host in the target, which goes before the header's": upgrade(
        {"Host": "other.example"}, path="ws://localhost/api/v1/presence/ws"
    ),
}


@pytest.mark.parametrize("case", ACCEPTED)
def test_what_the_standards_allow_is_let_in(server: Server, case: str) -> None:
    with RawClient(server) as client:
        client.send(ACCEPTED[case] + HELLO)
        assert client.reply().status == 101
        assert client.message()["type"] == "welcome"


def test_a_client_that_half_closes_is_still_answered(server: Server) -> None:
    with RawClient(server) as client:
        client.send(upgrade(extra=b"X: a,\r\n"))  # by the long way
        client.socket.shutdown(socket.SHUT_WR)
        assert client.reply().status == 101
        assert client.ended()


REFUSED = {
    "POST": (upgrade(method="POST"), 405),
    "POST with a body": (upgrade({"Content-Length": "5"}, method="POST") + b"hello", 400),
    "a body": (upgrade({"Content-Length": "5"}) + b"hello" + HELLO, 400),
    "a chunked body": (upgrade({"Transfer-Encoding": "chunked"}) + b"0\r\n\r\n" + HELLO, 400),
    "no key": (upgrade({"Sec-WebSocket-Key": None}), 400),
    "a key that is too short": (upgrade({"Sec-WebSocket-Key": "AAAA"}), 400),
    "two keys": (upgrade(extra=b"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n"), 400),
    "no version": (upgrade({"Sec-WebSocket-Version": None}), 400),
    "an old version": (upgrade({"Sec-WebSocket-Version": "8"}), 426),
    "two versions": (upgrade({"Sec-WebSocket-Version": "13, 8"}), 426),
    "no host": (upgrade({"Host": None}), 400),
    "two hosts": (upgrade(extra=b"Host: localhost\r\n"), 400),
    "a host that is none": (upgrade({"Host": "a b"}), 400),
    "1,100 headers": (upgrade(extra=b"".join(b"X-%d: y\r\n" % number for number in range(1100))), 431),
    "a header of 70,000 bytes": (upgrade(extra=b"X: " + b"y" * 70_000 + b"\r\n"), 431),
    "a path of 70,000 bytes": (upgrade(path="/api/v1/presence/ws?" + "y" * 70_000), 431),
    "subprotocols that are no list": (upgrade({"Sec-WebSocket-Protocol": "a b,,"}), 400),
    "another path": (upgrade(path="/api/v1/presence/online"), 404),
    "a foreign page": (upgrade({"Origin": "https://evil.example"}), 403),
    "a page in a sandbox": (upgrade({"Origin": "null"}), 403),
    "two pages at once": (upgrade(extra=b"Origin: http://localhost\r\nOrigin: http://localhost\r\n"), 403),
}


@pytest.mark.parametrize("case", REFUSED)
def test_a_refused_handshake(server: Server, case: str) -> None:
    request, status = REFUSED[case]
    with RawClient(server) as client:
        client.send(request)
        reply = client.reply()
        assert reply.status == reply.json["code"] == status
        assert reply.json["data"]["details"][0]["reason"]
        assert "allow: get" in reply.head.lower() or status != 405  # as RFC 9110 has it
        assert "sec-websocket-version: 13" in reply.head.lower() or status != 426  # RFC 6455 section 4.4
        assert client.ended()


def test_many_refused_handshakes_take_no_place(server: Server) -> None:
    for number in range(40):
        with RawClient(server) as client:
            client.send([upgrade({"Content-Length": "5"}), upgrade(path="/x"), upgrade()[:60]][number % 3])


def is_hung_up_on(client: RawClient, seconds: float) -> bool:
    """Whether what is sent meets a closed socket in time."""
    give_up = time.monotonic() + seconds
    try:
        while time.monotonic() < give_up:
            client.send(b"x" * 1000)
            time.sleep(0.05)
    except ConnectionError:
        return True
    return False


def test_a_refused_client_that_does_not_hang_up_is_hung_up_on(server: Server) -> None:
    with RawClient(server) as client:
        client.send(upgrade(path="/x"))
        assert client.reply().status == 404
        assert is_hung_up_on(client, 3)


def test_a_full_server_lets_in_again_when_one_has_left() -> None:
    with run_server(max_connections=2) as server:
        first, second = RawClient.observer(server), RawClient.upgraded(server)
        refused = RawClient(server)
        refused.send(upgrade())
        reply = refused.reply()
        assert (reply.status, json.loads(reply.body)["data"]["error"]) == (503, "unavailable")
        assert "retry-after" in reply.head.lower()
        refused.socket.close()
        second.socket.close()
        give_up = time.monotonic() + 5
        while server.request("GET", "//readyz").status != 200:
            assert time.monotonic() < give_up
        RawClient.observer(server).socket.close()
        first.socket.close()


def test_a_draining_server_lets_nobody_in() -> None:
    with run_server(drain_timeout=3) as server, RawClient.observer(server) as stays:
        server.terminate()
        assert stays.message()["type"] == "reconnect"
        with RawClient(server) as client:
            client.send(upgrade())
            reply = client.reply()
            assert (reply.status, reply.json["code"]) == (503, 503)
        stays.send(message(type="bye"))
        assert stays.close_code() == 1000
