"""Tokens that are no longer good, although they have not expired.

A revocation says: of this user (or of this user's device), tokens issued before then are refused. A token that does
not tell when it was issued is refused as well, since nobody can say that it is newer. A token that is bound to no
device is refused where it is used for a device that was revoked, and nowhere else.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, NamedTuple

from presence_protocol.user_ids import UserId
from presence_server.application.principals import Principal

MAX_REVOCATIONS: Final = 100_000
"""Entries; the oldest goes first. At 150 bytes each: 15 MB."""

KEPT: Final = 400 * 86_400.0
"""Seconds that an entry is kept: longer than any token should live."""


Target = tuple[UserId, str | None]
"""A user, and the device if it is about one only."""


class Revocation(NamedTuple):
    issued_before: float
    made_at: float


class Revocations:
    """By user, and by user and device. Times are in seconds since 1970."""

    def __init__(self) -> None:
        self._by_target: dict[Target, Revocation] = {}
        self.on_change: Callable[[Target], None] = _nobody

    def add(self, user_id: UserId, device_id: str | None, issued_before: float, now: float) -> None:
        """Refuse tokens of `user_id` (bound to `device_id`, or used for it, if one is given) issued before then."""
        target = user_id, device_id
        older = self._by_target.pop(target, None)
        if older is not None:
            issued_before = max(issued_before, older.issued_before)
        self._drop_old(now)
        self._by_target[target] = Revocation(issued_before, now)
        self.on_change(target)

    def targets(self) -> list[Target]:
        """Of all entries, the oldest first."""
        return list(self._by_target)

    def of(self, target: Target) -> Revocation | None:
        return self._by_target.get(target)

    def restore(self, target: Target, revocation: Revocation) -> None:
        """An entry as it was before a restart."""
        self._by_target[target] = revocation

    def refuses(self, principal: Principal, used_for: str | None = None) -> bool:
        """Whether the token that `principal` came with was revoked; `used_for`: the device that it would speak for."""
        if principal.user_id is None or not self._by_target:
            return False
        for device_id in {None, principal.device_id, used_for}:
            found = self._by_target.get((principal.user_id, device_id))
            if found is not None and (principal.issued_at is None or principal.issued_at < found.issued_before):
                return True
        return False

    def _drop_old(self, now: float) -> None:
        while self._by_target:
            target, oldest = next(iter(self._by_target.items()))
            if oldest.made_at + KEPT > now and len(self._by_target) < MAX_REVOCATIONS:
                return
            del self._by_target[target]

    def __len__(self) -> int:
        return len(self._by_target)


def _nobody(_target: Target) -> None:
    """Nobody keeps them beside this."""
