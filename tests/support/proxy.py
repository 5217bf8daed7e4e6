"""A fault proxy between a client and the real server: what networks and middle boxes do to a connection.

It forwards bytes, but knows where HTTP heads and WebSocket frames end, so that it can swallow pongs and put a close
frame between two frames. Its faults are attributes that may be set at any time; they hold for the connections that
are open and for those to come.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

PONG = 0xA


@dataclass
class Faults:
    """What goes wrong now. All off: a plain proxy."""

    delay: float = 0.0
    """Seconds that every piece waits, either way."""
    trickle: float = 0.0
    """Seconds between two bytes towards the client."""
    black_hole: bool = False
    """Nothing arrives any more, either way, and nobody is told: a half-open connection."""
    swallow_pongs: bool = False
    refuse_connections: bool = False
    refuse_upgrades: int = 0
    """HTTP status with which an upgrade request is answered by the proxy itself, as a corporate proxy does."""
    retry_after: int | None = None
    """Seconds for the Retry-After header of a refused upgrade."""


class FaultProxy:
    def __init__(self, target_port: int) -> None:
        self.faults = Faults()
        self.port = 0
        self.upgrades = 0
        """Upgrade requests seen, refused ones too."""
        self._target_port = target_port
        self._pipes: set[_Pipe] = set()
        self._serving: set[asyncio.Task[None]] = set()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def ws_url(self) -> str:
        return f"ws://127.0.0.1:{self.port}/api/v1/presence/ws"

    @property
    def open_connections(self) -> int:
        return len(self._pipes)

    def cut(self) -> None:
        """Reset every connection, on both sides."""
        for pipe in list(self._pipes):
            pipe.abort()

    def cut_client_side(self) -> None:
        """Reset towards the clients only; the server's side stays open and silent."""
        for pipe in list(self._pipes):
            pipe.client.transport.abort()

    def half_close(self) -> None:
        """Tell the clients that nothing more will come, and go on reading from them."""
        for pipe in list(self._pipes):
            if pipe.client.can_write_eof():
                pipe.is_muted = True
                pipe.client.write_eof()

    def close_with(self, code: int, reason: str = "") -> None:
        """Put a close frame with `code` into every WebSocket, and let what follows from the server vanish."""
        payload = code.to_bytes(2, "big") + reason.encode()
        for pipe in list(self._pipes):
            if pipe.is_websocket:
                pipe.is_muted = True
                pipe.client.write(bytes((0x88, len(payload))) + payload)

    async def wait_closed(self) -> None:
        """Until no connection is left."""
        if self._serving:
            await asyncio.wait(self._serving)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One client's connection, from its first byte to its end."""
        task = asyncio.current_task()
        assert task is not None
        self._serving.add(task)
        task.add_done_callback(self._serving.discard)
        await self._serve(reader, writer)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self.faults.refuse_connections:
            writer.transport.abort()
            return
        try:
            head = await reader.readuntil(b"\r\n\r\n")
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()
            return
        is_upgrade = b"upgrade: websocket" in head.lower()
        self.upgrades += is_upgrade
        if is_upgrade and self.faults.refuse_upgrades:
            await self._refuse(writer)
            return
        target = await asyncio.open_connection("127.0.0.1", self._target_port)
        pipe = _Pipe(self.faults, is_upgrade, reader, writer, *target)
        self._pipes.add(pipe)
        try:
            await pipe.run(head)
        finally:
            self._pipes.discard(pipe)

    async def _refuse(self, writer: asyncio.StreamWriter) -> None:
        status = self.faults.refuse_upgrades
        after = "" if self.faults.retry_after is None else f"Retry-After: {self.faults.retry_after}\r\n"
        writer.write(f"HTTP/1.1 {status} Refused\r\n{after}Content-Length: 0\r\nConnection: close\r\n\r\n".encode())
        with contextlib.suppress(ConnectionError):
            await writer.drain()
        writer.close()


@dataclass(eq=False)
class _Pipe:
    """One client's connection and its counterpart to the server."""

    faults: Faults
    is_websocket: bool
    from_client: asyncio.StreamReader
    client: asyncio.StreamWriter
    from_server: asyncio.StreamReader
    server: asyncio.StreamWriter
    is_muted: bool = False
    _frames: _Frames = field(init=False)

    def __post_init__(self) -> None:
        self._frames = _Frames()

    def abort(self) -> None:
        self.client.transport.abort()
        self.server.transport.abort()

    async def run(self, head: bytes) -> None:
        self.server.write(head)
        try:
            async with asyncio.TaskGroup() as both:
                both.create_task(self._forward(self.from_client, self.server, self._from_client))
                both.create_task(self._forward(self.from_server, self.client, self._from_server))
        finally:
            self.client.close()
            self.server.close()

    async def _forward(
        self, source: asyncio.StreamReader, sink: asyncio.StreamWriter, alter: Callable[[bytes], bytes]
    ) -> None:
        with contextlib.suppress(ConnectionError):
            while data := await source.read(65536):
                if self.faults.delay:
                    await asyncio.sleep(self.faults.delay)
                if self.faults.black_hole:
                    continue
                data = alter(data)
                if self.faults.trickle and sink is self.client:
                    await self._trickle(data)
                else:
                    if data:
                        sink.write(data)
                    await sink.drain()
        with contextlib.suppress(OSError, RuntimeError):
            if sink.can_write_eof() and not sink.is_closing():
                sink.write_eof()

    async def _trickle(self, data: bytes) -> None:
        for position in range(len(data)):
            self.client.write(data[position : position + 1])
            await asyncio.sleep(self.faults.trickle)
            if not self.faults.trickle:
                self.client.write(data[position + 1 :])
                return

    def _from_client(self, data: bytes) -> bytes:
        if not self.is_websocket:
            return data
        frames = self._frames.feed(data)
        return b"".join(frame for frame in frames if not (self.faults.swallow_pongs and frame[0] & 0x0F == PONG))

    def _from_server(self, data: bytes) -> bytes:
        return b"" if self.is_muted else data


class _Frames:
    """Cuts a client's bytes after the handshake into whole frames (RFC 6455 section 5.2)."""

    def __init__(self) -> None:
        self._rest = b""

    def feed(self, data: bytes) -> list[bytes]:
        self._rest += data
        frames = []
        while (size := self._size()) is not None and len(self._rest) >= size:
            frames.append(self._rest[:size])
            self._rest = self._rest[size:]
        return frames

    def _size(self) -> int | None:
        """Bytes of the first frame, head included; None if its head is not whole yet."""
        rest = self._rest
        if len(rest) < 2:
            return None
        length, extra = rest[1] & 0x7F, 0
        if length > 125:
            extra = 2 if length == 126 else 8
            if len(rest) < 2 + extra:
                return None
            length = int.from_bytes(rest[2 : 2 + extra], "big")
        return 2 + extra + (4 if rest[1] & 0x80 else 0) + length


@asynccontextmanager
async def run_proxy(target_port: int) -> AsyncIterator[FaultProxy]:
    """A proxy to the server on `target_port`, on a free port of its own."""
    proxy = FaultProxy(target_port)
    listener = await asyncio.start_server(proxy.serve, "127.0.0.1", 0)
    proxy.port = listener.sockets[0].getsockname()[1]
    try:
        yield proxy
    finally:
        listener.close()
        proxy.cut()
        await proxy.wait_closed()
