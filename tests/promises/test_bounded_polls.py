"""Promise 5, of long polls: however many wait, each has one copy of its ids, and gives it back."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Callable

from support.server import BASE, Server, run_server

POLLS = 60
IDS = list(range(2**50, 2**50 + 5_000))
BYTES_AN_ID = 36
"""Its edge is 16, the list of watchers of each user keeps as much in reserve; copies were 75 and more."""


def until(condition: Callable[[], bool], seconds: float = 60) -> None:
    """Until `condition` holds of the server, which is another process: there is no clock to pass in."""
    give_up = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < give_up, "it never came true"
        time.sleep(0.02)


def poll(server: Server, cursor: str) -> socket.socket:
    body = json.dumps({"userIds": IDS, "cursor": cursor, "waitMs": 60_000}).encode()
    head = f"POST {BASE}/changes HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
    asking = socket.create_connection(("127.0.0.1", server.port))
    asking.sendall(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)
    return asking


def test_polls_that_wait_have_one_copy_of_their_ids() -> None:
    with run_server(is_measured=True) as server:
        cursor = server.post("/changes", {"userIds": IDS}).data["cursor"]
        waiting: list[socket.socket] = []
        try:
            waiting += [poll(server, cursor) for _ in range(5)]
            until(lambda: server.metric("presence_long_polls") == 5)
            before = server.resident_kb()
            waiting += [poll(server, cursor) for _ in range(POLLS)]
            until(lambda: server.metric("presence_long_polls") == 5 + POLLS)
            held = (server.resident_kb() - before) * 1024
        finally:
            for asking in waiting:
                asking.close()
        assert held / POLLS / len(IDS) < BYTES_AN_ID
        until(lambda: server.metric("presence_long_polls") == 0)
        assert server.metric("presence_watches") == 0
        assert server.get(f"/status/{IDS[0]}").status == 200
