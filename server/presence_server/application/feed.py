"""The feed: everybody's presence, for back ends, in the order in which it changed, from a cursor on.

A reader has no queue: only a cursor, which says up to which seq it was told. What it is told next are the users who
changed after that, the last state of each. So a reader that is slow, or was gone for a day, costs nothing meanwhile.
The first pages, without a cursor, walk everybody present in the same order, and whoever changes meanwhile comes again.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple, Protocol, runtime_checkable

from presence_protocol.feed import FeedDevice, FeedEntry
from presence_server.application.cursors import Cursor, is_lost, parse
from presence_server.application.keys import UserKeys
from presence_server.domain.model import OFFLINE, Status, UserKey, UserRecord
from presence_server.domain.versions import milliseconds_of

LOOKED_AT = 2_000
"""Users that one page looks at, at most."""


class FeedFilter(NamedTuple):
    """What a reader wants to be told; None: everything. An entry passes if all that is given takes it.

    `platforms`: one of the user's, or that of the device that caused the change. `keys`: of users.
    """

    statuses: frozenset[Status] | None = None
    platforms: frozenset[str] | None = None
    keys: frozenset[UserKey] | None = None


EVERYTHING = FeedFilter()


class FeedPage(NamedTuple):
    """What comes next.

    `entries` merge into what the reader holds, by version, if `resumed`; else they are the first of a walk through
    everybody present, and what the reader held is void. `gap`: something was not told, since it is not known any
    more. `more`: there is more to be told from `cursor` now, also where there are no `entries`.
    """

    entries: list[FeedEntry]
    cursor: str
    resumed: bool
    gap: bool
    more: bool = False


@runtime_checkable
class HasFeed(Protocol):
    """An engine that keeps everybody in the order of their last Change."""

    @property
    def epoch(self) -> int: ...

    @property
    def seq(self) -> int: ...

    @property
    def floor(self) -> int: ...

    @property
    def gaps(self) -> Sequence[tuple[int, int]]: ...

    def told_after(self, seq: int, most: int) -> list[UserRecord]: ...

    def call_on_note(self, callback: Callable[[], None] | None) -> None: ...


class Feed:
    def __init__(self, engine: HasFeed, keys: UserKeys, defer: Callable[[Callable[[], None]], None]) -> None:
        """`defer` calls what it is given in a moment, once: what changes until then is told together."""
        self._engine = engine
        self._defer = defer
        self._keys = keys
        self._waiting: dict[object, Callable[[], None]] = {}

    def page(
        self, cursor: str | None, limit: int, filter: FeedFilter = EVERYTHING, *, sees_invisible: bool
    ) -> FeedPage:
        """At most `limit` entries that come after `cursor`; None: from the beginning. Bounded work, however many users.

        A cursor that is not this feed's, too old, or of another filter begins anew: `resumed` is False, and `gap` True.
        """
        engine = self._engine
        begins = None if cursor is None else parse(cursor)
        resumed = begins is not None and begins.epoch == engine.epoch and begins.seq <= engine.seq
        resumed = resumed and begins is not None and not is_lost(engine.gaps, begins.seq)
        seq = begins.seq if begins is not None and resumed else 0
        found = engine.told_after(seq, min(limit, LOOKED_AT))
        if found:
            seq = found[-1].seq
        entries = [self._entry(record) for record in found if resumed or record.public != OFFLINE]
        return FeedPage(entries, str(Cursor(engine.epoch, seq)), resumed, cursor is not None and not resumed)

    def wait(self, cursor: str, callback: Callable[[], None]) -> Callable[[], None]:
        """Have `callback` called once, when there is something newer than `cursor`, at once if there is already.

        Returns what cancels that; after the call it does nothing.
        """
        at = parse(cursor)
        if at is None or at.epoch != self._engine.epoch or self._engine.told_after(at.seq, 1):
            callback()
            return _nothing
        token = object()
        self._waiting[token] = callback
        self._engine.call_on_note(self._noted)

        def cancel() -> None:
            self._waiting.pop(token, None)
            if not self._waiting:
                self._engine.call_on_note(None)

        return cancel

    def _noted(self) -> None:
        self._engine.call_on_note(None)
        self._defer(self._wake)

    def _wake(self) -> None:
        waiting, self._waiting = self._waiting, {}
        for callback in waiting.values():
            callback()

    def _entry(self, record: UserRecord) -> FeedEntry:
        public, by = record.public, record.by
        return FeedEntry(
            self._keys.user_id(record.user_id),
            public.status.value,
            [platform.value for platform in public.platforms],
            record.version,
            record.cause.value,
            milliseconds_of(record.version),
            public.text,
            public.emoji,
            None if by is None else FeedDevice(by.device_id, by.platform.value),
        )


def _nothing() -> None:
    """It was called already."""
