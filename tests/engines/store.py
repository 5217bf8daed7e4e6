"""The far half of the late engine: the one table, and what it answers.

Whatever leaves here is a copy: a message over a network does not change after it was sent.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from presence_server.application.ports import Clock
from presence_server.domain.causes import Cause
from presence_server.domain.model import Device, Kept, Shown, Truth, UserPresence
from presence_server.domain.table import PresenceTable
from presence_server.domain.transitions import (
    NOTHING,
    AnyTransition,
    Connect,
    Disconnect,
    Evicted,
    Transition,
)


class Fetched(NamedTuple):
    """What the store holds of a user, and what came of the transition that it answers, if it does."""

    user_id: int
    presence: UserPresence
    truth: Truth
    floor: int
    """The greatest version of any user whom the store ever forgot."""
    made: Transition = NOTHING


class Announced(NamedTuple):
    """A connection that a node holds. `has_lapsed`: the store may have let go of it meanwhile."""

    connect: Connect
    idle_since: float | None
    is_busy: bool
    has_lapsed: bool


def copy_of(device: Device) -> Device:
    copy = Device(device.user_id, device.device_id, device.platform, device.session, 0.0, 0)
    for slot in Device.__slots__:
        setattr(copy, slot, getattr(device, slot))
    copy.set_busy(device.busy)
    return copy


class Store:
    def __init__(self, table: PresenceTable, clock: Clock, tell: Callable[[Fetched], None]) -> None:
        """`tell` takes what happened without the node having submitted it."""
        self.table = table
        self._clock = clock
        self._tell = tell

    def fetch(self, user_id: int, made: Transition = NOTHING) -> Fetched:
        truth = self.table.truth(user_id, self._clock.utc())
        if made.device is not None:
            made = made._replace(device=copy_of(made.device))
        return Fetched(user_id, self.table.presence(user_id), truth, self.table.floor, made)

    def apply(self, transition: AnyTransition) -> Fetched:
        return self.fetch(transition.user_id, self.table.apply(transition, self._clock.now(), self._clock.utc()))

    def announce(self, user_id: int, connections: list[Announced]) -> Fetched:
        """A node that was away says which connections of a user it still holds: all at once, as one transition."""
        evicted: list[Evicted] = []
        for announced in connections:
            evicted += self._announce(*announced).evicted
        return self.fetch(user_id, Transition(evicted=tuple(evicted), truth_changed=True))

    def _announce(self, connect: Connect, idle_since: float | None, is_busy: bool, has_lapsed: bool) -> Transition:
        now = self._clock.now()
        record = self.table.record(connect.user_id)
        device = None if record is None else record.find(connect.device_id)
        if device is not None and device.holder == connect.holder:
            return NOTHING
        if device is not None and device.holder > 0:
            return Transition(evicted=(Evicted(connect.holder, Cause.REPLACED),))
        if device is None and not has_lapsed:
            return Transition(evicted=(Evicted(connect.holder, Cause.ENDED_BY_BACKEND),))
        idle = None if device is not None else idle_since is not None
        idle_for = None if device is not None or idle_since is None else max(0.0, now - idle_since)
        busy = None if device is not None else is_busy
        again = connect._replace(idle=idle, idle_for=idle_for, status=None, busy=busy)
        return self.table.apply(again, now, self._clock.utc())

    def touch(self, key: tuple[int, str, int], now: float, spoke: bool) -> None:
        self._told(key[0], self.table.touch(*key, now, self._clock.utc(), spoke))

    def expire(self, now: float) -> None:
        for user_id, made in self.table.expire(now, self._clock.utc()):
            self._told(user_id, made)

    def elsewhere(self, transition: AnyTransition) -> None:
        """Another node submitted it."""
        self._told(transition.user_id, self.table.apply(transition, self._clock.now(), self._clock.utc()))

    def let_go(self, connect: Connect) -> None:
        """The node's lease ran out: its connections are as good as lost."""
        self.elsewhere(Disconnect(connect.user_id, connect.device_id, connect.holder))

    def shown(self, user_id: int) -> Shown:
        return self.table.shown(user_id)

    def kept(self, user_id: int) -> Kept:
        return self.table.kept(user_id, self._clock.utc())

    def _told(self, user_id: int, made: Transition) -> None:
        if made is not NOTHING:
            self._tell(self.fetch(user_id, made))
