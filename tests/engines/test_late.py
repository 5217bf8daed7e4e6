"""What the Engine's contract says of a store that goes away for a while and comes back."""

from __future__ import annotations

from random import Random

from engines.late import LateEngine
from engines.suite import ANN, BOB, EVE, SETTLE, Answers, Bench, submitting
from engines.timeline import Timeline
from presence_server.application.ports import TruthChanged
from presence_server.domain.claims import Word
from presence_server.domain.model import Platform, Status
from presence_server.domain.shared import Lifetimes
from presence_server.domain.table import PresenceTable
from presence_server.domain.transitions import (
    Connect,
    Disconnect,
    Heartbeat,
    Leave,
    Offline,
    Online,
    Say,
    SetActivity,
)

GRACE, REST, LEASE = 3.0, 7.5, 4.0


def far(seed: int = 0, max_remembered: int = 1_000) -> tuple[Bench, LateEngine]:
    table = PresenceTable(Lifetimes(GRACE, REST), shards=2, max_remembered=max_remembered)
    timeline = Timeline()
    engine = LateEngine(table, 0xE, timeline, timeline, Random(seed), lease=LEASE)
    return Bench(engine, table, timeline), engine


def test_changes_of_different_users_arrive_reordered_and_versions_are_not_seqs() -> None:
    orders, agreeing = set(), set()
    for seed in range(10):
        bench, _ = far(seed)
        bench.follow(ANN, BOB)
        submitting(bench, Connect(ANN, "a", Platform.WEB, 1, 1), Connect(BOB, "b", Platform.WEB, 2, 2))
        bench.advance(SETTLE)
        by_seq = bench.engine.changed_since([ANN, BOB], bench.engine.seq - 2)
        orders.add(tuple(presence.user_id for presence in by_seq))
        by_version = sorted(by_seq, key=lambda presence: presence.version)
        agreeing.add(by_version == by_seq)
    assert {(ANN, BOB), (BOB, ANN)} <= orders
    assert False in agreeing


def test_while_it_is_away_what_is_known_stays_known_and_questions_are_answered_no() -> None:
    bench, engine = far()
    holder = bench.connect(ANN)
    bench.follow(ANN)
    engine.cut()
    asked = Answers()
    engine.lookup([ANN], bench.now, asked)
    follow, answers = bench.begin_follow(BOB), submitting(bench, Heartbeat(ANN, "x"), Leave(ANN, "web", holder))
    bench.advance(SETTLE)
    assert bench.status(ANN) is Status.ONLINE
    assert asked.only is None
    assert follow.only is False
    assert [answer.only for answer in answers] == [None, None]
    engine.unfollow([BOB])


def test_the_end_of_a_connection_is_never_lost() -> None:
    """Nobody would submit it again: the user would stay online for ever."""
    for seed in range(10):
        bench, engine = far(seed)
        bench.follow(ANN, BOB)
        leaver, dropped = bench.connect(ANN), bench.connect(BOB)
        bench.begin(Leave(ANN, "web", leaver))
        bench.begin(Disconnect(BOB, "web", dropped))
        engine.cut()
        bench.advance(1)
        engine.mend()
        bench.advance(GRACE + SETTLE)
        assert bench.changes(ANN) == ["ONLINE", "OFFLINE"]
        assert bench.changes(BOB) == ["ONLINE", "OFFLINE"]


def test_a_request_in_doubt_took_effect_as_a_whole_or_not_at_all() -> None:
    outcomes = set()
    for seed in range(20):
        bench, engine = far(seed)
        bench.follow(ANN)
        bench.connect(ANN)
        answers = bench.begin(Say(ANN, Word(Status.BUSY, None, "in doubt")))
        engine.cut()
        bench.advance(SETTLE)
        assert answers.only is None
        engine.mend()
        bench.advance(SETTLE)
        bench.check_followed([ANN])
        outcomes.add(bench.engine.presence(ANN).public[:3:2])
    assert outcomes == {(Status.ONLINE, None), (Status.BUSY, "in doubt")}


