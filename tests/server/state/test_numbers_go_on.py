"""Versions, cursors and sessions after a restart, whatever was lost and wherever the clock stands."""

from __future__ import annotations

from pathlib import Path
from random import Random

import pytest

from engines.timeline import Timeline
from presence_server.application.cursors import Cursor, digest_of, resumable_seq
from presence_server.domain.claims import Word
from presence_server.domain.model import UserKey
from presence_server.domain.transitions import Leave, Say
from presence_server.domain.versions import COUNTER_BITS
from presence_server.state import keeper
from presence_server.state.keeper import GAPS, with_gap
from support.runs import ANN, BOB, EVE, KIM, Run


class SetClock(Timeline):
    """A calendar that somebody sets: `ahead` of the usual by so many seconds."""

    ahead = 0.0

    def utc(self) -> float:
        return super().utc() + self.ahead


@pytest.fixture
def timeline() -> SetClock:
    return SetClock()


def resumes(run: Run, cursor: str) -> bool:
    return resumable_seq(run.engine, cursor, lambda: "") is not None


@pytest.mark.parametrize("ahead", [0.0, -3_600.0, 3_600.0])
@pytest.mark.parametrize("is_written", [True, False])
def test_no_version_is_given_twice_wherever_the_clock_stands(
    tmp_path: Path, timeline: SetClock, ahead: float, is_written: bool
) -> None:
    """Also the last ones, which were told and never written: many of them, with the clock set ahead in between."""
    run = Run(tmp_path, timeline)
    run.connect(ANN)
    run.wait(3)
    timeline.ahead = 7_200
    for number in range(5_000):
        run.submit(Say(run.key(ANN), Word(text=str(number))))
    told = run.version(ANN)
    if is_written:
        run.settle()
    run.kill()
    timeline.ahead = ahead
    for number in range(3):
        run = Run(tmp_path, timeline)
        run.connect(ANN)
        run.submit(Say(run.key(ANN), Word(text=f"again {number}")))
        assert run.version(ANN) > told
        told = run.version(ANN)
        run.kill()


def test_versions_do_not_run_away_from_the_clock_by_stops_or_kills(tmp_path: Path, timeline: SetClock) -> None:
    for number in range(20):
        run = Run(tmp_path, timeline)
        run.connect(ANN)
        run.wait(2)
        run.stop() if number % 2 else run.kill()
    run = Run(tmp_path, timeline)
    run.submit(Say(run.key(ANN), Word(text="now")))
    told_at = (run.version(ANN) >> COUNTER_BITS) / 1000 + 1_577_836_800
    assert told_at - timeline.utc() < 5
    run.stop()


def test_a_cursor_is_resumed_if_all_that_it_claims_was_restored(tmp_path: Path, timeline: SetClock) -> None:
    run = Run(tmp_path, timeline)
    run.connect(ANN)
    run.settle()
    kept = run.cursor()
    for other in range(5_000, 5_300):
        run.connect(other)
    run.connect(KIM)  # on a busy server, within the same 5 ms: never written
    lost = run.cursor()
    assert resumes(run, lost)
    run.kill()
    timeline.advance(60)  # the clock has long passed what the cursor says
    run = Run(tmp_path, timeline)
    run.connect(EVE)
    assert resumes(run, kept)
    assert not resumes(run, lost)
    assert resumes(run, run.cursor())
    after = run.cursor()
    run.stop()
    timeline.advance(60)
    run = Run(tmp_path, timeline)
    assert [resumes(run, cursor) for cursor in (kept, lost, after)] == [True, False, True]
    run.stop()


def test_who_resumes_is_told_what_changed_with_the_restart(tmp_path: Path, timeline: SetClock) -> None:
    run = Run(tmp_path, timeline)
    run.connect(ANN)
    run.connect(BOB)
    run.submit(Leave(run.key(BOB), "web", 2))
    run.settle()
    cursor = run.cursor()
    run.submit(Say(run.key(ANN), Word(text="lunch")))
    run.settle()
    run.kill()
    run = Run(tmp_path, timeline)
    seq = resumable_seq(run.engine, cursor, str)
    assert seq is not None
    told = run.engine.changed_since([run.key(user) for user in (ANN, BOB, EVE)], seq)
    assert [(each.user_id, each.public.text) for each in told] == [(run.key(ANN), "lunch")]
    run.stop()


