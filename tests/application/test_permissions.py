"""A permission goes while something is on its way: what was made before it does not arrive after it."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest

from application.kit import ANN, BOB, EVE, Client, World
from presence_protocol.messages import Diff, Watch
from presence_server.application.fanout import Fanout
from presence_server.application.permissions import Permissions
from presence_server.application.privacy import LastSeen
from presence_server.domain.lenses import Lens
from support.who import ByRule

DAN = 10_004


class Stage:
    """Ann, Dan and Eve watch Bob, who comes; Ann was told, and the others wait for their slice."""

    def __init__(self, heavy: int) -> None:
        self.hidden: set[int] = set()
        self.rule = ByRule(lambda viewer, _user: Lens.HIDDEN if viewer in self.hidden else Lens.FULL)
        self.world = World(visibility=self.rule, slice_writes=1, heavy=heavy)
        self.watchers = {who: self.world.connect(who, watch=[BOB]) for who in (ANN, DAN, EVE)}
        for client in self.watchers.values():
            client.take()
        self.world.online(BOB)
        self.world.turn()
        while not self.told(self.watchers[ANN]):
            self.world.clock.time += 0.01
            self.world.fanout.step(self.world.now)

    @staticmethod
    def told(client: Client) -> list[str]:
        return [entry.status for diff in client.received if isinstance(diff, Diff) for entry in diff.changes]

    def withdraw(self, who: int) -> None:
        self.hidden.add(who)
        with self.world.hub.turn:
            self.rule.tell(who, [BOB])
        self.world.wait(1)
        self.world.flush()

    def leaked(self) -> bool:
        self.withdraw(EVE)
        assert self.told(self.watchers[DAN]) == ["ONLINE"]
        assert "OFFLINE" in self.told(self.watchers[EVE])
        return "ONLINE" in self.told(self.watchers[EVE])


@pytest.mark.parametrize("heavy", [1_000, 1], ids=["a slice", "very many watchers"])
def test_what_waits_for_its_slice_is_not_told_after_a_withdrawal(heavy: int) -> None:
    assert not Stage(heavy).leaked()


@pytest.fixture
def unchecked(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """The client does not look at versions, which go back where something arrives late."""
    monkeypatch.setattr(Client, "_check_versions", lambda self, entries, merges: None)
    return monkeypatch


def test_that_finds_a_diff_that_is_left_where_it_waits(unchecked: pytest.MonkeyPatch) -> None:
    unchecked.setattr(Permissions, "_hold", lambda self, session, topic: None)
    assert Stage(heavy=1_000).leaked()


def test_that_finds_one_of_very_many_who_is_not_taken_out(unchecked: pytest.MonkeyPatch) -> None:
    unchecked.setattr(Fanout, "take_out", lambda self, topic, slot: None)
    assert Stage(heavy=1).leaked()


def test_what_is_reciprocal_follows_when_the_other_side_changes() -> None:
    """Ann shows the time to her contacts only. As long as Bob is one, she is shown his."""
    lens = {(BOB, ANN): Lens.FULL}
    rule = ByRule(lambda viewer, user: lens.get((viewer, user), Lens.FULL))
    world = World(visibility=rule, is_reciprocal=True)
    world.hub.permissions.set_last_seen(ANN, LastSeen.CONTACTS, world.now, lambda _made: None)
    world.online(BOB)
    ann = world.connect(ANN, watch=[BOB])
    assert ann.view.entries[BOB].last_active_time is not None
    lens[BOB, ANN] = Lens.COARSE
    with world.hub.turn:
        rule.tell(BOB, [ANN])
    world.wait(1)
    assert ann.view.entries[BOB].last_active_time is None
    assert ann.status(BOB) == "ONLINE"


class Expiring(ByRule):
    """What it says holds for a second."""

    def __init__(self) -> None:
        super().__init__(lambda _viewer, _user: Lens.FULL)
        self.asked = 0

    def learn(self, viewer: int, keys: Sequence[int], now: float, done: Callable[[float | None], None]) -> None:
        self.asked += 1
        done(1.0)


def test_what_is_out_of_date_before_the_engine_has_answered_is_asked_about_again() -> None:
    rule = Expiring()
    world = World(is_late=True, visibility=rule)
    ann = world.connect(ANN)
    world.late.answer_all()
    ann.say(Watch(user_ids=[BOB]))
    assert rule.asked == 1
    world.wait(3)
    world.late.answer_all()
    world.wait(0.5)
    assert rule.asked == 2
    world.wait(2)
    assert rule.asked >= 3


def test_who_is_erased_shows_no_more_than_before_until_they_are_forgotten() -> None:
    """Ann hides when she was last seen, and an engine takes its time to forget her."""
    world = World(is_late=True)
    world.hub.permissions.set_last_seen(ANN, LastSeen.NOBODY, world.now, lambda _made: None)
    world.online(ANN)
    world.late.answer_all()
    bob = world.connect(BOB, watch=[ANN])
    world.late.answer_all()
    assert (bob.status(ANN), bob.view.entries[ANN].last_active_time) == ("ONLINE", None)
    bob.take()
    world.hub.dismissals.erase(ANN, world.now, lambda _made: None)
    for _ in range(3):
        world.wait(1)
        world.late.answer_all()
    assert bob.status(ANN) == "OFFLINE"
    told = [entry for diff in bob.take(Diff) for entry in diff.changes]
    assert [entry.last_active_time for entry in told] == [None] * len(told)
    assert world.hub.permissions.last_seen(ANN) is LastSeen.EVERYONE


def test_what_is_said_while_one_is_being_erased_holds() -> None:
    """Ann says the same again before an engine that takes its time has forgotten her."""
    world = World(is_late=True)
    world.online(ANN)
    world.late.answer_all()
    said: list[object] = []
    world.hub.permissions.set_last_seen(ANN, LastSeen.NOBODY, world.now, said.append)
    world.hub.dismissals.erase(ANN, world.now, said.append)
    world.hub.permissions.set_last_seen(ANN, LastSeen.NOBODY, world.now, said.append)
    for _ in range(3):
        world.wait(1)
        world.late.answer_all()
    assert world.hub.permissions.last_seen(ANN) is LastSeen.NOBODY
