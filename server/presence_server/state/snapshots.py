"""Everything that is kept, as the frames of a snapshot: made one at a time, so that whoever writes them may pause."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Final, Protocol

from presence_server.domain.model import UserKey
from presence_server.state.form import Ended, Origin, encode
from presence_server.state.frames import FIRST_LINE, frame
from presence_server.state.sections import Section

PIECE: Final = 200
"""Entries of one frame: half a millisecond."""

HEAVY: Final = 10_000
"""Ids in the lists of one frame."""


class Users(Protocol):
    """The records of a table: see `domain.table`."""

    def dump(self, key: UserKey, user_id: int | str) -> tuple[Any, ...] | None: ...

    def keys_by_shard(self) -> Iterator[Sequence[UserKey]]: ...


def frames_of(
    origin: Origin, users: Users, user_id: Callable[[UserKey], int | str], sections: Mapping[str, Section]
) -> Iterator[bytes]:
    """The bytes of a snapshot. Each entry is as it is when its frame is made."""
    data, checksum = frame(encode(origin), 0)
    yield FIRST_LINE + data
    counts = [0, 0]
    for entries in _pieces(users, user_id, sections):
        counts[0] += len(entries[0])
        counts[1] += len(entries[1])
        data, checksum = frame(encode((origin.mark, entries[0], (), entries[1])), checksum)
        yield data
    yield frame(encode(Ended(*counts)), checksum)[0]


def _pieces(
    users: Users, user_id: Callable[[UserKey], int | str], sections: Mapping[str, Section]
) -> Iterator[tuple[list[Any], list[Any]]]:
    for keys in users.keys_by_shard():
        for start in range(0, len(keys), PIECE):
            dumped = (users.dump(key, user_id(key)) for key in keys[start : start + PIECE])
            yield [user for user in dumped if user is not None], []
    for name, section in sections.items():
        piece: list[Any] = []
        weight = 0
        for one in list(section.keys()):
            key, value = section.dump(one)
            if value is not None:
                piece.append((name, key, value))
                weight += sum(map(len, value)) if isinstance(value, tuple) and type(value[0]) is list else 1
            if len(piece) >= PIECE or weight >= HEAVY:
                yield [], piece
                piece, weight = [], 0
        if piece:
            yield [], piece
