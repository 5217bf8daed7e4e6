"""The Engine's contract, proven for each engine by the same tests, and what only a far one can do."""

from __future__ import annotations

import asyncio
from random import Random
from typing import Any

import pytest

from engines.late import NODE, LateEngine
from engines.suite import ANN, BOB, EVE, SETTLE, Answers, Bench, Make, submitting
from engines.timeline import Timeline
from presence_server.application.ports import TruthChanged
from presence_server.domain.causes import Cause
from presence_server.domain.claims import Word, own_status
from presence_server.domain.model import Change, Platform, Status
from presence_server.domain.numbers import node_of
from presence_server.domain.shared import Lifetimes
from presence_server.domain.table import PresenceTable
from presence_server.domain.transitions import (
    Connect,
    Disconnect,
    Evicted,
    Heartbeat,
    Leave,
    Offline,
    Online,
    Say,
    SetActivity,
)
from presence_server.engines.memory import MemoryEngine

GRACE, REST = 3.0, 7.5
TIMES = Lifetimes(GRACE, REST)
INVISIBLE = Word(Status.OFFLINE)


def table_of(lifetimes: Lifetimes = TIMES, max_remembered: int = 1_000) -> PresenceTable:
    return PresenceTable(lifetimes, shards=2, max_remembered=max_remembered)


def memory(**table: Any) -> Bench:
    kept = table_of(**table)
    timeline = Timeline()
    return Bench(MemoryEngine(kept, 0xE, timeline), kept, timeline)


def late(seed: int = 0, **table: Any) -> Bench:
    kept = table_of(**table)
    timeline = Timeline()
    return Bench(LateEngine(kept, 0xE, timeline, timeline, Random(seed)), kept, timeline)


@pytest.fixture(params=[memory, late], ids=["memory", "late"])
def make(request: pytest.FixtureRequest) -> Make:
    made: Make = request.param
    return made


# -- transitions -----------------------------------------------------------------------------------------------------


def test_transitions_of_one_user_take_effect_in_the_order_in_which_they_were_submitted(make: Make) -> None:
    bench = make()
    bench.follow(ANN)
    answers = submitting(
        bench,
        Connect(ANN, "web", Platform.WEB, 1, 1),
        Say(ANN, Word(Status.BUSY)),
        SetActivity(ANN, "web", 1, True),
        Say(ANN, None),
        SetActivity(ANN, "web", 1, False),
        Leave(ANN, "web", 1),
    )
    bench.advance(SETTLE)
    assert all(answer.only is not None for answer in answers)
    assert bench.changes(ANN) == ["ONLINE", "BUSY", "AWAY", "ONLINE", "OFFLINE"]


def test_before_it_is_done_the_listener_was_told_of_the_change_then_of_the_evicted_then_of_the_truth(
    make: Make,
) -> None:
    bench = make()
    bench.follow(ANN)
    first = bench.connect(ANN)
    bench.take()
    answers = bench.begin(Connect(ANN, "web", Platform.PC, first + 1, first + 1))
    bench.advance(SETTLE)
    assert answers.only.continued
    change, *rest = bench.take()
    assert isinstance(change, Change)
    assert change.after.platforms == (Platform.PC,)
    assert [rest[0], type(rest[1]), *rest[2:]] == [Evicted(first, Cause.REPLACED), TruthChanged, "done Connect"]


def test_what_is_answered_at_once_was_told_at_once_too(make: Make) -> None:
    bench = make()
    bench.follow(ANN)
    submitting(bench, Connect(ANN, "web", Platform.WEB, 1, 1), Leave(ANN, "web", 1))
    bench.advance(SETTLE)
    kinds = [event if isinstance(event, str) else type(event).__name__ for event in bench.take()]
    assert kinds == ["Change", "TruthChanged", "done Connect", "Change", "TruthChanged", "done Leave"] or kinds == [
        # The truth of a user whose last connection ended meanwhile is nobody's business any more.
        "Change",
        "done Connect",
        "Change",
        "done Leave",
    ]


def test_a_transition_that_finds_nothing_to_do_is_answered_all_the_same(make: Make) -> None:
    bench = make()
    assert bench.submit(Heartbeat(ANN, "phone")).device is None
    assert bench.submit(Offline(ANN, "phone")).device is None
    assert not bench.changes(ANN)


def test_an_ended_connection_cannot_touch_its_successor(make: Make) -> None:
    bench = make()
    bench.follow(ANN)
    first = bench.connect(ANN)
    bench.connect(ANN)
    bench.take()
    for end in (Disconnect(ANN, "web", first), Leave(ANN, "web", first), SetActivity(ANN, "web", first, True)):
        bench.submit(end)
    bench.advance(GRACE + SETTLE)
    assert bench.status(ANN) is Status.ONLINE
    assert not bench.changes(ANN)


