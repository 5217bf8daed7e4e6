"""Counts and histograms."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from presence_server.application.tallies import LATENCIES, Histogram


def test_a_value_on_a_bound_belongs_to_it() -> None:
    histogram = Histogram((1.0, 2.0))
    for value in (0.5, 1.0, 1.5, 2.0, 2.5):
        histogram.observe(value)
    assert (histogram.counts, histogram.sum, histogram.count) == ([2, 2, 1], 7.5, 5)


@given(st.lists(st.integers(0, 20_000), max_size=60), st.integers(20_000, 21_000))
def test_many_at_once_are_counted_as_one_by_one(milliseconds: list[int], now: int) -> None:
    times = sorted(value / 1024 for value in milliseconds)
    many, single = Histogram(), Histogram()
    many.observe_since(times, now / 1024)
    for time in times:
        single.observe(now / 1024 - time)
    assert many.counts[:] == single.counts
    assert abs(many.sum - single.sum) < 1e-6
    assert many.count == len(times)


def test_bounds_rise() -> None:
    assert list(LATENCIES) == sorted(set(LATENCIES))
