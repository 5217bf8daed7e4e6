"""WebSocket frames, and what may be in them."""

from __future__ import annotations

from presence_server.transports.websocket.frames import sent_frames


def frames_of(data: bytes) -> list[tuple[int, bytes]]:
    """The server's frames in what was written at once: opcode and payload of each."""
    return [(head & 0x0F, payload) for head, payload in sent_frames(data)]


def is_utf8(data: bytes) -> bool:
    """As Python has it, which is as RFC 3629 has it."""
    try:
        data.decode()
    except UnicodeDecodeError:
        return False
    return True