# -- following -------------------------------------------------------------------------------------------------------


def test_followed_users_are_known_from_done_on_and_each_of_their_changes_is_told(make: Make) -> None:
    bench = make()
    bench.connect(ANN)
    bench.follow(ANN, BOB)
    assert bench.status(ANN) is Status.ONLINE
    assert bench.engine.presence(BOB).version == 0
    bench.connect(BOB)
    bench.submit(Say(ANN, Word(Status.AWAY, None, "lunch")))
    assert bench.changes(BOB) == ["ONLINE"]
    assert bench.changes(ANN)[-1] == "AWAY"
    assert bench.engine.presence(ANN).public.text == "lunch"
    bench.check_followed([ANN, BOB])


def test_follows_are_counted(make: Make) -> None:
    bench = make()
    bench.follow(ANN)
    bench.follow(ANN, BOB)
    bench.engine.unfollow([ANN])
    bench.connect(ANN)
    assert bench.changes(ANN) == ["ONLINE"]
    bench.engine.unfollow([ANN, BOB])


def test_a_follow_while_another_of_the_same_user_is_under_way_is_answered_too(make: Make) -> None:
    bench = make()
    answers = [bench.begin_follow(ANN), bench.begin_follow(ANN, BOB), bench.begin_follow()]
    bench.advance(SETTLE)
    assert [answer.only for answer in answers] == [True, True, True]


def test_what_happened_while_nobody_followed_has_a_seq_after_every_cursor_given_before(make: Make) -> None:
    """Otherwise whoever comes back with such a cursor would never be told."""
    bench = make()
    holder = bench.connect(ANN)
    bench.follow(ANN)
    bench.connect(BOB)
    before = bench.engine.seq
    bench.engine.unfollow([ANN])
    bench.submit(Leave(ANN, "web", holder))
    bench.follow(ANN)
    assert [presence.public.status for presence in bench.engine.changed_since([ANN], before)] == ["OFFLINE"]


def test_the_truth_of_a_user_with_a_session_is_known_from_done_on(make: Make) -> None:
    bench = make()
    known: list[int] = []
    bench.engine.submit(
        Connect(ANN, "web", Platform.WEB, 1, 1), bench.now, lambda _: known.append(len(bench.engine.truth(ANN).devices))
    )
    bench.advance(SETTLE)
    assert known == [1]
    bench.submit(Say(ANN, INVISIBLE))
    assert bench.truths()[-1:] == [ANN]
    truth = bench.engine.truth(ANN)
    assert truth.public.status is Status.OFFLINE
    assert own_status(truth.claims, truth.utc) is not None


# -- order -----------------------------------------------------------------------------------------------------------


def test_changed_since_tells_whose_seq_is_greater_in_the_order_of_seqs(make: Make) -> None:
    bench = make()
    bench.follow(ANN, BOB, EVE)
    bench.connect(BOB)
    middle = bench.engine.seq
    bench.connect(EVE)
    bench.connect(ANN)
    everybody = bench.engine.changed_since([ANN, BOB, EVE], 0)
    assert [presence.user_id for presence in everybody][-3:] == [BOB, EVE, ANN]
    assert [presence.user_id for presence in bench.engine.changed_since([ANN, BOB, EVE], middle)] == [EVE, ANN]
    assert bench.engine.changed_since([ANN, BOB, EVE], bench.engine.seq) == []


def test_restamp_gives_the_next_seq_and_nothing_else(make: Make) -> None:
    bench = make()
    bench.follow(ANN, BOB)
    bench.connect(ANN)
    bench.connect(BOB)
    before, last = bench.engine.presence(ANN), bench.engine.seq
    bench.engine.restamp(ANN, bench.now)
    after = bench.engine.presence(ANN)
    assert after._replace(seq=0) == before._replace(seq=0)
    assert after.seq == bench.engine.seq > last
    assert [presence.user_id for presence in bench.engine.changed_since([ANN, BOB], last)] == [ANN]


def test_restamping_someone_who_is_not_known_any_more_is_harmless(make: Make) -> None:
    bench = make()
    bench.engine.restamp(ANN, bench.now)
    bench.follow(ANN)
    assert bench.engine.presence(ANN).version == 0


def test_a_cursor_from_before_something_was_forgotten_is_below_the_floor(make: Make) -> None:
    bench = make(max_remembered=1)
    bench.follow(ANN, BOB)
    holder = bench.connect(ANN)
    cursor = bench.engine.seq
    bench.engine.unfollow([ANN])
    bench.submit(Leave(ANN, "web", holder))
    bench.submit(Leave(BOB, "web", bench.connect(BOB)))  # only one of the two is remembered
    assert bench.table.record(ANN) is None
    bench.follow(ANN)
    assert bench.status(ANN) is Status.OFFLINE
    # By version nobody could be told: then by the floor.
    assert bench.engine.presence(ANN).version or cursor < bench.engine.floor
    assert bench.engine.floor <= bench.engine.seq


