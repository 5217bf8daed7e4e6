"""What users say about themselves: overrides, how long they last, and being invisible."""

from __future__ import annotations

import pytest

from domain.scene import ANN, Scene
from presence_server.domain.claims import Word
from presence_server.domain.model import OFFLINE, Platform, PublicState, Status


def test_busy_whatever_the_devices_do() -> None:
    scene = Scene()
    link = scene.connect()
    said = scene.say(Status.BUSY, text="in a call")
    assert said.change is not None
    assert said.change.after == PublicState(Status.BUSY, (Platform.WEB,), "in a call")
    assert said.truth_changed
    quiet = scene.activity(link, idle=True)
    assert quiet.change is None
    assert quiet.truth_changed
    cleared = scene.clear()
    assert cleared.change is not None
    assert cleared.change.after == PublicState(Status.AWAY, (Platform.WEB,))


def test_another_text_alone_is_a_change() -> None:
    scene = Scene()
    scene.connect()
    scene.say(Status.BUSY)
    assert scene.say(Status.BUSY, text="until noon").change is not None
    again = scene.say(Status.BUSY, text="until noon")
    assert again.change is None
    assert not again.truth_changed


def test_another_until_alone_is_no_change_but_the_user_sees_it() -> None:
    scene = Scene()
    scene.connect()
    scene.say(Status.BUSY, until=60)
    moved = scene.say(Status.BUSY, until=90)
    assert moved.change is None
    assert moved.truth_changed


def test_an_override_of_a_user_without_devices_shows_once_there_is_one() -> None:
    scene = Scene()
    said = scene.say(Status.BUSY)
    assert said.change is None
    assert said.truth_changed
    assert scene.status() is Status.OFFLINE
    scene.connect()
    assert scene.status() is Status.BUSY


def test_it_lasts_across_disconnects() -> None:
    scene = Scene(grace=10)
    link = scene.connect()
    scene.say(Status.BUSY, text="focus")
    scene.disconnect(link)
    scene.wait(1000)
    assert scene.table.presence(ANN).public == PublicState(Status.OFFLINE, (), "focus")
    scene.connect()
    assert scene.table.presence(ANN).public == PublicState(Status.BUSY, (Platform.WEB,), "focus")


def test_it_lasts_till_until() -> None:
    scene = Scene()
    scene.connect()
    scene.say(Status.BUSY, until=3600)
    assert scene.wait(3599.9) == []
    (lapsed,) = scene.wait(0.1)
    assert lapsed.change is not None
    assert lapsed.truth_changed
    assert scene.status() is Status.ONLINE


def test_it_lapses_while_the_user_is_offline() -> None:
    scene = Scene()
    scene.leave(scene.connect())
    scene.say(Status.BUSY, until=60)
    (lapsed,) = scene.wait(60)
    assert lapsed.change is None
    scene.connect()
    assert scene.status() is Status.ONLINE


def test_what_is_said_later_has_its_own_end() -> None:
    scene = Scene()
    scene.connect()
    scene.say(Status.BUSY, until=60)
    scene.say(Status.AWAY, until=120)
    scene.wait(60)
    assert scene.status() is Status.AWAY
    scene.say(Status.BUSY)
    assert scene.wait(1000) == []
    assert scene.status() is Status.BUSY


def test_clearing_ends_its_deadline_too() -> None:
    scene = Scene()
    scene.connect()
    scene.say(Status.BUSY, until=60)
    scene.clear()
    assert scene.wait(60) == []
    assert scene.table.statistics().deadlines == 0


def test_an_until_that_has_passed_lapses_at_once() -> None:
    scene = Scene()
    scene.connect()
    scene.wait(10)
    assert scene.say(Status.BUSY, until=5).change is None
    assert scene.status() is Status.ONLINE
    assert scene.wait(0.05) == []
    assert scene.table.statistics().deadlines == 0


def test_clearing_what_was_never_said_leaves_nothing_behind() -> None:
    scene = Scene()
    cleared = scene.clear()
    assert cleared.change is None
    assert not cleared.truth_changed
    assert scene.table.record(ANN) is None
    scene.say(Status.BUSY)
    assert scene.clear().truth_changed
    assert scene.table.record(ANN) is None
    assert scene.table.statistics().users == 0


# -- hello's status --------------------------------------------------------------------------------------------------


def test_hello_sets_it_for_a_new_session() -> None:
    scene = Scene()
    link = scene.connect(status=Status.BUSY)
    assert link.made.change is not None
    assert link.made.change.after.status is Status.BUSY
    scene.leave(link)
    scene.connect()
    assert scene.status() is Status.BUSY, "it is the server's now"


def test_hello_does_not_set_it_when_the_session_continues() -> None:
    scene = Scene(grace=10)
    link = scene.connect(status=Status.BUSY)
    scene.clear()
    replaced = scene.connect(status=Status.BUSY)
    assert replaced.made.change is None
    scene.disconnect(replaced)
    scene.connect(status=Status.BUSY)
    assert link.device_id == "web"
    assert scene.status() is Status.ONLINE


