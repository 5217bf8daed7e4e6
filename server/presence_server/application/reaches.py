"""Those who wait for somebody to come to a device: `POST /reach` with `within`.

Nobody is looked at again and again: whoever waits is told of each change of what the users in question may know of
themselves, such as idleness, and looks then. While nobody waits that costs nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from presence_server.domain.model import UserKey
from presence_server.domain.people import People, Reach, Reached


class Waiting:
    """One request that waits. `sees_all`: it may know of the invisible."""

    __slots__ = ("keys", "on_active", "sees_all")

    def __init__(self, keys: Iterable[UserKey], sees_all: bool, on_active: Callable[[], None]) -> None:
        self.keys = tuple(dict.fromkeys(keys))
        self.sees_all = sees_all
        self.on_active = on_active


class Reaches:
    def __init__(self, people: People, hear: Callable[[Callable[[UserKey], None] | None], None]) -> None:
        """`hear` takes whom to tell of each user whose truth has changed; None: nobody any more."""
        self._people = people
        self._hear = hear
        self._by_user: dict[UserKey, dict[Waiting, None]] = {}
        self._waiting: dict[Waiting, None] = {}

    def of(self, keys: Iterable[UserKey], sees_all: bool) -> list[Reached]:
        """How each of the users can be reached now, in their order."""
        return [self._people.reach(key, sees_all) for key in keys]

    def open(self, keys: Iterable[UserKey], sees_all: bool, on_active: Callable[[], None]) -> Waiting:
        """Have `on_active` called when one of the users becomes active, perhaps more than once, until `close`."""
        waiting = Waiting(keys, sees_all, on_active)
        if not self._waiting:
            self._hear(self._changed)
        self._waiting[waiting] = None
        for key in waiting.keys:
            self._by_user.setdefault(key, {})[waiting] = None
        return waiting

    def close(self, waiting: Waiting) -> None:
        """It waits no longer."""
        if self._waiting.pop(waiting, self) is self:
            return
        for key in waiting.keys:
            others = self._by_user[key]
            del others[waiting]
            if not others:
                del self._by_user[key]
        if not self._waiting:
            self._hear(None)

    def wake_all(self) -> None:
        """The server is draining: answer everybody now."""
        for waiting in list(self._waiting):
            waiting.on_active()

    def _changed(self, key: UserKey) -> None:
        for waiting in list(self._by_user.get(key, ())):
            if self._people.reach(key, waiting.sees_all).reach is Reach.ACTIVE:
                waiting.on_active()

    def __len__(self) -> int:
        """How many wait."""
        return len(self._waiting)
