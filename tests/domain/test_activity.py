"""Activity is a level: said and inferred idleness, and `lastActiveTime`."""

from __future__ import annotations

import pytest

from domain.scene import BOOT, Scene
from presence_server.domain.model import Idle, Status
from presence_server.domain.transitions import NOTHING


def test_idle_makes_away_and_active_makes_online() -> None:
    scene = Scene()
    link = scene.connect()
    away = scene.activity(link, idle=True)
    assert away.change is not None
    assert away.truth_changed
    assert scene.status() is Status.AWAY
    back = scene.activity(link, idle=False)
    assert back.change is not None
    assert scene.status() is Status.ONLINE


def test_saying_the_same_again_changes_nothing() -> None:
    scene = Scene()
    link = scene.connect()
    assert scene.activity(link, idle=False).change is None
    scene.activity(link, idle=True)
    scene.wait(5)
    again = scene.activity(link, idle=True)
    assert again.change is None
    assert not again.truth_changed
    assert scene.device().idle == Idle(BOOT, is_said=True)


def test_away_only_when_every_device_is_idle() -> None:
    scene = Scene()
    web, phone = scene.connect(device_id="web"), scene.connect(device_id="phone")
    first = scene.activity(web, idle=True)
    assert first.change is None
    assert first.truth_changed
    assert scene.activity(phone, idle=True).change is not None
    assert scene.status() is Status.AWAY


def test_said_idle_lasts_until_said_otherwise() -> None:
    scene = Scene(away_after=60)
    link = scene.connect()
    scene.activity(link, idle=True)
    for _ in range(5):
        scene.wait(100)
        assert scene.ping(link) is NOTHING
        assert scene.speak(link) is NOTHING
    assert scene.status() is Status.AWAY
    scene.activity(link, idle=False)
    assert scene.status() is Status.ONLINE


def test_who_was_away_comes_back_away() -> None:
    scene = Scene(grace=10)
    link = scene.connect()
    scene.activity(link, idle=True)
    scene.disconnect(link)
    scene.wait(5)
    again = scene.connect()
    assert again.made.change is None
    assert scene.status() is Status.AWAY
    scene.speak(again)
    assert scene.status() is Status.AWAY


def test_hello_may_say_that_a_continued_session_is_active_again_or_idle_now() -> None:
    scene = Scene()
    scene.connect()
    idle = scene.connect(idle=True)
    assert idle.made.change is not None
    assert idle.made.truth_changed
    assert scene.status() is Status.AWAY
    scene.connect(idle=False)
    assert scene.status() is Status.ONLINE


def test_a_new_session_after_grace_is_active() -> None:
    scene = Scene(grace=10)
    scene.disconnect(scene.connect(idle=True))
    scene.wait(10)
    scene.connect()
    assert scene.status() is Status.ONLINE


def test_rest_says_idle_too() -> None:
    scene = Scene()
    scene.online(idle=True)
    assert scene.status() is Status.AWAY
    scene.heartbeat()
    assert scene.status() is Status.AWAY
    changed = scene.heartbeat(idle=False)
    assert changed.change is not None
    assert changed.truth_changed
    assert scene.status() is Status.ONLINE
    scene.online(idle=True)
    assert scene.status() is Status.AWAY


def test_idleness_survives_from_rest_to_a_connection_and_back() -> None:
    scene = Scene(grace=10, rest=75)
    scene.online(idle=True)
    link = scene.connect()
    assert scene.status() is Status.AWAY
    scene.disconnect(link)
    scene.online()
    assert scene.status() is Status.AWAY


# -- inferred idleness ---------------------------------------------------------------------------------------------


def test_nothing_is_inferred_by_default() -> None:
    scene = Scene()
    scene.connect()
    assert scene.wait(1_000_000) == []
    assert scene.status() is Status.ONLINE


def test_silence_makes_away_and_any_word_makes_online() -> None:
    scene = Scene(away_after=60)
    link = scene.connect()
    assert scene.wait(59.9) == []
    (inferred,) = scene.wait(0.1)
    assert inferred.change is not None
    assert inferred.change.after.status is Status.AWAY
    assert inferred.truth_changed
    scene.wait(10)
    spoke = scene.speak(link)
    assert spoke.change is not None
    assert spoke.truth_changed
    assert scene.status() is Status.ONLINE
    assert scene.wait(59.9) == []
    assert len(scene.wait(0.1)) == 1


