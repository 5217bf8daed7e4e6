"""When what was appended is synced, and who does it."""

from __future__ import annotations

import asyncio
import errno
import os
from pathlib import Path

import pytest

from engines.timeline import Timeline
from presence_server.state import disk
from presence_server.state.hands import ThreadHands
from support.runs import ANN, BOB, EVE, Run


@pytest.fixture
def syncs(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How large the file was at each sync."""
    found: list[int] = []
    sync = os.fdatasync

    def counted(descriptor: int) -> None:
        found.append(os.fstat(descriptor).st_size)
        sync(descriptor)

    monkeypatch.setattr(disk.os, "fdatasync", counted)
    return found


def test_usually_a_second_of_changes_is_synced_together(tmp_path: Path, syncs: list[int]) -> None:
    timeline = Timeline()
    run = Run(tmp_path, timeline)
    run.settle()
    syncs.clear()
    for user in (ANN, BOB, EVE):
        run.connect(user)
        timeline.advance(0.1)
    assert syncs == []
    timeline.advance(1)
    assert len(syncs) == 1
    run.wait(10)  # that the server runs is written each second, and need not be safe from power loss
    assert len(syncs) == 1
    run.stop()


def test_with_fsync_each_change_is(tmp_path: Path, syncs: list[int]) -> None:
    timeline = Timeline()
    run = Run(tmp_path, timeline, fsync=True)
    run.settle()
    for user in (ANN, BOB, EVE):
        syncs.clear()
        run.connect(user)
        assert len(syncs) == 1
        timeline.advance(0.1)
    run.kill()
    run = Run(tmp_path, timeline, fsync=True)
    assert [run.status(user) for user in (ANN, BOB, EVE)] == ["ONLINE"] * 3
    run.stop()


def test_a_thread_does_one_job_after_the_other_and_tells_on_the_loop() -> None:
    told: list[object] = []

    async def story() -> None:
        hands = ThreadHands()

        def fail() -> None:
            told.append("began")
            raise OSError(errno.ENOSPC, "full")

        hands.submit(fail, lambda failure: told.append(failure and failure.errno))
        hands.submit(lambda: told.append("next"), lambda failure: told.append(failure))
        hands.call_later(0.0, lambda: told.append("soon"))
        hands.call_later(0.001, lambda: told.append("later"))
        await asyncio.sleep(0.01)
        await hands.close()

    asyncio.run(story())
    jobs = [one for one in told if one not in ("soon", "later")]
    assert [one for one in jobs if isinstance(one, str)] == ["began", "next"]
    assert [one for one in jobs if not isinstance(one, str)] == [errno.ENOSPC, None]
    assert {"soon", "later"} <= set(map(str, told))
