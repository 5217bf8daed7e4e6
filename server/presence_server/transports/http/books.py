"""Every open connection is in these books: how many there may be, and who goes when there are more.

A connection takes a place when it is accepted, whatever it will speak. When all are taken, one that is of no use to
anybody makes room: the one that has been idle longest between two requests, else the one that has said nothing whole
for longest, if that is longer than `PATIENCE`. Is there none, the newcomer gets no place: it is told so (503) and ends.

Those without a place need descriptors as well. There are `SPARE` of them; with these gone the server accepts nobody
until some are back. Whoever comes meanwhile waits in the kernel's queue, which is longer and resets nobody; an accept
without a descriptor would.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from typing import TYPE_CHECKING, Final, Protocol

if TYPE_CHECKING:
    from presence_server.application.allowances import TooMuch

SPARE: Final = 32
"""Connections beyond the limit that may be there at once, to be told so."""

PATIENCE: Final = 2.0
"""Seconds for which nobody is asked to make room who has not said anything whole yet."""


class Holder(Protocol):
    def give_way(self) -> None:
        """End, now: the place is another's."""


class Place:
    """Where a connection stands in the books. One that speaks WebSocket has none of these: it is only counted."""

    __slots__ = ("holder", "is_taken", "over", "queue", "since")

    def __init__(self, holder: Holder, since: float) -> None:
        self.holder: Holder | None = holder
        self.since = since
        self.is_taken = False
        self.over: TooMuch | None = None
        """The limit that refuses the connection whatever it asks for."""
        self.queue: OrderedDict[Place, None] | None = None


class Books:
    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.open = 0
        """Connections that are open, with a place or without."""
        self.opened = 0
        """Connections that have been opened, ever."""
        self.taken = 0
        self.ahead = 0
        """Bytes that clients have sent ahead of answers."""
        self.on_crowd: Callable[[bool], None] | None = None
        """Called with True when nobody more may be accepted, with False when it goes on."""
        self._is_crowded = False
        self._idle: OrderedDict[Place, None] = OrderedDict()
        self._silent: OrderedDict[Place, None] = OrderedDict()

    def arrive(self, holder: Holder, now: float) -> Place:
        """Enter a connection that was accepted `now`, and give it a place if there is one or somebody makes room."""
        place = Place(holder, now)
        self.open += 1
        self.opened += 1
        if self.seat(place, now):
            place.queue = self._silent
            self._silent[place] = None
        if self.open >= self.limit + SPARE and not self._is_crowded:
            self._is_crowded = True
            if self.on_crowd is not None:
                self.on_crowd(True)
        return place

    def seat(self, place: Place, now: float) -> bool:
        """Give it a place, if it has none and there is one, or somebody makes room. Returns whether it has one."""
        if not place.is_taken and (self.taken < self.limit or self._make_room(now)):
            self.taken += 1
            place.is_taken = True
        return place.is_taken

    def rest(self, place: Place) -> None:
        """All that it asked is answered: it may be the next to make room."""
        if place.queue is None and place.is_taken:
            place.queue = self._idle
            self._idle[place] = None

    def work(self, place: Place) -> None:
        """It has asked something: it will not be sent away."""
        if place.queue is not None:
            del place.queue[place]
            place.queue = None

    def give_back(self, place: Place) -> None:
        """It is still open, but on its way out, and takes nobody's place."""
        self.work(place)
        if place.is_taken:
            place.is_taken = False
            self.taken -= 1

    def leave(self, place: Place) -> None:
        """It is closed."""
        self.give_back(place)
        place.holder = None
        self.close(False)

    def close(self, had_place: bool) -> None:
        """A connection is closed that was only counted."""
        self.open -= 1
        self.taken -= had_place
        if self._is_crowded and self.open <= self.limit + SPARE // 2:
            self._is_crowded = False
            if self.on_crowd is not None:
                self.on_crowd(False)

    def _make_room(self, now: float) -> bool:
        place = next(iter(self._idle), None) or next(iter(self._silent), None)
        if place is None or (place.queue is self._silent and now - place.since < PATIENCE):
            return False
        holder = place.holder
        self.give_back(place)
        if holder is not None:
            holder.give_way()
        return True

    def __repr__(self) -> str:
        return f"<Books, {self.taken} of {self.limit} places taken, {self.open} open>"
