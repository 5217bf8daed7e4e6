"""Runs the application on the event loop: opens a turn for what is due, flushes when it is time, sweeps.

There is one of it. It owns the only two timers of the process: the next flush, and the sweep that serves all
connections.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

from presence_server.application.fanout import Fanout
from presence_server.application.hub import Hub
from presence_server.application.ports import Clock
from presence_server.application.tallies import Histogram
from presence_server.domain.deadlines import Deadlines
from presence_server.logs import get_logger

SWEEP_INTERVAL: Final = 0.1
"""Seconds between two sweeps."""

_log = get_logger(__name__)


class Driver:
    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self._loop: asyncio.AbstractEventLoop | None = None
        self._turn_due = False
        self._flush_timer: asyncio.TimerHandle | asyncio.Handle | None = None
        self._sweep_timer: asyncio.TimerHandle | None = None
        self._sweep_due = 0.0
        self.lag = Histogram()
        """Seconds by which the loop comes late to what is due, looked at ten times a second."""
        self.on_sweep: Callable[[float, float], None] = _nothing
        """Called before each sweep with the time, and by how many seconds the sweep is late."""
        self._timeouts: Deadlines[Callable[[], None]] = Deadlines()

    def drives(self, hub: Hub, fanout: Fanout) -> None:
        """Tie the knot: the hub was given this driver's `wake`."""
        self.hub = hub
        self.fanout = fanout

    def start(self) -> None:
        """Take the running loop, and begin to sweep."""
        self._loop = asyncio.get_running_loop()
        self._await_sweep(self.clock.now())

    def stop(self) -> None:
        for timer in (self._sweep_timer, self._flush_timer):
            if timer is not None:
                timer.cancel()
        self._loop = None

    # -- turns ---------------------------------------------------------------------------------------------------

    def wake(self) -> None:
        """Something is due, or changes are gathered: see to it after what the loop is at."""
        if not self._turn_due and self._loop is not None:
            self._turn_due = True
            self._loop.call_soon(self._turn)

    def call_soon(self, callback: Callable[[], None]) -> None:
        """Call it after what the loop is at."""
        asyncio.get_running_loop().call_soon(callback)

    def _turn(self) -> None:
        self._turn_due = False
        self.hub.turn.run()
        self._schedule_flush()

    # -- time ----------------------------------------------------------------------------------------------------

    def _schedule_flush(self) -> None:
        if self._flush_timer is not None or self._loop is None:
            return
        delay = self.fanout.delay(self.clock.now())
        if delay == 0:
            self._flush_timer = self._loop.call_soon(self._flush)
        elif delay is not None:
            # Timers count milliseconds: less would be at once, again and again.
            self._flush_timer = self._loop.call_later(max(delay, 0.001), self._flush)

    def _flush(self) -> None:
        self._flush_timer = None
        self.fanout.step(self.clock.now())
        self._schedule_flush()

    def _await_sweep(self, now: float) -> None:
        if self._loop is not None:
            self._sweep_due = now + SWEEP_INTERVAL
            self._sweep_timer = self._loop.call_later(SWEEP_INTERVAL, self._sweep)

    def _sweep(self) -> None:
        if self._loop is None:
            return
        now = self.clock.now()
        late = max(0.0, now - self._sweep_due)
        self.lag.observe(late)
        self._await_sweep(now)
        try:
            self.on_sweep(now, late)
            self.hub.sweep(now)
            for timeout in self._timeouts.pop_due(now):
                timeout()
        except Exception as failure:
            # A sweep that fails for one must go on for all others.
            _log.exception("sweep failed", failure)

    def set_timeout(self, timeout: Callable[[], None], seconds: float) -> None:
        """Call `timeout` once, `seconds` from now, give or take a sweep. Setting it again moves it."""
        self._timeouts.set(timeout, self.clock.now() + seconds)

    def discard_timeout(self, timeout: Callable[[], None]) -> None:
        self._timeouts.discard(timeout)


def _nothing(_now: float, _late: float) -> None:
    """Nobody looks."""
