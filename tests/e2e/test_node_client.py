"""Node's `ws` as a client: a second implementation of WebSocket that nobody here wrote."""

from __future__ import annotations

import base64
import json
import queue
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgpack
import pytest

from support.server import Server, run_server

PEER = Path(__file__).parents[1] / "node" / "peer.mjs"
WAIT = 10.0
"""Seconds within which what is expected has to come."""

GRACE = 0.5

Event = dict[str, Any]


class Peer:
    """One Node process with one WebSocket at a time, in JSON unless it opened another subprotocol."""

    def __init__(self, process: subprocess.Popen[str], server: Server) -> None:
        self._process = process
        self._server = server
        self._events: queue.Queue[Event] = queue.Queue()
        self._codec = "json"
        self.extensions = ""
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self._events.put(json.loads(line))

    def do(self, what: str, **arguments: Any) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps({"do": what, **arguments}) + "\n")
        self._process.stdin.flush()

    def wait_for(self, fits: Callable[[Event], bool]) -> Event:
        """The next event that fits; what comes before it is dropped."""
        while True:
            event = self._events.get(timeout=WAIT)
            if fits(event):
                return event

    def event(self, name: str) -> Event:
        return self.wait_for(lambda event: event["event"] == name)

    # -- as a presence client ----------------------------------------------------------------------------------------

    def open(self, codec: str = "json") -> None:
        self._codec = codec
        self.do("open", url=self._server.ws_url, protocols=[f"presence.v1.{codec}"])
        opened = self.event("open")
        assert opened["protocol"] == f"presence.v1.{codec}"
        self.extensions = opened["extensions"]

    def send(self, **message: Any) -> None:
        if self._codec == "msgpack":
            self.do("sendHex", hex=msgpack.packb(message).hex())
        else:
            self.do("send", text=json.dumps(message))

    def receive(self, type_: str, **fields: Any) -> dict[str, Any]:
        """The next message of this type with these fields."""
        while True:
            event = self.event("message")
            assert event["binary"] is (self._codec == "msgpack")
            data = event["data"]
            message = msgpack.unpackb(base64.b64decode(data)) if event["binary"] else json.loads(data)
            if message["type"] == type_ and fields.items() <= message.items():
                return dict(message)

    def hello(self, user_id: int, codec: str = "json", **more: Any) -> dict[str, Any]:
        self.open(codec)
        self.send(type="hello", userId=user_id, deviceId="node", platform="PC", **more)
        return self.receive("welcome")

    def closed(self) -> int:
        code: int = self.event("close")["code"]
        return code


