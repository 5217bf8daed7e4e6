"""The table: who is known, who is forgotten, what a cursor misses, and that its counts add up."""

from __future__ import annotations

import pytest

from domain.scene import ANN, BOB, BOOT, EVE, START, Scene, check_statistics
from presence_server.domain.claims import Word
from presence_server.domain.model import OFFLINE, Platform, PublicState, Status, UserPresence
from presence_server.domain.table import PresenceTable
from presence_server.domain.transitions import Online, Say
from presence_server.domain.versions import Versions


def changed(scene: Scene, seq: int, *user_ids: int) -> list[int]:
    return [presence.user_id for presence in scene.table.changed_since(user_ids or (ANN, BOB, EVE), seq)]


# -- questions -----------------------------------------------------------------------------------------------------


def test_an_unknown_user_is_offline_at_version_0() -> None:
    scene = Scene()
    assert scene.table.presence(ANN) == UserPresence(ANN, OFFLINE, None, 0, 0)
    assert scene.table.shown(ANN) == (scene.table.presence(ANN), None, ())
    assert scene.table.record(ANN) is None
    assert scene.table.statistics().users == 0, "asking makes nobody known"


def test_a_user_is_shown_with_devices_in_the_order_in_which_they_came() -> None:
    scene = Scene()
    scene.connect(device_id="web")
    scene.wait(5)
    scene.online(device_id="phone", platform=Platform.IOS)
    shown = scene.table.shown(ANN)
    assert shown.presence.public == PublicState(Status.ONLINE, (Platform.WEB, Platform.IOS))
    assert shown.presence.last_active == START + 5
    assert [(device.device_id, device.online_time) for device in shown.devices] == [
        ("web", START),
        ("phone", START + 5),
    ]


def test_each_change_takes_the_next_version_over_all_users() -> None:
    scene = Scene(shards=3)
    changes = [scene.connect(user_id).made.change for user_id in range(1, 20)]
    versions = [change.version for change in changes if change is not None]
    assert len(versions) == 19
    assert versions == sorted(set(versions))
    assert scene.table.seq == versions[-1]
    assert [scene.version(user_id) for user_id in range(1, 20)] == versions


def test_versions_go_on_after_the_last_one_given_elsewhere() -> None:
    table = PresenceTable(versions=Versions(last=2**52))
    made = table.apply(Online(ANN, "web", Platform.WEB, 1), BOOT, START)
    assert made.change is not None
    assert made.change.version == 2**52 + 1


@pytest.mark.parametrize("shards", [1, 2, 64])
def test_users_are_told_apart_whatever_shard_they_share(shards: int) -> None:
    scene = Scene(shards=shards)
    scene.connect(1)
    scene.say(Status.BUSY, 65)
    scene.connect(65)
    assert [scene.status(user_id) for user_id in (1, 65, 129)] == [Status.ONLINE, Status.BUSY, Status.OFFLINE]


def test_what_expires_says_whose_it_was_in_the_order_in_which_it_fell_due() -> None:
    scene = Scene(grace=10, rest=75)
    scene.online(EVE)
    scene.say(Status.BUSY, BOB, until=40)
    scene.disconnect(scene.connect(ANN))
    scene.now += 100
    assert [user_id for user_id, _ in scene.table.expire(scene.now, scene.utc)] == [BOB, ANN, EVE]
    assert list(scene.table.expire(scene.now, scene.utc)) == []


def test_a_sweep_that_is_cut_short_loses_nothing_that_was_due() -> None:
    scene = Scene(grace=10)
    for user_id in (ANN, BOB, EVE):
        scene.disconnect(scene.connect(user_id))
    scene.now += 11
    sweep = iter(scene.table.expire(scene.now, scene.utc))
    next(sweep)
    del sweep  # as when whoever was told of the first one failed
    scene.now += 0.1
    assert [user_id for user_id, _ in scene.table.expire(scene.now, scene.utc)] == [BOB, EVE]


