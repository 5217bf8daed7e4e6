"""Who watches whom, against a dict of sets."""

from __future__ import annotations

from time import perf_counter

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from presence_server.domain.interest import Interest, InterestStatistics


def test_a_watch_tells_what_is_new_each_once_in_order() -> None:
    interest = Interest()
    assert interest.watch(1, [30, 10, 30, 20]) == [30, 10, 20]
    assert interest.watch(1, [20, 40]) == [40]
    assert list(interest.watched(1)) == [30, 10, 20, 40]
    assert interest.count(1) == 4


def test_a_user_s_watchers_are_found() -> None:
    interest = Interest()
    interest.watch(1, [10])
    interest.watch(2, [10, 20])
    assert sorted(interest.watchers(10)) == [1, 2]
    assert list(interest.watchers(20)) == [2]
    assert list(interest.watchers(30)) == []


def test_unwatch_tells_what_was_watched_each_once_in_order() -> None:
    interest = Interest()
    interest.watch(1, [10, 20, 30])
    assert interest.unwatch(1, [30, 99, 10, 30]) == [30, 10]
    assert list(interest.watched(1)) == [20]
    assert interest.unwatch(2, [10]) == []


def test_unwatch_of_what_others_watch_leaves_them() -> None:
    interest = Interest()
    interest.watch(1, [10])
    assert interest.watch(2, [20]) == [20]
    assert interest.unwatch(2, [10]) == []
    assert list(interest.watchers(10)) == [1]


def test_dropping_a_watcher_leaves_nothing_of_it() -> None:
    interest = Interest()
    interest.watch(1, [10, 20])
    interest.watch(2, [20, 30])
    assert interest.drop(1) == [10, 20]
    assert interest.drop(1) == []
    assert list(interest.watched(1)) == []
    assert interest.count(1) == 0
    assert list(interest.watchers(20)) == [2]
    interest.drop(2)
    assert interest.statistics() == InterestStatistics(0, 0, 0)


def test_watching_nobody_leaves_nothing_behind() -> None:
    interest = Interest()
    assert interest.watch(1, []) == []
    assert interest.statistics() == InterestStatistics(watchers=0, topics=0, edges=0)
    interest.watch(1, [10])
    interest.watch(1, [])
    assert interest.statistics() == InterestStatistics(watchers=1, topics=1, edges=1)


def test_it_says_how_much_it_holds() -> None:
    interest = Interest()
    interest.watch(1, [10, 20])
    interest.watch(2, [10])
    assert repr(interest) == "<Interest of 2 watchers in 2 topics, 3 edges>"


def test_unwatching_thousands_costs_about_what_watching_them_did() -> None:
    """One frame may name 5,000 ids: that must not hold up everybody else."""
    ids = list(range(5000))
    interest = Interest()

    def cost_of(act: object, given: list[int]) -> float:
        assert callable(act)
        began = perf_counter()
        assert len(act(1, given)) == len(ids)
        return perf_counter() - began

    watching, unwatching = (
        min(costs)
        for costs in zip(
            *((cost_of(interest.watch, ids), cost_of(interest.unwatch, ids[2500:] + ids[:2500])) for _ in range(5)),
            strict=True,
        )
    )
    assert unwatching < 10 * watching


class InterestMachine(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.interest = Interest()
        self.model: dict[int, set[int]] = {}

    slots = st.integers(0, 5)
    some_ids = st.lists(st.integers(1, 8), max_size=8)

    @rule(slot=slots, ids=some_ids)
    def watch(self, slot: int, ids: list[int]) -> None:
        before = self.model.get(slot, set())
        assert self.interest.watch(slot, ids) == [i for i in dict.fromkeys(ids) if i not in before]
        self.model[slot] = before | set(ids)

    @rule(slot=slots, ids=some_ids)
    def unwatch(self, slot: int, ids: list[int]) -> None:
        before = self.model.get(slot, set())
        assert self.interest.unwatch(slot, ids) == [i for i in dict.fromkeys(ids) if i in before]
        self.model[slot] = before - set(ids)

    @rule(slot=slots)
    def drop(self, slot: int) -> None:
        dropped = self.interest.drop(slot)
        assert len(dropped) == len(set(dropped))
        assert set(dropped) == self.model.pop(slot, set())

    @invariant()
    def both_directions_agree(self) -> None:
        for user_id in range(1, 9):
            watchers = self.interest.watchers(user_id)
            assert sorted(watchers) == sorted(slot for slot, ids in self.model.items() if user_id in ids)
        for slot in range(6):
            assert sorted(self.interest.watched(slot)) == sorted(self.model.get(slot, ()))
            assert self.interest.count(slot) == len(self.model.get(slot, ()))

    @invariant()
    def statistics_add_up(self) -> None:
        sets = [ids for ids in self.model.values() if ids]
        assert self.interest.statistics() == InterestStatistics(
            len(sets), len(set().union(*sets)), sum(len(ids) for ids in sets)
        )


TestInterestMachine = InterestMachine.TestCase
TestInterestMachine.settings = settings(max_examples=80, stateful_step_count=40, deadline=None)
