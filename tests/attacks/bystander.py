"""What somebody who does nothing wrong sees while somebody else attacks, and what the server holds meanwhile."""

from __future__ import annotations

import json
import socket
import subprocess
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
"""Seconds of a ping, at the 99th percentile, beside what the machine itself takes: an echo is asked as often."""

ECHO = """
import socket
listener = socket.create_server(("127.0.0.1", 0))
print(listener.getsockname()[1], flush=True)
client, _ = listener.accept()
while got := client.recv(64):
    client.sendall(got)
"""


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
    """`pings`: seconds each; `echoes`: of the process that only echoes, meanwhile. Memory in kilobytes."""

    def __init__(self) -> None:
        self.pings: list[float] = []
        self.echoes: list[float] = []
        self.before = self.worst = self.after = 0

    @property
    def p99(self) -> float:
        return _p99(self.pings)

    @property
    def of_the_machine(self) -> float:
        return _p99(self.echoes)

    def __str__(self) -> str:
        return f"p99 {self.p99 * 1000:.0f} ms of {len(self.pings)}; {self.before} -> {self.worst} -> {self.after} KB"


def _p99(seconds: list[float]) -> float:
    return sorted(seconds)[int(len(seconds) * 0.99)] if seconds else 0.0


@contextmanager
def _echo() -> Iterator[socket.socket]:
    with subprocess.Popen([sys.executable, "-S", "-c", ECHO], stdout=subprocess.PIPE) as process:
        try:
            assert process.stdout is not None
            with socket.create_connection(("127.0.0.1", int(process.stdout.readline())), 10) as client:
                yield client
        finally:
            process.kill()


@contextmanager
def watching(server: Server, quiet: float = 0.5, *, token: bool = True) -> Iterator[Seen]:
    """A bystander pings while the block runs. At its end nobody may have waited long.

    `token`: whether the server asks for one.
    """
    with _echo() as echo, From(server, OTHER_ADDRESS) as client:
        client.send(upgrade())
        assert client.reply().status == 101
        who = {"userId": 999_999, "deviceId": "d", "platform": "WEB"}
        client.send(hello(999_999) if token else message(type="hello", **who))
        assert client.message()["type"] == "welcome"
        calm = Seen()
        _ping(client, echo, calm, time.monotonic() + quiet)
        seen, is_over = Seen(), threading.Event()
        seen.before = seen.worst = server.resident_kb()

        def look() -> None:
            while not is_over.is_set():
                _ping(client, echo, seen, time.monotonic() + 0.1)
                seen.worst = max(seen.worst, server.resident_kb())

        looking = threading.Thread(target=look)
        looking.start()
        try:
            yield seen
        finally:
            is_over.set()
            looking.join()
            seen.after = server.resident_kb()
        sys.stdout.write(
            f"bystander: {seen}; before: {calm.p99 * 1000:.0f} ms; echo: {seen.of_the_machine * 1000:.0f} ms\n"
        )
        assert seen.pings
        assert seen.p99 < MOST + 3 * max(calm.p99, seen.of_the_machine)


def _ping(client: RawClient, echo: socket.socket, seen: Seen, until: float) -> None:
    while True:
        began = time.monotonic()
        client.send(message(type="ping"))
        while client.message()["type"] != "pong":
            pass
        ended = time.monotonic()
        seen.pings.append(ended - began)
        echo.sendall(b"ping")
        echo.recv(64)
        seen.echoes.append(time.monotonic() - ended)
        if ended >= until:
            return
        time.sleep(PAUSE)
