"""What the kit's world stands on: a clock that only the test moves, and engines that count or answer late."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from random import Random

from presence_server.application.ports import EngineEvent, Listener
from presence_server.domain.model import Change, Kept, Shown, Status, Truth, UserPresence
from presence_server.domain.table import PresenceTable, TableStatistics
from presence_server.domain.transitions import AnyTransition, Connect, Say, Transition
from presence_server.engines.memory import MemoryEngine

START = 1_762_700_400.0  # 2025-11-09T15:00:00Z
BOOT = 5_000.0
"""What the clock of durations says then. Whoever takes one of the clocks for the other is off by decades."""


class ManualClock:
    """`time` is that of durations. Somebody may set the system's clock, by so many seconds."""

    def __init__(self) -> None:
        self.time = BOOT
        self.set_by = 0.0

    def now(self) -> float:
        return self.time

    def utc(self) -> float:
        return START + self.time - BOOT + self.set_by


class Follows:
    """How often each user is followed. Going below zero is a bug of the application."""

    def __init__(self) -> None:
        self.counts: Counter[int] = Counter()

    def add(self, user_ids: Iterable[int]) -> None:
        self.counts.update(user_ids)

    def remove(self, user_ids: Iterable[int]) -> None:
        for user_id in user_ids:
            assert self.counts[user_id] > 0, f"{user_id} was unfollowed more often than followed"
            self.counts[user_id] -= 1
        self.counts = +self.counts


class CountingEngine(MemoryEngine):
    """The memory engine, which has no need to count follows, with that count."""

    def __init__(self, table: PresenceTable, epoch: int, clock: ManualClock) -> None:
        super().__init__(table, epoch, clock)
        self.follows = Follows()

    def follow(self, user_ids: Sequence[int], now: float, done: Callable[[bool], None]) -> None:
        self.follows.add(user_ids)
        super().follow(user_ids, now, done)

    def unfollow(self, user_ids: Iterable[int]) -> None:
        self.follows.remove(user_ids)


class Waiting:
    """What a `LateEngine` was asked and has not answered. `about` is the user whose transition it is, or None."""

    def __init__(self, about: int | None, answer: Callable[[bool], None], may_fail: bool, users: Counter[int]) -> None:
        self.about = about
        self.answer = answer
        self.may_fail = may_fail
        self.users = users


class LateEngine:
    """An Engine that answers only when told to, and tells of nobody who is not followed.

    It holds the application to what the contract allows it to ask: the presence of followed users, and the truth of
    users who have a session.
    """

    def __init__(self, table: PresenceTable, epoch: int, clock: ManualClock) -> None:
        self.epoch = epoch
        self.follows = Follows()
        self.waiting: list[Waiting] = []
        self.is_eager = False
        """Answer `follow` at once for as long as this is set: an engine may do so when it knows the users already."""
        self._inner = MemoryEngine(table, epoch, clock)
        self._clock = clock

    def attach(self, listener: Listener) -> None:
        def tell(event: EngineEvent, now: float) -> None:
            if not isinstance(event, Change) or self._is_known(event.user_id):
                listener(event, now)

        self._inner.attach(tell)

    @property
    def seq(self) -> int:
        return self._inner.seq

    gaps: Sequence[tuple[int, int]] = ()
    answers_at_once = False

    @property
    def floor(self) -> int:
        return self._inner.floor

    def submit(self, transition: AnyTransition, now: float, done: Callable[[Transition | None], None]) -> None:
        def answer(well: bool) -> None:
            if well:
                self._inner.submit(transition, self._clock.now(), done)
            else:
                done(None)

        may_fail = isinstance(transition, Connect | Say)
        self.waiting.append(Waiting(transition.user_id, answer, may_fail, Counter()))

    def touch(self, user_id: int, device_id: str, holder: int, now: float, spoke: bool) -> None:
        self._inner.touch(user_id, device_id, holder, now, spoke)

    def follow(self, user_ids: Sequence[int], now: float, done: Callable[[bool], None]) -> None:
        self.follows.add(user_ids)
        if self.is_eager:
            done(True)
        else:
            self.waiting.append(Waiting(None, done, True, Counter(user_ids)))

    def unfollow(self, user_ids: Iterable[int]) -> None:
        self.follows.remove(user_ids)

    def _is_known(self, user_id: int) -> bool:
        return self.follows.counts[user_id] > sum(waiting.users[user_id] for waiting in self.waiting)

    def presence(self, user_id: int) -> UserPresence:
        assert self._is_known(user_id), f"{user_id} is not followed"
        return self._inner.presence(user_id)

    def changed_since(self, user_ids: Iterable[int], seq: int) -> list[UserPresence]:
        wanted = list(user_ids)
        assert all(map(self._is_known, wanted))
        return self._inner.changed_since(wanted, seq)

    def truth(self, user_id: int) -> Truth:
        return self._inner.truth(user_id)

    def reveal(self, user_id: int, now: float, done: Callable[[Truth | None], None]) -> None:
        self._inner.reveal(user_id, now, done)

    def lookup(
        self,
        user_ids: Sequence[int],
        now: float,
        done: Callable[[list[Shown] | None], None],
        with_devices: bool = False,
    ) -> None:
        def answer(well: bool) -> None:
            if well:
                self._inner.lookup(user_ids, self._clock.now(), done, with_devices)
            else:
                done(None)

        self.waiting.append(Waiting(None, answer, True, Counter()))

    def export(self, user_id: int, now: float, done: Callable[[Kept | None], None]) -> None:
        self._inner.export(user_id, now, done)

    def next_version(self) -> int:
        return self._inner.next_version()

    def restamp(self, user_id: int, now: float) -> None:
        self._inner.restamp(user_id, now)

    def sweep(self, now: float) -> None:
        self._inner.sweep(now)

    @property
    def is_reachable(self) -> bool:
        return self._inner.is_reachable

    async def start(self) -> None:
        await self._inner.start()

    async def stop(self) -> None:
        await self._inner.stop()

    def drain(self, now: float) -> None:
        self._inner.drain(now)

    def next_number(self) -> int:
        return self._inner.next_number()

    def session_id(self, number: int) -> str:
        return self._inner.session_id(number)

    def stretch(self, factor: float) -> None:
        self._inner.stretch(factor)

    def statuses(self, user_ids: Sequence[int], now: float, done: Callable[[list[Status] | None], None]) -> None:
        def answer(well: bool) -> None:
            if well:
                self._inner.statuses(user_ids, self._clock.now(), done)
            else:
                done(None)

        self.waiting.append(Waiting(None, answer, True, Counter()))

    def statistics(self) -> TableStatistics:
        return self._inner.statistics()

    # -- the test's side -------------------------------------------------------------------------------------------

    def answer_next(self, well: bool = True) -> None:
        """Answer what has waited longest."""
        self.waiting.pop(0).answer(well)

    def answer_all(self) -> None:
        while self.waiting:
            self.answer_next()

    def answer_any(self, random: Random) -> None:
        """Answer one of those whose turn it may be: the transitions of one user keep their order."""
        first: dict[int | None, None] = {}
        ready = []
        for waiting in self.waiting:
            if waiting.about is None or waiting.about not in first:
                ready.append(waiting)
            first[waiting.about] = None
        if ready:
            chosen = random.choice(ready)
            self.waiting.remove(chosen)
            chosen.answer(not chosen.may_fail or random.random() < 0.9)
