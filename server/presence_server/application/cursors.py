"""Cursors: how far a client was served, as an opaque short string.

A cursor is (process epoch, settled seq, version), and for `/changes` a digest of the id set that it speaks for.
Resume needs no replay log, since only the last value counts: whoever watches is sent the watched users whose record
has a greater seq. A cursor is covered if and only if its epoch is ours and floor <= seq <= current; no clock decides.
With an engine whose seq is its version, the version part says nothing more and is left out.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from hashlib import blake2b
from typing import NamedTuple, Protocol

from presence_server.domain.model import UserKey

MAX_CURSOR = 100
"""Longest cursor that is read at all, in characters; ours have about 30."""


class Numbered(Protocol):
    """Whatever has an engine's epoch, seq and floor."""

    @property
    def epoch(self) -> int: ...

    @property
    def seq(self) -> int: ...

    @property
    def floor(self) -> int: ...

    @property
    def gaps(self) -> Sequence[tuple[int, int]]: ...


class Cursor(NamedTuple):
    epoch: int
    seq: int
    digest: str = ""

    def __str__(self) -> str:
        text = f"{self.epoch:x}.{self.seq:x}"
        return f"{text}.{self.digest}" if self.digest else text


def parse(text: str) -> Cursor | None:
    """The cursor that `text` is; None for anything that no server of this version gave out."""
    if len(text) > MAX_CURSOR or not text.isascii():
        return None
    epoch, _, rest = text.partition(".")
    seq, _, digest = rest.partition(".")
    try:
        cursor = Cursor(int(epoch, 16), int(seq, 16), digest)
    except ValueError:
        return None
    return cursor if cursor.epoch >= 0 <= cursor.seq and str(cursor) == text else None


def digest_of(user_ids: Iterable[UserKey]) -> str:
    """A digest of a set of ids, whatever their order and repeats. No id holds a slash."""
    text = "/".join(sorted(map(str, set(user_ids))))
    return blake2b(text.encode(), digest_size=8).hexdigest()


def is_lost(gaps: Sequence[tuple[int, int]], seq: int) -> bool:
    """Whether a cursor of that seq claims what may be lost with a restart: see `Engine.gaps`."""
    return any(after < seq <= until for after, until in gaps)


def resumable_seq(engine: Numbered, text: str | None, digest: Callable[[], str]) -> int | None:
    """The seq from which a client with cursor `text` can be resumed; None: send it everything.

    `digest` gives that of the ids in question, should the cursor speak for a set of ids.
    """
    cursor = None if text is None else parse(text)
    if cursor is None or cursor.epoch != engine.epoch or not engine.floor <= cursor.seq <= engine.seq:
        return None
    if is_lost(engine.gaps, cursor.seq):
        return None
    if cursor.digest and cursor.digest != digest():
        return None
    return cursor.seq
