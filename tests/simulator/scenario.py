"""What a seed stands for: the sizes and times of one run, and the actions that happen in it.

Actions are drawn from a source of their own, each with its time and two numbers from which whoever carries it out
derives the rest. So the plan is the same whatever happens in the run, and one action can be left out without
changing the others: that is what makes a trace short.
"""

from __future__ import annotations

from collections.abc import Iterator
from random import Random
from typing import Final, NamedTuple

from presence_server.application.liveness import LinkTimes
from presence_server.domain.model import Status
from presence_server.domain.shared import Lifetimes


class Action(NamedTuple):
    """`at` is in seconds from the start; `who` and `what` are numbers to choose by."""

    number: int
    at: float
    kind: str
    who: int
    what: int

    def __str__(self) -> str:
        return f"{self.number:>5}  +{self.at:8.3f} s  {self.kind} {self.who} {self.what}"


CLIENT: Final = {
    "connect": 9,
    "cut": 5,
    "half_open": 2,
    "bye": 1.5,
    "close": 1.5,
    "watch": 8,
    "unwatch": 4,
    "status": 4,
    "activity": 5,
    "query": 3,
    "ping": 1,
    "stop": 4,
    "read": 4,
    "sip": 2,
}
REST: Final = {
    "rest_online": 5,
    "rest_offline": 2,
    "rest_vanish": 2,
    "rest_idle": 2,
    "override": 3,
    "claim": 3,
    "look_up": 4,
    "poll": 6,
    "poll_cut": 2,
    "poll_others": 2,
}
WORLD: Final = {"stall": 0.15, "clock": 0.2, "suspend": 0.05}
BOTH: Final = {"both": 3.0}
FULL: Final = {"full": 1.0}
CROWD: Final = {"crowd": 0.7}
FLAPS: Final = 6
SLOW: Final = 4
SEEING: Final = {"privacy": 0.5, "look_up_as": 1.5, "steal": 0.4}
"""Of each second, as in `AWAY`, where not everybody sees everybody; and beside them what decides."""
DECIDING: Final = {
    "everyone": {},
    "contacts": SEEING | {"put_contacts": 0.5, "patch_contacts": 1.0, "put_blocks": 0.5, "patch_blocks": 0.5},
    "ask": SEEING | {"say": 2.5, "fail": 0.3},
}
AWAY: Final = {"engine_cut": 0.06, "engine_mend": 0.4}


class Scenario(NamedTuple):
    seed: int
    is_late: bool
    users: int
    clients: int
    devices: int  # by REST
    pollers: int
    most_watched: int
    actions_per_second: float
    lifetimes: Lifetimes
    times: LinkTimes
    heartbeat_interval: float
    poll_wait: float
    max_remembered: int
    forgets: bool
    min_publish_interval: float
    flush_interval: float
    slices: tuple[int, int, int]  # deliveries, writes, heavy
    socket_room: int
    mean_delay: float
    hides_some: bool
    part: int  # entries in one message, at most
    drains: bool
    turn: float  # seconds that a turn of the server's loop takes
    flaps: bool  # people change their status again and again
    is_slow: bool  # many stop reading
    comes_both_ways: bool  # devices that have a connection send heartbeats as well
    tells_platforms: bool  # the status on each platform is told
    lapses: dict[Status, int]  # seconds after which what a person says without an end lapses
    sees: str = "everyone"  # who may see whom: see `permissions.WAYS`

    @property
    def evicts(self) -> bool:
        """Whether a user may have more devices than may be online."""
        return self.lifetimes.max_devices < 4

    @property
    def ghost_bound(self) -> float:
        """Seconds from the end of a link to OFFLINE, at most."""
        times = self.times
        return max(times.ping_interval + times.pong_timeout, times.lag_limit) + self.lifetimes.grace

    @property
    def rest_bound(self) -> float:
        return self.lifetimes.rest

    @property
    def most_unsent(self) -> int:
        """Bytes that may wait for a reader who has stopped: what made it stop, and one catch-up."""
        return 3 * self.socket_room + 300 * (self.most_watched + 40) + 20_000


