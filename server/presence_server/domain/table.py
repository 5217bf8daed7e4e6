"""The presence table: all users, in shards, and what can be asked of them.

A shard is a dict of its own, so that growing never rehashes a million users at once. With this table, versions are
given in the order in which Changes are handed out, so a record's seq is its version, until a Change that was held
back is handed out later under a seq of its own (`restamp`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, NamedTuple, TypeVar

from presence_server.domain import claiming
from presence_server.domain.account import Account, History
from presence_server.domain.chronicle import Chronicle
from presence_server.domain.claims import Rules, is_own
from presence_server.domain.deadlines import Deadlines
from presence_server.domain.farewells import Farewells
from presence_server.domain.logins import Logins
from presence_server.domain.model import (
    OFFLINE,
    Device,
    Kept,
    Shown,
    Source,
    Status,
    Truth,
    UserKey,
    UserPresence,
    UserRecord,
)
from presence_server.domain.people import People
from presence_server.domain.platforms import AnyPlatform
from presence_server.domain.shard import Shard
from presence_server.domain.shared import Lifetimes, Shared
from presence_server.domain.stored import Restoring, stored
from presence_server.domain.transitions import NOTHING, AnyTransition, Erase, Transition
from presence_server.domain.versions import Versions

K = TypeVar("K", Device, UserRecord)

_NOBODY = UserRecord(0)


class TableStatistics(NamedTuple):
    """What the table holds. Statuses are the public ones: whoever is invisible counts as offline."""

    users: int
    devices: int
    online: int
    away: int
    busy: int
    offline: int
    remembered: int
    unseen: int
    strangers: int
    deadlines: int
    floor: int
    version: int


class PresenceTable:
    """Routes each transition to its user's shard.

    Args:
        lifetimes: how long things last.
        versions: gives the versions; pass one that starts after the last version given elsewhere.
        shards: how many shards, at least 1.
        max_remembered: users without a device, who were here, of whom last seen and claims are kept.
        max_unseen: users who never came of whom claims are kept; those of more are refused. As many more are remembered
            of whom others were told something, once their claims have ended.
        salt: an odd secret number for the ends of claims, which clients choose; see `Deadlines`.
        rules: what is the operator's to say about claims.
        logins: which devices of a user may be online together.
    """

    on_forget: Callable[[UserKey], None] | None = None
    """Told of each record that is forgotten, by whatever."""

    def __init__(
        self,
        lifetimes: Lifetimes | None = None,
        versions: Versions | None = None,
        shards: int = 64,
        max_remembered: int = 1_000_000,
        max_unseen: int = 100_000,
        salt: int = 1,
        rules: Rules | None = None,
        logins: Logins | None = None,
    ) -> None:
        self._shared = Shared(
            lifetimes or Lifetimes(),
            versions or Versions(),
            max_remembered,
            max_unseen,
            salt,
            rules or Rules(),
            logins or Logins(),
        )
        self._history = History()
        self._shards = [Shard(self._shared, self._forget) for _ in range(shards)]
        self._find = [shard.users.get for shard in self._shards]
        shared = self._shared
        self.people = People(shared.attendance, shared.users_by_status, self.record, lambda: shared.with_devices)

    def _shard(self, user_id: UserKey) -> Shard:
        return self._shards[user_id % len(self._shards)]  # type: ignore[index]

    def _forget(self, record: UserRecord) -> None:
        del self._shard(record.user_id).users[record.user_id]
        self._shared.remembered.discard(record.user_id)
        self._shared.unseen.discard(record.user_id)
        self._shared.strangers.discard(record.user_id)
        self._shared.edges.discard(record)
        self._shared.users_by_status[record.public.status] -= 1
        self._shared.floor = max(self._shared.floor, record.seq)
        if self.on_forget is not None:
            self.on_forget(record.user_id)
        if self._shared.chronicle is not None:
            self._shared.chronicle.forget(record)

    # -- transitions -------------------------------------------------------------------------------------------

    def apply(self, transition: AnyTransition, now: float, utc: float) -> Transition:
        made = self._shard(transition.user_id).apply(transition, now, utc)
        if made.change is not None:
            self._history.note(made.change)
        if type(transition) is Erase:
            self._history.forget(transition.user_id)
            self._shared.farewells.forget(transition.user_id)
        return made

    def touch(self, user_id: UserKey, device_id: str, holder: int, now: float, utc: float, spoke: bool) -> Transition:
        """The link of connection `holder` was heard; see `Shard.touch`."""
        made = self._shard(user_id).touch(user_id, device_id, holder, now, utc, spoke)
        if made.change is not None:
            self._history.note(made.change)
        return made

    def expire(self, now: float, utc: float) -> Iterator[tuple[UserKey, Transition]]:
        """End what is due: each user, and what came of it.

        First the claims whose beginning or end the calendar has reached or passed by `utc`, then what has lasted its
        time by `now`; each in the order in which it fell due.
        """
        self._shared.promises.prune(now)
        self._shared.farewells.prune(now)
        yield from self._fade(now, utc)
        yield from self._expire(self._shared.edges, utc, now, utc)
        yield from self._expire(self._shared.deadlines, now, now, utc)

    def _fade(self, now: float, utc: float) -> Iterator[tuple[UserKey, Transition]]:
        """Forget what was claimed of those who never came, and of those for whom there is no more room."""
        fading, self._shared.fading = self._shared.fading, {}
        for record in self._shared.unseen.pop_due(now):
            if any(not is_own(claim) for claim in record.claims):
                self._shared.unseen.keep(record, now)  # a calendar is told weeks ahead, and has ends of its own
            else:
                fading[record] = None
        for record in fading:
            if self.is_kept(record):
                continue
            made = claiming.fade(self._shard(record.user_id), record, utc)
            if made.change is not None:
                yield record.user_id, made

    def is_kept(self, record: UserRecord) -> bool:
        """Whether there is room for a record that was pushed out once: its user came back, or said something."""
        user_id, shared = record.user_id, self._shared
        is_waiting = any(user_id in room for room in (shared.remembered, shared.unseen, shared.strangers))
        return bool(record.devices) or is_waiting or self.record(user_id) is not record

    def _expire(self, wheel: Deadlines[K], hand: float, now: float, utc: float) -> Iterator[tuple[UserKey, Transition]]:
        due = iter(wheel.pop_due(hand))
        try:
            for key in due:
                if key in wheel:
                    continue  # whoever was told of what fell due before gave it a new deadline
                made = self._shard(key.user_id).expire(key, now, utc)
                if made.change is not None:
                    self._history.note(made.change)
                if made is not NOTHING:
                    yield key.user_id, made
        finally:
            # Whoever was told failed: the rest must still end, with the next sweep.
            for key in due:
                wheel.set(key, hand)

    def restamp(self, user_id: UserKey, utc: float) -> None:
        """The user's last Change is handed to fan-out only now: let its record say so.

        If the record that took it was forgotten since, no cursor from before can be trusted to know of the Change.
        """
        seq = self._shared.versions.take(utc)
        record = self.record(user_id)
        if record is None or not record.version:
            self._shared.floor = seq
        else:
            record.seq = seq
            self._shared.note(record, is_restamped=True)

    # -- questions ---------------------------------------------------------------------------------------------

    def record(self, user_id: UserKey) -> UserRecord | None:
        return self._shard(user_id).users.get(user_id)

    def _records(self, user_ids: Iterable[UserKey]) -> list[UserRecord | None]:
        """As `record`, of many: in a hot loop the calls would cost more than what they do."""
        find, count = self._find, len(self._find)
        return [find[user_id % count](user_id) for user_id in user_ids]  # type: ignore[index]

    def presence(self, user_id: UserKey) -> UserPresence:
        """The public state of `user_id`; of a user never heard of, OFFLINE at version 0."""
        record = self.record(user_id)
        if record is None:
            return UserPresence(user_id, OFFLINE, None, 0, 0)
        return UserPresence(user_id, record.public, record.stamped_active or None, record.version, record.seq)

    def changed_since(self, user_ids: Iterable[UserKey], seq: int) -> list[UserPresence]:
        """Those of `user_ids` whose last Change was handed out after `seq`, in the order in which it was."""
        lately = self._shared.changed_after(seq)
        if lately is not None:
            # Soon after a storm of reconnects began, or on a quiet server: 20 ns a user who did not change.
            user_ids = lately.intersection(user_ids)
        records = self._records(user_ids)  # 150 ns each: they lie far apart
        changed = [record for record in records if record is not None and record.seq > seq]
        changed.sort(key=lambda record: record.seq)
        return [self.presence(record.user_id) for record in changed]

    def chronicle(self, utc: float) -> Chronicle:
        """Everybody in the order in which they changed. It is kept from the first time that it is asked for."""
        shared = self._shared
        if shared.chronicle is None:
            records = [shard.users.values() for shard in self._shards]
            shows = shared.rules.show_idle_since
            shared.chronicle = Chronicle(records, self.seq, self.floor, shared.versions.take, utc, shows)
        return shared.chronicle

    def shown(self, user_id: UserKey, with_devices: bool = True) -> Shown:
        """What anybody may ask of `user_id`: no devices while OFFLINE to all, the last activity live otherwise."""
        record = self.record(user_id)
        presence = self.presence(user_id)
        if record is None or record.public.status is Status.OFFLINE:
            return Shown(presence, presence.last_active, ())
        return Shown(presence, record.shown_active(), record.views() if with_devices else ())

    def stretch(self, factor: float) -> None:
        """From now on a heartbeat keeps its device for `factor` times the usual."""
        self._shared.stretch = factor

    def statuses(self, user_ids: Iterable[UserKey]) -> list[Status]:
        """The public status of each of `user_ids`, in their order: 45 ns each, where `shown` takes a microsecond."""
        find, count = self._find, len(self._find)
        return [find[user_id % count](user_id, _NOBODY).public.status for user_id in user_ids]  # type: ignore[index]

    def truth(self, user_id: UserKey, utc: float) -> Truth:
        """What `user_id` may see of themselves."""
        record = self.record(user_id)
        if record is None:
            return Truth(user_id, OFFLINE, (), (), utc)
        return Truth(user_id, record.public, record.claims, record.views(), utc)

    def account(self, user_id: UserKey, utc: float) -> Account:
        """Why `user_id` is shown as they are: for themselves, and for who may know everything."""
        truth, record = self.truth(user_id, utc), self.record(user_id)
        devices = () if record is None else record.devices
        due = tuple(self._shared.deadlines.of(device) if device.holder <= 0 else None for device in devices)
        last = None if record is None else record.live_active() or None
        return Account(truth, due, last, self._history.of(user_id))

    def kept(self, user_id: UserKey, utc: float) -> Kept:
        """All that is kept of `user_id`."""
        record = self.record(user_id)
        last_active = None if record is None else record.live_active() or None
        return Kept(self.presence(user_id), self.truth(user_id, utc), last_active)

    def next_version(self, utc: float) -> int:
        """A version that is greater than any before, and less than any after."""
        return self._shared.versions.take(utc)

    @property
    def seq(self) -> int:
        """The greatest seq given."""
        return self._shared.versions.last

    @property
    def floor(self) -> int:
        """The greatest seq ever forgotten: a cursor from before it cannot be resumed."""
        return self._shared.floor

    # -- a state that outlives the process --------------------------------------------------------------------------

    def dump(self, key: UserKey, user_id: int | str) -> tuple[Any, ...] | None:
        """The user's record in the shape of a `StoredUser`; None if there is none."""
        record = self.record(key)
        return None if record is None else stored(self._shared, record, user_id)

    def keys_by_shard(self) -> Iterator[list[UserKey]]:
        """The keys of all users, a shard at a time, as of when it is asked for."""
        for shard in self._shards:
            yield list(shard.users)

    def restoring(self, platforms: Mapping[str, AnyPlatform], sources: Mapping[str, Source]) -> Restoring:
        """To put records back before anything else happens."""
        return Restoring(self._shared, self._shard, platforms, sources)

    @property
    def farewells(self) -> Farewells:
        return self._shared.farewells

    @property
    def versions(self) -> Versions:
        return self._shared.versions

    def forgotten_up_to(self, seq: int) -> None:
        """Whatever was told up to `seq` may have been forgotten: raises `floor`."""
        self._shared.floor = max(self._shared.floor, seq)

    def statistics(self) -> TableStatistics:
        by_status = self._shared.users_by_status
        return TableStatistics(
            users=sum(by_status.values()),
            devices=self._shared.devices,
            online=by_status[Status.ONLINE],
            away=by_status[Status.AWAY],
            busy=by_status[Status.BUSY],
            offline=by_status[Status.OFFLINE],
            remembered=len(self._shared.remembered),
            unseen=len(self._shared.unseen),
            strangers=len(self._shared.strangers),
            deadlines=len(self._shared.deadlines) + len(self._shared.edges),
            floor=self._shared.floor,
            version=self._shared.versions.last,
        )

    def __repr__(self) -> str:
        statistics = self.statistics()
        return f"<PresenceTable of {statistics.users} users with {statistics.devices} devices>"


class TableOfStrings(PresenceTable):
    """A table whose keys are strings, for which there is no remainder. Their hash is salted, and so is the choice."""

    def _shard(self, user_id: UserKey) -> Shard:
        return self._shards[hash(user_id) % len(self._shards)]

    def _records(self, user_ids: Iterable[UserKey]) -> list[UserRecord | None]:
        find, count = self._find, len(self._find)
        return [find[hash(user_id) % count](user_id) for user_id in user_ids]

    def statuses(self, user_ids: Iterable[UserKey]) -> list[Status]:
        find, count = self._find, len(self._find)
        return [find[hash(user_id) % count](user_id, _NOBODY).public.status for user_id in user_ids]
