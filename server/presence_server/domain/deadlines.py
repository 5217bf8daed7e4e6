"""What expires when, at a cost that grows with what expires and never with what is stored.

Keys lie in buckets of one resolution each; a heap orders the buckets, not the keys. Setting, moving and discarding
a key is O(1) but for a new bucket, and a sweep touches due buckets only. A heap of keys with lazy deletion was
rejected: REST devices move their deadline at every heartbeat, which would leave a dead entry behind each time. A
hierarchical wheel was rejected as more code for the same cost. A bucket goes with its last key; its number stays in
the heap until it comes up or most numbers are such, when the heap is built anew: memory follows the keys, however
far and often they move.
"""

from collections.abc import Hashable
from heapq import heappop, heappush
from math import ceil, floor
from typing import Final, Generic, TypeVar

K = TypeVar("K", bound=Hashable)

_SPARE: Final = 64
"""How many numbers without a bucket are not worth building the heap anew."""


class Deadlines(Generic[K]):
    """Deadlines by key, one per key. A key is due at most `resolution` seconds after its deadline, never before.

    `salt`: an odd number that is secret, where clients choose deadlines: numbers of buckets are multiplied by it, which
    keeps their order, so that nobody can choose deadlines whose buckets collide.
    """

    def __init__(self, resolution: float = 0.05, salt: int = 1) -> None:
        self._resolution = resolution
        self._salt = salt
        self._bucket_of: dict[K, int] = {}
        # A dict serves as an ordered set: what falls due together does so in the order in which it was set.
        self._buckets: dict[int, dict[K, None]] = {}
        self._order: list[int] = []

    def __len__(self) -> int:
        return len(self._bucket_of)

    def __contains__(self, key: K) -> bool:
        return key in self._bucket_of

    def set(self, key: K, deadline: float) -> None:
        """Let `key` fall due at `deadline`, in seconds, instead of at any time set before."""
        number = ceil(deadline / self._resolution) * self._salt
        before = self._bucket_of.get(key)
        if before == number:
            return
        if before is not None:
            self.discard(key)
        bucket = self._buckets.get(number)
        if bucket is None:
            bucket = self._buckets[number] = {}
            heappush(self._order, number)
        bucket[key] = None
        self._bucket_of[key] = number

    def set_earlier(self, key: K, deadline: float) -> None:
        """Let `key` fall due at `deadline`, unless it does at a time before that already."""
        number = self._bucket_of.get(key)
        if number is None or number // self._salt * self._resolution > deadline:
            self.set(key, deadline)

    def of(self, key: K) -> float | None:
        """When `key` falls due, which is up to `resolution` after its deadline; None if it has none."""
        number = self._bucket_of.get(key)
        return None if number is None else number // self._salt * self._resolution

    def discard(self, key: K) -> None:
        number = self._bucket_of.pop(key, None)
        if number is None:
            return
        bucket = self._buckets[number]
        del bucket[key]
        if not bucket:
            del self._buckets[number]
            if len(self._order) > 2 * len(self._buckets) + _SPARE:
                self._order = sorted(self._buckets)  # which is a heap

    def pop_due(self, now: float) -> list[K]:
        """Take out what is due at `now`, in the order of its deadlines."""
        due: list[K] = []
        last = floor(now / self._resolution) * self._salt
        while self._order and self._order[0] <= last:
            for key in self._buckets.pop(heappop(self._order), ()):
                del self._bucket_of[key]
                due.append(key)
        return due

    def __repr__(self) -> str:
        return f"<Deadlines of {len(self._bucket_of)} keys in {len(self._buckets)} buckets>"
