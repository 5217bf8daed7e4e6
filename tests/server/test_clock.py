"""The machine's two clocks: one for what lasts, which counts a suspension, and one for what is told."""

from __future__ import annotations

import time
from typing import Any

import pytest

from presence_server import clock
from presence_server.clock import SystemClock


def test_the_calendar_is_the_systems_at_each_moment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever was done to it: nothing is slewed, and nothing is kept."""
    told = SystemClock()
    assert told.utc() == pytest.approx(time.time(), abs=5)
    for set_to in (1_762_700_400.0, 1_762_693_200.0, 4_000_000_000.0, -5.0):
        monkeypatch.setattr(time, "time", lambda set_to=set_to: set_to)
        assert told.utc() == set_to


def test_what_lasts_is_not_moved_by_whoever_sets_the_calendar(monkeypatch: pytest.MonkeyPatch) -> None:
    lasting = SystemClock()
    before = lasting.now()
    monkeypatch.setattr(time, "time", lambda: 4_000_000_000.0)
    assert 0 <= lasting.now() - before < 60


def test_what_lasts_counts_while_the_machine_sleeps(monkeypatch: pytest.MonkeyPatch) -> None:
    """CLOCK_MONOTONIC stands still while it does: a device that died would be held for as long again."""
    asked: list[int] = []

    def read(which: int) -> float:
        asked.append(which)
        return 7.0

    monkeypatch.setattr(time, "CLOCK_BOOTTIME", 7, raising=False)
    monkeypatch.setattr(time, "clock_gettime", read)
    assert clock._lasting()() == 7.0
    assert set(asked) == {7}


@pytest.mark.parametrize("lacks", ["the name", "the clock"])
def test_where_there_is_no_such_clock_the_monotonic_one_is_read(monkeypatch: pytest.MonkeyPatch, lacks: str) -> None:
    def refuse(_which: int) -> Any:
        raise OSError(22, "Invalid argument")

    if lacks == "the name":
        monkeypatch.delattr(time, "CLOCK_BOOTTIME", raising=False)
    else:
        monkeypatch.setattr(time, "CLOCK_BOOTTIME", 7, raising=False)
        monkeypatch.setattr(time, "clock_gettime", refuse)
    assert clock._lasting() is time.monotonic