def test_whatever_happens_while_a_sweep_is_told_stands() -> None:
    """What expired first may make somebody act on what was due after it."""
    scene = Scene(grace=10)
    for user_id in (1, 2, 3, 4, 5):
        scene.disconnect(scene.connect(user_id))
    scene.now += 11
    sweep = iter(scene.table.expire(scene.now, scene.utc))
    assert next(sweep)[0] == 1
    scene.connect(2)
    scene.heartbeat(3)
    scene.offline(4)
    assert [user_id for user_id, _ in sweep] == [5]
    assert [scene.status(user_id) for user_id in (1, 2, 3, 4, 5)] == [
        Status.OFFLINE,
        Status.ONLINE,
        Status.ONLINE,
        Status.OFFLINE,
        Status.OFFLINE,
    ]
    assert scene.wait(74) == [], "renewed for all of its time"
    assert len(scene.wait(1)) == 1
    assert scene.status(2) is Status.ONLINE


# -- cursors -------------------------------------------------------------------------------------------------------


def test_a_cursor_tells_what_changed_since_once_each_in_order() -> None:
    scene = Scene()
    scene.connect(ANN)
    seq = scene.table.seq
    scene.connect(EVE)
    bob = scene.connect(BOB)
    scene.say(Status.BUSY, EVE)
    assert changed(scene, seq) == [BOB, EVE]
    assert changed(scene, seq, ANN) == []
    assert changed(scene, 0) == [ANN, BOB, EVE]
    scene.leave(bob)
    assert changed(scene, seq) == [EVE, BOB]
    assert changed(scene, scene.table.seq) == []


def test_a_cursor_is_not_told_of_users_of_whom_nothing_changed() -> None:
    scene = Scene()
    scene.say(Status.OFFLINE, ANN)
    scene.connect(ANN)
    assert changed(scene, 0) == []


def test_a_change_that_is_handed_out_late_is_seen_by_a_cursor_from_in_between() -> None:
    scene = Scene()
    scene.connect(ANN)
    version = scene.version(ANN)
    scene.connect(BOB)
    between = scene.table.seq
    assert changed(scene, between) == []
    scene.table.restamp(ANN, scene.utc)
    assert changed(scene, between) == [ANN]
    assert scene.version(ANN) == version, "it is still the same Change"
    assert changed(scene, scene.table.seq) == []


@pytest.mark.parametrize("came_back_unseen", [False, True])
def test_a_late_change_of_somebody_forgotten_since_covers_no_cursor_from_in_between(came_back_unseen: bool) -> None:
    scene = Scene(max_remembered=1)
    scene.leave(scene.connect(ANN))
    scene.leave(scene.connect(BOB))
    assert scene.table.record(ANN) is None
    if came_back_unseen:
        scene.connect(ANN, status=Status.OFFLINE)
    between = scene.table.seq
    assert between >= scene.table.floor
    scene.table.restamp(ANN, scene.utc)
    assert scene.table.floor > between
    assert scene.table.floor <= scene.table.seq


# -- forgetting ----------------------------------------------------------------------------------------------------


def test_the_oldest_last_seen_is_forgotten_first() -> None:
    scene = Scene(max_remembered=2)
    for user_id in (ANN, BOB, EVE):
        scene.leave(scene.connect(user_id))
        scene.wait(1)
    assert [scene.last_active(user_id) for user_id in (ANN, BOB, EVE)] == [None, 1, 2]
    assert scene.table.presence(ANN) == UserPresence(ANN, OFFLINE, None, 0, 0)
    assert check_statistics(scene.table, [ANN, BOB, EVE]).remembered == 2


def test_users_with_a_device_are_never_forgotten() -> None:
    scene = Scene(max_remembered=1, grace=10)
    for user_id in range(1, 10):
        scene.disconnect(scene.connect(user_id))
    assert scene.table.statistics().online == 9
    scene.connect(1)
    scene.wait(10)
    assert scene.status(1) is Status.ONLINE
    assert check_statistics(scene.table, list(range(1, 10))).users == 2