# -- time ------------------------------------------------------------------------------------------------------------


def test_grace_runs_out_and_what_time_changes_is_told_like_the_rest(make: Make) -> None:
    bench = make()
    bench.follow(ANN)
    holder = bench.connect(ANN)
    bench.submit(Disconnect(ANN, "web", holder))
    bench.advance(GRACE - 0.5 - SETTLE if isinstance(bench.engine, LateEngine) else GRACE - 0.5)
    assert bench.status(ANN) is Status.ONLINE
    bench.advance(0.5 + SETTLE)
    assert bench.changes(ANN) == ["ONLINE", "OFFLINE"]


def test_nothing_expires_before_what_was_submitted_earlier_has_taken_effect(make: Make) -> None:
    """Heartbeats and returns that came in time, however long they were on their way."""
    for seed in range(20) if make is late else (0,):
        bench = make(seed=seed) if make is late else make()
        bench.follow(ANN, BOB)
        holder = bench.connect(ANN)
        bench.begin(Disconnect(ANN, "web", holder))
        bench.submit(Online(BOB, "phone", Platform.IOS, bench.next_holder()))
        bench.timeline.advance(GRACE - 0.2)  # the loop stalls
        submitting(bench, Connect(ANN, "web", Platform.WEB, 99, 99), Heartbeat(BOB, "phone"))
        bench.engine.sweep(bench.now)
        bench.advance(SETTLE)
        assert bench.changes(ANN) == ["ONLINE"]
        assert bench.changes(BOB) == ["ONLINE"]


def test_a_rest_device_lives_from_its_last_heartbeat_on(make: Make) -> None:
    bench = make()
    bench.follow(ANN)
    bench.submit(Online(ANN, "phone", Platform.IOS, bench.next_holder()))
    for _ in range(4):
        bench.advance(REST - 3)
        assert bench.submit(Heartbeat(ANN, "phone")).device is not None
    assert bench.changes(ANN) == ["ONLINE"]
    bench.advance(REST + SETTLE)
    assert bench.changes(ANN) == ["ONLINE", "OFFLINE"]


def test_being_heard_moves_the_last_activity_and_makes_no_change(make: Make) -> None:
    bench = make()
    bench.follow(ANN)
    holder = bench.connect(ANN)
    before = bench.look_up(ANN)[0].last_active
    bench.advance(30)
    bench.engine.touch(ANN, "web", holder, bench.now, spoke=False)
    bench.advance(SETTLE)
    after = bench.look_up(ANN)[0].last_active
    assert before is not None
    assert after is not None
    assert after >= before + 30
    assert bench.changes(ANN) == ["ONLINE"]


def test_speaking_ends_inferred_idleness_and_a_ping_does_not(make: Make) -> None:
    bench = make(lifetimes=Lifetimes(GRACE, REST, away_after=20))
    bench.follow(ANN)
    holder = bench.connect(ANN)
    bench.advance(15)
    bench.engine.touch(ANN, "web", holder, bench.now, spoke=False)
    bench.advance(5 + SETTLE)
    assert bench.changes(ANN) == ["ONLINE", "AWAY"]
    bench.engine.touch(ANN, "web", holder, bench.now, spoke=True)
    bench.engine.touch(ANN, "web", holder, bench.now, spoke=False)
    bench.advance(SETTLE)
    assert bench.changes(ANN) == ["ONLINE", "AWAY", "ONLINE"]


# -- questions -------------------------------------------------------------------------------------------------------


def test_a_lookup_answers_in_the_order_of_the_question_followed_or_not(make: Make) -> None:
    bench = make()
    bench.follow(BOB)
    bench.connect(ANN, idle=True)
    bench.connect(BOB)
    found = bench.look_up(EVE, BOB, ANN, BOB)
    assert [(shown.presence.user_id, shown.presence.public.status) for shown in found] == [
        (EVE, Status.OFFLINE),
        (BOB, Status.ONLINE),
        (ANN, Status.AWAY),
        (BOB, Status.ONLINE),
    ]
    assert bench.look_up() == []


