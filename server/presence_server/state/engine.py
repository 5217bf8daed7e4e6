"""The memory engine of a server that keeps its state: it marks whom anything happens to."""

from __future__ import annotations

from collections.abc import Callable

from presence_server.application.ports import Clock, Done
from presence_server.domain.model import UserKey
from presence_server.domain.table import PresenceTable
from presence_server.domain.transitions import NOTHING, AnyTransition, Erase, Transition
from presence_server.engines.memory import MemoryEngine
from presence_server.state.form import Gap


class LastingEngine(MemoryEngine):
    """`lived` is told of each sweep, `erased` of each who is.

    `infers`: idleness is inferred from silence, so that each message of a device is a part of its record.
    """

    def __init__(
        self,
        table: PresenceTable,
        epoch: int,
        clock: Clock,
        gaps: tuple[Gap, ...],
        infers: bool,
        lived: Callable[[float, float], None],
        erased: Callable[[], None],
    ) -> None:
        super().__init__(table, epoch, clock)
        self.gaps = gaps
        self._infers = infers
        self.mark: Callable[[UserKey], None] = nobody
        """Told of each user whose record may be another. Set anew by whoever keeps them."""
        self._lived = lived
        self._erased = erased
        self.is_released = False
        """The records are another process's. Those here are read as they were, and nothing changes any more: to
        transitions it is as if the store could not be reached."""

    def submit(self, transition: AnyTransition, now: float, done: Done) -> None:
        if self.is_released:
            done(None)
            return
        super().submit(transition, now, done)
        if type(transition) is Erase:
            self._erased()

    def touch(self, user_id: UserKey, device_id: str, holder: int, now: float, spoke: bool) -> None:
        if self.is_released:
            return
        super().touch(user_id, device_id, holder, now, spoke)
        if spoke and self._infers:
            self.mark(user_id)

    def restamp(self, user_id: UserKey, now: float) -> None:
        if self.is_released:
            return
        super().restamp(user_id, now)
        self.mark(user_id)

    def sweep(self, now: float) -> None:
        if self.is_released:
            return
        super().sweep(now)
        if not self.is_draining:
            self._lived(now, self._utc())

    def _tell(self, user_id: UserKey, made: Transition, now: float) -> None:
        if made is not NOTHING:
            self.mark(user_id)
        super()._tell(user_id, made, now)


def nobody(_key: UserKey) -> None:
    """Nobody keeps them yet."""
