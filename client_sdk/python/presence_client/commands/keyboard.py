"""Standard input, line by line, without holding up the loop or the end of the process."""

from __future__ import annotations

import asyncio
import os
import sys
import threading
from collections.abc import Callable
from typing import Final

LONGEST: Final = 4096
"""Bytes of a line that are kept: what is longer is cut, so that no input fills the memory."""


class Lines:
    """Bytes as they come, made into lines in a queue; None when there will be no more."""

    def __init__(self) -> None:
        self.queue: asyncio.Queue[str | None] = asyncio.Queue()
        self._rest = b""

    def feed(self, data: bytes) -> None:
        """Some more bytes; none is the end."""
        *whole, self._rest = (self._rest + data).split(b"\n")
        self._rest = self._rest[:LONGEST]
        if not data and self._rest:
            whole.append(self._rest)
        for line in whole:
            self.queue.put_nowait(line[:LONGEST].decode(errors="replace"))
        if not data:
            self.queue.put_nowait(None)


def lines() -> asyncio.Queue[str | None]:
    """Lines as they are typed, into a queue; None when there will be no more."""
    loop = asyncio.get_running_loop()
    typed = Lines()
    descriptor = sys.stdin.fileno()

    def read() -> None:
        if (data := _read(descriptor)) is not None:
            typed.feed(data)
            if not data:
                loop.remove_reader(descriptor)

    try:
        loop.add_reader(descriptor, read)
    except (NotImplementedError, OSError, ValueError):  # Windows; a file, which epoll will not have
        _read_in_a_thread(loop, descriptor, typed.feed)
    return typed.queue


def _read(descriptor: int) -> bytes | None:
    try:
        return os.read(descriptor, LONGEST)
    except BlockingIOError:
        return None
    except OSError:  # the terminal is gone
        return b""


def _read_in_a_thread(loop: asyncio.AbstractEventLoop, descriptor: int, feed: Callable[[bytes], None]) -> None:
    """A thread that sits in a read cannot be told to end: it is a daemon, and holds no lock that the end needs."""
    # Unbuffered, since a buffer has such a lock. On Windows this is the console itself, in UTF-8.
    source = open(descriptor, "rb", buffering=0, closefd=False)  # noqa: SIM115 - for as long as the process runs

    def read() -> None:
        data: bytes | None = b"?"
        try:
            while data:
                data = source.read(LONGEST)
                loop.call_soon_threadsafe(feed, data or b"")
        except OSError:
            loop.call_soon_threadsafe(feed, b"")
        except RuntimeError:
            pass  # the loop has ended meanwhile

    threading.Thread(target=read, daemon=True).start()
