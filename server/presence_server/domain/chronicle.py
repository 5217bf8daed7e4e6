"""Everybody in the order in which they changed, and why: what back ends are told, from any seq on.

There is none until somebody asks. It is then made of the records, in slices, and kept from then on; until then a Change
costs one look. Two kinds of readers are told from it:

- Most see what watchers see. What happens beneath the invisibility of a user is nothing to them.
- Some see the *truth*: what a user would be without having said OFFLINE. What changes there and is no Change takes a
  seq of its own, as the version of that truth. The record knows nothing of it, or watchers would be told.

**Transitions.** While a window is open, the last of them are kept one by one, for those who want every one.

**What is forgotten.** `floor` is the greatest seq of anybody who is not known any more: whoever was told less may hold
them for present. Who is erased is told so: of the last few it is remembered that they were.
"""

from __future__ import annotations

from array import array
from bisect import bisect_right
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from heapq import merge
from itertools import islice
from operator import attrgetter, itemgetter
from typing import Final, NamedTuple

from presence_server.domain.aggregate import aggregate
from presence_server.domain.causes import Cause
from presence_server.domain.claims import Claims, is_own, own_status
from presence_server.domain.model import OFFLINE, Change, Device, PublicState, Status, UserKey, UserRecord
from presence_server.domain.order import Order

SLICE: Final = 2_000
"""Records that are put in order in one slice: a millisecond or two."""

ERASED: Final = 1_000
"""Users of whom it is remembered that they were erased."""


_OFFLINE: Final = Status.OFFLINE  # an enum's member costs 50 ns to look up


class Told(NamedTuple):
    """What a user is from `seq` on. `is_hidden`: to everybody else they are OFFLINE by their own word."""

    seq: int
    user_id: UserKey
    public: PublicState
    version: int
    cause: Cause
    by: Device | None
    is_hidden: bool = False


class Page(NamedTuple):
    """`told` in the order of their seqs, and up to which seq there is nothing else."""

    told: list[Told]
    reached: int


class _Beneath:
    """The truth of a user who is invisible. `seq` is its version; 0: it is no secret any more."""

    __slots__ = ("by", "cause", "record", "seq", "state")

    def __init__(self, record: UserRecord) -> None:
        self.record = record
        self.state: PublicState = OFFLINE
        self.seq = 0
        self.cause = Cause.STATUS_SET
        self.by: Device | None = None


class _Window:
    """The last `size` transitions, and the seq from which on all of them are there."""

    def __init__(self, size: int, floor: int) -> None:
        self.floor = floor
        self._size = size
        self._seqs = array("Q")
        self._kept: list[tuple[Told, bool, bool]] = []

    def add(self, told: Told, to_most: bool, to_truth: bool) -> None:
        self._seqs.append(told.seq)
        self._kept.append((told, to_most, to_truth))
        too_many = len(self._kept) - self._size
        if too_many > 0:
            self.floor = self._seqs[too_many - 1]
        if too_many > self._size // 8:
            del self._seqs[:too_many], self._kept[:too_many]

    def after(self, seq: int, most: int, look_at: int, end: int, sees_truth: bool) -> Page:
        """As `Chronicle.after`."""
        told: list[Told] = []
        start = bisect_right(self._seqs, seq)
        for one, to_most, to_truth in self._kept[start : start + look_at]:
            if to_truth if sees_truth else to_most:
                told.append(one)
                if len(told) == most:
                    return Page(told, one.seq)
        return Page(told, end if start + look_at >= len(self._kept) else self._seqs[start + look_at - 1])


