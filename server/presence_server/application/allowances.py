"""What each may have of the server: token buckets by address and by principal, and how much of some things at once.

A *limit* is named by its setting, and that name is what a refusal and a metric say. Limits of a rate are buckets
(`buckets`), which hold `burst` seconds' worth; limits of what is held at once are counted while they are held. Users
and services have their own. A rate or a count of 0 is no limit, and costs a look at it.

A *purse* is what a user or a service has left. It is the same for all of their connections and requests, whichever way
they come; it is found by a user's key or a service's name when the principal is known, and kept. Keys are not the ids
that clients choose (see `keys`); names come from the operator's files and the issuer's tokens. Buckets in a table, as
addresses have them, were tried here too: two look-ups with each status were 13 % of what it costs, purses are 5.
"""

from __future__ import annotations

from collections.abc import Hashable
from functools import lru_cache
from ipaddress import IPv6Address, ip_address
from typing import Final, NamedTuple

from presence_server.application.buckets import MAX_BUCKETS, Buckets, Rate
from presence_server.application.keys import UserKeys
from presence_server.application.principals import Principal
from presence_server.domain.model import UserKey

COME_BACK: Final = 5.0
"""Seconds after which to try again what others have to let go of first."""

WARNINGS: Final = Rate(1.0, 10.0)
"""Messages over a limit that are answered with an `error` before the connection of who goes on is closed."""

OF_ALL: Final = frozenset(("max_edges", "max_memory", "max_http_connections", "admission_lag"))
"""Limits of what all together have."""

REASONS: Final = {
    "admission_lag": "the server is busy",
    "max_edges": "is reached",
    "max_memory": "is reached",
    "max_watchers": "is reached",
}

ROUNDING: Final = 1e-9
"""Seconds by which sums of floats may be off."""

MOST_LOOKED_AT: Final = 32
"""Purses that are looked at to forget one: where all are held, the table grows with the connections."""


class Allowance(NamedTuple):
    """What one user or service may have: a second in the long run, the last two at once. 0: as much as it likes."""

    messages: float = 0.0
    watches: float = 0.0
    statuses: float = 0.0
    queries: float = 0.0
    polls: int = 0
    connections: int = 0


class AddressAllowance(NamedTuple):
    """What the clients of one address may have in a second; 0: as much as they like."""

    connections: float = 0.0
    handshakes: float = 0.0
    requests: float = 0.0


