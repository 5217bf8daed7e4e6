"""The way between a node and its store: slow, in order for one user only, and broken at times.

A request is carried out at the far end and answered at the near one, once. While the line is broken requests wait
for a while and are then given up. Those that are `kept` are never given up: they are handed over when the line is
mended, though whoever asked is told at once not to wait.
"""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import Any, Generic, TypeVar

from engines.timeline import Timeline

T = TypeVar("T")


class Request(Generic[T]):
    """`carry_out` happens at the store, `answer` on the node: with what came of it, or None if that is not known."""

    def __init__(
        self, user_id: int | None, carry_out: Callable[[], T], answer: Callable[[T | None], None], is_kept: bool = False
    ) -> None:
        self.user_id = user_id
        self.is_kept = is_kept
        self.has_arrived = False
        self._carry_out = carry_out
        self._answer = answer
        self._is_answered = False

    def arrive(self) -> T:
        self.has_arrived = True
        return self._carry_out()

    def answer(self, answer: T | None) -> None:
        if not self._is_answered:
            self._is_answered = True
            self._answer(answer)


class Line:
    def __init__(self, timeline: Timeline, random: Random, delay: float, patience: float) -> None:
        """`delay` is the mean of one way, in seconds; `patience` how long a request waits while the line is broken."""
        self.is_broken = False
        self._timeline = timeline
        self._random = random
        self._delay = delay
        self._patience = patience
        self._breaks = 0
        self._there: dict[int, float] = {}
        self._back: dict[int, float] = {}
        self._last_arrival = 0.0
        self._first_arrived = 0.0
        """When what had to be sent first after the last outage has arrived."""
        self._under_way: dict[Request[Any], None] = {}
        self._waiting: dict[Request[Any], None] = {}

    def __len__(self) -> int:
        """How many requests have yet to be answered."""
        return len(self._under_way) + len(self._waiting)

    def _after(self, user_id: int | None, last: dict[int, float]) -> float:
        """When what is sent now comes out: for one user never before what was sent earlier."""
        when = self._timeline.time + self._random.expovariate(1 / self._delay)
        if user_id is not None:
            when = last[user_id] = max(when, last.get(user_id, 0.0))
        return when

    def send(self, request: Request[T]) -> None:
        if self.is_broken:
            self._wait(request)
        else:
            self._under_way[request] = None
            when = self._after(request.user_id, self._there)
            if request.user_id is None:
                when = max(when, self._first_arrived)
            self._last_arrival = max(self._last_arrival, when)
            self._timeline.call_at(when, self._arrive, request, self._breaks)

    def send_last(self, act: Callable[[], None]) -> None:
        """Act at the store, after all that was sent so far has arrived there."""
        when = max(self._last_arrival, self._after(None, {}))
        self._timeline.call_at(when, self._act, act, self._breaks)

    def deliver(self, user_id: int | None, act: Callable[[], None]) -> None:
        """Act on the node, after what the store sent of `user_id` before."""
        if not self.is_broken:
            self._timeline.call_at(self._after(user_id, self._back), self._act, act, self._breaks)

    def _act(self, act: Callable[[], None], breaks: int) -> None:
        if breaks == self._breaks:
            act()

    def _arrive(self, request: Request[T], breaks: int) -> None:
        if breaks != self._breaks:
            return
        answer = request.arrive()

        def answered() -> None:
            self._under_way.pop(request, None)
            request.answer(answer)

        self.deliver(request.user_id, answered)

    def _wait(self, request: Request[Any]) -> None:
        self._waiting[request] = None
        patience = 0.0 if request.is_kept else self._random.uniform(0, self._patience)
        self._timeline.call_later(patience, self._give_up, request)

    def _give_up(self, request: Request[Any]) -> None:
        if request.is_kept or request in self._waiting:
            if not request.is_kept:
                del self._waiting[request]
            request.answer(None)

    def cut(self) -> None:
        """Whatever is on its way is lost; what was to be carried out may have been, or not."""
        self.is_broken = True
        self._breaks += 1
        under_way, self._under_way = self._under_way, {}
        for request in under_way:
            if not request.has_arrived and self._random.random() < 0.5:
                request.arrive()
            if request.is_kept:
                self._wait(request)
            else:
                self._timeline.call_later(self._random.uniform(0, self._patience), request.answer, None)

    def mend(self, first: Callable[[], None]) -> None:
        """Send what waits, after what `first` has to send."""
        self.is_broken = False
        first()
        self._first_arrived = self._last_arrival
        waiting, self._waiting = self._waiting, {}
        for request in waiting:
            self.send(request)
