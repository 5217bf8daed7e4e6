"""Stands between the application and its engine, and sees all that either says to the other.

It counts follows, keeps what was shown under each version, and lets the oracle judge.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Final

from presence_protocol.messages import StatusEntry
from presence_server.application.entries import entry_of
from presence_server.application.ports import Done, Engine, EngineEvent, EngineStatistics, Listener
from presence_server.domain.causes import Cause
from presence_server.domain.model import Change, Kept, Shown, Status, Truth, UserPresence
from presence_server.domain.transitions import AnyTransition, Restate, Transition
from simulator.causes import SWEEP, CauseOracle
from simulator.failure import require

if TYPE_CHECKING:
    from simulator.world import World

NEVER: Final = float("-inf")


class SpyEngine:
    """An `application.ports.Engine` that hands everything on."""

    def __init__(self, inner: Engine, world: World) -> None:
        self.inner = inner
        self.follows: Counter[int] = Counter()
        self.versions: dict[int, int] = {}
        self.entries: dict[tuple[int, int], StatusEntry] = {}
        """What was told under each version of each user."""
        self.changed_at = NEVER
        """When the last Change was told."""
        self._world = world
        self._last_seq = 0
        self.causes = CauseOracle(world)

    # -- what it hands on, looked at -----------------------------------------------------------------------------------

    def attach(self, listener: Listener) -> None:
        def tell(event: EngineEvent, now: float) -> None:
            if isinstance(event, Change):
                self._changed(event)
                self.causes.told(event)
            self._world.oracle.told(event)
            listener(event, now)

        self.inner.attach(tell)

    def _changed(self, change: Change) -> None:
        user_id = change.user_id
        self.changed_at = self._world.loop.time
        require(change.version > self.versions.get(user_id, 0), "a version went back", change)
        self.versions[user_id] = change.version
        presence = self.inner.presence(user_id)
        if not presence.version and self._world.scenario.forgets:
            return  # forgotten in the same breath
        require(presence.version == change.version, "told before it is known", change)
        require(presence.seq > self._last_seq, "a seq went back", presence)
        self._last_seq = presence.seq
        self.entries[user_id, change.version] = entry_of(presence, self._world.people.keys)

    def submit(self, transition: AnyTransition, now: float, done: Done) -> None:
        if isinstance(transition, Restate):  # nothing happens to the user
            self.inner.submit(transition, now, done)
            return
        possible = self.causes.possible(transition)
        asked = self._world.oracle.submitted(transition)
        is_answered = False

        def answered(made: Transition | None) -> None:
            nonlocal is_answered
            require(not is_answered, "answered twice", transition)
            is_answered = True
            self._world.oracle.done(transition, made, asked)
            done(made)

        with self.causes.during(possible, transition):
            self.inner.submit(transition, now, answered)

    def follow(self, user_ids: Sequence[int], now: float, done: Callable[[bool], None]) -> None:
        self.follows.update(user_ids)
        self.inner.follow(user_ids, now, done)

    def unfollow(self, user_ids: Iterable[int]) -> None:
        gone = list(user_ids)
        for user_id in gone:
            require(self.follows[user_id] > 0, "unfollowed more often than followed", user_id)
            self.follows[user_id] -= 1
            if not self.follows[user_id]:
                del self.follows[user_id]
        self.inner.unfollow(gone)

    # -- what it only hands on -----------------------------------------------------------------------------------------

    @property
    def epoch(self) -> int:
        return self.inner.epoch

    @property
    def seq(self) -> int:
        return self.inner.seq

    @property
    def floor(self) -> int:
        return self.inner.floor

    @property
    def gaps(self) -> Sequence[tuple[int, int]]:
        return self.inner.gaps

    def touch(self, user_id: int, device_id: str, holder: int, now: float, spoke: bool) -> None:
        with self.causes.during(frozenset((Cause.ACTIVE,))):
            self.inner.touch(user_id, device_id, holder, now, spoke)

    def presence(self, user_id: int) -> UserPresence:
        return self.inner.presence(user_id)

    def changed_since(self, user_ids: Iterable[int], seq: int) -> list[UserPresence]:
        return self.inner.changed_since(user_ids, seq)

    def truth(self, user_id: int) -> Truth:
        return self.inner.truth(user_id)

    def lookup(
        self,
        user_ids: Sequence[int],
        now: float,
        done: Callable[[list[Shown] | None], None],
        with_devices: bool = False,
    ) -> None:
        self.inner.lookup(user_ids, now, done, with_devices)

    def export(self, user_id: int, now: float, done: Callable[[Kept | None], None]) -> None:
        self.inner.export(user_id, now, done)

    def next_version(self) -> int:
        return self.inner.next_version()

    def restamp(self, user_id: int, now: float) -> None:
        self.inner.restamp(user_id, now)

    def sweep(self, now: float) -> None:
        with self.causes.during(SWEEP):
            self.inner.sweep(now)

    @property
    def answers_at_once(self) -> bool:
        return self.inner.answers_at_once

    @property
    def is_reachable(self) -> bool:
        return self.inner.is_reachable

    async def start(self) -> None:
        await self.inner.start()

    async def stop(self) -> None:
        await self.inner.stop()

    def drain(self, now: float) -> None:
        self.inner.drain(now)

    def next_number(self) -> int:
        return self.inner.next_number()

    def session_id(self, number: int) -> str:
        return self.inner.session_id(number)

    def stretch(self, factor: float) -> None:
        self.inner.stretch(factor)

    def reveal(self, user_id: int, now: float, done: Callable[[Truth | None], None]) -> None:
        self.inner.reveal(user_id, now, done)

    def statuses(self, user_ids: Sequence[int], now: float, done: Callable[[list[Status] | None], None]) -> None:
        self.inner.statuses(user_ids, now, done)

    def statistics(self) -> EngineStatistics:
        return self.inner.statistics()