@contextmanager
def node(server: Server) -> Iterator[Peer]:
    process = subprocess.Popen(["node", str(PEER)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        yield Peer(process, server)
    finally:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.close()
        try:
            process.wait(WAIT)
        finally:
            process.kill()
            process.wait()
            process.stdout.close()


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with run_server(grace_period=GRACE, ping_interval=1, pong_timeout=1, max_devices=2, max_message=4096) as server:
        yield server


@pytest.fixture
def peer(server: Server) -> Iterator[Peer]:
    with node(server) as peer:
        yield peer


@pytest.mark.parametrize("codec", ["json", "msgpack"])
def test_hello_watch_diff(server: Server, peer: Peer, codec: str) -> None:
    user, watched, later = (100, 101, 102) if codec == "json" else (110, 111, 112)
    welcome = peer.hello(user, codec, id=1, watch=[watched])
    assert welcome["id"] == 1
    assert (welcome["continued"], welcome["resumed"]) == (False, False)
    assert welcome["self"]["devices"][0]["deviceId"] == "node"
    snapshot = peer.receive("snapshot")
    assert [entry["status"] for entry in snapshot["statuses"]] == ["OFFLINE"]

    server.online(watched, platform="IOS")
    (entry,) = peer.receive("diff")["changes"]
    assert (entry["userId"], entry["status"], entry["platforms"]) == (watched, "ONLINE", ["IOS"])

    peer.send(type="watch", id=2, userIds=[later])
    assert peer.receive("snapshot", id=2)["statuses"][0]["userId"] == later
    peer.send(type="status", id=3, status="BUSY", statusText="在开会")
    peer.receive("ok", id=3)
    shown = server.post("/status/batch", {"userIds": [user], "detail": True}).data[0]
    assert (shown["status"], shown["platforms"], shown["statusText"]) == ("BUSY", ["PC"], "在开会")
    peer.send(type="ping", id=4)
    peer.receive("pong", id=4)


def test_it_comes_back_within_grace_and_is_told_only_what_changed(server: Server, peer: Peer) -> None:
    server.online(202)
    peer.hello(200, watch=[201, 202])
    cursor = peer.receive("snapshot")["cursor"]
    peer.do("terminate")
    assert peer.closed() == 1006
    server.online(201)

    welcome = peer.hello(200, watch=[201, 202], cursor=cursor)
    assert (welcome["continued"], welcome["resumed"]) == (True, True)
    snapshot = peer.receive("snapshot")
    assert [(entry["userId"], entry["status"]) for entry in snapshot["statuses"]] == [(201, "ONLINE")]


def test_a_foreign_cursor_gets_everything(server: Server, peer: Peer) -> None:
    welcome = peer.hello(210, watch=[211, 212], cursor="2f9c11d0a4.1f3")
    assert welcome["resumed"] is False
    assert [entry["userId"] for entry in peer.receive("snapshot")["statuses"]] == [211, 212]


def test_ws_answers_the_servers_pings_and_lives(server: Server, peer: Peer) -> None:
    peer.hello(220)
    for _ in range(3):  # 1 s apart: longer than a ping and its timeout
        peer.event("ping")
    assert server.status_of(220) == "ONLINE"
    peer.do("ping")
    peer.event("pong")


def test_the_device_ends_at_once_with_bye(server: Server, peer: Peer) -> None:
    peer.hello(230)
    peer.send(type="bye")
    assert peer.closed() == 1000
    assert server.status_of(230) == "OFFLINE"


@pytest.mark.parametrize(("code", "status"), [(1000, "OFFLINE"), (None, "OFFLINE"), (1001, "ONLINE"), (3000, "ONLINE")])
def test_how_it_closes_decides_between_the_end_and_grace(
    server: Server, peer: Peer, code: int | None, status: str
) -> None:
    user = 240 + (code or 0)
    peer.hello(user)
    peer.do("close", code=code)
    # `ws` reports the code that the server echoed, or 1005 if neither side gave one.
    assert peer.closed() == (code or 1005)
    assert server.status_of(user) == status


def test_close_code_4400_what_is_no_message(peer: Peer) -> None:
    peer.hello(250)
    peer.do("send", text='{"type":')
    assert peer.closed() == 4400


def test_close_code_4400_the_wrong_kind_of_frame(peer: Peer) -> None:
    peer.hello(251)
    peer.do("sendHex", hex=msgpack.packb({"type": "ping"}).hex())
    assert peer.closed() == 4400


def test_close_code_4409_a_newer_connection_of_the_device(server: Server, peer: Peer) -> None:
    peer.hello(252)
    with node(server) as newer:
        assert newer.hello(252)["continued"] is True
        assert peer.closed() == 4409
        assert server.status_of(252) == "ONLINE"


def test_close_code_4410_ended_by_the_back_end(server: Server, peer: Peer) -> None:
    peer.hello(253)
    server.post("/offline", {"userId": 253, "deviceId": "node"})
    assert peer.closed() == 4410


def test_close_code_4411_too_many_devices(server: Server, peer: Peer) -> None:
    peer.hello(254)
    server.online(254, "second")
    server.online(254, "third")
    assert peer.closed() == 4411


def test_a_message_over_the_limit_gets_its_close_code(peer: Peer) -> None:
    peer.hello(255)
    peer.do("send", text=json.dumps({"type": "ping", "x": "x" * 100_000}))
    assert peer.closed() in (1009, 4413)


def test_an_error_is_an_answer_and_no_end(peer: Peer) -> None:
    peer.hello(256)
    peer.send(type="dance", id=7)
    assert peer.receive("error", id=7)["error"] == "unknown_type"
    peer.send(type="ping", id=8)
    peer.receive("pong", id=8)


def test_only_unknown_subprotocols_are_refused_with_400(server: Server, peer: Peer) -> None:
    peer.do("open", url=server.ws_url, protocols=["presence.v9.json"])
    refused = peer.event("refused")
    assert refused["status"] == 400
    assert json.loads(refused["body"])["data"]["error"] == "invalid_request"


def test_a_foreign_page_is_refused_with_403(server: Server, peer: Peer) -> None:
    peer.do("open", url=server.ws_url, headers={"Origin": "https://elsewhere.example"})
    assert peer.event("refused")["status"] == 403


def test_without_a_subprotocol_it_is_json(server: Server, peer: Peer) -> None:
    peer.do("open", url=server.ws_url)
    assert peer.event("open")["protocol"] == ""
    peer.send(type="hello", observer=True)
    assert peer.receive("welcome")["self"] is None


@pytest.mark.parametrize("codec", ["json", "msgpack"])
def test_long_messages_are_compressed_if_the_server_is_set_to(codec: str) -> None:
    users = list(range(1, 501))
    with run_server(compression="on") as server, node(server) as peer:
        peer.hello(301, codec, watch=users)
        assert "permessage-deflate" in peer.extensions
        assert len(peer.receive("snapshot")["statuses"]) == 500
        peer.send(type="query", userIds=users, id=1)  # long enough for `ws` to compress it
        assert len(peer.receive("statuses", id=1)["statuses"]) == 500
        peer.send(type="status", status="BUSY", id=2)
        peer.receive("ok", id=2)


def test_nothing_is_compressed_by_default(peer: Peer) -> None:
    peer.open()
    assert peer.extensions == ""
