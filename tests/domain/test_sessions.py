"""Sessions and their holders: a connection, a grace period, a REST deadline; fencing; how a device ends."""

from __future__ import annotations

import pytest

from domain.scene import ANN, BOB, BOOT, START, Link, Scene
from presence_server.domain.causes import Cause
from presence_server.domain.model import GRACE, OFFLINE, REST, Idle, Platform, PublicState, Status
from presence_server.domain.transitions import NOTHING, Evicted, Transition

ONLINE_WEB = PublicState(Status.ONLINE, (Platform.WEB,))


def test_a_connection_makes_a_user_online_and_its_leaving_offline() -> None:
    scene = Scene()
    link = scene.connect()
    came = link.made.change
    assert came is not None
    assert (came.user_id, came.before, came.after) == (ANN, OFFLINE, ONLINE_WEB)
    assert not link.made.continued
    assert link.made.truth_changed
    went = scene.leave(link).change
    assert went is not None
    assert (went.before, went.after) == (ONLINE_WEB, OFFLINE)
    assert went.version > came.version
    assert scene.devices() == []


def test_a_second_device_of_the_same_platform_changes_nothing_in_public_but_the_user_sees_it() -> None:
    scene = Scene()
    scene.connect(device_id="one")
    version = scene.version()
    second = scene.connect(device_id="two")
    assert second.made.change is None
    assert second.made.truth_changed
    assert scene.version() == version
    assert scene.devices() == ["one", "two"]


def test_a_user_on_another_live_device_never_shows_as_offline() -> None:
    scene = Scene()
    web = scene.connect(device_id="web")
    scene.connect(device_id="phone", platform=Platform.IOS)
    assert scene.platforms() == (Platform.WEB, Platform.IOS)
    change = scene.leave(web).change
    assert change is not None
    assert change.after == PublicState(Status.ONLINE, (Platform.IOS,))


# -- grace -------------------------------------------------------------------------------------------------------


def test_a_dropped_link_shows_nothing_until_grace_ends() -> None:
    scene = Scene(grace=10)
    link = scene.connect()
    assert scene.disconnect(link).change is None
    assert scene.wait(9.9) == []
    assert scene.status() is Status.ONLINE
    (ended,) = scene.wait(0.1)
    assert ended.change is not None
    assert ended.change.after == OFFLINE
    assert ended.truth_changed
    assert scene.status() is Status.OFFLINE


def test_without_a_grace_period_a_dropped_link_ends_at_the_next_sweep() -> None:
    scene = Scene(grace=0)
    scene.disconnect(scene.connect())
    scene.wait(0.05)
    assert scene.status() is Status.OFFLINE


def test_a_device_in_grace_is_still_listed_and_keeps_its_activity() -> None:
    scene = Scene(grace=10)
    active, idle = scene.connect(device_id="active"), scene.connect(device_id="idle", idle=True)
    scene.disconnect(active)
    scene.disconnect(idle)
    scene.wait(9)
    assert scene.devices() == ["active", "idle"]
    assert scene.status() is Status.ONLINE
    assert scene.device(device_id="idle").idle == Idle(BOOT, is_said=True)


def test_a_reconnect_within_grace_continues_the_session_and_nobody_notices() -> None:
    scene = Scene(grace=10)
    first = scene.connect()
    session = scene.device().session
    scene.disconnect(first)
    scene.wait(8)
    second = scene.connect()
    assert second.made == Transition(device=scene.device(), continued=True, cause=Cause.RESUMED)
    assert scene.device().session == session
    assert scene.device().online_time == START
    assert scene.wait(3600) == []
    assert scene.status() is Status.ONLINE


def test_sockets_that_are_read_before_the_sweep_win_over_a_grace_that_ran_out_in_a_stall() -> None:
    scene = Scene(grace=10)
    scene.disconnect(scene.connect())
    scene.wait(60, sweep=False)
    assert scene.connect().made.continued
    assert scene.wait(0) == []


def test_a_connect_after_grace_is_a_new_session() -> None:
    scene = Scene(grace=10)
    scene.disconnect(scene.connect())
    scene.wait(11)
    scene.connect()
    assert scene.device().online_time == START + 11


def test_each_dropped_link_gets_a_whole_grace_period() -> None:
    scene = Scene(grace=10)
    scene.disconnect(scene.connect())
    scene.wait(9)
    scene.disconnect(scene.connect())
    assert scene.wait(9) == []
    assert len(scene.wait(1)) == 1


