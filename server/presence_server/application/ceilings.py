"""What all together may have of the server: watched edges, watchers of one user, memory.

Whoever asks for more than is left is refused and told when to come back; what is there already stays.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Final

from presence_server.application.allowances import COME_BACK, TooMuch
from presence_server.domain.interest import Interest
from presence_server.domain.model import UserKey

WATCHERS: Final = "max_watchers"
EDGES: Final = "max_edges"
MEMORY: Final = "max_memory"

CALM: Final = 0.97
"""The share of `max_memory` below which new work is taken on again: what is at the bound must not flicker."""


class Ceilings:
    """0 is no ceiling."""

    def __init__(self, max_edges: int = 0, max_watchers: int = 0, max_memory: int = 0) -> None:
        self.max_edges = max_edges
        self.max_watchers = max_watchers
        self.max_memory = max_memory
        self.is_short = False
        """Whether so much memory is used that no new work is taken on."""
        self.counted: Counter[str] = Counter({EDGES: 0, WATCHERS: 0, MEMORY: 0})

    def observe_memory(self, resident: int) -> None:
        """So many bytes are resident now."""
        if self.max_memory:
            self.is_short = resident > self.max_memory * (CALM if self.is_short else 1.0)

    def memory(self) -> TooMuch | None:
        """New work. None: it may be."""
        return self.refuse(MEMORY) if self.is_short else None

    def edges(self, interest: Interest, new: Sequence[UserKey]) -> TooMuch | None:
        """A watcher of `new` users, whom it does not watch yet. None: it may."""
        if not new:
            return None
        if self.is_short:
            return self.refuse(MEMORY)
        if self.max_edges and interest.edges + len(new) > self.max_edges:
            return self.refuse(EDGES)
        if self.max_watchers and any(interest.watcher_count(user_id) >= self.max_watchers for user_id in new):
            return self.refuse(WATCHERS)
        return None

    def refuse(self, limit: str, wait: float = COME_BACK) -> TooMuch:
        self.counted[limit] += 1
        return TooMuch(limit, wait)
