"""One device by REST and by WebSocket at once: every order of what can happen to it, against the rule in one line.

The rule: a device is there while a connection holds it, for the grace period after one dropped, and for the REST
lifetime after each `/online` and `/heartbeat` that was answered with 200; `bye` and `/offline` end it at once.
"""

from __future__ import annotations

from itertools import product

import pytest

from domain.scene import Link, Scene
from presence_server.domain.model import Status

GRACE, LIFETIME = 10.0, 75.0
LENGTH = 5
EVENTS = ("online", "heartbeat", "hello", "drop", "late drop", "bye", "offline", "wait 4", "wait 12", "wait 70")
"""`hello` while connected replaces; `late drop` is the end of the connection that was replaced. `wait 12` is longer
than the grace period; after `wait 70` a heartbeat from before it has five seconds left."""


class Expected:
    """The rule."""

    def __init__(self) -> None:
        self.now = 0.0
        self.is_held = False
        self.until = 0.0
        self.promised = 0.0

    @property
    def is_there(self) -> bool:
        return self.is_held or self.now < max(self.until, self.promised)

    def end(self) -> None:
        self.is_held, self.until, self.promised = False, 0.0, 0.0

    def expect(self, event: str) -> bool | None:
        """Whether the session goes on, for those events that are told."""
        was_there = self.is_there
        match event.split():
            case ["wait", seconds]:
                self.now += float(seconds)
            case ["online"] | ["heartbeat"]:
                if was_there or event == "online":
                    self.promised = self.now + LIFETIME
                return was_there
            case ["hello"]:
                self.is_held = True
                return was_there
            case ["drop"] if self.is_held:
                self.is_held, self.until = False, self.now + GRACE
            case ["bye"] if self.is_held:
                self.end()
            case ["offline"]:
                self.end()
        return None


class Played:
    """The same on the table."""

    def __init__(self) -> None:
        self.scene = Scene(grace=GRACE, rest=LIFETIME)
        self.link: Link | None = None
        self.replaced: Link | None = None

    def play(self, event: str) -> bool | None:
        scene = self.scene
        match event.split():
            case ["wait", seconds]:
                scene.wait(float(seconds))
            case ["online"]:
                return scene.online().continued
            case ["heartbeat"]:
                return scene.heartbeat().device is not None
            case ["hello"]:
                before, self.link = self.link, scene.connect()
                assert [each.holder for each in self.link.made.evicted] == ([before.holder] if before else [])
                self.replaced = before or self.replaced
                return self.link.made.continued
            case ["drop"] if self.link is not None:
                scene.disconnect(self.link)
                self.link = None
            case ["late", "drop"] if self.replaced is not None:
                scene.disconnect(self.replaced)
            case ["bye"] if self.link is not None:
                scene.leave(self.link)
                self.link = None
            case ["offline"]:
                made = scene.offline()
                assert [each.holder for each in made.evicted] == ([self.link.holder] if self.link else [])
                self.link = None
        return None


@pytest.mark.parametrize("first", EVENTS)
def test_every_order(first: str) -> None:
    for rest in product(EVENTS, repeat=LENGTH - 1):
        expected, played = Expected(), Played()
        for number, event in enumerate((first, *rest)):
            told, wanted = played.play(event), expected.expect(event)
            so_far = (first, *rest)[: number + 1]
            assert told == wanted, so_far
            shown = played.scene.status() is not Status.OFFLINE
            assert shown is expected.is_there, so_far
        statistics = played.scene.table.statistics()
        assert statistics.devices == expected.is_there


def test_promises_are_kept_of_those_alone_who_come_both_ways() -> None:
    """Of a million who come one way nothing more is kept."""
    scene = Scene(grace=GRACE, rest=LIFETIME)
    promises = scene.table._shared.promises
    scene.online(device_id="rest")
    scene.connect(device_id="socket")
    assert len(promises) == 0
    both = scene.connect(device_id="rest")
    scene.heartbeat(device_id="socket")
    assert len(promises) == 2
    scene.wait(LIFETIME + 1)
    assert len(promises) == 0, "promises that have lapsed are kept"
    scene.heartbeat(device_id="rest")
    scene.leave(both)
    assert len(promises) == 0, "the promise to a device that is gone is kept"


def test_what_a_connection_takes_over_and_drops_again_is_not_stretched() -> None:
    """However often it comes and goes, it lives as long as its last heartbeat promised, to the tick of the sweep."""
    scene = Scene(grace=1, rest=LIFETIME)
    scene.online()
    for _ in range(500):
        scene.disconnect(scene.connect())
        scene.wait(0.1)
    scene.wait(LIFETIME - 50 - 0.5)
    assert scene.status() is Status.ONLINE
    scene.wait(0.6)
    assert scene.status() is Status.OFFLINE