def test_who_is_held_back_gets_a_new_seq_and_nobody_else(tmp_path: Path, timeline: SetClock) -> None:
    """A cursor from after what was held back does not speak for it, and speaks for all else."""
    run = Run(tmp_path, timeline)
    people = run.key(ANN), run.key(BOB)
    run.connect(ANN)
    run.connect(BOB)
    for number in range(8):
        run.submit(Say(people[0], Word(text=f"flap {number}")))
    run.submit(Say(people[1], Word(text="lunch")))
    run.settle()
    cursor = run.cursor()
    run.kill()
    run = Run(tmp_path, timeline)
    seq = resumable_seq(run.engine, cursor, str)
    assert seq is not None
    assert [(each.user_id, each.public.text) for each in run.engine.changed_since(people, seq)] == [
        (people[0], "flap 7")
    ]
    run.wait(60)  # the snapshot of this run is whole: nothing is held any more
    cursor = run.cursor()
    run.kill()
    run = Run(tmp_path, timeline)
    seq = resumable_seq(run.engine, cursor, str)
    assert seq is not None
    assert not [each for each in run.engine.changed_since(people, seq) if each.public.text]
    run.stop()


def test_the_cursor_of_a_poll_speaks_for_the_same_ids_after_a_restart(tmp_path: Path, timeline: SetClock) -> None:
    run = Run(tmp_path, timeline)
    users: list[UserKey] = [run.key(user) for user in (ANN, BOB)]
    cursor = str(Cursor(run.engine.epoch, run.engine.seq, digest_of(users)))
    run.stop()
    run = Run(tmp_path, timeline)
    now: list[UserKey] = [run.key(user) for user in (ANN, BOB)]
    assert resumable_seq(run.engine, cursor, lambda: digest_of(now)) is not None
    assert resumable_seq(run.engine, cursor, lambda: digest_of(now[:1])) is None
    run.stop()


def test_numbers_of_sessions_are_not_given_twice(tmp_path: Path, timeline: SetClock) -> None:
    given: set[int] = set()
    for _ in range(5):
        run = Run(tmp_path, timeline)
        numbers = {run.hub.engine.next_number() for _ in range(1_000)}  # of observers: nothing is marked
        assert not numbers & given
        given |= numbers
        run.kill()


def test_gaps_are_bounded_and_the_floor_stands_for_the_others() -> None:
    gaps: tuple[keeper.Gap, ...] = ()
    floor = 0
    for number in range(3 * GAPS):
        gaps, floor = with_gap(gaps, 10 * number, 10 * number + 5, floor)
    assert len(gaps) == GAPS
    assert floor == 10 * (2 * GAPS - 1) + 5
    assert gaps[0].after >= floor


def test_what_is_not_many_is_written_before_it_is_answered(tmp_path: Path, timeline: SetClock) -> None:
    """However fast one call comes after another."""
    run = Run(tmp_path, timeline)
    run.connect(ANN)
    for number in range(150):
        run.submit(Say(run.key(ANN), Word(text=str(number))))
        timeline.advance(0)
        told = run.version(ANN)
    run.kill()
    run = Run(tmp_path, timeline)
    assert run.version(ANN) == told
    timeline.advance(0.5)
    run.connect(BOB)
    assert run.version(ANN) == told
    run.stop()


def test_steps_are_short_however_much_is_marked(tmp_path: Path, timeline: SetClock) -> None:
    run = Run(tmp_path, timeline)
    run.settle()
    for user in range(1, 5_001):
        run.connect(user)
    written = run.state._keeper
    assert written is not None
    steps, before = 0, len(written._marked)
    assert before == 5_000 - keeper.BURST * keeper.AT_ONCE + 1  # the first were written at once; one had before
    while written._marked:
        written.step()
        steps += 1
        assert before - len(written._marked) <= keeper.MOST
        before = len(written._marked)
    assert steps >= 5
    run.stop()


def test_what_grows_is_written_anew(tmp_path: Path, timeline: SetClock, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keeper, "LEAST_JOURNAL", 20_000)
    run = Run(tmp_path, timeline)
    random = Random(1)
    for _ in range(3_000):
        run.connect(random.randrange(1, 20))
        run.settle()
        run.engine.sweep(run.now)
    assert sum(file.stat().st_size for file in tmp_path.iterdir()) < 60_000
    assert len(list(tmp_path.iterdir())) == 2
    before = [run.version(user) for user in range(1, 20)]
    run.kill()
    run = Run(tmp_path, timeline)
    assert [run.version(user) for user in range(1, 20)] == before
    run.stop()


def test_who_does_not_come_back_ends_in_slices(tmp_path: Path, timeline: SetClock) -> None:
    run = Run(tmp_path, timeline, return_period=30)
    for user in range(1, 5_001):
        run.connect(user)
    run.stop()
    run = Run(tmp_path, timeline, return_period=30)
    assert run.state.restored is not None
    assert run.state.restored.ends_in == pytest.approx(30 + 4 * 0.05)
    told: list[int] = []
    count = 0

    def listen(event: object, now: float) -> None:
        nonlocal count
        count += type(event).__name__ == "Change"

    run.engine.attach(listen)
    run.wait(29.9)
    assert count == 0
    for _ in range(5):
        before = count
        run.wait(0.1)
        told.append(count - before)
    assert sum(told) == 5_000
    assert max(told) <= 2_000
    run.stop()
