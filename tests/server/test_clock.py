"""The system's time: UTC that never runs backward and never jumps, whatever is done to the system's clock."""

from __future__ import annotations

import time

import pytest

from presence_server.clock import SLEW, SystemClock

START = 1_762_700_400.0


class Machine:
    def __init__(self) -> None:
        self.wall, self.monotonic = START, 50.0
        self.clock = SystemClock(lambda: self.wall, lambda: self.monotonic)

    def run(self, seconds: float) -> float:
        self.wall += seconds
        self.monotonic += seconds
        return self.clock.now()


def test_it_tells_utc_and_runs_with_the_monotonic_clock() -> None:
    machine = Machine()
    assert machine.clock.now() == START
    assert machine.run(10) == START + 10


@pytest.mark.parametrize("step", [-3600.0, -1.0, 1.0, 3600.0])
def test_a_clock_that_was_set_is_followed_gently_and_never_backward(step: float) -> None:
    machine = Machine()
    machine.wall += step
    last = machine.clock.now()
    assert last == START
    for _ in range(100):
        now = machine.run(0.1)
        assert 0.1 * (1 - SLEW) - 1e-6 <= now - last <= 0.1 * (1 + SLEW) + 1e-6
        last = now
    off = abs(machine.wall - last)
    assert off == pytest.approx(max(0.0, abs(step) - 10 * SLEW), abs=1e-3)


def test_after_ten_times_the_step_it_is_right_again() -> None:
    machine = Machine()
    machine.wall += 2
    for _ in range(210):
        machine.run(0.1)
    assert machine.clock.now() == pytest.approx(machine.wall, abs=1e-3)


def test_a_pause_of_the_machine_that_the_monotonic_clock_missed_does_not_jump() -> None:
    machine = Machine()
    machine.wall += 3600
    assert machine.run(0.1) == pytest.approx(START + 0.1 * (1 + SLEW))


def test_by_default_it_reads_the_system() -> None:
    assert SystemClock().now() == pytest.approx(time.time(), abs=5)
