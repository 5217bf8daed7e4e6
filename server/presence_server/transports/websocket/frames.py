"""WebSocket frames (RFC 6455 section 5.2): as a server sends them, and the plain ones of those that it receives."""

from collections.abc import Iterator
from typing import Final

from websockets.frames import Opcode, apply_mask  # type: ignore[attr-defined]  # the one in C where there is one

# An enum's member costs 50 ns to look up, ten times what a global does.
_TEXT: Final = Opcode.TEXT
_BINARY: Final = Opcode.BINARY

_FIN: Final = 0x80
_MASKED: Final = 0x80
RSV1: Final = 0x40
"""Set in the first byte of a frame whose payload is compressed (RFC 7692 section 6)."""


def frame(opcode: int, *pieces: bytes) -> bytes:
    """One finished frame with a payload of those pieces; reserved bits may stand beside its opcode."""
    size = sum(map(len, pieces))
    if size < 126:
        head = bytes((_FIN | opcode, size))
    elif size < 65_536:
        head = bytes((_FIN | opcode, 126)) + size.to_bytes(2, "big")
    else:
        head = bytes((_FIN | opcode, 127)) + size.to_bytes(8, "big")
    return b"".join((head, *pieces))


def pong_frame(payload: bytes) -> bytes:
    return frame(Opcode.PONG, payload)


def close_frame(code: int, reason: bytes) -> bytes:
    return frame(Opcode.CLOSE, code.to_bytes(2, "big") + reason)


def text_frame(*pieces: bytes) -> bytes:
    return frame(_TEXT, *pieces)


def binary_frame(*pieces: bytes) -> bytes:
    return frame(_BINARY, *pieces)


FRAMERS: Final = (text_frame, binary_frame)
"""By the codec's number."""

PING: Final = frame(Opcode.PING, b"")


def sent_frames(data: bytes) -> Iterator[tuple[int, bytes]]:
    """First byte and payload of each frame in `data`, which was written by a server."""
    start = 0
    while start < len(data):
        head, size = data[start], data[start + 1]
        start += 2
        if size > 125:
            width = 2 if size == 126 else 8
            size = int.from_bytes(data[start : start + width], "big")
            start += width
        yield head, data[start : start + size]
        start += size


_PLAIN: Final = {_FIN | opcode: opcode for opcode in (Opcode.TEXT, Opcode.BINARY, Opcode.PING, Opcode.PONG)}
"""First bytes of the frames that are read without a parser."""


def plain_frame(data: bytes, most: int) -> tuple[Opcode, bytes] | None:
    """The message, ping or pong of `most` bytes at most that is all of `data`, unmasked; None: ask a parser.

    That is what nearly every read of an idle connection brings. It costs 0.25 us here; a parser, which is lent, resumed
    through its generators, asked whether it is between two frames and given back, costs 2.6. Whatever is unusual in any
    way is not judged here: only a parser decides what RFC 6455 allows.

    Tried as well: a list of all frames in `data`, handled by the same loop as a parser's (0.4 us more for each message,
    for the sake of the few that arrive two at a time); unmasking as one long integer (0.5 us instead of 0.1).
    """
    if len(data) < 6 or (opcode := _PLAIN.get(data[0])) is None:
        return None
    size, start = data[1] - _MASKED, 6
    if size > 125:
        if size == 127 or opcode > Opcode.CLOSE:
            return None
        size, start = data[2] << 8 | data[3], 8
        if size < 126:
            return None
    if size > most or start + size != len(data):
        return None
    payload = apply_mask(data[start:], data[start - 4 : start])
    if opcode is _TEXT and not payload.isascii() and not _is_utf8(payload):
        return None
    return opcode, payload


def _is_utf8(payload: bytes) -> bool:
    try:
        payload.decode()
    except UnicodeDecodeError:
        return False
    return True
