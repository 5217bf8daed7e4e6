"""What the transports share: the application, its driver, and the rules of the door."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, NamedTuple

from presence_server.application.hub import Hub
from presence_server.application.polls import Polls
from presence_server.application.ports import Clock
from presence_server.transports.deflate import Deflation
from presence_server.transports.direct import OpenSockets
from presence_server.transports.driver import Driver
from presence_server.transports.hosts import HostPolicy
from presence_server.transports.origins import OriginPolicy
from presence_server.transports.parsers import Parsers
from presence_server.transports.turns import Turns

if TYPE_CHECKING:
    from presence_server.transports.websocket import WebSocketConnection


class GatewayStatistics(NamedTuple):
    connections: int
    polls: int


class Gateway:
    """Handed to every connection and endpoint. Lives as long as the process."""

    def __init__(
        self,
        hub: Hub,
        polls: Polls,
        driver: Driver,
        sockets: OpenSockets,
        clock: Clock,
        origins: OriginPolicy,
        hosts: HostPolicy,
        connection_limit: int,
        max_message: int,
        heartbeat_interval: float,
        hello_timeout: float,
        compression: bool,
    ) -> None:
        self.hub = hub
        self.polls = polls
        self.driver = driver
        self.sockets = sockets
        self.clock = clock
        self.origins = origins
        self.hosts = hosts
        self.turns = Turns(clock, lambda callback: self.call_soon(callback))
        self.max_message = max_message
        self.heartbeat_interval_ms = round(heartbeat_interval * 1000)
        self.hello_timeout = hello_timeout
        self.connections: set[WebSocketConnection] = set()
        self.ws_logger = logging.getLogger("websockets.server")
        self.parsers = Parsers(max_message, self.ws_logger)
        self.deflation = Deflation(max_message, self.ws_logger)
        self.ws_extensions = self.deflation.factories if compression else ()
        self._connection_limit = connection_limit
        self._empty = asyncio.Event()
        self._empty.set()

    def enter(self, connection: WebSocketConnection) -> None:
        self.connections.add(connection)
        self._empty.clear()

    def leave(self, connection: WebSocketConnection) -> None:
        self.connections.discard(connection)
        if not self.connections:
            self._empty.set()

    async def wait_empty(self, seconds: float) -> None:
        """Until the last WebSocket connection is gone, for `seconds` at most."""
        with suppress(TimeoutError):
            await asyncio.wait_for(self._empty.wait(), seconds)

    def lets_in(self) -> bool:
        """Whether one more WebSocket may come."""
        return not self.hub.is_draining and self.has_room()

    def has_room(self) -> bool:
        """Whether one more may stay, connected or waiting in a long poll."""
        return self._taken < self._connection_limit

    @property
    def _taken(self) -> int:
        return len(self.connections) + len(self.polls)

    def call_soon(self, callback: Callable[[], None]) -> None:
        asyncio.get_running_loop().call_soon(callback)

    def statistics(self) -> GatewayStatistics:
        return GatewayStatistics(len(self.connections), len(self.polls))
