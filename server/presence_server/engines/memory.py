"""The default engine: the table in this process's memory. It answers at once."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from presence_server.application.ports import Clock, Done, Listener, TruthChanged
from presence_server.domain.account import Account
from presence_server.domain.causes import NOT_BY_A_DEVICE
from presence_server.domain.chronicle import Chronicle
from presence_server.domain.model import Kept, Shown, Status, Truth, UserKey, UserPresence
from presence_server.domain.numbers import Numbers
from presence_server.domain.people import People
from presence_server.domain.table import PresenceTable, TableStatistics
from presence_server.domain.transitions import AnyTransition, Transition


class MemoryEngine:
    """An `application.ports.Engine` on one table. Everybody is always known, so following costs nothing."""

    gaps: Sequence[tuple[int, int]] = ()
    answers_at_once = True

    def __init__(self, table: PresenceTable, epoch: int, clock: Clock) -> None:
        self.epoch = epoch
        self._table = table
        self._utc = clock.utc
        self._listener: Listener = _nobody
        self.numbers = Numbers()
        self.is_draining = False

    def attach(self, listener: Listener) -> None:
        self._listener = listener

    @property
    def is_reachable(self) -> bool:
        return True

    async def start(self) -> None:
        """There is nothing to reach."""

    async def stop(self) -> None:
        """There is nothing to let go of."""

    def drain(self, now: float) -> None:
        self.is_draining = True

    def next_number(self) -> int:
        return self.numbers.next()

    def session_id(self, number: int) -> str:
        # The epoch is another at each start; where state is kept, the numbers go on.
        return f"{self.epoch:x}-{number:x}"

    @property
    def seq(self) -> int:
        return self._table.seq

    @property
    def floor(self) -> int:
        return self._table.floor

    def submit(self, transition: AnyTransition, now: float, done: Done) -> None:
        made = self._table.apply(transition, now, self._utc())
        self._tell(transition.user_id, made, now)
        done(made)

    def touch(self, user_id: UserKey, device_id: str, holder: int, now: float, spoke: bool) -> None:
        self._tell(user_id, self._table.touch(user_id, device_id, holder, now, self._utc(), spoke), now)

    def follow(self, user_ids: Sequence[UserKey], now: float, done: Callable[[bool], None]) -> None:
        done(True)

    def unfollow(self, user_ids: Iterable[UserKey]) -> None:
        pass

    def presence(self, user_id: UserKey) -> UserPresence:
        return self._table.presence(user_id)

    def changed_since(self, user_ids: Iterable[UserKey], seq: int) -> list[UserPresence]:
        return self._table.changed_since(user_ids, seq)

    def truth(self, user_id: UserKey) -> Truth:
        return self._table.truth(user_id, self._utc())

    def reveal(self, user_id: UserKey, now: float, done: Callable[[Truth | None], None]) -> None:
        done(self.truth(user_id))

    def lookup(
        self,
        user_ids: Sequence[UserKey],
        now: float,
        done: Callable[[list[Shown] | None], None],
        with_devices: bool = False,
    ) -> None:
        done([self._table.shown(user_id, with_devices) for user_id in user_ids])

    def stretch(self, factor: float) -> None:
        self._table.stretch(factor)

    def account(self, user_id: UserKey) -> Account:
        """Why the user is shown as they are. (No part of the port: see `transports.rest.explain`.)"""
        return self._table.account(user_id, self._utc())

    def chronicle(self) -> Chronicle:
        """Everybody in the order in which they changed. (No part of the port: see `application.feed`.)"""
        return self._table.chronicle(self._utc())

    @property
    def people(self) -> People:
        """How many are there, who, and whether they can be reached. (No part of the port: see `rest.crowd`.)"""
        return self._table.people

    def statuses(self, user_ids: Sequence[UserKey], now: float, done: Callable[[list[Status] | None], None]) -> None:
        done(self._table.statuses(user_ids))

    def export(self, user_id: UserKey, now: float, done: Callable[[Kept | None], None]) -> None:
        done(self._table.kept(user_id, self._utc()))

    def next_version(self) -> int:
        return self._table.next_version(self._utc())

    def restamp(self, user_id: UserKey, now: float) -> None:
        self._table.restamp(user_id, self._utc())

    def sweep(self, now: float) -> None:
        if self.is_draining:
            return
        for user_id, made in self._table.expire(now, self._utc()):
            self._tell(user_id, made, now)

    def _tell(self, user_id: UserKey, made: Transition, now: float) -> None:
        if made.change is not None:
            self._listener(made.change, now)
        for evicted in made.evicted:
            self._listener(evicted, now)
        if made.truth_changed:
            by = None if made.cause in NOT_BY_A_DEVICE else made.device
            self._listener(TruthChanged(user_id, made.cause, by), now)

    def statistics(self) -> TableStatistics:
        return self._table.statistics()

    def __repr__(self) -> str:
        return f"<MemoryEngine on {self._table!r}>"


def _nobody(_event: object, _now: float) -> None:
    """Before anybody is attached, nothing happens."""