class TooMuch(NamedTuple):
    """Refused by the limit named so; in `wait` seconds it would not be."""

    limit: str
    wait: float

    @property
    def code(self) -> int:
        """As HTTP has it: 503 where it is nobody's in particular."""
        return 503 if self.limit in OF_ALL else 429

    @property
    def retry_after_ms(self) -> int:
        return max(1, round(self.wait * 1000))

    @property
    def retry_after(self) -> str:
        """As the header has it: whole seconds, at least one."""
        return str(max(1, -int(-self.wait // 1)))

    @property
    def reason(self) -> str:
        return f"{REASONS.get(self.limit, 'is used up')}; come back in {self.retry_after_ms} ms"


class Bucket:
    """A limit of a rate, for all users or for all services: what one more costs, and how much may be owed.

    Both in seconds of the bucket's own time, see `buckets`: a purse keeps when it is full again. Without a limit
    nothing costs.
    """

    __slots__ = ("burst", "each", "limit", "refused")

    def __init__(self, limit: str, per_second: float, burst: float) -> None:
        self.limit = limit
        self.each = 1 / per_second if per_second > 0 else 0.0
        self.burst = max(self.each, burst)
        self.refused = 0

    def refuse(self, wait: float) -> TooMuch:
        self.refused += 1
        return TooMuch(self.limit, wait)


class Held:
    """How much of something each may have at once. 0: as much as they like."""

    __slots__ = ("limit", "most", "refused")

    def __init__(self, limit: str, most: int) -> None:
        self.limit = limit
        self.most = most
        self.refused = 0


class Rules:
    """The limits of users, or those of services."""

    def __init__(self, kind: str, allowance: Allowance, burst: float) -> None:
        self.messages = Bucket(f"{kind}_messages", allowance.messages, burst)
        self.watches = Bucket(f"{kind}_watches", allowance.watches, burst)
        self.statuses = Bucket(f"{kind}_statuses", allowance.statuses, burst)
        self.queries = Bucket(f"{kind}_queries", allowance.queries, burst)
        self.polls = Held(f"{kind}_polls", allowance.polls)
        self.connections = Held(f"{kind}_connections", allowance.connections)

    def refused(self) -> dict[str, int]:
        kept: tuple[Bucket | Held, ...] = (
            self.messages,
            self.watches,
            self.statuses,
            self.queries,
            self.polls,
            self.connections,
        )
        return {each.limit: each.refused for each in kept}


class Purse:
    """What one user or service has left. Their sessions hold it: a message takes from it without a look-up."""

    __slots__ = ("_messages", "_queries", "_statuses", "_warnings", "_watches", "connections", "polls", "rules")

    def __init__(self, rules: Rules) -> None:
        self.rules = rules
        self._messages = self._watches = self._statuses = self._queries = self._warnings = 0.0
        self.connections = 0
        self.polls = 0

    def message(self, now: float) -> TooMuch | None:
        """A message, or a request. None: it may be."""
        # Written out, as all of these are: it is on every message's way, 0.15 us of it.
        bucket = self.rules.messages
        full_at = (self._messages if self._messages > now else now) + bucket.each
        if full_at - now > bucket.burst + ROUNDING:
            return bucket.refuse(full_at - now - bucket.burst)
        self._messages = full_at
        return None

    def status(self, now: float) -> TooMuch | None:
        """Change what others see."""
        bucket = self.rules.statuses
        full_at = (self._statuses if self._statuses > now else now) + bucket.each
        if full_at - now > bucket.burst + ROUNDING:
            return bucket.refuse(full_at - now - bucket.burst)
        self._statuses = full_at
        return None

    def watches(self, ids: int, now: float) -> TooMuch | None:
        """Watch, or watch no longer, so many users. More than a whole burst counts as one: else it would never fit."""
        bucket = self.rules.watches
        full_at = max(self._watches, now) + min(ids * bucket.each, bucket.burst)
        if full_at - now > bucket.burst + ROUNDING:
            return bucket.refuse(full_at - now - bucket.burst)
        self._watches = full_at
        return None

    def queries(self, ids: int, now: float) -> TooMuch | None:
        """Ask about so many users."""
        bucket = self.rules.queries
        full_at = max(self._queries, now) + min(ids * bucket.each, bucket.burst)
        if full_at - now > bucket.burst + ROUNDING:
            return bucket.refuse(full_at - now - bucket.burst)
        self._queries = full_at
        return None

    def goes_on(self, now: float) -> bool:
        """One more refusal: whether it has been told often enough, and is to be closed."""
        full_at = max(self._warnings, now) + 1 / WARNINGS.per_second
        if full_at - now > WARNINGS.burst / WARNINGS.per_second + ROUNDING:
            return True
        self._warnings = full_at
        return False

    def connect(self) -> TooMuch | None:
        """One more connection. None: it may be, and is given back with `disconnect`."""
        held = self.rules.connections
        if held.most and self.connections >= held.most:
            held.refused += 1
            return TooMuch(held.limit, COME_BACK)
        self.connections += 1
        return None

    def disconnect(self) -> None:
        self.connections -= 1

    def poll(self) -> TooMuch | None:
        """One more long poll. None: it may be, and is given back with `end_poll`."""
        held = self.rules.polls
        if held.most and self.polls >= held.most:
            held.refused += 1
            return TooMuch(held.limit, COME_BACK)
        self.polls += 1
        return None

    def end_poll(self) -> None:
        self.polls -= 1


class _Named(Buckets[Hashable]):
    """Buckets of a limit of addresses."""

    def __init__(self, limit: str, per_second: float, burst: float) -> None:
        super().__init__(Rate(per_second, max(1.0, per_second * burst)))
        self.limit = limit


class Allowances:
    def __init__(
        self,
        user: Allowance,
        service: Allowance,
        address: AddressAllowance,
        burst: float,
        keys: UserKeys,
    ) -> None:
        """`burst`: seconds' worth that may be used at once."""
        self._keys = keys
        self.users = Rules("user", user, burst)
        self.services = Rules("service", service, burst)
        self._purses: dict[UserKey | str, Purse] = {}
        self._addresses = {
            name: _Named(f"address_{name}", per_second, burst)
            for name, per_second in address._asdict().items()
            if per_second > 0
        }

    # -- principals ------------------------------------------------------------------------------------------------

    def purse(self, principal: Principal, key: UserKey = 0) -> Purse:
        """What `principal` pays from. Of many, the one asked for longest ago is forgotten, unless it is held.

        `key`: that of a user, where the caller holds it: an object for both.
        """
        is_user = principal.user_id is not None
        # No user id holds a slash: a service is never taken for a user whose id is a string.
        spender = f"/{principal.name}" if principal.user_id is None else key or self._keys.key(principal.user_id)
        purse = self._purses.pop(spender, None)
        if purse is None:
            purse = Purse(self.users if is_user else self.services)
            if len(self._purses) >= MAX_BUCKETS:
                self._forget_one()
        self._purses[spender] = purse
        return purse

    def _forget_one(self) -> None:
        """Whoever is connected is asked for again at the end, so that their connections stay counted."""
        for _ in range(MOST_LOOKED_AT):
            spender = next(iter(self._purses))
            purse = self._purses.pop(spender)
            if not (purse.connections or purse.polls):
                return
            self._purses[spender] = purse

    # -- addresses -------------------------------------------------------------------------------------------------

    @property
    def counts_connections(self) -> bool:
        return "connections" in self._addresses

    @property
    def counts_handshakes(self) -> bool:
        return "handshakes" in self._addresses

    def address(self, name: str, address: str, now: float) -> TooMuch | None:
        """One more of what the field of `AddressAllowance` is about. None: it may be."""
        return _take(self._addresses.get(name), network_of(address), 1.0, now)

    # -- metrics -----------------------------------------------------------------------------------------------------

    def refused(self) -> dict[str, int]:
        """How often each limit refused, by its name; those that never did included."""
        addresses = {each.limit: each.refused for each in self._addresses.values()}
        return addresses | self.users.refused() | self.services.refused()


def _take(buckets: _Named | None, key: Hashable, amount: float, now: float) -> TooMuch | None:
    if buckets is None or not (wait := buckets.take(key, now, amount)):
        return None
    return TooMuch(buckets.limit, wait)


@lru_cache(maxsize=4096)
def network_of(address: str) -> str:
    """Whose address it is: of IPv6 the /64, which is what one customer has at least (RFC 6177); else itself."""
    try:
        ip = ip_address(address.partition("%")[0])
    except ValueError:
        return address
    if not isinstance(ip, IPv6Address):
        return address
    if ip.ipv4_mapped is not None:
        return str(ip.ipv4_mapped)
    return f"{IPv6Address(int(ip) >> 64 << 64)}/64"
