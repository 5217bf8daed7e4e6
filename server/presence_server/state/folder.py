"""The directory of a state: who holds it, the names in it, and what is done with files that cannot be used."""

from __future__ import annotations

import errno
import fcntl
import os
import re
from contextlib import suppress
from pathlib import Path
from typing import Final

from presence_server.state.form import JOURNAL, SNAPSHOT

DAMAGED: Final = ".damaged"
MOST_DAMAGED: Final = 8
"""Files that are kept aside: of more, the oldest go."""

_NAME: Final = re.compile(r"(snapshot|journal)-([0-9]{6,18})")


class Held(Exception):
    """Another process holds the directory. Its text is one line for whoever started this one."""


class Folder:
    """Made and held by `open`, which may be called again after a failure."""

    def __init__(self, path: str) -> None:
        self.path = Path(path)
        self._lock = -1

    def open(self) -> None:
        """Make the directory if there is none, and hold it.

        The lock is on the directory itself, so that it needs no file, and goes with the process.

        Raises:
            Held: another process has it.
            OSError: it cannot be made or opened.
        """
        self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
        made = os.open(self.path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        if self._lock >= 0 and os.path.sameopenfile(made, self._lock):
            os.close(made)
            return
        try:
            fcntl.flock(made, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(made)
            raise Held(f"state {self.path} is in use by another process") from None
        except OSError:
            os.close(made)
            raise
        self.close()
        self._lock = made

    def close(self) -> None:
        """Let go of it."""
        if self._lock >= 0:
            os.close(self._lock)
            self._lock = -1

    # -- names ---------------------------------------------------------------------------------------------------------

    def journal(self, number: int) -> Path:
        return self.path / f"{JOURNAL}-{number:06}"

    def snapshot(self, number: int) -> Path:
        return self.path / f"{SNAPSHOT}-{number:06}"

    def aside(self, number: int) -> Path:
        """Where a snapshot is written before it is whole."""
        return self.path / f"{SNAPSHOT}-{number:06}.new"

    def numbers(self, kind: str) -> list[int]:
        """Of the files of that kind, ascending. Raises OSError."""
        names = (_NAME.fullmatch(name) for name in os.listdir(self.path))
        return sorted(int(name[2]) for name in names if name is not None and name[1] == kind)

    # -- changes -------------------------------------------------------------------------------------------------------

    @staticmethod
    def create(path: Path) -> int:
        """The descriptor of a new file that nobody else may read. Raises OSError."""
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_APPEND | os.O_CLOEXEC
        return os.open(path, flags, 0o600)

    @staticmethod
    def look_for(descriptor: int, path: Path) -> None:
        """Raises OSError: the open file is not what its name leads to any more, so nobody will ever read it."""
        if not os.path.samestat(os.fstat(descriptor), path.stat()):
            raise OSError(errno.ENOENT, "is another file now", str(path))

    def take_over(self, number: int) -> None:
        """The snapshot of that number is whole: it takes its name; files of lower numbers go. Raises OSError."""
        os.replace(self.aside(number), self.snapshot(number))
        self._sync()
        for name in os.listdir(self.path):
            found = _NAME.fullmatch(name.removesuffix(".new"))
            if found is not None and int(found[2]) < number:
                (self.path / name).unlink(missing_ok=True)

    def set_aside(self, path: Path) -> None:
        """The file is not used any more, and kept for whoever wants to look at it. What cannot be renamed stays."""
        with suppress(OSError):
            os.replace(path, path.with_name(path.name + DAMAGED))
            self._prune()
            self._sync()

    def keep_copy(self, path: Path) -> None:
        """As `set_aside`, but what is good of it stays in use until there is another snapshot."""
        with suppress(OSError):
            copy = path.with_name(path.name + DAMAGED)
            copy.unlink(missing_ok=True)
            os.link(path, copy)
            self._prune()
            self._sync()

    def _prune(self) -> None:
        kept = sorted(self.path.glob(f"*{DAMAGED}"), key=lambda one: one.stat().st_mtime)
        for old in kept[:-MOST_DAMAGED]:
            old.unlink(missing_ok=True)

    def _sync(self) -> None:
        """A new name is on the disk once its directory is."""
        if self._lock >= 0:
            os.fsync(self._lock)
