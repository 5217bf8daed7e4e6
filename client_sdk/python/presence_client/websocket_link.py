"""A link over WebSocket, by the `websockets` package.

It owns no decision: when to ping, when to give up and when to come back is the core's. The package's own keepalive
is off for that reason; the server's pings are answered by it, and reported, since they are signs of life.
"""

import asyncio
import email.utils
import errno
import os
import ssl
from collections import deque
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any, Final

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidStatus, InvalidURI
from websockets.typing import Subprotocol

from presence_client.address import Address
from presence_client.attempts import End
from presence_client.links import Events
from presence_protocol.close_codes import CloseCode
from presence_protocol.codec import JSON, MSGPACK, Codec
from presence_protocol.errors import InvalidMessage, MalformedMessage
from presence_protocol.messages import AnyClientMessage, AnyServerMessage

MAX_SIZE: Final = 4 * 1024 * 1024
"""Bytes of one message from a server: 500 entries with long texts in JSON come to some 600 KB."""

CLOSE_TIMEOUT: Final = 2.0
"""Seconds that the other side may take to agree to a close."""


class _Connection(ClientConnection):
    """A connection that reports each frame that arrives."""

    on_frame: Callable[[], None] | None = None

    def process_event(self, event: Any) -> None:
        super().process_event(event)
        if self.on_frame is not None:
            self.on_frame()


class WebSocketLink:
    """One WebSocket to `address`."""

    def __init__(
        self, address: Address, codec: Codec, headers: Mapping[str, str] | None, ssl_context: ssl.SSLContext | None
    ) -> None:
        self._address = address
        self._codec = codec
        self._headers = headers
        self._ssl = ssl_context
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
        except (OSError, InvalidHandshake, InvalidURI) as failure:
            return _end_of(failure)
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
        connection = await connect(
            self._address.websocket,
            subprotocols=[Subprotocol(self._codec.subprotocol)],
            compression=None,  # messages are small, and the server has no extension
            additional_headers=self._headers,
            proxy=None if self._address.is_local else True,
            ssl=self._ssl,
            open_timeout=None,  # the core has one
            ping_interval=None,
            close_timeout=CLOSE_TIMEOUT,
            max_size=MAX_SIZE,
            create_connection=_Connection,
        )
        assert isinstance(connection, _Connection)
        if connection.subprotocol is None:
            self._codec = JSON
        return connection

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
            if closed.rcvd is None:
                return End(CloseCode.ABNORMAL, "the connection was lost")
            return End(closed.rcvd.code, closed.rcvd.reason)

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


def words_of(failure: BaseException) -> str:
    """Why something failed, in words: the system's own where there are some."""
    cause: BaseException | None = failure
    while cause is not None:
        if isinstance(cause, ssl.SSLError):
            return str(cause)
        if isinstance(cause, OSError) and cause.errno is not None and cause.errno in errno.errorcode:
            return os.strerror(cause.errno)
        if isinstance(cause, OSError) and cause.strerror:
            return cause.strerror  # the resolver's numbers are not the system's
        cause = cause.__cause__ or cause.__context__
    return str(failure) or type(failure).__name__


def seconds_of(retry_after: str | None) -> float | None:
    """A Retry-After header in seconds from now; None for none, or for what cannot be read."""
    if retry_after is None:
        return None
    if retry_after.strip().isdecimal():
        return float(retry_after)
    try:
        return max(0.0, (email.utils.parsedate_to_datetime(retry_after) - datetime.now(UTC)).total_seconds())
    except (ValueError, TypeError):
        return None


def end_of_refusal(status: int, retry_after: float | None = None) -> End:
    """How a link ended whose upgrade was refused with an HTTP status. `retry_after`: seconds, if it said so."""
    code = CloseCode.ABNORMAL  # something on the way may not let WebSockets through
    if status == 401:
        code = CloseCode.UNAUTHENTICATED
    elif status == 503 and retry_after is not None:
        code = CloseCode.UNAVAILABLE  # the server's own word: full or draining
    return End(code, f"HTTP {status}", retry_after)


def _end_of(failure: Exception) -> End:
    """How a link ended that never came about."""
    if isinstance(failure, InvalidStatus):
        retry_after = seconds_of(failure.response.headers.get("Retry-After"))
        return end_of_refusal(failure.response.status_code, retry_after)
    # A reset in the middle of the handshake is something on the way; before it nobody was there.
    was_reached = not isinstance(failure, OSError) or isinstance(failure, ConnectionResetError | ssl.SSLError)
    return End(CloseCode.ABNORMAL, words_of(failure), was_reached=was_reached)
