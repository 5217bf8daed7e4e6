"""What is called soon, but not too often: at once on a quiet server, and with more to do each time on a busy one."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

from presence_server.application.ports import Clock

FEED_PAUSE: Final = 0.05
"""Seconds between two wakes of those who read the feed."""


class Paced:
    """Call it with a callback: that is called soon, and not within `pause` seconds of the one before."""

    def __init__(self, clock: Clock, pause: float) -> None:
        self._clock = clock
        self._pause = pause
        self._last = float("-inf")

    def __call__(self, callback: Callable[[], None]) -> None:
        now = self._clock.now()
        self._last = max(now, self._last + self._pause)
        asyncio.get_running_loop().call_later(self._last - now, callback)
