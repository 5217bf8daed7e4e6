"""Files that are cut, flipped, or somebody else's: never a traceback, never a word that was not said.

A *history* is all that was ever so of each user. Whatever is read of a damaged file must be of it, and no user may be
as they were before what was read of another.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from engines.timeline import Timeline
from presence_protocol.user_ids import NUMBER
from presence_server.application.cursors import Cursor, resumable_seq
from presence_server.application.keys import keys_again
from presence_server.domain.claims import Word
from presence_server.domain.model import SELF, Platform, Status
from presence_server.domain.table import PresenceTable
from presence_server.domain.transitions import Leave, Say
from presence_server.state.folder import Folder
from presence_server.state.form import JOURNAL, SNAPSHOT
from presence_server.state.restoring import Restored, StateSettings, restore
from support.runs import ANN, BOB, EVE, Run

USERS = ANN, BOB, EVE
Shown = tuple[str, str | None, int]
History = dict[int, list[Shown]]


def read(path: Path, timeline: Timeline, user_ids: str = "number") -> tuple[PresenceTable, Restored, list[str]]:
    told: list[str] = []
    table = PresenceTable()
    settings = StateSettings(
        user_ids,
        dict(Platform.__members__),
        {"self": SELF},
        30.0,
        "",
        "",
        7,
        1,
        lambda multiplier: keys_again(NUMBER, multiplier),
    )
    return table, restore(Folder(str(path)), table, settings, timeline, told.append), told


def shown(table: PresenceTable, restored: Restored, user_id: int) -> Shown:
    presence = table.presence(restored.keys.key(user_id))
    return presence.public.status.value, presence.public.text, presence.version


def written(path: Path, timeline: Timeline) -> tuple[History, Cursor]:
    """A snapshot and a journal of some life; what was ever shown, and the last cursor that was given out."""
    history: History = {user_id: [("OFFLINE", None, 0)] for user_id in USERS}

    def note(run: Run) -> None:
        run.settle()
        for user_id in USERS:
            presence = run.engine.presence(run.key(user_id))
            now = presence.public.status.value, presence.public.text, presence.version
            if history[user_id][-1] != now:
                history[user_id].append(now)

    run = Run(path, timeline)
    for user_id in (ANN, BOB):
        run.connect(user_id)
        note(run)
    run.stop()
    run = Run(path, timeline)
    holder = run.connect(EVE).device
    assert holder is not None
    note(run)
    for text in ("one", "two", None):
        run.submit(Say(run.key(BOB), Word(text=text)))
        note(run)
    run.submit(Say(run.key(ANN), Word(Status.BUSY)))
    note(run)
    run.submit(Leave(run.key(EVE), "web", holder.holder))
    note(run)
    cursor = Cursor(run.engine.epoch, run.engine.seq)
    run.kill()
    return history, cursor


def check(path: Path, timeline: Timeline, history: History, cursor: Cursor) -> tuple[int, list[str]]:
    """Everybody is as they were once, under the version of then. Returns how many were restored, and what was told."""
    table, restored, told = read(path, timeline)
    for user_id in USERS:
        assert shown(table, restored, user_id) in history[user_id]
        # A version to come is greater than any that was told.
        assert table.next_version(timeline.utc()) > history[user_id][-1][2]
    if all(shown(table, restored, user_id) == history[user_id][-1] for user_id in USERS):
        return restored.users, told
    # What was lost may have been told: a cursor that claims it is not resumed.
    numbered = _Numbered(restored.origin.epoch, table.seq, table.floor, restored.origin.gaps)
    assert resumable_seq(numbered, str(cursor), str) is None
    return restored.users, told


class _Numbered:
    def __init__(self, epoch: int, seq: int, floor: int, gaps: tuple[tuple[int, int], ...]) -> None:
        self.epoch, self.seq, self.floor, self.gaps = epoch, seq, floor, gaps


@pytest.fixture(scope="module")
def life(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Timeline, History, Cursor]:
    path, timeline = tmp_path_factory.mktemp("state"), Timeline()
    history, cursor = written(path, timeline)
    return path, timeline, history, cursor


Life = tuple[Path, Timeline, History, Cursor]


def copies(life: Life, kind: str, to: Path, change: Callable[[bytes, int], bytes]) -> Iterator[tuple[int, Path, Path]]:
    """For each byte of the only file of that kind: the directory with that file changed there."""
    shutil.copytree(life[0], to)
    contents = {file.name: file.read_bytes() for file in to.iterdir()}
    (name,) = (name for name in contents if name.startswith(kind))
    for place in range(len(contents[name])):
        for file in to.iterdir():
            file.unlink()
        for other, content in contents.items():
            (to / other).write_bytes(change(content, place) if other == name else content)
        yield place, to, to / name


def cut(content: bytes, place: int) -> bytes:
    return content[:place]


def flip(content: bytes, place: int) -> bytes:
    return content[:place] + bytes([content[place] ^ 1 << place % 8]) + content[place + 1 :]


def test_undamaged_everybody_is_as_they_were(life: Life) -> None:
    path, timeline, history, cursor = life
    table, restored, told = read(path, timeline)
    assert told == []
    assert [shown(table, restored, user_id) for user_id in USERS] == [history[user_id][-1] for user_id in USERS]
    numbered = _Numbered(restored.origin.epoch, table.seq, table.floor, restored.origin.gaps)
    assert resumable_seq(numbered, str(cursor), str) == cursor.seq


@pytest.mark.parametrize("change", [cut, flip])
def test_a_snapshot_that_is_not_whole_is_not_used(
    life: Life, tmp_path: Path, change: Callable[[bytes, int], bytes]
) -> None:
    for _, path, file in copies(life, SNAPSHOT, tmp_path / "copy", change):
        users, told = check(path, *life[1:])
        assert users == 0
        assert len(told) == 1
        assert str(file) in told[0]
        assert not file.exists()
        assert file.with_name(f"{file.name}.damaged").exists()


@pytest.mark.parametrize("change", [cut, flip])
def test_of_a_journal_what_stands_before_the_damage_is_used(
    life: Life, tmp_path: Path, change: Callable[[bytes, int], bytes]
) -> None:
    most = 0
    for _, path, file in copies(life, JOURNAL, tmp_path / "copy", change):
        users, told = check(path, *life[1:])
        most = max(most, users)
        if told:  # not if it was cut between two entries
            assert len(told) == 1
            assert str(file) in told[0]
            assert file.with_name(f"{file.name}.damaged").exists()
        else:
            assert change is cut
    assert most == 3


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "cut"),
        (b"\x89PNG\r\n\x1a\n" + bytes(100), "no file of this server"),
        (b"presence-state 2\n" + bytes(50), "of format 2"),
        (b"presence-state 999999999\n", "of format 999999999"),
        (b"presence-state 1\n" + b"\xff" * 40, "damaged"),
        (b"presence-state 1\n", "its end is missing"),
    ],
)
def test_a_foreign_or_newer_file_is_named_and_set_aside(
    life: Life, tmp_path: Path, content: bytes, reason: str
) -> None:
    shutil.copytree(life[0], tmp_path / "copy")
    (file,) = (tmp_path / "copy").glob(f"{SNAPSHOT}*")
    file.write_bytes(content)
    users, told = check(tmp_path / "copy", *life[1:])
    assert users == 0
    assert len(told) == 1
    assert reason in told[0]


def test_a_state_of_other_ids_is_set_aside(life: Life, tmp_path: Path) -> None:
    shutil.copytree(life[0], tmp_path / "copy")
    _, restored, told = read(tmp_path / "copy", life[1], "string")
    assert restored.users == 0
    assert "--user-ids number" in told[0]


def test_an_entry_that_was_lost_in_the_middle_is_noticed(life: Life, tmp_path: Path) -> None:
    """Every entry is whole, but one of them is not there."""
    shutil.copytree(life[0], tmp_path / "copy")
    (file,) = (tmp_path / "copy").glob(f"{JOURNAL}*")
    content = file.read_bytes()
    places, at = [], content.index(b"\n") + 1
    while at < len(content):
        places.append(at)
        at += 8 + int.from_bytes(content[at : at + 4], "little")
    file.write_bytes(content[: places[2]] + content[places[3] :])
    _, told = check(tmp_path / "copy", *life[1:])
    assert len(told) == 1


def test_no_more_than_eight_files_are_kept_aside(life: Life, tmp_path: Path) -> None:
    shutil.copytree(life[0], tmp_path / "copy")
    for number in range(20):
        damaged = tmp_path / "copy" / f"{SNAPSHOT}-{number + 100:06}"
        damaged.write_bytes(b"?")
        os.utime(damaged, (number, number))
        read(tmp_path / "copy", life[1])
    assert len(list((tmp_path / "copy").glob("*.damaged"))) == 8
