"""The records of the users of one shard, and how whatever happens to one of them ends.

Each transition ends in `conclude`, the one place where a public state is compared with what it was, a version is
taken, and a record without devices is remembered or forgotten. While a user is invisible the aggregate stays
OFFLINE, so nothing that happens underneath makes a Change: that needs no case of its own.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from presence_server.domain.aggregate import aggregate
from presence_server.domain.causes import Cause
from presence_server.domain.claims import Claims, has_edge, next_edge, settled
from presence_server.domain.model import OFFLINE, Change, Device, PublicState, Status, UserKey, UserRecord
from presence_server.domain.reasons import cause_for_all, cause_of_edge
from presence_server.domain.shared import Shared
from presence_server.domain.transitions import Evicted, Transition

_OFFLINE: Final = Status.OFFLINE  # an enum's member costs 50 ns to look up


class Records:
    """`forget` drops a record from the shard, and from all that is shared."""

    def __init__(self, shared: Shared, forget: Callable[[UserRecord], None]) -> None:
        self.users: dict[UserKey, UserRecord] = {}
        self.shared = shared
        self._forget = forget

    def ensure(self, user_id: UserKey) -> UserRecord:
        """The record of `user_id`, which is made if there is none."""
        record = self.users.get(user_id)
        if record is None:
            record = self.users[user_id] = UserRecord(user_id)
            self.shared.users_by_status[_OFFLINE] += 1
        return record

    def held(self, user_id: UserKey, device_id: str, holder: int) -> tuple[UserRecord, Device] | None:
        """Record and device, if `holder` still holds it: an ended connection must not touch its successor."""
        record = self.users.get(user_id)
        device = None if record is None else record.find(device_id)
        if record is None or device is None or device.holder != holder:
            return None
        return record, device

    def hold(self, record: UserRecord, claims: Claims, utc: float) -> None:
        """From now on `claims` are made of the user; when the next of them begins or ends is noted."""
        record.claims = claims
        edge = next_edge(claims, utc) if claims else None
        if edge is None:
            self.shared.edges.discard(record)
        else:
            # Too early is put right when it falls due (`claiming.reach_edge`): so it costs less to say something again
            # and again.
            self.shared.edges.set_earlier(record, edge)

    def conclude(
        self,
        record: UserRecord,
        utc: float,
        cause: Cause,
        device: Device | None = None,
        continued: bool = False,
        evicted: tuple[Evicted, ...] = (),
        truth_changed: bool = False,
    ) -> Transition:
        """Something has happened to the user: see what they show now, and what is to be told of it.

        Args:
            cause: what has happened.
            device: the device to which it has happened.
            continued: whether that was there before.
            evicted: devices that connections held, and that ended by it.
            truth_changed: whether the users themselves see something else of themselves.
        """
        by = device
        if record.claims and has_edge(record.claims, utc):
            if not truth_changed:  # nothing else has happened
                cause, by = cause_of_edge(record.claims, utc), None
            # What others are about to see begun or ended stays so, should the clock be set back.
            self.hold(record, settled(record.claims, utc), utc)
            truth_changed = True
        before, after = record.public, aggregate(record.claims, record.devices, utc, self.shared.rules.show_idle_since)
        change = self.change(record, after, utc, cause, by) if after != before else None
        if self.shared.chronicle is not None:
            self.shared.chronicle.concluded(record, change, utc, cause, by)
        if not record.devices:
            self._remember(record)
        return Transition(change, device, continued, evicted, truth_changed, False, None, cause)

    def change(
        self, record: UserRecord, after: PublicState, utc: float, cause: Cause, by: Device | None = None
    ) -> Change:
        """The public state is `after` from now on, at its next version."""
        before = record.public
        # The seq of a Change that is handed to fan-out at once is its version.
        record.version = record.seq = self.shared.versions.take(utc)
        if not before.status is after.status is _OFFLINE:  # another text tells of nobody's devices
            record.stamped_active = record.live_active()
        record.public = after
        record.cause, record.by = cause, by
        if before.status is not after.status and (after.status is _OFFLINE or before.status is _OFFLINE):
            is_coming = before.status is _OFFLINE
            record.cause, record.by = cause_for_all(is_coming, cause, by, record.devices)
        self.shared.note(record)
        self.shared.users_by_status[before.status] -= 1
        self.shared.users_by_status[after.status] += 1
        if before.platforms is not after.platforms or before.status is _OFFLINE or after.status is _OFFLINE:
            self.shared.attendance.changed(record, before, after)
        return Change(record.user_id, before, after, record.version, cause, by)

    def _remember(self, record: UserRecord) -> None:
        """The user has no device: each kind of those has a room of its own, where it pushes out its like only."""
        if record.has_come:
            oldest = self.shared.remembered.add(record)
        elif record.claims:
            return  # among the unseen
        else:
            self.shared.unseen.discard(record.user_id)
            if record.version == 0:
                self._forget(record)  # nothing was ever told of this user
                return
            oldest = self.shared.strangers.add(record)
        if oldest is not None:
            self._push_out(oldest)

    def _push_out(self, record: UserRecord) -> None:
        if record.public == OFFLINE:
            self._forget(record)
        else:
            self.shared.fading[record] = None

    def erased(self, record: UserRecord, utc: float) -> Change | None:
        """Nothing is known of the user any more. Whoever was told anything of them is told that they are OFFLINE."""
        record.claims = ()
        record.cause = Cause.ERASED
        change = self.change(record, OFFLINE, utc, Cause.ERASED) if record.version else None
        if self.shared.chronicle is not None:
            self.shared.chronicle.concluded(record, change, utc, Cause.ERASED, None)
        self._forget(record)
        return change

    def restored(self, record: UserRecord, claims: Claims, utc: float) -> Transition:
        """The record was put back after a restart: see what it shows by the settings and the calendar of now."""
        self.hold(record, claims, utc)
        return self.conclude(record, utc, Cause.RESTORED)