def test_overrides_outlast_last_seen_times() -> None:
    scene = Scene(max_remembered=2)
    scene.leave(scene.connect(ANN))
    scene.say(Status.OFFLINE, ANN)
    for user_id in (1, 2, 3):
        scene.leave(scene.connect(user_id))
    scene.connect(ANN)
    assert scene.status(ANN) is Status.OFFLINE, "still invisible"
    assert [scene.last_active(user_id) is None for user_id in (1, 2, 3)] == [True, True, False]


def test_a_forgotten_override_is_gone_and_so_is_its_end() -> None:
    scene = Scene(max_remembered=1)
    for user_id, until in ((ANN, 60), (BOB, 90)):
        link = scene.connect(user_id)
        scene.say(Status.BUSY, user_id, until=until)
        scene.leave(link)
    assert scene.table.record(ANN) is None
    scene.connect(ANN)
    assert scene.status(ANN) is Status.ONLINE
    assert scene.wait(60) == []
    assert scene.table.statistics().deadlines == 1


def test_an_override_that_lapses_and_is_forgotten_in_the_same_sweep_does_no_harm() -> None:
    scene = Scene(max_remembered=3)
    for user_id in (ANN, BOB):
        scene.leave(scene.connect(user_id))
        scene.say(Status.BUSY, user_id, until=60)
    eve = scene.connect(EVE)
    scene.wait(60, sweep=False)
    scene.leave(eve)
    made = scene.wait(1)
    assert len(made) == 2
    statistics = check_statistics(scene.table, [ANN, BOB, EVE])
    assert (statistics.remembered, statistics.deadlines) == (3, 0)


def test_what_is_due_of_somebody_forgotten_a_moment_before_is_passed_over() -> None:
    scene = Scene(max_remembered=1)
    eve = scene.connect(EVE)
    scene.connect(ANN)
    link = scene.connect(BOB)
    scene.say(Status.BUSY, ANN, until=11)
    scene.say(Status.BUSY, EVE, until=11)
    scene.leave(eve)
    scene.say(Status.BUSY, BOB)
    scene.wait(12, sweep=False)
    sweep = iter(scene.table.expire(scene.now, scene.utc))
    assert next(sweep)[0] == ANN
    scene.leave(link)  # in whose place EVE is forgotten
    assert list(sweep) == []
    assert scene.table.record(EVE) is None
    check_statistics(scene.table, [ANN, BOB, EVE])


def test_the_floor_is_the_greatest_seq_ever_forgotten() -> None:
    scene = Scene(max_remembered=1)
    assert scene.table.floor == 0
    scene.leave(scene.connect(ANN))
    forgotten = scene.table.presence(ANN).seq
    assert scene.table.floor == 0
    scene.leave(scene.connect(BOB))
    assert scene.table.floor == forgotten
    scene.table.restamp(BOB, scene.utc)
    restamped = scene.table.presence(BOB).seq
    scene.leave(scene.connect(EVE))
    assert scene.table.floor == restamped
    assert scene.table.seq >= restamped


def test_forgetting_whom_nobody_was_told_of_does_not_move_the_floor() -> None:
    scene = Scene(max_remembered=1)
    for user_id in (ANN, BOB):
        scene.say(Status.OFFLINE, user_id)
        scene.leave(scene.connect(user_id))
    assert scene.table.record(ANN) is None
    assert scene.table.floor == 0


# -- overrides of users who never came -------------------------------------------------------------------------------


