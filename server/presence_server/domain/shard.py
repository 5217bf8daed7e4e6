"""The users of one shard, and every transition that can happen to their devices.

A transition tells the devices what has happened, and ends in `conclude` (see `records`). What is claimed of a user has
a module of its own (`claiming`).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from presence_server.domain import claiming
from presence_server.domain.causes import Cause
from presence_server.domain.devices import Devices
from presence_server.domain.farewells import Farewell
from presence_server.domain.liveness import Liveness, set_busy
from presence_server.domain.model import GRACE, REST, Device, Idle, UserKey, UserRecord
from presence_server.domain.reasons import cause_of_stirring
from presence_server.domain.records import Records
from presence_server.domain.shared import Shared
from presence_server.domain.transitions import (
    FULL,
    NOTHING,
    AnyTransition,
    ChangeClaim,
    Connect,
    Disconnect,
    EndClaims,
    Erase,
    Evicted,
    Heartbeat,
    Kick,
    Leave,
    Offline,
    Online,
    Restate,
    Say,
    SetActivity,
    SetClaims,
    Transition,
)

_CONNECTED: Final = Cause.CONNECTED  # an enum's member costs 50 ns to look up
_RESUMED: Final = Cause.RESUMED


class Shard(Records):
    """The records of a shard, and what happens to their users."""

    def __init__(self, shared: Shared, forget: Callable[[UserRecord], None]) -> None:
        super().__init__(shared, forget)
        self._devices = Devices(shared)
        self._liveness = Liveness(shared)

    def apply(self, transition: AnyTransition, now: float, utc: float) -> Transition:
        return _HANDLERS[type(transition)](self, transition, now, utc)

    def connect(self, wanted: Connect, now: float, utc: float) -> Transition:
        if wanted.returning:
            farewell = self._devices.farewell_to(self.users.get(wanted.user_id), wanted, now)
            if farewell is not None:
                return Transition(farewell=farewell)
        record = self.ensure(wanted.user_id)
        device = record.find(wanted.device_id)
        continued, cause = device is not None, _RESUMED
        evicted: tuple[Evicted, ...] = ()
        if self.shared.has_policy and (device is None or device.platform is not wanted.platform):
            ended = self._devices.end_rivals(record, wanted, device is None, now)
            if ended is None:
                return FULL
            evicted = ended
        if device is None:
            cause = _CONNECTED
            evicted += self._devices.make_room(record, now)
            device = self._devices.attach(record, wanted, now, utc)
            if wanted.status is not None:
                claiming.come_saying(self, record, wanted.status, utc)
        elif device.holder > 0 and device.holder != wanted.holder:
            cause = Cause.REPLACED
            evicted += (Evicted(device.holder, cause),)
        truth_changed = not continued or device.platform is not wanted.platform
        device.platform = wanted.platform
        truth_changed |= set_busy(device, wanted.busy)
        if wanted.idle is not None:
            truth_changed |= self._liveness.set_idle(device, wanted.idle, wanted.idle_for, now, utc)
        if device.holder == REST:
            self._liveness.keep_promise(device)
            if not device.idle:
                device.activity = now  # over REST nothing was inferred, so its silence begins here
        # Only now: a device that comes idle was not active a moment ago.
        if not device.idle:
            device.was_active(self.shared.second_of(utc))
        device.holder = wanted.holder
        self._liveness.watch_activity(device)
        return self.conclude(record, utc, cause, device, continued, evicted, truth_changed)

    def disconnect(self, wanted: Disconnect, now: float, utc: float) -> Transition:
        held = self.held(wanted.user_id, wanted.device_id, wanted.holder)
        if held is None:
            return NOTHING
        _, device = held
        promised, end_of_grace = self.shared.promises.of(device), now + self.shared.lifetimes.grace
        if promised is not None and promised > end_of_grace:
            device.holder = REST
            self.shared.deadlines.set(device, promised)
        else:
            device.holder = GRACE
            self.shared.deadlines.set(device, end_of_grace)
        return Transition(device=device, continued=True, cause=Cause.LINK_LOST)

    def leave(self, wanted: Leave, now: float, utc: float) -> Transition:
        held = self.held(wanted.user_id, wanted.device_id, wanted.holder)
        if held is None:
            return NOTHING
        return self._end(*held, utc, wanted.cause)

    def online(self, wanted: Online, now: float, utc: float) -> Transition:
        record = self.ensure(wanted.user_id)
        device = record.find(wanted.device_id)
        continued = device is not None
        evicted: tuple[Evicted, ...] = ()
        if self.shared.has_policy and (device is None or device.platform is not wanted.platform):
            ended = self._devices.end_rivals(record, wanted, device is None, now)
            if ended is None:
                return FULL
            evicted = ended
        if device is None:
            evicted += self._devices.make_room(record, now)
            device = self._devices.attach(record, wanted, now, utc)
        truth_changed = not continued or device.platform is not wanted.platform
        device.platform = wanted.platform
        was_busy = device.busy
        stirred = set_busy(device, wanted.busy) | self._liveness.beat(device, wanted.idle, now, utc)
        cause = _RESUMED if continued else _CONNECTED
        if continued and stirred:
            cause = cause_of_stirring(device, was_busy)
        return self.conclude(record, utc, cause, device, continued, evicted, truth_changed or stirred)

    def heartbeat(self, wanted: Heartbeat, now: float, utc: float) -> Transition:
        record = self.users.get(wanted.user_id)
        device = None if record is None else record.find(wanted.device_id)
        if record is None or device is None:
            farewell = self.shared.farewells.to(wanted.user_id, wanted.device_id, now)
            return NOTHING if farewell is None else Transition(farewell=farewell)
        was_busy = device.busy
        truth_changed = set_busy(device, wanted.busy) | self._liveness.beat(device, wanted.idle, now, utc)
        cause = cause_of_stirring(device, was_busy)
        return self.conclude(record, utc, cause, device, True, (), truth_changed)

    def offline(self, wanted: Offline, now: float, utc: float) -> Transition:
        record = self.users.get(wanted.user_id)
        device = None if record is None else record.find(wanted.device_id)
        if record is None or device is None:
            return NOTHING
        if device.holder <= 0:
            return self._end(record, device, utc, wanted.cause or Cause.LEFT)
        cause = wanted.cause or Cause.ENDED_BY_BACKEND
        return self._end(record, device, utc, cause, (Evicted(device.holder, cause),))

    def kick(self, wanted: Kick, now: float, utc: float) -> Transition:
        record = self.users.get(wanted.user_id)
        ended = [
            device
            for device in (() if record is None else record.devices)
            if wanted.platform in (None, device.platform) and wanted.device_id in (None, device.device_id)
        ]
        if record is None or not ended:
            return NOTHING
        cause, by = Cause.ENDED_BY_BACKEND, ended[0] if len(ended) == 1 else None
        evicted = self._devices.end_all(record, ended, Farewell(cause, wanted.reason), now)
        if not record.devices:
            self.shared.note_gone(record)
        made = self.conclude(record, utc, cause, by, False, evicted, truth_changed=True)
        return made._replace(ended=len(ended))

    def set_activity(self, wanted: SetActivity, now: float, utc: float) -> Transition:
        held = self.held(wanted.user_id, wanted.device_id, wanted.holder)
        if held is None:
            return NOTHING
        record, device = held
        was_busy = device.busy
        truth_changed = set_busy(device, wanted.busy)
        if wanted.idle is not None:
            truth_changed |= self._liveness.set_idle(device, wanted.idle, wanted.idle_for, now, utc)
        self._liveness.watch_activity(device)
        cause = cause_of_stirring(device, was_busy)
        return self.conclude(record, utc, cause, device, True, (), truth_changed)

    def restate(self, wanted: Restate, now: float, utc: float) -> Transition:
        record = self.users.get(wanted.user_id)
        if record is None or not record.version:
            return NOTHING
        return Transition(self.change(record, record.public, utc, record.cause, record.by))

    def erase(self, wanted: Erase, now: float, utc: float) -> Transition:
        record = self.users.get(wanted.user_id)
        if record is None:
            return NOTHING
        evicted = tuple(
            Evicted(device.holder, Cause.ENDED_BY_BACKEND) for device in record.devices if device.holder > 0
        )
        for device in record.devices:
            self._devices.detach(record, device)
        change = self.erased(record, utc)
        return Transition(change, evicted=evicted, truth_changed=True, cause=Cause.ERASED)

    def touch(self, user_id: UserKey, device_id: str, holder: int, now: float, utc: float, spoke: bool) -> Transition:
        """The link of `holder` was heard; `spoke`: with a message other than a ping, which ends inferred idleness."""
        held = self.held(user_id, device_id, holder)
        if held is None:
            return NOTHING
        record, device = held
        activity = device.activity  # with every message and pong: no property, and no call within the same second
        idle = activity if isinstance(activity, Idle) else None
        if idle is None or (spoke and not idle.is_said):
            if utc >= device.last_active + 1:
                device.was_active(self.shared.second_of(utc))
            if spoke:
                device.activity = now
        if idle is None or not spoke or idle.is_said:
            return NOTHING
        self._liveness.watch_activity(device)
        return self.conclude(record, utc, Cause.ACTIVE, device, True, (), truth_changed=True)

    def expire(self, key: Device | UserRecord, now: float, utc: float) -> Transition:
        """What fell due: a grace period, a REST deadline, inferred idleness, or a claim's beginning or end."""
        if isinstance(key, UserRecord):
            return claiming.reach_edge(self, key, utc)
        record = self.users.get(key.user_id)
        if record is None or key not in record.devices:
            return NOTHING  # ended by whoever was told of that
        if key.holder == REST:
            return self._end(record, key, utc, Cause.HEARTBEAT_MISSED)
        if key.holder == GRACE:
            return self._end(record, key, utc, Cause.GRACE_OVER if self.shared.lifetimes.grace else Cause.LINK_LOST)
        away_after = self.shared.lifetimes.away_after
        if not away_after or isinstance(key.activity, Idle) or key.activity + away_after > now:
            self._liveness.watch_activity(key)
            return NOTHING
        key.was_active(self.shared.second_of(utc))
        key.activity = Idle(now, is_said=False)
        return self.conclude(record, utc, Cause.IDLE, key, True, (), truth_changed=True)

    def _end(
        self, record: UserRecord, device: Device, utc: float, cause: Cause, evicted: tuple[Evicted, ...] = ()
    ) -> Transition:
        self._devices.detach(record, device)
        if not record.devices:
            self.shared.note_gone(record)
        return self.conclude(record, utc, cause, device, False, evicted, truth_changed=True)


_HANDLERS: Final[dict[type[Any], Callable[[Shard, Any, float, float], Transition]]] = {
    Connect: Shard.connect,
    Disconnect: Shard.disconnect,
    Leave: Shard.leave,
    Online: Shard.online,
    Heartbeat: Shard.heartbeat,
    Offline: Shard.offline,
    Kick: Shard.kick,
    SetActivity: Shard.set_activity,
    Say: claiming.say,
    SetClaims: claiming.set_claims,
    ChangeClaim: claiming.change_claim,
    EndClaims: claiming.end_claims,
    Restate: Shard.restate,
    Erase: Shard.erase,
}
