"""A user that flaps: published at once up to a burst, then once per interval, with the last value.

A token bucket per user that changed lately, of `BURST` tokens that come back one per interval. Buckets that must be
full again are dropped in bulk: they live in two generations, and the older one goes when its buckets are full.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from presence_server.domain.deadlines import Deadlines
from presence_server.domain.model import UserKey

BURST = 5


class Pacing:
    """Tells which changes may be published now. An `interval` of 0 seconds lets everything pass."""

    def __init__(self, interval: float) -> None:
        self._interval = interval
        # user -> the time at which the bucket would be full again if nothing more was taken
        self._full_at: dict[UserKey, float] = {}
        self._older: dict[UserKey, float] = {}
        self._turned_at = float("-inf")
        self._held: Deadlines[UserKey] = Deadlines(resolution=0.01)
        self._held_version: dict[UserKey, int] = {}
        self.on_hold: Callable[[UserKey], None] = _nobody
        """Called with each user of whom a change is held from now on, or no more."""

    def admit(self, user_id: UserKey, version: int, now: float) -> bool:
        """Whether the change may be published now. If not, it is held, in place of any held before it."""
        if not self._interval:
            return True
        if user_id in self._held:
            self._held_version[user_id] = version
            return False
        release_at = self._take(user_id, now)
        if release_at <= now:
            return True
        self._held.set(user_id, release_at)
        self._held_version[user_id] = version
        self.on_hold(user_id)
        return False

    def _take(self, user_id: UserKey, now: float) -> float:
        """Take a token. Returns the time from which it may be used."""
        if now - self._turned_at > (BURST + 1) * self._interval:
            self._older, self._full_at, self._turned_at = self._full_at, {}, now
        full_at = self._full_at.get(user_id) or self._older.get(user_id) or now
        full_at = max(now, full_at) + self._interval
        self._full_at[user_id] = full_at
        return full_at - BURST * self._interval

    def release(self, now: float) -> list[tuple[UserKey, int]]:
        """The held changes that may be published now: user and the version last held."""
        released = [(user_id, self._held_version.pop(user_id)) for user_id in self._held.pop_due(now)]
        for user_id, _ in released:
            self.on_hold(user_id)
        return released

    def release_all(self) -> list[tuple[UserKey, int]]:
        """All held changes, whenever they might be published."""
        held, self._held_version = self._held_version, {}
        for user_id in held:
            self._held.discard(user_id)
            self.on_hold(user_id)
        return list(held.items())

    def held(self) -> Iterable[UserKey]:
        """Users of whom a change is held."""
        return list(self._held_version)

    def is_held(self, user_id: UserKey) -> bool:
        return user_id in self._held_version

    def __len__(self) -> int:
        """How many changes are held."""
        return len(self._held)


def _nobody(_user_id: UserKey) -> None:
    """Nobody keeps it beside this."""
