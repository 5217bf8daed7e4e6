"""How many people come and go in a minute, and the most there were today.

Nothing is counted here when somebody comes or goes: the sweep looks, some ten times a second, at what the table and the
hub count anyway. A peak that lasts for less than a tenth of a second may be missed.
"""

from __future__ import annotations

from collections import deque
from typing import Final, NamedTuple

MINUTE: Final = 60.0
DAY: Final = 86_400


class Peak(NamedTuple):
    """The most there were, and when that was first so (seconds since 1970)."""

    most: int
    at: int


class Peaks(NamedTuple):
    """Of one calendar day of UTC, which began at `day` (seconds since 1970)."""

    day: int
    users: Peak
    connections: Peak


class _Look(NamedTuple):
    now: float
    joined: int
    left: int


class Census:
    def __init__(self, now: float) -> None:
        """`now`: the start, from which on it is counted."""
        self._looks: deque[_Look] = deque((_Look(now, 0, 0),))
        self._peaks = Peaks(0, Peak(0, 0), Peak(0, 0))

    def look(self, now: float, utc: float, users: int, connections: int, joined: int, left: int) -> None:
        """So many users are there and connections open; `joined` and `left` only grow, from the start on."""
        looks = self._looks
        if now - looks[-1].now >= 1:
            looks.append(_Look(now, joined, left))
            while len(looks) > 1 and now - looks[1].now >= MINUTE:
                looks.popleft()
        day, second = int(utc) // DAY * DAY, int(utc)
        peaks = self._peaks
        if day != peaks.day:
            self._peaks = Peaks(day, Peak(users, second), Peak(connections, second))
        elif users > peaks.users.most or connections > peaks.connections.most:
            self._peaks = Peaks(
                day,
                Peak(users, second) if users > peaks.users.most else peaks.users,
                Peak(connections, second) if connections > peaks.connections.most else peaks.connections,
            )

    def in_a_minute(self, joined: int, left: int) -> tuple[int, int]:
        """How many users joined and left in the last minute, to the second; since the start, if that was later."""
        first = self._looks[0]
        return joined - first.joined, left - first.left

    @property
    def peaks(self) -> Peaks:
        return self._peaks
