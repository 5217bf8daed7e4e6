"""What all connections share before they are WebSockets: places, time limits, and who may come in."""

from __future__ import annotations

from collections import Counter
from typing import NamedTuple

from presence_server.application.ports import Clock
from presence_server.transports.counts import Counts
from presence_server.transports.driver import Driver
from presence_server.transports.entrance import Entrance
from presence_server.transports.http.books import Books
from presence_server.transports.journal import LogJournal
from presence_server.transports.websocket.shares import Shares
from presence_server.transports.websocket.unsent import Unsent
from presence_server.transports.websocket.websockets import WebSockets


class HttpLimits(NamedTuple):
    """What one connection may take its time with (seconds), and the bytes of a request's head."""

    max_header: int
    header_timeout: float
    body_timeout: float
    keep_alive_timeout: float
    answer_timeout: float


class HttpPlaces:
    """Connections that are not WebSockets, and how many there may be; 0: as many as there are places."""

    def __init__(self, most: int) -> None:
        self.most = most
        self.taken = 0
        self.refused = 0

    def take(self) -> bool:
        """Whether there was one more."""
        if self.most and self.taken >= self.most:
            self.refused += 1
            return False
        self.taken += 1
        return True

    def give_back(self) -> None:
        self.taken -= 1


class Serving:
    def __init__(self, websockets: WebSockets, books: Books, limits: HttpLimits, places: HttpPlaces) -> None:
        self.websockets = websockets
        self.books = books
        self.limits = limits
        self.places = places
        self.entrance: Entrance = websockets.entrance
        self.clock: Clock = websockets.clock
        self.driver: Driver = websockets.driver
        self.shares: Shares = websockets.shares
        self.unsent: Unsent = websockets.unsent
        self.counts: Counts = websockets.counts
        self.journal: LogJournal = websockets.journal
        self.refused: Counter[str] = websockets.hub.refused
