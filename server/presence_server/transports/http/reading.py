"""What a client sends, read no further than it is answered: one request at a time.

What it sends ahead of an answer stays bytes, `MAX_AHEAD` of them (and one read), and then its socket is not read from.
What takes long to parse shares turns of the loop with all others (see `shares`). Here is decided when the socket is
read from, how much is parsed, and what is waited for meanwhile; what becomes of a request is the connection's.
"""

from __future__ import annotations

from math import inf
from typing import TYPE_CHECKING, Final

from presence_server.transports.http.exchange import Exchange
from presence_server.transports.http.heads import BadHead
from presence_server.transports.http.patience import APPLICATION, BODY, HEAD, Patience
from presence_server.transports.http.reader import Reader
from presence_server.transports.http.writing import WritingProtocol
from presence_server.transports.websocket.handshake import Handshake

if TYPE_CHECKING:
    from presence_server.transports.http.serving import Serving

MAX_AHEAD: Final = 16 * 1024
"""Bytes that a client may send ahead of an answer; beyond it is not read from."""

MAX_BODY_HELD: Final = 64 * 1024
"""Bytes of a body that wait for the application to take them; beyond, the client is not read from."""

MAX_AHEAD_OF_ALL: Final = 64 * 1024 * 1024
"""Bytes that all clients together may have sent ahead. Beyond it, what one sends ahead is dropped, and its connection
ends with the answer that is under way."""

MAX_LINGER: Final = 4 * 1024 * 1024
"""Bytes that are discarded after the last answer; whoever sends more is cut off."""

LEAVING: Final = 2.0
"""Seconds that a long poll goes on after its client has half-closed: it may have left, which looks the same."""

LOOK: Final = 1.0
"""Seconds for which a client that waits for an answer, and has sent too much ahead, is not read from. Then what it has
sent ahead is dropped: it may have left, and its end lies behind that."""