# -- replacement and fencing -------------------------------------------------------------------------------------


def test_a_newer_connection_replaces_the_older_one() -> None:
    scene = Scene()
    old = scene.connect()
    scene.wait(5)
    new = scene.connect()
    assert new.made.evicted == (Evicted(old.holder, Cause.REPLACED),)
    assert new.made.continued
    assert new.made.change is None
    assert not new.made.truth_changed
    assert scene.device().holder == new.holder
    assert scene.device().online_time == START


@pytest.mark.parametrize("end", [Scene.disconnect, Scene.leave, Scene.speak, Scene.ping])
def test_the_older_connection_can_no_longer_touch_the_newer(end: object) -> None:
    scene = Scene(grace=10)
    old, new = scene.connect(), scene.connect()
    heard = scene.device().last_active
    scene.wait(1)
    assert callable(end)
    assert end(scene, old) is NOTHING
    assert scene.device().holder == new.holder
    assert scene.device().last_active == heard
    assert scene.wait(100) == []
    assert scene.status() is Status.ONLINE


def test_the_older_connection_can_no_longer_say_idle() -> None:
    scene = Scene()
    old, _new = scene.connect(), scene.connect()
    assert scene.activity(old, idle=True) is NOTHING
    assert scene.status() is Status.ONLINE


def test_the_end_of_the_older_one_while_the_newer_is_in_grace_does_not_end_it_early() -> None:
    scene = Scene(grace=10)
    old, new = scene.connect(), scene.connect()
    scene.disconnect(new)
    scene.wait(9)
    assert scene.leave(old) is NOTHING
    assert scene.disconnect(old) is NOTHING
    assert scene.status() is Status.ONLINE
    scene.wait(1)
    assert scene.status() is Status.OFFLINE


def test_a_link_of_a_session_that_ended_touches_nothing() -> None:
    scene = Scene()
    link = scene.connect()
    scene.offline()
    scene.connect()
    assert scene.disconnect(link) is NOTHING
    assert scene.leave(Link(BOB, "web", link.holder, NOTHING)) is NOTHING
    assert scene.wait(100) == []
    assert scene.status() is Status.ONLINE


def test_connecting_again_under_the_same_number_replaces_nobody() -> None:
    scene = Scene()
    link = scene.connect()
    scene._numbers = iter([link.holder])  # type: ignore[assignment]
    assert scene.connect().made.evicted == ()


def test_a_replacement_may_bring_another_platform() -> None:
    scene = Scene()
    scene.connect(platform=Platform.WEB)
    new = scene.connect(platform=Platform.PC)
    assert new.made.change is not None
    assert new.made.truth_changed
    assert scene.platforms() == (Platform.PC,)


# -- REST --------------------------------------------------------------------------------------------------------


def test_online_lives_until_its_deadline_and_a_heartbeat_renews_it() -> None:
    scene = Scene(rest=75)
    scene.online()
    assert scene.status() is Status.ONLINE
    scene.wait(74)
    assert scene.heartbeat().device is scene.device()
    assert scene.wait(74.9) == []
    (ended,) = scene.wait(0.1)
    assert ended.change is not None
    assert scene.status() is Status.OFFLINE


def test_online_twice_keeps_online_time_updates_the_platform_and_renews() -> None:
    scene = Scene(rest=75)
    assert not scene.online(platform=Platform.WEB).continued
    scene.wait(60)
    again = scene.online(platform=Platform.ANDROID)
    assert again.continued
    assert scene.device().online_time == START
    assert scene.platforms() == (Platform.ANDROID,)
    assert scene.wait(60) == []
    assert scene.status() is Status.ONLINE


def test_the_same_online_twice_changes_nothing() -> None:
    scene = Scene()
    scene.online()
    again = scene.online()
    assert again.change is None
    assert not again.truth_changed


def test_a_heartbeat_of_an_unknown_device_is_refused() -> None:
    scene = Scene()
    assert scene.heartbeat() is NOTHING
    scene.online()
    assert scene.heartbeat(device_id="other").device is None
    assert scene.heartbeat(user_id=BOB).device is None
    assert scene.table.record(BOB) is None


