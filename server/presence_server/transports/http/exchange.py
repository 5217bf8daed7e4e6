"""One request and its answer, as ASGI has them: `scope`, `receive` and `send` between a connection and the application.

The answer goes out in one write, when the last of it is there: every answer of this server is at hand as a whole, but
for streams. A stream asks with each piece that it is written at once (`flush`, which is no part of ASGI); whoever takes
nothing for too long is dropped.
Nothing here is copied, checked or created that an ordinary request does not need; a request that is answered at once
never makes a future.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from http import HTTPStatus
from typing import TYPE_CHECKING, Final, Protocol

from presence_protocol.errors import FieldError
from presence_server.logs import get_logger
from presence_server.transports.rest.envelope import error_body, error_headers

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Scope

STATUS_LINES: Final = {status.value: f"HTTP/1.1 {status.value} {status.phrase}\r\n".encode() for status in HTTPStatus}

CONTINUE: Final = b"HTTP/1.1 100 Continue\r\n\r\n"

_WITHOUT_BODY: Final = (204, 304)

_log = get_logger(__name__)


class Line(Protocol):
    """What an exchange needs of its connection."""

    def write(self, data: bytes) -> None: ...
    def answered(self, keeps_alive: bool) -> None: ...
    def body_taken(self) -> None: ...
    def abort(self) -> None: ...
    async def wait_writable(self) -> None: ...
    async def wait_taken(self) -> bool: ...
    def may_keep_alive(self) -> bool: ...
    def note(self, scope: Scope, status: int, body: bytes) -> None: ...
    def default_headers(self) -> Iterable[tuple[bytes, bytes]]: ...


class Exchange:
    __slots__ = (
        "_answer",
        "_expects_continue",
        "_head",
        "_is_left",
        "_is_streaming",
        "_is_told",
        "_line",
        "_waiter",
        "body",
        "is_answered",
        "is_gone",
        "keeps_alive",
        "more_body",
        "scope",
    )

    def __init__(self, line: Line, scope: Scope, keeps_alive: bool, expects_continue: bool) -> None:
        self._line = line
        self.scope = scope
        self.keeps_alive = keeps_alive
        self._expects_continue = expects_continue
        self._waiter: asyncio.Future[None] | None = None
        self.body: bytes | bytearray = b""
        """What has arrived and was not received yet."""
        self.more_body = True
        self._is_told = False  # the end of the body has been received
        self._is_left = False
        self._is_streaming = False
        self._head: tuple[int, list[tuple[bytes, bytes]]] | None = None
        self._answer = b""
        self.is_answered = False
        self.is_gone = False
        """Nobody is there to be answered."""

    # -- the connection's side -------------------------------------------------------------------------------------

    def take_body(self, data: bytes) -> None:
        if not self.body:
            self.body = data
        elif type(self.body) is bytearray:
            self.body += data
        else:
            self.body = bytearray(self.body) + data
        self.wake()

    def end_body(self) -> None:
        self.more_body = False
        self.wake()

    def hang_up(self) -> None:
        """The client is gone, or has been answered past the application."""
        self.is_gone = True
        self.body = b""
        self.wake()

    def leave(self) -> None:
        """The client may be gone: whoever waits for its end is told so, and may still answer."""
        self._is_left = True
        self.wake()

    def wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    # -- the application's side ------------------------------------------------------------------------------------

    async def run(self, app: ASGIApp) -> None:
        try:
            await app(self.scope, self.receive, self.send)
            if not (self.is_answered or self.is_gone):
                raise RuntimeError("the application has not answered")
        except asyncio.CancelledError:
            self._line.abort()  # the process ends
        except Exception as bug:
            _log.exception("request failed", bug, method=self.scope["method"], path=self.scope["path"])
            await self._fail()
        finally:
            self._waiter = None

    async def _fail(self) -> None:
        if self.is_answered or self.is_gone:
            return
        if self._is_streaming:
            self._line.abort()  # the client sees that it is not whole
            return
        body = error_body(500, [FieldError("request", "failed")])
        headers = [(b"content-type", b"application/json"), (b"connection", b"close")]
        self._answer = b""
        await self.send({"type": "http.response.start", "status": 500, "headers": headers})
        await self.send({"type": "http.response.body", "body": body})

    async def receive(self) -> Message:
        if self._expects_continue and self.more_body and not self.is_gone:
            self._expects_continue = False
            self._line.write(CONTINUE)
        while not (self.is_gone or self.is_answered or self._is_left):
            if not self._is_told and (self.body or not self.more_body):
                body, self.body = bytes(self.body), b""
                more = self.more_body
                self._is_told = not more
                if more:
                    self._line.body_taken()  # which may bring the rest of it
                return {"type": "http.request", "body": body, "more_body": more}
            self._waiter = asyncio.get_running_loop().create_future()
            await self._waiter
        return {"type": "http.disconnect"}

    async def send(self, message: Message) -> None:
        if self.is_gone:
            return
        if self.is_answered:
            raise RuntimeError("the request has been answered")
        if message["type"] == "http.response.start":
            self._head = message["status"], list(message.get("headers", ()))
            return
        body = message.get("body", b"")
        if self._is_streaming or message.get("flush", False):
            await self._stream(body, message.get("more_body", False))
            return
        self._answer = self._answer + body if self._answer else body
        if message.get("more_body", False):
            return
        await self._line.wait_writable()
        self._finish()

    async def _stream(self, body: bytes, is_more: bool) -> None:
        """Write a piece of an answer that goes on, in chunks (RFC 9112 section 7.1); to HTTP/1.0 up to the close."""
        if not await self._line.wait_taken() or self.is_gone:
            self._line.abort()
            return
        is_chunked = self.scope["http_version"] == "1.1"
        if not self._is_streaming:
            assert self._head is not None
            self._is_streaming = True
            status, headers = self._head
            how = (b"transfer-encoding", b"chunked") if is_chunked else (b"connection", b"close")
            lines = (*self._line.default_headers(), *headers, how)
            head = b"".join(b"%b: %b\r\n" % line for line in lines)
            self._line.note(self.scope, status, b"")
            self._line.write(STATUS_LINES[status] + head + b"\r\n")
        if body:
            self._line.write(b"%x\r\n%b\r\n" % (len(body), body) if is_chunked else body)
        if not is_more:
            self.is_answered = True
            self.wake()
            if is_chunked:
                self._line.write(b"0\r\n\r\n")
            self._line.answered(is_chunked and self.keeps_alive and self._line.may_keep_alive())

    def _finish(self) -> None:
        if self.is_gone:
            return
        assert self._head is not None
        self.is_answered = True
        self._expects_continue = False
        keeps_alive = self.keeps_alive and self._line.may_keep_alive()
        answer, keeps_alive = self._whole(*self._head, keeps_alive)
        self._line.note(self.scope, self._head[0], self._answer)
        self._answer = b""
        self.wake()
        self._line.write(answer)
        self._line.answered(keeps_alive)

    def _whole(self, status: int, headers: list[tuple[bytes, bytes]], keeps_alive: bool) -> tuple[bytes, bool]:
        """The bytes of the answer, and whether the connection stays open after them."""
        parts = [STATUS_LINES[status]]
        has_length = says_close = False
        for name, value in (*self._line.default_headers(), *headers):
            if name == b"content-length":
                has_length = True
            elif name == b"connection" and value.lower() == b"close":
                says_close = True
            parts += (name, b": ", value, b"\r\n")
        if not (has_length or status in _WITHOUT_BODY):
            parts.append(b"content-length: %d\r\n" % len(self._answer))
        if not (keeps_alive or says_close):
            parts.append(b"connection: close\r\n")
        parts.append(b"\r\n")
        if self.scope["method"] != "HEAD" and status not in _WITHOUT_BODY:
            parts.append(self._answer)
        return b"".join(parts), keeps_alive and not says_close


def refusal(status: int, field: str, reason: str, extra: Iterable[tuple[str, str]] = ()) -> bytes:
    """The bytes that answer what the application cannot be asked about; the connection ends with them."""
    body = error_body(status, [FieldError(field, reason)])
    headers = {"content-type": "application/json", "content-length": str(len(body)), "cache-control": "no-store"}
    headers |= {**error_headers(status), **dict(extra), "connection": "close"}
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    return STATUS_LINES[status] + lines.encode() + b"\r\n" + body
