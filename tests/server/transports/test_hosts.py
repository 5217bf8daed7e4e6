"""A server on loopback answers to loopback hosts alone, and trusts nobody for whom a proxy speaks.

A page whose own name was made to point to 127.0.0.1 (DNS rebinding) is of the same origin as the server, and connects
from this machine: only the Host header tells.
"""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import Iterator

import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

from presence_server.transports.hosts import HostPolicy
from support.raw import upgrade
from support.server import BASE, Server, run_server

OURS = ["127.0.0.1", "127.0.0.1:8004", "127.9.9.9", "localhost", "LocalHost:9000", "[::1]", "[::1]:8004", "[0:0::1]"]
OTHERS = [
    "evil.example",
    "evil.example:8004",
    "127.0.0.1.evil.example",
    "localhost.evil.example",
    "10.0.0.1",
    "0.0.0.0",
    "[::]",
    "127.1",
    "2130706433",
    "127.0.0.1, evil.example",
    "user@localhost",
    "",
]


@pytest.mark.parametrize("host", OURS)
def test_loopback_may_be_named(host: str) -> None:
    assert HostPolicy((), bound_to_loopback=True).allows(host)


@pytest.mark.parametrize("host", OTHERS)
def test_nothing_else_may_be_named_where_only_loopback_is_listened_on(host: str) -> None:
    assert not HostPolicy((), bound_to_loopback=True).allows(host)
    assert not HostPolicy(("*",), bound_to_loopback=True).allows(host)
    assert HostPolicy((), bound_to_loopback=True, is_off=True).allows(host)


@pytest.mark.parametrize(
    ("host", "allowed"),
    [
        ("10.0.0.1", True),
        ("[2001:db8::1]:8004", True),
        ("localhost:8004", True),
        ("Chat.Example:80", True),
        ("evil.example", False),
        ("chat.example.evil.example", False),
        ("2130706433", False),
        ("", False),
    ],
)
def test_elsewhere_addresses_and_listed_names_may_be_named(host: str, allowed: bool) -> None:
    assert HostPolicy((), bound_to_loopback=False, listed=("chat.example",)).allows(host) is allowed


def test_the_host_of_a_listed_origin_may_be_named() -> None:
    policy = HostPolicy(("https://chat.example",), bound_to_loopback=True)
    assert policy.allows("chat.example")
    assert policy.allows("Chat.Example:8443")
    assert not policy.allows("evil.example")


def test_a_request_without_a_host_comes_from_no_browser() -> None:
    assert HostPolicy((), bound_to_loopback=True).allows(None)


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with run_server() as running:
        yield running


ROUTES = [
    ("GET", "//"),
    ("GET", "//healthz"),
    ("GET", "//openapi.json"),
    ("GET", "/status/10001"),
    ("POST", "/status/batch"),
    ("POST", "/heartbeat"),
    ("POST", "/online"),
    ("PUT", "/status/10001"),
    ("OPTIONS", "/online"),
    ("GET", "/nowhere"),
]


@pytest.mark.parametrize(("method", "path"), ROUTES)
def test_rest_answers_421_to_another_host(server: Server, method: str, path: str) -> None:
    body = {"userIds": [10001], "userId": 10001, "deviceId": "d", "platform": "WEB", "status": "BUSY"}
    headers = {"Host": "evil.example", "Origin": "http://evil.example"}
    answer = server.request(method, path, body if method in ("POST", "PUT") else None, headers)
    assert answer.status == 421
    assert (answer.json["code"], answer.json["message"]) == (421, "请求的主机不属于本服务")
    assert answer.data["error"] == "misdirected_request"
    assert answer.data["details"][0]["field"] == "Host"
    assert server.status_of(10001) == "OFFLINE"


def handshake(server: Server, **headers: str) -> bytes:
    """What a request to upgrade is answered with, head and body of a refusal included."""
    with socket.create_connection(("127.0.0.1", server.port), timeout=10) as connection:
        connection.sendall(upgrade({**headers}))
        answer = connection.recv(65_536)
        while not answer.startswith(b"HTTP/1.1 101") and (more := connection.recv(65_536)):
            answer += more
        return answer


@pytest.mark.parametrize("more", [{}, {"Origin": "http://evil.example"}, {"Sec-WebSocket-Extensions": "x"}])
def test_a_handshake_with_another_host_is_answered_421(server: Server, more: dict[str, str]) -> None:
    answer = handshake(server, Host="evil.example", **more)
    assert answer.startswith(b"HTTP/1.1 421 Misdirected Request\r\n")
    assert json.loads(answer.partition(b"\r\n\r\n")[2])["data"]["error"] == "misdirected_request"
    assert handshake(server, Host=f"localhost:{server.port}").startswith(b"HTTP/1.1 101 ")


FORWARDING = {
    "X-Forwarded-For": "203.0.113.7",
    "x-forwarded-for": "127.0.0.1",
    "Forwarded": "for=203.0.113.7",
    "X-Real-IP": "203.0.113.7",
    "Via": "1.1 proxy",
}


@pytest.mark.parametrize("name", FORWARDING)
@pytest.mark.parametrize("path", ["/heartbeat", "/online", "/offline"])
def test_rest_does_not_trust_whom_a_proxy_speaks_for(server: Server, path: str, name: str) -> None:
    body = {"userId": 10002, "deviceId": "d", "platform": "WEB"}
    answer = server.request("POST", path, body, {name: FORWARDING[name]})
    assert (answer.status, answer.data["error"]) == (401, "unauthenticated")
    assert server.request("GET", "/status/10002", None, {name: FORWARDING[name]}).status == 401
    assert server.request("POST", "/status/batch", {"userIds": [1]}, {name: FORWARDING[name]}).status == 401
    assert server.status_of(10002) == "OFFLINE"


@pytest.mark.parametrize("name", FORWARDING)
@pytest.mark.parametrize("path", [f"{BASE}/ws", f"{BASE}/ws?long=way"])
def test_a_websocket_does_not_trust_whom_a_proxy_speaks_for(server: Server, name: str, path: str) -> None:
    async def story() -> int | None:
        url = f"ws://127.0.0.1:{server.port}{path}"
        async with connect(url, additional_headers={name: FORWARDING[name]}, proxy=None) as connection:
            await connection.send('{"type":"hello","userId":10003,"deviceId":"d","platform":"WEB"}')
            with pytest.raises(ConnectionClosed):
                await connection.recv()
            return connection.close_code

    assert asyncio.run(story()) == 4401
