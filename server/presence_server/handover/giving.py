"""The old server's side: gives its sockets and its state to a new one, sees its clients off, and ends."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final, Protocol

from presence_server.handover import wire
from presence_server.logs import get_logger

PATIENCE: Final = 120.0
"""Seconds that the new server has to read the state and be ready. Then the old one goes on."""

_log = get_logger(__name__)


class Place(Protocol):
    """What a server gives: see `PresenceServer`."""

    @property
    def listeners(self) -> Sequence[socket.socket]: ...

    async def stop_accepting(self) -> None:
        """Who connects from now on is somebody else's. What has begun is still answered, within a moment."""
        ...

    async def release(self) -> None:
        """The state is on its disk, and nothing changes any more."""
        ...

    async def take_back(self) -> None:
        """Go on as if nothing had been."""
        ...

    def move_clients(self) -> None:
        """Ask all to reconnect, and end."""
        ...


class Giving:
    """Waits for a new server, from `start` to `stop`."""

    def __init__(self, folder: Path, place: Place, patience: float = PATIENCE) -> None:
        self._folder = folder
        self._place = place
        self._patience = patience
        self._listener: socket.socket | None = None
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """What keeps it from being taken over is told in the log; it keeps nobody from being served."""
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            with wire.address(self._folder) as path:
                with suppress(FileNotFoundError):
                    os.unlink(path)  # of the one before, or of one that was killed: the directory is ours
                listener.bind(path)
                os.chmod(path, 0o600)
            listener.listen(1)
            listener.setblocking(False)
        except OSError as failure:
            listener.close()
            _log.warning("cannot be taken over", reason=f"{self._folder}: {failure.strerror or failure}")
            return
        self._listener = listener
        self._task = asyncio.ensure_future(self._serve(listener))

    async def stop(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        if self._listener is not None:
            self._listener.close()

    async def _serve(self, listener: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        while True:
            connection, _ = await loop.sock_accept(listener)
            with connection:
                try:
                    is_over = await self._give(connection)
                except Exception as bug:
                    _log.exception("takeover failed", bug)
                    is_over = False
            if is_over:
                return

    async def _give(self, connection: socket.socket) -> bool:
        """Whether the place is the other's now."""
        connection.setblocking(False)
        if not wire.is_of_same_user(connection):
            return False
        try:
            asked = wire.message_of(await _line(connection, 5.0), "take")
        except (OSError, TimeoutError, wire.Refused):
            return False  # somebody looked whether anybody is here
        if asked.get("version") != wire.VERSION:
            wire.send(connection, {"type": "refused", "reason": f"it speaks version {wire.VERSION} of the takeover"})
            return False
        _log.info("takeover begins")
        try:
            wire.send(connection, {"type": "sockets"}, self._place.listeners)
            await self._place.stop_accepting()
            await self._place.release()
            wire.send(connection, wire.RELEASED)
            wire.message_of(await _line(connection, self._patience), "ready")
        except (OSError, TimeoutError, wire.Refused) as failure:
            _log.error("the new server is not ready: this one goes on", reason=str(failure) or type(failure).__name__)
            connection.close()
            await self._place.take_back()
            return False
        self._place.move_clients()
        return True


async def _line(connection: socket.socket, seconds: float) -> bytes:
    """The next line. Raises OSError, TimeoutError."""
    loop, received = asyncio.get_running_loop(), b""
    async with asyncio.timeout(seconds):
        while not received.endswith(b"\n") and len(received) <= wire.MAX_LINE:
            data = await loop.sock_recv(connection, wire.MAX_LINE)
            if not data:
                break
            received += data
    return received
