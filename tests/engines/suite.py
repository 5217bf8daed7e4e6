"""What `application.ports.Engine` promises, sentence by sentence, for whichever engine a bench is made with.

`Bench` is an engine with a listener that writes down what it is told, on virtual time. It holds every engine to what
must be so at every moment: what the listener is told of a user agrees with what is asked in the same breath, versions
of a user only grow, seqs are given in the order of telling, and every `done` is called once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

from engines.timeline import Timeline
from presence_server.application.ports import Engine, EngineEvent, TruthChanged
from presence_server.domain.model import Change, Platform, Shown, Status, UserPresence
from presence_server.domain.table import PresenceTable
from presence_server.domain.transitions import AnyTransition, Connect, Evicted, Transition

ANN, BOB, EVE = 10001, 10002, 10003
TICK = 0.1
"""Seconds between two sweeps."""
SETTLE = 2.0
"""Seconds within which an engine that is not away has answered and told everything."""


class Answers:
    """What `done` was called with. More than once is against the contract."""

    def __init__(self) -> None:
        self.given: list[Any] = []

    def __call__(self, answer: Any) -> None:
        assert not self.given, "answered twice"
        self.given.append(answer)

    @property
    def only(self) -> Any:
        assert self.given, "not answered"
        return self.given[0]


class Bench:
    def __init__(self, engine: Engine, table: PresenceTable, timeline: Timeline) -> None:
        self.engine = engine
        self.table = table
        self.timeline = timeline
        self.told: list[EngineEvent | str] = []
        """Everything that the listener was told and everything that was answered, in order."""
        self.seqs: list[int] = []
        self._versions: dict[int, int] = {}
        self._holder = 0
        self._next_sweep = 0.0
        engine.attach(self._listen)

    def _listen(self, event: EngineEvent, now: float) -> None:
        assert abs(now - self.timeline.time) < 1e-6
        self.told.append(event)
        if isinstance(event, Change):
            assert event.version > self._versions.get(event.user_id, 0), "a version went back"
            self._versions[event.user_id] = event.version
            presence = self.engine.presence(event.user_id)
            assert (presence.version, presence.public) == (event.version, event.after), "told before it is known"
            assert not self.seqs or presence.seq > self.seqs[-1], "seqs are given in the order of telling"
            assert presence.seq == self.engine.seq
            self.seqs.append(presence.seq)

    # -- time ----------------------------------------------------------------------------------------------------------

    @property
    def now(self) -> float:
        return self.timeline.time

    def advance(self, seconds: float) -> None:
        """Let time pass as in production: with a sweep every tenth of a second."""
        until = self.now + seconds
        while self.now < until:
            self.timeline.advance(min(TICK, until - self.now))
            self.engine.sweep(self.now)

    # -- asking --------------------------------------------------------------------------------------------------------

    def begin(self, transition: AnyTransition) -> Answers:
        answers = Answers()

        def done(made: Transition | None) -> None:
            self.told.append(f"done {type(transition).__name__}")
            answers(made)

        self.engine.submit(transition, self.now, done)
        return answers

    def submit(self, transition: AnyTransition) -> Transition:
        """Hand in and wait."""
        answers = self.begin(transition)
        self.advance(0 if answers.given else SETTLE)
        made = answers.only
        assert isinstance(made, Transition)
        return made

    def connect(self, user_id: int = ANN, device_id: str = "web", **more: Any) -> int:
        """A connection takes hold of a device. Returns its number."""
        holder = self.next_holder()
        self.submit(Connect(user_id, device_id, Platform.WEB, holder, holder, **more))
        return holder

    def next_holder(self) -> int:
        self._holder += 1
        return self._holder

    def begin_follow(self, *user_ids: int) -> Answers:
        answers = Answers()
        self.engine.follow(user_ids, self.now, answers)
        return answers

    def follow(self, *user_ids: int) -> None:
        answers = self.begin_follow(*user_ids)
        self.advance(0 if answers.given else SETTLE)
        assert answers.only is True

    def look_up(self, *user_ids: int) -> list[Shown]:
        answers = Answers()
        self.engine.lookup(user_ids, self.now, answers, with_devices=True)
        self.advance(0 if answers.given else SETTLE)
        found: list[Shown] = answers.only
        return found

    # -- what came of it -----------------------------------------------------------------------------------------------

    def take(self) -> list[EngineEvent | str]:
        told, self.told = self.told, []
        return told

    def changes(self, user_id: int) -> list[Status]:
        """The statuses that the listener was told of `user_id`, in order."""
        return [event.after.status for event in self.told if isinstance(event, Change) and event.user_id == user_id]

    def status(self, user_id: int) -> Status:
        return self.engine.presence(user_id).public.status

    def evicted(self) -> list[int]:
        return [event.holder for event in self.told if isinstance(event, Evicted)]

    def truths(self) -> list[int]:
        return [event.user_id for event in self.told if isinstance(event, TruthChanged)]

    def check_followed(self, user_ids: Iterable[int]) -> None:
        """The engine says of these users what the table says."""
        for user_id in user_ids:
            known, kept = self.engine.presence(user_id), self.table.presence(user_id)
            assert known.public == kept.public
            assert known.version == kept.version or is_forgotten(kept)


def is_forgotten(presence: UserPresence) -> bool:
    return presence.version == 0


Make = Callable[..., Bench]
"""Makes a bench; keywords are those of `PresenceTable`."""


def settled(bench: Bench) -> Bench:
    bench.advance(SETTLE)
    return bench


def submitting(bench: Bench, *transitions: AnyTransition) -> list[Answers]:
    """Hand in all at once, without waiting in between."""
    return list(map(partial(Bench.begin, bench), transitions))
