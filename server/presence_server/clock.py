"""The system's time, as `application.ports.Clock` wants it: UTC that never runs backward and never jumps."""

import time
from collections.abc import Callable
from typing import Final

SLEW: Final = 0.1
"""Greatest correction, in seconds per second: a clock that was set is followed within ten times the step."""


class SystemClock:
    """UTC as of the start, carried on by the monotonic clock, and drawn gently towards UTC as the system has it.

    A step of the system's clock must not end every grace period at once, nor stop them all; so it is slewed.
    """

    def __init__(self, wall: Callable[[], float] = time.time, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._wall = wall
        self._monotonic = monotonic
        self._read_at = monotonic()
        self._now = wall()

    def now(self) -> float:
        read_at = self._monotonic()
        elapsed = read_at - self._read_at
        self._read_at = read_at
        self._now += elapsed
        off = self._wall() - self._now
        most = elapsed * SLEW
        self._now += max(-most, min(most, off))
        return self._now
