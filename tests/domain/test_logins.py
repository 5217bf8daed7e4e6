"""Which devices of a user may be online together: policies, on-full, kicks, and what REST devices are told of it."""

from __future__ import annotations

import pytest

from domain.scene import ANN, BOB, Scene, check_statistics
from presence_server.domain.causes import Cause
from presence_server.domain.logins import Logins, clipped, groups_of, signed_in
from presence_server.domain.model import Platform, Status
from presence_server.domain.transitions import FULL, Connect, Erase, Evicted, Kick, Transition

PLATFORMS = ("WEB", "IOS", "ANDROID", "PC")
CLASSES = {"mobile": ("IOS", "ANDROID"), "desktop": ("PC",), "web": ("WEB",)}


def scene_of(policy: str, *, max_devices: int = 16, refuses_newest: bool = False) -> Scene:
    logins = Logins(groups_of(policy, PLATFORMS, CLASSES), refuses_newest)
    return Scene(logins=logins, max_devices=max_devices)


@pytest.mark.parametrize(
    ("policy", "left"),
    [
        ("many", ["web", "ipad", "iphone", "galaxy", "desk"]),
        ("one", ["desk"]),
        ("one-per-platform", ["web", "iphone", "galaxy", "desk"]),
        ("one-per-class", ["web", "galaxy", "desk"]),
    ],
)
@pytest.mark.parametrize("by_rest", [False, True])
def test_a_newcomer_ends_those_that_it_may_not_stand_beside(policy: str, left: list[str], by_rest: bool) -> None:
    scene = scene_of(policy)
    came = {
        "web": Platform.WEB,
        "ipad": Platform.IOS,
        "iphone": Platform.IOS,
        "galaxy": Platform.ANDROID,
        "desk": Platform.PC,
    }
    for device_id, platform in came.items():
        if by_rest:
            scene.online(ANN, device_id, platform)
        else:
            scene.connect(ANN, device_id, platform)
        scene.connect(BOB, device_id, Platform.WEB)
        assert scene.status() is Status.ONLINE
    assert scene.devices() == left
    check_statistics(scene.table, [ANN, BOB])


def test_who_has_to_give_way_is_told_who_took_over() -> None:
    scene = scene_of("one")
    web = scene.connect(device_id="web")
    phone = scene.connect(device_id="phone-2", platform=Platform.IOS)
    reason = "signed in on another device: IOS, phone-2"
    assert phone.made.evicted == (Evicted(web.holder, Cause.REPLACED, reason),)
    assert phone.made.change is not None, "from WEB to IOS, and OFFLINE in between for nobody"
    assert phone.made.change.before.status is phone.made.change.after.status is Status.ONLINE


def test_a_reason_fits_into_a_close_frame_whatever_the_device_is_called() -> None:
    for name in ("x" * 128, "设" * 128, "😀" * 128):
        reason = signed_in(name, "A" * 24)
        assert len(reason.encode()) <= 123
        assert reason.startswith("signed in on another device: AAAA")
        assert reason.endswith("…")
    assert clipped("short") == "short"


def test_the_same_device_that_comes_back_is_no_newcomer() -> None:
    scene = scene_of("one-per-platform")
    scene.connect(device_id="web")
    phone = scene.connect(device_id="phone", platform=Platform.IOS)
    scene.disconnect(phone)
    again = scene.connect(device_id="phone", platform=Platform.IOS)
    assert (again.made.continued, again.made.evicted) == (True, ())
    assert scene.online(device_id="phone", platform=Platform.IOS).evicted == ()
    assert scene.devices() == ["web", "phone"]


def test_one_that_comes_back_on_another_platform_is_new_there() -> None:
    scene = scene_of("one-per-platform")
    web = scene.connect(device_id="web")
    scene.connect(device_id="phone", platform=Platform.IOS)
    moved = scene.connect(device_id="phone", platform=Platform.WEB)
    assert moved.made.continued
    assert [evicted.holder for evicted in moved.made.evicted] == [web.holder, 2]
    assert scene.devices() == ["phone"]
    assert moved.made.truth_changed


def test_a_device_in_grace_gives_way_as_well() -> None:
    scene = scene_of("one")
    link = scene.connect(device_id="web")
    scene.disconnect(link)
    assert scene.connect(device_id="phone", platform=Platform.IOS).made.evicted == (), "nobody is there to be told"
    assert scene.devices() == ["phone"]
    assert scene.wait(100) == []


def test_a_rest_device_is_told_with_its_heartbeats_for_an_hour() -> None:
    scene = scene_of("one")
    scene.online(device_id="old")
    scene.online(device_id="new", platform=Platform.IOS)
    for _ in range(2):
        made = scene.heartbeat(device_id="old")
        assert made.device is None
        assert made.farewell == (Cause.REPLACED, "signed in on another device: IOS, new")
        scene.wait(1790)
    scene.wait(20)
    assert scene.heartbeat(device_id="old").farewell is None
    assert len(scene.table._shared.farewells) == 0


