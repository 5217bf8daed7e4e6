"""Who watches whom, both directions, compact: "topic -> watchers" with a user's own topic as the only kind today.

A watcher is a slot: a small integer that stands for a connection or a waiting poller. Its lowest bit is its codec
(see `application.fanout`), which this module neither knows nor minds.

An edge is stored on both sides, each side holding the other's position, so that removing an edge moves the last one
into its place: O(1) on the watched user's side, however many others watch. On the watcher's own side each call runs
once along the watcher's own list, which is bounded by what one connection may watch. About 20 bytes an edge; a set
of ints on either side costs ten times that.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Iterator
from typing import NamedTuple


class _Topic:
    """The watchers of one user: their slots, and beside each the position of this topic in that watcher's list."""

    __slots__ = ("back", "slots", "user_id")

    def __init__(self, user_id: int) -> None:
        self.user_id = user_id
        self.slots = array("I")
        self.back = array("I")


class _Watched:
    """The topics that one slot watches, and beside each the slot's position among that topic's watchers."""

    __slots__ = ("positions", "topics")

    def __init__(self) -> None:
        self.topics: list[_Topic] = []
        self.positions = array("I")


class InterestStatistics(NamedTuple):
    watchers: int
    topics: int
    edges: int


_NOBODY = array("I")


class Interest:
    """The edges between watchers and the users whom they watch."""

    def __init__(self) -> None:
        self._topics: dict[int, _Topic] = {}
        self._watched: dict[int, _Watched] = {}
        self._edges = 0

    def watch(self, slot: int, user_ids: Iterable[int]) -> list[int]:
        """Add edges. Returns the ids that `slot` did not watch before, each once."""
        watched = self._watched.get(slot)
        if watched is None:
            watched = self._watched[slot] = _Watched()
        already = {topic.user_id for topic in watched.topics}
        added = [user_id for user_id in dict.fromkeys(user_ids) if user_id not in already]
        for user_id in added:
            topic = self._topics.get(user_id)
            if topic is None:
                topic = self._topics[user_id] = _Topic(user_id)
            topic.back.append(len(watched.topics))
            watched.positions.append(len(topic.slots))
            topic.slots.append(slot)
            watched.topics.append(topic)
        self._edges += len(added)
        if not watched.topics:
            del self._watched[slot]
        return added

    def unwatch(self, slot: int, user_ids: Iterable[int]) -> list[int]:
        """Remove edges. Returns the ids that `slot` did watch, each once."""
        watched = self._watched.get(slot)
        if watched is None:
            return []
        # One pass for however many ids: thousands in one message must not cost thousands of searches.
        places = {topic.user_id: index for index, topic in enumerate(watched.topics)}
        removed = []
        for user_id in user_ids:
            index = places.pop(user_id, None)
            if index is None:
                continue
            self._remove(watched, index)
            if index < len(watched.topics):
                places[watched.topics[index].user_id] = index
            removed.append(user_id)
        if not watched.topics:
            del self._watched[slot]
        return removed

    def drop(self, slot: int) -> list[int]:
        """Remove all edges of `slot`. Returns the ids that it watched."""
        watched = self._watched.pop(slot, None)
        if watched is None:
            return []
        removed = [topic.user_id for topic in watched.topics]
        while watched.topics:
            self._remove(watched, len(watched.topics) - 1)
        return removed

    def _remove(self, watched: _Watched, index: int) -> None:
        """Remove the edge at `index` of `watched`, on both sides; the last of each side moves into the gap."""
        topic, position = watched.topics[index], watched.positions[index]
        last_slot, last_back = topic.slots.pop(), topic.back.pop()
        if position < len(topic.slots):
            topic.slots[position], topic.back[position] = last_slot, last_back
            self._watched[last_slot].positions[last_back] = position
        elif not topic.slots:
            del self._topics[topic.user_id]
        last_topic, last_position = watched.topics.pop(), watched.positions.pop()
        if index < len(watched.topics):
            watched.topics[index], watched.positions[index] = last_topic, last_position
            last_topic.back[last_position] = index
        self._edges -= 1

    def watchers(self, user_id: int) -> array[int]:
        """The slots that watch `user_id`. Not a copy: valid until the next edge is added or removed."""
        topic = self._topics.get(user_id)
        return _NOBODY if topic is None else topic.slots

    def watched(self, slot: int) -> Iterator[int]:
        """The ids that `slot` watches."""
        watched = self._watched.get(slot)
        return iter(()) if watched is None else (topic.user_id for topic in watched.topics)

    def count(self, slot: int) -> int:
        watched = self._watched.get(slot)
        return 0 if watched is None else len(watched.topics)

    def statistics(self) -> InterestStatistics:
        return InterestStatistics(len(self._watched), len(self._topics), self._edges)

    def __repr__(self) -> str:
        return f"<Interest of {len(self._watched)} watchers in {len(self._topics)} topics, {self._edges} edges>"