def test_rest_on_a_connected_device_changes_nothing_but_platform_and_idle() -> None:
    scene = Scene(grace=10, rest=75)
    link = scene.connect()
    scene.wait(20)
    assert scene.online(platform=Platform.PC).continued
    assert scene.heartbeat(idle=True).device is not None
    assert scene.table.presence(ANN).public == PublicState(Status.AWAY, (Platform.PC,))
    assert scene.device().holder == link.holder
    assert scene.device().last_active == START + 20, "idle since then"
    assert scene.wait(1000) == [], "no REST deadline on a connected device"
    assert scene.disconnect(link) is not NOTHING
    assert len(scene.wait(10)) == 1


@pytest.mark.parametrize("beat", [Scene.online, Scene.heartbeat])
def test_rest_during_grace_takes_the_device_over(beat: object) -> None:
    scene = Scene(grace=10, rest=75)
    link = scene.connect()
    scene.disconnect(link)
    scene.wait(5)
    assert callable(beat)
    made = beat(scene)
    assert made.continued
    assert made.change is None
    assert scene.device().holder == REST
    assert scene.device().online_time == START
    assert scene.wait(74) == []
    assert scene.disconnect(link) is NOTHING
    assert len(scene.wait(1)) == 1


def test_a_connection_takes_a_rest_device_over_and_its_deadline_is_gone() -> None:
    scene = Scene(rest=75)
    scene.online()
    scene.wait(10)
    link = scene.connect()
    assert link.made.continued
    assert link.made.evicted == ()
    assert link.made.change is None
    assert scene.device().online_time == START
    assert scene.wait(10_000) == []


def test_offline_ends_the_device_whatever_holds_it() -> None:
    for hold in (Scene.connect, Scene.online, lambda scene: scene.disconnect(scene.connect())):
        scene = Scene()
        hold(scene)
        made = scene.offline()
        assert made.change is not None
        assert scene.status() is Status.OFFLINE
        assert scene.wait(1000) == []


def test_offline_reports_the_connection_that_held_the_device() -> None:
    scene = Scene()
    link = scene.connect()
    assert scene.offline().evicted == (Evicted(link.holder, Cause.ENDED_BY_BACKEND),)
    assert scene.disconnect(link) is NOTHING
    scene.online()
    assert scene.offline().evicted == ()


def test_offline_of_what_is_not_online_changes_nothing() -> None:
    scene = Scene()
    assert scene.offline() is NOTHING
    assert scene.table.record(ANN) is None
    scene.online(device_id="other")
    assert scene.offline(device_id="web") is NOTHING
    assert scene.status() is Status.ONLINE


def test_offline_ends_one_device_and_leaves_the_others() -> None:
    scene = Scene()
    scene.connect(device_id="web")
    scene.connect(device_id="phone", platform=Platform.IOS)
    scene.offline(device_id="web")
    assert scene.devices() == ["phone"]
    assert scene.status() is Status.ONLINE


# -- too many devices --------------------------------------------------------------------------------------------


def test_one_device_too_many_ends_the_one_longest_idle() -> None:
    scene = Scene(max_devices=3)
    scene.connect(device_id="oldest")
    idle = [scene.connect(device_id="idle later"), scene.connect(device_id="idle first")]
    scene.wait(1)
    scene.activity(idle[1], idle=True)
    scene.wait(1)
    scene.activity(idle[0], idle=True)
    came = scene.connect(device_id="new")
    assert came.made.evicted == (Evicted(idle[1].holder, Cause.TOO_MANY_DEVICES),)
    assert scene.devices() == ["oldest", "idle later", "new"]
    assert scene.disconnect(idle[1]) is NOTHING


def test_one_device_too_many_ends_the_oldest_when_none_is_idle() -> None:
    scene = Scene()
    links = [scene.connect(device_id=f"device {n}") for n in range(16)]
    scene.disconnect(links[0])
    replaced = scene.connect(device_id="device 0")
    seventeenth = scene.connect(device_id="device 16")
    assert seventeenth.made.evicted == (Evicted(replaced.holder, Cause.TOO_MANY_DEVICES),)
    assert scene.devices() == [f"device {n}" for n in range(1, 17)]


def test_a_device_without_a_connection_makes_room_and_nobody_need_be_told() -> None:
    scene = Scene(max_devices=2, grace=10, rest=75)
    scene.online(device_id="rest")
    scene.disconnect(scene.connect(device_id="grace"))
    assert scene.connect(device_id="new").made.evicted == ()
    assert scene.devices() == ["rest", "new"]
    assert scene.online(device_id="newer").evicted == ()
    assert scene.devices() == ["new", "newer"]
    assert scene.wait(20) == []


