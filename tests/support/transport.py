"""A connection without a socket, a loop or a clock that runs: bytes in, bytes out."""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import Any

from presence_protocol.paths import WS_PATH
from presence_server.app import build_gateway
from presence_server.settings import Settings
from presence_server.transports.websocket.connection import WebSocketConnection
from presence_server.transports.websocket.handshake import shake_hands
from support.raw import upgrade


class StoppedClock:
    """Stands still unless told to move."""

    def __init__(self) -> None:
        self.time = 5_000.0

    def now(self) -> float:
        return self.time

    def utc(self) -> float:
        return 1_800_000_000.0 + self.time - 5_000.0


class Transport:
    """What a connection needs of asyncio's transport; it takes whatever is written."""

    def __init__(self) -> None:
        self.writes: list[bytes] = []
        self.is_reading = True
        self.is_aborted = False

    @property
    def written(self) -> bytes:
        return b"".join(self.writes)

    def write(self, data: bytes) -> None:
        self.writes.append(data)

    def set_write_buffer_limits(self, high: int, low: int = 0) -> None: ...
    def get_extra_info(self, name: str) -> object:
        return ("127.0.0.1", 1) if name == "peername" else None

    def can_write_eof(self) -> bool:
        return True

    def write_eof(self) -> None: ...

    def get_write_buffer_size(self) -> int:
        return 0

    def pause_reading(self) -> None:
        assert self.is_reading, "asyncio allows it, but it says that somebody has lost count"
        self.is_reading = False

    def resume_reading(self) -> None:
        assert not self.is_reading
        self.is_reading = True

    def abort(self) -> None:
        self.is_aborted = True


class Wire:
    """An upgraded connection of a server of its own, which is the same for the same settings every time."""

    def __init__(self, headers: dict[str, str | None] | None = None, **settings: Any) -> None:
        self.clock = StoppedClock()
        self.gateway = build_gateway(Settings(**settings), self.clock, Random(1), 200)
        self.later: list[Callable[[], None]] = []
        """What waits for its turn of the loop."""
        self.gateway.driver.call_soon = self.later.append  # type: ignore[method-assign]
        self._open(headers)

    def another(self) -> Wire:
        """One more connection to the same server."""
        wire: Wire = object.__new__(type(self))
        wire.clock, wire.gateway, wire.later = self.clock, self.gateway, self.later
        wire._open(None)
        return wire

    def _open(self, headers: dict[str, str | None] | None) -> None:
        self.transport = Transport()
        self.connection = WebSocketConnection(self.gateway.websockets)
        self.connection.connection_made(self.transport)  # type: ignore[arg-type]
        lines = [line.partition(b": ") for line in upgrade(headers).split(b"\r\n")[1:-2]]
        self.gateway.http.books.work(self.gateway.http.books.arrive(self, 0.0))
        websockets = self.gateway.websockets
        self.connection.open(
            shake_hands(
                b"GET",
                WS_PATH.encode(),
                "1.1",
                [(name.lower(), value) for name, _, value in lines],
                websockets,
            )
        )
        assert self.transport.written.startswith(b"HTTP/1.1 101 ")
        self.handshake = self.transport.writes.pop()

    def give_way(self) -> None: ...

    def receive(self, data: bytes) -> None:
        self.connection.data_received(data)

    def turn(self) -> None:
        """Do what waits for its turn, once."""
        due, self.later[:] = self.later[:], []
        for callback in due:
            callback()

    def settle(self) -> None:
        """Take turns until nothing waits."""
        while self.later:
            self.turn()
