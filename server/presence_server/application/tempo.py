"""When to flush: a quiet server at once, a busy one less often, and more in each write."""

from __future__ import annotations


class Tempo:
    """Times are in seconds on the clock of durations."""

    def __init__(self, flush_interval: float, max_flush_interval: float) -> None:
        self.free_at = float("-inf")
        """When the next flush may begin."""
        self.saved = 0.0
        """The share of the last flush's deliveries that went out with another one's write."""
        self._flush_interval = flush_interval
        self._max_flush_interval = max_flush_interval
        self._began: float | None = None  # the flush under way
        self._took = self._longest = 0.0

    def begin(self, now: float) -> None:
        """A flush begins."""
        self._began, self._took = now, 0.0

    def took(self, began: float, ended: float) -> None:
        """A slice of it did."""
        self._took += ended - began

    def end(self, now: float) -> None:
        """It is over."""
        lasted = 0.0 if self._began is None else now - self._began
        self._began = None
        self._longest = max(self._longest, lasted)
        self.free_at = now + self._pause(lasted)

    def longest_flush(self, now: float) -> float:
        """Seconds that the longest flush since the last call lasted, or has lasted so far."""
        so_far = 0.0 if self._began is None else now - self._began
        longest, self._longest = max(self._longest, so_far), 0.0
        return longest

    def _pause(self, lasted: float) -> float:
        """Seconds to gather before the next flush, by what the last one took and by the writes that gathering saved.

        It `lasted` longer than it took, where others were served between its slices.

        Gathering pays by the writes that it saves, and not at all where every change goes to others. Where it saves
        most of them the pause is twice the flush. But a change may come right after a flush began, and is late by that
        flush, this pause and its own flush: all of it together stays below the maximum, as long as flushing takes no
        more than two thirds of the loop for that.
        """
        took, most = self._took, self._max_flush_interval
        return max(self._flush_interval, min(2 * took * self.saved, max(most - 2 * lasted, took / 2), most))
