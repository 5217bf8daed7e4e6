"""Why a user is shown as they are: what is known of them, and what happened to them lately.

One ring holds the last Changes of all users together, each with its cause: so much memory and no more, whoever changes.
"""

from __future__ import annotations

from collections import deque
from itertools import islice
from typing import Final, NamedTuple

from presence_server.domain.aggregate import Verdict, decide
from presence_server.domain.claims import next_edge, settled
from presence_server.domain.model import Change, DeviceView, Truth, UserKey
from presence_server.domain.versions import milliseconds_of

RING: Final = 8192
"""Changes that are remembered, of all users: some 2 MB."""

MOST_TOLD: Final = 20
"""Of one user."""


class Noted(NamedTuple):
    """A Change, and when it was made, in seconds since 1970."""

    time: int
    change: Change


class History:
    """The ring. To note one costs one append, since when it was is told by its version; to look one user up, a pass
    over all."""

    def __init__(self, size: int = RING) -> None:
        self._ring: deque[Change] = deque(maxlen=size)
        self.note = self._ring.append

    def of(self, user_id: UserKey) -> tuple[Noted, ...]:
        """The last Changes of one user, the newest first."""
        changes = islice((change for change in reversed(self._ring) if change.user_id == user_id), MOST_TOLD)
        return tuple(Noted(milliseconds_of(change.version) // 1000, change) for change in changes)

    def forget(self, user_id: UserKey) -> None:
        """Keep nothing of one user: a pass over all."""
        kept = [change for change in self._ring if change.user_id != user_id]
        self._ring.clear()
        self._ring.extend(kept)

    def __len__(self) -> int:
        return len(self._ring)


class Account(NamedTuple):
    """What is known of one user. `due`: by the clock of durations, when each device of `truth` ends unless it is heard;
    None: when its connection does."""

    truth: Truth
    due: tuple[float | None, ...]
    last_active: int | None
    changes: tuple[Noted, ...]

    def verdict(self) -> Verdict:
        """What decides now."""
        truth = self.truth
        return decide(truth.claims, truth.devices, truth.utc)

    def next(self, now: float) -> tuple[float, Verdict, DeviceView | None] | None:
        """When another status, or another claim, decides by itself (seconds since 1970), which, and the device whose
        end it is, if it is one's; None: never. `now` is by the clock of durations."""
        claims, left, at = self.truth.claims, list(self.truth.devices), self.truth.utc
        was = self.verdict()
        ends = [
            (at + max(0.0, due - now), device) for device, due in zip(left, self.due, strict=True) if due is not None
        ]
        ends.sort(key=lambda end: end[0])
        claims = settled(claims, at)
        while True:
            edge = next_edge(claims, at)
            device = None
            if ends and (edge is None or ends[0][0] < edge):
                at, device = ends.pop(0)
                left.remove(device)
            elif edge is not None:
                at = edge
            else:
                return None
            claims = settled(claims, at)
            verdict = decide(claims, left, at)
            if (verdict.status, verdict.by) != (was.status, was.by):
                return at, verdict, device