def test_what_changed_while_it_was_away_is_told_by_version_when_it_is_back() -> None:
    bench, engine = far()
    bench.follow(ANN, BOB, EVE)
    holder = bench.connect(ANN)
    bench.connect(BOB)
    bench.take()
    engine.cut()
    bench.advance(1)
    for transition in (
        Say(ANN, Word(Status.BUSY)),
        Say(ANN, Word(Status.AWAY)),
        Online(EVE, "phone", Platform.IOS, 77),
        Say(EVE, Word(Status.OFFLINE)),
    ):
        engine.store.elsewhere(transition)
    bench.advance(0.5)
    assert not bench.take()
    engine.mend()
    bench.advance(SETTLE)
    assert bench.changes(ANN) == ["AWAY"]
    assert bench.changes(BOB) == []
    assert bench.changes(EVE) == ["OFFLINE"]  # was away and back: only the version says so
    assert TruthChanged(ANN) in bench.told
    assert bench.engine.truth(ANN).public.status is Status.AWAY
    bench.check_followed([ANN, BOB, EVE])
    bench.submit(Leave(ANN, "web", holder))


def test_connections_that_outlived_the_lease_are_announced_again_before_anybody_is_told_they_had_gone() -> None:
    bench, engine = far()
    bench.follow(ANN, BOB)
    bench.connect(ANN)
    idler = bench.connect(BOB)
    bench.submit(SetActivity(BOB, "web", idler, True))
    bench.take()
    engine.cut()
    bench.advance(LEASE + GRACE + 2)
    assert not bench.table.truth(ANN, 0.0).devices  # for the other nodes they are gone
    engine.mend()
    bench.advance(SETTLE)
    assert bench.changes(ANN) == ["ONLINE"]
    assert bench.changes(BOB) == ["AWAY"]  # coming back is no activity
    bench.check_followed([ANN, BOB])


def test_what_was_ended_elsewhere_meanwhile_is_not_announced_again() -> None:
    bench, engine = far()
    bench.follow(ANN, BOB)
    ended, replaced = bench.connect(ANN), bench.connect(BOB)
    engine.cut()
    engine.store.elsewhere(Offline(ANN, "web"))
    engine.store.elsewhere(Connect(BOB, "web", Platform.WEB, 1_000_000, 1_000_000))
    engine.mend()
    bench.advance(SETTLE)
    assert bench.evicted() == [ended, replaced]
    assert bench.status(ANN) is Status.OFFLINE
    assert bench.status(BOB) is Status.ONLINE


def test_someone_who_was_forgotten_meanwhile_is_told_to_be_offline() -> None:
    bench, engine = far(max_remembered=1)
    bench.follow(ANN)
    bench.submit(Online(ANN, "phone", Platform.IOS, bench.next_holder()))
    engine.cut()
    engine.store.elsewhere(Offline(ANN, "phone"))
    for user_id in (BOB, EVE):
        engine.store.elsewhere(Online(user_id, "phone", Platform.IOS, 77))
        engine.store.elsewhere(Offline(user_id, "phone"))
    assert bench.table.record(ANN) is None
    engine.mend()
    bench.advance(SETTLE)
    assert bench.changes(ANN) == ["ONLINE", "OFFLINE"]


def test_outages_at_random_change_nothing_in_the_end() -> None:
    for seed in range(15):
        bench, engine = far(seed)
        random = Random(seed)
        bench.follow(ANN, BOB, EVE)
        for _ in range(120):
            user_id = random.choice((ANN, BOB, EVE))
            match random.randrange(8):
                case 0:
                    engine.cut()
                case 1 | 2:
                    engine.mend()
                case 3:
                    bench.begin(Online(user_id, "phone", Platform.IOS, bench.next_holder()))
                case 4:
                    bench.begin(Offline(user_id, "phone"))
                case 5:
                    status = random.choice((None, Word(Status.BUSY), Word(Status.OFFLINE)))
                    bench.begin(Say(user_id, status))
                case _:
                    holder = bench.next_holder()
                    bench.begin(Connect(user_id, "web", Platform.WEB, holder, holder))
                    bench.begin(random.choice((Leave, Disconnect))(user_id, "web", holder))
            bench.advance(random.choice((0.01, 0.1, 1)))
        engine.mend()
        bench.advance(REST + GRACE + SETTLE)
        bench.check_followed([ANN, BOB, EVE])
        assert len(engine.line) == 0
