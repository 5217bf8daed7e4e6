"""What a connection waits for, and until when.

There is one timer for each connection, and it is not moved for each request: when it fires, it may have been set for
what is long past, and is then set for what is awaited now.
"""

from __future__ import annotations

from math import inf
from typing import Final, Protocol

from presence_server.application.ports import Clock
from presence_server.transports.driver import Driver

HEAD: Final = 0
"""A request, or the rest of its head."""

BODY: Final = 1
"""The rest of a body."""

APPLICATION: Final = 2
"""An answer of the application."""

NEXT: Final = 3
"""The next request; until it comes, the client also takes what it was answered."""

END: Final = 4
"""The end of the connection, which was closed."""


class Waiter(Protocol):
    def time_is_up(self) -> None:
        """What is awaited has not come in its time."""
        ...


class Patience:
    """`awaited`: what is awaited, one of the constants above."""

    __slots__ = ("_clock", "_deadline", "_driver", "_timer_at", "_waiter", "awaited")

    def __init__(self, clock: Clock, driver: Driver, waiter: Waiter) -> None:
        self._clock = clock
        self._driver = driver
        self._waiter: Waiter | None = waiter
        self.awaited = HEAD
        self._deadline = inf
        self._timer_at = inf

    def expect(self, what: int, seconds: float) -> None:
        """Give `what` so many seconds from now. If it has less already, nothing is changed."""
        deadline = self._clock.now() + seconds
        if what != self.awaited or deadline < self._deadline:
            self.awaited, self._deadline = what, deadline
            if deadline < self._timer_at:
                self._timer_at = deadline
                self._driver.set_timeout(self._fire, seconds)

    def wait_for(self, what: int) -> None:
        """Give `what` as long as it takes."""
        self.awaited, self._deadline = what, inf

    def extend(self, seconds: float) -> None:
        """Give what is awaited so many seconds from now, however many it had."""
        self._deadline = inf
        self.expect(self.awaited, seconds)

    def end(self) -> None:
        """Nothing is awaited any more: lets go of the connection, so that no cycle waits for the collector."""
        self._driver.discard_timeout(self._fire)
        self._waiter = None

    def _fire(self) -> None:
        self._timer_at = inf
        left = self._deadline - self._clock.now()
        if left > 0:
            if left < inf:
                self.extend(left)
        elif self._waiter is not None:
            self._waiter.time_is_up()
