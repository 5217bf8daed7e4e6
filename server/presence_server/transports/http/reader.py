"""Bytes in, one request out: httptools' parser, fed no more than the request that is being read.

It keeps no time and knows no socket: what a connection does with a request is the connection's.
"""

from __future__ import annotations

from typing import Final, Protocol

import httptools

from presence_server.transports.http.framing import Framing
from presence_server.transports.http.heads import CHUNKED, OF_INTEREST, BadHead, Headers, why_unread

PIECE: Final = 2 * 1024
"""Bytes of a body that are parsed at once: 0.5 ms if it comes in chunks of a byte each."""

NO_HTTP: Final = BadHead(400, "request", "is not an HTTP request")
NO_CHUNKS: Final = BadHead(400, "request", "has a body that is not in chunks")


class Requests(Protocol):
    """Who is told of requests."""

    def begin(self, reader: Reader) -> None:
        """A head is whole.

        Raises:
            BadHead: it is refused.
        """

    def take_body(self, body: bytes) -> None: ...

    def end_body(self) -> None: ...

    def may_begin(self) -> bool:
        """Whether the request before has been answered."""


class Reader:
    """What of a request has been read, and the parser that reads on.

    `refused`: why it is, if it is. `is_upgraded`: what follows is no HTTP; set by whoever accepts that.
    """

    __slots__ = (
        "_framing",
        "_max_header",
        "_parser",
        "_pending",
        "_requests",
        "headers",
        "is_in_body",
        "is_in_head",
        "is_replaying",
        "is_upgraded",
        "length",
        "refused",
        "special",
        "url",
    )

    def __init__(self, requests: Requests, max_header: int) -> None:
        self._requests: Requests | None = requests
        self._max_header = max_header
        self._parser: httptools.HttpRequestParser | None = httptools.HttpRequestParser(self)
        self._framing = Framing()
        self._pending = 0  # bytes parsed since the last that were of a body, or that ended a message
        self.url = b""
        self.headers: Headers = []
        self.special: Headers = []  # those OF_INTEREST
        self.length = 0  # of the body, as its head says; or CHUNKED
        self.refused: BadHead | None = None
        self.is_upgraded = False
        self.is_in_head = False
        self.is_in_body = False  # its head is whole, and it has not ended
        self.is_replaying = False

    @property
    def is_chunked(self) -> bool:
        """Whether a chunked body is being read, of which a piece may be dear."""
        return self.is_in_body and self.length == CHUNKED

    def read(self, data: bytes, start: int) -> int:
        """Parse a piece of `data` from `start` on, as much as belongs to one request. Returns where it ends.

        Look at `refused` and `is_upgraded` after it.
        """
        try:
            end = self._framing.cut(data, start, PIECE)
        except ValueError:
            self.refused = NO_CHUNKS
            return start
        self._feed(data[start:end] if start or end < len(data) else data)
        return end

    def method(self) -> bytes:
        assert self._parser is not None
        return self._parser.get_method()

    def version(self) -> str:
        assert self._parser is not None
        return self._parser.get_http_version()

    def keeps_alive(self) -> bool:
        assert self._parser is not None
        return self._parser.should_keep_alive()

    def expect(self, length: int) -> None:
        """The body is so long; CHUNKED: that is not known yet."""
        if length == CHUNKED:
            self._framing.expect_chunks()
        elif length:
            self._framing.expect_length(length)

    def close(self) -> None:
        """Let go of the parser and of who was told, which hold this."""
        self._parser = self._requests = None
        self.headers, self.special = [], []
        self.refused = None

    def _feed(self, piece: bytes) -> None:
        parser = self._parser
        assert parser is not None
        self._pending += len(piece)
        try:
            parser.feed_data(piece)
            if self.is_in_body and parser.should_upgrade() and not self.is_upgraded and self.refused is None:
                self._replay()
        except httptools.HttpParserUpgrade:
            if not self.is_upgraded and self.refused is None:
                self._replay()
        except httptools.HttpParserError:
            self.refused = self.refused or (self.is_in_head and why_unread(piece)) or NO_HTTP
        if self._pending > self._max_header:
            self.refused = BadHead(431, "request", f"has a head of more than {self._max_header} bytes")

    def _replay(self) -> None:
        """Read the body of a request that asks for an upgrade that there is not.

        Java's HttpClient asks for h2c with every request. The parser takes such a request to have no body, and is of no
        use after it: a new one gets a head that says of the body what this one did, and nothing else.
        """
        self._parser = httptools.HttpRequestParser(self)
        body = b"Transfer-Encoding: chunked" if self.length == CHUNKED else b"Content-Length: %d" % self.length
        self.is_replaying = True
        try:
            self._parser.feed_data(b"POST / HTTP/1.1\r\n" + body + b"\r\n\r\n")
        finally:
            self.is_replaying = False

    # -- parser callbacks ------------------------------------------------------------------------------------------

    def on_message_begin(self) -> None:
        if self.is_replaying:
            return
        assert self._requests is not None
        if self.is_in_body or not self._requests.may_begin():
            raise ValueError("a request within a request")
        self.is_in_head = True
        self.url, self.headers, self.special = b"", [], []

    def on_url(self, url: bytes) -> None:
        self.url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        if self.is_in_body:
            return  # a trailer, which nobody asked for
        name = name.lower()
        self.headers.append((name, value))
        if name in OF_INTEREST:
            self.special.append((name, value))

    def on_headers_complete(self) -> None:
        if self.is_in_body:
            return  # replayed
        assert self._requests is not None
        self.is_in_head, self.is_in_body = False, True
        try:
            self._requests.begin(self)
        except BadHead as bad:
            self.refused = bad

    def on_body(self, body: bytes) -> None:
        self._pending = 0
        assert self._requests is not None
        self._requests.take_body(body)

    def on_message_complete(self) -> None:
        assert self._parser is not None
        assert self._requests is not None
        if self._parser.should_upgrade() or self.refused is not None:
            return  # it takes a request to upgrade to have no body
        self._pending = 0
        self.is_in_body = False
        self._framing.begin()
        self._requests.end_body()
