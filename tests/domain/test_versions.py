"""The hybrid clock: always greater, near the wall clock, within what JavaScript can hold."""

from datetime import UTC, datetime
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from presence_server.domain.versions import COUNTER_BITS, EPOCH_2020, Versions

NOW = 1_762_700_400.0


def test_the_upper_bits_are_milliseconds_since_2020() -> None:
    assert datetime(2020, 1, 1, tzinfo=UTC).timestamp() == EPOCH_2020
    version = Versions().take(NOW + 0.25)
    assert (version >> COUNTER_BITS) == (NOW + 0.25 - EPOCH_2020) * 1000
    assert version & (2**COUNTER_BITS - 1) == 0


def test_within_one_millisecond_versions_count() -> None:
    versions = Versions()
    first = versions.take(NOW)
    assert [versions.take(NOW) for _ in range(3)] == [first + 1, first + 2, first + 3]


def test_more_than_a_counter_holds_within_one_millisecond_still_grow() -> None:
    versions = Versions()
    taken = [versions.take(NOW) for _ in range(2**COUNTER_BITS + 2)]
    assert taken == sorted(set(taken))
    assert versions.take(NOW + 0.001) > taken[-1]


def test_none_is_given_twice_after_a_start_with_the_clock_behind() -> None:
    before = Versions()
    last = before.take(NOW + 3600)
    assert Versions(last).take(NOW) == last + 1


def test_a_clock_before_2020_still_gives_growing_versions() -> None:
    versions = Versions()
    assert [versions.take(0.0), versions.take(0.0)] == [1, 2]


def test_a_version_fits_a_javascript_number_until_2089() -> None:
    assert Versions().take(datetime(2089, 1, 1, tzinfo=UTC).timestamp()) < 2**53


@given(st.lists(st.floats(0, 4e9)))
def test_always_greater_whatever_the_clock_does(times: list[float]) -> None:
    versions = Versions()
    taken = [versions.take(now) for now in times]
    assert all(earlier < later for earlier, later in pairwise(taken))
    assert versions.last == (taken[-1] if taken else 0)


def test_it_says_the_last() -> None:
    assert repr(Versions(7)) == "<Versions, last 7>"
