"""Token buckets: a burst, then a rate; bounded, and told how long to wait."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from presence_server.application.buckets import Buckets, Rate


def test_a_burst_and_then_the_rate() -> None:
    buckets: Buckets[str] = Buckets(Rate(2.0, 3.0))
    assert [buckets.take("a", 10.0) for _ in range(4)] == pytest.approx([0, 0, 0, 0.5])
    assert buckets.take("b", 10.0) == 0  # somebody else's
    assert buckets.take("a", 10.4) == pytest.approx(0.1)
    assert buckets.take("a", 10.5) == 0
    assert buckets.take("a", 10.5) > 0
    assert buckets.refused == 3


def test_whoever_waits_as_told_is_let_in() -> None:
    buckets: Buckets[str] = Buckets(Rate(0.7, 1.0))
    now = 5.0
    for _ in range(100):
        if wait := buckets.take("a", now):
            now += wait
            assert buckets.take("a", now) == 0
    assert now == pytest.approx(5.0 + 99 / 0.7)


def test_more_than_a_burst_is_a_burst() -> None:
    buckets: Buckets[str] = Buckets(Rate(10.0, 100.0))
    assert buckets.take("a", 0.0, 5_000) == 0
    assert buckets.take("a", 0.0, 5_000) == pytest.approx(10.0)


def test_off() -> None:
    buckets: Buckets[str] = Buckets(Rate(0.0, 0.0))
    assert {buckets.take("a", 0.0, 1e9) for _ in range(100)} == {0.0}
    assert len(buckets) == 0


def test_the_table_is_bounded_and_the_one_in_use_stays() -> None:
    buckets: Buckets[int] = Buckets(Rate(1.0, 1.0), size=100)
    assert buckets.take(-1, 0.0) == 0
    for key in range(1_000):
        buckets.take(key, 0.0)
        assert buckets.take(-1, 0.0) > 0  # asking keeps it
    assert len(buckets) == 100


@given(
    rate=st.floats(0.1, 100),
    burst=st.floats(1, 50),
    gaps=st.lists(st.floats(0, 3), max_size=60),
    amount=st.floats(1, 5),
)
def test_never_more_than_the_rate_and_a_burst(rate: float, burst: float, gaps: list[float], amount: float) -> None:
    buckets: Buckets[str] = Buckets(Rate(rate, burst))
    now = taken = 0.0
    for gap in gaps:
        now += gap
        if buckets.take("a", now, amount) == 0:
            taken += min(amount, burst)
    assert taken <= burst + rate * now + 1e-6
