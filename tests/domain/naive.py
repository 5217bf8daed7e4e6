"""The rules of presence once more, as short as they can be said: a few dicts, everything computed anew each time.

It knows nothing of versions, cursors, shards, or whom the table forgets; `reconcile` is told the last.
"""

from __future__ import annotations

from dataclasses import dataclass
from operator import itemgetter

from presence_server.domain.model import GRACE, OFFLINE, REST, Override, Platform, PublicState, Status
from presence_server.domain.shard import Lifetimes
from presence_server.domain.transitions import (
    AnyTransition,
    Connect,
    Disconnect,
    Evicted,
    Heartbeat,
    Leave,
    Loss,
    Offline,
    Online,
    SetActivity,
    SetOverride,
)

Key = tuple[int, str]


@dataclass
class NaiveDevice:
    platform: Platform
    session: int
    spoke: float
    holder: int = GRACE
    heard: float = 0.0
    heard_utc: float = 0.0
    ends: float = 0.0  # while nobody holds it, or REST does
    promised: float = 0.0  # by the last heartbeat over REST
    idle_since: float | None = None
    idle_utc: float = 0.0
    said: bool = False


class Naive:
    def __init__(self, lifetimes: Lifetimes) -> None:
        self.lifetimes = lifetimes
        self.devices: dict[Key, NaiveDevice] = {}
        self.overrides: dict[int, Override] = {}
        self.beneath: dict[int, Override] = {}  # what comes back after an override
        self.ends: dict[int, float] = {}  # of overrides, by the calendar
        self.deadlines: dict[Key, float] = {}
        self.told: dict[int, PublicState] = {}  # what watchers were told last
        self.seen: dict[int, float] = {}  # the user's last activity
        self.seen_by_all: dict[int, float] = {}  # the same when watchers were told last

    def devices_of(self, user_id: int) -> dict[str, NaiveDevice]:
        return {key[1]: device for key, device in self.devices.items() if key[0] == user_id}

    def public(self, user_id: int) -> PublicState:
        devices, override = list(self.devices_of(user_id).values()), self.overrides.get(user_id)
        if not devices or (override and override.status is Status.OFFLINE):
            return OFFLINE
        platforms = tuple(platform for platform in Platform if any(d.platform is platform for d in devices))
        if override:
            return PublicState(override.status, platforms, override.text)
        active = any(device.idle_since is None for device in devices)
        return PublicState(Status.ONLINE if active else Status.AWAY, platforms)

    def shown_active(self, user_id: int) -> int | None:
        shown = self.seen_by_all if self.told.get(user_id, OFFLINE) == OFFLINE else self.seen
        return int(shown.get(user_id, 0)) or None

    # -- what can happen -----------------------------------------------------------------------------------------

    def apply(self, made: AnyTransition, now: float, utc: float) -> tuple[bool, tuple[Evicted, ...]]:
        """Returns whether a session goes on, and who lost a device."""
        if isinstance(made, SetOverride):
            self._say(made.user_id, made.override)
            return self._conclude(made.user_id)
        key = (made.user_id, made.device_id)
        if isinstance(made, Connect | Online):
            return self._come(key, made, now, utc)
        device = self.devices.get(key)
        if device is None or (isinstance(made, Disconnect | Leave | SetActivity) and device.holder != made.holder):
            return False, ()
        if isinstance(made, Disconnect):
            grace = now + self.lifetimes.grace
            device.holder = REST if device.promised > grace else GRACE
            device.ends = max(grace, device.promised)
        elif isinstance(made, SetActivity):
            self._say_idle(device, made.idle, made.idle_for, now, utc)
        elif isinstance(made, Heartbeat):
            self._beat(device, made.idle, now, utc)
        else:
            del self.devices[key]
            lost = isinstance(made, Offline) and device.holder > 0
            return self._conclude(made.user_id, False, (Evicted(device.holder, Loss.ENDED),) if lost else ())
        return self._conclude(made.user_id, True)

    def _come(self, key: Key, made: Connect | Online, now: float, utc: float) -> tuple[bool, tuple[Evicted, ...]]:
        evicted: tuple[Evicted, ...] = ()
        device, continued = self.devices.get(key), key in self.devices
        if device is None:
            mine = self.devices_of(key[0])
            if len(mine) == self.lifetimes.max_devices:
                last = self._first_to_give_way(mine, now)
                del self.devices[key[0], last]
                evicted = (Evicted(mine[last].holder, Loss.TOO_MANY_DEVICES),) if mine[last].holder > 0 else ()
            device = self.devices[key] = NaiveDevice(made.platform, made.session, now)
            if isinstance(made, Connect) and made.status is not None:
                self._override(key[0], Override(made.status))
        device.platform = made.platform
        if isinstance(made, Online):
            self._beat(device, made.idle, now, utc)
        else:
            if continued and device.holder > 0:
                evicted = (Evicted(device.holder, Loss.REPLACED),)
            if made.idle is not None:
                self._say_idle(device, made.idle, made.idle_for, now, utc)
            device.holder, device.heard, device.heard_utc = made.holder, now, utc
        return self._conclude(key[0], continued, evicted)

    def _first_to_give_way(self, mine: dict[str, NaiveDevice], now: float) -> str:
        in_grace = [name for name, device in mine.items() if device.holder == GRACE]
        late = [name for name, d in mine.items() if d.holder == REST and d.ends - now < self.lifetimes.rest / 2]
        idle = [name for name, device in mine.items() if device.idle_since is not None]
        for group, key in ((in_grace, "ends"), (late, "ends"), (idle, "idle_since")):
            if group:
                return min(group, key=lambda name: (getattr(mine[name], key), mine[name].session))
        return min(mine, key=lambda name: mine[name].session)

    def _say(self, user_id: int, wanted: Override | None) -> None:
        held, below = self.overrides.get(user_id), self.beneath.get(user_id)
        self._override(user_id, wanted)
        if wanted is None or wanted.until is None:
            return
        is_correction = held is not None and held.until is not None and held.status is wanted.status
        kept = below if below is not None else None if is_correction else held
        if kept is not None and (kept.until is None or kept.until > wanted.until):
            self.beneath[user_id] = kept

    def _override(self, user_id: int, override: Override | None) -> None:
        self.overrides.pop(user_id, None)
        self.beneath.pop(user_id, None)
        self.ends.pop(user_id, None)
        if override is not None:
            self.overrides[user_id] = override
            if override.until is not None:
                self.ends[user_id] = override.until

    def _beat(self, device: NaiveDevice, idle: bool | None, now: float, utc: float) -> None:
        if idle is not None:
            self._say_idle(device, idle, None, now, utc)
        device.promised, device.heard_utc = now + self.lifetimes.rest, utc
        if device.holder <= 0:
            device.holder, device.heard, device.ends = REST, now, device.promised

    def _say_idle(self, device: NaiveDevice, idle: bool, idle_for: float | None, now: float, utc: float) -> None:
        device.spoke, device.said = now, idle
        if not idle:
            device.idle_since, device.heard_utc = None, utc
        elif device.idle_since is None or idle_for is not None:
            device.idle_since, device.idle_utc = now - (idle_for or 0), utc - (idle_for or 0)

    def touch(self, key: Key, holder: int, now: float, utc: float, spoke: bool) -> None:
        device = self.devices.get(key)
        if device is not None and device.holder == holder:
            device.heard, device.heard_utc = now, utc
            if spoke:
                device.spoke = now
                device.idle_since = device.idle_since if device.said else None
            self._conclude(key[0])

    def sweep(self, now: float, utc: float) -> None:
        for user_id in [user_id for user_id, end in self.ends.items() if end <= utc]:
            below = self.beneath.get(user_id)
            is_over = below is not None and below.until is not None and below.until <= utc
            self._override(user_id, None if is_over else below)
            self._conclude(user_id)
        due = [(deadline, key) for key, deadline in self.deadlines.items() if deadline <= now]
        for _, key in sorted(due, key=itemgetter(0)):
            device = self.devices[key]
            if device.holder <= 0:
                del self.devices[key]
            else:
                device.idle_since, device.idle_utc, device.said = now, utc, False
            self._conclude(key[0])

    # -- what comes of it ----------------------------------------------------------------------------------------

    def _conclude(
        self, user_id: int, continued: bool = False, evicted: tuple[Evicted, ...] = ()
    ) -> tuple[bool, tuple[Evicted, ...]]:
        for device in self.devices_of(user_id).values():
            active = device.heard_utc if device.idle_since is None else device.idle_utc
            self.seen[user_id] = max(self.seen.get(user_id, 0), active)
        if self.public(user_id) != self.told.get(user_id, OFFLINE):
            self.told[user_id] = self.public(user_id)
            self.seen_by_all[user_id] = self.seen[user_id]
        wanted = self._wanted_deadlines()
        kept = {key: deadline for key, deadline in self.deadlines.items() if wanted.get(key) == deadline}
        self.deadlines = kept | wanted
        return continued, evicted

    def _wanted_deadlines(self) -> dict[Key, float]:
        wanted: dict[Key, float] = {}
        for key, device in self.devices.items():
            if device.holder <= 0:
                wanted[key] = device.ends
            elif self.lifetimes.away_after and device.idle_since is None:
                wanted[key] = device.spoke + self.lifetimes.away_after
        return wanted

    def reconcile(self, user_id: int) -> None:
        """The table forgot `user_id`."""
        self._override(user_id, None)
        self.told.pop(user_id, None)
        self.seen.pop(user_id, None)
        self.seen_by_all.pop(user_id, None)
