"""The feed: everybody's changes, for a back end, from a cursor on and without an end.

    async for entry in api.feed(FileCursor("presence.cursor")):
        if isinstance(entry, Gap):
            table.clear()  # everybody present follows
        else:
            table.put(entry)

It is a long poll of `POST /changes`. Where the server cannot be reached, is busy or ends, the feed asks again with
backoff, and goes on from its cursor: nothing is missed, and what was not told meanwhile is told as the last state of
each user. Changes are told at least once: the cursor is saved when the program asks for more after the last of them.
Of each user take what has the greatest `version` (`Presences` does), and what comes twice is harmless.
"""

from __future__ import annotations

import asyncio
import inspect
import logging
import random
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, Final, NamedTuple

import msgspec

from presence_client.backoff import Backoff
from presence_client.cursors import CursorStore
from presence_client.errors import RequestFailed, UnexpectedAnswer, Unreachable
from presence_protocol.feed import FeedEntry
from presence_protocol.user_ids import IdKind

_log = logging.getLogger("presence_client")

MOST: Final = 10_000
"""Entries of one batch, at most."""

GAP: Final = 0.25
"""Seconds from one request to the next, unless there is more: a busy feed is conflated instead of polled in a frenzy,
and a server that is about to end, which lets nobody wait, is not asked in one."""


class FeedAnswer(msgspec.Struct, rename="camel", frozen=True):
    """What the server says. `resumed`: the changes come after the cursor that was asked with."""

    changes: list[FeedEntry]
    cursor: str
    resumed: bool
    gap: bool = False
    more: bool = False


class Gap(NamedTuple):
    """What is held is void: the feed begins anew, and everybody who is present follows; whoever does not is OFFLINE.

    The first of a feed without a cursor. Later it says that the server does not know any more what changed since the
    cursor, such as after a long outage of this reader. `is_void` False: what is held still holds, and only some
    transitions were left out (of `transitions="all"`).
    """

    is_void: bool = True


class FeedBatch(NamedTuple):
    """Some changes in a row, and the cursor that covers them. `gap`: as of `Gap.is_void`, before the changes.

    `has_missed`: transitions were left out before them.
    """

    changes: list[FeedEntry]
    cursor: str
    gap: bool
    has_missed: bool


Ask = Callable[[str | None], Awaitable[FeedAnswer]]


class Feed(AsyncIterator["FeedEntry | Gap"]):
    """An endless iterator of changes, made by `PresenceApi.feed`. One reader at a time.

    Raises, from the iteration:
        RequestFailed: the server refuses for good: 400, 401, 403.
        SignedOut: there is no token any more.
        OSError: what the cursor store raises, such as a file that cannot be written. Iterate again to go on.
    """

    def __init__(
        self,
        ask: Ask,
        cursors: CursorStore,
        ids: IdKind,
        backoff: Backoff,
        chance: Callable[[], float] = random.random,
    ) -> None:
        """For `PresenceApi.feed`. `ask` makes one request from a cursor on."""
        self._ask = ask
        self._cursors = cursors
        self._ids = ids
        self._backoff = backoff
        self._chance = chance
        self._is_begun = False
        self._cursor: str | None = None
        self._to_save: str | None = None  # covers what the program was given
        self._pending: deque[FeedEntry | Gap] = deque()
        self._next_at = 0.0  # by the event loop's clock
        self._failures = 0

    def __aiter__(self) -> Feed:
        return self

    async def __anext__(self) -> FeedEntry | Gap:
        while not self._pending:
            batch = await self.next_batch()
            if batch.gap or batch.has_missed:
                self._pending.append(Gap(batch.gap))
            self._pending.extend(batch.changes)
        return self._pending.popleft()

    async def batches(self) -> AsyncIterator[FeedBatch]:
        """The same in batches, for those who store many at once: `async for batch in api.feed(...).batches()`."""
        while True:
            yield await self.next_batch()

    async def next_batch(self) -> FeedBatch:
        """The next batch, as soon as there is one. Saves the cursor of the one before, which was taken by now."""
        await self._confirm()
        if not self._is_begun:
            self._cursor = await _settled(self._cursors.load())
            self._is_begun = True
        while True:
            answer = await self._answer()
            self._cursor = answer.cursor
            is_void = not answer.resumed
            if answer.changes or is_void or answer.gap:
                break
        self._to_save = answer.cursor
        return FeedBatch(answer.changes, answer.cursor, is_void, answer.gap and not is_void)

    async def _confirm(self) -> None:
        if self._to_save is not None:
            await _settled(self._cursors.save(self._to_save))
            self._to_save = None

    async def _answer(self) -> FeedAnswer:
        """The answer to one request, however often it takes."""
        now = asyncio.get_running_loop().time
        while True:
            if (seconds := self._next_at - now()) > 0:
                await asyncio.sleep(seconds)
            began = now()
            try:
                answer = await self._ask(self._cursor)
            except (Unreachable, UnexpectedAnswer, RequestFailed) as failure:
                if not _may_be_tried_again(failure):
                    raise
                await self._wait(failure)
            else:
                if self._failures:
                    _log.warning("the feed goes on")
                self._failures = 0
                self._next_at = 0.0 if answer.more else began + GAP
                return self._of_kind(answer)

    async def _wait(self, failure: Exception) -> None:
        if self._failures == 0:
            _log.warning("the feed cannot be read (%s); it is asked for again", failure)
        retry_after = failure.retry_after if isinstance(failure, RequestFailed) else None
        delay = self._backoff.delay(self._failures, self._chance(), retry_after)
        self._failures += 1
        await asyncio.sleep(delay)

    def _of_kind(self, answer: FeedAnswer) -> FeedAnswer:
        for entry in answer.changes:
            msgspec.structs.force_setattr(entry, "user_id", self._ids.parse(entry.user_id))
        return answer


def _may_be_tried_again(failure: Exception) -> bool:
    if isinstance(failure, RequestFailed):
        return failure.code >= 500 or failure.code == 429
    return not isinstance(failure, UnexpectedAnswer) or failure.status >= 500 or failure.status == 429


async def _settled(value: Any) -> Any:
    return await value if inspect.isawaitable(value) else value
