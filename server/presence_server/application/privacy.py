"""To whom users show when they were last seen: to everyone unless they say otherwise."""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum
from typing import Final

from presence_server.domain.model import UserKey


class LastSeen(StrEnum):
    """Who is told the time of a user's last activity, among those who may see the user at all."""

    EVERYONE = "everyone"
    CONTACTS = "contacts"
    NOBODY = "nobody"


MOST: Final = 1_000_000
"""Users who may have said something else than everyone. A service may name any number of ids."""


class Privacy:
    """What users have said, by key. Who shows to everyone costs nothing."""

    def __init__(self) -> None:
        self._said: dict[UserKey, LastSeen] = {}
        self._erased: set[UserKey] = set()
        self.on_change: Callable[[UserKey], None] = _nobody

    def of(self, key: UserKey) -> LastSeen:
        return self._said.get(key, LastSeen.EVERYONE)

    def set(self, key: UserKey, said: LastSeen) -> bool:
        """False: there is no room for one more."""
        self._erased.discard(key)
        if said is LastSeen.EVERYONE:
            self._said.pop(key, None)
        elif key not in self._said and len(self._said) >= MOST:
            return False
        else:
            self._said[key] = said
        self.on_change(key)
        return True

    def erase(self, key: UserKey) -> None:
        """The user is being erased. What was said so far holds until `erased`; what is said from now on holds on."""
        self._erased.add(key)

    def erased(self, key: UserKey) -> bool:
        """Whether what the user said before `erase` is to go now."""
        if key not in self._erased:
            return False
        self._erased.discard(key)
        return key in self._said

    def keys(self) -> list[UserKey]:
        """Who shows to less than everyone."""
        return list(self._said)

    def __len__(self) -> int:
        """How many show to less than everyone."""
        return len(self._said)


def _nobody(_key: UserKey) -> None:
    """Nobody keeps it beside this."""
