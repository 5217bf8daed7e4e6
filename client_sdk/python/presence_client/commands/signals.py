"""Ctrl-C and its like: they end a command as if it were done, on every system."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Coroutine
from types import FrameType
from typing import Any, Final

NAMES: Final = ("SIGINT", "SIGTERM", "SIGHUP", "SIGBREAK")
"""What means leave. Not every system has all of them: SIGHUP is a closed terminal, SIGBREAK Ctrl-Break on Windows."""


async def until_told(work: Coroutine[Any, Any, int]) -> int:
    """Do the work until it is done, or until a signal says to leave; a second one hurries the goodbye.

    Returns its result, or minus the signal's number. A signal that is ignored (`nohup`, `&`) stays so.
    """
    loop = asyncio.get_running_loop()
    task = asyncio.ensure_future(work)
    told: list[int] = []

    def leave(number: int, frame: FrameType | None) -> None:
        told.append(number)
        loop.call_soon_threadsafe(task.cancel)

    # Not the loop's own signal handlers: on Windows there are none.
    numbers = [getattr(signal, name) for name in NAMES if hasattr(signal, name)]
    before = {number: signal.getsignal(number) for number in numbers}
    taken = {number: handler for number, handler in before.items() if handler not in (signal.SIG_IGN, None)}
    for number in taken:
        signal.signal(number, leave)
    try:
        return await task
    except asyncio.CancelledError:
        if told:
            return -told[0]
        raise
    finally:
        for number, handler in taken.items():
            signal.signal(number, handler)
