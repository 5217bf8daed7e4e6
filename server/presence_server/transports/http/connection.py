"""One connection that speaks HTTP/1.1: requests in, one at a time, and their answers out.

The parser is httptools' (see `reader`); the protocol around it is ours, since here what a client may cost is bounded:

- **One request at a time.** Nothing behind a request is parsed before it is answered. What a client sends ahead stays
  bytes, `MAX_AHEAD` of them (and one read), then its socket is not read from. So a pipeline costs what its bytes do,
  and takes turns with all others: a request for each turn of the loop.
- **Everything has its time**: a head, a body, an answer that nobody takes, the pause between two requests.
- **Whoever leaves is noticed**, also behind what they have sent ahead. A client that only half-closes is answered all
  that it has asked; a long poll ends soon, since it may as well be gone.
- **A refusal arrives.** The socket is half-closed after it and read for a moment more: to close a socket with unread
  bytes resets it, and the answer is lost.
- **A wrong head is answered once**, whatever it asks for. A request to upgrade to something else than a WebSocket is
  served as if it had not asked.

Each request makes an `Exchange`, and lets go of it when it is answered; a connection that has ended holds nothing, so
that no cycle waits for the collector.
"""

from __future__ import annotations

import asyncio
import select
from collections.abc import Iterable
from math import inf
from typing import TYPE_CHECKING, Final, cast

from presence_protocol.paths import WS_PATH
from presence_server.transports.addresses import is_tls, peer_of, server_of
from presence_server.transports.http.exchange import Exchange, refusal
from presence_server.transports.http.heads import MAX_LINES, BadHead, over_limit, read_target, read_wishes, with_host
from presence_server.transports.http.reader import NO_HTTP, Reader
from presence_server.transports.operations import PATHS
from presence_server.transports.websocket.connection import WebSocketConnection
from presence_server.transports.websocket.handshake import Handshake, checked, shake_hands

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Scope
    from uvicorn.server import ServerState

    from presence_server.transports.http.books import Place
    from presence_server.transports.http.serving import Serving

MAX_AHEAD: Final = 16 * 1024
"""Bytes that a client may send ahead of an answer; beyond it is not read from."""

MAX_BODY_HELD: Final = 64 * 1024
"""Bytes of a body that wait for the application to take them; beyond, the client is not read from."""

MAX_AHEAD_OF_ALL: Final = 64 * 1024 * 1024
"""Bytes that all clients together may have sent ahead. Beyond it, what one sends ahead is dropped, and its connection
ends with the answer that is under way."""

LINGER: Final = 1.0
"""Seconds for which what arrives after the last answer is discarded, up to `MAX_LINGER` bytes."""

MAX_LINGER: Final = 4 * 1024 * 1024

LEAVING: Final = 2.0
"""Seconds that a long poll goes on after its client has half-closed: it may have left, which looks the same."""

LOOK: Final = 1.0
"""Seconds for which a client that waits for an answer, and has sent too much ahead, is not read from. Then what it has
sent ahead is dropped: it may have left, and its end lies behind that."""

_SAYS_NO_MORE: Final = getattr(select, "POLLRDHUP", 0)  # Linux
_GONE: Final = select.POLLHUP | select.POLLERR

LIMITS: Final = {408: "header_timeout", 431: "max_header", 503: "max_connections"}
"""By the status of a refusal here: the setting whose limit it was."""

UNREAD: Final = "unread"
"""Stands for the method and the path of a request of which there is no head."""

_ASGI: Final = {"version": "3.0", "spec_version": "2.3"}

FULL: Final = BadHead(503, "server", "is full")
FULL_OF_HTTP: Final = BadHead(503, "max_http_connections", "are all taken")

# What a connection waits for, and is given its time for.
_HEAD, _BODY, _APPLICATION, _NEXT, _END = range(5)


