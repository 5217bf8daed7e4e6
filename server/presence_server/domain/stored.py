"""A user's record as plain values that outlive the process: how it is taken, and what a table makes of it again.

Times of the clock of durations are kept as they are: whoever restores knows by how much that clock has moved on.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from presence_server.domain.causes import Cause
from presence_server.domain.claims import ordered, settled
from presence_server.domain.model import (
    GRACE,
    REST,
    Claim,
    Device,
    Idle,
    PublicState,
    Source,
    Status,
    UserKey,
    UserRecord,
)
from presence_server.domain.platforms import AnyPlatform

if TYPE_CHECKING:
    from presence_server.domain.records import Records
    from presence_server.domain.shared import Shared

HELD: Final = 1
"""In the place of a holder: some connection, which is over by the time that this is read."""

_ACTIVE: Final = 0
_INFERRED: Final = 1
_SAID: Final = 2

MOST_SHARED: Final = 4_096
"""Public states that users share: most have one that others have as well."""

ENDS_TOGETHER: Final = 1_000
"""Devices whose return period ends in the same moment: 5 ms of work for those who tell it."""

ENDS_EVERY: Final = 0.05
"""Seconds between two such moments."""


class StoredClaim(NamedTuple):
    """`source`: its name and weight, of which the settings of now give another."""

    source: tuple[str, int]
    id: str
    since: int
    until: int | None
    status: Status | None
    text: str | None
    emoji: str | None
    is_planned: bool
    alone: bool
    lapses: bool


class StoredPublic(NamedTuple):
    status: Status
    platforms: tuple[str, ...]
    text: str | None
    emoji: str | None
    idle_since: int | None
    by_platform: tuple[Status, ...] | None


class StoredDevice(NamedTuple):
    """`holder`: HELD, GRACE or REST. `activity`: 0 active, 1 idle as was inferred, 2 idle as was said, `since` then.

    `due`: until when REST keeps it, whoever holds it; None: that is not known."""

    device_id: str
    platform: str
    session: int
    holder: int
    online_time: int
    last_active: int
    busy: bool
    activity: int
    since: float
    due: float | None


class StoredUser(NamedTuple):
    """`by`: id and platform of the device that caused the last Change, if it is known.
    `unseen_since`: when something was last claimed of a user who never came."""

    user_id: int | str
    version: int
    seq: int
    settled_active: int
    stamped_active: int
    cause: Cause
    by: tuple[str, str] | None
    public: StoredPublic
    claims: tuple[StoredClaim, ...]
    devices: tuple[StoredDevice, ...]
    unseen_since: float | None


def stored(shared: Shared, record: UserRecord, user_id: int | str) -> tuple[Any, ...]:
    """The record in the shape of a `StoredUser`: 0.6 us. Naming its parts would take as much again."""
    devices = record.devices
    return (
        user_id,
        record.version,
        record.seq,
        record.settled_active,
        record.stamped_active,
        record.cause,
        None if record.by is None else (record.by.device_id, record.by.platform),
        record.public,
        record.claims,
        [_device(shared, device) for device in devices] if devices else (),
        None if devices or not record.claims else shared.unseen.since(record.user_id),
    )


def _device(shared: Shared, device: Device) -> tuple[Any, ...]:
    activity, holder = device.activity, device.holder
    if isinstance(activity, Idle):
        kind, since = (_SAID if activity.is_said else _INFERRED), activity.since
    else:
        kind, since = _ACTIVE, activity
    due = shared.deadlines.of(device) if holder == REST else None
    if holder > 0:
        holder, due = HELD, shared.promises.of(device)
    return (
        device.device_id,
        device.platform,
        device.session,
        holder,
        device.online_time,
        device.last_active,
        device.busy,
        kind,
        since,
        due,
    )


class Times(NamedTuple):
    """What time it is at a restart. `now` is of the clock of durations.

    `moved`: to be added to what was stored of that clock. `was`: the calendar when the state was last written.
    `down`: for how long nobody was served, in seconds.
    """

    now: float
    utc: float
    moved: float
    was: float
    down: float


class Restoring:
    """Puts records back into an empty table: `put` each, the last word on each user last, then `finish`.

    Whatever the settings do not know any more (a platform, a source) is left out.
    """

    def __init__(
        self,
        shared: Shared,
        shard_of: Callable[[UserKey], Records],
        platforms: Mapping[str, AnyPlatform],
        sources: Mapping[str, Source],
    ) -> None:
        self._shared = shared
        self._shard_of = shard_of
        self._platforms = platforms
        self._sources = sources
        self._records: dict[UserKey, UserRecord] = {}
        self._publics: dict[StoredPublic, PublicState] = {}
        self._unseen: dict[UserKey, float] = {}
        self._due: dict[Device, float] = {}
        self.last_seq = 0
        """The greatest of all."""

    def __len__(self) -> int:
        return len(self._records)

    def put(self, key: UserKey, user: StoredUser) -> None:
        """This is what is known of the user, and nothing that was put before."""
        record = self._records[key] = UserRecord(key)
        public, claims, devices = user.public, user.claims, user.devices
        record.version, record.seq, record.cause = user.version, user.seq, user.cause
        record.settled_active, record.stamped_active = user.settled_active, user.stamped_active
        self.last_seq = max(self.last_seq, record.seq, record.version)
        record.public = self._publics.get(public) or self._public(public)
        if claims:
            record.claims = ordered(
                Claim(self._sources[claim.source[0]], *claim[1:])
                for claim in claims
                if claim.source[0] in self._sources
            )
        if devices:
            found = (self._device(key, device) for device in devices)
            record.devices = tuple(device for device in found if device is not None)
        if user.by is not None:
            record.by = self._by(record, *user.by)
        if user.unseen_since is not None:
            self._unseen[key] = user.unseen_since

    def _public(self, stored: StoredPublic) -> PublicState:
        platforms = tuple(self._platforms[name] for name in stored.platforms if name in self._platforms)
        public = PublicState(stored.status, platforms, *stored[2:])
        if len(self._publics) < MOST_SHARED:
            self._publics[stored] = public
        return public

    def _by(self, record: UserRecord, device_id: str, platform: str) -> Device | None:
        device = record.find(device_id)
        if device is None and platform in self._platforms:  # it is gone by now
            device = Device(record.user_id, device_id, self._platforms[platform], 0, 0.0, 0)
        return device

    def _device(self, key: UserKey, stored: StoredDevice) -> Device | None:
        platform = self._platforms.get(stored.platform)
        if platform is None:
            return None
        device = Device(key, stored.device_id, platform, stored.session, stored.since, stored.online_time)
        device.holder = stored.holder
        device.last_active = stored.last_active
        if stored.activity:
            device.activity = Idle(stored.since, is_said=stored.activity == _SAID)
        device.set_busy(stored.busy)
        if stored.due is not None:
            self._due[device] = stored.due
        return device

    def drop(self, key: UserKey) -> None:
        """Nothing is known of the user."""
        self._records.pop(key, None)

    def finish(self, times: Times, return_period: float) -> tuple[list[UserKey], float]:
        """Let the table have all of it. Whoever was connected, or in grace, may come back within `return_period`.

        Returns the users who are shown otherwise than when they were stored, and when the last of those ends who do
        not come back. No listener is told: nobody can be listening yet.
        """
        records = sorted(self._records.values(), key=_seq)
        self._records = {}
        for record in records:
            self._shard_of(record.user_id).users[record.user_id] = record
            self._shared.users_by_status[record.public.status] += 1
            self._shared.devices += len(record.devices)
            self._shared.with_devices += bool(record.devices)
            self._shared.attendance.restore(record)
            if record.seq:
                self._shared.note(record)
        ends = self._hold(records, times, return_period)
        changed = []
        for record in records:
            shard, key = self._shard_of(record.user_id), record.user_id
            since = self._unseen.get(key)
            if record.claims and not record.has_come:
                self._shared.unseen.keep(record, times.now if since is None else since + times.moved)
            if shard.restored(record, settled(record.claims, times.utc), times.utc).change is not None:
                changed.append(key)
        return changed, ends

    def _hold(self, records: Iterable[UserRecord], times: Times, return_period: float) -> float:
        """Give each device its time. Returns when the last one ends who has to come back."""
        shared = self._shared
        waiting, ends = 0, times.now
        heard = shared.second_of(min(times.utc, times.was + 1))
        extra = times.moved + min(times.down, return_period)
        for record in records:
            for device in record.devices:
                due = self._due.get(device)
                due = None if due is None else due + extra
                activity = device.activity
                if isinstance(activity, Idle):
                    device.activity = Idle(activity.since + times.moved, activity.is_said)
                else:
                    device.activity = activity + times.moved
                    if device.holder == HELD:
                        device.was_active(heard)  # until then it had answered its pings
                if device.holder == REST and due is not None:
                    shared.deadlines.set(device, due)
                    continue
                end = times.now + return_period + waiting // ENDS_TOGETHER * ENDS_EVERY
                waiting += 1
                device.holder = GRACE if due is None or due <= end else REST
                ends = max(ends, end)
                shared.deadlines.set(device, end if device.holder == GRACE else due or end)
        return ends


def _seq(record: UserRecord) -> int:
    return record.seq
