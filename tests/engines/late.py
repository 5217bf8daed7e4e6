"""An Engine that behaves as one on a network store does: it answers late, out of order, and sometimes not at all.

Two halves that talk over a `Line`. The `Store` has the only table. The node side keeps a replica: the public state of
followed users, and the truth of users whose connections it holds. Messages of one user keep their order in each
direction, those of different users do not. Versions are the store's; seqs are given by the node as Changes arrive.

**Away.** `cut` breaks the line. Whoever asks is answered None or False after a while; only the ends of connections
are kept until they can be handed over, for nobody would submit them again. If that lasts longer than `lease` seconds
the store lets go of the node's connections, and time passes there without it. `mend` announces the connections that
the node still holds, hands over what waited, and reads anew whatever the node knows, telling the listener what
changed meanwhile.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import partial
from random import Random
from typing import Final, NamedTuple

from engines.line import Line, Request
from engines.store import Announced, Fetched, Store
from engines.timeline import Timeline
from presence_server.application.ports import Clock, Done, Listener, TruthChanged
from presence_server.domain.causes import Cause
from presence_server.domain.model import Change, Kept, Shown, Status, Truth, UserPresence
from presence_server.domain.numbers import Numbers
from presence_server.domain.table import PresenceTable
from presence_server.domain.transitions import AnyTransition, Connect, Disconnect, Leave

STORE_SWEEP = 0.5
"""Seconds between two sweeps of other nodes, once the store has let go of this one."""


NEVER: Final = float("-inf")

NODE = 3
"""The number that the store gave this node."""


class LateStatistics(NamedTuple):
    known: int
    hosted: int
    unanswered: int
    seq: int
    floor: int


class _Known:
    """A user who is followed. `presence` is None until the store has answered.

    `floor` is the store's as of that answer: of a user who was forgotten by then, no lower version is news. A look-up,
    which keeps no order, may still bring one. `version` is the store's; that of `presence` is greater where a greater
    one was given out here before (see `next_version`).
    """

    __slots__ = ("floor", "follows", "presence", "version", "waiters")

    def __init__(self) -> None:
        self.floor = 0
        self.follows = 0
        self.presence: UserPresence | None = None
        self.version = 0
        self.waiters: list[Callable[[int], None]] = []


class _Hosted:
    """A connection of this node. It is confirmed once its Connect was answered well."""

    __slots__ = ("connect", "has_lapsed", "is_confirmed")

    def __init__(self, connect: Connect) -> None:
        self.connect = connect
        self.is_confirmed = False
        self.has_lapsed = False  # the store let go of it, and does not know yet that it is still held


class LateEngine:
    """An `application.ports.Engine` on a store behind a line. Delays and times are in seconds, `delay` is a mean."""

    gaps: Sequence[tuple[int, int]] = ()
    answers_at_once = False

    def __init__(
        self,
        table: PresenceTable,
        epoch: int,
        clock: Clock,
        timeline: Timeline,
        random: Random,
        delay: float = 0.03,
        patience: float = 2.0,
        lease: float = 4.0,
    ) -> None:
        self.epoch = epoch
        self.seq = 0
        self.floor = 0
        self.store = Store(table, clock, self._pushed)
        self.line = Line(timeline, random, delay, patience)
        self._clock = clock
        self._timeline = timeline
        self._random = random
        self._lease = lease
        self._listener: Listener = _nobody
        self._outages = 0
        self._sweep_under_way = False
        self._is_draining = False
        self._numbers = Numbers(NODE)
        self._known: dict[int, _Known] = {}
        self._hosted: dict[int, dict[int, _Hosted]] = {}
        self._truths: dict[int, Truth] = {}
        self.pushed_at = NEVER
        """When the store last told of something that happened by itself. It arrives here later."""
        self._touches: dict[tuple[int, str, int], tuple[float, bool]] = {}
        self._given = 0  # the last version that was drawn here
        self._store_floor = 0  # whoever was forgotten at a version up to this cannot be held as there by anybody

    @property
    def is_reachable(self) -> bool:
        return not self.line.is_broken

    async def start(self) -> None:
        """The line is there."""

    async def stop(self) -> None:
        """The line stays."""

    def drain(self, now: float) -> None:
        self._is_draining = True

    def next_number(self) -> int:
        return self._numbers.next()

    def session_id(self, number: int) -> str:
        return f"{number:x}"

    def stretch(self, factor: float) -> None:
        self.line.send(Request(None, partial(self.store.table.stretch, factor), _ignore))

    def statuses(self, user_ids: Sequence[int], now: float, done: Callable[[list[Status] | None], None]) -> None:
        def answered(found: list[Status] | None) -> None:
            done(None if found is None else list(map(self._status_of, user_ids, found)))

        self.line.send(Request(None, partial(self.store.table.statuses, user_ids), answered))

    def _status_of(self, user_id: int, found: Status) -> Status:
        """Of a followed user no look-up says less, or more, than the listener was told."""
        known = self._known.get(user_id)
        return found if known is None or known.presence is None else known.presence.public.status

    def attach(self, listener: Listener) -> None:
        self._listener = listener

    # -- transitions ---------------------------------------------------------------------------------------------------

    def submit(self, transition: AnyTransition, now: float, done: Done) -> None:
        user_id = transition.user_id
        is_end = isinstance(transition, Disconnect | Leave)
        if isinstance(transition, Connect):
            self._hosted.setdefault(user_id, {})[transition.holder] = _Hosted(transition)
        elif isinstance(transition, Disconnect | Leave):
            self._release(user_id, transition.holder)
        self._send_touches(user_id)
        apply = partial(self.store.apply, transition)
        self.line.send(Request(user_id, apply, partial(self._made, transition, done), is_end))

    def _made(self, transition: AnyTransition, done: Done, fetched: Fetched | None) -> None:
        if fetched is None:
            done(None)
            return
        if isinstance(transition, Connect):
            hosted = self._hosted.get(transition.user_id, {}).get(transition.holder)
            if hosted is not None:
                hosted.is_confirmed = True
        self._take_in(fetched)
        done(fetched.made)

    def _release(self, user_id: int, holder: int) -> None:
        hosted = self._hosted.get(user_id, {})
        hosted.pop(holder, None)
        if not hosted:
            self._hosted.pop(user_id, None)
            self._truths.pop(user_id, None)

    def touch(self, user_id: int, device_id: str, holder: int, now: float, spoke: bool) -> None:
        key = (user_id, device_id, holder)
        self._touches[key] = (now, spoke or self._touches.get(key, (now, False))[1])

    def _send_touches(self, user_id: int | None = None) -> None:
        """Of one user, whose transition must not overtake them, or of all."""
        if self.line.is_broken:
            return
        for key in [key for key in self._touches if user_id in (None, key[0])] if self._touches else ():
            touch = partial(self.store.touch, key, *self._touches.pop(key))
            self.line.send(Request(key[0], touch, _ignore))

    def sweep(self, now: float) -> None:
        """Time passes at the store only after all that was submitted before has arrived there."""
        if not (self.line.is_broken or self._sweep_under_way or self._is_draining):
            self._send_touches()
            self._sweep_under_way = True
            self.line.send_last(partial(self._swept, now))

    def _swept(self, now: float) -> None:
        self._sweep_under_way = False
        self.store.expire(now)

    # -- following -----------------------------------------------------------------------------------------------------

    def follow(self, user_ids: Sequence[int], now: float, done: Callable[[bool], None]) -> None:
        missing: dict[int, None] = {}
        for user_id in user_ids:
            known = self._known.setdefault(user_id, _Known())
            known.follows += 1
            if known.presence is None:
                missing[user_id] = None
        if missing:
            _Follow(missing, done).begin(self._fetch, self._known)
        elif self._random.random() < 0.5:
            done(True)
        else:
            self._timeline.call_later(self._random.random() / 50, done, True)

    def _fetch(self, user_id: int, failed: Callable[[], None]) -> None:
        asked_for = self._known.get(user_id)

        def answered(fetched: Fetched | None) -> None:
            if fetched is None:
                failed()
            elif self._known.get(user_id) is asked_for:  # else it is older than the follow that would believe it
                self._fetched(fetched)
            else:
                self._fetched_truth(fetched)

        self.line.send(Request(user_id, partial(self.store.fetch, user_id), answered))

    def _fetched(self, fetched: Fetched) -> None:
        """A user is known from now on, or known anew."""
        user_id = fetched.user_id
        known = self._known.get(user_id)
        if known is not None and known.presence is None:
            # Nobody here saw what happened to this user before: no cursor that was given out speaks for that.
            self.seq += 1
            known.version = fetched.presence.version
            known.presence = self._numbered(fetched.presence, self.seq if known.version else 0)
            known.floor = 0 if fetched.presence.version else fetched.floor
            if not fetched.presence.version and fetched.floor > self._store_floor:
                # Forgotten, perhaps: whoever holds this user from before could not be told so by version.
                self._store_floor = fetched.floor
                self.floor = self.seq
            waiters, known.waiters = known.waiters, []
            for waiter in waiters:
                waiter(user_id)
        else:
            self._take_in(fetched)
            self._fetched_truth(fetched)

    def _fetched_truth(self, fetched: Fetched) -> None:
        if fetched.user_id in self._hosted:
            self._truths[fetched.user_id] = fetched.truth
            self._listener(TruthChanged(fetched.user_id), self._clock.now())

    def unfollow(self, user_ids: Iterable[int]) -> None:
        for user_id in user_ids:
            known = self._known[user_id]
            known.follows -= 1
            if not known.follows:
                del self._known[user_id]
                if known.presence is not None and known.version:
                    self._dropped(known.presence._replace(version=known.version))

    def _dropped(self, presence: UserPresence) -> None:
        """Nobody follows this user any more. Cursors that were given out may speak of them all the same.

        Their end may be forgotten under a floor that another user's answer has brought already; or it was told, after
        that, and somebody holds a cursor from before it was.
        """
        if presence.public.status is not Status.OFFLINE:
            self._store_floor = min(self._store_floor, presence.version)
        elif presence.seq > self.floor:
            self._store_floor = min(self._store_floor, presence.version - 1)

    def presence(self, user_id: int) -> UserPresence:
        known = self._known.get(user_id)
        assert known is not None, f"{user_id} is not followed"
        assert known.presence is not None, f"{user_id} is not known yet"
        return known.presence

    def changed_since(self, user_ids: Iterable[int], seq: int) -> list[UserPresence]:
        found = [presence for presence in map(self.presence, user_ids) if presence.seq > seq]
        found.sort(key=lambda presence: presence.seq)
        return found

    def truth(self, user_id: int) -> Truth:
        return self._truths[user_id]

    def restamp(self, user_id: int, now: float) -> None:
        known = self._known.get(user_id)
        if known is not None and known.presence is not None:
            self.seq += 1
            known.presence = known.presence._replace(seq=self.seq)

    def reveal(self, user_id: int, now: float, done: Callable[[Truth | None], None]) -> None:
        self.line.send(Request(None, lambda: self.store.fetch(user_id).truth, done))

    def export(self, user_id: int, now: float, done: Callable[[Kept | None], None]) -> None:
        self.line.send(Request(user_id, partial(self.store.kept, user_id), done))

    def next_version(self) -> int:
        self.seq += 1
        self._given = self.store.table.next_version(self._clock.utc())
        return self._given

    def _numbered(self, presence: UserPresence, seq: int) -> UserPresence:
        """As it is told here: what was on its way comes after the versions that were given out meanwhile."""
        version = presence.version
        if 0 < version <= self._given:
            version = self._given = self.store.table.next_version(self._clock.utc())
        return presence._replace(seq=seq, version=version)

    def lookup(
        self,
        user_ids: Sequence[int],
        now: float,
        done: Callable[[list[Shown] | None], None],
        with_devices: bool = False,
    ) -> None:
        def answered(found: list[Shown] | None) -> None:
            done(None if found is None else [self._reconciled(shown) for shown in found])

        # Without an order: a look-up may overtake what the store told before, and be overtaken.
        self.line.send(
            Request(None, lambda: [self.store.table.shown(user_id, with_devices) for user_id in user_ids], answered)
        )

    def _reconciled(self, shown: Shown) -> Shown:
        """Of a followed user no look-up says less, or more, than the listener was told."""
        presence = shown.presence
        known = self._known.get(presence.user_id)
        if known is None or known.presence is None:
            return shown
        self._learn(presence)
        if known.version == presence.version:
            return shown._replace(presence=known.presence)
        is_offline = Status.OFFLINE in (known.presence.public.status, presence.public.status)
        return Shown(known.presence, known.presence.last_active, () if is_offline else shown.devices)

    # -- what the store tells ------------------------------------------------------------------------------------------

    def _pushed(self, fetched: Fetched) -> None:
        """Something happened that this node did not submit."""
        self.pushed_at = self._timeline.time
        self.line.deliver(fetched.user_id, partial(self._take_in, fetched))

    def _take_in(self, fetched: Fetched) -> None:
        """Tell the listener what is new: the Change, then who was evicted, then that the truth changed."""
        now = self._clock.now()
        presence = fetched.presence
        if fetched.made.change is not None and not presence.version:
            # Erased, or forgotten at once: the replica must not keep what the store does not.
            presence = presence._replace(version=fetched.made.change.version)
        self._learn(presence, fetched.floor)
        if fetched.user_id in self._hosted:
            self._truths[fetched.user_id] = fetched.truth
        for evicted in fetched.made.evicted:
            self._listener(evicted, now)
        if fetched.made.truth_changed and fetched.user_id in self._hosted:
            self._listener(TruthChanged(fetched.user_id), now)

    def _learn(self, presence: UserPresence, floor: int = 0) -> None:
        known = self._known.get(presence.user_id)
        if known is None or known.presence is None:
            return
        held = known.presence
        if not presence.version and held.public.status is not Status.OFFLINE and floor > known.version:
            # Forgotten while nobody told us. Versions only grow, and those of the forgotten end at the floor.
            presence = presence._replace(version=floor, last_active=held.last_active)
        if presence.version > max(known.version, known.floor):
            self.seq += 1
            known.version = presence.version
            known.presence = self._numbered(presence, self.seq)
            change = Change(presence.user_id, held.public, presence.public, known.presence.version, Cause.RESTORED)
            self._listener(change, self._clock.now())

    # -- away ----------------------------------------------------------------------------------------------------------

    @property
    def is_away(self) -> bool:
        return self.line.is_broken

    def cut(self) -> None:
        """The store cannot be reached any more."""
        if not self.is_away:
            self.line.cut()
            self._outages += 1
            self._sweep_under_way = False
            self._timeline.call_later(self._lease, self._lapse, self._outages)

    def _lapse(self, outage: int) -> None:
        if self.is_away and outage == self._outages:
            for hosted in self._confirmed():
                if not hosted.has_lapsed:
                    hosted.has_lapsed = True
                    self.store.let_go(hosted.connect)
            self.store.expire(self._clock.now())
            self._timeline.call_later(STORE_SWEEP, self._lapse, outage)

    def _confirmed(self) -> list[_Hosted]:
        return [hosted for held in self._hosted.values() for hosted in held.values() if hosted.is_confirmed]

    def mend(self) -> None:
        """The store can be reached again."""
        if self.is_away:
            self.line.mend(self._announce)
            for user_id in dict.fromkeys([*self._known, *self._hosted]):
                self._fetch(user_id, _pass)

    def _announce(self) -> None:
        for user_id, held in self._hosted.items():
            confirmed = [hosted for hosted in held.values() if hosted.is_confirmed]
            truth = self._truths.get(user_id)
            devices = () if truth is None else truth.devices
            idle_since = {device.device_id: device.idle and device.idle.since for device in devices}
            busy = {device.device_id for device in devices if device.busy}
            all_of_them = [
                Announced(connect, idle_since.get(connect.device_id), connect.device_id in busy, hosted.has_lapsed)
                for hosted in confirmed
                for connect in [hosted.connect]
            ]
            announce = partial(self.store.announce, user_id, all_of_them)
            self.line.send(Request(user_id, announce, partial(self._announced, confirmed)))

    def _announced(self, confirmed: list[_Hosted], fetched: Fetched | None) -> None:
        if fetched is not None:
            for hosted in confirmed:
                hosted.has_lapsed = False
            self._take_in(fetched)

    def statistics(self) -> LateStatistics:
        return LateStatistics(len(self._known), len(self._hosted), len(self.line), self.seq, self.floor)

    def __repr__(self) -> str:
        return f"<LateEngine {'away' if self.is_away else 'on'} {self.store.table!r}>"


class _Follow:
    """One call of `follow` that has to wait for some of its users."""

    def __init__(self, missing: dict[int, None], done: Callable[[bool], None]) -> None:
        self._missing = missing
        self._done = done
        self._is_over = False

    def begin(self, fetch: Callable[[int, Callable[[], None]], None], known: dict[int, _Known]) -> None:
        for user_id in list(self._missing):
            known[user_id].waiters.append(self._found)
            fetch(user_id, self._failed)

    def _found(self, user_id: int) -> None:
        del self._missing[user_id]
        if not self._missing:
            self._end(True)

    def _failed(self) -> None:
        self._end(False)

    def _end(self, well: bool) -> None:
        if not self._is_over:
            self._is_over = True
            self._done(well)


def _nobody(_event: object, _now: float) -> None:
    """Before anybody is attached, nothing happens."""


def _ignore(_answer: object) -> None:
    """Nobody waits for it."""


def _pass() -> None:
    """What could not be read anew now is read when the line is mended next."""
