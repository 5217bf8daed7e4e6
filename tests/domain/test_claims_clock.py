"""Claims and a system clock that somebody sets: what people were told is not taken back."""

from __future__ import annotations

import pytest

from domain.scene import ANN, START, Scene
from presence_server.domain.model import Claim, Source, Status
from presence_server.domain.transitions import SetClaims

CALL = Source("call", 80)
CALENDAR = Source("calendar", 40)


def planned(scene: Scene, begins: int, until: int) -> Claim:
    """As it was written on its way here, when it lay in the future still."""
    return Claim(CALL, "", START + begins, START + until, Status.BUSY, is_planned=True)


def test_a_claim_that_began_on_its_way_here_stays_begun() -> None:
    scene = Scene()
    scene.connect(idle=True)
    claim = planned(scene, 10, 100)
    scene.wait(11)
    scene.apply(SetClaims(ANN, CALL, (claim,)))
    assert scene.status() is Status.BUSY
    scene.wait(1)
    scene.set_by -= 3_600
    scene.online(device_id="phone", idle=True)
    assert scene.status() is Status.BUSY
    scene.wait(1)
    assert scene.status() is Status.BUSY


def test_a_claim_that_ended_on_its_way_here_never_was() -> None:
    scene = Scene()
    scene.connect()
    claim = planned(scene, 10, 20)
    scene.wait(21)
    scene.apply(SetClaims(ANN, CALL, (claim,)))
    scene.set_by -= 6
    scene.online(device_id="phone")
    assert scene.status() is Status.ONLINE
    assert scene.table.statistics().deadlines == 1, "that of the phone"


@pytest.mark.parametrize("step", [-3, -3_600])
def test_what_was_seen_to_begin_before_a_sweep_stays_begun(step: int) -> None:
    scene = Scene()
    link = scene.connect()
    scene.put(CALL, {"begins": 10, "until": 100, "status": Status.BUSY})
    scene.wait(11, sweep=False)
    seen = scene.activity(link, idle=True)
    assert (seen.truth_changed, scene.status()) == (True, Status.BUSY)
    scene.set_by += step
    scene.activity(link, idle=False)
    assert scene.status() is Status.BUSY
    scene.wait(1)
    assert scene.status() is Status.BUSY


@pytest.mark.parametrize("step", [-3, -3_600])
def test_what_was_seen_to_end_before_a_sweep_stays_ended(step: int) -> None:
    scene = Scene()
    link = scene.connect()
    scene.put(CALL, {"until": 10, "status": Status.BUSY})
    scene.put(CALENDAR, {"until": 1_000, "text": "on leave"})
    scene.wait(11, sweep=False)
    seen = scene.activity(link, idle=False)
    assert (seen.truth_changed, scene.status()) == (True, Status.ONLINE)
    scene.set_by += step
    scene.activity(link, idle=False)
    assert scene.status() is Status.ONLINE
    assert scene.wait(1) == []
    assert scene.table.presence(ANN).public.text == "on leave"
    scene.wait(1_000 - step)
    assert scene.table.presence(ANN).public.text is None


def test_one_s_own_word_that_was_seen_to_end_stays_ended() -> None:
    scene = Scene()
    link = scene.connect()
    scene.say(Status.OFFLINE, until=10)
    scene.wait(11, sweep=False)
    assert scene.activity(link, idle=False).truth_changed
    scene.set_by -= 3_600
    scene.activity(link, idle=False)
    assert (scene.status(), scene.own()) == (Status.ONLINE, None)
