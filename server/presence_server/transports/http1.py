"""uvicorn's HTTP protocol, with what a server of many WebSockets needs on top.

What a client may cost is bounded: a request's head must arrive in time (uvicorn waits forever for one that comes a
byte a second) and may not grow without end (nor may trailers), and an answer that nobody takes is dropped with its
connection. What is no request gets an answer in the envelope, as everything else does. Bytes that follow an upgrade
request in the same read are handed on; and after an upgrade the protocol lets go of its parser, since the two form
a cycle that would keep several kilobytes for each connection until the next collection.
"""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final

import httptools
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from presence_protocol.errors import FieldError
from presence_server.transports.envelope import error_body

if TYPE_CHECKING:
    import asyncio

    from presence_server.transports.gateway import Gateway

MAX_HEAD: Final = 64 * 1024
"""Bytes of a request's head, or of its trailers (as uvicorn's `h11_max_incomplete_event_size`), give or take a read."""

ANSWER_TIMEOUT: Final = 30.0
"""Seconds without any progress after which an answer that its client does not take is given up."""


class HttpConnection(HttpToolsProtocol):
    def __init__(self, gateway: Gateway, **uvicorns: Any) -> None:
        super().__init__(**uvicorns)
        self.gateway = gateway

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._is_in_head = False
        self._is_new_head = False  # it began in the read that is under way
        self._is_head_timed = False
        self._pending = 0  # bytes read since the last that were of a body, or that ended a message
        self._untaken = 0  # bytes of answers that had not gone out when last looked at
        self._expect_head()

    def connection_lost(self, exc: Exception | None) -> None:
        self.gateway.driver.discard_timeout(self._head_timeout)
        self.gateway.driver.discard_timeout(self._answer_timeout)
        super().connection_lost(exc)

    # -- parser callbacks ------------------------------------------------------------------------------------------

    def on_message_begin(self) -> None:
        self._is_in_head = self._is_new_head = True
        self._unset_keepalive_if_required()  # here and not at any data: empty lines alone must not keep it open
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        self._is_in_head = False
        if self._is_head_timed:
            self._is_head_timed = False
            self.gateway.driver.discard_timeout(self._head_timeout)
        if not self.parser.should_upgrade():
            super().on_headers_complete()
            self.headers = []  # what still comes are trailers, which nobody asked for
        elif not self._is_other_upgrade():
            super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        self._pending = 0
        super().on_body(body)

    def on_message_complete(self) -> None:
        self._pending = 0
        if not (self.parser.should_upgrade() and self._is_other_upgrade()):
            super().on_message_complete()

    # -- reading ---------------------------------------------------------------------------------------------------

    def data_received(self, data: bytes) -> None:
        self._pending += len(data)
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            rest = data[upgrade.args[0] :]
            if self._should_upgrade():
                self.handle_websocket_upgrade()
                self._hand_on(rest)
            else:
                self._read_plainly(rest)
        except httptools.HttpParserError:
            self._refuse(400, "request", "is not an HTTP request")
        else:
            if self._is_in_head and self._is_new_head:
                self._expect_head()  # only now: most heads are whole in the read that brings them
            self._is_new_head = False
            if self._pending > MAX_HEAD:
                self._refuse(431, "request", f"has a head of more than {MAX_HEAD} bytes")

    def eof_received(self) -> None:
        if self._is_in_head:
            self._refuse(400, "request", "ended early")
        elif self._is_under_way and self.cycle.more_body:
            self._refuse(400, "body", "ended early")

    @property
    def _is_under_way(self) -> bool:
        """Whether a request is still to be answered."""
        return self.cycle is not None and not self.cycle.response_complete

    def _refuse(self, status: int, field: str, reason: str) -> None:
        """Answer what the application cannot be asked about, and close."""
        if self._is_under_way and not self.cycle.more_body:
            self.cycle.keep_alive = False  # the request before is whole: it is answered, and then this is the end
            return
        if not self._is_under_way or not self.cycle.response_started:
            body = error_body(status, [FieldError(field, reason)])
            head = (
                f"HTTP/1.1 {status} {HTTPStatus(status).phrase}\r\ncontent-type: application/json\r\n"
                f"content-length: {len(body)}\r\ncache-control: no-store\r\nconnection: close\r\n\r\n"
            )
            self.transport.write(head.encode() + body)
        self.transport.close()

    # -- time ------------------------------------------------------------------------------------------------------

    def _expect_head(self) -> None:
        self._is_head_timed = True
        self.gateway.driver.set_timeout(self._head_timeout, self.gateway.hello_timeout)

    def _head_timeout(self) -> None:
        self._is_head_timed = False
        if self.transport.is_closing():
            return
        if self._is_under_way:
            self._expect_head()  # reading may be paused for an earlier request's sake
        elif self._is_in_head:
            self._refuse(408, "request", "did not arrive in time")
        else:
            self.transport.close()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        self._expect_taken()

    def _expect_taken(self) -> None:
        self._untaken = self.transport.get_write_buffer_size()
        if self._untaken:
            self.gateway.driver.set_timeout(self._answer_timeout, ANSWER_TIMEOUT)

    def _answer_timeout(self) -> None:
        before = self._untaken
        if self.transport.get_write_buffer_size() < before:
            self._expect_taken()
        else:
            self.transport.abort()

    # -- upgrades --------------------------------------------------------------------------------------------------

    def _is_other_upgrade(self) -> bool:
        """Whether a request for an upgrade asks for something else than a WebSocket (CONNECT is no such request)."""
        return self.parser.get_method() != b"CONNECT" and not self._should_upgrade()

    def _read_plainly(self, rest: bytes) -> None:
        """Serve a request that asks for another upgrade as if it did not.

        Java's HttpClient asks for h2c with every request; the parser takes such a request to have no body, and is
        of no use after it. So a new one reads the same head, without the word that offended.
        """
        lines = [b"%b %b HTTP/%b" % (self.parser.get_method(), self.url, self.parser.get_http_version().encode())]
        for name, value in self.headers:
            tokens = value.split(b",") if name == b"connection" else [value]
            lines.append(name + b": " + b",".join(token for token in tokens if token.strip().lower() != b"upgrade"))
        self.parser = httptools.HttpRequestParser(self)
        self.data_received(b"\r\n".join(lines) + b"\r\n\r\n" + rest)

    def _hand_on(self, rest: bytes) -> None:
        self.gateway.driver.discard_timeout(self._head_timeout)
        self.gateway.driver.discard_timeout(self._answer_timeout)
        upgraded: Any = self.transport.get_protocol()
        if rest:
            upgraded.data_received(rest)
        self.parser = None  # type: ignore[assignment]
        self.cycle = None  # type: ignore[assignment]
