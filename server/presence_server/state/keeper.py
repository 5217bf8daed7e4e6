"""What is to be written when: marks in, bytes out, in slices. Without I/O, and time is passed in.

A mark says that an entry is another than the files have it. A step writes what is marked as it is at that moment, so an
entry that changes ten times between two steps is written once. See "Restarts" in the design document.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import Any, Final, Protocol

from presence_server.application.ports import Clock
from presence_server.domain.model import UserKey
from presence_server.domain.versions import COUNTER_BITS, EPOCH_2020, LAST_MS, Versions
from presence_server.state.form import JOURNAL, SNAPSHOT, Entries, Gap, Mark, Origin, encode
from presence_server.state.frames import FIRST_LINE, frame
from presence_server.state.sections import Section
from presence_server.state.snapshots import PIECE, Users, frames_of

PAUSE: Final = 0.005
"""Seconds between two steps of a busy server: what changes meanwhile goes with the next."""

AT_ONCE: Final = 500.0
"""Steps a second that need no pause, in the long run: half a percent of a core. A server with more of them is busy."""

BURST: Final = 0.4
"""Seconds' worth of them that may come one after another: a script that makes 200 calls is answered after each is
written, however fast it is."""

SLICE: Final = 0.0025
"""Seconds after which a step leaves the rest for the next."""

MOST: Final = 1_000
"""Entries of one step, whatever the clock says."""

SNAPSHOT_PAUSE: Final = 0.01
"""Seconds between two slices of a snapshot: it takes a quarter of the loop, and a million users 13 seconds."""

ALIVE: Final = 1.0
"""Seconds after which a frame is written that only says that the server runs."""

AHEAD: Final = 3_000
"""Milliseconds by which the files let versions be ahead of the clock. Half of it is always left, which is more than
power loss takes of the files."""

MARGIN: Final = 500
"""Milliseconds of versions that are counted on, where the clock may not be followed: two million."""

LEAST_JOURNAL: Final = 16 * 1024 * 1024
"""Bytes of a journal that is never too long. A longer one is, once it is twice as long as the snapshot."""

ERASED: Final = 600.0
"""Seconds after which a snapshot is begun that does not hold who was erased."""

MOST_UNWRITTEN: Final = 8 * 1024 * 1024
"""Bytes that may wait for the disk: with more, marks wait instead, and these do not grow."""

AGAIN: Final = 10.0
"""Seconds after which a disk that failed is tried again."""

GAPS: Final = 64
"""Gaps that are kept; in place of an older one `floor` rises."""

Done = Callable[[], None]


class Disk(Protocol):
    """Where the bytes go. Nothing here waits: each `done` is called once it is so, at once or later.

    Whatever fails is told to the keeper's `failed`, once, and nothing that was begun before is done any more.
    """

    @property
    def unwritten(self) -> int:
        """Bytes that wait."""
        ...

    def begin_journal(self, number: int, data: bytes) -> None:
        """From now on `append` goes to a new journal, whose first bytes are these."""
        ...

    def append(self, data: bytes, done: Done, matters: bool) -> None:
        """`matters`: it is to be safe from power loss soon."""
        ...

    def begin_snapshot(self, number: int) -> None:
        """Aside, until it is ended."""
        ...

    def write_snapshot(self, data: bytes) -> None: ...

    def end_snapshot(self, done: Done) -> None:
        """All of it is on the disk: it takes its name, and all files of lower numbers go."""
        ...

    def reopen(self) -> None:
        """Try again after a failure: make the folder, if it is gone."""
        ...


class Changing(Users, Protocol):
    """The table, as far as the keeper needs it: see `domain.table`."""

    on_forget: Callable[[UserKey], None] | None

    @property
    def versions(self) -> Versions: ...

    @property
    def floor(self) -> int: ...


class Keeper:
    def __init__(
        self,
        origin: Origin,
        users: Changing,
        user_id: Callable[[UserKey], int | str],
        sections: Iterable[Section],
        disk: Disk,
        clock: Clock,
        last_number: Callable[[], int],
        call_later: Callable[[float, Callable[[], None]], None],
        tell: Callable[[str], None],
    ) -> None:
        """`origin`: of the last file that there is, as of the end of it; the next one continues it.

        `user_id` tells the id of a key, `last_number` the last number of a session. `call_later` calls so many seconds
        from now. `tell` is told in one line what whoever runs the server should know.
        """
        self._origin = origin
        self._users = users
        self._user_id = user_id
        self._sections = {section.name: section for section in sections}
        self._disk = disk
        self._clock = clock
        self._last_number = last_number
        self._call_later = call_later
        self._tell = tell
        self._marked: dict[UserKey, None] = {}
        self._others: dict[tuple[str, Any], None] = {}
        self._lived = origin.mark.now, origin.mark.utc
        self._whole = origin.mark.seq
        self._checksum = origin.after
        self._followed_to = origin.mark.followed_to
        self._journal_bytes = self._snapshot_bytes = 0
        self._snapshot: Iterator[bytes] | None = None
        self._is_ending_snapshot = False
        self._not_before = float("-inf")
        self._spare_at = float("-inf")
        """When steps without a pause will all be there again (the generic cell rate algorithm, as in `buckets`)."""
        self._last_frame = float("-inf")
        self._anew_at: float | None = None
        self._failed_at: float | None = None
        self._is_failure_told = False
        self._is_gathering = False
        """Whether marks wait for a step that is to come, or for a disk that failed."""
        users.on_forget = self._mark_later
        for section in self._sections.values():
            section.tell(partial(self._mark_other if section.at_once else self._mark_other_later, section.name))

    # -- what happens ------------------------------------------------------------------------------------------------

    def mark(self, key: UserKey) -> None:
        """The user's record is another than it was. Called with every transition: 0.1 us.

        On a quiet server it is written here and now, before anybody is answered. Else it waits for others.
        """
        self._marked[key] = None
        if not self._is_gathering:
            self._write_or_gather()

    def _mark_later(self, key: UserKey) -> None:
        """As `mark`, in the middle of a transition of somebody else."""
        self._marked[key] = None
        if not self._is_gathering:
            self._gather(0.0)

    def _mark_other(self, section: str, key: Any) -> None:
        self._others[section, key] = None
        if not self._is_gathering:
            self._write_or_gather()

    def _mark_other_later(self, section: str, key: Any) -> None:
        self._others[section, key] = None
        if not self._is_gathering:
            self._gather(0.0)

    def _write_or_gather(self) -> None:
        now = self._clock.now()
        spare_at = max(self._spare_at, now) + 1 / AT_ONCE
        if now >= self._not_before or spare_at - now <= BURST:
            self._spare_at = spare_at
            self._write(now)
        else:
            self._gather(self._not_before - now)

    def _gather(self, seconds: float) -> None:
        self._is_gathering = True
        self._call_later(seconds, self.step)

    def erased(self) -> None:
        """Somebody is to be forgotten for good: soon no file holds them any more."""
        if self._anew_at is None:
            self._anew_at = self._clock.now() + ERASED

    def lived(self, now: float, utc: float) -> None:
        """Time passed for users up to now: what had lasted its time is over. Ten times a second."""
        self._lived = now, utc
        if self._failed_at is not None:
            if now - self._failed_at >= AGAIN:
                self._begin_anew(now)
        else:
            if now - self._last_frame >= ALIVE:
                self._append_piece(now)
            if self._snapshot is None and not self._is_ending_snapshot and self._is_to_begin_anew():
                self._begin_files()

    def failed(self, reason: str) -> None:
        """The disk takes nothing. Nothing is written until it can be begun anew."""
        if not self._is_failure_told:
            self._tell(f"state is not written: {reason}; it is tried again every {AGAIN:.0f} s")
        self._is_failure_told = self._is_gathering = True
        self._failed_at = self._clock.now()
        self._snapshot, self._is_ending_snapshot = None, False
        self._users.versions.followed_to = LAST_MS  # nothing could say how far they went

    # -- steps ---------------------------------------------------------------------------------------------------------

    def begin(self) -> None:
        """The first files of this process. To be called before anybody is served."""
        self._begin_anew(self._clock.now())

    def step(self) -> None:
        """Write what was gathered, for `SLICE` seconds at most."""
        if self._failed_at is None:
            self._is_gathering = False
            self._write(self._clock.now())

    def _write(self, now: float) -> None:
        if self._disk.unwritten <= MOST_UNWRITTEN:
            self._append_all(now + SLICE, MOST)
        self._not_before = self._clock.now() + PAUSE
        if (self._marked or self._others) and not self._is_gathering:
            self._gather(PAUSE)

    def before_telling(self) -> None:
        """A flush begins: what it tells is written first, so that no cursor that goes out claims what may be lost."""
        if (self._marked or self._others) and self._failed_at is None:
            self._write(self._clock.now())

    def finish(self) -> None:
        """Write all that is marked, however long it takes: what is on the disk then is everything.

        No version comes after that, so the next run's need not be ahead of the clock.
        """
        if self._failed_at is None:
            self._append_all(float("inf"), 2**62)
            self._whole = self._users.versions.last
            mark = self._mark_now()._replace(followed_to=(self._whole >> COUNTER_BITS) + 1)
            data, self._checksum = frame(encode(Entries(mark)), self._checksum)
            self._disk.append(data, _nothing, matters=True)

    def _is_to_begin_anew(self) -> bool:
        if self._anew_at is not None and self._clock.now() >= self._anew_at:
            return True
        return self._journal_bytes > max(LEAST_JOURNAL, 2 * self._snapshot_bytes)

    def _append_all(self, until: float, most: int) -> None:
        """A frame for each piece of what is marked."""
        while (self._marked or self._others) and most > 0 and self._failed_at is None:
            most -= self._append_piece(until)
            if self._clock.now() >= until:
                return

    def _append_piece(self, until: float) -> int:
        """Returns how many entries it has."""
        users: list[Any] = []
        gone: list[int | str] = []
        others: list[tuple[str, Any, Any]] = []
        marked = self._marked
        while marked and len(users) + len(gone) < PIECE:
            key, _ = marked.popitem()
            user_id = self._user_id(key)
            dumped = self._users.dump(key, user_id)
            if dumped is None:
                gone.append(user_id)
            else:
                users.append(dumped)
        while self._others and len(others) < PIECE and not (others and self._clock.now() >= until):
            (name, key), _ = self._others.popitem()
            others.append((name, *self._sections[name].dump(key)))  # a list of contacts may be long
        if not marked and not self._others:
            self._whole = self._users.versions.last
        mark = self._mark_now()
        data, self._checksum = frame(encode((mark, users, gone, others)), self._checksum)
        self._journal_bytes += len(data)
        self._last_frame = self._clock.now()
        count = len(users) + len(gone) + len(others)
        self._disk.append(data, partial(self._may_follow, mark.followed_to), count > 0)
        return count

    def _mark_now(self) -> Mark:
        clock, given = int((self._clock.utc() - EPOCH_2020) * 1000), self._users.versions.last >> COUNTER_BITS
        if self._followed_to < max(clock + AHEAD // 2, given + MARGIN):
            self._followed_to = min(LAST_MS, max(clock + AHEAD, given + 2 * MARGIN))
        return Mark(*self._lived, self._whole, self._users.floor, self._followed_to, self._last_number())

    def _may_follow(self, followed_to: int) -> None:
        if self._failed_at is None:
            self._users.versions.followed_to = followed_to - MARGIN

    # -- files ---------------------------------------------------------------------------------------------------------

    def _begin_anew(self, now: float) -> None:
        """Everything is written again; what is marked is among it."""
        if self._failed_at is not None:
            self._failed_at = None
            self._checksum = 0
            self._origin = self._origin._replace(begins=False)
            self._disk.reopen()
        if self._failed_at is None:
            self._begin_files()
        if self._failed_at is None:
            self._is_gathering = False
            self._write_or_gather()

    def _begin_files(self) -> None:
        """A journal that begins now, and a snapshot of everything as of now or later."""
        self._anew_at = None
        number = self._origin.number + 1
        mark = self._mark_now()
        self._origin = self._origin._replace(number=number, after=self._checksum, mark=mark)
        data, self._checksum = frame(encode(self._origin._replace(kind=JOURNAL)), 0)
        self._journal_bytes = len(data)
        self._disk.begin_journal(number, FIRST_LINE + data)
        if self._failed_at is None:
            self._may_follow(mark.followed_to)
            self._disk.begin_snapshot(number)
            origin = self._origin._replace(kind=SNAPSHOT, after=0, begins=False)
            self._snapshot = frames_of(origin, self._users, self._user_id, self._sections)
            self._snapshot_bytes, self._is_ending_snapshot = 0, False
            self._call_later(0.0, self._go_on)

    def _go_on(self) -> None:
        """A slice of the snapshot. Records that change meanwhile are marked, and so in the journal that was begun."""
        snapshot = self._snapshot
        if snapshot is None:
            return
        ends = self._clock.now() + SLICE
        for _ in range(MOST // PIECE if self._disk.unwritten <= MOST_UNWRITTEN else 0):
            data = next(snapshot, None)
            if data is None:
                self._snapshot, self._is_ending_snapshot = None, True
                self._disk.end_snapshot(self._snapshot_ended)
                return
            self._snapshot_bytes += len(data)
            self._disk.write_snapshot(data)
            if self._clock.now() >= ends:
                break
        self._call_later(SNAPSHOT_PAUSE, self._go_on)

    def _snapshot_ended(self) -> None:
        self._is_ending_snapshot = False
        self._origin = self._origin._replace(begins=False)
        if self._is_failure_told:
            self._is_failure_told = False
            self._tell("state is written again")

    def __repr__(self) -> str:
        return f"<Keeper of files {self._origin.number}, {len(self._marked)} marked>"


def with_gap(gaps: tuple[Gap, ...], after: int, until: int, floor: int) -> tuple[tuple[Gap, ...], int]:
    """The gaps with one more, and the floor that stands for those that are not kept any more."""
    kept = [gap for gap in (*gaps, Gap(after, until)) if gap.until > floor]
    dropped = kept[:-GAPS]
    return tuple(kept[-GAPS:]), max([floor, *(gap.until for gap in dropped)])


def _nothing() -> None:
    """Nobody waits for it."""
