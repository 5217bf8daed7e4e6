"""Who takes a new connection on: by its first bytes, a WebSocket at once, or uvicorn's HTTP protocol.

Most connections are WebSockets whose request looks like all others. Making an HTTP protocol with its parser for each,
only to leave it a moment later, was a third of what a client costs that comes and goes.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, cast

from presence_server.transports.handshake import usual
from presence_server.transports.http1 import HttpConnection
from presence_server.transports.websocket import WebSocketConnection

if TYPE_CHECKING:
    from presence_server.transports.gateway import Gateway


class Door(asyncio.Protocol):
    """A connection that has not said a word yet. Whoever says none in time is hung up on."""

    __slots__ = ("_gateway", "_http", "_transport", "_waiting")

    def __init__(self, gateway: Gateway, waiting: set[Any], http: Callable[[], HttpConnection]) -> None:
        """`waiting`: those whom uvicorn will `shutdown` at its end. `http` makes the protocol for all else."""
        self._gateway = gateway
        self._waiting = waiting
        self._http = http
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._waiting.add(self)
        self._gateway.driver.set_timeout(self.shutdown, self._gateway.hello_timeout)

    def connection_lost(self, exc: Exception | None) -> None:
        self._leave()

    def data_received(self, data: bytes) -> None:
        transport = self._leave()
        if transport is None:
            return
        found = usual(data, self._gateway)
        if found is None:
            http = self._http()
            _hand_over(transport, http)
            http.data_received(data)
            return
        handshake, rest = found
        connection = WebSocketConnection(self._gateway)
        _hand_over(transport, connection)
        connection.open(handshake)
        if rest:
            connection.data_received(rest)

    def shutdown(self) -> None:
        if self._transport is not None:
            self._transport.close()

    def _leave(self) -> asyncio.Transport | None:
        """It is this one's no more: neither to time nor to end."""
        transport, self._transport = self._transport, None
        self._waiting.discard(self)
        self._gateway.driver.discard_timeout(self.shutdown)
        return transport


def _hand_over(transport: asyncio.Transport, protocol: HttpConnection | WebSocketConnection) -> None:
    transport.set_protocol(protocol)
    protocol.connection_made(transport)


def opened_for(gateway: Gateway) -> Callable[..., Door]:
    """What makes a `Door`, for uvicorn's `http` setting."""

    def open_door(*, server_state: Any, **further: Any) -> Door:
        def http() -> HttpConnection:
            return HttpConnection(gateway, server_state=server_state, **further)

        return Door(gateway, server_state.connections, http)

    return open_door
