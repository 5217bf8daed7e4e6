"""One turn of the loop for all who ask for much, however many they are.

A bound for each client says nothing about two hundred of them: each of their turns came after another one's, and the
loop was away for a second. So whatever may take long is handled within one budget of time for each turn of the loop.
What does not fit waits here, and its socket is not read from meanwhile.

**Whose turn it is.** Whoever has used least goes first, by the seconds that each has used lately. So a client that says
something now and then is served before those who keep the server busy, and these share what is left evenly. What was
used is halved every second, and forgotten when it is next to nothing: only those who ask for much are in the books.

Tried as well: first come, first served. With two hundred who flood, a bystander waited for all of them.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from heapq import heapify, heappop, heappush
from typing import TYPE_CHECKING, Final, Protocol

if TYPE_CHECKING:
    from presence_server.application.ports import Clock

TURN: Final = 0.002
"""Seconds of one turn of the loop for all. What cannot be divided comes on top: decoding one message of 262 KB takes
3 ms, a slice of an answer less than one."""

HALVED_EVERY: Final = 1.0
"""Seconds after which what was used counts half."""

NOTHING: Final = 0.000_1
"""Seconds used that are forgotten."""


class Runner(Protocol):
    """Somebody who waits for a turn."""

    def take_turn(self, now: float, ends_at: float) -> bool:
        """Do something, until `ends_at` at most. Returns whether there is more to do."""
        ...


class _Steps:
    """What an endpoint does piece by piece."""

    def __init__(self, steps: Iterator[None]) -> None:
        self._steps = steps
        self.ended: asyncio.Future[None] | None = None
        self.is_over = False

    def take_turn(self, now: float, ends_at: float) -> bool:
        if self.ended is not None and self.ended.done():
            return False  # whoever asked is gone
        try:
            self.is_over = next(self._steps, self) is self
        except Exception as failure:
            if self.ended is None:
                raise
            self.ended.set_exception(failure)
            return False
        if self.is_over and self.ended is not None:
            self.ended.set_result(None)
        return not self.is_over


class Shares:
    def __init__(self, clock: Clock, call_soon: Callable[[Callable[[], None]], None]) -> None:
        self._clock = clock
        self._call_soon = call_soon
        self._left = TURN
        self.is_claimed = False
        self._is_due = False
        self._waiting: list[tuple[float, int, Runner]] = []
        self._last = 0
        self._used: dict[Runner, float] = {}
        self._halved_at = clock.now()

    @property
    def left(self) -> float:
        """Seconds that are left of this turn of the loop; 0 or less: ask for one."""
        return self._left

    def claim(self) -> bool:
        """Whether something dear may be done now. Whoever is handling messages is to look at `is_claimed`, and pay."""
        self.is_claimed = True
        return self._left > 0

    def ask(self, runner: Runner) -> None:
        """Call `runner.take_turn` when its turn has come. It must not ask again before that."""
        self._last += 1
        heappush(self._waiting, (self._used.get(runner, 0.0), self._last, runner))
        self._schedule()

    def charge(self, runner: Runner, seconds: float) -> None:
        """`runner` has used so much of this turn of the loop."""
        self.is_claimed = False
        self._left -= seconds
        if seconds > NOTHING:
            self._used[runner] = self._used.get(runner, 0.0) + seconds
        # A new budget is for the next turn; small change need not wake anybody.
        if self._left < TURN / 2:
            self._schedule()

    async def do(self, steps: Iterator[None]) -> None:
        """Do all `steps`, in as many turns as they take; at once while nobody else is busy."""
        runner = _Steps(steps)
        while self._left > 0 and not runner.is_over:
            now = self._clock.now()
            runner.take_turn(now, now)
            self.charge(runner, self._clock.now() - now)
        try:
            if not runner.is_over:
                runner.ended = asyncio.get_running_loop().create_future()
                self.ask(runner)
                await runner.ended
        finally:
            self.forget(runner)

    def forget(self, runner: Runner) -> None:
        """It is gone: let go of it. If it waits, its turn will come, and nothing is done."""
        self._used.pop(runner, None)

    def _schedule(self) -> None:
        if not self._is_due:
            self._is_due = True
            self._call_soon(self._run)

    def _run(self) -> None:
        self._is_due = False
        self._left = TURN
        now = self._clock.now()
        if now - self._halved_at >= HALVED_EVERY:
            self._halve(now)
        if not self._waiting:
            return
        ends_at = now + TURN
        again: list[Runner] = []
        while self._waiting and now < ends_at:
            _, _, runner = heappop(self._waiting)
            if runner.take_turn(now, ends_at):
                again.append(runner)
            then = self._clock.now()
            self.charge(runner, then - now)
            now = then
        for runner in again:  # not sooner: nobody has two turns in one
            self.ask(runner)
        self._schedule()

    def _halve(self, now: float) -> None:
        periods = min(30, int((now - self._halved_at) / HALVED_EVERY))
        self._halved_at = now
        self._used = {runner: half for runner, used in self._used.items() if (half := used / 2**periods) > NOTHING}
        self._waiting = [(self._used.get(runner, 0.0), number, runner) for _, number, runner in self._waiting]
        heapify(self._waiting)

    def __len__(self) -> int:
        """How many wait."""
        return len(self._waiting)
