"""Token buckets in a bounded table: how much of something each of many may have in a second.

The generic cell rate algorithm (ITU-T I.371): of each bucket only the time is kept at which it will be full again, so
that one costs a number, and nothing has to be refilled. Which keys are kept is bounded; the one used longest ago goes
first. That one is the fullest, or nearly: to forget it forgives little, and a flood of made-up keys makes nobody wait.
"""

from __future__ import annotations

from collections.abc import Hashable
from typing import Final, Generic, NamedTuple, TypeVar

MAX_BUCKETS: Final = 100_000
"""Buckets of one table: at 150 bytes each, 15 MB."""

K = TypeVar("K", bound=Hashable)


class Rate(NamedTuple):
    """`per_second` in the long run, and up to `burst` at once. 0 a second: no limit."""

    per_second: float
    burst: float

    @property
    def is_off(self) -> bool:
        return self.per_second <= 0


class Buckets(Generic[K]):
    """A bucket for each key."""

    def __init__(self, rate: Rate, size: int = MAX_BUCKETS) -> None:
        self.rate = rate
        self.refused = 0
        """How often somebody was told to wait."""
        self._size = size
        self._full_at: dict[K, float] = {}

    def take(self, key: K, now: float, amount: float = 1.0) -> float:
        """Take `amount` from the bucket of `key`. Returns 0 if it was there, else the seconds after which it will be.

        Whoever has to wait has taken nothing. More than a whole burst is taken as a whole burst: else it would never
        fit. `now` is monotonic, in seconds.
        """
        rate = self.rate
        if rate.per_second <= 0:
            return 0.0
        full_at = self._full_at.pop(key, 0.0)
        after = max(full_at, now) + min(amount, rate.burst) / rate.per_second
        wait = after - rate.burst / rate.per_second - now
        if wait > 1e-9:
            self._full_at[key] = full_at
            self.refused += 1
            return wait
        if len(self._full_at) >= self._size:
            del self._full_at[next(iter(self._full_at))]
        self._full_at[key] = after
        return 0.0

    def __len__(self) -> int:
        return len(self._full_at)
