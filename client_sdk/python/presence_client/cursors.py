"""Where a reader of the feed keeps its place.

A cursor belongs to what was made of the changes before it. Keep both in the same place, or neither: whoever holds
everybody's presence in memory alone (`Presences`) keeps the cursor in memory as well, and is told everybody present
anew after a restart. Whoever keeps a table keeps the cursor beside it; in the same transaction, if there is one.
"""

from __future__ import annotations

import os
from collections.abc import Awaitable
from pathlib import Path
from typing import Protocol


class CursorStore(Protocol):
    """What keeps a cursor. Both may be asynchronous."""

    def load(self) -> str | Awaitable[str | None] | None:
        """The cursor that was saved last; None: there is none yet."""

    def save(self, cursor: str) -> Awaitable[None] | None:
        """Keep `cursor`: all that comes before it was taken."""


class MemoryCursor:
    """Keeps it as long as the program runs."""

    def __init__(self, cursor: str | None = None) -> None:
        self.cursor = cursor

    def load(self) -> str | None:
        """The cursor that was saved last; None: none yet."""
        return self.cursor

    def save(self, cursor: str) -> None:
        """Keep it until the program ends."""
        self.cursor = cursor


class FileCursor:
    """Keeps it in a file, which is replaced as a whole: a program that is killed leaves the old one, or the new one."""

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)

    def load(self) -> str | None:
        """Raises OSError if there is a file that cannot be read."""
        try:
            return self.path.read_text("ascii").strip() or None
        except FileNotFoundError:
            return None
        except UnicodeDecodeError:
            return None  # not what was saved: everybody present is told anew

    def save(self, cursor: str) -> None:
        """Raises OSError if it cannot be written."""
        beside = self.path.with_name(f"{self.path.name}.{os.getpid()}.new")
        beside.write_text(f"{cursor}\n", "ascii")
        beside.replace(self.path)