def test_a_new_session_s_hello_replaces_an_older_override_and_its_end() -> None:
    scene = Scene()
    scene.say(Status.AWAY, until=60, text="lunch")
    scene.connect(status=Status.BUSY)
    assert scene.table.presence(ANN).public == PublicState(Status.BUSY, (Platform.WEB,), "lunch")
    assert scene.wait(60) == []
    assert scene.status() is Status.BUSY


def test_a_new_session_without_a_status_leaves_it_alone() -> None:
    scene = Scene()
    scene.say(Status.BUSY, until=60)
    scene.connect()
    assert scene.status() is Status.BUSY
    assert len(scene.wait(60)) == 1


# -- invisible -------------------------------------------------------------------------------------------------------


def test_becoming_invisible_looks_like_leaving() -> None:
    leaving, hiding = Scene(), Scene()
    for scene in (leaving, hiding):
        scene.connect()
        scene.wait(20)
    left = leaving.offline()
    hid = hiding.say(Status.OFFLINE)
    assert left.change is not None
    assert hid.change is not None
    assert left.change[:4] == hid.change[:4]  # the cause is not told to watchers
    assert leaving.table.presence(ANN) == hiding.table.presence(ANN)
    assert leaving.table.shown(ANN) == hiding.table.shown(ANN)
    assert hiding.devices() == []


def test_nothing_that_happens_underneath_shows() -> None:
    scene = Scene(grace=10, rest=75, away_after=60, max_devices=3)
    link = scene.connect()
    scene.wait(5)
    scene.say(Status.OFFLINE, until=100_000)
    before = scene.table.shown(ANN)
    statistics = scene.table.statistics()

    def happened(*made: object) -> None:
        assert all(getattr(each, "change", None) is None for each in made)
        assert scene.table.shown(ANN) == before
        assert scene.table.seq == statistics.version, "nothing took a version"
        assert scene.table.statistics()[2:6] == statistics[2:6]

    scene.wait(5)
    happened(scene.ping(link), scene.speak(link))
    happened(scene.activity(link, idle=True), scene.activity(link, idle=False))
    happened(*scene.wait(60))
    assert scene.device().idle is not None, "the user was inferred idle"
    happened(scene.speak(link))
    happened(scene.connect(device_id="phone", platform=Platform.IOS).made)
    happened(scene.online(device_id="tablet", platform=Platform.ANDROID), scene.heartbeat(device_id="tablet"))
    happened(scene.connect(device_id="one too many").made)
    happened(scene.say(Status.OFFLINE, until=100_001))
    happened(scene.disconnect(scene.connect()))
    happened(*scene.wait(75))
    happened(scene.offline(device_id="one too many"), scene.offline(device_id="phone"))
    happened(*scene.wait(1000))
    assert scene.table.statistics().devices == 0
    happened(scene.connect(device_id="again").made)


def test_an_invisible_user_who_was_never_seen_stays_unknown() -> None:
    scene = Scene()
    scene.say(Status.OFFLINE)
    link = scene.connect()
    scene.ping(link)
    scene.leave(link)
    presence = scene.table.presence(ANN)
    assert (presence.public, presence.version, presence.last_active) == (OFFLINE, 0, None)
    assert scene.last_active() is None
    assert scene.table.seq == 0


def test_hello_may_make_a_new_session_invisible_from_the_start() -> None:
    scene = Scene()
    assert scene.connect(status=Status.OFFLINE).made.change is None
    assert scene.table.seq == 0


def test_a_killed_app_does_not_unmask_an_invisible_user() -> None:
    scene = Scene(grace=10)
    link = scene.connect()
    scene.say(Status.OFFLINE)
    version = scene.version()
    scene.disconnect(link)
    scene.wait(100)
    scene.connect()
    assert scene.status() is Status.OFFLINE
    assert scene.version() == version


def test_coming_back_into_sight_shows_the_devices_and_the_live_time() -> None:
    scene = Scene()
    link = scene.connect()
    scene.say(Status.OFFLINE)
    scene.wait(25)
    scene.ping(link)
    assert scene.last_active() == 0
    shown = scene.clear()
    assert shown.change is not None
    assert shown.change.after == PublicState(Status.ONLINE, (Platform.WEB,))
    assert scene.last_active() == scene.told_active() == 25
    assert scene.devices() == ["web"]


def test_being_invisible_ends_at_until() -> None:
    scene = Scene()
    scene.connect()
    scene.say(Status.OFFLINE, until=60)
    (lapsed,) = scene.wait(60)
    assert lapsed.change is not None
    assert scene.status() is Status.ONLINE


