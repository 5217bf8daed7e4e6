"""The standard streams, whatever they are: closed, a pipe that nobody reads, a console without the letters."""

from __future__ import annotations

import asyncio
import errno
import os
import stat
import sys
from contextlib import suppress
from typing import Final, TextIO

_GONE: Final = {errno.EPIPE, errno.EIO, errno.ESHUTDOWN, errno.EINVAL}  # EIO: a terminal's window; EINVAL: Windows


class Unwritable(Exception):
    """Standard output takes nothing any more. `is_gone`: whoever read it has left, which is no failure."""

    def __init__(self, failure: OSError) -> None:
        super().__init__(f"cannot write: {os.strerror(failure.errno or errno.EIO)}")
        self.is_gone = failure.errno in _GONE


def prepare() -> None:
    """Make the standard streams bear what comes. To be called before anything else is opened."""
    for descriptor, name, mode in ((0, "stdin", "r"), (1, "stdout", "w"), (2, "stderr", "w")):
        try:
            os.fstat(descriptor)
        except OSError:  # closed: the next socket would take its number, and be written to
            os.open(os.devnull, os.O_RDWR)
        if getattr(sys, name) is None:
            stream = open(descriptor, mode, encoding="utf-8", closefd=False)  # noqa: SIM115 - until the process ends
            setattr(sys, name, stream)
    with suppress(AttributeError):  # a test's own stream
        sys.stdout.reconfigure(errors="replace")  # type: ignore[union-attr]


def say(line: str, to: TextIO | None = None) -> None:
    """Print a line, at once: who reads a pipe wants to see it, too.

    Raises:
        Unwritable: standard output takes nothing. Other streams are left silent.
    """
    write(line + "\n", to or sys.stdout)


def write(text: str, stream: TextIO) -> None:
    """Write, at once. Raises as `say` does."""
    try:
        stream.write(text)
        stream.flush()
    except OSError as failure:
        if stream is sys.stdout:
            raise Unwritable(failure) from None


def discard_output() -> None:
    """Let what standard output still holds vanish, so that it is no error at the end."""
    with suppress(OSError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


async def reader_gone() -> None:
    """Wait until nobody reads standard output any more, where it is a pipe; else for ever.

    Raises:
        Unwritable: that is so. Without this, `watch | head -1` would go on until the next change.
    """
    loop = asyncio.get_running_loop()
    gone = asyncio.Event()
    descriptor = -1
    with suppress(OSError, ValueError, NotImplementedError):
        number = sys.stdout.fileno()
        if stat.S_ISFIFO(os.fstat(number).st_mode):
            loop.add_reader(number, gone.set)  # the end for writing is readable when the other one is closed
            descriptor = number
    try:
        await gone.wait()
    finally:
        if descriptor >= 0:
            loop.remove_reader(descriptor)
    raise Unwritable(BrokenPipeError(errno.EPIPE, ""))
