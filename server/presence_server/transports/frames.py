"""WebSocket frames as a server sends them: unmasked, unfragmented (RFC 6455 section 5.2)."""

from typing import Final

from websockets.frames import Opcode

_FIN: Final = 0x80


def frame(opcode: Opcode, payload: bytes) -> bytes:
    """One finished frame."""
    size = len(payload)
    if size < 126:
        head = bytes((_FIN | opcode, size))
    elif size < 65_536:
        head = bytes((_FIN | opcode, 126)) + size.to_bytes(2, "big")
    else:
        head = bytes((_FIN | opcode, 127)) + size.to_bytes(8, "big")
    return head + payload


def text_frame(payload: bytes) -> bytes:
    return frame(Opcode.TEXT, payload)


def binary_frame(payload: bytes) -> bytes:
    return frame(Opcode.BINARY, payload)


FRAMERS: Final = (text_frame, binary_frame)
"""By the codec's number."""

PING: Final = frame(Opcode.PING, b"")
