"""What all WebSocket connections share: the application, its rules of time and memory, and what is lent to them."""

from __future__ import annotations

import asyncio
import logging
from contextlib import suppress
from typing import Protocol

from presence_protocol.codec import codecs_of
from presence_server.application.hub import Hub
from presence_server.application.ports import Clock
from presence_server.transports.counts import Counts
from presence_server.transports.driver import Driver
from presence_server.transports.entrance import Entrance
from presence_server.transports.http.books import Books
from presence_server.transports.journal import LogJournal
from presence_server.transports.websocket.deflate import Deflation
from presence_server.transports.websocket.direct import OpenSockets
from presence_server.transports.websocket.parsers import Parsers
from presence_server.transports.websocket.shares import Shares
from presence_server.transports.websocket.unsent import Unsent


class OpenConnection(Protocol):
    """A WebSocket connection, as far as this goes."""

    def abort(self) -> None:
        """Drop it at once."""


class WebSockets:
    def __init__(
        self,
        hub: Hub,
        driver: Driver,
        shares: Shares,
        entrance: Entrance,
        sockets: OpenSockets,
        books: Books,
        counts: Counts,
        journal: LogJournal,
        unsent: Unsent,
        compression: bool,
    ) -> None:
        self.hub = hub
        self.driver = driver
        self.clock: Clock = driver.clock
        self.shares = shares
        self.entrance = entrance
        self.sockets = sockets
        self.counts = counts
        self.journal = journal
        self.unsent = unsent
        self._books = books
        limits = hub.limits
        self.max_message = limits.max_message
        self.codecs = codecs_of(limits.user_ids, tuple(platform.value for platform in limits.platforms))
        self.logger = logging.getLogger("websockets.server")
        self.parsers = Parsers(self.max_message, self.logger)
        self.deflation = Deflation(self.max_message, self.logger)
        self.extensions = self.deflation.factories if compression else ()
        self.connections: set[OpenConnection] = set()
        self._empty = asyncio.Event()
        self._empty.set()

    def enter(self, connection: OpenConnection) -> None:
        self.connections.add(connection)
        self._empty.clear()

    def leave(self, connection: OpenConnection) -> None:
        """It is closed, whether it was let in or refused."""
        had_place = connection in self.connections
        self.connections.discard(connection)
        self._books.close(had_place)
        if not self.connections:
            self._empty.set()

    async def wait_empty(self, seconds: float) -> None:
        """Until the last WebSocket connection is gone, for `seconds` at most."""
        with suppress(TimeoutError):
            await asyncio.wait_for(self._empty.wait(), seconds)