def scenario_of(seed: int, is_late: bool, sees: str = "everyone") -> Scenario:
    random = Random(f"scenario {seed}")
    is_big = random.random() < 0.3
    users = random.randint(30, 120) if is_big else random.randint(3, 15)
    clients = random.randint(100, 300) if is_big else random.randint(4, 40)
    heartbeat = random.choice((2.0, 3.0))
    forgets = random.random() < 0.4
    grace = random.choice((1.0, 2.0, 3.0))
    is_slow = random.random() < 0.3
    ping_interval, pong_timeout = random.choice(((3.0, 1.5), (4.0, 2.0)))
    drawn = Scenario(
        seed,
        is_late,
        users,
        clients,
        devices=random.randint(1, max(2, users // 2)),
        pollers=random.randint(1, 10),
        most_watched=random.choice((5, 12, 30)),
        actions_per_second=clients * random.choice((0.3, 1.0, 2.0)),
        lifetimes=Lifetimes(
            grace,
            2.5 * heartbeat,
            away_after=random.choice((0.0, 0.0, 0.0, 5.0)),
            max_devices=random.choice((16, 16, 3, 2)),
        ),
        times=LinkTimes(2.0, ping_interval, pong_timeout, min(ping_interval + pong_timeout, 4.0)),
        heartbeat_interval=heartbeat,
        poll_wait=random.choice((0.5, 3.0)),
        max_remembered=random.randint(1, 3) if forgets else 10_000,
        forgets=forgets,
        min_publish_interval=random.choice((0.0, 0.5, 1.0, 1.0)),
        flush_interval=random.choice((0.0, 0.01, 0.05)) if not is_slow else 0.05,
        slices=random.choice(((20_000, 500, 2_000), (3, 2, 1_000), (4, 2, 3), (50, 2, 5))),
        socket_room=random.choice((0, 400, 2_000)) if not is_slow else 0,
        mean_delay=random.choice((0.005, 0.03, 0.1)),
        hides_some=random.random() < 0.2 and sees == "everyone",
        part=random.choice((500, 500, 3)),
        drains=random.random() < 0.5,
        turn=random.choice((0.0, 0.002, 0.02)) if not is_slow else 0.02,
        flaps=random.random() < 0.3,
        is_slow=is_slow,
        comes_both_ways=random.random() < 0.6,
        tells_platforms=random.random() < 0.3,
        lapses=random.choice(({}, {Status.BUSY: 4, Status.AWAY: 9, Status.ONLINE: 9})),
        sees=sees,
    )
    if sees == "everyone":
        return drawn
    # What leaks is what is under way. By itself, so that all else of a seed stays as it is.
    return drawn._replace(slices=Random(f"slices {seed}").choice(((3, 2, 1_000), (4, 2, 3), (4, 2, 3))))


def plan(scenario: Scenario) -> Iterator[Action]:
    """The actions of a run, without end."""
    random = Random(f"plan {scenario.seed} {scenario.is_late}")
    rest = scenario.devices + scenario.pollers
    of_clients, of_rest = dict(CLIENT), dict(REST)
    if scenario.flaps:
        of_clients["status"] *= FLAPS
        of_rest["override"] *= FLAPS
    if scenario.is_slow:
        for kind in ("stop", "sip", "status", "activity"):
            of_clients[kind] *= SLOW
    per_client, per_rest = sum(of_clients.values()), sum(of_rest.values())
    weights = {kind: weight / per_client * scenario.clients for kind, weight in of_clients.items()}
    weights |= {kind: weight / per_rest * rest for kind, weight in of_rest.items()}
    total = sum(weights.values())
    others = WORLD | (AWAY if scenario.is_late else {})
    others |= {kind: weight * (SLOW if scenario.is_slow else 1) for kind, weight in FULL.items()}
    others |= DECIDING[scenario.sees]
    others |= (BOTH if scenario.comes_both_ways else {}) | (CROWD if scenario.evicts else {})
    # So many in a second, whatever the size: they concern everybody.
    weights |= {kind: weight * total / scenario.actions_per_second for kind, weight in others.items()}
    kinds, cumulative = list(weights), []
    so_far = 0.0
    for weight in weights.values():
        so_far += weight
        cumulative.append(so_far)
    at = 0.0
    number = 0
    while True:
        at += random.expovariate(scenario.actions_per_second)
        (kind,) = random.choices(kinds, cum_weights=cumulative)
        yield Action(number, at, kind, random.getrandbits(32), random.getrandbits(32))
        number += 1