def test_sixteen_dead_devices_do_not_push_out_the_live_one() -> None:
    """A tab with a new id at each start, on a train, and a phone that was there before."""
    scene = Scene()
    phone = scene.connect(device_id="phone")
    for number in range(40):
        tab = scene.connect(device_id=f"tab {number}")
        assert tab.made.evicted == ()
        scene.disconnect(tab)
        scene.wait(0.1)
    assert scene.devices() == ["phone", *(f"tab {number}" for number in range(25, 40))], "the longest dead go first"
    assert scene.device(device_id="phone").holder == phone.holder


STANDINGS = ("gone first", "gone later", "overdue first", "overdue later", "idle first", "idle later", "old", "new")
"""In the order in which they give way."""


@pytest.mark.parametrize("order", [STANDINGS, STANDINGS[::-1], STANDINGS[::2] + STANDINGS[1::2]], ids=str)
def test_the_dead_give_way_first_and_then_the_idle(order: tuple[str, ...]) -> None:
    scene = Scene(max_devices=len(STANDINGS), grace=100, rest=75)
    links: dict[str, Link] = {}
    for name in sorted(order, key=lambda name: name == "new"):  # of "old" and "new" the age counts
        if name.startswith("overdue"):
            scene.online(device_id=name)
        else:
            links[name] = scene.connect(device_id=name)
    scene.heartbeat(device_id="overdue later")
    for when in ("first", "later"):
        scene.wait(19)
        scene.disconnect(links[f"gone {when}"])
        scene.activity(links[f"idle {when}"], idle=True)
        if when == "first":
            scene.heartbeat(device_id="overdue later")
    scene.wait(19)
    left = list(STANDINGS)
    for number, name in enumerate(STANDINGS):
        made = scene.connect(device_id=f"another {number}").made
        expected = (Evicted(links[name].holder, Cause.TOO_MANY_DEVICES),) if name in links else ()
        assert made.evicted == (() if name.startswith("gone") else expected), name
        left.remove(name)
        assert set(scene.devices()) == {*left, *(f"another {n}" for n in range(number + 1))}


def test_a_rest_device_in_time_is_as_alive_as_any_other() -> None:
    scene = Scene(max_devices=2, rest=75)
    scene.online(device_id="rest")
    idle = scene.connect(device_id="idle")
    scene.activity(idle, idle=True)
    scene.wait(30)
    assert scene.connect(device_id="new").made.evicted == (Evicted(idle.holder, Cause.TOO_MANY_DEVICES),)
    assert scene.devices() == ["rest", "new"]


def test_heartbeats_keep_a_device_from_counting_as_gone() -> None:
    """Its connection dropped, but it comes both ways."""
    scene = Scene(max_devices=2)
    both = scene.connect(device_id="both")
    scene.connect(device_id="idle", idle=True)
    scene.heartbeat(device_id="both")
    scene.disconnect(both)
    scene.connect(device_id="new")
    assert scene.devices() == ["both", "new"]


def test_rest_too_makes_room_and_reports_whom_it_ended() -> None:
    scene = Scene(max_devices=1)
    link = scene.connect(device_id="web")
    made = scene.online(device_id="phone", platform=Platform.IOS)
    assert made.evicted == (Evicted(link.holder, Cause.TOO_MANY_DEVICES),)
    assert made.change is not None
    assert made.change.after == PublicState(Status.ONLINE, (Platform.IOS,)), "and not OFFLINE in between"


def test_one_user_s_devices_take_no_room_from_another_s() -> None:
    scene = Scene(max_devices=1)
    scene.connect(ANN)
    assert scene.connect(BOB).made.evicted == ()
    assert scene.status(ANN) is scene.status(BOB) is Status.ONLINE


def test_grace_is_a_holder_that_no_link_can_pass_for() -> None:
    scene = Scene()
    scene.disconnect(scene.connect())
    assert scene.device().holder == GRACE


def test_rest_devices_that_are_asked_for_less_live_longer_and_what_was_promised_holds() -> None:
    scene = Scene(rest=75)
    scene.table.stretch(2)
    scene.online()
    scene.table.stretch(1)
    scene.online()  # says nothing of when the next heartbeat is due
    scene.wait(140)
    assert scene.status(ANN) is Status.ONLINE
    scene.wait(15)
    assert scene.status(ANN) is Status.OFFLINE