class ReadingProtocol(WritingProtocol):
    """The reading half of a connection. The methods without a body say what it needs of the other."""

    __slots__ = (
        "_ahead",
        "_at",
        "_discarded",
        "_exchange",
        "_handshake",
        "_held",
        "_is_behind",
        "_is_dropping",
        "_is_early",
        "_is_going_on",
        "_is_half_closed",
        "_is_paused",
        "_is_tls",
        "_patience",
        "_reader",
    )

    def __init__(self, serving: Serving) -> None:
        super().__init__(serving)
        self._reader = Reader(self, serving.limits.max_header)
        self._patience = Patience(serving.clock, serving.driver, self)
        self._ahead = b""  # what has arrived, and up to where it was parsed
        self._is_behind = False  # it came before the request before it was answered
        self._at = 0
        self._held = 0  # of that, what counts for all
        # The request that is being read, or answered.
        self._exchange: Exchange | None = None
        self._handshake: Handshake | None = None
        self._is_early = False  # it was answered before its end
        # The socket.
        self._is_paused = False  # not read from
        self._is_going_on = False  # will be called in its turn
        self._is_half_closed = False
        self._is_tls = False
        self._is_dropping = False  # what still comes will not be served
        self._discarded = 0

    def begin(self, reader: Reader) -> None:
        """A head is whole: makes an exchange of it, or a handshake. Raises `BadHead` where it is refused."""
        raise NotImplementedError

    def time_is_up(self) -> None:
        """What is awaited has not come in its time."""
        raise NotImplementedError

    def _rest(self) -> None:
        """All that was asked is answered."""
        raise NotImplementedError

    def _refuse(self, bad: BadHead) -> None:
        """Answer so, and end."""
        raise NotImplementedError

    def _close(self) -> None:
        """End, once all is written."""
        raise NotImplementedError

    def _hand_over(self, handshake: Handshake, rest: bytes) -> None:
        """It is a WebSocket from here on, which has sent `rest` already."""
        raise NotImplementedError

    # -- what the reader asks and tells ------------------------------------------------------------------------------

    def may_begin(self) -> bool:
        return self._exchange is None

    def take_body(self, body: bytes) -> None:
        if self._exchange is not None:
            self._exchange.take_body(body)

    def end_body(self) -> None:
        self._is_early = False
        if self._exchange is not None:
            self._exchange.end_body()

    # -- what the exchange asks and tells ----------------------------------------------------------------------------

    def body_taken(self) -> None:
        if not (self._is_closing or self._is_going_on):
            self._read()

    def may_keep_alive(self) -> bool:
        return not self._is_half_closed or self._at < len(self._ahead)

    # -- reading -----------------------------------------------------------------------------------------------------

    def data_received(self, data: bytes) -> None:
        self._serving.counts.http.received += len(data)
        if self._is_closing or self._is_dropping:
            self._discarded += len(data)
            if self._discarded > MAX_LINGER:
                self.abort()
            return
        if self._ahead:
            self._ahead = self._ahead[self._at :] + data
        else:
            self._ahead, self._is_behind = data, self._is_waiting
        self._at = 0
        if not self._is_going_on:
            self._read()

    def eof_received(self) -> bool:
        """True: the client sends no more, and is still to be answered."""
        self._is_half_closed = True
        if not (self._is_closing or self._is_going_on):
            self._read()
        return not (self._is_closing or self._is_tls)  # TLS ends both ways at once

    def resume_writing(self) -> None:
        super().resume_writing()
        if not (self._is_closing or self._is_going_on):
            self._read()

    @property
    def _is_waiting(self) -> bool:
        """Whether a request is here as a whole, and not answered yet."""
        return self._exchange is not None and not self._reader.is_in_body

    def _read(self) -> None:
        """Parse what has arrived, and the next request when one is answered. What takes long shares a turn with all."""
        if self._parse(0.0):
            self._wait()

    def _wait(self) -> None:
        """Ask for a turn, and do not read until then."""
        self._is_going_on = True
        self._pause(True)
        self._serving.shares.ask(self)

    def take_turn(self, now: float, ends_at: float) -> bool:
        self._is_going_on = False
        if not self._is_closing and self._transport is not None:
            self._is_going_on = self._parse(ends_at)
        return self._is_going_on

    def _parse(self, ends_at: float) -> bool:
        """Parse until `ends_at`; if that is 0, what an ordinary request has, and then as long as this turn lasts.

        Returns whether there is more to do.
        """
        clock, shares = self._serving.clock, self._serving.shares
        reader, data, began, pieces = self._reader, self._ahead, 0.0, 0
        is_spent = False
        while self._at < len(data) and not self._must_wait():
            if pieces > 1 or ends_at or reader.is_chunked:
                now = clock.now()
                if not ends_at:
                    began, ends_at = now, now + shares.left
                if is_spent := now >= ends_at and (pieces > 0 or began > 0):
                    break
            self._at = end = reader.read(data, self._at)
            pieces += 1
            if reader.refused is not None:
                self._refuse(reader.refused)
            if self._is_closing:
                return False
            if self._handshake is not None:
                self._hand_over(self._handshake, data[end:])
                return False
        if began:
            shares.charge(self, clock.now() - began)
        if self._at >= len(data):
            self._ahead, self._at = b"", 0
        if not is_spent:
            self._settle()
        return is_spent

    def _must_wait(self) -> bool:
        exchange = self._exchange
        if exchange is None:
            return self._is_full
        return not self._reader.is_in_body or len(exchange.body) > MAX_BODY_HELD

    def _settle(self) -> None:
        """All is parsed that may be now: see what to wait for."""
        http = self._serving.limits
        if self._is_waiting:
            if not self._ahead and not (self._is_half_closed or self._held):
                self._pause(False)
                self._patience.wait_for(APPLICATION)
            elif self._is_half_closed:
                self._patience.expect(APPLICATION, LEAVING)
            else:
                if self._count_ahead():
                    self._drop_ahead()
                else:
                    self._pause(self._held >= MAX_AHEAD)
                self._patience.expect(APPLICATION, LOOK if self._is_paused else inf)
        elif self._is_half_closed and self._at >= len(self._ahead):
            self._end_early()
        else:
            self._count_ahead()
            self._pause(self._at < len(self._ahead))
            if self._reader.is_in_body:
                self._patience.expect(BODY, http.body_timeout)
            elif self._reader.is_in_head:
                self._patience.expect(HEAD, http.header_timeout)
            elif self._patience.awaited == BODY:
                self._rest()

    def _count_ahead(self) -> bool:
        """Keep the books of what is sent ahead by all. Returns whether it is too much."""
        books, ahead = self._serving.books, len(self._ahead) - self._at
        books.ahead += ahead - self._held
        self._held = ahead
        return ahead > 0 and books.ahead > MAX_AHEAD_OF_ALL

    def _drop_ahead(self) -> None:
        """Serve nothing of what was sent ahead, and read on to see when the client leaves."""
        self._is_dropping = True
        self._ahead, self._at = b"", 0
        self._count_ahead()
        if self._exchange is not None:
            self._exchange.keeps_alive = False
        self._pause(False)

    def _end_early(self) -> None:
        """The client sends no more, and nothing that it asked for waits."""
        if self._reader.is_in_head or self._reader.is_in_body:
            self._refuse(BadHead(400, "body" if self._reader.is_in_body else "request", "ended early"))
        else:
            self._close()

    def _pause(self, wanted: bool) -> None:
        if wanted is self._is_paused or self._transport is None or self._is_half_closed:
            return
        self._is_paused = wanted
        if wanted:
            self._transport.pause_reading()
        else:
            self._transport.resume_reading()