class HttpConnection(asyncio.Protocol):
    __slots__ = (
        "_ahead",
        "_app",
        "_at",
        "_awaits",
        "_client",
        "_deadline",
        "_discarded",
        "_exchange",
        "_handshake",
        "_has_http_place",
        "_held",
        "_is_behind",
        "_is_closing",
        "_is_dropping",
        "_is_early",
        "_is_full",
        "_is_going_on",
        "_is_half_closed",
        "_is_paused",
        "_is_tls",
        "_loop",
        "_place",
        "_reader",
        "_server",
        "_serving",
        "_since",
        "_state",
        "_timer_at",
        "_transport",
        "_untaken",
        "_writable",
    )

    def __init__(self, serving: Serving, app: ASGIApp, state: ServerState, place: Place) -> None:
        """`state` is uvicorn's: whom it will `shutdown` at its end, and the tasks that it waits for."""
        self._serving = serving
        self._app = app
        self._state = state
        self._place = place
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport | None = None
        self._server: tuple[str, int] | None = None
        self._client: tuple[str, int] | None = None
        self._reader = Reader(self, serving.limits.max_header)
        self._exchange: Exchange | None = None
        self._ahead = b""  # what has arrived, and up to where it was parsed
        self._is_behind = False  # it came before the request before it was answered
        self._at = 0
        self._held = 0  # of that, what counts for all
        # The request that is being read.
        self._handshake: Handshake | None = None
        self._is_early = False  # it was answered before its end
        # The connection.
        self._has_http_place = False
        self._is_paused = False  # not read from
        self._is_full = False  # what is written waits for the client to read
        self._is_going_on = False  # will be called in its turn
        self._is_half_closed = False
        self._is_tls = False
        self._is_closing = False
        self._is_dropping = False  # what still comes will not be served
        self._writable: asyncio.Future[None] | None = None
        # Time, by the server's clock.
        self._awaits = _HEAD
        self._since = 0.0
        self._deadline = inf
        self._timer_at = inf
        self._untaken = 0  # bytes of answers that had not gone out when last looked at
        self._discarded = 0

    # -- asyncio.Protocol ------------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._state.connections.add(self)  # type: ignore[arg-type]
        self._is_tls = is_tls(transport)
        self._server, self._client = server_of(transport), peer_of(transport)
        self._expect(_HEAD, self._serving.limits.header_timeout)

    def connection_lost(self, exc: Exception | None) -> None:
        if self._transport is None:
            return  # it is another protocol's
        self._transport = None
        self._serving.unsent.discard(self)
        self._forget()
        self._leave()
        self._give_back_http_place()
        self._serving.books.leave(self._place)

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

    def pause_writing(self) -> None:
        self._is_full = True
        if self._transport is not None:
            self._serving.unsent.put(self, self._transport.get_write_buffer_size())

    def give_up(self) -> None:
        """Too much is unsent in all, and most of it here."""
        self.abort()

    def resume_writing(self) -> None:
        self._is_full = False
        self._serving.unsent.discard(self)
        self._release()
        if not (self._is_closing or self._is_going_on):
            self._read()

    # -- Requests: what the reader tells -----------------------------------------------------------------------------

    def may_begin(self) -> bool:
        return self._exchange is None

    def take_body(self, body: bytes) -> None:
        if self._exchange is not None:
            self._exchange.take_body(body)

    def end_body(self) -> None:
        self._is_early = False
        if self._exchange is not None:
            self._exchange.end_body()

    def begin(self, reader: Reader) -> None:
        if len(reader.headers) > MAX_LINES:
            raise BadHead(431, "request", f"has more than {MAX_LINES} header lines")
        method, version = reader.method(), reader.version()
        target = read_target(method, reader.url)
        if self._serving.entrance.root_path:
            target = target.below(self._serving.entrance.root_path)
        wishes = read_wishes(version, reader.special)
        headers = reader.headers if target.host is None else with_host(reader.headers, target.host)
        serving = self._serving
        reader.length = wishes.length
        place = self._place
        if not (place.is_taken or target.path in PATHS or serving.books.seat(place, serving.clock.now())):
            raise FULL
        if place.over is not None:
            raise over_limit(place.over)
        if wishes.is_websocket:
            path = WS_PATH.encode() if target.path == WS_PATH else target.raw_path  # escapes or not
            query = b"?" + target.query if target.query else b""
            handshake = shake_hands(method, path + query, version, headers, serving.websockets)
            self._handshake = checked(handshake, self._client[0] if self._client else "", serving.entrance)
            reader.is_upgraded = True
            return
        if not (self._has_http_place or target.path in PATHS):
            self._has_http_place = serving.places.take()
            if not self._has_http_place:
                raise FULL_OF_HTTP
        serving.books.work(self._place)
        reader.expect(wishes.length)
        scope = {
            "type": "http",
            "asgi": _ASGI,
            "http_version": version,
            "server": self._server,
            "client": self._client,
            "scheme": "https" if self._is_tls else "http",
            "root_path": "",
            "method": method.decode("ascii"),
            "path": target.path,
            "raw_path": target.raw_path,
            "query_string": target.query,
            "headers": headers,
        }
        keeps_alive = version == "1.1" and reader.keeps_alive() and self._place.is_taken
        self._exchange = exchange = Exchange(self, scope, keeps_alive, wishes.expects_continue)
        task = self._loop.create_task(exchange.run(self._app))
        self._state.tasks.add(task)
        task.add_done_callback(self._state.tasks.discard)

    # -- reading ---------------------------------------------------------------------------------------------------

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
                self._awaits, self._deadline = _APPLICATION, inf
            elif self._is_half_closed:
                self._expect(_APPLICATION, LEAVING)
            else:
                if self._count_ahead():
                    self._drop_ahead()
                else:
                    self._pause(self._held >= MAX_AHEAD)
                self._expect(_APPLICATION, LOOK if self._is_paused else inf)
        elif self._is_half_closed and self._at >= len(self._ahead):
            self._end_early()
        else:
            self._count_ahead()
            self._pause(self._at < len(self._ahead))
            if self._reader.is_in_body:
                self._expect(_BODY, http.body_timeout)
            elif self._reader.is_in_head:
                self._expect(_HEAD, http.header_timeout)
            elif self._awaits == _BODY:
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

    # -- Line: what an exchange needs ------------------------------------------------------------------------------

    def write(self, data: bytes) -> None:
        if self._transport is not None and not self._is_closing:
            traffic = self._serving.counts.http
            traffic.writes += 1
            traffic.sent += len(data)
            self._transport.write(data)

    def note(self, scope: Scope, status: int, body: bytes) -> None:
        """A request is answered so."""
        method, path = scope["method"], scope["path"]
        self._serving.counts.request(path, method, status)
        if status >= 400 and path not in PATHS:
            if status == 413:
                self._serving.refused["max_message"] += 1
            self._serving.journal.request_refused(method, path, status, body, self._client[0] if self._client else "")

    def _note_refusal(self, bad: BadHead, answer: bytes) -> None:
        """What the application was not asked about was answered so."""
        if bad.status in LIMITS:
            limit = "body_timeout" if bad.status == 408 and self._reader.is_in_body else LIMITS[bad.status]
            self._serving.refused[limit] += 1
        scope = {"method": UNREAD, "path": UNREAD} if self._exchange is None else self._exchange.scope
        self.note(scope, bad.status, answer.partition(b"\r\n\r\n")[2])

    async def wait_writable(self) -> None:
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

    def default_headers(self) -> Iterable[tuple[bytes, bytes]]:
        return self._state.default_headers

    def may_keep_alive(self) -> bool:
        return not self._is_half_closed or self._at < len(self._ahead)

    def body_taken(self) -> None:
        if not (self._is_closing or self._is_going_on):
            self._read()

    def answered(self, keeps_alive: bool) -> None:
        self._exchange = None
        if self._is_closing:
            return
        self._is_behind = bool(self._ahead)
        if not keeps_alive:
            self._close()
            return
        if self._reader.is_in_body:
            self._is_early = True
        else:
            self._rest()
        if self._is_going_on:
            return
        if self._ahead:
            self._wait()  # those who send ahead share a turn, so that others are between them
        elif self._is_half_closed or self._reader.is_in_body:
            self._read()

    # -- time ------------------------------------------------------------------------------------------------------

    def _expect(self, what: int, seconds: float) -> None:
        """Give `what` so many seconds from now. If it has less already, nothing is changed."""
        deadline = self._serving.clock.now() + seconds
        if what != self._awaits or deadline < self._deadline:
            self._awaits, self._deadline = what, deadline
            if deadline < self._timer_at:
                self._timer_at = deadline
                self._serving.driver.set_timeout(self._time_is_up, seconds)

    def _again(self, seconds: float) -> None:
        """Give more time to what is awaited."""
        self._deadline = inf
        self._expect(self._awaits, seconds)

    def _rest(self) -> None:
        """All that was asked is answered."""
        http = self._serving.limits
        self._untaken = 0
        self._since = self._serving.clock.now()
        self._expect(_NEXT, min(http.keep_alive_timeout, http.answer_timeout / 2))
        self._serving.books.rest(self._place)

    def _time_is_up(self) -> None:
        # The timer is not moved for each request: it may have been set for what is long past.
        self._timer_at = inf
        left = self._deadline - self._serving.clock.now()
        if left > 0:
            if left < inf:
                self._again(left)
        elif self._awaits == _BODY:
            self._refuse(BadHead(408, "body", "did not arrive in time"))
        elif self._awaits == _APPLICATION:
            self._look()
        elif self._awaits == _HEAD:
            if self._reader.is_in_head:
                self._refuse(BadHead(408, "request", "did not arrive in time"))
            else:
                self._close()
        elif not self._is_being_taken():
            self.abort()
        elif self._awaits == _NEXT:
            left = self._since + self._serving.limits.keep_alive_timeout - self._serving.clock.now()
            if left > 0 or self._untaken:
                self._again(self._serving.limits.answer_timeout / 2 if self._untaken else left)
            else:
                self._close()
        elif self._untaken:
            self._again(self._serving.limits.answer_timeout / 2)
        else:
            self.abort()

    def _is_being_taken(self) -> bool:
        """Whether the client has read some of what it had not when last looked at, or all."""
        before, self._untaken = self._untaken, self._transport.get_write_buffer_size() if self._transport else 0
        return not before or self._untaken < before

    def _look(self) -> None:
        """A request waits for its answer, and its client is not read from or sends no more: may it be gone?"""
        self._deadline = inf
        if self._is_half_closed:
            said = _SAYS_NO_MORE
        else:
            poll = select.poll()
            assert self._transport is not None
            poll.register(self._transport.get_extra_info("socket").fileno(), _SAYS_NO_MORE)
            said = next((events for _, events in poll.poll(0)), 0)
            # Its end may lie behind more than the kernel takes.
            self._drop_ahead()
        if said & _GONE:
            self.abort()
        elif said and self._exchange is not None:
            self._exchange.leave()

    # -- the end ---------------------------------------------------------------------------------------------------

    def shutdown(self) -> None:
        """The process ends (uvicorn's word): what is under way is still answered."""
        if self._exchange is None:
            self._close()
        else:
            self._exchange.keeps_alive = False

    def end_when_idle(self) -> None:
        """Another server answers from now on: what was asked here is still answered, and nothing more is awaited."""
        if self._exchange is not None:
            self._exchange.keeps_alive = False
        elif not (self._reader.is_in_head or self._reader.is_in_body or self._ahead or self._has_unread()):
            self._close()

    def _has_unread(self) -> bool:
        """Whether something has arrived that the loop has not read yet."""
        found = None if self._transport is None else self._transport.get_extra_info("socket")
        if found is None or found.fileno() < 0:
            return False
        poll = select.poll()
        poll.register(found.fileno(), select.POLLIN)
        return bool(poll.poll(0))

    def give_way(self) -> None:
        """The place is another's. Nothing is under way here."""
        if self._reader.is_in_head:
            self._refuse(BadHead(408, "request", "did not arrive in time, and the server is full"))
        else:
            self._close()

    def abort(self) -> None:
        if self._transport is not None:
            self._transport.abort()

    def _refuse(self, bad: BadHead) -> None:
        """Answer what the application cannot be asked about, or not any more, and end."""
        if not (self._is_early or (self._is_behind and bad is NO_HTTP)):
            answer = refusal(bad.status, bad.field, bad.reason, bad.headers)
            self.write(answer)
            self._note_refusal(bad, answer)
        # Who is told that the server is full has said all that it had to, and its descriptor is wanted.
        self._close(is_in_flow=bad is not FULL or self._reader.length != 0)

    def _close(self, is_in_flow: bool | None = None) -> None:
        """End, once all is written. Where the client may still be sending, what it sends is read for a while."""
        if is_in_flow is None:
            is_in_flow = self._reader.is_in_head or self._reader.is_in_body or self._is_paused or bool(self._ahead)
            is_in_flow = is_in_flow or self._is_dropping
        transport = self._transport
        self._leave()
        if transport is None:
            return
        self._serving.books.give_back(self._place)
        if is_in_flow and not self._is_half_closed and transport.can_write_eof():
            self._pause(False)
            transport.write_eof()
        else:
            transport.close()
        self._untaken = 0
        self._expect(_END, LINGER)

    def _leave(self) -> None:
        """Let go of all that is under way: nothing that an ended connection holds may wait for the collector."""
        self._is_closing = True
        if self._exchange is not None:
            self._exchange.hang_up()
            self._exchange = None
        self._reader.close()
        self._ahead, self._at = b"", 0
        self._count_ahead()
        self._serving.shares.forget(self)
        self._handshake = None
        self._release()

    def _release(self) -> None:
        writable, self._writable = self._writable, None
        if writable is not None and not writable.done():
            writable.set_result(None)

    def _hand_over(self, handshake: Handshake, rest: bytes) -> None:
        """It is a WebSocket from here on, or a refused one, which ends as one."""
        transport, self._transport = self._transport, None
        assert transport is not None
        self._forget()
        self._leave()
        if handshake.is_accepted:
            self._serving.books.work(self._place)
        else:
            self._serving.books.give_back(self._place)
        self._place.holder = None  # a WebSocket is only counted; and this one and its place hold each other
        self._give_back_http_place()
        connection = WebSocketConnection(self._serving.websockets)
        transport.set_protocol(connection)
        connection.connection_made(transport)
        if self._is_paused:
            transport.resume_reading()
        connection.open(handshake)
        if rest:
            connection.data_received(rest)
        if self._is_half_closed:
            connection.eof_received()
            transport.close()

    def _give_back_http_place(self) -> None:
        if self._has_http_place:
            self._has_http_place = False
            self._serving.places.give_back()

    def _forget(self) -> None:
        """It is this protocol's no more."""
        self._state.connections.discard(self)
        self._serving.driver.discard_timeout(self._time_is_up)

    def __repr__(self) -> str:
        return f"<HttpConnection {self._exchange!r}>"
