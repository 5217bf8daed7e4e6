"""The records that presence is kept in: what they show and how they read in a log."""

import pytest

from domain.scene import ANN
from presence_server.domain.model import (
    GRACE,
    OFFLINE,
    REST,
    Device,
    Idle,
    Platform,
    PublicState,
    Status,
    UserRecord,
)


def make_device(device_id: str = "web", online_time: int = 1000) -> Device:
    return Device(ANN, device_id, Platform.WEB, 1, 5.0, online_time)


def test_the_words_are_those_of_the_document() -> None:
    assert [str(status) for status in Status] == ["ONLINE", "AWAY", "BUSY", "OFFLINE"]
    assert [str(platform) for platform in Platform] == ["WEB", "IOS", "ANDROID", "PC"]


def test_offline_shows_no_platforms_and_no_text() -> None:
    assert (OFFLINE.status, OFFLINE.platforms, OFFLINE.text) == (Status.OFFLINE, (), None)


def test_holders_that_are_no_connection_cannot_be_mistaken_for_one() -> None:
    assert len({GRACE, REST}) == 2
    assert GRACE <= 0
    assert REST <= 0


def test_a_new_device_is_active_and_has_not_been_heard() -> None:
    device = make_device(online_time=1000)
    assert (device.online_time, device.last_active) == (1000, 0)
    assert device.idle is None
    assert device.holder == GRACE


def test_a_devices_last_activity_never_moves_back() -> None:
    device = make_device()
    assert device.last_active == 0
    device.was_active(1050)
    device.was_active(1020)
    assert device.last_active == 1050


def test_idle_since_the_beginning_of_time_is_still_idle() -> None:
    device = make_device()
    device.activity = Idle(0.0, is_said=True)
    assert device.idle is not None


def test_a_user_was_last_active_when_the_latest_of_the_devices_was() -> None:
    record = UserRecord(ANN)
    assert record.live_active() == 0
    record.settled_active = 30
    early, late = make_device("early"), make_device("late")
    early.was_active(20)
    late.was_active(40)
    record.devices = (early,)
    assert record.live_active() == 30
    record.devices = (early, late)
    assert record.live_active() == 40


def test_whoever_is_offline_to_all_shows_what_was_told_last_and_anybody_else_shows_it_live() -> None:
    record = UserRecord(ANN)
    device = make_device()
    device.was_active(1050)
    record.devices = (device,)
    assert record.shown_active() is None
    record.stamped_active = 1001
    assert record.shown_active() == 1001
    record.public = PublicState(Status.ONLINE, (Platform.WEB,))
    assert record.shown_active() == 1050


def test_a_device_is_found_by_its_id() -> None:
    record = UserRecord(ANN)
    web, pc = make_device("web"), make_device("pc")
    record.devices = (web, pc)
    assert record.find("pc") is pc
    assert record.find("tablet") is None


@pytest.mark.parametrize(("holder", "words"), [(GRACE, "grace"), (REST, "rest"), (7, "connection 7")])
def test_a_device_says_who_holds_it(holder: int, words: str) -> None:
    device = make_device()
    device.holder = holder
    assert repr(device) == f"<Device {ANN}/web WEB active, held by {words}>"
    device.activity = Idle(5.0, is_said=True)
    assert "idle" in repr(device)


def test_a_record_says_whose_it_is() -> None:
    assert repr(UserRecord(ANN)) == f"<UserRecord {ANN} OFFLINE v0, 0 devices>"
