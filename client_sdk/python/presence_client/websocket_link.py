"""A link over WebSocket, by the `websockets` package.

It owns no decision: when to ping, when to give up and when to come back is the core's. The package's own keepalive
is off for that reason; the server's pings are answered by it, and reported, since they are signs of life.
"""

import asyncio
import logging
import ssl
from collections import deque
from collections.abc import Callable, Iterable
from importlib import metadata
from typing import Any, Final

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus, WebSocketException
from websockets.typing import Subprotocol

from presence_client.attempts import End
from presence_client.errors import InvalidSetting
from presence_client.failures import epoch_of, seconds_of, words_of
from presence_client.links import Events
from presence_client.redirects import MAX_REDIRECTS, Redirect, redirect_of
from presence_client.route import USER_AGENT, Route
from presence_protocol.close_codes import CloseCode
from presence_protocol.codec import JSON, MSGPACK, Codec
from presence_protocol.errors import InvalidMessage, MalformedMessage
from presence_protocol.messages import AnyClientMessage, AnyServerMessage

MAX_SIZE: Final = 4 * 1024 * 1024
"""Bytes of one message from a server: 500 entries with long texts in JSON come to some 600 KB."""

CLOSE_TIMEOUT: Final = 2.0
"""Seconds that the other side may take to agree to a close."""


# The package logs headers and frames, tokens and all, where the root logger is at DEBUG: only if asked for by name.
_wire_log = logging.getLogger("presence_client.wire")
_wire_log.setLevel(logging.INFO)


# What is overridden without being promised. Were it gone, redirects would carry tokens off, and nothing would be heard.
BORROWED: Final = ((connect, "process_redirect"), (ClientConnection, "process_event"))


def check_borrowed(borrowed: Iterable[tuple[type, str]] = BORROWED) -> None:
    """Raises ImportError: the installed websockets lacks a name that this client uses."""
    for owner, name in borrowed:
        if not hasattr(owner, name):
            lost = f"websockets {metadata.version('websockets')} has no {owner.__name__}.{name}"
            raise ImportError(f"{lost}, which presence_client uses: install another version")


check_borrowed()


class _Connect(connect):
    """Redirects are not followed by the package, which would take what the headers of `connect` say along."""

    def process_redirect(self, exc: Exception) -> Exception | str:
        return exc


class _Connection(ClientConnection):
    """A connection that reports each frame that arrives."""

    on_frame: Callable[[], None] | None = None

    def process_event(self, event: Any) -> None:
        super().process_event(event)
        if self.on_frame is not None:
            self.on_frame()


