"""The files of a state on their disk: appends at once, all that may take long on a thread.

An append is one `write` on the loop, which the kernel takes in some 10 us: what was answered a moment ago survives the
process. That a `write` waits for a sync of the same file that is under way, for which a thread would be needed, is no
longer so: on ext4 of Linux 6.18, with a sync of 2 to 18 ms always under way, 99 % of 3,000 writes took below 0.04 ms,
and none more than a busy machine explains. Once a second what was appended is synced.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Final, Protocol

from presence_server.state.folder import Folder, Held
from presence_server.state.keeper import Done

SYNC: Final = 1.0
"""Seconds after which what was appended is synced."""

Job = Callable[[], None]
Ended = Callable[[OSError | None], None]


class Hands(Protocol):
    """Who does what may take long, one job after the other, and sees to timers."""

    def submit(self, job: Job, ended: Ended) -> None:
        """Do the job; then tell `ended` on the thread that called, with what went wrong if anything did."""
        ...

    def call_later(self, seconds: float, call: Callable[[], None]) -> None: ...


class FolderDisk:
    """A `Disk` in a folder. `syncs_all`: no append is done before it is synced."""

    def __init__(self, folder: Folder, hands: Hands, syncs_all: bool, on_failure: Callable[[str], None]) -> None:
        self._folder = folder
        self._hands = hands
        self._syncs_all = syncs_all
        self._on_failure = on_failure
        self._journal = -1
        self._name = Path()
        self._snapshot = -1
        self._number = 0
        self._to_sync: list[Done] = []
        self._unwritten = 0
        self._is_syncing = self._is_sync_due = False
        self._run = 0
        """Grows with each failure: whatever was begun before is nobody's any more."""

    @property
    def unwritten(self) -> int:
        return self._unwritten

    # -- the journal ---------------------------------------------------------------------------------------------------

    def begin_journal(self, number: int, data: bytes) -> None:
        try:
            self._name = self._folder.journal(number)
            made = self._folder.create(self._name)
            before, self._journal = self._journal, made
            _write_all(made, data)
        except OSError as failure:
            self._fail(failure)
            return
        if before >= 0:
            self._submit(lambda: _sync_and_close(before))

    def append(self, data: bytes, done: Done, matters: bool) -> None:
        try:
            _write_all(self._journal, data)
        except OSError as failure:
            self._fail(failure)
            return
        if not matters:
            done()
        elif self._syncs_all:
            self._to_sync.append(done)
            if not self._is_syncing:
                self._sync()
        else:
            done()
            if not self._is_sync_due:
                self._is_sync_due = True
                self._hands.call_later(SYNC, self._sync_when_due)

    def _sync_when_due(self) -> None:
        self._is_sync_due = False
        if not self._is_syncing and self._journal >= 0:
            self._sync()

    def _sync(self) -> None:
        journal, name = self._journal, self._name
        to_sync, self._to_sync = self._to_sync, []
        self._is_syncing = True

        def sync() -> None:
            _sync(journal)
            self._folder.look_for(journal, name)

        def ended() -> None:
            self._is_syncing = False
            for done in to_sync:
                done()
            if self._to_sync:
                self._sync()

        self._submit(sync, ended)

    # -- snapshots -----------------------------------------------------------------------------------------------------

    def begin_snapshot(self, number: int) -> None:
        self._number = number

        def begin() -> None:
            self._close_snapshot()
            self._snapshot = self._folder.create(self._folder.aside(number))

        self._submit(begin)

    def write_snapshot(self, data: bytes) -> None:
        self._unwritten += len(data)

        def written() -> None:
            self._unwritten -= len(data)

        self._submit(lambda: _write_all(self._snapshot, data), written)

    def end_snapshot(self, done: Done) -> None:
        number, journal = self._number, self._journal

        def end() -> None:
            os.fsync(self._snapshot)
            self._close_snapshot()
            _sync(journal)
            self._folder.take_over(number)

        self._submit(end, done)

    def _close_snapshot(self) -> None:
        if self._snapshot >= 0:
            os.close(self._snapshot)
            self._snapshot = -1

    # -- life ----------------------------------------------------------------------------------------------------------

    def reopen(self) -> None:
        try:
            self._folder.open()
        except OSError as failure:
            self._fail(failure)
        except Held as held:
            self._fail(OSError(errno.EBUSY, str(held)))

    def close(self) -> None:
        """Sync what was written. The caller sees to it that no job is under way."""
        with suppress(OSError):
            self._close_snapshot()
        if self._journal >= 0:
            journal, self._journal = self._journal, -1
            with suppress(OSError):
                _sync_and_close(journal)

    def _submit(self, job: Job, done: Done | None = None) -> None:
        run = self._run

        def ended(failure: OSError | None) -> None:
            if run != self._run:
                return
            if failure is not None:
                self._fail(failure)
            elif done is not None:
                done()

        self._hands.submit(job, ended)

    def _fail(self, failure: OSError) -> None:
        self._run += 1
        self._to_sync, self._unwritten = [], 0
        self._is_syncing = False
        journal, self._journal = self._journal, -1
        if journal >= 0:
            with suppress(OSError):
                os.close(journal)
        self._on_failure(f"{failure.filename or self._folder.path}: {failure.strerror or failure}")


def _write_all(descriptor: int, data: bytes) -> None:
    left = memoryview(data)
    while left:
        left = left[os.write(descriptor, left) :]


def _sync(descriptor: int) -> None:
    try:
        getattr(os, "fdatasync", os.fsync)(descriptor)
    except OSError as failure:
        if failure.errno != errno.EBADF:  # closed meanwhile, which syncs by itself
            raise


def _sync_and_close(descriptor: int) -> None:
    _sync(descriptor)
    os.close(descriptor)
