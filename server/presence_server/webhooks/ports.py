"""What webhooks need of the rest: the feed, and a place where positions are kept."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from presence_server.application.feed import FeedFilter, FeedPage


class Feed(Protocol):
    """See `application.feed.Feed`."""

    def page(self, cursor: str | None, limit: int, filter: FeedFilter, *, sees_invisible: bool) -> FeedPage: ...

    def wait(self, cursor: str, callback: Callable[[], None]) -> Callable[[], None]:
        """`callback` is called once, at once or later. Returns what cancels that."""
        ...


class Positions(Protocol):
    """Cursors by the name of a webhook. Where state is kept, they outlive the process."""

    def get(self, name: str) -> str | None: ...

    def set(self, name: str, cursor: str | None) -> None:
        """None: there is none any more."""
        ...


class PositionsInMemory:
    """Without state: a webhook begins with everybody present when the process does."""

    def __init__(self) -> None:
        self._cursors: dict[str, str] = {}

    def get(self, name: str) -> str | None:
        return self._cursors.get(name)

    def set(self, name: str, cursor: str | None) -> None:
        if cursor is None:
            self._cursors.pop(name, None)
        else:
            self._cursors[name] = cursor