class WebSocketLink:
    """One WebSocket by `route`. `has_token`: hello will show one, so that no redirect leads it elsewhere.

    `json`: what is spoken if the server chooses no codec.
    """

    def __init__(self, route: Route, codec: Codec, json: Codec = JSON, *, has_token: bool = False) -> None:
        self._route = route
        self._codec = codec
        self._json = json
        self._has_token = has_token
        self._url = route.address.websocket
        self._outbox: deque[AnyClientMessage] = deque()
        self._wake = asyncio.Event()
        self._closing: tuple[int, str] | None = None

    def send(self, message: AnyClientMessage) -> None:
        self._outbox.append(message)
        self._wake.set()

    def close(self, code: int, reason: str) -> None:
        self._closing = (code, reason)
        self._wake.set()

    async def run(self, events: Events) -> End:
        try:
            connection = await self._connect()
        except (OSError, WebSocketException, ValueError, RuntimeError, ImportError) as failure:
            return self._end_of(failure)
        writer = asyncio.create_task(self._write(connection))
        try:
            connection.on_frame = events.heard
            events.opened()
            return await self._read(connection, events)
        finally:
            writer.cancel()
            connection.transport.abort()  # no more than a formality where the close was agreed upon
            await asyncio.gather(writer, return_exceptions=True)
            await connection.wait_closed()

    async def _connect(self) -> _Connection:
        headers = self._route.headers
        for _ in range(MAX_REDIRECTS):
            try:
                return await self._connect_to(self._url, headers)
            except InvalidStatus as refusal:
                redirect = _redirect_of(self._url, refusal)
                if redirect is None or not redirect.url or (self._has_token and not redirect.is_trusted):
                    raise
                self._url = redirect.url
                headers = headers if redirect.is_trusted else {}
        return await self._connect_to(self._url, headers)

    async def _connect_to(self, url: str, headers: dict[str, str]) -> _Connection:
        proxy = self._route.proxy_for(url)
        tls: dict[str, Any] = {}
        if url.startswith("wss:"):
            tls["ssl"] = self._route.tls()
        if proxy is not None and proxy.is_secure:
            tls["proxy_ssl"] = self._route.tls()
        connection = await _Connect(
            url,
            subprotocols=[Subprotocol(self._codec.subprotocol)],
            compression="deflate",  # offered: a server that has it on may take it
            additional_headers=headers,
            user_agent_header=headers.get("user-agent", USER_AGENT),
            proxy=None if proxy is None else proxy.url,
            open_timeout=None,  # the core has one
            ping_interval=None,
            close_timeout=CLOSE_TIMEOUT,
            max_size=MAX_SIZE,
            logger=_wire_log,
            create_connection=_Connection,
            **tls,
        )
        assert isinstance(connection, _Connection)
        if connection.subprotocol is None:
            self._codec = self._json
        return connection

    def _end_of(self, failure: Exception) -> End:
        """How a link ended that never came about."""
        if isinstance(failure, InvalidSetting):
            return End(CloseCode.ABNORMAL, str(failure), was_reached=False)
        if isinstance(failure, InvalidStatus):
            response = failure.response
            redirect = _redirect_of(self._url, failure)
            retry_after = seconds_of(response.headers.get("Retry-After"), epoch_of(response.headers.get("Date")))
            return end_of_refusal(response.status_code, retry_after, redirect)
        # A reset in the middle of the handshake is something on the way; before it nobody was there.
        was_reached = not isinstance(failure, OSError) or isinstance(failure, ConnectionResetError | ssl.SSLError)
        reason = words_of(failure)
        proxy = self._route.proxy_for(self._url)
        if proxy is not None:
            reason = f"{reason} (by {proxy})"
        return End(CloseCode.ABNORMAL, reason, was_reached=was_reached)

    async def _read(self, connection: _Connection, events: Events) -> End:
        try:
            while True:
                data = await connection.recv(decode=False)
                try:
                    message = self._decode(data)
                except MalformedMessage as failure:
                    await connection.close(CloseCode.MALFORMED)
                    return End(CloseCode.ABNORMAL, f"the server sent what is no message: {failure}")
                if message is not None:
                    events.received(message)
        except ConnectionClosed as closed:
            return _end_of_close(closed)

    def _decode(self, data: bytes) -> AnyServerMessage | None:
        """The message in a frame; None for one that is newer than this client, which is ignored."""
        try:
            return self._codec.decode_server(data)
        except InvalidMessage:
            return None

    async def _write(self, connection: _Connection) -> None:
        """Whatever fails here fails for the reader, too, which knows why."""
        try:
            while True:
                while self._outbox:
                    data = self._codec.encode(self._outbox.popleft())
                    await connection.send(data, text=not self._codec.is_binary)
                if self._closing is not None:
                    await connection.close(*self._closing)
                    return
                self._wake.clear()
                await self._wake.wait()
        except ConnectionClosed:
            pass


CODECS: Final = {"json": JSON, "msgpack": MSGPACK}
"""By the name that `connect` takes."""


def _end_of_close(closed: ConnectionClosed) -> End:
    """How a link ended that was open. What this side closed with says nothing of the server's wish."""
    if closed.sent is not None and not closed.rcvd_then_sent:
        code, reason = closed.sent.code, closed.sent.reason
        if code == CloseCode.TOO_BIG:
            reason = f"the server sent a message of more than {MAX_SIZE} bytes"
        return End(CloseCode.ABNORMAL, reason or f"closed by this side with {code}")
    if closed.rcvd is None:
        return End(CloseCode.ABNORMAL, "the connection was lost")
    return End(closed.rcvd.code, closed.rcvd.reason)


def _redirect_of(url: str, refusal: InvalidStatus) -> Redirect | None:
    response = refusal.response
    return redirect_of(url, response.status_code, response.headers.get("Location"))


def end_of_refusal(status: int, retry_after: float | None = None, redirect: Redirect | None = None) -> End:
    """How a link ended whose upgrade was refused with an HTTP status. `retry_after`: seconds, if it said so."""
    code = CloseCode.ABNORMAL  # something on the way may not let WebSockets through
    if status == 401:
        code = CloseCode.UNAUTHENTICATED
    elif status == 503 and retry_after is not None:
        code = CloseCode.UNAVAILABLE  # the server's own word: full or draining
    reason = f"HTTP {status}" if redirect is None else f"HTTP {status}, {redirect}; use that URL"
    return End(code, reason, retry_after, http_status=status)
