"""For programs that are one script: how `asyncio.run` ends where nobody catches anything."""

import asyncio
from collections.abc import Coroutine
from typing import Any, Final, TypeVar

from presence_client.errors import PresenceError

INTERRUPTED: Final = 130
"""The exit status of a program that Ctrl-C ended, as shells have it: 128 and the signal's number."""

T = TypeVar("T")


def run(main: Coroutine[Any, Any, T]) -> T:
    """Run `main` as `asyncio.run` does, and return its result, but end without a traceback where none helps.

    Raises:
        SystemExit: 130 after Ctrl-C, once clients have said goodbye; or 1 with the text of a `PresenceError`, such as
            that of a server which cannot be reached.
    """
    try:
        return asyncio.run(main)
    except KeyboardInterrupt:
        raise SystemExit(INTERRUPTED) from None
    except PresenceError as error:
        raise SystemExit(f"{type(error).__name__}: {error}") from None
