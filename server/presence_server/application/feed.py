"""The feed: everybody's presence, for back ends, in the order in which it changed, from a cursor on.

A reader has no queue: only a cursor, which says up to which seq it was told. What it is told next are the users who
changed after that, the last state of each. So a reader that is slow, or was gone for a day, costs nothing meanwhile.
The first pages, without a cursor, *walk* everybody present in the same order; whoever changes meanwhile comes again.
Whoever asks for every transition is told each one, as long as the window holds them; where it does not, the last states
stand in for them, and that is told as a gap.

**Cursors** are of one kind for all ways in: `epoch.seq.mark`. The mark says through whose eyes (`f`, or `t` for the
truth), of which filter, and where a walk began: until it is over, what was forgotten before it is no loss.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from hashlib import blake2b
from itertools import compress
from typing import Final, NamedTuple, Protocol, runtime_checkable

from presence_protocol.feed import FeedDevice, FeedEntry
from presence_protocol.user_ids import UserId
from presence_server.application.cursors import Cursor, is_lost, parse
from presence_server.application.keys import UserKeys
from presence_server.domain.chronicle import Chronicle, Page, Told
from presence_server.domain.model import OFFLINE, Status
from presence_server.domain.versions import milliseconds_of

LOOK_AT: Final = 2_000
"""Changes that one page looks at, at most: a millisecond or two."""

PAGE: Final = 1_000
"""Entries in one answer, unless it is asked for another number."""

MOST: Final = 10_000
"""Entries in one answer, at most."""

WINDOW: Final = 65_536
"""Transitions that are kept for those who want every one: some 20 MB, once somebody does."""


@dataclass(frozen=True)
class FeedFilter:
    """What a reader wants to be told; None: everything. An entry passes if all that is given takes it.

    `platforms`: one of the user's, or that of the device that caused the change, so that its end passes as well.
    """

    statuses: frozenset[Status] | None = None
    platforms: frozenset[str] | None = None
    user_ids: frozenset[UserId] | None = None
    mark: str = field(init=False)
    """Tells filters apart; empty: everything."""

    def __post_init__(self) -> None:
        given = [self.statuses, self.platforms, self.user_ids]
        mark = ""
        if given != [None, None, None]:
            parts = ("-" if part is None else "/".join(sorted(map(str, part))) for part in given)
            mark = blake2b("\n".join(parts).encode(), digest_size=6).hexdigest()
        object.__setattr__(self, "mark", mark)

    def passes(self, entry: FeedEntry) -> bool:
        if self.statuses is not None and entry.status not in self.statuses:
            return False
        if self.platforms is not None:
            causes = entry.device is not None and entry.device.platform in self.platforms
            if not causes and self.platforms.isdisjoint(entry.platforms):
                return False
        return self.user_ids is None or entry.user_id in self.user_ids


EVERYTHING: Final = FeedFilter()


class FeedPage(NamedTuple):
    """What comes next.

    `entries` merge into what the reader holds, by version, if `resumed`; else they are the first of a walk through
    everybody present, and what the reader held is void. `gap`: something was not told, since it is not known any
    more. `more`: there is more to be told from `cursor` now, also where there are no `entries`.
    `cursors`: of each entry, the cursor that covers it and those before it.
    """

    entries: list[FeedEntry]
    cursor: str
    resumed: bool
    gap: bool
    more: bool = False
    cursors: tuple[str, ...] = ()


@runtime_checkable
class HasChronicle(Protocol):
    """An engine that keeps everybody in the order of their last Change."""

    @property
    def epoch(self) -> int: ...

    @property
    def seq(self) -> int: ...

    @property
    def gaps(self) -> Sequence[tuple[int, int]]: ...

    def chronicle(self) -> Chronicle: ...


class _Place(NamedTuple):
    """Where a reader is. `begun`: at which seq its walk began; None: it has walked."""

    seq: int
    begun: int | None = None


class Feed:
    def __init__(
        self,
        engine: HasChronicle,
        keys: UserKeys,
        defer: Callable[[Callable[[], None]], None],
        window: int = WINDOW,
    ) -> None:
        """`defer` calls what it is given in a moment, once: what changes until then is told together."""
        self._engine = engine
        self._keys = keys
        self._defer = defer
        self._window = window
        self._waiting: dict[object, Callable[[], None]] = {}
        self._is_due = False

    def page(
        self,
        cursor: str | None,
        limit: int,
        filter: FeedFilter = EVERYTHING,
        *,
        sees_invisible: bool,
        every: bool = False,
        with_cursors: bool = False,
    ) -> FeedPage:
        """At most `limit` entries that come after `cursor`; None: from the beginning. Bounded work, however many users.

        A cursor that is not this feed's, too old, or of another filter begins anew: `resumed` is False, and `gap` True.
        `sees_invisible`: what invisible users would be otherwise. `every`: each transition instead of the last states.
        """
        chronicle = self._engine.chronicle()
        if every:
            chronicle.open_window(self._window, self._engine.seq)
        mark = ("t" if sees_invisible else "f") + filter.mark
        found = None if cursor is None else self._place(cursor, mark, chronicle, sees_invisible)
        place = found or _Place(0, self._engine.seq)
        resumed, gap = found is not None, cursor is not None and found is None
        if not chronicle.build():
            return FeedPage([], self._cursor(place, mark), resumed, gap, more=True)
        page, is_whole = self._next(chronicle, place, min(limit, LOOK_AT), sees_invisible, every)
        gap = gap or not is_whole
        told = [one for one in page.told if not _is_nobody(one, place)]
        entries = [self._entry(one) for one in told]
        if filter.mark:
            passed = [filter.passes(entry) for entry in entries]
            told, entries = list(compress(told, passed)), list(compress(entries, passed))
        more = chronicle.has_after(page.reached, sees_invisible)
        # Where there is nothing to tell, all was told up to now. Else the same is told again to whoever asks again.
        at = page.reached if more or entries else max(page.reached, self._engine.seq)
        cursors = tuple(self._cursor(place._replace(seq=one.seq), mark) for one in told) if with_cursors else ()
        return FeedPage(entries, self._cursor(place._replace(seq=at), mark), resumed, gap, more, cursors)

    def resumes(self, cursor: str, filter: FeedFilter, sees_invisible: bool) -> bool:
        """Whether a page from `cursor` would be `resumed`."""
        mark = ("t" if sees_invisible else "f") + filter.mark
        return self._place(cursor, mark, self._engine.chronicle(), sees_invisible) is not None

    def _next(self, chronicle: Chronicle, place: _Place, most: int, sees_truth: bool, every: bool) -> tuple[Page, bool]:
        """What comes after `place`, and whether that is all that was asked for."""
        if not every or chronicle.window is None:
            return chronicle.after(place.seq, most, LOOK_AT, sees_truth), True
        since = max(chronicle.window.floor, place.begun or 0)
        if place.seq >= since:
            return chronicle.transitions_after(place.seq, most, LOOK_AT, sees_truth), True
        page = chronicle.after(place.seq, most, LOOK_AT, sees_truth)
        if page.reached > since:  # from there on each transition is known
            page = Page([told for told in page.told if told.seq <= since], since)
        return page, since == place.begun  # of what was before a walk, only the last states are told

    def wait(self, cursor: str, callback: Callable[[], None]) -> Callable[[], None]:
        """Have `callback` called once, when there is something newer than `cursor`, at once if there is already.

        Returns what cancels that; after the call it does nothing. What is newer may be nothing to this reader: its next
        page is empty then, and it waits again.
        """
        if self._has_news(cursor):
            callback()
            return _nothing
        chronicle, token = self._engine.chronicle(), object()
        self._waiting[token] = callback
        chronicle.on_note = self._noted

        def cancel() -> None:
            self._waiting.pop(token, None)
            if not self._waiting:
                chronicle.on_note = None

        return cancel

    def wait_a_moment(self, cursor: str, callback: Callable[[], None]) -> Callable[[], None]:
        """As `wait`, for whoever is in the middle of something: `callback` is never called at once."""
        if not self._has_news(cursor):
            return self.wait(cursor, callback)
        token = object()
        self._waiting[token] = callback
        self._soon()
        return lambda: self._waiting.pop(token, None) and None

    def wake_all(self) -> None:
        """Call everybody who waits: the server is draining."""
        self._is_due = False
        waiting, self._waiting = self._waiting, {}
        for callback in waiting.values():
            callback()

    def __len__(self) -> int:
        """How many wait."""
        return len(self._waiting)

    def _has_news(self, cursor: str) -> bool:
        chronicle, at = self._engine.chronicle(), parse(cursor)
        if at is None or at.epoch != self._engine.epoch or not chronicle.build():
            return True
        return chronicle.has_after(at.seq, at.digest.startswith("t"))

    def _noted(self) -> None:
        self._engine.chronicle().on_note = None
        self._soon()

    def _soon(self) -> None:
        """Wake everybody in a moment."""
        if not self._is_due:
            self._is_due = True
            self._defer(self.wake_all)

    # -- cursors -----------------------------------------------------------------------------------------------------

    def _cursor(self, place: _Place, mark: str) -> str:
        begun = "" if place.begun is None or place.seq >= place.begun else f"-{place.begun:x}"
        return str(Cursor(self._engine.epoch, place.seq, mark + begun))

    def _place(self, text: str, mark: str, chronicle: Chronicle, sees_truth: bool) -> _Place | None:
        """Where a reader with that cursor is; None: it has to begin anew."""
        cursor = parse(text)
        if cursor is None or cursor.epoch != self._engine.epoch or cursor.seq > self._engine.seq:
            return None
        of, _, begun = cursor.digest.partition("-")
        if of not in (mark, mark[0]):  # who was told everything was told all that a filter takes
            return None
        try:
            place = _Place(cursor.seq, int(begun, 16) if begun else None)
        except ValueError:
            return None
        since = place.seq if place.begun is None else place.begun
        floor = chronicle.truth_floor if sees_truth else chronicle.floor
        if is_lost(self._engine.gaps, place.seq) or is_lost(self._engine.gaps, since):
            return None  # it claims what a restart lost
        return place if floor <= since <= self._engine.seq else None

    # -- wording -----------------------------------------------------------------------------------------------------

    def _entry(self, told: Told) -> FeedEntry:
        _, user_id, public, version, cause, by, is_hidden = told
        # `_value_`: in Python 3.11 `value` is a property that takes half a microsecond, and there are three.
        return FeedEntry(
            self._keys.user_id(user_id),
            public.status._value_,
            [platform._value_ for platform in public.platforms],
            version,
            cause._value_,
            milliseconds_of(version),
            public.text,
            public.emoji,
            None if by is None else FeedDevice(by.device_id, by.platform._value_),
            is_hidden,
        )


def _is_nobody(told: Told, place: _Place) -> bool:
    """Whether a walk passes over it: nobody was told of them that they are there."""
    return place.begun is not None and told.seq <= place.begun and told.public == OFFLINE


def _nothing() -> None:
    """It was called already."""
