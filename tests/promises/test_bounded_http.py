"""Promise 5 over HTTP, against many at once: what a bystander sees, and what is left when they are gone.

A bystander has a WebSocket that pings and asks a GET on a new connection, again and again. What it waits is counted in
the processor time that the server uses meanwhile: that is what the others cost it, and how busy the machine is with
other things does not matter.
"""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

import pytest

from support.raw import RawClient, message, upgrade
from support.rest import exchange, head, post
from support.server import SCRIPT, Server, run_server

MANY = 200

GET = head("GET", "status/1").encode()
CHUNKED = head("POST", "online", "Content-Type: application/json", "Transfer-Encoding: chunked").encode()


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with run_server(is_measured=True, header_timeout=3, body_timeout=3) as running:
        yield running
        assert not [line for line in running.log if '"level":"error"' in line or "Traceback" in line]


class Bystander:
    """Somebody who has done nothing."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self.client = RawClient.observer(server, seconds=30)

    def __enter__(self) -> Bystander:
        return self

    def __exit__(self, *_: object) -> None:
        self.client.socket.close()

    def look(self, rounds: int) -> list[float]:
        """Seconds that the server worked, for whomever, while each ping and each GET waited for its answer."""
        waits = []
        for number in range(rounds):
            began = self.server.worked()
            self.client.send(message(type="ping", id=number))
            assert self.client.message() == {"type": "pong", "id": number}
            waits.append(self.server.worked() - began)
            began = self.server.worked()
            assert exchange(self.server, head("GET", "status/1", "Connection: close"), "GET").status == 200
            waits.append(self.server.worked() - began)
        return waits


@contextmanager
def attackers(server: Server, deed: Callable[[socket.socket], None]) -> Iterator[None]:
    """Two hundred, of whom eight threads drive 25 each: they do `deed` again and again."""
    sockets = [socket.create_connection(("127.0.0.1", server.port)) for _ in range(MANY)]
    ended = threading.Event()

    def drive(own: list[socket.socket]) -> None:
        while not ended.is_set():
            for one in own:
                with suppress(OSError):
                    deed(one)
            time.sleep(0.002)  # the machine has few cores, and it is the server that is to be busy

    for one in sockets:
        one.setblocking(False)
    threads = [threading.Thread(target=drive, args=(sockets[at::8],)) for at in range(8)]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        ended.set()
        for thread in threads:
            thread.join()
        for one in sockets:
            one.close()


def pipeline(one: socket.socket) -> None:
    """As many requests as go in, and their answers read."""
    with suppress(BlockingIOError):
        one.send(GET * 200)
    with suppress(BlockingIOError):
        one.recv(1 << 20)


def unread(one: socket.socket) -> None:
    """As many requests as go in, and no answer read."""
    one.send(GET * 200)


def tiny_chunks(one: socket.socket) -> None:
    """A body of one-byte chunks, without end."""
    with suppress(BlockingIOError):
        one.send(CHUNKED + b"1\r\n \r\n" * 2000)
    with suppress(BlockingIOError):
        one.recv(1 << 16)


def halves(one: socket.socket) -> None:
    """The head of a request, a byte at a time."""
    one.send(b"G")


def garbage(one: socket.socket) -> None:
    one.send(b"\0\1\2\r\n\r\n")


@pytest.mark.parametrize("deed", [pipeline, unread, tiny_chunks, halves, garbage])
def test_two_hundred_delay_a_bystander_by_little_and_leave_nothing(
    server: Server, deed: Callable[[socket.socket], None]
) -> None:
    with Bystander(server) as bystander:
        bystander.look(5)
        before = server.resident_kb()
        with attackers(server, deed):
            time.sleep(0.3)
            waits = sorted(bystander.look(40))
            worst = server.resident_kb()
        assert waits[len(waits) // 2] < 0.05
        assert waits[len(waits) * 9 // 10] < 0.15  # the test itself may be late to see its answer
        # What they send ahead is bounded for each, by a read and what the kernel holds.
        assert worst - before < MANY * 350
        until(lambda: server.metric("presence_connections") <= 2)
        assert server.resident_kb() - before < 40_000


def test_a_pipeline_costs_what_its_bytes_do(server: Server) -> None:
    """Behind a long poll, whose client then leaves: what waited is let go of, and so is the poll."""
    cursor = server.post("/changes", {"userIds": [5]}).data["cursor"]
    body = json.dumps({"userIds": [5], "cursor": cursor, "waitMs": 30_000}).encode()

    def some(count: int, is_reset: bool) -> None:
        clients = [RawClient(server) for _ in range(count)]
        for client in clients:
            client.send(post("changes", body))
            client.socket.setblocking(False)
            with suppress(BlockingIOError):
                client.socket.send(GET * 3000)
        until(lambda: server.metric("presence_long_polls") == count)
        for client in clients:
            if is_reset:
                client.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
            client.socket.close()
        until(lambda: server.metric("presence_long_polls") == 0)

    some(20, True)
    before = server.resident_kb()
    for is_reset in (True, False, True):
        some(20, is_reset)
    assert server.resident_kb() - before < 6_000


@pytest.mark.parametrize("path", ["changes", "status/1", "online"])
def test_who_half_closes_is_answered_on_every_route(server: Server, path: str) -> None:
    bodies = {"changes": {"userIds": [8]}, "online": {"userId": 9, "deviceId": "d", "platform": "PC"}}
    if path == "changes":
        bodies["changes"] |= {"cursor": server.post("/changes", {"userIds": [8]}).data["cursor"], "waitMs": 20_000}
    request = post(path, json.dumps(bodies[path]).encode()) if path in bodies else GET
    with RawClient(server) as client:
        client.send(request * 2)
        client.socket.shutdown(socket.SHUT_WR)
        if path == "changes":
            server.online(8)  # it is told of what happens, as anybody
        assert client.reply().json["code"] == 200
        assert client.reply().json["code"] == 200
        assert client.ended()


def test_full_of_idle_connections_it_still_serves() -> None:
    with run_server(max_connections=20) as server:
        idle = [RawClient(server) for _ in range(60)]
        for client in idle:
            client.send(GET)
            assert client.reply().status == 200
        assert exchange(server, GET, "GET").status == 200
        with RawClient.observer(server) as watcher:
            watcher.send(message(type="ping", id=1))
            assert watcher.message()["type"] == "pong"
        assert idle[0].ended(), "the one that was idle longest has made room"
        assert server.metric("presence_connections") <= 21
        for client in idle:
            client.socket.close()


def test_a_full_server_says_so_to_whatever_comes_and_lets_in_when_there_is_room() -> None:
    with run_server(max_connections=3) as server:
        watchers = [RawClient.observer(server) for _ in range(3)]
        for request in (GET, upgrade(), post("online", b"{}"), head("GET", "/").encode()):
            with RawClient(server) as client:
                client.send(request)
                reply = client.reply()
                assert (reply.status, "retry-after" in reply.head.lower()) == (503, True)
                assert reply.json["data"]["error"] == "unavailable"
                assert client.ended()
        with RawClient(server) as silent:
            assert silent.reply().status == 503, "also who asks for nothing is told"
            assert silent.ended()
        assert server.get("//readyz").json == {"status": "full"}
        assert server.get("//healthz").status == 200
        watchers.pop().socket.close()
        until(lambda: server.get("//readyz").status == 200)
        assert server.get("/status/1").status == 200
        for watcher in watchers:
            watcher.socket.close()


def test_descriptors_near_their_end_reset_nobody() -> None:
    with run_server(("sh", "-c", 'ulimit -n 128; exec "$0" "$@"', str(SCRIPT))) as server:
        silent = [socket.create_connection(("127.0.0.1", server.port)) for _ in range(300)]
        answers = []
        for _ in range(5):
            with socket.create_connection(("127.0.0.1", server.port), timeout=30) as client:
                client.sendall(GET)
                answers.append(client.recv(65_536)[:12])
        assert set(answers) <= {b"HTTP/1.1 200", b"HTTP/1.1 503"}
        for one in silent:
            one.close()
        with Bystander(server) as bystander:
            bystander.look(5)


def until(holds: Callable[[], bool], seconds: float = 60) -> None:
    """Until it holds of the server, which is another process: there is no clock to pass in."""
    give_up = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < give_up, "it never came true"
        time.sleep(0.02)
