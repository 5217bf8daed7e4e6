"""Who watches what, both directions, compact: topics and their watchers.

A topic is a user's key with a lens above its bits (see `domain.lenses`); of other kinds there is none today, and this
module neither knows nor minds.

A watcher is a slot: a small integer that stands for a connection or a waiting poller. Its lowest bit is its codec
(see `application.fanout`), which this module neither knows nor minds.

An edge is stored on both sides, each side holding the other's position, so that removing an edge moves the last one
into its place: O(1) on the topic's side, however many others watch. Which edge it is, is found on its shorter
side while that costs less than one pass along the watcher's own list: a single topic does not cost a list of thousands.

Each side of an edge is a pair of numbers in one array: (slot, place in that slot's array) at the topic, (topic, place
in that topic's array) at the slot. So an edge is 16 bytes and what arrays keep in reserve. What was tried, in bytes an
edge with 50,000 watchers of 200 and with a million of 10, where arrays and dicts weigh more than what is in them: sets
both ways, 115 and 194; an object for each topic and watcher, with an array for slots and one for places, 28 and 95;
pairs, 22 and 58. The price of pairs is that `watchers` copies every other number, about a nanosecond each where an
append to an outbox takes fifteen.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from presence_server.domain.model import Topic


class InterestStatistics(NamedTuple):
    watchers: int
    topics: int
    edges: int


_NOBODY = array("I")

MISS = 10
"""What it costs to ask about one topic, in numbers looked through."""


class Interest:
    """The edges between watchers and the topics that they watch."""

    def __init__(self) -> None:
        self._numbers: dict[Topic, int] = {}  # by topic: its number
        # By topic number, both; a number whose topic is gone is in `_free`.
        self._topics: list[Topic] = []
        self._watchers: list[array[int]] = []
        self._free: list[int] = []
        self._watched: dict[int, array[int]] = {}  # by slot
        self._edges = 0

    def missing(self, slot: int, topics: Sequence[Topic]) -> list[Topic]:
        """Those of `topics`, each named once, that `slot` does not watch."""
        own = self._watched.get(slot)
        if own is None:
            return list(topics)
        find = self._numbers.get
        if self._are_few(own, topics):
            return [topic for topic in topics if self._find(slot, own, find(topic)) is None]
        already = set(own[::2])
        return [topic for topic in topics if find(topic) not in already]

    def _are_few(self, own: array[int], topics: Sequence[Topic]) -> bool:
        """Whether to look for these one by one costs less than one pass along `own`.

        Looking through an array costs some 10 ns a number; a set or dict of it 40.
        """
        room = len(own) * 4
        if len(topics) * MISS > room:
            return False
        for topic in topics:
            number = self._numbers.get(topic)
            room -= MISS if number is None else min(len(own), len(self._watchers[number])) + MISS
            if room < 0:
                return False
        return True

    def _find(self, slot: int, own: array[int], number: int | None) -> int | None:
        """The place in `own` of the edge of `slot` to topic `number`, searched on the shorter side."""
        if number is None:
            return None
        watchers = self._watchers[number]
        try:
            if len(own) <= len(watchers):
                return 2 * own[::2].index(number)
            return watchers[2 * watchers[::2].index(slot) + 1]
        except ValueError:
            return None

    def watch(self, slot: int, topics: Sequence[Topic]) -> list[Topic]:
        """Add edges. Returns the topics that `slot` did not watch before, each once."""
        added = self.missing(slot, list(dict.fromkeys(topics)))
        self.add(slot, added)
        return added

    def add(self, slot: int, added: Sequence[Topic]) -> None:
        """Add edges to topics that `slot` does not watch (see `missing`), each named once."""
        if not added:
            return
        own = self._watched.get(slot, _NOBODY)
        find = self._numbers.get
        # The hot loop of a storm of reconnects: 150 ns an edge.
        numbers = [self._add_topic(topic) if (number := find(topic)) is None else number for topic in added]
        pairs = array("I", bytes(8 * len(added)))
        pairs[::2] = array("I", numbers)
        positions = []
        place = len(own)
        for watchers in map(self._watchers.__getitem__, numbers):
            positions.append(len(watchers))
            watchers.append(slot)
            watchers.append(place)
            place += 2
        pairs[1::2] = array("I", positions)
        if len(pairs) * 16 < len(own):
            own.extend(pairs)  # a copy of the list for a few is what a client could ask for again and again
        else:
            # Arrays joined have no reserve, as one that grows number by number would.
            self._watched[slot] = own + pairs
        self._edges += len(added)

    def _add_topic(self, topic: Topic) -> int:
        if self._free:
            number = self._free.pop()
            self._topics[number], self._watchers[number] = topic, array("I")
        else:
            number = len(self._topics)
            self._topics.append(topic)
            self._watchers.append(array("I"))
        self._numbers[topic] = number
        return number

    def unwatch(self, slot: int, topics: Sequence[Topic]) -> list[Topic]:
        """Remove edges. Returns the topics that `slot` did watch, each once."""
        own = self._watched.get(slot)
        if own is None:
            return []
        removed = self._unwatch_few(slot, own, topics) if self._are_few(own, topics) else self._unwatch(own, topics)
        if not own:
            del self._watched[slot]
        return removed

    def _unwatch_few(self, slot: int, own: array[int], topics: Sequence[Topic]) -> list[Topic]:
        removed = []
        for topic in topics:
            place = self._find(slot, own, self._numbers.get(topic))
            if place is not None:
                self._remove(own, place)
                removed.append(topic)
        return removed

    def _unwatch(self, own: array[int], topics: Sequence[Topic]) -> list[Topic]:
        # One pass for however many topics: thousands in one message must not cost thousands of searches.
        places = dict(zip(own[::2], range(0, len(own), 2), strict=True))
        removed = []
        for topic in topics:
            place = places.pop(self._numbers.get(topic, -1), None)
            if place is None:
                continue
            self._remove(own, place)
            if place < len(own):
                places[own[place]] = place
            removed.append(topic)
        return removed

    def drop(self, slot: int) -> list[Topic]:
        """Remove all edges of `slot`. Returns the topics that it watched."""
        own = self._watched.pop(slot, None)
        if own is None:
            return []
        removed = [self._topics[number] for number in own[::2]]
        while own:
            self._remove(own, len(own) - 2)
        return removed

    def _remove(self, own: array[int], place: int) -> None:
        """Remove the edge at `place` of a slot's own array, on both sides; the last of each side moves into the gap."""
        number, position = own[place], own[place + 1]
        watchers = self._watchers[number]
        last_place, last_slot = watchers.pop(), watchers.pop()
        if position < len(watchers):
            watchers[position], watchers[position + 1] = last_slot, last_place
            self._watched[last_slot][last_place + 1] = position
        elif not watchers:
            self._watchers[number] = _NOBODY
            self._free.append(number)
            del self._numbers[self._topics[number]]
        last_position, last_number = own.pop(), own.pop()
        if place < len(own):
            own[place], own[place + 1] = last_number, last_position
            self._watchers[last_number][last_position + 1] = place
        self._edges -= 1

    def is_watched(self, topic: Topic) -> bool:
        """Whether anybody watches `topic`; without a copy."""
        return topic in self._numbers

    def watchers(self, topic: Topic) -> array[int]:
        """The slots that watch `topic`, as of now."""
        number = self._numbers.get(topic)
        return _NOBODY if number is None else self._watchers[number][::2]

    def watcher_count(self, topic: Topic) -> int:
        """How many watch `topic`; without a copy."""
        number = self._numbers.get(topic)
        return 0 if number is None else len(self._watchers[number]) // 2

    @property
    def edges(self) -> int:
        return self._edges

    def watched(self, slot: int) -> Iterator[Topic]:
        """The topics that `slot` watches."""
        return map(self._topics.__getitem__, self._watched.get(slot, _NOBODY)[::2])

    def count(self, slot: int) -> int:
        return len(self._watched.get(slot, _NOBODY)) // 2

    def statistics(self) -> InterestStatistics:
        return InterestStatistics(len(self._watched), len(self._numbers), self._edges)

    def __repr__(self) -> str:
        return f"<Interest of {len(self._watched)} watchers in {len(self._numbers)} topics, {self._edges} edges>"