def test_pings_are_no_words() -> None:
    scene = Scene(away_after=60)
    link = scene.connect()
    for _ in range(3):
        scene.wait(20)
        assert scene.ping(link) is NOTHING
    assert scene.status() is Status.AWAY
    scene.ping(link)
    assert scene.status() is Status.AWAY


def test_each_word_puts_the_inference_off() -> None:
    scene = Scene(away_after=60)
    link = scene.connect()
    for _ in range(5):
        scene.wait(50)
        scene.speak(link)
    assert scene.status() is Status.ONLINE
    assert scene.wait(59.9) == []
    assert len(scene.wait(0.1)) == 1


def test_a_reconnect_is_not_activity_and_does_not_restart_the_inference() -> None:
    scene = Scene(grace=10, away_after=60)
    scene.connect()
    for _ in range(5):
        scene.wait(10)
        scene.connect()
    assert scene.wait(9.9) == []
    (inferred,) = scene.wait(0.1)
    assert inferred.change is not None
    again = scene.connect()
    assert again.made.change is None
    assert scene.status() is Status.AWAY


def test_inferred_idleness_survives_a_reconnect_until_a_word() -> None:
    scene = Scene(grace=10, away_after=60)
    link = scene.connect()
    scene.wait(60)
    scene.disconnect(link)
    scene.wait(5)
    again = scene.connect()
    assert scene.status() is Status.AWAY
    scene.speak(again)
    assert scene.status() is Status.ONLINE


def test_silence_that_outlasts_the_limit_in_grace_is_inferred_after_the_reconnect() -> None:
    scene = Scene(grace=10, away_after=60)
    link = scene.connect()
    scene.wait(55)
    scene.disconnect(link)
    assert scene.wait(8) == []
    assert scene.status() is Status.ONLINE
    scene.connect()
    assert len(scene.wait(0)) == 1
    assert scene.status() is Status.AWAY


def test_saying_idle_makes_inferred_idleness_last() -> None:
    scene = Scene(away_after=60)
    link = scene.connect()
    scene.wait(60)
    scene.activity(link, idle=True)
    scene.speak(link)
    assert scene.status() is Status.AWAY


def test_saying_active_starts_the_inference_anew() -> None:
    scene = Scene(away_after=60)
    link = scene.connect(idle=True)
    scene.wait(500)
    scene.activity(link, idle=False)
    assert scene.wait(59.9) == []
    assert len(scene.wait(0.1)) == 1


def test_nothing_is_inferred_of_a_rest_device() -> None:
    scene = Scene(away_after=60, rest=75)
    scene.online()
    for _ in range(4):
        assert scene.wait(50) == []
        scene.heartbeat()
    assert scene.status() is Status.ONLINE


def test_a_connected_device_that_rest_calls_active_is_inferred_idle_later_like_any_other() -> None:
    scene = Scene(away_after=60)
    scene.connect(idle=True)
    scene.wait(100)
    scene.heartbeat(idle=False)
    assert scene.status() is Status.ONLINE
    scene.wait(60)
    assert scene.status() is Status.AWAY


def test_a_connected_device_that_rest_called_idle_stays_so_though_its_silence_lasts() -> None:
    scene = Scene(away_after=60)
    link = scene.connect()
    scene.wait(10)
    scene.heartbeat(idle=True)
    scene.wait(100)
    assert scene.device().idle == Idle(BOOT + 10, is_said=True)
    scene.speak(link)
    assert scene.status() is Status.AWAY


# -- last active time ------------------------------------------------------------------------------------------------


def test_never_known_is_none() -> None:
    scene = Scene()
    assert scene.last_active() is None
    assert scene.told_active() is None


def test_of_an_active_device_it_is_when_the_link_was_last_heard() -> None:
    scene = Scene()
    link = scene.connect()
    assert scene.last_active() == 0
    scene.wait(25)
    scene.ping(link)
    scene.wait(7)
    assert scene.last_active() == 25
    assert scene.told_active() == 0, "entries carry the value at their version"
    scene.speak(link)
    assert scene.last_active() == 32


