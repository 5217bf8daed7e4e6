"""Who takes a new connection on: by its first bytes, a WebSocket at once, or an `HttpConnection`.

Most connections are WebSockets whose request looks like all others. Making an HTTP protocol with its parser for each,
only to leave it a moment later, was a third of what a client costs that comes and goes.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING, Final, cast

from presence_server.transports.http.connection import FULL, HttpConnection
from presence_server.transports.http.exchange import refusal
from presence_server.transports.http.heads import over_limit
from presence_server.transports.websocket.connection import WebSocketConnection
from presence_server.transports.websocket.handshake import checked, usual

if TYPE_CHECKING:
    from starlette.types import ASGIApp
    from uvicorn.config import Config
    from uvicorn.server import ServerState

    from presence_server.transports.http.books import Place
    from presence_server.transports.http.serving import Serving

TO_BE_TOLD: Final = 1.0
"""Seconds until one who has no place, and asks for nothing, is told that the server is full."""


class Door(asyncio.Protocol):
    """A connection that has not said a word yet. Whoever says none in time is hung up on."""

    __slots__ = ("_app", "_place", "_serving", "_state", "_transport")

    def __init__(self, serving: Serving, app: ASGIApp, state: ServerState) -> None:
        """`app` answers what is plain HTTP. `state` is uvicorn's: whom it will `shutdown` at its end."""
        self._serving = serving
        self._app = app
        self._state = state
        self._transport: asyncio.Transport | None = None
        self._place: Place

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        serving = self._serving
        self._transport = cast("asyncio.Transport", transport)
        self._state.connections.add(self)  # type: ignore[arg-type]
        self._place = serving.books.arrive(self, serving.clock.now())
        if serving.entrance.of_connections is not None:
            self._count(serving)
        patience = (
            serving.limits.header_timeout if self._place.is_taken else min(TO_BE_TOLD, serving.limits.header_timeout)
        )
        serving.driver.set_timeout(self._time_is_up, patience)

    def _count(self, serving: Serving) -> None:
        """See whether its address connects too often: then it gets no place, and is told so when it asks."""
        assert self._transport is not None
        peername = self._transport.get_extra_info("peername")
        self._place.over = serving.entrance.over_connecting(peername[0] if peername else "", serving.clock.now())
        if self._place.over is not None:
            serving.books.give_back(self._place)

    def connection_lost(self, exc: Exception | None) -> None:
        if self._leave() is not None:
            self._serving.books.leave(self._place)

    def data_received(self, data: bytes) -> None:
        transport, serving, place = self._leave(), self._serving, self._place
        if transport is None:
            return
        has_place = place.over is None and (place.is_taken or serving.books.seat(place, serving.clock.now()))
        if place.over is not None and data.startswith(b"GET ") and data.endswith(b"\r\n\r\n"):
            # Nearly all of them, whom it costs least to refuse here; who sends more is read on for a while.
            bad = over_limit(place.over)
            transport.write(refusal(bad.status, bad.field, bad.reason, bad.headers))
            transport.close()
            serving.books.leave(place)
            return
        found = usual(data, serving.websockets) if has_place else None
        if found is None:
            http = HttpConnection(serving, self._app, self._state, place)
            place.holder = http
            _hand_over(transport, http)
            http.data_received(data)
            return
        place.holder = None  # a WebSocket is only counted; and this one and its place hold each other
        handshake, rest = found
        peername = transport.get_extra_info("peername")
        handshake = checked(handshake, peername[0] if peername else "", serving.entrance)
        if handshake.is_accepted:
            serving.books.work(place)
        else:
            serving.books.give_back(place)
        connection = WebSocketConnection(serving.websockets)
        _hand_over(transport, connection)
        connection.open(handshake)
        if rest and handshake.is_accepted:
            connection.data_received(rest)

    def _time_is_up(self) -> None:
        if self._transport is not None and not self._place.is_taken:
            bad = FULL if self._place.over is None else over_limit(self._place.over)
            self._transport.write(refusal(bad.status, bad.field, bad.reason, bad.headers))
            if bad is FULL:
                self._serving.refused["max_connections"] += 1
        self.shutdown()

    def shutdown(self) -> None:
        """End: the process does, or nothing was said in time."""
        if self._transport is not None:
            self._transport.close()

    give_way = shutdown

    def end_when_idle(self) -> None:
        """It is about to say its first word, which is still heard."""

    def _leave(self) -> asyncio.Transport | None:
        """It is this one's no more: neither to time nor to end."""
        transport, self._transport = self._transport, None
        self._state.connections.discard(self)
        self._serving.driver.discard_timeout(self._time_is_up)
        return transport


def _hand_over(transport: asyncio.Transport, protocol: HttpConnection | WebSocketConnection) -> None:
    transport.set_protocol(protocol)
    protocol.connection_made(transport)


def opened_for(serving: Serving) -> Callable[..., Door]:
    """What makes a `Door`, for uvicorn's `http` setting."""

    def open_door(*, config: Config, server_state: ServerState, **_further: object) -> Door:
        return Door(serving, config.loaded_app, server_state)

    return open_door
