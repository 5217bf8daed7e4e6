"""Random lives with many ends, told by an oracle that knows what was so, and watchers who go by what they were told.

After each start a watcher resumes by whatever cursor it had, or is given everything; then it must hold what the server
holds, and no version went back. Of what was written nothing is missing, and nothing is there that had ended.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any, Final

import pytest

from engines.timeline import Timeline
from presence_server.application.cursors import Cursor, resumable_seq
from presence_server.domain.claims import Word
from presence_server.domain.model import Platform, Status
from presence_server.domain.transitions import Disconnect, Erase, Heartbeat, Leave, Offline, Online, Say, SetActivity
from presence_server.state import disk, keeper, restoring
from presence_server.state.engine import LastingEngine
from presence_server.state.form import Ended, Origin, encode
from presence_server.state.frames import FIRST_LINE, frame
from support.runs import Run

USERS: Final = tuple(range(1, 7))
DEVICES: Final = ("web", "phone")
WATCHERS: Final = 4


class Calendar(Timeline):
    ahead = 0.0

    def utc(self) -> float:
        return super().utc() + self.ahead


class Watcher:
    """Holds what it was told of everybody, and the cursor that says how far."""

    def __init__(self) -> None:
        self.cursor: str | None = None
        self.held: dict[int, tuple[int, Any]] = {}

    def catch_up(self, run: Run) -> None:
        keys = {run.key(user): user for user in USERS}
        seq = resumable_seq(run.engine, self.cursor, str)
        if seq is None:
            told = [run.engine.presence(key) for key in keys]
            self.held = {}
        else:
            told = run.engine.changed_since(list(keys), seq)
        for presence in told:
            user = keys[presence.user_id]  # type: ignore[index]
            assert presence.version >= self.held.get(user, (0,))[0], "a version went back"
            self.held[user] = presence.version, presence.public
        self.cursor = str(Cursor(run.engine.epoch, run.engine.seq))
        for key, user in keys.items():
            presence = run.engine.presence(key)
            assert self.held.get(user, (0, presence.public)) == (presence.version, presence.public), "not converged"


class Story:
    def __init__(self, path: Path, seed: int) -> None:
        self.random = Random(seed)
        self.timeline = Calendar()
        self.path = path
        self.run = self._start()
        self.watchers = [Watcher() for _ in range(WATCHERS)]
        self.highest = dict.fromkeys(USERS, 0)

    def _start(self) -> Run:
        return Run(self.path, self.timeline, grace_period=2, return_period=5, heartbeat_interval=4, away_after=3)

    def tell(self, steps: int) -> None:
        for _ in range(steps):
            self.random.choices((self.happen, self.wait, self.watch, self.end), (12, 3, 5, 1))[0]()
        self.end()
        self.run.stop()

    def happen(self) -> None:
        run, random = self.run, self.random
        user = random.choice(USERS)
        key, device = run.key(user), random.choice(DEVICES)
        holder = next((each.holder for each in run.engine.truth(key).devices if each.device_id == device), 0)
        what = random.randrange(9)
        if what < 3:
            run.connect(user, device, idle=random.choice((None, True, False)))
        elif what == 3:
            run.submit(Leave(key, device, holder))
        elif what == 4:
            run.submit(Disconnect(key, device, holder))
        elif what == 5:
            run.submit(Say(key, Word(random.choice(tuple(Status)), text=random.choice(("lunch", None)))))
        elif what == 6:
            online = Online(key, device, Platform.IOS, run.engine.numbers.next())
            run.submit(random.choice((online, Heartbeat(key, device))))
        elif what == 7:
            run.submit(SetActivity(key, device, holder, idle=random.random() < 0.5))
        else:
            run.submit(random.choice((Offline(key, device), Erase(key))))

    def wait(self) -> None:
        self.run.wait(self.random.choice((0.1, 0.5, 4.0)))

    def watch(self) -> None:
        self.random.choice(self.watchers).catch_up(self.run)

    def end(self) -> None:
        """The process ends, in one of three ways; some time later there is another."""
        run, random = self.run, self.random
        is_written = random.random() < 0.7
        if is_written:
            run.settle()
        for user in USERS:
            self.highest[user] = max(self.highest[user], run.version(user))
        before = {user: self._known(run, user) for user in USERS}
        if is_written and random.random() < 0.5:
            run.stop()
        else:
            run.kill()
        self.timeline.advance(random.choice((0.0, 1.0, 60.0)))
        self.timeline.ahead = random.choice((0.0, 0.0, -500.0, 500.0))
        self.run = run = self._start()
        if is_written:
            assert {user: self._known(run, user) for user in USERS} == before, "not as it was"
        assert run.told == []
        for watcher in self.watchers:
            if random.random() < 0.7:
                watcher.catch_up(run)
        assert all(run.engine.next_version() > highest for highest in self.highest.values())

    @staticmethod
    def _known(run: Run, user: int) -> tuple[Any, ...]:
        """All of a user that a start leaves as it is."""
        presence = run.engine.presence(run.key(user))
        devices = run.engine.truth(run.key(user)).devices
        kept = sorted(
            (each.device_id, each.platform, each.session, each.online_time, bool(each.idle)) for each in devices
        )
        return presence.version, presence.public, kept


@pytest.mark.parametrize("seed", range(6))
def test_a_life_with_many_ends(tmp_path: Path, seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keeper, "LEAST_JOURNAL", 4_000)  # snapshots now and then
    Story(tmp_path, seed).tell(300)


# -- planted bugs: an oracle that cannot fail proves nothing ---------------------------------------------------------


def an_entry_lost(patch: pytest.MonkeyPatch) -> None:
    append, count = disk.FolderDisk.append, 0

    def now_and_then(self: disk.FolderDisk, data: bytes, done: keeper.Done, matters: bool) -> None:
        nonlocal count
        count += 1
        if count % 20:
            append(self, data, done, matters)
        else:
            done()

    patch.setattr(disk.FolderDisk, "append", now_and_then)


def a_torn_snapshot_taken_for_whole(patch: pytest.MonkeyPatch) -> None:
    def torn(origin: Origin, *_: Any) -> Any:
        data, checksum = frame(encode(origin), 0)
        yield FIRST_LINE + data
        yield frame(encode(Ended(0, 0)), checksum)[0]

    patch.setattr(keeper, "frames_of", torn)


def an_epoch_reused(patch: pytest.MonkeyPatch) -> None:
    """Cursors are good whatever was lost."""
    patch.setattr(restoring, "with_gap", lambda gaps, after, until, floor: (gaps, floor))


def versions_given_twice(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(keeper, "AHEAD", -10_000_000)
    patch.setattr(keeper, "MARGIN", -10_000_000)


def a_device_that_returns_after_it_was_ended(patch: pytest.MonkeyPatch) -> None:
    tell = LastingEngine._tell

    def not_of_an_end(self: LastingEngine, user_id: int, made: Any, now: float) -> None:
        mark = self.mark
        if made.device is not None and not made.continued and made.change is not None:
            self.mark = lambda key: None
        tell(self, user_id, made, now)
        self.mark = mark

    patch.setattr(LastingEngine, "_tell", not_of_an_end)


PLANTED: Final[tuple[Callable[[pytest.MonkeyPatch], None], ...]] = (
    an_entry_lost,
    a_torn_snapshot_taken_for_whole,
    an_epoch_reused,
    versions_given_twice,
    a_device_that_returns_after_it_was_ended,
)


@pytest.mark.parametrize("plant", PLANTED, ids=[plant.__name__ for plant in PLANTED])
def test_a_planted_bug_is_found(
    plant: Callable[[pytest.MonkeyPatch], None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keeper, "LEAST_JOURNAL", 4_000)
    plant(monkeypatch)

    def tell() -> None:
        for seed in range(20):
            Story(tmp_path / str(seed), seed).tell(300)

    with pytest.raises(AssertionError):
        tell()
