"""The core before servers that do anything: it never loops without a pause, and settles each call exactly once."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable

import pytest

from presence_client.actions import AskToken, Close, Open, Phase, Send, Settled
from presence_client.attempts import Attempts, End, Policy
from presence_client.core import Core
from presence_client.errors import PresenceError
from presence_client.identity import Identity
from presence_protocol.messages import (
    Activity,
    AnyServerMessage,
    Diff,
    Error,
    Hello,
    Limits,
    Ok,
    Ping,
    Pong,
    Query,
    Reconnect,
    SetStatus,
    Snapshot,
    StatusEntry,
    Statuses,
    Unwatch,
    Watch,
    Welcome,
)

DURATION = 600.0
"""Seconds of virtual time of each storm."""

LEAST_PAUSE = 5.0
"""Seconds that a connection must last to earn a new beginning: so often a server can lead a client on."""

ENDS = (1000, 1001, 1006, 1009, 1011, 1014, 1015, 4401, 4409, 4503, 4508)


Habit = Callable[["Storm", int], None]
"""What a server does to each connection that it has welcomed."""

MOVE = Reconnect(after_ms=0, reason="draining")

HABITS: dict[str, Habit] = {
    "asks to move at once": lambda storm, link: storm.hear(link, MOVE),
    "asks to move before it is welcomed": lambda storm, link: storm.hear(link, Reconnect(after_ms=-1, reason="")),
    "asks to move, twice": lambda storm, link: [storm.hear(link, MOVE) for _ in range(2)] and None,
    "finds the token expired": lambda storm, link: storm.lose(link, 4401),
    "asks to move, and finds the token expired": lambda storm, link: (
        storm.hear(link, MOVE) if len(storm.links) == 1 else storm.lose(link, 4401)
    ),
    "goes away": lambda storm, link: storm.lose(link, 1001),
    "is full": lambda storm, link: storm.lose(link, 4503),
    "says what is out of turn": lambda storm, link: storm.hear(link, Welcome("", "", False, False, None, WIDE)),
    "cannot look anybody up": lambda storm, link: storm.hear(link, Error(code=503, error="unavailable", message="")),
}

WIDE = Limits(25_000, 10_000, 9, 262_144, 9)


class Storm:
    """A core with servers that are drawn anew for each connection, and a program that asks at any time."""

    def __init__(self, seed: int, *, is_moody: bool, habit: Habit | None = None) -> None:
        self.habit = habit
        self.random = random.Random(seed)
        self.now = 0.0
        has_tokens = habit is not None or self.random.random() < 0.5
        self.core = Core(Identity(1, "d", "PC", has_tokens=has_tokens), 0.0, self.random.random, Policy())
        self.is_moody = is_moody
        self.opened = self.asked_tokens = self.sent = 0
        self.links: set[int] = set()
        self.asked: list[int] = []
        self.settled: Counter[int] = Counter()
        self.given_up: set[int] = set()

    def run(self) -> None:
        self.core.start(0.0)
        self.perform()
        while self.now < DURATION and self.core.state.phase is not Phase.CLOSED:
            due = self.core.deadline()
            step = self.random.expovariate(1 / 2.0)
            self.now = min(self.now + step, DURATION if due is None else max(due, self.now))
            self.core.tick(self.now)
            self.perform()
            if self.random.random() < 0.3:
                self.call()
            if self.links and self.random.random() < 0.3:
                self.disturb(self.random.choice(sorted(self.links)))
            self.perform()
        self.core.leave(self.now)
        self.perform()
        while (due := self.core.deadline()) is not None:  # replies that are still awaited
            self.now = max(due, self.now)
            self.core.tick(self.now)
            self.perform()

    def perform(self) -> None:
        while actions := self.core.take():
            for action in actions:
                match action:
                    case AskToken(link):
                        self.asked_tokens += 1
                        self.check()
                        self.links.add(link)
                        self.give_token(link)
                    case Open(link):
                        self.opened += 1
                        self.check()
                        self.links.add(link)
                        self.open(link)
                    case Send(link, message) if link in self.links:  # it may have ended since
                        self.sent += 1
                        self.answer(link, message)
                    case Close(link):
                        self.links.discard(link)
                    case Settled(ticket):
                        self.settled[ticket] += 1

    def check(self) -> None:
        """At once: a loop without a pause would never come to its end."""
        most = 12 + 2 * self.now / LEAST_PAUSE
        assert self.opened <= most, f"{self.opened} connections in {self.now:.0f} s"
        assert self.asked_tokens <= most, f"{self.asked_tokens} tokens in {self.now:.0f} s"

    def lose(self, link: int, code: int) -> None:
        self.links.discard(link)
        self.core.lost(link, End(code, "a storm", was_reached=self.random.random() < 0.5), self.now)

    def give_token(self, link: int) -> None:
        drawn = 0.0 if self.habit is not None else self.random.random()
        if drawn < 0.7:
            self.core.token(link, "t", self.now)
        elif drawn < 0.9:
            self.core.token_failed(link, "no", self.now)

    def open(self, link: int) -> None:
        drawn = 0.0 if self.habit is not None else self.random.random()
        if drawn < 0.6:
            self.core.opened(link, self.now)
        elif drawn < 0.9:
            self.lose(link, self.random.choice((1006, 4503)))

    def answer(self, link: int, message: object) -> None:
        if self.habit is None and self.random.random() < 0.1:
            return
        match message:
            case Hello():
                interval, patience = self.random.choice((0, -5, 25_000)), self.random.choice((0, 10_000))
                limits = Limits(interval, patience, 9, 262_144, 9)
                self.hear(link, Welcome("s", "2026-01-01T00:00:00Z", False, False, None, limits))
                if self.habit is not None:
                    self.habit(self, link)
                elif self.is_moody:
                    self.disturb(link)
            case Ping():
                self.hear(link, Pong())
            case Watch(id=id, user_ids=ids):
                entries = [StatusEntry(each, "ONLINE", ["WEB"], None, 1) for each in ids]
                self.hear(link, Snapshot(id=id, statuses=entries, cursor="c"))
            case Query(id=id):
                self.hear(link, Statuses(id=id, statuses=[]))
            case SetStatus(id=id) | Activity(id=id) | Unwatch(id=id):
                self.hear(link, Ok(id=id))

    def disturb(self, link: int) -> None:
        match self.random.randrange(5):
            case 0:
                self.lose(link, self.random.choice(ENDS if not self.is_moody else (1006, 1001, 4401, 4503)))
            case 1 | 2:
                self.hear(link, Reconnect(after_ms=self.random.choice((0, 0, -1, 2000)), reason="draining"))
            case 3:
                self.hear(link, Diff(changes=[StatusEntry(2, "BUSY", ["WEB"], None, 5)], cursor="d"))
            case 4:
                self.hear(link, Error(code=503, error="unavailable", message=""))

    def hear(self, link: int, message: AnyServerMessage) -> None:
        self.core.received(link, message, self.now)

    def call(self) -> None:
        core = self.core
        match self.random.randrange(6):
            case 0:
                self.asked.append(core.watch([self.random.randrange(2, 5)]))
            case 1:
                self.asked.append(core.unwatch([self.random.randrange(2, 5)]))
            case 2:
                self.asked.append(core.activity(self.random.random() < 0.5, 0.0, self.now))
            case 3:
                self.asked.append(core.request(SetStatus(status="BUSY"), self.now + 60))
            case 4:
                self.asked.append(core.request(Query(user_ids=[2])))
            case 5 if self.asked:
                ticket = self.random.choice(self.asked)
                if not self.settled[ticket] and ticket not in self.given_up:
                    self.perform()
                if not self.settled[ticket] and ticket not in self.given_up:
                    assert isinstance(core.give_up(ticket, 1.0), PresenceError)
                    self.given_up.add(ticket)


@pytest.mark.parametrize("habit", HABITS.values(), ids=HABITS)
def test_whatever_a_server_does_each_time_it_is_not_come_back_to_in_a_loop(habit: Habit) -> None:
    for seed in range(10):
        Storm(seed, is_moody=False, habit=habit).run()


@pytest.mark.parametrize("bug", ["moves at once", "a welcome renews"])
def test_a_loop_would_be_found(bug: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if bug == "moves at once":
        monkeypatch.setattr(Attempts, "begin_moving", lambda self, conversation, after, now: after)
        habit = HABITS["asks to move at once"]
    else:
        monkeypatch.setattr(Attempts, "welcomed", lambda self, kind: setattr(self, "_is_renewed", False))
        habit = HABITS["finds the token expired"]
    with pytest.raises(AssertionError, match=r"(connections|tokens) in \d s"):
        Storm(0, is_moody=False, habit=habit).run()


@pytest.mark.parametrize("is_moody", [False, True], ids=["weather", "welcomed and at once disturbed"])
def test_it_never_loops_without_a_pause_and_settles_each_call_once(is_moody: bool) -> None:
    for seed in range(300):
        storm = Storm(seed, is_moody=is_moody)
        storm.run()
        assert storm.sent <= 30 + 10 * storm.now, f"seed {seed}: {storm.sent} messages in {storm.now:.0f} s"
        for ticket in storm.asked:
            times = storm.settled[ticket]
            assert times == 1 or (times <= 1 and ticket in storm.given_up), f"seed {seed}: settled {times} times"
        assert storm.core.deadline() is None
        assert storm.links == set() or storm.core.state.phase is Phase.CLOSED
