"""What each may have of the server: token buckets by address and by principal, and how much of some things at once.

A *limit* is named by its setting, and that name is what a refusal and a metric say. Limits of a rate are buckets
(`buckets`), which hold `burst` seconds' worth; limits of what is held at once are counted while they are held. Users
and services have their own. A rate or a count of 0 is no limit, and costs a look at it.

A *spender* is whose purse it is: a user's key, or a service's name. It is the same for all of their connections and
requests, whichever way they come. Keys are not the ids that clients choose (see `keys`); names come from the
operator's files and the issuer's tokens.
"""

from __future__ import annotations

from collections.abc import Hashable
from functools import lru_cache
from ipaddress import IPv6Address, ip_address
from typing import Final, NamedTuple

from presence_server.application.buckets import Buckets, Rate
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


class ServiceName(str):
    """A service, as who spends: never to be taken for a user whose id is that string."""

    __slots__ = ()

    @classmethod
    def of(cls, principal: Principal) -> ServiceName:
        return cls(f"/{principal.name}")  # no user id holds a slash


Spender = UserKey | ServiceName


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


class _Purses:
    """The limits of users, or those of services."""

    __slots__ = ("connections", "messages", "polls", "queries", "statuses", "watches")

    def __init__(self, kind: str, allowance: Allowance, burst: float) -> None:
        def rate(name: str, per_second: float) -> _Named | None:
            return _Named(f"{kind}_{name}", per_second, burst) if per_second > 0 else None

        self.messages = rate("messages", allowance.messages)
        self.watches = rate("watches", allowance.watches)
        self.statuses = rate("statuses", allowance.statuses)
        self.queries = rate("queries", allowance.queries)
        self.polls = _Held(f"{kind}_polls", allowance.polls)
        self.connections = _Held(f"{kind}_connections", allowance.connections)


class _Named(Buckets[Hashable]):
    """Buckets of a limit."""

    def __init__(self, limit: str, per_second: float, burst: float) -> None:
        super().__init__(Rate(per_second, max(1.0, per_second * burst)))
        self.limit = limit


class _Held:
    """How much of something each has at once."""

    __slots__ = ("_held", "limit", "most", "refused")

    def __init__(self, limit: str, most: int) -> None:
        self.limit = limit
        self.most = most
        self.refused = 0
        self._held: dict[Spender, int] = {}

    def enter(self, spender: Spender) -> TooMuch | None:
        held = self._held.get(spender, 0)
        if self.most and held >= self.most:
            self.refused += 1
            return TooMuch(self.limit, COME_BACK)
        self._held[spender] = held + 1
        return None

    def leave(self, spender: Spender) -> None:
        held = self._held.pop(spender) - 1
        if held:
            self._held[spender] = held

    def __len__(self) -> int:
        return len(self._held)


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
        self.users = _Purses("user", user, burst)
        self.services = _Purses("service", service, burst)
        self._addresses = {
            name: _Named(f"address_{name}", per_second, burst)
            for name, per_second in address._asdict().items()
            if per_second > 0
        }
        self._warnings: Buckets[Spender] = Buckets(WARNINGS)

    # -- principals ------------------------------------------------------------------------------------------------

    def spender(self, principal: Principal) -> Spender:
        """Whose purse `principal` pays from."""
        return ServiceName.of(principal) if principal.user_id is None else self._keys.key(principal.user_id)

    def purses(self, spender: Spender) -> _Purses:
        return self.services if type(spender) is ServiceName else self.users

    def message(self, spender: Spender, now: float) -> TooMuch | None:
        """A message, or a request. None: it may be."""
        return _take((self.services if type(spender) is ServiceName else self.users).messages, spender, 1.0, now)

    def watches(self, spender: Spender, ids: int, now: float) -> TooMuch | None:
        """Watch, or watch no longer, so many users."""
        return _take(self.purses(spender).watches, spender, ids, now)

    def queries(self, spender: Spender, ids: int, now: float) -> TooMuch | None:
        """Ask about so many users."""
        return _take(self.purses(spender).queries, spender, ids, now)

    def status(self, spender: Spender, now: float) -> TooMuch | None:
        """Change what others see."""
        return _take(self.purses(spender).statuses, spender, 1.0, now)

    def goes_on(self, spender: Spender, now: float) -> bool:
        """One more refusal: whether it has been told often enough, and is to be closed."""
        return self._warnings.take(spender, now) > 0

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
        kept = [*self._addresses.values()]
        for purses in (self.users, self.services):
            kept += [each for name in purses.__slots__ if (each := getattr(purses, name)) is not None]
        return {each.limit: each.refused for each in kept}


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
