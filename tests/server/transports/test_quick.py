"""The quick way and the long way answer alike, whatever is asked; only the time that they take tells them apart."""

from __future__ import annotations

import http.client
import json
from collections.abc import Iterator
from typing import Any

import pytest

from support.server import BASE, Server, run_server

ANN, BOB, EVE = 501, 502, 503
LONG = {"Content-Type": 'application/json; charset="utf-8"'}
"""As good as the usual one, and spelt so that the endpoint is asked."""


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with run_server(min_publish_interval=0) as running:
        running.online(ANN)
        running.online(BOB)
        running.request("PUT", f"/status/{BOB}", {"status": "OFFLINE"})
        yield running
        assert not [line for line in running.log if '"level":"error"' in line]


def ask(server: Server, method: str, path: str, body: bytes, headers: dict[str, str]) -> tuple[int, Any, bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=10)
    try:
        connection.request(method, f"{BASE}{path}", body or None, headers)
        answer = connection.getresponse()
        told = sorted((name, value) for name, value in answer.getheaders() if name != "date")
        return answer.status, told, answer.read()
    finally:
        connection.close()


def of(*users: int, **more: Any) -> bytes:
    return json.dumps({"userIds": users, **more}).encode()


def beat(**body: Any) -> bytes:
    return json.dumps(body).encode()


CALLS = {
    "a heartbeat": ("POST", "/heartbeat", beat(userId=ANN, deviceId="rest")),
    "a heartbeat that says idle": ("POST", "/heartbeat", beat(userId=ANN, deviceId="rest", idle=False)),
    "a heartbeat of who is not online": ("POST", "/heartbeat", beat(userId=EVE, deviceId="rest")),
    "a heartbeat with another field": ("POST", "/heartbeat", beat(userId=ANN, deviceId="rest", more=1)),
    "a heartbeat without a user": ("POST", "/heartbeat", beat(deviceId="rest")),
    "a heartbeat that is no JSON": ("POST", "/heartbeat", b"{"),
    "an empty heartbeat": ("POST", "/heartbeat", b""),
    "a status": ("GET", f"/status/{ANN}", b""),
    "who is invisible": ("GET", f"/status/{BOB}", b""),
    "who was never heard of": ("GET", f"/status/{EVE}", b""),
    "the greatest id": ("GET", f"/status/{2**53 - 1}", b""),
    "an id too great": ("GET", f"/status/{2**53}", b""),
    "no id at all": ("GET", "/status/ann", b""),
    "0": ("GET", "/status/0", b""),
    "an id with zeros before it": ("GET", "/status/0501", b""),
    "digits of another script": ("GET", "/status/%D9%A5", b""),
    "a status with a query": ("GET", f"/status/{ANN}?a=1", b""),
    "many": ("POST", "/status/batch", of(BOB, ANN, EVE, ANN)),
    "nobody": ("POST", "/status/batch", of()),
    "many in detail": ("POST", "/status/batch", of(ANN, BOB, detail=True)),
    "many, not in detail": ("POST", "/status/batch", of(ANN, BOB, detail=False)),
    "a thousand": ("POST", "/status/batch", of(*range(1, 1001))),
    "too many": ("POST", "/status/batch", of(*range(1, 1002))),
    "one that is no id": ("POST", "/status/batch", of(ANN, -1)),
    "a body too large": ("POST", "/status/batch", of(ANN) + b" " * 300_000),
    "the wrong method": ("DELETE", "/heartbeat", b""),
}


@pytest.mark.parametrize("name", CALLS)
def test_both_ways_answer_alike(server: Server, name: str) -> None:
    method, path, body = CALLS[name]
    usual = {"Content-Type": "application/json"} if body else {}
    # A GET has no body to tell the type of: an allowed origin is as good a reason for the long way.
    quick = ask(server, method, path, body, usual)
    assert quick == ask(server, method, path, body, LONG)


@pytest.mark.parametrize("path", ["/heartbeat", "/status/batch"])
def test_a_body_that_comes_later_is_waited_for(server: Server, path: str) -> None:
    body = CALLS["a heartbeat" if path == "/heartbeat" else "many"][2]
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=10)
    connection.putrequest("POST", f"{BASE}{path}")
    connection.putheader("Content-Type", "application/json")
    connection.putheader("Content-Length", str(len(body)))
    connection.endheaders()
    for start in range(0, len(body), 7):
        connection.send(body[start : start + 7])
    assert connection.getresponse().status == 200
    connection.close()


def test_a_foreign_page_is_refused_as_ever(server: Server) -> None:
    status, _, _ = ask(server, *CALLS["a heartbeat"], {"Origin": "https://evil.example"})
    assert status == 403
