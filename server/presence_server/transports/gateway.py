"""What the transports share: the application, its driver, and the rules of the door."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, NamedTuple, Protocol, runtime_checkable

from presence_protocol.codec import codecs_of
from presence_server.application.allowances import Allowances, TooMuch
from presence_server.application.census import Census
from presence_server.application.feed import Feed, HasChronicle
from presence_server.application.hub import Hub
from presence_server.application.polls import Polls
from presence_server.application.ports import Clock
from presence_server.application.reaches import Reaches
from presence_server.domain.model import Source
from presence_server.domain.people import People
from presence_server.identity.networks import Networks, clients_of
from presence_server.memory import resident_memory
from presence_server.transports.counts import Counts
from presence_server.transports.driver import Driver
from presence_server.transports.hosts import HostPolicy
from presence_server.transports.http.books import Books
from presence_server.transports.journal import LogJournal
from presence_server.transports.origins import OriginPolicy
from presence_server.transports.rest.bodies import Bodies
from presence_server.transports.websocket.deflate import Deflation
from presence_server.transports.websocket.direct import OpenSockets
from presence_server.transports.websocket.parsers import Parsers
from presence_server.transports.websocket.turns import Turns
from presence_server.transports.websocket.unsent import Unsent

if TYPE_CHECKING:
    from presence_server.access import Access
    from presence_server.webhooks.deliveries import Deliveries


class OpenConnection(Protocol):
    """A WebSocket connection, as far as the gateway goes."""

    def abort(self) -> None:
        """Drop it at once."""


def client_of(address: str, clients: tuple[str, ...] | None) -> str:
    """The address that limits are counted by: the client's where a trusted proxy vouches for one, else the peer's."""
    return clients[0] if clients else address


class GatewayStatistics(NamedTuple):
    connections: int
    polls: int
    open: int


class HttpLimits(NamedTuple):
    """What one connection may take its time with (seconds), and the bytes of a request's head."""

    max_header: int
    header_timeout: float
    body_timeout: float
    keep_alive_timeout: float
    answer_timeout: float


@runtime_checkable
class CanStretch(Protocol):
    """An engine that can let REST devices live longer than usual."""

    def stretch(self, factor: float) -> None: ...


@runtime_checkable
class HasPeople(Protocol):
    """An engine that knows how many people are there, and who."""

    @property
    def people(self) -> People: ...


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


