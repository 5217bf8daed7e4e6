"""A bug of ours that one message sets off: logged, answered with 1011, and nobody else notices."""

import logging
from random import Random

import pytest
from websockets.frames import Frame, Opcode

from presence_protocol.messages import Ping
from presence_server.app import build_gateway
from presence_server.application.conversation import HANDLERS
from presence_server.settings import Settings
from presence_server.transports.websocket import WebSocketConnection


class StoppedClock:
    def now(self) -> float:
        return 1_800_000_000.0


class Transport:
    """What a connection needs of asyncio's transport."""

    def __init__(self) -> None:
        self.written = b""

    def write(self, data: bytes) -> None:
        self.written += data

    def set_write_buffer_limits(self, high: int) -> None: ...
    def get_extra_info(self, name: str) -> object:
        return ("127.0.0.1", 1) if name == "peername" else None

    def can_write_eof(self) -> bool:
        return False

    def get_write_buffer_size(self) -> int:
        return 0

    def pause_reading(self) -> None: ...
    def resume_reading(self) -> None: ...
    def abort(self) -> None: ...


HANDSHAKE = (
    b"GET /api/v1/presence/ws HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Version: 13\r\n\r\n"
)
HELLO = b'{"type":"hello","userId":1,"deviceId":"d","platform":"WEB"}'


def test_a_message_that_fails_ends_its_own_connection_with_1011(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError("planted")

    monkeypatch.setitem(HANDLERS, Ping, fail)
    gateway = build_gateway(Settings(), StoppedClock(), Random(1), 10)
    connection, transport = WebSocketConnection(gateway), Transport()
    connection.connection_made(transport)  # type: ignore[arg-type]
    connection.data_received(HANDSHAKE)
    connection.data_received(Frame(Opcode.TEXT, HELLO).serialize(mask=True))
    assert gateway.hub.statistics().sessions == 1

    with caplog.at_level(logging.ERROR):
        connection.data_received(Frame(Opcode.TEXT, b'{"type":"ping"}').serialize(mask=True))

    assert transport.written.endswith((1011).to_bytes(2, "big") + b"internal error")
    assert gateway.hub.statistics().sessions == 0
    assert "planted" in caplog.text
    # The device is in grace, as after any other close by the server.
    assert gateway.hub.engine.truth(1).devices