def test_overrides_of_users_who_never_came_push_nobody_out() -> None:
    scene = Scene(max_remembered=2, max_unseen=5)
    scene.leave(scene.connect(ANN))
    scene.leave(scene.connect(BOB))
    scene.say(Status.OFFLINE, BOB)
    scene.say(Status.OFFLINE, EVE)
    before = scene.table.floor, scene.last_active(ANN), scene.status(BOB)
    strangers = list(range(1, 100))
    refused = [user_id for user_id in strangers if scene.say(Status.BUSY, user_id).is_refused]
    assert refused == strangers[4:], "there is room for five, and Eve is one"
    assert (scene.table.floor, scene.last_active(ANN), scene.status(BOB)) == before
    statistics = check_statistics(scene.table, [ANN, BOB, EVE, *strangers])
    assert (statistics.remembered, statistics.unseen) == (2, 5)
    for user_id in (BOB, EVE):
        scene.connect(user_id)
        assert scene.status(user_id) is Status.OFFLINE, "still invisible"


def test_what_is_refused_of_one_more_leaves_nothing() -> None:
    scene = Scene(max_unseen=1)
    scene.say(Status.BUSY, ANN)
    assert scene.say(Status.BUSY, BOB).is_refused
    assert scene.table.record(BOB) is None
    assert not scene.say(Status.OFFLINE, ANN).is_refused, "hers is kept already"
    assert not scene.clear(BOB).is_refused
    scene.connect(BOB)
    assert not scene.say(Status.BUSY, BOB).is_refused, "who is here is no stranger"
    scene.clear(ANN)
    assert not scene.say(Status.BUSY, EVE).is_refused, "there is room again"


def test_whoever_comes_leaves_room_for_another() -> None:
    scene = Scene(max_unseen=1)
    for user_id in (ANN, BOB, EVE):
        assert not scene.say(Status.BUSY, user_id).is_refused
        link = scene.connect(user_id)
        assert scene.status(user_id) is Status.BUSY
        scene.leave(link)
    statistics = check_statistics(scene.table, [ANN, BOB, EVE])
    assert (statistics.remembered, statistics.unseen) == (3, 0)


def test_the_override_of_whoever_does_not_come_ends() -> None:
    scene = Scene(max_unseen=2, unseen=100)
    scene.say(Status.BUSY, ANN, until=1_000)
    scene.say(Status.BUSY, BOB)
    scene.wait(60)
    scene.say(Status.OFFLINE, BOB)
    assert scene.wait(40) == []
    assert scene.table.record(ANN) is None
    assert scene.table.statistics().deadlines == 0
    scene.connect(BOB)
    scene.wait(200)
    assert scene.status(BOB) is Status.OFFLINE, "she came in time"
    assert (scene.table.floor, scene.table.statistics().unseen) == (0, 0)


def test_a_record_that_comes_back_goes_on_with_greater_versions() -> None:
    scene = Scene(max_remembered=1)
    scene.leave(scene.connect(ANN))
    before = scene.version(ANN)
    scene.leave(scene.connect(BOB))
    assert scene.version(ANN) == 0
    scene.connect(ANN)
    assert scene.version(ANN) > before


# -- counts --------------------------------------------------------------------------------------------------------


def test_statistics_count_what_anybody_sees() -> None:
    scene = Scene()
    scene.connect(1)
    scene.connect(2, idle=True)
    scene.connect(3, status=Status.BUSY)
    scene.connect(4, status=Status.OFFLINE)
    scene.leave(scene.connect(5))
    scene.online(1, "phone")
    statistics = check_statistics(scene.table, [1, 2, 3, 4, 5])
    assert statistics._asdict() == {
        "users": 5,
        "devices": 5,
        "online": 1,
        "away": 1,
        "busy": 1,
        "offline": 2,
        "remembered": 1,
        "unseen": 0,
        "strangers": 0,
        "deadlines": 1,
        "floor": 0,
        "version": scene.table.seq,
    }


def test_it_says_how_much_it_holds() -> None:
    scene = Scene()
    scene.connect(ANN, "web")
    scene.connect(ANN, "phone")
    scene.table.apply(Say(BOB, Word(Status.BUSY)), scene.now, scene.utc)
    assert repr(scene.table) == "<PresenceTable of 2 users with 2 devices>"
