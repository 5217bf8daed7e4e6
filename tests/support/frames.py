"""What a server wrote, cut into frames."""

from __future__ import annotations


def frames_of(data: bytes) -> list[tuple[int, bytes]]:
    """The server's frames in what was written at once: opcode and payload of each."""
    frames = []
    at = 0
    while at < len(data):
        opcode, size = data[at] & 15, data[at + 1]
        at += 2
        if size == 126:
            size = int.from_bytes(data[at : at + 2], "big")
            at += 2
        elif size == 127:
            size = int.from_bytes(data[at : at + 8], "big")
            at += 8
        frames.append((opcode, data[at : at + size]))
        at += size
    return frames