class Gateway:
    """Handed to every connection and endpoint. Lives as long as the process."""

    def __init__(
        self,
        access: Access,
        hub: Hub,
        polls: Polls,
        driver: Driver,
        journal: LogJournal,
        turns: Turns,
        sockets: OpenSockets,
        clock: Clock,
        origins: OriginPolicy,
        hosts: HostPolicy,
        proxies: Networks,
        connection_limit: int,
        max_message: int,
        max_unsent: int,
        heartbeat_interval: float,
        http: HttpLimits,
        compression: bool,
        http_places: HttpPlaces,
        sources: Mapping[str, Source],
        root_path: str = "",
    ) -> None:
        """`root_path`: where a proxy serves this server, such as `/presence`; empty where it does so at the root."""
        self.root_path = root_path
        self.access = access
        self.hub = hub
        self.polls = polls
        self.driver = driver
        self.sockets = sockets
        self.clock = clock
        self.origins = origins
        self.hosts = hosts
        self._proxies = proxies
        self.counts = Counts(sockets.traffic)
        self.journal = journal
        self.turns = turns
        self.feed = (
            Feed(hub.engine, hub.keys, lambda callback: driver.call_soon(callback))
            if isinstance(hub.engine, HasChronicle)
            else None
        )
        """Everybody's changes in their order; None: the engine does not keep it."""
        self.webhooks: Deliveries | None = None
        """None: there is no file of --webhooks."""
        self.census = Census()
        self.people = hub.engine.people if isinstance(hub.engine, HasPeople) else None
        """How many people are there, and who; None: the engine cannot tell."""
        self.reaches = None if self.people is None else Reaches(self.people, hub.hear_truths)
        self.unsent = Unsent(max_unsent, lambda callback: driver.call_soon(callback))
        self.max_message = max_message
        self._heartbeat_interval = heartbeat_interval
        self.user_ids = hub.limits.user_ids
        platforms = tuple(platform.value for platform in hub.limits.platforms)
        self.codecs = codecs_of(self.user_ids, platforms)
        self.bodies = Bodies(self.user_ids, platforms)
        self.heartbeat_interval_ms = round(heartbeat_interval * 1000)
        """What REST clients are asked for now: longer while the server is busy, and their lives with it."""
        self._stretch = 1.0
        self.http = http
        self.sources = sources
        self.books = Books(connection_limit)
        self.connections: set[OpenConnection] = set()
        self.admission = hub.admission
        self.http_places = http_places
        allowances = hub.allowances
        self.of_connections: Allowances | None = None
        """What counts new connections by address; None: they are not counted."""
        if allowances is not None and allowances.counts_connections:
            self.of_connections = allowances
        self.ws_logger = logging.getLogger("websockets.server")
        self.parsers = Parsers(max_message, self.ws_logger)
        self.deflation = Deflation(max_message, self.ws_logger)
        self.ws_extensions = self.deflation.factories if compression else ()
        self._empty = asyncio.Event()
        self._empty.set()

    def enter(self, connection: OpenConnection) -> None:
        self.connections.add(connection)
        self._empty.clear()

    def leave(self, connection: OpenConnection) -> None:
        """It is closed, whether it was let in or refused."""
        had_place = connection in self.connections
        self.connections.discard(connection)
        self.books.close(had_place)
        if not self.connections:
            self._empty.set()

    async def wait_empty(self, seconds: float) -> None:
        """Until the last WebSocket connection is gone, for `seconds` at most."""
        with suppress(TimeoutError):
            await asyncio.wait_for(self._empty.wait(), seconds)

    def lets_in(self) -> bool:
        """Whether one who has a place may become a WebSocket."""
        return not self.hub.is_draining

    def over_connecting(self, address: str, now: float) -> TooMuch | None:
        """One more connection from `address`. A trusted proxy's are its clients', and counted with their handshakes."""
        if self.of_connections is None or not address or self._proxies.holds(address):
            return None
        return self.of_connections.address("connections", address, now)

    def over_entering(self, address: str, forwarding: Mapping[str, str]) -> TooMuch | None:
        """One more WebSocket, by the limits of its client's address and of all."""
        now, hub = self.clock.now(), self.hub
        if (over := hub.ceilings.memory()) is not None:
            return over
        if hub.allowances is not None and hub.allowances.counts_handshakes:
            client = client_of(address, self.clients_of(address, forwarding))
            if client and (over := hub.allowances.address("handshakes", client, now)) is not None:
                return over
        return self.admission.take(now)

    def over_asking(self, address: str, forwarding: Mapping[str, str]) -> TooMuch | None:
        """One more request of nobody that is known."""
        allowances = self.hub.allowances
        client = client_of(address, self.clients_of(address, forwarding))
        if allowances is None or not client:
            return None
        return allowances.address("requests", client, self.clock.now())

    def refused(self) -> dict[str, int]:
        """How often each limit refused somebody, by its name."""
        hub, counts = self.hub, dict(self.hub.ceilings.counted)
        counts["admission_lag"] = self.admission.turned_away
        counts["max_http_connections"] = self.http_places.refused
        return counts | (hub.allowances.refused() if hub.allowances is not None else {})

    def has_room(self) -> bool:
        """Whether one more may stay, connected or waiting in a long poll."""
        return len(self.connections) + len(self.polls) < self.books.limit

    def clients_of(self, address: str, headers: Mapping[str, str]) -> tuple[str, ...] | None:
        """Where the client may be whose request came from `address`: see `identity.networks`."""
        return clients_of(address, headers, self._proxies)

    def look(self, now: float, late: float) -> None:
        """See how busy the server is. Some ten times a second."""
        self._count(now)
        self.admission.look(now, late, self.hub.fanout.longest_flush())
        if self.admission.stretch != self._stretch and isinstance(self.hub.engine, CanStretch):
            self._stretch = self.admission.stretch
            self.heartbeat_interval_ms = round(self._heartbeat_interval * self._stretch * 1000)
            self.hub.engine.stretch(self._stretch)
        ceilings = self.hub.ceilings
        if ceilings.max_memory:
            ceilings.observe_memory(resident_memory())

    def _count(self, now: float) -> None:
        """See how many people and connections there are."""
        if self.people is not None:
            there, _, joined, left = self.people.figures()
            self.census.look(now, self.clock.utc(), there, len(self.hub.roster), joined, left)

    def statistics(self) -> GatewayStatistics:
        return GatewayStatistics(len(self.connections), len(self.polls), self.books.open)
