"""Whatever is kept is the same after a stop and after a kill, on virtual time, with real files."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from engines.timeline import Timeline
from presence_server.application.cursors import resumable_seq
from presence_server.application.policies import ByContacts
from presence_server.application.privacy import LastSeen
from presence_server.domain.attendance import FIRST
from presence_server.domain.causes import Cause
from presence_server.domain.claims import Word
from presence_server.domain.model import Claim, Platform, Source, Status
from presence_server.domain.transitions import (
    Disconnect,
    Erase,
    Heartbeat,
    Kick,
    Leave,
    Online,
    Say,
    SetActivity,
    SetClaims,
)
from support.runs import ANN, BOB, EVE, KIM, Run

CALENDAR = Source("calendar", 40)

End = Callable[[Run], None]
ENDS = pytest.mark.parametrize("end", [Run.stop, Run.kill], ids=["stop", "kill"])


@pytest.fixture
def timeline() -> Timeline:
    return Timeline()


@ENDS
def test_devices_their_sessions_idleness_and_times(tmp_path: Path, timeline: Timeline, end: End) -> None:
    run = Run(tmp_path, timeline)
    ann = run.connect(ANN).device
    bob = run.connect(BOB, idle=True, idle_for=100.0).device
    run.connect(EVE, busy=True)
    run.wait(5)
    run.submit(SetActivity(run.key(EVE), "web", 3, idle=True))
    assert ann is not None
    assert bob is not None
    before = [run.engine.truth(run.key(user)) for user in (ANN, BOB, EVE)]
    versions = [run.version(user) for user in (ANN, BOB, EVE)]
    run.settle()
    end(run)
    timeline.advance(3)
    run = Run(tmp_path, timeline)
    assert [run.status(user) for user in (ANN, BOB, EVE)] == ["ONLINE", "AWAY", "BUSY"]
    assert [run.version(user) for user in (ANN, BOB, EVE)] == versions
    for user, was in zip((ANN, BOB, EVE), before, strict=True):
        (now,), (then,) = run.engine.truth(run.key(user)).devices, was.devices
        assert (now.device_id, now.platform, now.session, now.online_time, now.busy) == (
            then.device_id,
            then.platform,
            then.session,
            then.online_time,
            then.busy,
        )
        assert now.idle == then.idle
        made = run.connect(user)
        assert made.continued
        assert made.change is None
        assert made.device is not None
        assert made.device.session == then.session
    assert run.connect(KIM).device.session > 1_000_000  # type: ignore[union-attr]


@ENDS
def test_what_is_said_and_claimed_of_users(tmp_path: Path, timeline: Timeline, end: End) -> None:
    run = Run(tmp_path, timeline)
    until = int(timeline.utc()) + 60
    for user in (ANN, BOB):
        run.connect(user)
    run.submit(Say(run.key(ANN), Word(Status.OFFLINE)))
    run.submit(Say(run.key(BOB), Word(text="lunch", emoji="x")))
    planned = Claim(CALENDAR, "1", until, until + 60, Status.BUSY, is_planned=True, alone=True)
    ends = Claim(CALENDAR, "2", until - 60, until, Status.AWAY, "away", alone=True)
    run.submit(SetClaims(run.key(KIM), CALENDAR, (planned, ends)))  # never came
    run.settle()
    claims = [run.engine.truth(run.key(user)).claims for user in (ANN, BOB, KIM)]
    end(run)
    run = Run(tmp_path, timeline)
    assert [run.engine.truth(run.key(user)).claims for user in (ANN, BOB, KIM)] == claims
    assert [run.status(user) for user in (ANN, BOB, KIM)] == ["OFFLINE", "ONLINE", "AWAY"]
    assert run.engine.presence(run.key(BOB)).public.text == "lunch"
    assert run.engine.presence(run.key(KIM)).public.text == "away"
    before = run.version(KIM)
    run.settle()
    end(run)
    timeline.advance(90)  # the one ended meanwhile, and the other began
    run = Run(tmp_path, timeline)
    assert run.engine.presence(run.key(KIM)).public.text is None
    assert run.version(KIM) > before
    assert [claim.id for claim in run.engine.truth(run.key(KIM)).claims] == ["1"]


@ENDS
def test_last_seen_of_who_has_left_and_of_who_does_not_come_back(tmp_path: Path, timeline: Timeline, end: End) -> None:
    run = Run(tmp_path, timeline, return_period=30)
    run.connect(ANN)
    run.connect(BOB)
    run.wait(5)
    run.submit(Leave(run.key(ANN), "web", 1))
    left = int(timeline.utc()) - 5
    run.wait(100)
    was_here_at = timeline.utc()
    end(run)
    timeline.advance(1_000)
    run = Run(tmp_path, timeline, return_period=30)
    assert run.engine.presence(run.key(ANN)).last_active == left
    assert run.status(BOB) == "ONLINE"
    run.wait(31)
    assert run.status(BOB) == "OFFLINE"
    # It was connected and active until the end, so it was last seen then.
    assert run.engine.presence(run.key(BOB)).last_active == pytest.approx(was_here_at, abs=2)


@ENDS
def test_lists_privacy_revocations_and_positions(tmp_path: Path, timeline: Timeline, end: End) -> None:
    run = Run(tmp_path, timeline, visibility="contacts")
    policy = run.hub.visibility
    assert isinstance(policy, ByContacts)
    policy.tell(policy.book.set_contacts(run.key(ANN), [BOB, EVE], mutual=True))
    policy.tell(policy.book.set_contacts(run.key(EVE), [BOB], mutual=False))
    policy.tell(policy.book.set_blocks(run.key(BOB), [KIM]))
    run.hub.permissions.set_last_seen(run.key(ANN), LastSeen.NOBODY, run.now, lambda made: None)
    revocations = run.gateway.access.authentication.revocations
    revocations.add(ANN, None, 5.0, timeline.utc())
    revocations.add(BOB, "web", 6.0, timeline.utc())
    run.state.positions.set("crm", "abc.def")
    run.state.positions.set("gone", "1")
    run.state.positions.set("gone", None)
    changed_at = run.hub.sight.changed_at(run.key(BOB))
    assert changed_at
    run.settle()
    end(run)
    for _ in range(2):  # from the journal, and then from the snapshot
        run = Run(tmp_path, timeline, visibility="contacts")
        policy = run.hub.visibility
        assert isinstance(policy, ByContacts)
        assert list(policy.book.contacts(run.key(ANN)).mutual) == [BOB, EVE]
        assert list(policy.book.contacts(run.key(EVE)).one_way) == [BOB]
        assert list(policy.book.blocks(run.key(BOB))) == [KIM]
        assert policy.book.is_contact(run.key(ANN), run.key(BOB))
        assert run.hub.permissions.last_seen(run.key(ANN)) is LastSeen.NOBODY
        assert not run.hub.sight.is_open
        assert run.hub.sight.changed_at(run.key(BOB)) == changed_at
        revocations = run.gateway.access.authentication.revocations
        assert [revocations.of(target) for target in ((ANN, None), (BOB, "web"))] == [
            (5.0, pytest.approx(timeline.utc(), abs=5)),
            (6.0, pytest.approx(timeline.utc(), abs=5)),
        ]
        assert run.state.positions.get("crm") == "abc.def"
        assert run.state.positions.get("gone") is None
        run.settle()
        end(run)


def test_who_sees_what_by_other_settings_resumes_nothing_from_before(tmp_path: Path, timeline: Timeline) -> None:
    run = Run(tmp_path, timeline)
    run.connect(ANN)
    cursor = run.cursor()
    run.stop()
    run = Run(tmp_path, timeline)
    assert run.hub.sight.covers(run.key(BOB), resumable_seq(run.engine, cursor, str) or 0)
    run.stop()
    run = Run(tmp_path, timeline, visibility="contacts")
    assert not run.hub.sight.covers(run.key(BOB), resumable_seq(run.engine, cursor, str) or 0)
    run.stop()


@ENDS
def test_an_erased_user_stays_erased_and_is_in_no_file_after_the_next_snapshot(
    tmp_path: Path, timeline: Timeline, end: End
) -> None:
    run = Run(tmp_path, timeline)
    run.connect(ANN, "her-telephone")
    run.submit(Say(run.key(ANN), Word(text="lunch")))
    run.settle()
    assert any(b"her-telephone" in file.read_bytes() for file in tmp_path.iterdir())
    run.submit(Erase(run.key(ANN)))
    run.settle()
    if end is Run.stop:  # the running server begins a snapshot for that, not at once but soon
        run.wait(601)
        assert not any(b"her-telephone" in file.read_bytes() for file in tmp_path.iterdir())
    end(run)
    run = Run(tmp_path, timeline)
    assert run.version(ANN) == 0
    assert run.engine.truth(run.key(ANN)).devices == ()
    run.settle()
    assert not any(b"her-telephone" in file.read_bytes() for file in tmp_path.iterdir())
    run.stop()


@ENDS
def test_rest_deadlines_get_the_time_that_the_server_was_down(tmp_path: Path, timeline: Timeline, end: End) -> None:
    run = Run(tmp_path, timeline, heartbeat_interval=30, return_period=20)
    run.submit(Online(run.key(ANN), "rest", Platform.WEB, 1))
    run.submit(Online(run.key(BOB), "rest", Platform.WEB, 2))
    run.wait(50)
    end(run)
    timeline.advance(15)
    run = Run(tmp_path, timeline, heartbeat_interval=30, return_period=20)
    assert run.submit(Heartbeat(run.key(BOB), "rest")).device is not None
    run.wait(24)  # 25 of 75 seconds were left
    assert run.status(ANN) == "ONLINE"
    run.wait(2)
    assert run.status(ANN) == "OFFLINE"
    assert run.status(BOB) == "ONLINE"
    run.wait(30)
    end(run)
    timeline.advance(1_000)  # of which the deadline gets 20 only: it was over long ago
    run = Run(tmp_path, timeline, heartbeat_interval=30, return_period=20)
    run.wait(0.2)
    assert run.status(BOB) == "OFFLINE"
    run.stop()


@ENDS
def test_who_was_in_grace_gets_the_return_period_and_whom_rest_holds_longer_stays(
    tmp_path: Path, timeline: Timeline, end: End
) -> None:
    run = Run(tmp_path, timeline, grace_period=2, return_period=10, heartbeat_interval=30)
    run.connect(ANN)
    run.submit(Disconnect(run.key(ANN), "web", 1))
    run.submit(Online(run.key(BOB), "web", Platform.WEB, 2))
    run.connect(BOB)  # both ways: the promise of 75 s holds
    run.wait(1)
    run.settle()
    end(run)
    timeline.advance(5)
    run = Run(tmp_path, timeline, grace_period=2, return_period=10, heartbeat_interval=30)
    run.wait(9)
    assert run.status(ANN) == "ONLINE"
    run.wait(2)
    assert run.status(ANN) == "OFFLINE"
    run.wait(60)
    assert run.status(BOB) == "ONLINE"
    run.wait(20)
    assert run.status(BOB) == "OFFLINE"
    run.stop()


def test_a_longer_grace_is_the_return_period(tmp_path: Path, timeline: Timeline) -> None:
    run = Run(tmp_path, timeline, grace_period=60, return_period=10)
    run.connect(ANN)
    run.stop()
    run = Run(tmp_path, timeline, grace_period=60, return_period=10)
    run.wait(59)
    assert run.status(ANN) == "ONLINE"
    run.wait(2)
    assert run.status(ANN) == "OFFLINE"
    run.stop()


def test_inferred_idleness_goes_on(tmp_path: Path, timeline: Timeline) -> None:
    run = Run(tmp_path, timeline, away_after=60)
    run.connect(ANN)
    run.wait(30)
    run.engine.touch(run.key(ANN), "web", 1, run.now, True)
    run.settle()
    run.wait(40)
    run.kill()
    run = Run(tmp_path, timeline, away_after=60)
    run.connect(ANN)
    run.wait(19)
    assert run.status(ANN) == "ONLINE"
    run.wait(2)
    assert run.status(ANN) == "AWAY"
    run.stop()


@ENDS
def test_who_is_there_is_counted_and_paged_through_as_before(tmp_path: Path, timeline: Timeline, end: End) -> None:
    run = Run(tmp_path, timeline)
    for user in (ANN, BOB, EVE):
        run.connect(user)
    run.submit(Say(run.key(EVE), Word(Status.OFFLINE)))
    people = run.engine.people
    there, invisible, *_ = before = people.figures()
    platforms = people.by_platform(Platform)
    assert (there, invisible, platforms["WEB"]) == (2, 1, 2)
    run.settle()
    end(run)
    run = Run(tmp_path, timeline)
    people = run.engine.people
    assert people.figures()[:2] == before[:2]
    assert (people.figures().joined, people.figures().left) == (0, 0)
    assert people.by_platform(Platform) == platforms
    page = people.page(FIRST, 10)
    assert {presence.user_id for presence in page.users} == {run.key(ANN), run.key(BOB)}
    timeline.advance(100)
    run.wait(100)
    assert people.figures()[:2] == (0, 0)
    assert people.page(FIRST, 10).users == []


def test_what_was_answered_on_a_quiet_server_survives_a_kill_in_the_same_moment(
    tmp_path: Path, timeline: Timeline
) -> None:
    run = Run(tmp_path, timeline)
    run.connect(ANN)
    timeline.advance(0.01)
    run.submit(Say(run.key(ANN), Word(text="lunch")))
    run.kill()
    run = Run(tmp_path, timeline)
    assert run.engine.presence(run.key(ANN)).public.text == "lunch"
    run.stop()


@ENDS
def test_a_device_that_was_ended_is_told_so_after_the_restart(tmp_path: Path, timeline: Timeline, end: End) -> None:
    run = Run(tmp_path, timeline)
    run.connect(ANN)
    run.submit(Kick(run.key(ANN), reason="moved"))
    run.settle()
    end(run)
    for _ in range(2):  # from the journal, and then from the snapshot
        run = Run(tmp_path, timeline)
        farewell = run.connect(ANN, returning=True).farewell
        assert farewell is not None
        assert farewell == (Cause.ENDED_BY_BACKEND, "moved")
        assert run.status(ANN) == "OFFLINE"
        run.settle()
        end(run)
    timeline.advance(3_600)
    run = Run(tmp_path, timeline)
    assert run.connect(ANN, returning=True).farewell is None
    run.stop()
