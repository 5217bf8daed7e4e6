"""The files of a state, read in their order. What cannot be used is said in one line, and set aside."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import msgspec

from presence_server.state.folder import Folder
from presence_server.state.form import (
    JOURNAL,
    SNAPSHOT,
    Ended,
    Entries,
    Mark,
    Origin,
    decode_ended,
    decode_entries,
    decode_origin,
)
from presence_server.state.frames import Flaw, read_frames


class Reader(Protocol):
    """What is told of the entries, in their order: the last word on each key is the last."""

    def entries(self, entries: Entries) -> None: ...

    def start_over(self) -> None:
        """Nothing that was told before holds."""
        ...


class Read(NamedTuple):
    """What was read. `origin` is None where there is nothing; its mark and `after` are of the end of the last journal.

    `number`: the highest of any file that there is. `mark`: how far things were by whatever could be read of it."""

    origin: Origin | None
    number: int
    mark: Mark


def read(
    folder: Folder, user_ids: str, reader: Reader, begin: Callable[[Origin], None], tell: Callable[[str], None]
) -> Read:
    """Read a state. `begin` is told of the origin before any entry, `tell` of what cannot be used, a line each.

    Raises OSError: the directory cannot be read.
    """
    snapshots, journals = folder.numbers(SNAPSHOT), folder.numbers(JOURNAL)
    number = max((*snapshots, *journals), default=0)
    if not number:
        return Read(None, 0, Mark())
    # Before the first snapshot is whole, the first journal is everything.
    path = folder.snapshot(snapshots[-1]) if snapshots else folder.journal(journals[0])
    try:
        origin = _read_snapshot(path, user_ids, reader, begin) if snapshots else _beginning(path, user_ids, begin)
    except (Flaw, OSError) as failure:
        reader.start_over()
        mark = _salvaged(folder, journals)
        _set_aside(folder, path, _reason(failure), tell)
        for left in journals:
            folder.set_aside(folder.journal(left))
        return Read(None, number, mark)
    checksum, mark, is_first = 0, origin.mark, True
    for left in journals:
        if snapshots and left < snapshots[-1]:
            continue
        path = folder.journal(left)
        try:
            for found, checked in _read_journal(path, checksum, is_first, reader):
                if isinstance(found, Origin):
                    origin = found
                mark, checksum, is_first = _later(mark, found.mark), checked, False
        except (Flaw, OSError) as failure:
            _copy_aside(folder, path, failure, tell)
            if isinstance(failure, _Stranger):
                # What it adds to is not there; but what it said may be given out is given out.
                mark = _at_least(mark, failure.mark)
    return Read(origin._replace(mark=mark, after=checksum), number, mark)


class _Stranger(Flaw):
    """A journal that continues another than that which was read."""

    def __init__(self, mark: Mark) -> None:
        super().__init__("it continues another file than is there", 0)
        self.mark = mark


def _read_snapshot(path: Path, user_ids: str, reader: Reader, begin: Callable[[Origin], None]) -> Origin:
    users = others = 0
    origin: Origin | None = None
    with path.open("rb") as file:
        for payload, _ in read_frames(file):
            if origin is None:
                origin = _decoded(decode_origin, payload)
                if origin.kind != SNAPSHOT:
                    raise Flaw("it is no snapshot", 0)
                _check_ids(origin, user_ids)
                begin(origin)
                continue
            try:
                entries = decode_entries(payload)
            except msgspec.MsgspecError:
                if _decoded(decode_ended, payload) != Ended(users, others) or file.read(1):
                    raise Flaw("it is not whole", 0) from None
                return origin
            users += len(entries.users)
            others += len(entries.others)
            reader.entries(entries)
    raise Flaw("its end is missing", 0)


def _beginning(path: Path, user_ids: str, begin: Callable[[Origin], None]) -> Origin:
    for origin, _ in _read_journal(path, 0, True, None):
        assert isinstance(origin, Origin)
        if not origin.begins:
            raise Flaw("its snapshot is not there", 0)
        _check_ids(origin, user_ids)
        begin(origin)
        return origin
    raise Flaw("it is empty", 0)


def _check_ids(origin: Origin, user_ids: str) -> None:
    if origin.user_ids != user_ids:
        raise Flaw(f"it was written with --user-ids {origin.user_ids}, this is {user_ids}", 0)


def _read_journal(
    path: Path, after: int, is_first: bool, reader: Reader | None
) -> Iterator[tuple[Origin | Entries, int]]:
    origin: Origin | None = None
    with path.open("rb") as file:
        for payload, checksum in read_frames(file):
            if origin is None:
                origin = _decoded(decode_origin, payload)
                if origin.kind != JOURNAL:
                    raise Flaw("it is no journal", 0)
                if not is_first and origin.after != after:
                    raise _Stranger(origin.mark)
                yield origin, checksum
                continue
            entries = _decoded(decode_entries, payload)
            if reader is not None:
                reader.entries(entries)
            yield entries, checksum
    if origin is None:
        raise Flaw("it is empty", 0)


def _decoded(decode: Callable[[bytes], Any], payload: bytes) -> Any:
    try:
        return decode(payload)
    except msgspec.MsgspecError as failure:
        raise Flaw(f"an entry cannot be understood: {failure}", 0) from None


def _salvaged(folder: Folder, journals: Sequence[int]) -> Mark:
    """How far things were by journals that are of no use without their snapshot."""
    mark = Mark()
    for number in journals:
        with suppress(Flaw, OSError):
            for found, _ in _read_journal(folder.journal(number), 0, True, None):
                mark = _at_least(mark, found.mark)
    return mark


def _later(before: Mark, after: Mark) -> Mark:
    """`after`, with nothing that may go back."""
    return _at_least(after, before)


def _at_least(mark: Mark, other: Mark) -> Mark:
    return mark._replace(
        floor=max(mark.floor, other.floor),
        followed_to=max(mark.followed_to, other.followed_to),
        number=max(mark.number, other.number),
    )


def _reason(failure: Flaw | OSError) -> str:
    return failure.reason if isinstance(failure, Flaw) else failure.strerror or str(failure)


def _set_aside(folder: Folder, path: Path, reason: str, tell: Callable[[str], None]) -> None:
    tell(f"state {path} is not used: {reason}; it is kept as {path.name}.damaged")
    folder.set_aside(path)


def _copy_aside(folder: Folder, path: Path, failure: Flaw | OSError, tell: Callable[[str], None]) -> None:
    good = failure.good if isinstance(failure, Flaw) else 0
    kept = f"it is kept as {path.name}.damaged"
    if good:
        tell(f"state {path} is used up to byte {good}: {_reason(failure)}; {kept}")
    else:
        tell(f"state {path} is not used: {_reason(failure)}; {kept}")
    folder.keep_copy(path)