class Chronicle:
    """
    Args:
        shards: all records there are, a shard at a time.
        seq: the last one given. floor: the greatest seq that was ever forgotten.
        take_seq: gives the next one, at a time in seconds since 1970.
        show_idle_since: as for `aggregate`.
    """

    def __init__(
        self,
        shards: Iterable[Iterable[UserRecord]],
        seq: int,
        floor: int,
        take_seq: Callable[[float], int],
        utc: float,
        show_idle_since: bool,
    ) -> None:
        self.floor = floor
        self.truth_floor = floor
        self.on_note: Callable[[], None] | None = None
        """Called when somebody has a new seq."""
        self.window: _Window | None = None
        self._take_seq = take_seq
        self._show_idle_since = show_idle_since
        self._order: Order[UserRecord] = Order()
        self._truth_order: Order[_Beneath] = Order()
        self._beneath: dict[UserKey, _Beneath] = {}
        self._why: dict[UserKey, tuple[int, Cause, Device | None]] = {}
        """Of whom others are told another cause than the true one: the version, and that."""
        self._erased: deque[UserRecord] = deque()
        self._building: Iterator[None] | None = self._build(list(shards), seq, utc)

    # -- made of the records -----------------------------------------------------------------------------------------

    def build(self) -> bool:
        """Do one slice of making it, if it is not made yet. Returns whether it is."""
        if self._building is not None and next(self._building, self) is self:
            self._building = None
        return self._building is None

    def _build(self, shards: list[Iterable[UserRecord]], before: int, utc: float) -> Iterator[None]:
        """Those who changed until now, in their order. Who changes meanwhile is put in order as they do."""
        runs = []
        for shard in shards:
            run = [record for record in list(shard) if 0 < record.seq <= before]
            run.sort(key=attrgetter("seq"))
            runs.append(zip(array("Q", (record.seq for record in run)), run, strict=True))
            for record in [record for record in shard if record.claims]:
                self._look_beneath(record, False, utc, Cause.STATUS_SET, None)
            yield
        in_order = merge(*runs, key=itemgetter(0))
        made: Order[UserRecord] = Order()
        while piece := list(islice(in_order, SLICE)):
            for seq, record in piece:
                if record.seq == seq:
                    made.append(seq, record)
            yield
        made.extend(self._order)
        self._order = made

    # -- what happens ------------------------------------------------------------------------------------------------

    def note(self, record: UserRecord) -> None:
        """The record has a new seq."""
        self._order.append(record.seq, record)
        if self.on_note is not None:
            self.on_note()

    def concluded(self, record: UserRecord, change: Change | None, utc: float, cause: Cause, by: Device | None) -> None:
        """A transition has come to its end: `change` is what it made of the public state."""
        is_hidden = False
        # Who is invisible is OFFLINE to all, by a claim; whoever was before is looked at as well.
        if record.user_id in self._beneath or (record.claims and record.public.status is _OFFLINE):
            is_hidden = self._look_beneath(record, change is not None, utc, cause, by)
        if change is not None and record.cause is not cause:
            self._why[record.user_id] = record.version, cause, by
        if change is not None and self.window is not None:
            self._keep(self.window, record, is_hidden)

    def restamped(self, record: UserRecord) -> None:
        """The record has a new seq for what was told before: whoever walks comes upon it there."""
        self.note(record)
        if self.window is not None:
            self._keep(self.window, record, record.user_id in self._beneath)

    def _keep(self, window: _Window, record: UserRecord, is_hidden: bool) -> None:
        is_other = is_hidden or record.user_id in self._why
        window.add(_told(record.seq, record), to_most=True, to_truth=not is_other)
        if is_other:
            window.add(self._truth_of(record, record.seq), to_most=False, to_truth=True)

    def _look_beneath(self, record: UserRecord, is_told: bool, utc: float, cause: Cause, by: Device | None) -> bool:
        """See whether the user is invisible, and what they are then. `is_told`: the record has a new seq for it."""
        user_id = record.user_id
        held = self._beneath.get(user_id)
        own = own_status(record.claims, utc) if record.claims else None
        if own is None or own.status is not Status.OFFLINE:
            if held is not None:
                held.seq = 0
                del self._beneath[user_id]
                if not is_told and held.state != record.public:
                    self._note_truth(_Beneath(record), utc, record.public, cause, by)
            return False
        state = aggregate(_unmasked(record.claims), record.devices, utc, self._show_idle_since)
        if held is None:
            held = self._beneath[user_id] = _Beneath(record)
            is_new = state != record.public
        else:
            is_new = state != held.state
        held.state = state
        if is_told:
            held.cause, held.by = cause, by
        elif is_new:
            self._note_truth(held, utc, state, cause, by)
        return True

    def _note_truth(self, held: _Beneath, utc: float, state: PublicState, cause: Cause, by: Device | None) -> None:
        held.state, held.cause, held.by = state, cause, by
        held.seq = self._take_seq(utc)
        self._truth_order.append(held.seq, held)
        if self.window is not None:
            self.window.add(self._truth_at(held), to_most=False, to_truth=True)
        if self.on_note is not None:
            self.on_note()

    def forget(self, record: UserRecord) -> None:
        """Nothing more is known of the user."""
        self._why.pop(record.user_id, None)
        held = self._beneath.pop(record.user_id, None)
        if held is not None:
            self.truth_floor = max(self.truth_floor, held.seq)
            held.seq = 0
        if record.cause is Cause.ERASED:
            self._erased.append(record)
            if len(self._erased) <= ERASED:
                return
            record = self._erased.popleft()
        self.floor = max(self.floor, record.seq)
        self.truth_floor = max(self.truth_floor, record.seq)
        record.seq = 0

    # -- what is told ------------------------------------------------------------------------------------------------

    @property
    def seq(self) -> int:
        """The greatest that anything here has."""
        return max(self._order.last, self._truth_order.last)

    def has_after(self, seq: int, sees_truth: bool) -> bool:
        return self._order.last > seq or (sees_truth and self._truth_order.last > seq)

    def after(self, seq: int, most: int, look_at: int, sees_truth: bool) -> Page:
        """The last state of the first `most` users who changed after `seq`, or of the first of `look_at` changes."""
        end = max(self.seq, seq)
        things, reached = self._order.after(seq, most, look_at, end)
        if not sees_truth:
            return Page([_told(at, record) for at, record in things], reached)
        beneath, reached_beneath = self._truth_order.after(seq, most, look_at, end)
        reached = min(reached, reached_beneath)
        told = [
            self._truth_of(record, at)
            for at, record in things
            if at <= reached and not ((held := self._beneath.get(record.user_id)) and held.seq > at)
        ]
        # Of whom the record says more by now, that is told at its own seq.
        told += [self._truth_at(held) for at, held in beneath if at <= reached and held.record.seq < at]
        told.sort(key=itemgetter(0))
        if len(told) > most:
            del told[most:]
            reached = told[-1].seq
        return Page(told, reached)

    def transitions_after(self, seq: int, most: int, look_at: int, sees_truth: bool) -> Page:
        """Each transition after `seq`, which is not below the window's floor."""
        assert self.window is not None
        return self.window.after(seq, most, look_at, max(self.seq, seq), sees_truth)

    def open_window(self, size: int, seq: int) -> None:
        """Keep the last `size` transitions from now on; `seq` is the last one given."""
        if self.window is None:
            self.window = _Window(size, seq)

    def _truth_of(self, record: UserRecord, seq: int) -> Told:
        """The truth of a user whose record has that seq."""
        held = self._beneath.get(record.user_id)
        if held is None:
            told = _told(seq, record)
            why = self._why.get(record.user_id)
            if why is not None and why[0] == record.version:
                told = told._replace(cause=why[1], by=why[2])
            elif why is not None:
                del self._why[record.user_id]
            return told
        version = max(held.seq, record.version)
        return Told(seq, record.user_id, held.state, version, held.cause, held.by, is_hidden=True)

    def _truth_at(self, held: _Beneath) -> Told:
        is_hidden = self._beneath.get(held.record.user_id) is held
        return Told(held.seq, held.record.user_id, held.state, held.seq, held.cause, held.by, is_hidden)


def _told(seq: int, record: UserRecord) -> Told:
    parts = seq, record.user_id, record.public, record.version, record.cause, record.by, False
    return tuple.__new__(Told, parts)  # half of what naming them costs


def _unmasked(claims: Claims) -> Claims:
    """Without what the person says of their own status."""
    left = (claim._replace(status=None) if is_own(claim) else claim for claim in claims)
    return tuple(claim for claim in left if claim.status is not None or claim.has_text)
