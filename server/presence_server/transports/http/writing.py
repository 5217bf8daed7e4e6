"""What is written to a client that speaks plain HTTP, and whether it takes that."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from presence_server.transports.http.serving import Serving


class WritingProtocol(asyncio.Protocol):
    """The writing half of a connection. What its client does not take is in the books of `Unsent`.

    The transport takes whatever is written; whoever writes much waits in between, until the client has read on.
    """

    __slots__ = ("_is_closing", "_is_full", "_loop", "_serving", "_transport", "_untaken", "_writable")

    def __init__(self, serving: Serving) -> None:
        self._serving = serving
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport | None = None
        self._is_closing = False  # nothing more is written
        self._is_full = False  # what is written waits for the client to read
        self._writable: asyncio.Future[None] | None = None
        self._untaken = 0  # bytes of answers that had not gone out when last looked at

    def pause_writing(self) -> None:
        self._is_full = True
        if self._transport is not None:
            self._serving.unsent.put(self, self._transport.get_write_buffer_size())

    def resume_writing(self) -> None:
        self._is_full = False
        self._serving.unsent.discard(self)
        self._release()

    def write(self, data: bytes) -> None:
        if self._transport is not None and not self._is_closing:
            traffic = self._serving.counts.http
            traffic.writes += 1
            traffic.sent += len(data)
            self._transport.write(data)

    async def wait_writable(self) -> None:
        """Until what was written has gone out, or the connection ends."""
        while self._is_full and not self._is_closing:
            self._writable = self._loop.create_future()
            await self._writable

    async def wait_taken(self) -> bool:
        """Until what was written has gone out; False: the client has taken none of it for `answer_timeout`."""
        while self._is_full and not self._is_closing:
            before = self._transport.get_write_buffer_size() if self._transport else 0
            self._writable = self._loop.create_future()
            await asyncio.wait((self._writable,), timeout=self._serving.limits.answer_timeout)
            if self._is_full and self._transport and self._transport.get_write_buffer_size() >= before:
                return False
        return True

    def give_up(self) -> None:
        """Too much is unsent in all, and most of it here."""
        self.abort()

    def abort(self) -> None:
        if self._transport is not None:
            self._transport.abort()

    def _is_being_taken(self) -> bool:
        """Whether the client has read some of what it had not when last looked at, or all."""
        before, self._untaken = self._untaken, self._transport.get_write_buffer_size() if self._transport else 0
        return not before or self._untaken < before

    def _release(self) -> None:
        """Nobody waits any longer to write."""
        writable, self._writable = self._writable, None
        if writable is not None and not writable.done():
            writable.set_result(None)
