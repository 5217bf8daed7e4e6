"""What somebody who does nothing wrong sees while somebody else attacks, and what the server holds meanwhile."""

from __future__ import annotations

import json
import socket
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

from server.identity.keys import SECRET, sign
from support.raw import TEXT, RawClient, message, upgrade
from support.server import Server

OTHER_ADDRESS = "127.0.0.2"
"""Of the bystander; attackers come from 127.0.0.1."""

PAUSE = 0.02
MOST = 0.25
"""Seconds of a ping, at the 99th percentile, beside what the machine itself takes."""


def token(user_id: int, **claims: Any) -> str:
    now = time.time()
    return sign({"sub": str(user_id), "iat": now, "exp": now + 600} | claims)


def bearer(user_id: int, **claims: Any) -> dict[str, str]:
    return {"Authorization": f"Bearer {token(user_id, **claims)}"}


AUTH: dict[str, Any] = {"auth": "jwt", "jwt_key": SECRET}


def hello(user_id: int, **more: Any) -> bytes:
    return message(
        type="hello", userId=user_id, deviceId=more.pop("device", "d"), platform="WEB", token=token(user_id), **more
    )


class From(RawClient):
    """A raw client from an address of its own."""

    def __init__(self, server: Server, address: str = "127.0.0.1", seconds: float = 10) -> None:
        self.socket = socket.socket()
        self.socket.settimeout(seconds)
        self.socket.bind((address, 0))
        self.socket.connect(("127.0.0.1", server.port))
        self._read = b""

    def online(self, user_id: int, **more: Any) -> From:
        self.send(upgrade())
        assert self.reply().status == 101
        self.send(hello(user_id, **more))
        assert self.message()["type"] == "welcome"
        return self


def told(client: RawClient) -> tuple[list[Any], int]:
    """All messages until the server closes, and the code it closes with; 1006: it just ended."""
    messages = []
    with suppress(ConnectionError, TimeoutError):
        while True:
            opcode, payload = client.frame()
            if opcode == TEXT:
                messages.append(json.loads(payload))
            elif opcode == 8:
                return messages, int.from_bytes(payload[:2], "big")
    return messages, 1006


class Seen:
    """`pings`: seconds each, in the order of their length. Memory in kilobytes."""

    def __init__(self) -> None:
        self.pings: list[float] = []
        self.before = self.worst = self.after = 0

    @property
    def p99(self) -> float:
        return self.pings[int(len(self.pings) * 0.99)] if self.pings else 0.0

    def __str__(self) -> str:
        return f"p99 {self.p99 * 1000:.0f} ms of {len(self.pings)}; {self.before} -> {self.worst} -> {self.after} KB"


@contextmanager
def watching(server: Server, quiet: float = 0.5, *, token: bool = True) -> Iterator[Seen]:
    """A bystander pings while the block runs. At its end nobody may have waited long.

    `token`: whether the server asks for one.
    """
    with From(server, OTHER_ADDRESS) as client:
        client.send(upgrade())
        assert client.reply().status == 101
        who = {"userId": 999_999, "deviceId": "d", "platform": "WEB"}
        client.send(hello(999_999) if token else message(type="hello", **who))
        assert client.message()["type"] == "welcome"
        calm = Seen()
        _ping(client, calm, time.monotonic() + quiet)
        seen, is_over = Seen(), threading.Event()
        seen.before = seen.worst = server.resident_kb()

        def look() -> None:
            while not is_over.is_set():
                _ping(client, seen, time.monotonic() + 0.1)
                seen.worst = max(seen.worst, server.resident_kb())

        looking = threading.Thread(target=look)
        looking.start()
        try:
            yield seen
        finally:
            is_over.set()
            looking.join()
            seen.pings.sort()
            calm.pings.sort()
            seen.after = server.resident_kb()
        sys.stdout.write(f"bystander: {seen}; before: {calm.p99 * 1000:.0f} ms\n")
        assert seen.pings
        assert seen.p99 < MOST + 3 * calm.p99


def _ping(client: RawClient, seen: Seen, until: float) -> None:
    while True:
        began = time.monotonic()
        client.send(message(type="ping"))
        while client.message()["type"] != "pong":
            pass
        ended = time.monotonic()
        seen.pings.append(ended - began)
        if ended >= until:
            return
        time.sleep(PAUSE)
