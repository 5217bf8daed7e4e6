"""The edges between watchers and users, by key: under which topic an edge is kept, nobody else needs to know."""

from __future__ import annotations

from collections.abc import Sequence

from presence_server.application.sight import Sight
from presence_server.domain.interest import Interest
from presence_server.domain.lenses import Lens, key_of, topic_of, topics_of
from presence_server.domain.model import UserKey


class Edges:
    def __init__(self, interest: Interest, sight: Sight) -> None:
        self._interest = interest
        self._sight = sight

    def missing(self, slot: int, keys: Sequence[UserKey]) -> list[UserKey]:
        """Those of `keys`, each named once, whom `slot` does not watch, through whatever lens."""
        missing = self._interest.missing(slot, keys)
        if not self._sight.is_open:
            for lens in (Lens.HIDDEN, Lens.COARSE, Lens.UNTIMED, Lens.BARE):
                if not missing:
                    break
                topics = [topic_of(key, lens) for key in missing]
                missing = [key_of(topic) for topic in self._interest.missing(slot, topics)]
        return missing

    def add(self, slot: int, viewer: UserKey, keys: Sequence[UserKey]) -> None:
        """Add edges to users whom `slot` does not watch, each named once, through the lenses that hold now."""
        self._interest.add(slot, self._sight.topics(viewer, keys))

    def unwatch(self, slot: int, keys: Sequence[UserKey]) -> list[UserKey]:
        """Remove edges. Returns the keys of those whom `slot` did watch."""
        if self._sight.is_open:
            return self._interest.unwatch(slot, keys)
        topics = [topic for key in dict.fromkeys(keys) for topic in topics_of(key)]
        return [key_of(topic) for topic in self._interest.unwatch(slot, topics)]

    def drop(self, slot: int) -> list[UserKey]:
        """Remove all edges of `slot`. Returns the keys of those whom it watched."""
        dropped = self._interest.drop(slot)
        return dropped if self._sight.is_open else [key_of(topic) for topic in dropped]

    def count(self, slot: int) -> int:
        return self._interest.count(slot)

    def keys(self, slot: int) -> list[UserKey]:
        """Whom `slot` watches."""
        return [key_of(topic) for topic in self._interest.watched(slot)]

    def move(self, slot: int, viewer: UserKey, key: UserKey) -> UserKey | None:
        """Put the edge of `slot` to the user under the lens that holds now.

        Returns the topic under which it was; None if there is no such edge, or it is where it was.
        """
        before = self._interest.unwatch(slot, topics_of(key))
        if not before:
            return None
        topic = topic_of(key, self._sight.lens(viewer, key))
        self._interest.add(slot, (topic,))
        return before[0] if before[0] != topic else None

    def slots(self, key: UserKey) -> list[int]:
        """Who watches the user, through whatever lens."""
        return [slot for topic in topics_of(key) for slot in self._interest.watchers(topic)]
