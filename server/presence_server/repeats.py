"""Events that are equal are counted, not repeated.

Whatever a client can make happen it can make happen a thousand times a second, and a log at that rate is of use to
nobody: it fills the disk and costs more than what it tells of. So the first of equal events is written, and of events
of one kind that differ in their fields a few; the rest are counted, and told as one line when the period is over.
"""

from __future__ import annotations

from collections.abc import Hashable
from typing import Final, Generic, TypeVar

E = TypeVar("E")

PERIOD: Final = 10.0
"""Seconds from the first event of a kind until it is told how many were left out; then the next is written again."""

MOST_OF_A_KIND: Final = 20
"""Events of one kind, of different fields, that are written in one period."""

MOST_KINDS: Final = 500
"""Kinds that are told apart at a time. Beyond, some libraries' texts hold what clients chose, all count as one."""


class _Kind(Generic[E]):
    __slots__ = ("event", "left_out", "since", "written")

    def __init__(self, event: E, since: float) -> None:
        self.event = event
        self.since = since
        self.written: set[Hashable] = set()
        self.left_out = 0


class Repeats(Generic[E]):
    """Which events are written. Times are in seconds, on a clock that only grows."""

    def __init__(self) -> None:
        self._kinds: dict[Hashable, _Kind[E]] = {}  # in the order of their periods' ends

    def admit(self, event: E, kind: Hashable, details: Hashable, now: float) -> bool:
        """Whether `event` is to be written. Events of one `kind` with the same `details` are equal."""
        if kind not in self._kinds and len(self._kinds) >= MOST_KINDS:
            kind = None
        known = self._kinds.get(kind)
        if known is None:
            known = self._kinds[kind] = _Kind(event, now)
        if details in known.written or len(known.written) >= MOST_OF_A_KIND:
            known.left_out += 1
            return False
        known.written.add(details)
        return True

    def due(self, now: float) -> list[tuple[E, int]]:
        """Of the periods that are over: the first event of each kind, and how many more were not written."""
        told: list[tuple[E, int]] = []
        for key, kind in list(self._kinds.items()):
            if now - kind.since < PERIOD:
                break
            del self._kinds[key]
            if kind.left_out:
                told.append((kind.event, kind.left_out))
        return told

    def __len__(self) -> int:
        """How many kinds happened lately."""
        return len(self._kinds)