def test_what_happened_while_invisible_stays_hidden_when_it_ends_without_a_device() -> None:
    scene = Scene()
    link = scene.connect()
    scene.say(Status.OFFLINE)
    version = scene.version()
    scene.wait(500)
    scene.ping(link)
    scene.leave(link)
    assert scene.clear().change is None
    assert scene.version() == version
    assert scene.last_active() == scene.told_active() == 0


def test_users_see_the_truth_about_themselves() -> None:
    scene = Scene()
    assert scene.table.truth(ANN, scene.utc)[:4] == (ANN, OFFLINE, (), ())
    scene.connect()
    scene.say(Status.OFFLINE, until=60)
    truth = scene.table.truth(ANN, scene.utc)
    assert truth.public == OFFLINE
    assert scene.own() == (Status.OFFLINE, 60)
    assert truth.devices == (scene.device().view(),)


# -- said on top of something ----------------------------------------------------------------------------------------

LASTING = [Word(Status.AWAY), Word(Status.OFFLINE), Word(Status.BUSY)]


@pytest.mark.parametrize("before", LASTING, ids=lambda override: override.status.value)
def test_busy_until_ends_in_what_was_before(before: Word) -> None:
    scene = Scene()
    scene.connect()
    scene.word(status=before.status)
    shown = scene.table.presence(ANN).public
    scene.word(status=Status.BUSY, until=60)
    assert scene.table.presence(ANN).public == PublicState(Status.BUSY, (Platform.WEB,))
    (lapsed,) = scene.wait(60)
    assert lapsed.truth_changed
    assert scene.table.presence(ANN).public == shown
    assert scene.own() == (before.status, None)
    assert scene.wait(1000) == []
    assert scene.table.statistics().deadlines == 0


def test_it_comes_back_for_a_user_who_is_not_there_as_well() -> None:
    scene = Scene()
    scene.leave(scene.connect())
    scene.say(Status.OFFLINE)
    scene.say(Status.BUSY, until=60)
    scene.wait(60)
    scene.connect()
    assert scene.status() is Status.OFFLINE


def test_what_is_beneath_comes_back_with_its_own_end() -> None:
    scene = Scene()
    scene.connect()
    scene.say(Status.AWAY, until=120)
    scene.say(Status.BUSY, until=60)
    scene.wait(60)
    assert scene.own() == (Status.AWAY, 120)
    scene.wait(60)
    assert (scene.status(), scene.own()) == (Status.ONLINE, None)


def test_what_is_over_by_then_does_not_come_back() -> None:
    scene = Scene()
    scene.connect()
    scene.say(Status.AWAY, until=60)
    scene.say(Status.BUSY, until=60)
    scene.wait(60)
    assert scene.status() is Status.ONLINE


def test_both_may_be_over_at_once_after_a_long_sleep() -> None:
    scene = Scene()
    scene.connect()
    scene.say(Status.AWAY, until=120)
    scene.say(Status.BUSY, until=60)
    scene.wait(3600)
    assert scene.status() is Status.ONLINE
    assert scene.table.statistics().deadlines == 0


def test_a_further_one_takes_the_place_of_the_one_on_top() -> None:
    """Else the second of two short ones would show a user who is invisible."""
    scene = Scene()
    scene.connect()
    scene.say(Status.OFFLINE)
    scene.say(Status.BUSY, until=60)
    scene.say(Status.AWAY, until=30)
    scene.wait(30)
    assert scene.status() is Status.OFFLINE
    scene.say(Status.BUSY, until=60)
    scene.say(Status.BUSY, until=90)
    scene.wait(59)
    assert scene.status() is Status.BUSY
    scene.wait(1)
    assert scene.status() is Status.OFFLINE


def test_an_earlier_end_for_the_same_status_is_a_correction() -> None:
    scene = Scene()
    scene.connect()
    scene.say(Status.BUSY, until=3600)
    scene.say(Status.BUSY, until=60, text="nearly done")
    scene.wait(60)
    assert scene.status() is Status.ONLINE


def test_what_has_no_end_takes_the_place_of_all() -> None:
    scene = Scene()
    scene.connect()
    scene.say(Status.OFFLINE)
    scene.say(Status.BUSY, until=60)
    scene.say(Status.AWAY)
    assert scene.wait(60) == []
    assert scene.status() is Status.AWAY


def test_clearing_takes_all_of_it_back() -> None:
    scene = Scene()
    scene.connect()
    scene.say(Status.AWAY)
    scene.say(Status.BUSY, until=60)
    scene.clear()
    assert scene.status() is Status.ONLINE
    assert scene.wait(60) == []
    assert scene.table.statistics().deadlines == 0


def test_said_anew_as_it_is_nothing_has_changed() -> None:
    scene = Scene()
    scene.connect()
    scene.say(Status.OFFLINE)
    scene.say(Status.BUSY, until=60)
    again = scene.say(Status.BUSY, until=60)
    assert again.change is None
    assert not again.truth_changed