def test_rest_is_heard_at_each_heartbeat() -> None:
    scene = Scene()
    scene.online()
    scene.wait(30.7)
    scene.heartbeat()
    assert scene.last_active() == 30
    scene.wait(30)
    scene.online()
    assert scene.last_active() == 60


def test_of_an_idle_device_it_is_when_it_became_idle() -> None:
    scene = Scene()
    link = scene.connect()
    scene.wait(20)
    scene.activity(link, idle=True)
    scene.wait(20)
    scene.ping(link)
    assert scene.last_active() == scene.told_active() == 20


def test_a_device_that_comes_idle_says_since_when() -> None:
    scene = Scene()
    scene.connect(idle=True, idle_for=300)
    assert scene.last_active() == scene.told_active() == -300


def test_how_long_a_device_was_idle_never_moves_it_back() -> None:
    scene = Scene()
    link = scene.connect()
    scene.wait(20)
    scene.ping(link)
    scene.wait(5)
    scene.activity(link, idle=True, idle_for=300)
    assert scene.last_active() == 20
    scene.activity(link, idle=True, idle_for=600)
    assert scene.last_active() == 20
    scene.wait(5)
    scene.activity(link, idle=True, idle_for=2)
    assert scene.last_active() == 28, "there was activity that nobody had reported"


def test_idle_for_longer_than_time_itself_is_still_idle() -> None:
    scene = Scene()
    scene.connect(idle=True, idle_for=9e15)
    assert scene.status() is Status.AWAY
    assert scene.last_active() is None


def test_it_is_the_greatest_of_all_devices() -> None:
    scene = Scene()
    web, phone = scene.connect(device_id="web"), scene.connect(device_id="phone")
    scene.wait(10)
    scene.ping(phone)
    scene.wait(10)
    scene.ping(web)
    assert scene.last_active() == 20
    scene.leave(web)
    assert scene.last_active() == 20, "it does not move back to what is left"


def test_it_stays_as_last_seen_after_offline() -> None:
    scene = Scene(grace=10)
    link = scene.connect()
    scene.wait(20)
    scene.ping(link)
    scene.disconnect(link)
    scene.wait(10)
    assert scene.status() is Status.OFFLINE
    scene.wait(1000)
    assert scene.last_active() == scene.told_active() == 20


def test_a_new_session_that_comes_idle_does_not_move_it_back() -> None:
    scene = Scene()
    scene.leave(scene.connect())
    scene.wait(100)
    scene.connect(idle=True, idle_for=500)
    assert scene.last_active() == scene.told_active() == 0


def test_a_reconnect_of_an_idle_device_does_not_move_it() -> None:
    scene = Scene()
    scene.connect(idle=True)
    scene.wait(50)
    scene.connect()
    assert scene.last_active() == 0


@pytest.mark.parametrize("others", [0, 1])
@pytest.mark.parametrize("by_rest", [False, True])
def test_becoming_active_is_activity(by_rest: bool, others: int) -> None:
    """Idle since a moment at which the link itself was not heard, with and without a Change on the way."""
    scene = Scene()
    link = scene.connect()
    for number in range(others):
        scene.connect(device_id=f"other {number}")
    scene.wait(30)
    scene.heartbeat(idle=True)
    assert scene.last_active() == 30
    scene.wait(5)
    if by_rest:
        scene.heartbeat(idle=False)
    else:
        scene.activity(link, idle=False)
    assert scene.last_active() == 35
    scene.say(Status.BUSY)
    assert scene.told_active() == 35


def test_an_inferred_idleness_began_when_it_was_inferred() -> None:
    scene = Scene(away_after=60)
    scene.connect()
    scene.wait(60)
    scene.wait(60)
    assert scene.last_active() == 60


def test_silence_over_rest_is_not_held_against_a_connection_that_takes_over() -> None:
    scene = Scene(away_after=60, rest=1000)
    scene.online(device_id="d")
    scene.wait(300)
    scene.connect(device_id="d")
    assert scene.wait(59) == []
    assert scene.status() is Status.ONLINE
    scene.wait(2)
    assert scene.status() is Status.AWAY
