"""The whole system in one thread: the application, its engine, its driver, and everybody around them.

`World` puts together what `app` does in production, and the actors. `run` (see `run.py`) moves it.
"""

from __future__ import annotations

from random import Random

from engines.late import LateEngine
from presence_protocol.messages import StatusEntry
from presence_protocol.user_ids import UserId
from presence_server.application.fanout import Fanout
from presence_server.application.hub import Hub
from presence_server.application.hub_limits import HubLimits
from presence_server.application.policies import Everyone
from presence_server.application.polls import Polls
from presence_server.application.ports import Engine, Visibility
from presence_server.application.turn import Turn
from presence_server.application.views import Views
from presence_server.domain.claims import Rules
from presence_server.domain.interest import Interest
from presence_server.domain.lenses import Lens
from presence_server.domain.model import Platform, UserPresence
from presence_server.domain.platforms import USUAL, AnyPlatform, platforms_of
from presence_server.engines.memory import MemoryEngine
from presence_server.transports.websocket.frames import FRAMERS, PING
from simulator.checker import Checker
from simulator.clients import Client
from simulator.leaks import Leaks
from simulator.loop import Loop, MachineClock, ServerTimeline, SimulatedDriver
from simulator.network import Link
from simulator.oracle import Oracle
from simulator.people import People, number_of
from simulator.permissions import ByEyes, Permissions, rules_of
from simulator.rest import Poller, Requests, RestDevice
from simulator.scenario import Scenario
from simulator.sdk import SdkClient
from simulator.spy import SpyEngine
from support.who import ByRule, trusting

TELLING = platforms_of(USUAL, tells_status=True)
"""The usual platforms, where the status on each is told."""
LEASE = 4.0
NEVER = float("-inf")
AWAY_ECHO = 15.0
"""Seconds after an outage of the engine within which something may still be refused because of it."""


def some_hidden(viewer: UserId, user_id: UserId) -> Lens:
    """Every seventh pair of people may not see each other."""
    return Lens.FULL if (number_of(user_id) + number_of(viewer)) % 7 else Lens.HIDDEN


