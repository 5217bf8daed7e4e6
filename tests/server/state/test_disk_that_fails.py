"""A disk that is full, read-only or gone: the server runs on, says so once, and begins anew when it can."""

from __future__ import annotations

import errno
import os
import shutil
from pathlib import Path

import pytest

from engines.timeline import Timeline
from presence_server.state import disk, keeper
from presence_server.state.folder import Held
from presence_server.state.keeper import AGAIN
from support.runs import ANN, BOB, EVE, Hands, Run


@pytest.fixture
def timeline() -> Timeline:
    return Timeline()


class Full:
    """While `is_full`, nothing can be written, or only a part of it."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.is_full = False
        self._write = os.write
        patch.setattr(disk.os, "write", self.write)

    def write(self, descriptor: int, data: bytes) -> int:
        if not self.is_full:
            return self._write(descriptor, data)
        if len(data) > 3:
            return self._write(descriptor, data[:3])  # as a disk does on which a little is left
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_a_full_disk_is_said_once_and_the_state_goes_on_when_there_is_room(
    tmp_path: Path, timeline: Timeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    full = Full(monkeypatch)
    run = Run(tmp_path, timeline)
    run.connect(ANN)
    run.settle()
    full.is_full = True
    run.connect(BOB)
    run.wait(5 * AGAIN)
    assert len(run.told) == 1
    assert "No space left on device" in run.told[0]
    full.is_full = False
    run.wait(AGAIN + 1)
    assert run.told[1:] == ["state is written again"]
    run.connect(EVE)
    run.settle()
    versions = [run.version(user) for user in (ANN, BOB, EVE)]
    run.kill()
    run = Run(tmp_path, timeline)
    assert [run.version(user) for user in (ANN, BOB, EVE)] == versions
    assert run.told == []
    run.stop()


def test_what_is_lost_while_the_disk_is_full_is_what_came_after(
    tmp_path: Path, timeline: Timeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    full = Full(monkeypatch)
    run = Run(tmp_path, timeline)
    run.connect(ANN)
    run.settle()
    full.is_full = True
    run.connect(BOB)
    run.settle()
    told = run.version(BOB)
    run.stop()
    full.is_full = False
    timeline.advance(1)
    run = Run(tmp_path, timeline)
    assert run.status(ANN) == "ONLINE"
    assert run.status(BOB) == "OFFLINE"
    assert len(run.told) == 1  # the entry that was cut
    run.connect(BOB)
    assert run.version(BOB) > told
    run.stop()


def test_a_directory_that_goes_is_made_again(tmp_path: Path, timeline: Timeline) -> None:
    path = tmp_path / "a" / "state"
    run = Run(path, timeline)
    run.connect(ANN)
    run.settle()
    shutil.rmtree(path)
    run.connect(BOB)
    for _ in range(3):
        run.wait(AGAIN)
        run.connect(EVE)
    run.stop()
    again = Run(path, timeline)
    assert [again.status(user) for user in (ANN, BOB, EVE)] == ["ONLINE", "ONLINE", "ONLINE"]
    assert len(run.told) == 2
    again.stop()


def test_a_path_that_cannot_be_a_directory_stops_nobody(tmp_path: Path, timeline: Timeline) -> None:
    path = tmp_path / "file"
    path.write_text("precious")
    run = Run(path, timeline)
    run.connect(ANN)
    run.wait(3 * AGAIN)
    assert run.status(ANN) == "ONLINE"
    assert len(run.told) == 1
    assert str(path) in run.told[0]
    run.stop()
    assert path.read_text() == "precious"


def test_a_read_only_directory_is_read_and_stops_nobody(
    tmp_path: Path, timeline: Timeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = Run(tmp_path, timeline)
    run.connect(ANN)
    run.stop()

    def refused(path: Path) -> int:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS), str(path))

    monkeypatch.setattr("presence_server.state.folder.Folder.create", staticmethod(refused))
    run = Run(tmp_path, timeline)
    assert run.connect(ANN).continued
    run.wait(3 * AGAIN)
    assert len(run.told) == 1
    assert "Read-only file system" in run.told[0]
    run.stop()


def test_two_processes_cannot_have_one_directory(tmp_path: Path, timeline: Timeline) -> None:
    run = Run(tmp_path, timeline)
    with pytest.raises(Held) as held:
        Run(tmp_path, timeline)
    assert str(tmp_path) in str(held.value)
    assert len(str(held.value).splitlines()) == 1
    run.stop()
    Run(tmp_path, timeline).stop()


def test_a_crash_at_any_moment_of_a_snapshot_loses_nothing(
    tmp_path: Path, timeline: Timeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A new snapshot with every step, and an end after each job that the disk's thread does."""
    monkeypatch.setattr(keeper, "LEAST_JOURNAL", 0)
    monkeypatch.setattr(keeper, "PIECE", 1)
    submit, left = Hands.submit, 0

    def until_the_end(self: Hands, job: disk.Job, ended: disk.Ended) -> None:
        nonlocal left
        left -= 1
        if left >= 0:
            submit(self, job, ended)

    monkeypatch.setattr(Hands, "submit", until_the_end)
    for jobs in range(60):
        path = tmp_path / str(jobs)
        left = jobs
        run = Run(path, timeline)
        for user in (ANN, BOB, EVE):
            run.connect(user)
            run.wait(0.3)
        versions = [run.version(user) for user in (ANN, BOB, EVE)]
        run.kill()
        left = 1_000
        run = Run(path, timeline)
        assert [run.version(user) for user in (ANN, BOB, EVE)] == versions
        assert run.told == []
        run.stop()
