"""How long is waited before the next try."""

import pytest

from presence_client.backoff import MAX_RETRY_AFTER, Backoff


@pytest.mark.parametrize(("attempt", "seconds"), [(0, 1), (1, 2), (4, 16), (5, 30), (10_000, 30)])
def test_the_ceiling_doubles_up_to_the_cap(attempt: int, seconds: float) -> None:
    assert Backoff().ceiling(attempt) == seconds


def test_the_jitter_is_anything_below_the_ceiling() -> None:
    assert [Backoff(2, 30).delay(1, chance) for chance in (0, 0.5, 1)] == [0, 2, 4]


def test_what_the_server_asks_for_comes_first_and_the_jitter_on_top() -> None:
    assert Backoff().delay(0, 0.5, retry_after=10) == 10.5
    assert Backoff().delay(0, 0, retry_after=-5) == 0
    assert Backoff().delay(0, 0, retry_after=1e9) == MAX_RETRY_AFTER
