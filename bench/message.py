"""What a message in costs: CPU of one connection's `data_received`, without a socket, the loop or the kernel.

Run as `python bench/message.py [messages]`. Each line is the best of seven rounds, in microseconds: once with the
application behind it, and once with a hub that does nothing, which leaves the transport's own share.
"""

import sys
import time
from random import Random
from typing import Any

from websockets.frames import Frame, Opcode

from presence_server.app import build_gateway
from presence_server.application.hub import Hub
from presence_server.clock import SystemClock
from presence_server.settings import Settings
from presence_server.transports.websocket.connection import WebSocketConnection
from presence_server.transports.websocket.handshake import shake_hands

HEADERS = [
    (b"host", b"localhost"),
    (b"upgrade", b"websocket"),
    (b"connection", b"Upgrade"),
    (b"sec-websocket-key", b"AAAAAAAAAAAAAAAAAAAAAA=="),
    (b"sec-websocket-version", b"13"),
]
HELLO = b'{"type":"hello","userId":1,"deviceId":"d","platform":"WEB"}'
ROUNDS = 7


class Transport:
    """Takes everything at once."""

    def write(self, data: bytes) -> None: ...
    def set_write_buffer_limits(self, high: int, low: int) -> None: ...

    def get_extra_info(self, name: str) -> object:
        return ("127.0.0.1", 1) if name == "peername" else None

    def get_write_buffer_size(self) -> int:
        return 0

    def pause_reading(self) -> None: ...
    def resume_reading(self) -> None: ...


class IdleHub(Hub):
    def heard(self, session: Any, now: float) -> None: ...

    def handle(self, session: Any, message: Any, now: float) -> None: ...


def opened() -> WebSocketConnection:
    gateway = build_gateway(Settings(min_publish_interval=0), SystemClock(), Random(1), 10)
    gateway.driver.call_soon = lambda callback: callback()  # type: ignore[method-assign]  # a turn that took long goes on
    connection = WebSocketConnection(gateway.websockets)
    connection.connection_made(Transport())  # type: ignore[arg-type]
    gateway.http.books.work(gateway.http.books.arrive(connection, 0.0))
    connection.open(shake_hands(b"GET", b"/api/v1/presence/ws", "1.1", HEADERS, gateway.websockets))
    connection.data_received(Frame(Opcode.TEXT, HELLO).serialize(mask=True))
    return connection


def measure(arriving: list[bytes], messages: int, is_idle: bool) -> float:
    """Microseconds per message; `arriving` comes in over and over, one message a piece."""
    connection = opened()
    if is_idle:
        connection._shared.hub.__class__ = IdleHub
    best = float("inf")
    for _ in range(ROUNDS):
        started = time.process_time()
        for _ in range(messages // len(arriving)):
            for data in arriving:
                connection.data_received(data)
        best = min(best, time.process_time() - started)
    return best / messages * 1e6


def text(payload: str) -> bytes:
    return Frame(Opcode.TEXT, payload.encode()).serialize(mask=True)


CASES = {
    "status": [text('{"type":"status","status":"BUSY","id":7}'), text('{"type":"status","status":null,"id":8}')],
    "activity": [text('{"type":"activity","idle":false}')],
    "ping": [text('{"type":"ping","id":7}')],
    "pong frame": [Frame(Opcode.PONG, b"").serialize(mask=True)],
    "ping frame": [Frame(Opcode.PING, b"1234").serialize(mask=True)],
    "status, 600 bytes": [text('{"type":"status","status":"BUSY","x":"' + "x" * 560 + '"}')],
}


def main() -> None:
    messages = int(sys.argv[1]) if len(sys.argv) > 1 else 20_000
    for name, arriving in CASES.items():
        whole, transport = measure(arriving, messages, False), measure(arriving, messages, True)
        print(f"{name:20} {whole:6.2f} us, of which {transport:5.2f} in the transport")


if __name__ == "__main__":
    main()
