"""Things in the order of the seq that they have now, in which "what came after" costs what did.

It is a log of (seq, thing), cut into chunks. Whatever gets a new seq is appended anew, and its entry from before is
*stale*: its seq is not the thing's any more. With each chunk that is begun, some of those before are cleaned of what is
stale, so that there are never many more entries than things.

Rejected: links in the records (a walk cannot be taken up again from a number, and 16 bytes for each user whether or not
anybody reads); an ordered dict (the same, and 170 bytes).
"""

from __future__ import annotations

from array import array
from bisect import bisect_right
from typing import Final, Generic, NamedTuple, Protocol, TypeVar

CHUNK: Final = 1024
"""Entries of a chunk: 50 us to clean."""

CLEANED: Final = 3
"""Chunks that are cleaned for each that is begun: of all entries, a quarter to a third is stale at most."""


class Numbered(Protocol):
    """A thing: `seq` is 0 once it is gone."""

    @property
    def seq(self) -> int: ...


T = TypeVar("T", bound=Numbered)


class Found(NamedTuple, Generic[T]):
    """Things with the seq of each, in its order; and up to which seq there are no others."""

    things: list[tuple[int, T]]
    reached: int


class _Chunk(Generic[T]):
    __slots__ = ("seqs", "things")

    def __init__(self) -> None:
        self.seqs = array("Q")
        self.things: list[T] = []


class Order(Generic[T]):
    def __init__(self) -> None:
        self._chunks: list[_Chunk[T]] = [_Chunk()]
        self._newest = self._chunks[0]
        self._hand = 0
        self.last = 0
        """The seq of the newest entry, stale or not."""

    def append(self, seq: int, thing: T) -> None:
        """`thing` has a new seq, greater than any before."""
        chunk = self._newest
        if len(chunk.things) >= CHUNK:
            self._clean()
            chunk = self._newest = _Chunk()
            self._chunks.append(chunk)
        chunk.seqs.append(seq)
        chunk.things.append(thing)
        self.last = seq

    def extend(self, newer: Order[T]) -> None:
        """Append all of `newer`, which is given up."""
        if newer.last:
            self._chunks += newer._chunks
            self._newest = newer._newest
            self.last = newer.last

    def after(self, seq: int, most: int, look_at: int, end: int) -> Found[T]:
        """The first `most` things that have a seq after `seq`; of as many entries as `look_at` at most.

        `end`: what is reached where that is all there is.
        """
        found: list[tuple[int, T]] = []
        number = bisect_right(self._chunks, seq, key=_last_of)
        while number < len(self._chunks):
            chunk = self._chunks[number]
            start = bisect_right(chunk.seqs, seq)
            end_of = start + look_at
            for at, thing in zip(chunk.seqs[start:end_of], chunk.things[start:end_of], strict=True):
                if thing.seq == at:
                    found.append((at, thing))
                    if len(found) == most:
                        return Found(found, at)
            look_at -= len(chunk.things) - start
            if look_at <= 0:
                return Found(found, chunk.seqs[min(end_of, len(chunk.seqs)) - 1])
            number += 1
        return Found(found, max(seq, end))

    def _clean(self) -> None:
        """Take out what is stale of some chunks, and join those that have become small."""
        for _ in range(CLEANED):
            if self._hand >= len(self._chunks):
                self._hand = 0
            chunk = self._chunks[self._hand]
            live = [at for at, thing in zip(chunk.seqs, chunk.things, strict=True) if thing.seq == at]
            if len(live) < len(chunk.things):
                chunk.things = [thing for at, thing in zip(chunk.seqs, chunk.things, strict=True) if thing.seq == at]
                chunk.seqs = array("Q", live)
            before = self._chunks[self._hand - 1] if self._hand else None
            if before is not None and len(before.things) + len(chunk.things) <= CHUNK:
                before.seqs += chunk.seqs
                before.things += chunk.things
                del self._chunks[self._hand]
            else:
                self._hand += 1

    def __len__(self) -> int:
        """How many entries there are, stale ones too."""
        return sum(len(chunk.things) for chunk in self._chunks)


def _last_of(chunk: _Chunk[T]) -> int:
    """Only the first chunk may be empty."""
    return chunk.seqs[-1] if chunk.seqs else 0
