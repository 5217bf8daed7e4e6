"""A client made of bytes: it sends what no library would, and sees what exactly comes back."""

from __future__ import annotations

import json
import socket
from contextlib import suppress
from typing import Any, NamedTuple

from support.server import BASE, Server

TEXT, BINARY, CONTINUATION, CLOSE, PING, PONG = 0x1, 0x2, 0x0, 0x8, 0x9, 0xA
FIN, RSV1 = 0x80, 0x40

HEADERS = {
    "Host": "localhost",
    "Upgrade": "websocket",
    "Connection": "Upgrade",
    "Sec-WebSocket-Key": "AAAAAAAAAAAAAAAAAAAAAA==",
    "Sec-WebSocket-Version": "13",
}


def upgrade(
    changed: dict[str, str | None] | None = None,
    extra: bytes = b"",
    method: str = "GET",
    path: str = f"{BASE}/ws",
) -> bytes:
    """An upgrade request; `changed` headers are added, or left out if None. `extra`: lines of the head as they are."""
    headers = {name: value for name, value in (HEADERS | (changed or {})).items() if value is not None}
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    return f"{method} {path} HTTP/1.1\r\n{lines}".encode() + extra + b"\r\n"


def frame(opcode: int, payload: bytes, head: int = FIN) -> bytes:
    """A client's frame; `head` holds the bits beside the opcode. Its mask is zeros: the payload stays readable."""
    size = len(payload)
    first = bytes((head | opcode,))
    if size < 126:
        return first + bytes((0x80 | size,)) + bytes(4) + payload
    if size < 65_536:
        return first + b"\xfe" + size.to_bytes(2, "big") + bytes(4) + payload
    return first + b"\xff" + size.to_bytes(8, "big") + bytes(4) + payload


def message(**fields: Any) -> bytes:
    """A message in JSON, in a frame of its own."""
    return frame(TEXT, json.dumps(fields).encode())


class Reply(NamedTuple):
    """The answer to a handshake, and its body as far as it has one."""

    status: int
    head: str
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


class RawClient:
    """A socket that blocks for `seconds` at most."""

    def __init__(self, server: Server, seconds: float = 30, receive_buffer: int | None = None) -> None:
        self.socket = socket.socket()
        if receive_buffer is not None:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        self.socket.settimeout(seconds)
        self.socket.connect(("127.0.0.1", server.port))
        self._read = b""

    def __enter__(self) -> RawClient:
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.close()

    @classmethod
    def upgraded(cls, server: Server, **options: Any) -> RawClient:
        """Connected, without a hello."""
        client = cls(server, **options)
        client.send(upgrade())
        assert client.reply().status == 101
        return client

    @classmethod
    def observer(cls, server: Server, watch: list[int] | None = None, **options: Any) -> RawClient:
        """Connected and welcomed as an observer."""
        client = cls.upgraded(server, **options)
        client.send(message(type="hello", observer=True, **({"watch": watch} if watch is not None else {})))
        assert client.message()["type"] == "welcome"
        return client

    def send(self, data: bytes) -> None:
        self.socket.sendall(data)

    def reply(self) -> Reply:
        """The answer to a handshake. TimeoutError if there is none, ConnectionError if the server just hangs up."""
        while b"\r\n\r\n" not in self._read:
            self._more()
        head, _, self._read = self._read.partition(b"\r\n\r\n")
        lines = head.decode("latin-1").lower().split("\r\n")
        length = next((int(line.partition(":")[2]) for line in lines if line.startswith("content-length:")), 0)
        body = self._take(length)
        return Reply(int(head.split()[1]), head.decode("latin-1"), body)

    def frame(self) -> tuple[int, bytes]:
        """The opcode and payload of the server's next frame. ConnectionError at the end of the stream."""
        opcode, size = self._take(2)
        assert opcode & FIN, "the server sends no fragments"
        assert not size & 0x80, "the server masks nothing"
        if size > 125:
            size = int.from_bytes(self._take(2 if size == 126 else 8), "big")
        return opcode & 0x0F, self._take(size)

    def message(self) -> Any:
        """The next message, in JSON; control frames before it are passed over."""
        while True:
            opcode, payload = self.frame()
            if opcode == TEXT:
                return json.loads(payload)
            assert opcode != CLOSE, f"closed with {int.from_bytes(payload[:2], 'big')}: {payload[2:]!r}"

    def close_code(self) -> int:
        """The code of the server's close frame, whatever comes before it; 1005: it has none; 1006: there is none."""
        with suppress(ConnectionError):
            while True:
                opcode, payload = self.frame()
                if opcode == CLOSE:
                    return int.from_bytes(payload[:2], "big") if payload else 1005
        return 1006

    def ended(self) -> bool:
        """Whether the server ends the stream in time; what it says before is passed over."""
        with suppress(ConnectionError):
            while self.socket.recv(65_536):
                pass
        return True

    def _take(self, size: int) -> bytes:
        while len(self._read) < size:
            self._more()
        taken, self._read = self._read[:size], self._read[size:]
        return taken

    def _more(self) -> None:
        piece = self.socket.recv(65_536)
        if not piece:
            raise ConnectionError("the stream ended")
        self._read += piece
