"""Where diffs go, and what waits for each: outlets by slot, with an outbox each.

A slot is a small integer whose lowest bit is its outlet's codec, so that the hot loop indexes a pair of encoded entries
instead of looking a codec up. An outbox is a plain list, and its slot is dirty while something is in it.
"""

from __future__ import annotations

from array import array
from collections.abc import Collection
from typing import Protocol

from presence_server.application.ports import Sockets


class Outlet(Protocol):
    """A connection, or a poller that waits."""

    @property
    def behind(self) -> bool: ...

    def write(self, frame: bytes) -> None: ...


class Outlets:
    def __init__(self, sockets: Sockets | None = None) -> None:
        self.by_slot: list[Outlet | None] = []
        self.boxes: list[list[bytes]] = []
        self.dirty: list[int] = []
        """Slots into whose empty outbox something was put, in that order, since this list was taken."""
        self.riders: dict[int, bytes] = {}
        """Frames that go out in front of what is in the outbox, by slot."""
        self.sockets = sockets or _NoSockets()
        self.spoken = [0, 0]
        """Outlets by codec."""
        self._free: tuple[list[int], list[int]] = ([], [])
        self._freed: list[int] = []

    def attach(self, outlet: Outlet, codec_number: int, may_reuse: bool) -> int:
        """Give `outlet` a slot; `may_reuse`: nobody holds slots of outlets that are gone."""
        free = self._free[codec_number]
        if not free:
            if may_reuse:
                self._reclaim()
            if not free:
                first = len(self.by_slot)
                self.by_slot += (None, None)
                self.boxes += ([], [])
                self.sockets.reserve(len(self.by_slot))
                for number in (0, 1):
                    self._free[number].append(first + number)
        slot = free.pop()
        self.by_slot[slot] = outlet
        self.spoken[slot & 1] += 1
        return slot

    def detach(self, slot: int) -> None:
        self.by_slot[slot] = None
        self.sockets.forget(slot)
        self.spoken[slot & 1] -= 1
        self.drop(slot)
        self._freed.append(slot)

    def _reclaim(self) -> None:
        for slot in self._freed:
            self._free[slot & 1].append(slot)
        self._freed.clear()

    def put(self, entries: tuple[bytes, bytes], slots: array[int]) -> None:
        """The hot loop: some 50 ns a delivery, most of it memory out of the cache; 45 where one codec is spoken.

        Tried as well: no look at each box and a set of the slots instead (57), `map` with `list.append` (41).
        """
        boxes, dirty = self.boxes, self.dirty
        if all(self.spoken):
            for slot in slots:
                box = boxes[slot]
                if not box:
                    dirty.append(slot)
                box.append(entries[slot & 1])
        else:
            entry = entries[0] or entries[1]
            for slot in slots:
                box = boxes[slot]
                if not box:
                    dirty.append(slot)
                box.append(entry)

    def put_rider(self, slot: int, frame: bytes) -> None:
        if not self.boxes[slot]:
            self.dirty.append(slot)
        self.riders[slot] = frame

    def take_dirty(self) -> list[int]:
        dirty, self.dirty = self.dirty, []
        return dirty

    def drop(self, slot: int) -> bool:
        """Drop what waits for `slot`. Returns whether a rider was among it."""
        self.boxes[slot].clear()
        return self.riders.pop(slot, None) is not None

    def __len__(self) -> int:
        return sum(self.spoken)


class _NoSockets:
    """Whatever is written is the outlets' to write."""

    def write_all(self, slots: Collection[int], frames: tuple[bytes, bytes]) -> list[tuple[int, bytes]]:
        return [(slot, frames[slot & 1]) for slot in slots]

    def reserve(self, slots: int) -> None:
        """There is nothing to reserve."""

    def forget(self, slot: int) -> None:
        """There is nothing to forget."""
