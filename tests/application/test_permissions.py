"""A permission goes while something is on its way: what was made before it does not arrive after it."""

from __future__ import annotations

import pytest

from application.kit import ANN, BOB, EVE, Client, World
from presence_protocol.messages import Diff
from presence_server.application.fanout import Fanout
from presence_server.application.permissions import Permissions
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
