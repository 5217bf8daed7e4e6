"""The memory engine: it answers at once, and tells in the order that the contract names."""

from __future__ import annotations

from engines.timeline import Timeline
from presence_server.application.ports import EngineEvent, TruthChanged
from presence_server.domain.causes import Cause
from presence_server.domain.claims import Word
from presence_server.domain.model import Change, Platform, Shown, Status
from presence_server.domain.shared import Lifetimes
from presence_server.domain.table import PresenceTable
from presence_server.domain.transitions import (
    Connect,
    Disconnect,
    Evicted,
    Heartbeat,
    Offline,
    Online,
    Say,
    Transition,
)
from presence_server.engines.memory import MemoryEngine

CLOCK = Timeline()
NOW = CLOCK.now()
ANN, BOB = 10001, 10002


class Scene:
    def __init__(self, lifetimes: Lifetimes | None = None) -> None:
        self.engine = MemoryEngine(PresenceTable(lifetimes), 7, CLOCK)
        self.told: list[EngineEvent | Transition | None] = []
        self.engine.attach(lambda event, now: self.told.append(event))

    def submit(self, *transitions: Connect | Disconnect | Online | Offline | Heartbeat | Say) -> None:
        for transition in transitions:
            self.engine.submit(transition, NOW, self.told.append)

    def kinds(self) -> list[str]:
        told, self.told = self.told, []
        return [type(item).__name__ for item in told]


def connect(holder: int, device_id: str = "web") -> Connect:
    return Connect(ANN, device_id, Platform.WEB, holder, holder)


def test_change_then_eviction_then_truth_and_only_then_the_answer() -> None:
    scene = Scene(Lifetimes(max_devices=1))
    scene.submit(connect(1))
    assert scene.kinds() == ["Change", "TruthChanged", "Transition"]
    scene.submit(Connect(ANN, "phone", Platform.IOS, 2, 2))
    change, evicted, truth, made = scene.told
    assert isinstance(change, Change)
    assert evicted == Evicted(1, Cause.TOO_MANY_DEVICES)
    assert truth[:2] == TruthChanged(ANN, Cause.CONNECTED)[:2]
    assert isinstance(made, Transition)
    assert made.device is not None


def test_what_changes_nothing_tells_nothing_and_is_answered_all_the_same() -> None:
    scene = Scene()
    scene.submit(Heartbeat(ANN, "web"), Offline(ANN, "web"), Disconnect(ANN, "web", 1))
    assert scene.kinds() == ["Transition"] * 3


def test_seq_grows_with_each_change_and_tells_who_changed_since() -> None:
    scene = Scene()
    before = scene.engine.seq
    scene.submit(connect(1), Online(BOB, "rest", Platform.PC, 2))
    assert [presence.user_id for presence in scene.engine.changed_since([BOB, ANN], before)] == [ANN, BOB]
    middle = scene.engine.presence(ANN).seq
    assert [presence.user_id for presence in scene.engine.changed_since([ANN, BOB], middle)] == [BOB]
    scene.engine.restamp(ANN, NOW)
    assert [presence.user_id for presence in scene.engine.changed_since([ANN, BOB], middle)] == [BOB, ANN]
    assert scene.engine.presence(ANN).seq == scene.engine.seq
    assert scene.engine.floor == 0
    assert scene.engine.epoch == 7


def test_everybody_is_known_at_once() -> None:
    scene = Scene()
    known: list[bool] = []
    scene.engine.follow([ANN, 99], NOW, known.append)
    scene.engine.unfollow([ANN, 99])
    found: list[list[Shown] | None] = []
    scene.submit(connect(1))
    scene.engine.lookup([99, ANN, 99], NOW, found.append)
    assert known == [True]
    assert found[0] is not None
    assert [shown.presence.public.status for shown in found[0]] == ["OFFLINE", "ONLINE", "OFFLINE"]


def test_time_tells_like_anything_else() -> None:
    scene = Scene(Lifetimes(grace=10))
    scene.submit(connect(1), Disconnect(ANN, "web", 1))
    scene.kinds()
    scene.engine.sweep(NOW + 9)
    assert scene.kinds() == []
    scene.engine.sweep(NOW + 11)
    assert scene.kinds() == ["Change", "TruthChanged"]


def test_whoever_speaks_is_active_again() -> None:
    scene = Scene(Lifetimes(away_after=5))
    scene.submit(connect(1))
    scene.engine.sweep(NOW + 6)
    assert scene.engine.presence(ANN).public.status is Status.AWAY
    scene.kinds()
    scene.engine.touch(ANN, "web", 1, NOW + 7, spoke=False)
    assert scene.kinds() == []
    scene.engine.touch(ANN, "web", 1, NOW + 7, spoke=True)
    assert scene.kinds() == ["Change", "TruthChanged"]


def test_the_truth_shows_what_the_presence_hides() -> None:
    scene = Scene()
    scene.submit(connect(1), Say(ANN, Word(Status.OFFLINE)))
    assert scene.engine.presence(ANN).public.platforms == ()
    assert [device.device_id for device in scene.engine.truth(ANN).devices] == ["web"]


def test_before_anybody_listens_nothing_is_lost_but_the_telling() -> None:
    engine = MemoryEngine(PresenceTable(), 1, CLOCK)
    made: list[Transition | None] = []
    engine.submit(connect(1), NOW, made.append)
    assert made[0] is not None
    assert engine.statistics().online == 1
    assert repr(engine) == "<MemoryEngine on <PresenceTable of 1 users with 1 devices>>"
