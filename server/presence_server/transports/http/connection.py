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
that no cycle waits for the collector. What is read when is decided in `reading`, what is written in `writing`, and time
is kept by `patience`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import TYPE_CHECKING, Final, cast

from presence_protocol.paths import WS_PATH
from presence_server.transports.addresses import is_tls, peer_of, server_of
from presence_server.transports.http.exchange import Exchange, refusal
from presence_server.transports.http.heads import MAX_LINES, BadHead, over_limit, read_target, read_wishes, with_host
from presence_server.transports.http.patience import APPLICATION, BODY, END, HEAD, NEXT
from presence_server.transports.http.peeking import GONE, SAYS_NO_MORE, has_unread, what_is_said
from presence_server.transports.http.reader import NO_HTTP, Reader
from presence_server.transports.http.reading import ReadingProtocol
from presence_server.transports.operations import PATHS
from presence_server.transports.websocket.connection import WebSocketConnection
from presence_server.transports.websocket.handshake import Handshake, checked, shake_hands

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Scope
    from uvicorn.server import ServerState

    from presence_server.transports.http.books import Place
    from presence_server.transports.http.serving import Serving

LINGER: Final = 1.0
"""Seconds for which what arrives after the last answer is discarded, up to `reading.MAX_LINGER` bytes."""

LIMITS: Final = {408: "header_timeout", 431: "max_header", 503: "max_connections"}
"""By the status of a refusal here: the setting whose limit it was."""

UNREAD: Final = "unread"
"""Stands for the method and the path of a request of which there is no head."""

_ASGI: Final = {"version": "3.0", "spec_version": "2.3"}

FULL: Final = BadHead(503, "server", "is full")
FULL_OF_HTTP: Final = BadHead(503, "max_http_connections", "are all taken")


class HttpConnection(ReadingProtocol):
    """What becomes of each request, and how a connection ends; it reads and writes as its halves do."""

    __slots__ = (
        "_app",
        "_client",
        "_has_http_place",
        "_place",
        "_rests_since",
        "_server",
        "_state",
    )

    def __init__(self, serving: Serving, app: ASGIApp, state: ServerState, place: Place) -> None:
        """`state` is uvicorn's: whom it will `shutdown` at its end, and the tasks that it waits for."""
        super().__init__(serving)
        self._app = app
        self._state = state
        self._place = place
        self._server: tuple[str, int] | None = None
        self._client: tuple[str, int] | None = None
        self._has_http_place = False
        self._rests_since = 0.0

    # -- asyncio.Protocol ------------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._state.connections.add(self)  # type: ignore[arg-type]
        self._is_tls = is_tls(transport)
        self._server, self._client = server_of(transport), peer_of(transport)
        self._patience.expect(HEAD, self._serving.limits.header_timeout)

    def connection_lost(self, exc: Exception | None) -> None:
        if self._transport is None:
            return  # it is another protocol's
        self._transport = None
        self._serving.unsent.discard(self)
        self._forget()
        self._leave()
        self._give_back_http_place()
        self._serving.books.leave(self._place)

    # -- Requests: what the reader tells -----------------------------------------------------------------------------

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

    # -- Line: what an exchange needs ------------------------------------------------------------------------------

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

    def default_headers(self) -> Iterable[tuple[bytes, bytes]]:
        return self._state.default_headers

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

    def time_is_up(self) -> None:
        """What is awaited has not come in its time."""
        awaited = self._patience.awaited
        if awaited == BODY:
            self._refuse(BadHead(408, "body", "did not arrive in time"))
        elif awaited == APPLICATION:
            self._look()
        elif awaited == HEAD:
            if self._reader.is_in_head:
                self._refuse(BadHead(408, "request", "did not arrive in time"))
            else:
                self._close()
        elif not self._is_being_taken():
            self.abort()
        elif self._untaken:
            self._patience.extend(self._serving.limits.answer_timeout / 2)
        elif awaited == NEXT:
            left = self._rests_since + self._serving.limits.keep_alive_timeout - self._serving.clock.now()
            if left > 0:
                self._patience.extend(left)
            else:
                self._close()
        else:
            self.abort()

    def _rest(self) -> None:
        """All that was asked is answered."""
        http = self._serving.limits
        self._untaken = 0
        self._rests_since = self._serving.clock.now()
        self._patience.expect(NEXT, min(http.keep_alive_timeout, http.answer_timeout / 2))
        self._serving.books.rest(self._place)

    def _look(self) -> None:
        """A request waits for its answer, and its client is not read from or sends no more: may it be gone?"""
        self._patience.wait_for(APPLICATION)
        if self._is_half_closed:
            said = SAYS_NO_MORE
        else:
            assert self._transport is not None
            said = what_is_said(self._transport)
            # Its end may lie behind more than the kernel takes.
            self._drop_ahead()
        if said & GONE:
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
        elif not (self._reader.is_in_head or self._reader.is_in_body or self._ahead or has_unread(self._transport)):
            self._close()

    def give_way(self) -> None:
        """The place is another's. Nothing is under way here."""
        if self._reader.is_in_head:
            self._refuse(BadHead(408, "request", "did not arrive in time, and the server is full"))
        else:
            self._close()

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
        self._patience.expect(END, LINGER)

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
        self._patience.end()

    def __repr__(self) -> str:
        return f"<HttpConnection {self._exchange!r}>"
