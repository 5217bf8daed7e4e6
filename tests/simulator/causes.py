"""The oracle of causes: every Change is caused by what the simulated world did.

While the application is at one thing (a transition, a sweep, a message that is heard), a Change can have few causes,
and what is known of the device narrows them: who must be there cannot have connected, and does not end by time. An
engine that learns of users from a store learns no causes, and is not judged.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from presence_server.domain.causes import NOT_BY_A_DEVICE, Cause
from presence_server.domain.claims import LEAVE
from presence_server.domain.model import Change
from presence_server.domain.transitions import (
    AnyTransition,
    Connect,
    Erase,
    Heartbeat,
    Leave,
    Offline,
    Online,
    Say,
    SetActivity,
    SetClaims,
)
from simulator.failure import require

if TYPE_CHECKING:
    from simulator.world import World

SWEEP: Final = frozenset((Cause.GRACE_OVER, Cause.LINK_LOST, Cause.HEARTBEAT_MISSED, Cause.IDLE))
CLAIMS: Final = frozenset((Cause.STATUS_SET, Cause.STATUS_ENDED, Cause.CLAIM_BEGAN, Cause.CLAIM_ENDED))


class CauseOracle:
    def __init__(self, world: World) -> None:
        self._world = world
        self._possible: frozenset[Cause] = frozenset()
        self._of: AnyTransition | None = None
        self.judged = 0

    @contextmanager
    def during(self, possible: frozenset[Cause], transition: AnyTransition | None = None) -> Iterator[None]:
        """While the application does this, a Change may have these causes, beside what the calendar brings."""
        before = self._possible, self._of
        self._possible, self._of = possible, transition
        try:
            yield
        finally:
            self._possible, self._of = before

    def possible(self, transition: AnyTransition) -> frozenset[Cause]:
        """What a Change that `transition` makes can be caused by, as things stand before it."""
        match transition:
            case Say(_, word):
                said = word is not None and any(each not in (LEAVE, None, "") for each in word)
                return frozenset((Cause.STATUS_SET if said else Cause.STATUS_ENDED,))
            case SetClaims():
                return frozenset((Cause.CLAIM_BEGAN, Cause.CLAIM_ENDED))
            case Connect():
                return self._coming(transition)
            case Online():
                return self._coming(transition) - {Cause.REPLACED} | self._stirring(transition)
            case Heartbeat() | SetActivity():
                return self._stirring(transition)
            case Leave():
                return frozenset((transition.cause,))
            case Offline():
                return frozenset((Cause.LEFT, Cause.ENDED_BY_BACKEND))
            case Erase():
                return frozenset((Cause.ERASED,))
            case _:
                return frozenset()

    def _coming(self, transition: Connect | Online) -> frozenset[Cause]:
        device = self._world.oracle.device(transition.user_id, transition.device_id)  # type: ignore[arg-type]
        causes = {Cause.CONNECTED, Cause.RESUMED, Cause.REPLACED}
        if device.must_live(self._world.clock.now()):
            causes.discard(Cause.CONNECTED)
        elif not device.may_live(self._world.ghost_now()):
            causes = {Cause.CONNECTED}
        return frozenset(causes)

    @staticmethod
    def _stirring(transition: Online | Heartbeat | SetActivity) -> frozenset[Cause]:
        causes = set()
        if transition.idle is not True:
            causes.add(Cause.ACTIVE)
        if transition.idle is not False:
            causes.add(Cause.IDLE)
        if transition.busy:
            causes.add(Cause.BUSY)
        return frozenset(causes)

    def told(self, change: Change) -> None:
        """Judge a Change."""
        if self._world.is_late or change.before == change.after:
            return
        self.judged += 1
        user, cause = self._world.oracle.user(change.user_id), change.cause  # type: ignore[arg-type]
        is_claimed = bool(user.claims.said or user.doubts or user.pending)
        require(cause in self._possible or (is_claimed and cause in CLAIMS), "caused by nothing that happened", change)
        if cause in NOT_BY_A_DEVICE:
            require(change.by is None, "no device caused that", change)
            return
        require(change.by is not None and change.by.device_id in user.devices, "whose device is that?", change)
        assert change.by is not None
        if self._of is not None:
            require(change.by.device_id == getattr(self._of, "device_id", ""), "another device caused it", change)
        lifetimes = self._world.scenario.lifetimes
        if cause in (Cause.GRACE_OVER, Cause.HEARTBEAT_MISSED):
            device = user.devices[change.by.device_id]
            require(not device.must_live(self._world.clock.now()), "ended by time, and has time left", change)
            was_promised = device.comes_over_rest
            require(cause is Cause.GRACE_OVER or was_promised, "it never had a heartbeat to miss", change)
        require(cause is not Cause.GRACE_OVER or lifetimes.grace > 0, "there is no grace", change)
        require(cause is not Cause.LINK_LOST or not lifetimes.grace, "its grace was not over", change)
        require(self._of is not None or cause is not Cause.IDLE or lifetimes.away_after, "nobody inferred that", change)
