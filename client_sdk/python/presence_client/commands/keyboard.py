"""Standard input, read without a thread: one that sits in a read cannot be told to end."""

from __future__ import annotations

import asyncio
import os
import sys


def lines() -> asyncio.Queue[str | None]:
    """Lines as they are typed, into a queue; None when there will be no more."""
    queue: asyncio.Queue[str | None] = asyncio.Queue()
    loop = asyncio.get_running_loop()
    descriptor = sys.stdin.fileno()
    rest = bytearray()

    def read() -> None:
        try:
            data = os.read(descriptor, 4096)
        except BlockingIOError:
            return
        except OSError:  # the terminal is gone
            data = b""
        rest.extend(data)
        *whole, tail = rest.split(b"\n")
        rest[:] = tail
        if not data:
            loop.remove_reader(descriptor)
            whole = [rest] if rest else []
        for line in whole:
            queue.put_nowait(line.decode(errors="replace"))
        if not data:
            queue.put_nowait(None)

    try:
        loop.add_reader(descriptor, read)
    except PermissionError:  # a file, or /dev/null: epoll will not have it, but it never blocks
        for line in sys.stdin:
            queue.put_nowait(line)
        queue.put_nowait(None)
    return queue
