"""Where a request ends in a stream of bytes (RFC 9112 section 6): what is fed to the HTTP parser at once.

The parser calls back for each request that it is fed, and cannot be asked to stop after one. So it is fed no more than
the request that is being read, and what a client sends ahead stays bytes, at a cost of one byte for each. This is no
second parser: it says where to cut, and whatever it takes for an end that is none the parser refuses.
"""

from __future__ import annotations

import re
from typing import Final

_SIZE: Final = re.compile(rb"([0-9A-Fa-f]{1,15})[ \t]*(?:;.*)?\r\n")
_HEAD, _LENGTH, _SIZES, _TRAILERS = range(4)


class Framing:
    """What of the stream belongs to the request that is being read. A new one waits for a head."""

    __slots__ = ("_left", "_seen", "_state")

    def __init__(self) -> None:
        self._state = _HEAD
        self._left = 0  # bytes that are known to follow
        self._seen = b""  # of the end of a head, or of a line, what came in earlier pieces

    def begin(self) -> None:
        """The request has ended: what follows is another one's head."""
        self._state, self._left, self._seen = _HEAD, 0, b""

    def expect_length(self, length: int) -> None:
        """The head has ended, and a body of that many bytes follows."""
        self._state, self._left = _LENGTH, length

    def expect_chunks(self) -> None:
        """The head has ended, and a chunked body follows."""
        self._state = _SIZES

    def cut(self, data: bytes, start: int, most: int) -> int:
        """Where to end the piece of `data` that begins at `start`: at the head's or the body's end, or before.

        A piece of a body has `most` bytes, give or take a line. Raises ValueError where chunks are none.
        """
        if self._state == _HEAD:
            return self._head(data, start)
        stop = min(len(data), start + most)
        if self._state == _LENGTH:
            end = min(stop, start + self._left)
            self._left -= end - start
            return end
        return self._chunks(data, start, stop)

    def _head(self, data: bytes, start: int) -> int:
        seen = self._seen
        if seen:  # the end may lie across the pieces
            found = (seen + data[start : start + 3]).find(b"\r\n\r\n")
            if found >= 0:
                self._seen = b""
                return start + found + 4 - len(seen)
        found = data.find(b"\r\n\r\n", start)
        if found >= 0:
            self._seen = b""
            return found + 4
        self._seen = (seen + data[max(start, len(data) - 3) :])[-3:]
        return len(data)

    def _chunks(self, data: bytes, start: int, stop: int) -> int:
        at = start
        while at < stop:
            if self._left:
                taken = min(stop - at, self._left)
                self._left -= taken
                at += taken
                continue
            found = data.find(b"\n", at)
            if found < 0:
                self._seen += data[at:]
                return len(data)
            line, self._seen = self._seen + data[at : found + 1], b""
            at = found + 1
            if self._state == _SIZES:
                size = _SIZE.fullmatch(line)
                if size is None:
                    raise ValueError("a chunk without a size")
                self._left = int(size[1], 16)
                if self._left:
                    self._left += 2  # and the line's end after it
                else:
                    self._state = _TRAILERS
            elif line == b"\r\n":
                return at
        return at
