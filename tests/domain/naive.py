"""The rules of presence once more, as short as they can be said: a few dicts, everything computed anew each time.

It knows nothing of versions, cursors, shards, or whom the table forgets; `reconcile` is told the last.
"""

from __future__ import annotations

from dataclasses import dataclass
from operator import itemgetter

from domain.naive_claims import NaiveClaims
from presence_server.domain.causes import Cause
from presence_server.domain.claims import LEAVE, Word
from presence_server.domain.model import GRACE, OFFLINE, REST, Platform, PublicState, Status
from presence_server.domain.shared import Lifetimes
from presence_server.domain.transitions import (
    AnyTransition,
    ChangeClaim,
    Connect,
    Disconnect,
    EndClaims,
    Evicted,
    Heartbeat,
    Leave,
    Offline,
    Online,
    Say,
    SetActivity,
    SetClaims,
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
    busy: bool = False


class Naive:
    def __init__(self, lifetimes: Lifetimes, max_unseen: int = 1000) -> None:
        self.lifetimes = lifetimes
        self.max_unseen = max_unseen
        self.devices: dict[Key, NaiveDevice] = {}
        self.claims: dict[int, NaiveClaims] = {}
        self.ends: dict[int, float] = {}  # when the next claim begins or ends, by the calendar
        self.utc = 0.0
        self.as_of: dict[int, float] = {}  # when anything last happened to a user: till then nobody looks at the clock
        self.why_faded: dict[int, set[Cause]] = {}
        self.why: dict[int, set[Cause]] = {}
        """What happened to each user by the last call, as causes: one, unless time brought some as well."""
        self.deadlines: dict[Key, float] = {}
        self.told: dict[int, PublicState] = {}  # what watchers were told last
        self.seen: dict[int, float] = {}  # the user's last activity
        self.seen_by_all: dict[int, float] = {}  # the same when watchers were told last

    def devices_of(self, user_id: int) -> dict[str, NaiveDevice]:
        return {key[1]: device for key, device in self.devices.items() if key[0] == user_id}

    def public(self, user_id: int) -> PublicState:
        devices = list(self.devices_of(user_id).values())
        platforms = tuple(platform for platform in Platform if any(d.platform is platform for d in devices))
        there = None
        if devices:
            active = any(device.idle_since is None for device in devices)
            there = Status.BUSY if any(d.busy for d in devices) else Status.ONLINE if active else Status.AWAY
        return self.claims_of(user_id).public(there, platforms, self.as_of.get(user_id, self.utc))

    def claims_of(self, user_id: int) -> NaiveClaims:
        return self.claims.setdefault(user_id, NaiveClaims())

    def has_come(self, user_id: int) -> bool:
        return bool(self.devices_of(user_id)) or user_id in self.seen

    def has_room_for(self, made: Say | SetClaims) -> bool:
        """Whether there is room for what is claimed of somebody who never came."""
        is_more = bool(made.claims) if isinstance(made, SetClaims) else made.word is not None
        if not is_more or self.has_come(made.user_id) or self.claims_of(made.user_id).said:
            return True
        return sum(bool(c.said) and not self.has_come(u) for u, c in self.claims.items()) < self.max_unseen

    def is_invisible(self, user_id: int) -> bool:
        own = self.claims_of(user_id).own(self.as_of.get(user_id, self.utc))
        return own is not None and own.status is Status.OFFLINE

    def shown_active(self, user_id: int) -> int | None:
        shown = self.seen_by_all if self.told_status(user_id) is Status.OFFLINE else self.seen
        return int(shown.get(user_id, 0)) or None

    def told_status(self, user_id: int) -> Status:
        return self.told.get(user_id, OFFLINE).status

    # -- what can happen -----------------------------------------------------------------------------------------

    def apply(self, made: AnyTransition, now: float, utc: float) -> tuple[bool, tuple[Evicted, ...]]:
        """Returns whether a session goes on, and who lost a device."""
        self.utc = utc
        self.why = {made.user_id: self._edge_causes(made.user_id)}
        before = self._level(made)
        cause_before = self._speaks(made)
        continued, evicted = self._apply(made, now, utc)
        self.why[made.user_id].add(self._cause_of(made, continued, evicted, before, cause_before))
        return continued, evicted

    def _level(self, made: AnyTransition) -> tuple[int, bool, bool] | None:
        """Who holds the device that it is about, and whether that is idle or busy."""
        device = self.devices.get((made.user_id, getattr(made, "device_id", "")))
        return None if device is None else (device.holder, device.idle_since is not None, device.busy)

    def _speaks(self, made: AnyTransition) -> bool:
        """Whether the source that it is of says something now."""
        return isinstance(made, SetClaims) and any(
            said.source == made.source.name and said.holds(self.utc) for said in self.claims_of(made.user_id).said
        )

    def _cause_of(
        self,
        made: AnyTransition,
        continued: bool,
        evicted: tuple[Evicted, ...],
        before: tuple[int, bool, bool] | None,
        spoke: bool,
    ) -> Cause:
        if isinstance(made, Say):
            said = made.word is not None and any(each not in (LEAVE, None, "") for each in made.word)
            return Cause.STATUS_SET if said else Cause.STATUS_ENDED
        if isinstance(made, SetClaims):
            stopped = not self._speaks(made) and (spoke or not made.claims)
            return Cause.CLAIM_ENDED if stopped else Cause.CLAIM_BEGAN
        after = self._level(made)
        if isinstance(made, Leave | Offline):
            held = before is not None and before[0] > 0
            return Cause.ENDED_BY_BACKEND if isinstance(made, Offline) and held else Cause.LEFT
        if isinstance(made, Disconnect) or before is None or after is None:
            return Cause.LINK_LOST if isinstance(made, Disconnect) else Cause.CONNECTED
        if isinstance(made, Connect):
            return Cause.REPLACED if evicted else Cause.RESUMED
        if isinstance(made, Online) and before[1:] == after[1:]:
            return Cause.RESUMED
        if after[2] and not before[2]:
            return Cause.BUSY
        return Cause.IDLE if after[1] else Cause.ACTIVE

    def _edge_causes(self, user_id: int) -> set[Cause]:
        """What the calendar has brought that nobody looked at yet."""
        found = set()
        for said in self.claims_of(user_id).said:
            own = said.source == "self"
            if said.until is not None and said.until <= self.utc:
                found.add(Cause.STATUS_ENDED if own else Cause.CLAIM_ENDED)
            elif said.is_planned and said.since <= self.utc:
                found.add(Cause.STATUS_SET if own else Cause.CLAIM_BEGAN)
        return found

    def _apply(self, made: AnyTransition, now: float, utc: float) -> tuple[bool, tuple[Evicted, ...]]:
        if isinstance(made, Say | SetClaims) and not self.has_room_for(made):
            return False, ()
        if isinstance(made, Say):
            self.claims_of(made.user_id).say(made.word, utc)
            return self._conclude(made.user_id)
        if isinstance(made, SetClaims):
            self.claims_of(made.user_id).put(made.source.name, list(made.claims), utc)
            return self._conclude(made.user_id)
        if isinstance(made, ChangeClaim | EndClaims):
            raise TypeError
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
            return self._conclude(made.user_id, True, looks=False)
        if isinstance(made, SetActivity):
            device.busy = device.busy if made.busy is None else made.busy
            if made.idle is not None:
                self._say_idle(device, made.idle, made.idle_for, now, utc)
        elif isinstance(made, Heartbeat):
            self._beat(device, made.idle, now, utc)
        else:
            del self.devices[key]
            lost = isinstance(made, Offline) and device.holder > 0
            return self._conclude(
                made.user_id, False, (Evicted(device.holder, Cause.ENDED_BY_BACKEND),) if lost else ()
            )
        return self._conclude(made.user_id, True)

    def _come(self, key: Key, made: Connect | Online, now: float, utc: float) -> tuple[bool, tuple[Evicted, ...]]:
        evicted: tuple[Evicted, ...] = ()
        device, continued = self.devices.get(key), key in self.devices
        if device is None:
            mine = self.devices_of(key[0])
            if len(mine) == self.lifetimes.max_devices:
                last = self._first_to_give_way(mine, now)
                del self.devices[key[0], last]
                evicted = (Evicted(mine[last].holder, Cause.TOO_MANY_DEVICES),) if mine[last].holder > 0 else ()
            device = self.devices[key] = NaiveDevice(made.platform, made.session, now)
            if isinstance(made, Connect) and made.status is not None:
                self.claims_of(key[0]).say(Word(made.status), utc)
                self._edges(key[0])
        device.platform = made.platform
        if isinstance(made, Online):
            self._beat(device, made.idle, now, utc)
        else:
            if continued and device.holder > 0:
                evicted = (Evicted(device.holder, Cause.REPLACED),)
            if made.idle is not None:
                self._say_idle(device, made.idle, made.idle_for, now, utc)
            if device.holder == REST:
                device.spoke = now  # over REST nothing is inferred: its silence begins here
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
        self.utc = utc
        self.why = {key[0]: self._edge_causes(key[0]) | {Cause.ACTIVE}}
        device = self.devices.get(key)
        if device is not None and device.holder == holder:
            device.heard, device.heard_utc = now, utc
            was_idle = device.idle_since is not None
            if spoke:
                device.spoke = now
                device.idle_since = device.idle_since if device.said else None
            self._conclude(key[0], looks=was_idle and device.idle_since is None)

    def sweep(self, now: float, utc: float) -> None:
        self.utc = utc
        concerned = {*self.claims, *self.why_faded}
        self.why = {user_id: self._edge_causes(user_id) | self.why_faded.pop(user_id, set()) for user_id in concerned}
        for user_id in [user_id for user_id, end in self.ends.items() if end <= utc]:
            self.claims_of(user_id).prune(utc)
            self._conclude(user_id)
        due = [(deadline, key) for key, deadline in self.deadlines.items() if deadline <= now]
        for _, key in sorted(due, key=itemgetter(0)):
            device = self.devices[key]
            self.why.setdefault(key[0], set()).add(self._cause_of_end(device))
            if device.holder <= 0:
                del self.devices[key]
            else:
                device.idle_since, device.idle_utc, device.said = now, utc, False
            self._conclude(key[0])

    def _cause_of_end(self, device: NaiveDevice) -> Cause:
        if device.holder > 0:
            return Cause.IDLE
        if device.holder == REST:
            return Cause.HEARTBEAT_MISSED
        return Cause.GRACE_OVER if self.lifetimes.grace else Cause.LINK_LOST

    def _edges(self, user_id: int) -> None:
        self.ends.pop(user_id, None)
        if edges := self.claims_of(user_id).edges(self.utc):
            self.ends[user_id] = min(edges)

    # -- what comes of it ----------------------------------------------------------------------------------------

    def _conclude(
        self, user_id: int, continued: bool = False, evicted: tuple[Evicted, ...] = (), looks: bool = True
    ) -> tuple[bool, tuple[Evicted, ...]]:
        """`looks`: whether anybody looks at what the user is now. The end of a link alone changes nothing yet."""
        if looks:
            self.as_of[user_id] = self.utc
            self.claims_of(user_id).prune(self.utc)  # what was seen to begin or end stays so
            self._edges(user_id)
        for device in self.devices_of(user_id).values():
            active = device.heard_utc if device.idle_since is None else device.idle_utc
            self.seen[user_id] = max(self.seen.get(user_id, 0), active)
        if looks and self.public(user_id) != self.told.get(user_id, OFFLINE):
            if {self.told_status(user_id), self.public(user_id).status} != {Status.OFFLINE}:
                self.seen_by_all[user_id] = self.seen.get(user_id, 0)
            self.told[user_id] = self.public(user_id)
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

    def fade(self, user_id: int) -> None:
        """There is no more room for what is claimed of `user_id`."""
        self.why_faded[user_id] = {Cause.STATUS_ENDED, Cause.CLAIM_ENDED}
        self.claims.pop(user_id, None)
        self._conclude(user_id)

    def reconcile(self, user_id: int) -> None:
        """The table forgot `user_id`."""
        self.fade(user_id)
        self.told.pop(user_id, None)
        self.seen.pop(user_id, None)
        self.seen_by_all.pop(user_id, None)