class World:
    def __init__(self, scenario: Scenario, people: People | None = None) -> None:
        people = self.people = people or People()
        self.scenario = scenario
        self.is_late = scenario.is_late
        self.is_ending = False
        self.loop = Loop()
        self.random = Random(f"network {scenario.seed}")
        self.clock = MachineClock(self.loop)
        self.platforms = TELLING if scenario.tells_platforms else Platform
        rules = Rules(lifetimes=scenario.lapses)
        self.table = people.table(scenario.lifetimes, shards=4, max_remembered=scenario.max_remembered, rules=rules)
        self.visibility: Visibility = ByRule(some_hidden) if scenario.hides_some else Everyone()
        self.permissions: Permissions | None = None
        self.leaks: Leaks | None = None
        if scenario.sees != "everyone":
            self.permissions = Permissions(self, rules_of(scenario.seed, scenario.sees))
            self.leaks = Leaks(self, self.permissions)
            self.visibility = self.permissions.policy
        self.oracle = Oracle(self)
        self.checker = Checker(self)
        self.requests = Requests(self)
        self.late: LateEngine | None = None
        self.spy = SpyEngine(self._engine(), self)
        self.interest = Interest()
        self.driver = SimulatedDriver(self.clock)
        self.turn = Turn(FRAMERS, PING, self.driver.wake)
        self.views = Views(self.spy, self.clock, people.keys)
        self.fanout = self._fanout()
        limits = HubLimits(
            max_watched=5_000,
            min_publish_interval=scenario.min_publish_interval,
            times=scenario.times,
            user_ids=people.kind,
            platforms=self.platforms,
        )
        self.hub = Hub(
            self.spy,
            self.interest,
            self.fanout,
            self.views,
            trusting() if self.permissions is None else ByEyes(),
            self.visibility,
            limits,
            self.clock,
            people.keys,
            Random(scenario.seed),
            self.turn,
            is_reciprocal=self.permissions is not None and self.permissions.rules.is_reciprocal,
        )
        self.driver.of(self.hub, self.fanout).start_on(self.loop, scenario.turn)
        self.polls = Polls(self.views, self.fanout, self.hub.sight, self.hub.edges, self.hub.permissions)
        self.links: dict[int, Link] = {}
        self.was_away = False
        self._away_since: float | None = None
        self._away_for = 0.0
        self._back_at = float("-inf")
        self.clients = [self._client(number) for number in range(scenario.clients)]
        self.devices = [self._device(number) for number in range(scenario.devices)]
        self.pollers = [Poller(self, number) for number in range(scenario.pollers)]
        by_key = {(device.user_id, device.device_id): device for device in self.devices}
        self.pairs = [
            (client, by_key[key]) for client in self.clients if (key := (client.user_id, client.device_id)) in by_key
        ]
        """Connections and REST devices that are one device."""

    def _engine(self) -> Engine:
        if not self.is_late:
            return MemoryEngine(self.table, 0xE, self.clock)
        timeline = ServerTimeline(self.loop)
        random = Random(f"engine {self.scenario.seed}")
        self.late = LateEngine(self.table, 0xE, self.clock, timeline, random, self.scenario.mean_delay, lease=LEASE)
        return self.late

    def _fanout(self) -> Fanout:
        deliveries, writes, heavy = self.scenario.slices
        return Fanout(
            self.views,
            self.interest,
            self.clock,
            self.turn,
            self.scenario.flush_interval,
            max_flush_interval=0.25,
            slice_deliveries=deliveries,
            slice_writes=writes,
            heavy=heavy,
        )

    # -- who is there --------------------------------------------------------------------------------------------------

    def _client(self, number: int) -> Client:
        """Some share a user, some a device; every eighth only watches; every fourth is the Python SDK."""
        make = SdkClient if number % 4 == 1 or number % 16 == 15 else Client
        if number % 8 == 7:
            observer = make(self, number, number // 8 % 2, 0, "", "")
            if self.permissions is not None and number % 32 == 7:
                observer.sees_as(self.people.of(number // 8 % self.scenario.users))
            return observer
        user_id = self.people.of(number % self.scenario.users)
        device = number % 3
        return make(self, number, number % 2, user_id, f"web{device}", self._platform(device).value)

    def _device(self, number: int) -> RestDevice:
        """Some have the device id of a WebSocket client."""
        user_id = self.people.of(number % self.scenario.users)
        device = number % 4
        return RestDevice(self, user_id, f"web{device}" if device < 3 else "phone", self._platform(device))

    def _platform(self, number: int) -> AnyPlatform:
        return list(self.platforms)[number]

    def some_users(self, what: int) -> list[int]:
        """A few users, the first of them more often; some were never heard of."""
        random = Random(what)
        most = self.scenario.users + 3
        count = random.randint(1, max(1, self.scenario.most_watched // 3))
        return list(dict.fromkeys(self.people.of(int(most * random.random() ** 2)) for _ in range(count)))

    def may_see(self, viewer: int | None, user_id: int) -> bool:
        """Of whom nothing is told without a user, everything is: services see all."""
        return not viewer or viewer == user_id or self.visibility.lens(viewer, user_id) is not Lens.HIDDEN

    def viewer_of(self, whose: object) -> int | None:
        return whose.viewer if isinstance(whose, Client | Poller) else None

    # -- time ----------------------------------------------------------------------------------------------------------

    def delay(self) -> float:
        """Seconds that something takes on the network: both ways together, less than any pong timeout."""
        return min(0.6, self.random.expovariate(1 / self.scenario.mean_delay))

    def ghost_now(self) -> float:
        """The clock by which ends are due: it stands still while the server or its engine cannot see to anything.

        Of a suspension nothing is counted here: see `Oracle.slept`.
        """
        away = 0.0 if self._away_since is None else self.loop.time - self._away_since
        return self.loop.time - self.loop.stalled_for - self._away_for - away

    def may_be_away(self) -> bool:
        """Whether something may be refused because the engine is away, or was a moment ago; or the machine slept."""
        asks = self.permissions is not None and self.permissions.asks
        since = self.loop.time - max(self._back_at, self.clock.woke_at if self.is_late or asks else NEVER)
        return self._away_since is not None or since < AWAY_ECHO or (asks and self.loop.stalled_lately(AWAY_ECHO))

    def cut_engine(self) -> None:
        if self.late is not None and self._away_since is None:
            self.late.cut()
            self.was_away = True
            self._away_since = self.loop.time

    def mend_engine(self) -> None:
        if self.late is not None and self._away_since is not None:
            away = self.loop.time - self._away_since
            if away >= LEASE * 0.8:
                self.oracle.lapsed()
            self._away_for += away + 1
            self._away_since = None
            self._back_at = self.loop.time
            self.late.mend()

    # -- for checks ----------------------------------------------------------------------------------------------------

    def known_presence(self, user_id: int) -> UserPresence | None:
        """What the engine says of a user, if the user is known to it now."""
        if self.late is None:
            return self.table.presence(user_id)
        known = self.late._known.get(user_id)
        return None if known is None else known.presence

    def changed_at(self) -> float:
        """When something last changed for whoever watches: here, or at the store, from where it is still on its way."""
        pushed_at = NEVER if self.late is None else self.late.pushed_at
        return max(self.spy.changed_at, pushed_at)

    def held_back(self) -> dict[int, int]:
        return self.hub.publishing.pacing._held_version

    def resumed_from(
        self,
        cursor: str,
        entries: dict[int, StatusEntry],
        number: int,
        viewer: int | None = None,
        make: type[Client] = Client,
    ) -> Client:
        """An observer who comes back with a cursor that somebody was given, holding what they held."""
        client = make(self, number, number % 2, 0, "", "")
        if viewer:
            client.sees_as(viewer)
        client.view.watched = set(entries)
        client.view.entries = dict(entries)
        client.view.cursor = cursor
        client.hold(entries)
        client.connect()
        return client
