"""A user that flaps: at once up to a burst, then once per interval, with the last value."""

import pytest

from presence_server.application.pacing import BURST, Pacing

USER, OTHER = 1, 2


def test_a_burst_passes_and_what_follows_is_held_with_the_last_value() -> None:
    pacing = Pacing(1.0)
    assert all(pacing.admit(USER, version, 100.0) for version in range(BURST))
    assert not pacing.admit(USER, 10, 100.0)
    assert not pacing.admit(USER, 11, 100.5)
    assert len(pacing) == 1
    assert pacing.release(100.9) == []
    assert pacing.release(101.0) == [(USER, 11)]
    assert pacing.release(105.0) == []


def test_after_the_burst_it_is_once_per_interval() -> None:
    pacing = Pacing(1.0)
    published = []
    for step in range(100):  # a change every tenth of a second, for ten seconds
        now = 100 + step / 10
        published += [version for _, version in pacing.release(now)]
        if pacing.admit(USER, step, now):
            published.append(step)
    assert len(published) == BURST + 9
    assert published == sorted(published)


def test_who_rests_may_burst_again_and_others_are_not_concerned() -> None:
    pacing = Pacing(1.0)
    for _ in range(BURST + 1):
        pacing.admit(USER, 1, 100.0)
    assert pacing.admit(OTHER, 1, 100.0)
    pacing.release(101.0)
    assert all(pacing.admit(USER, 2, 120.0) for _ in range(BURST))


@pytest.mark.parametrize("gap", [0.0, 7.0, 13.0, 1000.0])
def test_whoever_flaps_is_remembered_only_as_long_as_it_matters(gap: float) -> None:
    pacing = Pacing(1.0)
    for user_id in range(1000):
        pacing.admit(user_id, 1, 100.0 + gap * (user_id % 2))
    pacing.admit(USER, 1, 100.0 + 2 * gap + 20)
    pacing.admit(USER, 1, 100.0 + 2 * gap + 40)
    assert len(pacing._full_at) + len(pacing._older) <= 1000
    if gap > 12:
        assert len(pacing._full_at) + len(pacing._older) < 3


def test_an_interval_of_zero_lets_everything_pass() -> None:
    pacing = Pacing(0)
    assert all(pacing.admit(USER, version, 100.0) for version in range(1000))
    assert pacing.release(1000.0) == []