def test_of_a_followed_user_a_lookup_says_neither_more_nor_less_than_was_told(make: Make) -> None:
    for seed in range(30) if make is late else (0,):
        bench = make(seed=seed) if make is late else make()
        bench.follow(ANN)
        bench.begin(Connect(ANN, "web", Platform.WEB, 1, 1))
        for turn in range(10):
            bench.begin(Say(ANN, Word(Status.BUSY, None, str(turn))))
            asked = Answers()
            told: list[int] = []

            def done(found: Any, asked: Answers = asked, told: list[int] = told, bench: Bench = bench) -> None:
                asked(found)
                told.append(bench.engine.presence(ANN).version)

            bench.engine.lookup([ANN], bench.now, done)
            bench.advance(0.05)
            if asked.given:
                assert [asked.only[0].presence.version] == told
        bench.advance(SETTLE)


def test_an_invisible_user_looks_as_if_away_from_every_device(make: Make) -> None:
    bench = make()
    bench.follow(ANN)
    holder = bench.connect(ANN)
    bench.submit(Say(ANN, INVISIBLE))
    before = bench.look_up(ANN)
    bench.take()
    bench.advance(10)
    bench.engine.touch(ANN, "web", holder, bench.now, spoke=True)
    bench.submit(SetActivity(ANN, "web", holder, True))
    bench.connect(ANN, "phone")
    assert bench.look_up(ANN) == before
    assert before[0].devices == ()
    assert not bench.changes(ANN)


def test_statistics_are_numbers(make: Make) -> None:
    bench = make()
    bench.connect(ANN)
    assert all(isinstance(value, int) for value in bench.engine.statistics()._asdict().values())
    assert isinstance(bench.engine.epoch, int)
    assert repr(bench.engine)


# -- life ------------------------------------------------------------------------------------------------------------


def test_no_two_nodes_give_a_session_the_same_number_or_id() -> None:
    benches = [memory(), late()]
    numbers = [bench.engine.next_number() for bench in benches for _ in range(1_000)]
    assert len(set(numbers)) == len(numbers)
    assert len({bench.engine.session_id(bench.engine.next_number()) for bench in benches}) == len(benches)
    assert min(numbers) > 0
    assert {node_of(number) for number in numbers} == {0, NODE}


def test_nothing_expires_once_it_drains(make: Make) -> None:
    bench = make()
    bench.follow(ANN, BOB)
    holder = bench.connect(ANN)
    bench.submit(Online(BOB, "rest", Platform.WEB, bench.next_holder()))
    bench.submit(Disconnect(ANN, "web", holder))
    bench.engine.drain(bench.now)
    bench.take()
    bench.advance(10 * REST)
    assert not bench.changes(ANN)
    assert not bench.changes(BOB)
    assert [shown.presence.public.status for shown in bench.look_up(ANN, BOB)] == [Status.ONLINE] * 2


def test_statuses_in_bulk_are_those_of_a_look_up(make: Make) -> None:
    bench = make()
    bench.follow(ANN)
    bench.connect(ANN)
    bench.connect(BOB)
    bench.submit(Say(BOB, INVISIBLE))
    bench.submit(Say(ANN, Word(Status.BUSY)))
    answers = Answers()
    bench.engine.statuses([EVE, BOB, ANN, EVE], bench.now, answers)
    assert bool(answers.given) >= bench.engine.answers_at_once
    bench.advance(SETTLE)
    assert answers.only == [Status.OFFLINE, Status.OFFLINE, Status.BUSY, Status.OFFLINE]


def test_it_starts_and_stops_and_says_whether_it_can_be_reached(make: Make) -> None:
    bench = make()
    asyncio.run(bench.engine.start())
    assert bench.engine.is_reachable
    bench.connect(ANN)
    asyncio.run(bench.engine.stop())


def test_while_its_store_is_away_it_cannot_be_reached_and_statuses_cannot_be_had() -> None:
    bench = late()
    engine = bench.engine
    assert isinstance(engine, LateEngine)
    engine.cut()
    assert not engine.is_reachable
    answers = Answers()
    engine.statuses([ANN], bench.now, answers)
    bench.advance(10)
    assert answers.only is None
    engine.mend()
    assert engine.is_reachable


def test_what_is_told_of_a_device_does_not_change_after_it_was_told(make: Make) -> None:
    bench = make()
    bench.follow(ANN)
    holder = bench.connect(ANN)
    truth, (shown,) = bench.engine.truth(ANN), bench.look_up(ANN)
    bench.advance(5)
    bench.engine.touch(ANN, "web", holder, bench.now, spoke=True)
    bench.submit(SetActivity(ANN, "web", holder, True))
    bench.advance(SETTLE)
    assert (truth.devices[0].idle, shown.devices[0].idle) == (None, None)
    assert bench.engine.truth(ANN).devices[0].idle is not None
    plain = Answers()
    bench.engine.lookup([ANN], bench.now, plain)
    bench.advance(SETTLE)
    assert plain.only[0].devices == ()
