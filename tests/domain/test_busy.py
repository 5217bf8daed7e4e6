"""A device may say that its person is busy: as level as idleness is."""

from __future__ import annotations

from domain.scene import Scene
from presence_server.domain.model import Platform, Status


def test_busy_on_one_device_is_busy() -> None:
    scene = Scene()
    laptop = scene.connect()
    scene.connect(device_id="phone", platform=Platform.IOS)
    said = scene.activity(laptop, busy=True)
    assert said.truth_changed
    assert scene.status() is Status.BUSY
    assert not scene.activity(laptop, busy=True).truth_changed
    scene.activity(laptop, idle=True)
    assert scene.status() is Status.BUSY, "whoever presents does not type"
    scene.activity(laptop, busy=False)
    assert scene.status() is Status.ONLINE


def test_it_ends_with_its_device() -> None:
    scene = Scene()
    laptop = scene.connect()
    scene.connect(device_id="phone", platform=Platform.IOS)
    scene.activity(laptop, busy=True)
    scene.leave(laptop)
    assert scene.status() is Status.ONLINE
    scene.connect()
    assert scene.status() is Status.ONLINE


def test_it_survives_grace_and_a_reconnect_keeps_it() -> None:
    scene = Scene(grace=10)
    laptop = scene.connect()
    scene.activity(laptop, busy=True)
    scene.disconnect(laptop)
    scene.wait(5)
    assert scene.status() is Status.BUSY
    assert scene.connect().made.continued
    scene.wait(60)
    assert scene.status() is Status.BUSY


def test_what_is_claimed_outweighs_it() -> None:
    scene = Scene()
    laptop = scene.connect()
    scene.activity(laptop, busy=True)
    scene.word(status=Status.AWAY)
    assert scene.status() is Status.AWAY
