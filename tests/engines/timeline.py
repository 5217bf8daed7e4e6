"""Virtual time: what is to happen, in order, and nothing in between.

Whoever needs a timer or a delay is handed a `Timeline`. Nothing happens until somebody calls `advance` or `pop`; what
happens at the same time does so in the order in which it was asked for, so a run is the same every time.
"""

from __future__ import annotations

from collections.abc import Callable
from heapq import heappop, heappush
from typing import Any

START = 1_762_700_400.0
"""2025-11-09T15:00:00Z"""
BOOT = 5_000.0
"""What the clock of durations says then. Whoever takes one of the clocks for the other is off by decades."""

Entry = tuple[float, int, Callable[..., None], tuple[Any, ...]]


class Timeline:
    def __init__(self, start: float = BOOT) -> None:
        self.time = start
        self._heap: list[Entry] = []
        self._number = 0

    def now(self) -> float:
        return self.time

    def utc(self) -> float:
        return START + self.time - BOOT

    def call_at(self, when: float, call: Callable[..., None], *arguments: Any) -> None:
        """Call at `when`, or as soon as may be if that is past."""
        self._number += 1
        heappush(self._heap, (max(when, self.time), self._number, call, arguments))

    def call_later(self, seconds: float, call: Callable[..., None], *arguments: Any) -> None:
        self.call_at(self.time + seconds, call, *arguments)

    def next_at(self) -> float | None:
        """When something happens next."""
        return self._heap[0][0] if self._heap else None

    def pop(self) -> tuple[Callable[..., None], tuple[Any, ...]]:
        """Take out what happens next; the time is then that of its happening."""
        self.time, _, call, arguments = heappop(self._heap)
        return call, arguments

    def advance(self, seconds: float) -> None:
        """Let everything happen that is due within `seconds`."""
        until = self.time + seconds
        while self._heap and self._heap[0][0] <= until:
            call, arguments = self.pop()
            call(*arguments)
        self.time = until

    def __repr__(self) -> str:
        return f"<Timeline at +{self.time - BOOT:.3f} s, {len(self._heap)} to come>"
