"""Sessions that follow the feed: an observer's hello with `feed`.

What a follower is told is pages of the feed, as diffs. A page is made when the session has its turn and room in its
socket (see `slices`), of what holds by then: one that is slow has no queue, only its cursor. When it was told all there
is, it waits in the feed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Final

from presence_protocol.close_codes import CloseCode
from presence_protocol.feed import FeedDiff
from presence_protocol.messages import Hello
from presence_server.application.answering import Answering
from presence_server.application.common import Common
from presence_server.application.feed import EVERYTHING, Feed
from presence_server.application.principals import ADMIN, Denied, Principal
from presence_server.application.replies import Replies
from presence_server.application.sessions import Session

MOST: Final = 200
"""Entries in one diff."""

ENTRY: Final = 1_600
"""Bytes of the longest entry: so many fit a message, whatever is in them."""

AT_A_STRETCH: Final = 16
"""Pages after which a follower is read from, before it is told more."""


class _Follower:
    __slots__ = ("cancel", "cursor", "every", "has_gap", "is_owed", "is_resumed", "sees_invisible")

    def __init__(self, cursor: str | None, sees_invisible: bool, every: bool) -> None:
        self.cursor = cursor
        self.sees_invisible = sees_invisible
        self.every = every
        self.is_owed = True
        """It was told that there is more, or nothing yet: so it is told once all is told, even if nothing is left."""
        self.is_resumed = True
        self.has_gap = False
        """What the next diff has to say of pages that had no entries."""
        self.cancel: Callable[[], None] = _nothing


class Following:
    def __init__(self, common: Common, replies: Replies, answering: Answering, feed: Feed | None) -> None:
        self._turn = common.turn
        self._clock = common.clock
        self._replies = replies
        self._answering = answering
        self._feed = feed
        self._limit = max(1, min(MOST, common.part_bytes // ENTRY))
        self._followers: dict[Session, _Follower] = {}

    def __contains__(self, session: Session) -> bool:
        return session in self._followers

    def __len__(self) -> int:
        return len(self._followers)

    def prepare(self, session: Session, hello: Hello, principal: Principal) -> bool:
        """The hello asks for the feed. Returns whether it may be welcomed; else it is closed."""
        now = self._clock.now()
        denied = principal.may_follow_everybody()
        if isinstance(denied, Denied):
            self._replies.close(session, CloseCode.FORBIDDEN, f"feed: {denied.reason}", now)
        elif self._feed is None:
            self._replies.close(session, CloseCode.UNAVAILABLE, "not available now", now)
        else:
            sees_invisible, every = ADMIN in principal.scopes, hello.transitions == "all"
            self._followers[session] = _Follower(hello.cursor, sees_invisible, every)
            return True
        return False

    def resumes(self, session: Session) -> bool:
        """Whether the cursor of its hello can be gone on from."""
        follower = self._followers[session]
        assert self._feed is not None
        return follower.cursor is not None and self._feed.resumes(follower.cursor, EVERYTHING, follower.sees_invisible)

    def begin(self, session: Session) -> None:
        """It was welcomed: tell it everything from its cursor on."""
        self._answering.begin(session, self._steps(session, self._followers[session]))

    def forget(self, session: Session) -> None:
        """It is over."""
        follower = self._followers.pop(session, None)
        if follower is not None:
            follower.cancel()

    def _steps(self, session: Session, follower: _Follower) -> Iterator[None]:
        feed = self._feed
        assert feed is not None
        for _ in range(AT_A_STRETCH):
            page = feed.page(
                follower.cursor,
                self._limit,
                EVERYTHING,
                sees_invisible=follower.sees_invisible,
                every=follower.every,
            )
            cursor = follower.cursor = page.cursor
            follower.is_resumed &= page.resumed
            follower.has_gap |= page.gap
            is_news = follower.is_owed or follower.has_gap or not follower.is_resumed
            if page.entries or (is_news and not page.more):
                resumed, gap = follower.is_resumed, follower.has_gap
                follower.is_resumed, follower.has_gap, follower.is_owed = True, False, page.more
                self._turn.send(session, FeedDiff(page.entries, page.cursor, resumed, gap, page.more))
            if not page.more:
                break
            yield
        if session in self._followers:
            go_on = partial(self._go_on, session, follower)
            follower.cancel = feed.wait_a_moment(cursor, go_on)

    def _go_on(self, session: Session, follower: _Follower) -> None:
        if self._followers.get(session) is follower:
            with self._turn:
                self.begin(session)


def _nothing() -> None:
    """It does not wait."""
