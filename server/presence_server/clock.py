"""The machine's two clocks, as `application.ports.Clock` wants them."""

import time
from collections.abc import Callable
from functools import partial
from typing import Final


def _lasting() -> Callable[[], float]:
    """Seconds since the machine started, what it slept included.

    On Linux that is CLOCK_BOOTTIME (clock_gettime(2)): CLOCK_MONOTONIC, which `time.monotonic` reads, stands still
    while the machine is suspended, and whoever died meanwhile would be held for as long again.
    """
    boottime = getattr(time, "CLOCK_BOOTTIME", None)
    if boottime is None:
        return time.monotonic
    try:
        time.clock_gettime(boottime)
    except OSError:  # a kernel that is none, or a sandbox
        return time.monotonic
    return partial(time.clock_gettime, boottime)


LASTING: Final = _lasting()


class SystemClock:
    """Both are read each time they are asked for: what is kept of a clock is wrong as soon as somebody sets it."""

    def now(self) -> float:
        return LASTING()

    def utc(self) -> float:
        return time.time()