def test_who_signs_in_again_takes_over_and_is_told_nothing_old() -> None:
    scene = scene_of("one")
    scene.online(device_id="old")
    scene.online(device_id="new")
    scene.online(device_id="old")
    assert scene.devices() == ["old"]
    assert scene.heartbeat(device_id="old").device is not None
    assert scene.heartbeat(device_id="new").farewell is not None


def test_what_rest_devices_are_still_to_be_told_is_bounded_and_erased_with_the_user() -> None:
    scene = scene_of("one")
    scene.table._shared.farewells._most = 3
    for number in range(10):
        scene.online(device_id=str(number))
    assert len(scene.table._shared.farewells) == 3
    scene.apply(Erase(ANN))
    assert len(scene.table._shared.farewells) == 0


# -- on full ---------------------------------------------------------------------------------------------------------


def test_the_newest_may_be_refused_and_nobody_is_ended_then() -> None:
    scene = scene_of("many", max_devices=2, refuses_newest=True)
    scene.connect(device_id="one")
    lost = scene.connect(device_id="two")
    scene.disconnect(lost)
    assert scene.connect(device_id="three").made == FULL
    assert scene.online(device_id="three") == FULL
    assert scene.devices() == ["one", "two"]
    assert scene.connect(device_id="two").made.continued, "it is there already"
    scene.offline(device_id="one")
    assert scene.connect(device_id="three").made.device is not None
    check_statistics(scene.table, [ANN])


def test_whoever_gives_way_by_the_policy_makes_room() -> None:
    scene = scene_of("one-per-platform", max_devices=2, refuses_newest=True)
    scene.connect(device_id="web")
    scene.connect(device_id="phone", platform=Platform.IOS)
    assert scene.connect(device_id="pc", platform=Platform.PC).made == FULL
    assert len(scene.connect(device_id="other", platform=Platform.IOS).made.evicted) == 1
    assert scene.devices() == ["web", "other"]


# -- kicks -----------------------------------------------------------------------------------------------------------


def test_a_back_end_ends_all_or_those_on_a_platform_or_one() -> None:
    scene = Scene()
    links = {name: scene.connect(device_id=name, platform=Platform.IOS) for name in ("a", "b")}
    scene.connect(device_id="c")
    scene.online(device_id="d")
    one = scene.apply(Kick(ANN, device_id="a", reason="bye now"))
    assert (one.ended, one.evicted) == (1, (Evicted(links["a"].holder, Cause.ENDED_BY_BACKEND, "bye now"),))
    assert one.truth_changed
    assert scene.apply(Kick(ANN, Platform.IOS, "c")).ended == 0, "both have to be so"
    assert scene.apply(Kick(ANN, Platform.IOS)).ended == 1
    assert scene.devices() == ["c", "d"]
    rest = scene.apply(Kick(ANN))
    assert (rest.ended, len(rest.evicted)) == (2, 1)
    assert rest.change is not None
    assert rest.change.after.status is Status.OFFLINE
    assert scene.heartbeat(device_id="d").farewell == (Cause.ENDED_BY_BACKEND, "")
    assert scene.heartbeat(device_id="c").farewell is not None
    assert scene.apply(Kick(ANN)).ended == scene.apply(Kick(BOB)).ended == 0
    check_statistics(scene.table, [ANN, BOB])


def test_one_that_comes_both_ways_is_told_both_ways() -> None:
    scene = Scene()
    link = scene.connect()
    scene.heartbeat()
    made = scene.apply(Kick(ANN))
    assert [evicted.holder for evicted in made.evicted] == [link.holder]
    assert scene.heartbeat().farewell is not None


# -- who comes back by itself ----------------------------------------------------------------------------------------


def returning(scene: Scene, device_id: str, platform: Platform = Platform.WEB) -> Transition:
    number = next(scene._numbers)
    return scene.apply(Connect(ANN, device_id, platform, number, number, returning=True))


def test_who_comes_back_by_itself_yields_to_who_has_signed_in_meanwhile() -> None:
    scene = scene_of("one")
    link = scene.connect(device_id="old")
    scene.disconnect(link)
    scene.wait(60)
    scene.connect(device_id="new", platform=Platform.IOS)
    made = returning(scene, "old")
    assert made.farewell == (Cause.REPLACED, "signed in on another device: IOS, new")
    assert scene.devices() == ["new"]
    assert scene.connect(device_id="old").made.device is not None, "a person has signed in"
    assert scene.devices() == ["old"]


def test_who_was_kicked_while_out_of_reach_is_told_when_it_comes_back() -> None:
    scene = Scene()
    link = scene.connect(device_id="old")
    scene.disconnect(link)
    scene.apply(Kick(ANN, reason="enough"))
    assert returning(scene, "old").farewell == (Cause.ENDED_BY_BACKEND, "enough")
    assert scene.connect(device_id="old").made.device is not None
    scene.wait(10)
    assert returning(scene, "old").continued


def test_who_was_ended_by_nobody_comes_back() -> None:
    scene = scene_of("one-per-platform")
    assert returning(scene, "a").device is not None
    assert returning(scene, "b", Platform.IOS).device is not None
    assert returning(scene, "a").continued
    assert scene.devices() == ["a", "b"]
