"""Python's garbage collector, set for a process that holds millions of objects for long.

Left alone it looks at all of them again whenever their number has grown by a quarter: with a million users that is
half a second in which nobody is served, and a third of the time that it takes them to arrive. Nothing here relies
on it: what ends is let go of by its owners, without cycles (`tests/e2e/test_garbage.py` holds every kind of end to
that), and `bench/leaks.py` shows that a hundred thousand connections that vanish leave nothing. Cycles made by an
exception or a library die young, where they are found.

As a net, all objects are looked at when nobody is there to be kept waiting, and when memory has doubled since: a cycle
that nobody knows of costs memory for a while, and never all of it. In the idle moments, what is free goes back to the
system as well.
"""

from __future__ import annotations

import asyncio
import ctypes
import gc
import sys
import time
from collections.abc import Callable
from typing import Final, NamedTuple

from presence_server.logs import get_logger
from presence_server.memory import resident_memory

THRESHOLDS: Final = (10_000, 1, 10_000)
"""Objects made and not freed until the young are looked at (1 ms); so many times more until the middle-aged are, 20,000
objects at most (5 ms; with 50,000 it was 8 to 20); so many of these until all are: practically never. Measured by
`bench/run.py pauses`."""

CHECK: Final = 5.0
"""Seconds between two looks at how things are; a look takes 20 us."""

IDLE: Final = 0.02
"""The share of a core below which a server is idle: it sends pings, and answers a probe now and then."""

PAUSE: Final = 60.0
"""Seconds between two collections for being idle, at least."""

SHARE: Final = 0.001
"""The share of all time that collections may take: one of half a second is followed by none for 500 s."""

ROOM: Final = 64 * 1024 * 1024
"""Bytes by which memory must have grown as well: a small process doubles by its first clients."""


class Look(NamedTuple):
    """How things are: seconds on a clock that only grows, seconds of CPU, and resident bytes."""

    now: float
    cpu: float
    resident: int


class Collections:
    """When to look at all objects. Pure: it is told how things are."""

    def __init__(self, first: Look) -> None:
        self.is_idle = False
        self._before = first
        self._settled = first.resident
        self._not_before = first.now + PAUSE
        self._not_before_doubling = first.now

    def is_due(self, look: Look) -> bool:
        """To be asked about every `CHECK` seconds."""
        before, self._before = self._before, look
        self.is_idle = is_idle = look.cpu - before.cpu < IDLE * (look.now - before.now)
        if look.resident >= max(2 * self._settled, self._settled + ROOM):
            return look.now >= self._not_before_doubling
        return is_idle and look.now >= self._not_before

    def done(self, began: Look, ended: Look) -> None:
        """All objects were looked at."""
        took = ended.now - began.now
        self._before = ended
        self._settled = ended.resident
        self._not_before = ended.now + max(PAUSE, took / SHARE)
        self._not_before_doubling = ended.now + 10 * took


def settle() -> None:
    """Call once everything is loaded: none of it is ever looked at again."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(*THRESHOLDS)


async def collect_when_due() -> None:
    """Runs beside the server for as long as it does."""
    log = get_logger(__name__)
    collections = Collections(look())
    while True:
        await asyncio.sleep(CHECK)
        began = look()
        if collections.is_due(began):
            found = gc.collect()
            if collections.is_idle:
                give_back()
            ended = look()
            collections.done(began, ended)
            log.debug("garbage collected", objects=found, ms=round((ended.now - began.now) * 1000))


def look() -> Look:
    return Look(time.monotonic(), time.process_time(), resident_memory())


def _trimmer() -> Callable[[int], int] | None:
    if sys.platform != "linux":
        return None
    trim: Callable[[int], int] | None = getattr(ctypes.CDLL(None), "malloc_trim", None)  # glibc alone has it
    return trim


_TRIM: Final = _trimmer()


def give_back() -> None:
    """Give the system what is free on the heap.

    By itself glibc gives back only what is free at its end (mallopt(3), M_TRIM_THRESHOLD): after 800 clients that had
    each sent most of a message and left, 120 of 180 MB were free, and stayed. It takes 125 ms for those.
    """
    if _TRIM is not None:
        _TRIM(0)
