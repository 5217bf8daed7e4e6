"""Equal events are counted, not repeated."""

from __future__ import annotations

from presence_server.repeats import MOST_KINDS, MOST_OF_A_KIND, PERIOD, Repeats


def test_the_first_is_written_and_the_rest_are_counted_until_the_period_is_over() -> None:
    repeats: Repeats[str] = Repeats()
    assert [repeats.admit("first", "kind", "same", float(second)) for second in range(5)] == [True] + [False] * 4
    assert repeats.due(PERIOD - 0.1) == []
    assert repeats.due(PERIOD) == [("first", 4)]
    assert len(repeats) == 0
    assert repeats.admit("again", "kind", "same", PERIOD + 1)


def test_what_happened_once_is_not_told_again() -> None:
    repeats: Repeats[str] = Repeats()
    repeats.admit("once", "kind", "same", 0.0)
    assert repeats.due(PERIOD) == []
    assert len(repeats) == 0


def test_of_a_kind_that_differs_in_its_details_a_few_are_written() -> None:
    repeats: Repeats[str] = Repeats()
    written = sum(repeats.admit("e", "kind", number, 0.0) for number in range(1000))
    assert written == MOST_OF_A_KIND
    assert repeats.admit("other", "another kind", 0, 0.0)
    assert repeats.due(PERIOD) == [("e", 1000 - MOST_OF_A_KIND)]


def test_kinds_that_clients_make_up_do_not_grow_without_bound() -> None:
    repeats: Repeats[str] = Repeats()
    written = sum(repeats.admit("e", f"kind {number}", 0, 0.0) for number in range(100 * MOST_KINDS))
    assert len(repeats) <= MOST_KINDS + 1
    assert written <= MOST_KINDS + MOST_OF_A_KIND
