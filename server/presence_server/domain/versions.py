"""A hybrid logical clock: versions that always grow and can be compared across restarts and nodes.

Kulkarni et al., "Logical Physical Clocks" (2014), folded into one integer that a JavaScript number holds: the
milliseconds since 2020 in the upper 41 bits (until 2089), a counter in the lower twelve. They follow the system's clock
where it runs ahead of the last one given, and go on counting where it was set back or stands beyond their range.
"""

from typing import Final

EPOCH_2020: Final = 1_577_836_800
COUNTER_BITS: Final = 12
LAST_MS: Final = 2**41 - 2**31
"""Milliseconds, in 2089, up to which the clock is followed: whatever a broken clock says, there is room to count on."""


class Versions:
    """Gives versions. `last` may be set at the start to one read elsewhere, so that none is given twice."""

    def __init__(self, last: int = 0) -> None:
        self.last = last
        self.followed_to = LAST_MS
        """Milliseconds up to which the clock is followed. Whoever keeps state moves it on (`presence_server.state`)."""

    def take(self, utc: float) -> int:
        """The next version: that of `utc`, or one more than the last where the clock has not moved on."""
        milliseconds = int((utc - EPOCH_2020) * 1000)
        if milliseconds > self.followed_to:
            milliseconds = self.followed_to
        version = milliseconds << COUNTER_BITS
        if version <= self.last:
            version = self.last + 1
        self.last = version  # with max() and min() it took twice as long, for each Change
        return version

    def __repr__(self) -> str:
        return f"<Versions, last {self.last}>"


def milliseconds_of(version: int) -> int:
    """When a version was given, in milliseconds since 1970; not before any that was given before it."""
    return (version >> COUNTER_BITS) + EPOCH_2020 * 1000
