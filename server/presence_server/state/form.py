"""What stands in the frames of a snapshot or a journal, and its bytes."""

from __future__ import annotations

from typing import Any, Final, NamedTuple

import msgspec

from presence_server.domain.stored import StoredUser

SNAPSHOT: Final = "snapshot"
JOURNAL: Final = "journal"


class Mark(NamedTuple):
    """How far things are. It stands in every frame.

    `now`, `utc`: both clocks when time last passed for users: at the last sweep that let things expire.
    `seq`: whatever was told up to it is in the files by the end of this frame. `floor`: as of the engine.
    `followed_to`: no version is given beyond that of these milliseconds (see `domain.versions`).
    `number`: the last one given to a session.
    """

    now: float = 0.0
    utc: float = 0.0
    seq: int = 0
    floor: int = 0
    followed_to: int = 0
    number: int = 0


class Gap(NamedTuple):
    """Seqs above `after`, up to `until`, which were given out before a restart and may be of what was lost with it."""

    after: int
    until: int


class Origin(NamedTuple):
    """The first frame of a file: what it is, and what holds for all that follows.

    `after`: the checksum of the last frame of the journal that this one continues; 0 of a snapshot, and of the first.
    `begins`: a journal before which there was nothing, so that it needs no snapshot.
    `boot`: names the run of the machine, whose clock of durations `Mark.now` is of; empty where nothing does.
    `sight`: names the settings by which it is decided who sees what.
    """

    kind: str
    number: int
    epoch: int
    user_ids: str
    multiplier: int
    boot: str
    sight: str
    gaps: tuple[Gap, ...]
    after: int
    begins: bool
    mark: Mark


class Entries(NamedTuple):
    """Users, and what else there is: section, key, and value; a value of None says that there is nothing any more."""

    mark: Mark
    users: tuple[StoredUser, ...] = ()
    gone: tuple[int | str, ...] = ()
    others: tuple[tuple[str, Any, Any], ...] = ()


class Ended(NamedTuple):
    """The last frame of a snapshot: without it, it is not whole."""

    users: int
    others: int


_encoder: Final = msgspec.msgpack.Encoder()
_origin: Final = msgspec.msgpack.Decoder(Origin)
_ended: Final = msgspec.msgpack.Decoder(Ended)
_entries: Final = msgspec.msgpack.Decoder(Entries)

encode: Final = _encoder.encode
decode_origin: Final = _origin.decode
decode_entries: Final = _entries.decode
decode_ended: Final = _ended.decode
