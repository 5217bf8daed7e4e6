"""Every target holds for inputs made from what their coverage suggests; `make fuzz` takes longer."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from fuzz.fuzz import main
from fuzz.targets import TARGETS

FUZZ = Path(__file__).parent / "fuzz.py"
EXECUTIONS = 4_000
"""Of all targets together. So many, and not for so long: a busy machine does the same."""


@pytest.mark.parametrize("name", TARGETS)
def test_what_it_begins_with_holds(name: str) -> None:
    for data in TARGETS[name].seeds:
        TARGETS[name].run(data)


@pytest.mark.slow
def test_nothing_is_found(tmp_path: Path) -> None:
    command = [sys.executable, str(FUZZ), "all", "--runs", str(EXECUTIONS), "--found", str(tmp_path)]
    same = os.environ | {"PYTHONHASHSEED": "0"}  # the same inputs every time
    ended = subprocess.run(command, capture_output=True, check=False, env=same)
    found = [path.read_bytes() for path in tmp_path.iterdir()]
    assert ended.returncode == 0, (found, ended.stdout[-2_000:] + ended.stderr[-4_000:])


def test_what_fails_is_found_and_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Without coverage as well: an answer whose lens is a list was such a fault."""

    def fails(data: bytes) -> None:
        assert b"[" not in data

    monkeypatch.setitem(TARGETS, "answer", TARGETS["answer"]._replace(run=fails))
    assert main(["answer", "--runs", "2000", "--random", "--found", str(tmp_path)]) == 1
    (kept,) = tmp_path.iterdir()
    assert b"[" in kept.read_bytes()
    assert "answer: failed on" in capsys.readouterr().out
