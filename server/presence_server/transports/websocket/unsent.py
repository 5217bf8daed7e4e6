"""What was written and has not gone out, over all connections: one bound.

Each connection is held to little (a part of an answer, or one REST answer), but there may be twenty thousand of them.
A connection whose socket is full is in these books with its bytes; all others cost nothing. Above the bound, whoever
holds most goes first, until a tenth of it is free again: not right then, since somebody is in the middle of writing,
but at the end of this turn of the loop.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol


class Holder(Protocol):
    def give_up(self) -> None:
        """Drop the connection, and with it what has not gone out."""
        ...


class Unsent:
    def __init__(self, most: int, call_soon: Callable[[Callable[[], None]], None]) -> None:
        self.total = 0
        """Bytes that wait in full sockets' buffers."""
        self.given_up = 0
        """Connections that were dropped for it."""
        self._most = most
        self._call_soon = call_soon
        self._held: dict[Holder, int] = {}
        self._is_due = False

    def put(self, holder: Holder, size: int) -> None:
        """So many bytes of `holder`'s have not gone out by now."""
        self.total += size - self._held.get(holder, 0)
        self._held[holder] = size
        if self.total > self._most and not self._is_due:
            self._is_due = True
            self._call_soon(self._relieve)

    def discard(self, holder: Holder) -> None:
        """All of it went out, or never will."""
        self.total -= self._held.pop(holder, 0)

    def _relieve(self) -> None:
        self._is_due = False
        if self.total <= self._most:
            return
        for holder in sorted(self._held, key=self._held.__getitem__, reverse=True):
            if self.total <= self._most * 0.9:
                break
            self.discard(holder)
            self.given_up += 1
            holder.give_up()

    def __len__(self) -> int:
        """How many connections have something unsent."""
        return len(self._held)
