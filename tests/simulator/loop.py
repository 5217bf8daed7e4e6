"""One thread and one virtual clock for everybody; and the server's event loop, which may stall.

What happens on the server goes through one of three lanes, as in asyncio: what was called soon, what sockets have to
say, and timers. While the server stalls, all three wait; the rest of the world goes on. When it is over they are
served in that order, as asyncio does: what is ready, then what was read, then the timers that fell due.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from engines.timeline import BOOT, START, Timeline
from presence_server.application.fanout import Fanout
from presence_server.application.hub import Hub
from presence_server.transports.driver import SWEEP_INTERVAL, Driver

SOON: Final = 0
SOCKET: Final = 1
TIMER: Final = 2
LONGEST_STALL: Final = 9.0
"""Seconds."""


class Handle:
    """What asyncio's timers give back."""

    __slots__ = ("arguments", "call", "is_cancelled")

    def __init__(self, call: Callable[..., None], arguments: tuple[Any, ...]) -> None:
        self.call = call
        self.arguments = arguments
        self.is_cancelled = False

    def cancel(self) -> None:
        self.is_cancelled = True


class Loop(Timeline):
    """`call_at` and `call_later` are for the world outside the server; its own calls go through a lane."""

    def __init__(self, start: float = BOOT) -> None:
        super().__init__(start)
        self.is_stalled = False
        self.stall_seconds = 0.0
        """How long the stall that is under way takes."""
        self._stalled_since = 0.0
        self._stalled_before = 0.0
        self._resumed_at = float("-inf")
        self._kept: tuple[list[Handle], list[Handle], list[Handle]] = ([], [], [])

    def serve(self, lane: int, seconds: float, call: Callable[..., None], *arguments: Any) -> Handle:
        """Call on the server, `seconds` from now or as soon as it does not stall."""
        return self.serve_at(self.time + seconds, lane, call, *arguments)

    def serve_at(self, when: float, lane: int, call: Callable[..., None], *arguments: Any) -> Handle:
        handle = Handle(call, arguments)
        self.call_at(when, self._run, lane, handle)
        return handle

    def _run(self, lane: int, handle: Handle) -> None:
        if self.is_stalled:
            self._kept[lane].append(handle)
        elif not handle.is_cancelled:
            handle.call(*handle.arguments)

    def stall(self, seconds: float) -> None:
        if not self.is_stalled:
            self.is_stalled = True
            self.stall_seconds = seconds
            self._stalled_since = self.time
            self.call_later(seconds, self._resume)

    @property
    def stalled_for(self) -> float:
        """Seconds that the server spent stalled, in all."""
        return self._stalled_before + (self.time - self._stalled_since if self.is_stalled else 0.0)

    def stalled_lately(self, seconds: float) -> bool:
        """Whether the server stalls, or did so within the last `seconds`."""
        return self.is_stalled or self.time - self._resumed_at <= seconds

    def _resume(self) -> None:
        self._stalled_before = self.stalled_for
        self._resumed_at = self.time
        self.is_stalled = False
        for lane, kept in enumerate(self._kept):
            for handle in kept:
                self.call_at(self.time, self._run, lane, handle)
            kept.clear()


class MachineClock:
    """The two clocks of the server's machine.

    Somebody sets the calendar; and the machine is suspended, during which both go on while its timers stand still. To
    the rest of the world such a suspension takes no time: it is as if everybody slept.
    """

    def __init__(self, loop: Loop) -> None:
        self._loop = loop
        self.set_by = 0.0
        self.slept = 0.0
        self.latest = 0.0
        """The latest calendar time that was ever told."""
        self.moved_at = self.woke_at = float("-inf")
        """When, by the loop, the calendar was last moved and the machine last woke."""

    def now(self) -> float:
        return self._loop.time + self.slept

    def utc(self) -> float:
        """What the server is told."""
        return self.calendar()

    def calendar(self) -> float:
        """What it is to be told."""
        utc = START + self._loop.time + self.slept - BOOT + self.set_by
        self.latest = max(self.latest, utc)
        return utc

    def set(self, step: float) -> None:
        self.set_by += step
        self.moved_at = self._loop.time

    def sleep(self, seconds: float) -> None:
        self.slept += seconds
        self.moved_at = self.woke_at = self._loop.time

    def is_settled(self, seconds: float) -> bool:
        """Whether the calendar was left alone for so long."""
        return self._loop.time - self.moved_at > seconds


class ServerTimeline(Timeline):
    """The loop as the late engine sees it: what its store sends is read from a socket."""

    def __init__(self, loop: Loop) -> None:
        super().__init__()
        self._loop = loop

    @property
    def time(self) -> float:
        return self._loop.time

    @time.setter
    def time(self, value: float) -> None:
        """The loop's is the only time."""

    def call_at(self, when: float, call: Callable[..., None], *arguments: Any) -> None:
        self._loop.serve_at(when, SOCKET, call, *arguments)


class AsyncioLike:
    """As much of asyncio's loop as the driver uses."""

    def __init__(self, loop: Loop, turn: float) -> None:
        """`turn` is how long a turn of the loop takes, in seconds: between two slices others are served."""
        self._loop = loop
        self._turn = turn

    def call_soon(self, call: Callable[..., None], *arguments: Any) -> Handle:
        return self._loop.serve(SOON, self._turn, call, *arguments)

    def call_later(self, seconds: float, call: Callable[..., None], *arguments: Any) -> Handle:
        return self._loop.serve(TIMER, seconds, call, *arguments)


class SimulatedDriver(Driver):
    """The server's own driver on virtual time. A sweep that fails ends the run, instead of being logged."""

    def start_on(self, loop: Loop, turn: float) -> None:
        self._loop = AsyncioLike(loop, turn)  # type: ignore[assignment]
        self._later = loop
        loop.serve(TIMER, SWEEP_INTERVAL, self._sweep_loudly)

    def _sweep_loudly(self) -> None:
        self._later.serve(TIMER, SWEEP_INTERVAL, self._sweep_loudly)
        now = self.clock.now()
        self.hub.sweep(now)
        for timeout in self._timeouts.pop_due(now):
            timeout()

    def of(self, hub: Hub, fanout: Fanout) -> SimulatedDriver:
        self.drives(hub, fanout)
        return self
