"""Override and devices of one user -> one public state."""

from itertools import product

import pytest

from presence_server.domain.aggregate import aggregate
from presence_server.domain.model import OFFLINE, Device, Idle, Override, Platform, PublicState, Status

WEB, IOS, ANDROID, PC = Platform


def device(platform: Platform = WEB, *, idle: bool = False) -> Device:
    made = Device(1, f"{platform}-{idle}", platform, 1, 100.0, 1_000)
    made.activity = Idle(100.0, is_said=True) if idle else 100.0
    return made


def test_no_device_is_offline_whatever_was_said() -> None:
    assert aggregate(None, []) == OFFLINE
    for status in Status:
        assert aggregate(Override(status, None, "on a train"), []) == OFFLINE


@pytest.mark.parametrize("idle", list(product([False, True], repeat=3)))
def test_any_active_device_makes_online_else_away(idle: tuple[bool, ...]) -> None:
    expected = Status.AWAY if all(idle) else Status.ONLINE
    assert aggregate(None, [device(idle=each) for each in idle]).status is expected


@pytest.mark.parametrize("idle", [False, True])
@pytest.mark.parametrize("status", [Status.ONLINE, Status.AWAY, Status.BUSY])
def test_an_override_stands_whatever_the_devices_do(status: Status, idle: bool) -> None:
    assert aggregate(Override(status), [device(PC, idle=idle)]) == PublicState(status, (PC,))


def test_invisible_cannot_be_told_from_offline() -> None:
    assert aggregate(Override(Status.OFFLINE, None, "do not tell"), [device()]) == aggregate(None, [])


def test_platforms_are_distinct_and_in_enum_order() -> None:
    devices = [device(PC), device(WEB), device(ANDROID), device(WEB, idle=True), device(PC, idle=True)]
    assert aggregate(None, devices).platforms == (WEB, ANDROID, PC)
    assert aggregate(None, [device(each) for each in reversed(Platform)]).platforms == tuple(Platform)


def test_a_text_is_shown_with_its_override() -> None:
    assert aggregate(Override(Status.BUSY, None, "in a call"), [device()]) == PublicState(
        Status.BUSY, (WEB,), "in a call"
    )


def test_equal_states_without_a_text_are_one_object() -> None:
    """A million users in the same state cost one state."""
    assert aggregate(None, [device(), device(IOS)]) is aggregate(Override(Status.ONLINE), [device(IOS), device()])
