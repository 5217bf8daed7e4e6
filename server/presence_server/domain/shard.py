"""The users of one shard, and every transition that can happen to them.

Each transition ends in `_conclude`, the one place where a public state is compared with what it was, a version is
taken, and a record without devices is remembered or forgotten. While a user is invisible the aggregate stays
OFFLINE, so nothing that happens underneath makes a Change: that needs no case of its own.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from itertools import takewhile
from operator import itemgetter
from typing import Any, Final, NamedTuple

from presence_server.domain.aggregate import aggregate
from presence_server.domain.attendance import Attendance
from presence_server.domain.causes import Cause
from presence_server.domain.chronicle import Chronicle
from presence_server.domain.claims import (
    Claims,
    Rules,
    Word,
    Wrong,
    are_alike,
    changed,
    ended,
    has_edge,
    is_own,
    next_edge,
    replaced,
    said,
    said_simply,
    settled,
)
from presence_server.domain.deadlines import Deadlines
from presence_server.domain.farewells import Farewell, Farewells
from presence_server.domain.logins import Logins, signed_in
from presence_server.domain.model import (
    GRACE,
    OFFLINE,
    REST,
    Change,
    Claim,
    Device,
    Idle,
    PublicState,
    Status,
    UserKey,
    UserRecord,
)
from presence_server.domain.promises import Promises
from presence_server.domain.reasons import (
    cause_for_all,
    cause_of_claiming,
    cause_of_edge,
    cause_of_saying,
    cause_of_stirring,
)
from presence_server.domain.remembered import Remembered
from presence_server.domain.transitions import (
    FULL,
    NOTHING,
    REFUSED,
    AnyClaiming,
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
from presence_server.domain.unseen import Unseen
from presence_server.domain.versions import Versions

LATELY: Final = 200
"""Changes that are remembered in their order: as many users as most watch, so that looking at all never costs less."""


GONE: Final = 65_536
"""Users without a device of whom it is remembered which device was their last: some 200 bytes each."""


_CONNECTED: Final = Cause.CONNECTED  # an enum's member costs 50 ns to look up
_RESUMED: Final = Cause.RESUMED
_STATUS_SET: Final = Cause.STATUS_SET
_STATUS_ENDED: Final = Cause.STATUS_ENDED
_OFFLINE: Final = Status.OFFLINE  # an enum's member costs 50 ns to look up


class Lifetimes(NamedTuple):
    """How long things last, in seconds, and how many devices a user may have. `away_after` 0: never.

    `unseen`: what a user said who never came."""

    grace: float = 10.0
    rest: float = 75.0
    away_after: float = 0.0
    max_devices: int = 16
    unseen: float = 86_400.0


class Shared:
    """What all shards of one table share: lifetimes, clocks, and the bounds that hold over all of them."""

    def __init__(
        self,
        lifetimes: Lifetimes,
        versions: Versions,
        max_remembered: int,
        max_unseen: int,
        salt: int,
        rules: Rules,
        logins: Logins,
    ) -> None:
        self.lifetimes = lifetimes
        self.rules = rules
        self.logins = logins
        self.has_policy = logins != Logins()
        self.versions = versions
        self.deadlines: Deadlines[Device] = Deadlines()
        self.edges: Deadlines[UserRecord] = Deadlines(salt=salt)
        """When the next claim of a user begins or ends, one a user, however many claims there are. The hand of this
        wheel is the calendar: it may be moved, and what it reaches is due."""
        self.promises = Promises()
        self.stretch = 1.0
        """How many times longer than usual REST devices live for now: they were asked for heartbeats less often."""
        self.remembered = Remembered(max_remembered)
        self.unseen = Unseen(max_unseen, lifetimes.unseen)
        self.strangers = Remembered(max_unseen)
        """Users who never came, of whom nothing is claimed any more but others were told something."""
        self.fading: dict[UserRecord, None] = {}
        """Who is to be forgotten while others still see something of them: they are told first, at the next sweep."""
        self.users_by_status = dict.fromkeys(Status, 0)
        self.devices = 0
        self.with_devices = 0
        """Users who have a device."""
        self.attendance = Attendance()
        self.farewells = Farewells()
        self.floor = 0
        """The greatest seq of any record that was ever forgotten."""
        self.chronicle: Chronicle | None = None
        """Kept from when somebody has asked for it."""
        self._gone: deque[UserRecord] = deque()
        self._second = 0
        self._lately: deque[tuple[int, UserKey]] = deque(maxlen=LATELY)

    def note(self, record: UserRecord, is_restamped: bool = False) -> None:
        """The record has a new seq, the greatest of all. `is_restamped`: for what was told before."""
        self._lately.append((record.seq, record.user_id))
        if self.chronicle is not None:
            (self.chronicle.restamped if is_restamped else self.chronicle.note)(record)

    def note_gone(self, record: UserRecord) -> None:
        """The user has no device any more, but the record tells which was the last: of so many, and no more."""
        self._gone.append(record)
        if len(self._gone) > GONE:
            oldest = self._gone.popleft()
            if not oldest.devices:
                oldest.by = None

    def changed_after(self, seq: int) -> set[UserKey] | None:
        """The users whose record may have a greater seq; None if they are too many to know.

        Whoever resumes soon after need not have each user looked at whom they watch: the records of thousands lie far
        apart in memory, and looking at them was an eighth of what a resume costs.
        """
        if len(self._lately) == LATELY and self._lately[0][0] > seq:
            return None
        return set(map(itemgetter(1), takewhile(lambda noted: noted[0] > seq, reversed(self._lately))))

    def second_of(self, utc: float) -> int:
        """`utc` in whole seconds: one object for all stamps of the same second, where each had several of its own."""
        second = int(utc)
        if second != self._second:
            self._second = second
        return self._second


class Shard:
    def __init__(self, shared: Shared, forget: Callable[[UserRecord], None]) -> None:
        self.users: dict[UserKey, UserRecord] = {}
        self._shared = shared
        self._forget = forget

    def apply(self, transition: AnyTransition, now: float, utc: float) -> Transition:
        return _HANDLERS[type(transition)](self, transition, now, utc)

    # -- transitions -------------------------------------------------------------------------------------------

    def connect(self, wanted: Connect, now: float, utc: float) -> Transition:
        if wanted.returning and (farewell := self._farewell_to(wanted, now)) is not None:
            return Transition(farewell=farewell)
        record = self._record(wanted.user_id)
        device = record.find(wanted.device_id)
        continued, cause = device is not None, _RESUMED
        evicted: tuple[Evicted, ...] = ()
        if self._shared.has_policy and (device is None or device.platform is not wanted.platform):
            ended = self._end_rivals(record, wanted, device is None, now)
            if ended is None:
                return FULL
            evicted = ended
        if device is None:
            cause = _CONNECTED
            evicted += self._make_room(record, now)
            device = self._attach(record, wanted, now, utc)
            if wanted.status is not None:
                self._hold(record, self._said(record.claims, Word(wanted.status), utc), utc)
        elif device.holder > 0 and device.holder != wanted.holder:
            cause = Cause.REPLACED
            evicted += (Evicted(device.holder, cause),)
        truth_changed = not continued or device.platform is not wanted.platform
        device.platform = wanted.platform
        truth_changed |= _set_busy(device, wanted.busy)
        if wanted.idle is not None:
            truth_changed |= self._set_idle(device, wanted.idle, wanted.idle_for, now, utc)
        if device.holder == REST:
            self._keep_promise(device)
            if not device.idle:
                device.activity = now  # over REST nothing was inferred, so its silence begins here
        # Only now: a device that comes idle was not active a moment ago.
        if not device.idle:
            device.was_active(self._shared.second_of(utc))
        device.holder = wanted.holder
        self._watch_activity(device)
        return self._conclude(record, utc, cause, device, continued, evicted, truth_changed)

    def disconnect(self, wanted: Disconnect, now: float, utc: float) -> Transition:
        held = self._held(wanted.user_id, wanted.device_id, wanted.holder)
        if held is None:
            return NOTHING
        _, device = held
        promised, end_of_grace = self._shared.promises.of(device), now + self._shared.lifetimes.grace
        if promised is not None and promised > end_of_grace:
            device.holder = REST
            self._shared.deadlines.set(device, promised)
        else:
            device.holder = GRACE
            self._shared.deadlines.set(device, end_of_grace)
        return Transition(device=device, continued=True, cause=Cause.LINK_LOST)

    def leave(self, wanted: Leave, now: float, utc: float) -> Transition:
        held = self._held(wanted.user_id, wanted.device_id, wanted.holder)
        if held is None:
            return NOTHING
        return self._end(*held, utc, wanted.cause)

    def online(self, wanted: Online, now: float, utc: float) -> Transition:
        record = self._record(wanted.user_id)
        device = record.find(wanted.device_id)
        continued = device is not None
        evicted: tuple[Evicted, ...] = ()
        if self._shared.has_policy and (device is None or device.platform is not wanted.platform):
            ended = self._end_rivals(record, wanted, device is None, now)
            if ended is None:
                return FULL
            evicted = ended
        if device is None:
            evicted += self._make_room(record, now)
            device = self._attach(record, wanted, now, utc)
        truth_changed = not continued or device.platform is not wanted.platform
        device.platform = wanted.platform
        was_busy = device.busy
        stirred = _set_busy(device, wanted.busy) | self._beat(device, wanted.idle, now, utc)
        cause = _RESUMED if continued else _CONNECTED
        if continued and stirred:
            cause = cause_of_stirring(device, was_busy)
        return self._conclude(record, utc, cause, device, continued, evicted, truth_changed or stirred)

    def heartbeat(self, wanted: Heartbeat, now: float, utc: float) -> Transition:
        record = self.users.get(wanted.user_id)
        device = None if record is None else record.find(wanted.device_id)
        if record is None or device is None:
            farewell = self._shared.farewells.to(wanted.user_id, wanted.device_id, now)
            return NOTHING if farewell is None else Transition(farewell=farewell)
        was_busy = device.busy
        truth_changed = _set_busy(device, wanted.busy) | self._beat(device, wanted.idle, now, utc)
        cause = cause_of_stirring(device, was_busy)
        return self._conclude(record, utc, cause, device, True, (), truth_changed)

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
        evicted = self._end_all(record, ended, Farewell(cause, wanted.reason), now)
        if not record.devices:
            self._shared.note_gone(record)
        made = self._conclude(record, utc, cause, by, False, evicted, truth_changed=True)
        return made._replace(ended=len(ended))

    def set_activity(self, wanted: SetActivity, now: float, utc: float) -> Transition:
        held = self._held(wanted.user_id, wanted.device_id, wanted.holder)
        if held is None:
            return NOTHING
        record, device = held
        was_busy = device.busy
        truth_changed = _set_busy(device, wanted.busy)
        if wanted.idle is not None:
            truth_changed |= self._set_idle(device, wanted.idle, wanted.idle_for, now, utc)
        self._watch_activity(device)
        cause = cause_of_stirring(device, was_busy)
        return self._conclude(record, utc, cause, device, True, (), truth_changed)

    def say(self, wanted: Say, now: float, utc: float) -> Transition:
        rules = self._shared.rules
        record = self.users.get(wanted.user_id)
        if record is not None and wanted.word is not None and record.has_come:
            claims = said_simply(record.claims, wanted.word, utc, rules)
            if claims is not None:
                held = record.claims
                truth_changed = claims[0][3:] != held[0][3:] if claims and held else claims is not held
                self._hold(record, claims, utc)
                cause = _STATUS_SET if claims else _STATUS_ENDED
                return self._conclude(record, utc, cause, truth_changed=truth_changed)
        return self._claim(wanted, wanted.word is not None, lambda held: said(held, wanted.word, utc, rules), now, utc)

    def set_claims(self, wanted: SetClaims, now: float, utc: float) -> Transition:
        rules = self._shared.rules

        def put(held: Claims) -> Claims | Wrong:
            return replaced(held, wanted.source, wanted.claims, utc, rules)

        return self._claim(wanted, bool(wanted.claims), put, now, utc)

    def change_claim(self, wanted: ChangeClaim, now: float, utc: float) -> Transition:
        rules = self._shared.rules

        def change(held: Claims) -> Claims | Wrong:
            return changed(held, wanted.source, wanted.id, wanted.patch, utc, rules)

        return self._claim(wanted, True, change, now, utc)

    def end_claims(self, wanted: EndClaims, now: float, utc: float) -> Transition:
        return self._claim(wanted, False, lambda held: ended(held, wanted.source, wanted.id), now, utc)

    def restate(self, wanted: Restate, now: float, utc: float) -> Transition:
        record = self.users.get(wanted.user_id)
        if record is None or not record.version:
            return NOTHING
        return Transition(self._changed(record, record.public, utc, record.cause, record.by))

    def erase(self, wanted: Erase, now: float, utc: float) -> Transition:
        record = self.users.get(wanted.user_id)
        if record is None:
            return NOTHING
        evicted = tuple(
            Evicted(device.holder, Cause.ENDED_BY_BACKEND) for device in record.devices if device.holder > 0
        )
        for device in record.devices:
            self._detach(record, device)
        record.claims = ()
        record.cause = Cause.ERASED
        change = self._changed(record, OFFLINE, utc, Cause.ERASED) if record.version else None
        self._tell_chronicle(record, change, utc, Cause.ERASED)
        self._forget(record)
        return Transition(change, evicted=evicted, truth_changed=True, cause=Cause.ERASED)

    def touch(self, user_id: UserKey, device_id: str, holder: int, now: float, utc: float, spoke: bool) -> Transition:
        """The link of `holder` was heard; `spoke`: with a message other than a ping, which ends inferred idleness."""
        held = self._held(user_id, device_id, holder)
        if held is None:
            return NOTHING
        record, device = held
        activity = device.activity  # with every message and pong: no property, and no call within the same second
        idle = activity if isinstance(activity, Idle) else None
        if idle is None or (spoke and not idle.is_said):
            if utc >= device.last_active + 1:
                device.was_active(self._shared.second_of(utc))
            if spoke:
                device.activity = now
        if idle is None or not spoke or idle.is_said:
            return NOTHING
        self._watch_activity(device)
        return self._conclude(record, utc, Cause.ACTIVE, device, True, (), truth_changed=True)

    def expire(self, key: Device | UserRecord, now: float, utc: float) -> Transition:
        """What fell due: a grace period, a REST deadline, inferred idleness, or a claim's beginning or end."""
        record = self.users.get(key.user_id)
        if isinstance(key, UserRecord):
            if record is not key:
                return NOTHING  # forgotten by what fell due a moment before
            if has_edge(record.claims, utc):
                return self._conclude(record, utc, Cause.CLAIM_ENDED)  # or whichever it turns out to be
            self._hold(record, record.claims, utc)
            return NOTHING
        if record is None or key not in record.devices:
            return NOTHING  # ended by whoever was told of that
        if key.holder == REST:
            return self._end(record, key, utc, Cause.HEARTBEAT_MISSED)
        if key.holder == GRACE:
            return self._end(record, key, utc, Cause.GRACE_OVER if self._shared.lifetimes.grace else Cause.LINK_LOST)
        away_after = self._shared.lifetimes.away_after
        if not away_after or isinstance(key.activity, Idle) or key.activity + away_after > now:
            self._watch_activity(key)
            return NOTHING
        key.was_active(self._shared.second_of(utc))
        key.activity = Idle(now, is_said=False)
        return self._conclude(record, utc, Cause.IDLE, key, True, (), truth_changed=True)

    def fade(self, record: UserRecord, utc: float) -> Transition:
        """Take back all that is claimed of `record`, of which there is no room or time to keep it longer."""
        cause = Cause.STATUS_ENDED if any(map(is_own, record.claims)) else Cause.CLAIM_ENDED
        self._shared.unseen.discard(record.user_id)
        self._hold(record, (), utc)
        return self._conclude(record, utc, cause)

    def conclude_restored(self, record: UserRecord, claims: Claims, utc: float) -> Transition:
        """The record was put back after a restart: see what it shows by the settings and the calendar of now."""
        self._hold(record, claims, utc)
        return self._conclude(record, utc, Cause.RESTORED)

    # -- parts of transitions ------------------------------------------------------------------------------------

    def _record(self, user_id: UserKey) -> UserRecord:
        record = self.users.get(user_id)
        if record is None:
            record = self.users[user_id] = UserRecord(user_id)
            self._shared.users_by_status[Status.OFFLINE] += 1
        return record

    def _held(self, user_id: UserKey, device_id: str, holder: int) -> tuple[UserRecord, Device] | None:
        """Record and device, if `holder` still holds it: an ended connection must not touch its successor."""
        record = self.users.get(user_id)
        device = None if record is None else record.find(device_id)
        if record is None or device is None or device.holder != holder:
            return None
        return record, device

    def _attach(self, record: UserRecord, wanted: Connect | Online, now: float, utc: float) -> Device:
        second = self._shared.second_of(utc)
        device = Device(wanted.user_id, wanted.device_id, wanted.platform, wanted.session, now, second)
        if not record.devices:
            self._shared.remembered.discard(record.user_id)
            self._shared.unseen.discard(record.user_id)
            self._shared.strangers.discard(record.user_id)
            self._shared.with_devices += 1
        record.devices = (*record.devices, device)
        self._shared.devices += 1
        self._shared.farewells.discard(record.user_id, device.device_id)
        return device

    def _detach(self, record: UserRecord, device: Device) -> None:
        record.settled_active = max(record.settled_active, device.last_active)
        record.devices = tuple(other for other in record.devices if other is not device)
        self._shared.deadlines.discard(device)
        self._shared.promises.discard(device)
        self._shared.devices -= 1
        if not record.devices:
            self._shared.with_devices -= 1

    def _farewell_to(self, wanted: Connect, now: float) -> Farewell | None:
        """What is to be told to a client that comes back by itself, and whose session is over; None: it may come."""
        shared, record = self._shared, self.users.get(wanted.user_id)
        if record is not None and record.find(wanted.device_id) is not None:
            return None
        farewell = shared.farewells.to(wanted.user_id, wanted.device_id, now)
        if farewell is None and record is not None:
            rivals = shared.logins.rivals(record.devices, wanted.device_id, wanted.platform)
            if rivals:
                newest = max(rivals, key=lambda device: device.session)
                return Farewell(Cause.REPLACED, signed_in(newest.device_id, newest.platform.value))
        return farewell

    def _end_rivals(
        self, record: UserRecord, by: Connect | Online, is_new: bool, now: float
    ) -> tuple[Evicted, ...] | None:
        """End those that may not stand beside the device that comes. None: there is no room for it, and nobody ends."""
        shared = self._shared
        rivals = shared.logins.rivals(record.devices, by.device_id, by.platform)
        left = len(record.devices) - len(rivals)
        if is_new and shared.logins.refuses_newest and left >= shared.lifetimes.max_devices:
            return None
        reason = signed_in(by.device_id, by.platform.value) if rivals else ""
        return self._end_all(record, rivals, Farewell(Cause.REPLACED, reason), now)

    def _end_all(
        self, record: UserRecord, devices: list[Device], farewell: Farewell, now: float
    ) -> tuple[Evicted, ...]:
        """End devices, and see to it that each is told: at once by a close, or else when it is heard again."""
        evicted = []
        for device in devices:
            self._shared.farewells.say(record.user_id, device.device_id, farewell, now)
            if device.holder > 0:
                evicted.append(Evicted(device.holder, *farewell))
            self._detach(record, device)
        return tuple(evicted)

    def _make_room(self, record: UserRecord, now: float) -> tuple[Evicted, ...]:
        """End the device that is the first to give way, when there is no room for one more."""
        if len(record.devices) < self._shared.lifetimes.max_devices:
            return ()
        last = min(record.devices, key=lambda device: (*self._standing(device, now), device.session))
        self._detach(record, last)
        return (Evicted(last.holder, Cause.TOO_MANY_DEVICES),) if last.holder > 0 else ()

    def _standing(self, device: Device, now: float) -> tuple[int, float]:
        """The least gives way first: the dead before the living, and of these the idle before the active.

        A device in grace is as good as gone; of several, the one gone the longest. A REST device is taken for dying
        once half of its lifetime is over, a quarter of an interval after a heartbeat was due. Then comes the one that
        is idle the longest. Devices that are equal here give way by age.
        """
        due = self._shared.deadlines.of(device) or 0.0
        if device.holder == GRACE:
            return 0, due
        if device.holder == REST and due - now < self._shared.lifetimes.rest / 2:
            return 1, due
        if isinstance(device.activity, Idle):
            return 2, device.activity.since
        return 3, 0.0

    def _end(
        self, record: UserRecord, device: Device, utc: float, cause: Cause, evicted: tuple[Evicted, ...] = ()
    ) -> Transition:
        self._detach(record, device)
        if not record.devices:
            self._shared.note_gone(record)
        return self._conclude(record, utc, cause, device, False, evicted, truth_changed=True)

    def _beat(self, device: Device, idle: bool | None, now: float, utc: float) -> bool:
        """A REST client said that `device` is there. Returns whether its idleness changed."""
        idleness_changed = idle is not None and self._set_idle(device, idle, None, now, utc)
        # What was promised before holds as well: it may have been for longer.
        before = self._shared.deadlines.of(device) if device.holder == REST else self._shared.promises.of(device)
        promised = max(before or 0.0, now + self._shared.lifetimes.rest * self._shared.stretch)
        if not device.idle:
            device.was_active(self._shared.second_of(utc))
        if device.holder <= 0:
            device.holder = REST
            self._shared.promises.discard(device)
            self._shared.deadlines.set(device, promised)
        else:
            self._shared.promises.give(device, promised)
            self._watch_activity(device)
        return idleness_changed

    def _keep_promise(self, device: Device) -> None:
        """A connection takes hold of a REST device, whose deadline now counts for when that connection drops."""
        promised = self._shared.deadlines.of(device)
        if promised is not None and self._shared.promises.of(device) is None:
            self._shared.promises.give(device, promised)

    def _set_idle(self, device: Device, idle: bool, idle_for: float | None, now: float, utc: float) -> bool:
        """Said idleness. Returns whether the device changed between active and idle."""
        was = device.idle
        if not idle:
            device.activity = now
            device.was_active(self._shared.second_of(utc))
        elif was is None or idle_for is not None:
            device.activity = Idle(now - (idle_for or 0.0), is_said=True)
            device.was_active(self._shared.second_of(max(0.0, utc - (idle_for or 0.0))))
        else:
            device.activity = Idle(was.since, is_said=True)
        return (was is not None) is not idle

    def _watch_activity(self, device: Device) -> None:
        """A connected device has a deadline only while its idleness may have to be inferred."""
        away_after = self._shared.lifetimes.away_after
        if away_after and not isinstance(device.activity, Idle):
            self._shared.deadlines.set(device, device.activity + away_after)
        else:
            self._shared.deadlines.discard(device)

    def _claim(
        self, wanted: AnyClaiming, is_more: bool, make: Callable[[Claims], Claims | Wrong], now: float, utc: float
    ) -> Transition:
        """What is claimed of the user becomes what `make` makes of it. `is_more`: that may be the first claim."""
        record = self.users.get(wanted.user_id)
        is_new = record is None or not (record.claims or record.has_come)
        if is_new and is_more and self._shared.unseen.is_full:
            return REFUSED
        held = () if record is None else record.claims
        claims = make(held)
        if isinstance(claims, Wrong):
            return Transition(wrong=claims)
        if record is None:
            if not claims:
                return NOTHING
            record = self._record(wanted.user_id)
        truth_changed = not are_alike(claims, held)
        self._hold(record, claims, utc)
        if not record.has_come:
            if claims:
                self._shared.strangers.discard(record.user_id)
                self._shared.unseen.keep(record, now)
            else:
                self._shared.unseen.discard(record.user_id)
        if isinstance(wanted, Say):
            cause = cause_of_saying(wanted.word)
        else:
            cause = cause_of_claiming(wanted.source, held, claims, utc)
        return self._conclude(record, utc, cause, truth_changed=truth_changed)

    def _said(self, claims: Claims, word: Word, utc: float) -> Claims:
        made = said(claims, word, utc, self._shared.rules)
        return claims if isinstance(made, Wrong) else made

    def _hold(self, record: UserRecord, claims: tuple[Claim, ...], utc: float) -> None:
        record.claims = claims
        edge = next_edge(claims, utc) if claims else None
        if edge is None:
            self._shared.edges.discard(record)
        else:
            # Too early is put right when it falls due (`expire`): whoever says something again and again costs less.
            self._shared.edges.set_earlier(record, edge)

    def _conclude(
        self,
        record: UserRecord,
        utc: float,
        cause: Cause,
        device: Device | None = None,
        continued: bool = False,
        evicted: tuple[Evicted, ...] = (),
        truth_changed: bool = False,
    ) -> Transition:
        by = device
        if record.claims and has_edge(record.claims, utc):
            if not truth_changed:  # nothing else has happened
                cause, by = cause_of_edge(record.claims, utc), None
            # What others are about to see begun or ended stays so, should the clock be set back.
            self._hold(record, settled(record.claims, utc), utc)
            truth_changed = True
        before, after = record.public, aggregate(record.claims, record.devices, utc, self._shared.rules.show_idle_since)
        change = self._changed(record, after, utc, cause, by) if after != before else None
        if self._shared.chronicle is not None:
            self._shared.chronicle.concluded(record, change, utc, cause, by)
        if not record.devices:
            self._remember(record)
        return Transition(change, device, continued, evicted, truth_changed, False, None, cause)

    def _tell_chronicle(self, record: UserRecord, change: Change | None, utc: float, cause: Cause) -> None:
        if self._shared.chronicle is not None:
            self._shared.chronicle.concluded(record, change, utc, cause, None)

    def _remember(self, record: UserRecord) -> None:
        """The user has no device: each kind of those has a room of its own, where it pushes out its like only."""
        if record.has_come:
            oldest = self._shared.remembered.add(record)
        elif record.claims:
            return  # among the unseen
        else:
            self._shared.unseen.discard(record.user_id)
            if record.version == 0:
                self._forget(record)  # nothing was ever told of this user
                return
            oldest = self._shared.strangers.add(record)
        if oldest is not None:
            self._push_out(oldest)

    def _push_out(self, record: UserRecord) -> None:
        if record.public == OFFLINE:
            self._forget(record)
        else:
            self._shared.fading[record] = None

    def _changed(
        self, record: UserRecord, after: PublicState, utc: float, cause: Cause, by: Device | None = None
    ) -> Change:
        """The public state is `after` from now on, at its next version."""
        before = record.public
        # The seq of a Change that is handed to fan-out at once is its version.
        record.version = record.seq = self._shared.versions.take(utc)
        if not before.status is after.status is _OFFLINE:  # another text tells of nobody's devices
            record.stamped_active = record.live_active()
        record.public = after
        record.cause, record.by = cause, by
        if before.status is not after.status and (after.status is _OFFLINE or before.status is _OFFLINE):
            is_coming = before.status is _OFFLINE
            record.cause, record.by = cause_for_all(is_coming, cause, by, record.devices)
        self._shared.note(record)
        self._shared.users_by_status[before.status] -= 1
        self._shared.users_by_status[after.status] += 1
        if before.platforms is not after.platforms or before.status is _OFFLINE or after.status is _OFFLINE:
            self._shared.attendance.changed(record, before, after)
        return Change(record.user_id, before, after, record.version, cause, by)


def _set_busy(device: Device, busy: bool | None) -> bool:
    """Returns whether the device changed between busy and not."""
    if busy is None or busy is device.busy:
        return False
    device.set_busy(busy)
    return True


_HANDLERS: Final[dict[type[Any], Callable[[Shard, Any, float, float], Transition]]] = {
    Connect: Shard.connect,
    Disconnect: Shard.disconnect,
    Leave: Shard.leave,
    Online: Shard.online,
    Heartbeat: Shard.heartbeat,
    Offline: Shard.offline,
    Kick: Shard.kick,
    SetActivity: Shard.set_activity,
    Say: Shard.say,
    SetClaims: Shard.set_claims,
    ChangeClaim: Shard.change_claim,
    EndClaims: Shard.end_claims,
    Restate: Shard.restate,
    Erase: Shard.erase,
}
