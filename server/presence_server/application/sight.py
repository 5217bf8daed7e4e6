"""Who may see whom, asked with keys: `Visibility` knows users by their ids, all others here by their keys."""

from __future__ import annotations

from presence_server.application.keys import UserKeys
from presence_server.application.ports import Visibility
from presence_server.domain.model import UserKey


class Sight:
    def __init__(self, visibility: Visibility, keys: UserKeys) -> None:
        self._visibility = visibility
        self._keys = keys

    def seen(self, viewer: UserKey | None, asked: list[UserKey]) -> list[UserKey]:
        """Those of `asked` whom `viewer` (None or 0: nobody in particular) may see; `asked` itself if that is all."""
        if self._visibility.is_open:
            return asked
        who = self._keys.user_id(viewer or 0) or None
        may_see, user_id = self._visibility.may_see, self._keys.user_id
        seen = [key for key in asked if may_see(who, user_id(key))]
        return asked if len(seen) == len(asked) else seen
