"""The bytes of a file: a first line that names the format, then frames, each with its length and checksum.

The checksum of a frame is begun with that of the frame before it. So a frame that is lost, repeated or out of place is
seen as a bit that flipped is, and a file can say whose continuation it is by one number.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from struct import Struct
from typing import BinaryIO, Final
from zlib import crc32

FORMAT: Final = 1
FIRST_LINE: Final = b"presence-state %d\n" % FORMAT

_FIRST_LINE: Final = re.compile(rb"presence-state ([0-9]{1,9})\n")
_HEAD: Final = Struct("<II")

LONGEST: Final = 256 * 1024 * 1024
"""Bytes of one frame. Ours have some 200 KB at most."""


class Flaw(Exception):
    """Why a file, or the rest of it, cannot be used. `good`: bytes before that which can be."""

    def __init__(self, reason: str, good: int) -> None:
        super().__init__(reason)
        self.reason = reason
        self.good = good


def frame(payload: bytes, before: int) -> tuple[bytes, int]:
    """The bytes of a frame, and its checksum. `before`: that of the frame before; of the first one, any."""
    checksum = crc32(payload, before)
    return _HEAD.pack(len(payload), checksum) + payload, checksum


def read_frames(file: BinaryIO, first: int = 0) -> Iterator[tuple[bytes, int]]:
    """The payload and the checksum of each frame. `first`: the checksum before the first frame.

    Raises:
        Flaw: from there on the file cannot be used.
        OSError: it cannot be read.
    """
    line = file.readline(len(FIRST_LINE) + 16)
    named = _FIRST_LINE.fullmatch(line)
    if named is None:
        reason = "it is cut in its first line" if FIRST_LINE.startswith(line) else "it is no file of this server"
        raise Flaw(reason, 0)
    if int(named[1]) != FORMAT:
        raise Flaw(f"it is of format {int(named[1])}, this server knows {FORMAT}", 0)
    good, before = len(line), first
    while head := file.read(_HEAD.size):
        if len(head) < _HEAD.size:
            raise Flaw("it ends within an entry", good)
        length, checksum = _HEAD.unpack(head)
        if length > LONGEST:
            raise Flaw("an entry is damaged", good)
        payload = file.read(length)
        if len(payload) < length:
            raise Flaw("it ends within an entry", good)
        if crc32(payload, before) != checksum:
            raise Flaw("an entry is damaged", good)
        yield payload, checksum
        good, before = good + _HEAD.size + length, checksum
