"""What REST, operations and the end of the process need: the application, and the parts of the transports."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, NamedTuple, Protocol, runtime_checkable

from presence_server.application.census import Census
from presence_server.application.feed import Feed
from presence_server.application.polls import Polls
from presence_server.application.reaches import Reaches
from presence_server.domain.model import Source
from presence_server.domain.people import People
from presence_server.memory import resident_memory
from presence_server.transports.http.serving import Serving
from presence_server.transports.rest.bodies import Bodies

if TYPE_CHECKING:
    from presence_server.access import Access
    from presence_server.webhooks.deliveries import Deliveries


class GatewayStatistics(NamedTuple):
    connections: int
    polls: int
    open: int


@runtime_checkable
class HasPeople(Protocol):
    """An engine that knows how many people are there, and who."""

    @property
    def people(self) -> People: ...


class Gateway:
    """Handed to every endpoint. Lives as long as the process."""

    def __init__(
        self,
        access: Access,
        polls: Polls,
        http: Serving,
        sources: Mapping[str, Source],
        heartbeat_interval: float,
        feed: Feed | None,
    ) -> None:
        """`sources`: of claims, by name. `heartbeat_interval`: seconds that REST clients are asked for.

        `feed`: everybody's changes in their order; None: the engine does not keep it.
        """
        self.access = access
        self.polls = polls
        self.http = http
        self.websockets = http.websockets
        self.entrance = http.entrance
        hub, driver = self.websockets.hub, http.driver
        self.hub = hub
        self.driver = driver
        self.clock = http.clock
        self.shares = http.shares
        self.counts = http.counts
        self.admission = hub.admission
        self.feed = feed
        self.webhooks: Deliveries | None = None
        """None: there is no file of --webhooks."""
        self.census = Census(self.clock.now())
        self.people = hub.engine.people if isinstance(hub.engine, HasPeople) else None
        """How many people are there, and who; None: the engine cannot tell."""
        self.reaches = None if self.people is None else Reaches(self.people, hub.hear_truths)
        self.max_message = hub.limits.max_message
        self._heartbeat_interval = heartbeat_interval
        self.user_ids = hub.limits.user_ids
        platforms = tuple(platform.value for platform in hub.limits.platforms)
        self.bodies = Bodies(self.user_ids, platforms)
        self.heartbeat_interval_ms = round(heartbeat_interval * 1000)
        """What REST clients are asked for now: longer while the server is busy, and their lives with it."""
        self._stretch = 1.0
        self.sources = sources

    def refused(self) -> dict[str, int]:
        """How often each limit refused somebody, by its name."""
        hub, counts = self.hub, dict(self.hub.ceilings.counted)
        counts["admission_lag"] = self.admission.turned_away
        counts["max_http_connections"] = self.http.places.refused
        return counts | (hub.allowances.refused() if hub.allowances is not None else {})

    def has_room(self) -> bool:
        """Whether one more may stay, connected or waiting in a long poll."""
        return len(self.websockets.connections) + len(self.polls) < self.http.books.limit

    def look(self, now: float, late: float) -> None:
        """See how busy the server is. Some ten times a second."""
        self._count(now)
        self.admission.look(now, late, self.hub.fanout.tempo.longest_flush(now))
        if self.admission.stretch != self._stretch:
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
        return GatewayStatistics(len(self.websockets.connections), len(self.polls), self.http.books.open)
