"""What expires when: never early, at most a resolution late, at a cost that what is stored does not raise."""

from __future__ import annotations

import tracemalloc
from itertools import pairwise
from random import Random
from time import process_time

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from presence_server.domain.deadlines import Deadlines
from support.collisions import colliding

START = 1_762_700_400.0
# A float of today's seconds is good to a quarter of a microsecond, and so is what is computed from it.
ROUNDING = 1e-6


def test_due_at_its_time_and_only_once() -> None:
    deadlines: Deadlines[str] = Deadlines()
    deadlines.set("a", START + 10)
    assert deadlines.pop_due(START + 9.99) == []
    assert deadlines.pop_due(START + 10) == ["a"]
    assert deadlines.pop_due(START + 99) == []
    assert len(deadlines) == 0


def test_what_is_due_comes_in_the_order_of_its_deadlines() -> None:
    deadlines: Deadlines[str] = Deadlines()
    for key, after in (("third", 3), ("first", 1), ("second", 2), ("later", 9)):
        deadlines.set(key, START + after)
    assert deadlines.pop_due(START + 5) == ["first", "second", "third"]
    assert "later" in deadlines


def test_what_falls_due_together_does_so_in_the_order_in_which_it_was_set() -> None:
    deadlines: Deadlines[str] = Deadlines()
    for key in ("b", "a", "c", "a"):
        deadlines.set(key, START + 1)
    assert deadlines.pop_due(START + 1) == ["b", "a", "c"]


def test_a_deadline_can_be_moved_both_ways() -> None:
    deadlines: Deadlines[str] = Deadlines()
    deadlines.set("later", START + 5)
    deadlines.set("later", START + 15)
    deadlines.set("sooner", START + 15)
    deadlines.set("sooner", START + 5)
    assert len(deadlines) == 2
    assert deadlines.pop_due(START + 10) == ["sooner"]
    assert deadlines.pop_due(START + 20) == ["later"]


def test_what_was_discarded_never_falls_due() -> None:
    deadlines: Deadlines[str] = Deadlines()
    deadlines.set("a", START + 5)
    deadlines.discard("a")
    deadlines.discard("a")
    deadlines.discard("never set")
    assert "a" not in deadlines
    assert deadlines.pop_due(START + 10) == []


def test_a_key_can_come_back_at_the_time_that_it_left() -> None:
    deadlines: Deadlines[str] = Deadlines()
    deadlines.set("a", START + 5)
    deadlines.discard("a")
    deadlines.set("a", START + 5)
    assert deadlines.pop_due(START + 5) == ["a"]
    assert deadlines.pop_due(START + 50) == []


def test_a_deadline_that_has_passed_is_due_at_once() -> None:
    deadlines: Deadlines[str] = Deadlines()
    deadlines.pop_due(START)
    deadlines.set("late", START - 100)
    assert deadlines.pop_due(START) == ["late"]


def test_the_resolution_can_be_chosen() -> None:
    deadlines: Deadlines[str] = Deadlines(resolution=10)
    deadlines.set("a", 101)
    assert deadlines.pop_due(109) == []
    assert deadlines.pop_due(110) == ["a"]


def test_it_says_how_much_it_holds() -> None:
    deadlines: Deadlines[str] = Deadlines()
    deadlines.set("a", START)
    deadlines.set("b", START)
    assert repr(deadlines) == "<Deadlines of 2 keys in 1 buckets>"


def test_a_deadline_moved_over_a_year_leaves_nothing_behind() -> None:
    """Somebody who sets `until` to ever another second of the next year holds one deadline, not a million."""
    deadlines: Deadlines[str] = Deadlines()
    deadlines.set("stays", START + 40_000_000)
    tracemalloc.start()
    try:
        for second in range(50_000):
            deadlines.set("moves", START + 10_000_000 + second)
        deadlines.discard("moves")
        held, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert held < 50_000
    assert repr(deadlines) == "<Deadlines of 1 keys in 1 buckets>"
    assert deadlines.pop_due(START + 50_000_000) == ["stays"]


class DeadlinesMachine(RuleBasedStateMachine):
    """Against a plain dict, searched and sorted anew each time."""

    resolution = 0.05

    def __init__(self) -> None:
        super().__init__()
        self.deadlines: Deadlines[int] = Deadlines(self.resolution)
        self.model: dict[int, float] = {}
        self.now = START

    @rule(key=st.integers(0, 9), after=st.integers(-500, 20_000))
    def set(self, key: int, after: int) -> None:
        self.model[key] = self.now + after / 1000
        self.deadlines.set(key, self.model[key])

    @rule(key=st.integers(0, 9))
    def discard(self, key: int) -> None:
        self.model.pop(key, None)
        self.deadlines.discard(key)

    @rule(seconds=st.one_of(st.just(0.0), st.integers(1, 30_000).map(lambda ms: ms / 1000)))
    def sweep(self, seconds: float) -> None:
        self.now += seconds
        due = self.deadlines.pop_due(self.now)
        assert len(set(due)) == len(due)
        times = [self.model.pop(key) for key in due]
        assert all(time <= self.now + ROUNDING for time in times), "fell due early"
        assert all(time > self.now - self.resolution - ROUNDING for time in self.model.values()), "overdue"
        assert all(earlier <= later + self.resolution + ROUNDING for earlier, later in pairwise(times))

    @invariant()
    def holds_the_same_keys(self) -> None:
        assert len(self.deadlines) == len(self.model)
        assert all(key in self.deadlines for key in self.model)


TestDeadlinesMachine = DeadlinesMachine.TestCase
TestDeadlinesMachine.settings = settings(max_examples=80, stateful_step_count=40, deadline=None)


def test_deadlines_that_were_chosen_cost_what_others_do() -> None:
    def seconds(numbers: list[int], salt: int) -> float:
        deadlines: Deadlines[int] = Deadlines(resolution=1.0, salt=salt)
        began = process_time()
        for key, number in enumerate(numbers):
            deadlines.set(key, float(number))
        took = process_time() - began
        assert deadlines.of(7) == numbers[7]
        assert deadlines.pop_due(max(numbers) - 1) == sorted(range(len(numbers)), key=numbers.__getitem__)[:-1]
        return took

    chosen = colliding(20_000)
    random = Random(1)
    others = random.sample(range(1, max(chosen)), len(chosen))
    salt = random.randrange(1 << 24) | 1 << 24 | 1
    usual = min(seconds(others, salt) for _ in range(3))
    assert min(seconds(chosen, salt) for _ in range(3)) < 3 * usual
    assert seconds(chosen, 1) > 3 * usual, "what this test is to find"
