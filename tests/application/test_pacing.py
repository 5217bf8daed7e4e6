"""A user that flaps: a burst at once, then once per interval with the last value, and no cursor misses it."""

from __future__ import annotations

import pytest

from application.engines import START
from application.kit import ANN, BOB, World
from presence_protocol.messages import Diff
from presence_server.application.hub_limits import HubLimits
from presence_server.application.pacing import BURST, Pacing
from presence_server.domain.model import Status


def test_a_burst_passes_and_then_one_per_interval() -> None:
    pacing = Pacing(1.0)
    assert [pacing.admit(ANN, version, START) for version in range(BURST + 2)] == [True] * BURST + [False] * 2
    assert len(pacing) == 1
    assert pacing.admit(BOB, 1, START)
    assert pacing.release(START + 0.9) == []
    assert pacing.release(START + 1) == [(ANN, BURST + 1)]
    assert not pacing.admit(ANN, 90, START + 1)
    assert pacing.release(START + 1.9) == []
    assert pacing.release(START + 2) == [(ANN, 90)]


def test_the_burst_comes_back_one_per_interval() -> None:
    pacing = Pacing(1.0)
    for version in range(BURST):
        pacing.admit(ANN, version, START)
    assert [pacing.admit(ANN, 9, START + 2) for _ in range(3)] == [True, True, False]
    pacing = Pacing(1.0)
    for version in range(BURST):
        pacing.admit(ANN, version, START)
    assert [pacing.admit(ANN, 9, START + 60) for _ in range(BURST + 1)] == [True] * BURST + [False]


def test_buckets_that_are_dropped_in_bulk_were_full() -> None:
    pacing = Pacing(1.0)
    for version in range(BURST + 1):
        pacing.admit(ANN, version, START)
    pacing.release(START + 1)
    pacing.admit(BOB, 1, START + 6.5)  # turns the generations
    taken = [pacing.admit(ANN, 9, START + 6.5) for _ in range(BURST + 1)]
    assert taken == [True] * BURST + [False]
    for minute in range(1, 5):
        pacing.admit(1_000 + minute, 1, START + 60 * minute)
    assert ANN not in pacing._full_at
    assert ANN not in pacing._older


def test_one_that_keeps_changing_is_held_across_generations() -> None:
    pacing = Pacing(1.0)
    admitted = 0
    for tick in range(240):
        now = START + tick / 4
        admitted += len(pacing.release(now)) + pacing.admit(ANN, tick, now)
    assert 60 <= admitted <= 60 + BURST


def test_an_interval_of_nothing_lets_everything_pass() -> None:
    pacing = Pacing(0)
    assert all(pacing.admit(ANN, version, START) for version in range(100))
    assert pacing.release(START + 1) == []


def test_a_burst_passes_and_what_follows_is_held_with_the_last_value() -> None:
    pacing = Pacing(1.0)
    assert all(pacing.admit(ANN, version, 100.0) for version in range(BURST))
    assert not pacing.admit(ANN, 10, 100.0)
    assert not pacing.admit(ANN, 11, 100.5)
    assert len(pacing) == 1
    assert pacing.release(100.9) == []
    assert pacing.release(101.0) == [(ANN, 11)]
    assert pacing.release(105.0) == []


def test_after_the_burst_it_is_once_per_interval() -> None:
    pacing = Pacing(1.0)
    published = []
    for step in range(100):  # a change every tenth of a second, for ten seconds
        now = 100 + step / 10
        published += [version for _, version in pacing.release(now)]
        if pacing.admit(ANN, step, now):
            published.append(step)
    assert len(published) == BURST + 9
    assert published == sorted(published)


def test_who_rests_may_burst_again_and_others_are_not_concerned() -> None:
    pacing = Pacing(1.0)
    for _ in range(BURST + 1):
        pacing.admit(ANN, 1, 100.0)
    assert pacing.admit(BOB, 1, 100.0)
    pacing.release(101.0)
    assert all(pacing.admit(ANN, 2, 120.0) for _ in range(BURST))


@pytest.mark.parametrize("gap", [0.0, 7.0, 13.0, 1000.0])
def test_whoever_flaps_is_remembered_only_as_long_as_it_matters(gap: float) -> None:
    pacing = Pacing(1.0)
    for user_id in range(ANN, ANN + 1000):
        pacing.admit(user_id, 1, 100.0 + gap * ((user_id - ANN) % 2))
    pacing.admit(ANN, 1, 100.0 + 2 * gap + 20)
    pacing.admit(ANN, 1, 100.0 + 2 * gap + 40)
    assert len(pacing._full_at) + len(pacing._older) <= 1000
    if gap > 12:
        assert len(pacing._full_at) + len(pacing._older) < 3


def test_an_interval_of_zero_lets_everything_pass() -> None:
    pacing = Pacing(0)
    assert all(pacing.admit(ANN, version, 100.0) for version in range(1000))
    assert pacing.release(1000.0) == []


def flap(world: World) -> None:
    world.online(ANN)
    for text in "abcdefgh":
        world.override(Status.BUSY, ANN, text)
        world.flush()


def test_watchers_see_a_burst_and_then_the_last_value() -> None:
    world = World()
    client = world.connect(watch=[ANN])
    client.take()
    flap(world)
    assert [diff.changes[0].status_text for diff in client.take(Diff)] == [
        "a",
        "b",
        "c",
        "d",
    ]  # the first with the coming online
    assert world.hub.statistics().held_changes == 1
    world.wait(2)
    assert [diff.changes[0].status_text for diff in client.take(Diff)] == ["h"]
    assert world.hub.statistics().held_changes == 0
    world.check_converged()


def test_a_cursor_taken_while_a_change_is_held_does_not_miss_it() -> None:
    world = World()
    client = world.connect(watch=[ANN, BOB])
    flap(world)
    world.online(BOB)
    world.flush()
    client.lose()  # with a cursor that is past the held change
    world.wait(2)
    world.check_cursors()
    client.open().hello()
    world.check_converged()
    assert client.view.entries[ANN].status_text == "h"


def test_a_held_change_of_a_user_forgotten_meanwhile_makes_older_cursors_start_anew() -> None:
    world = World(limits=HubLimits(min_publish_interval=5), max_remembered=1)
    client = world.connect(watch=[ANN, BOB])
    flap(world)
    world.offline(ANN)
    for user_id in (71, 72):
        world.online(user_id)
        world.offline(user_id)
    world.online(BOB)
    world.flush()
    client.lose()
    world.wait(6)
    client.open().hello()
    assert client.status(ANN) == "OFFLINE"
    world.check_converged()
