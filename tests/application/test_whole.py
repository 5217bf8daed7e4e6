"""The whole application on virtual time, in seeded random order, with constants so small that everything is sliced.

Two dozen users; watchers in both codecs that block, drain by and by, vanish, come back with their cursors, watch and
unwatch; pollers. After each step no version may have gone back and no cursor may claim what was not sent; when all
is quiet, every watcher holds what the table says; when all are gone, nothing is kept of them.
"""

from __future__ import annotations

from random import Random

import pytest

from application.kit import TICK, Client, Given, World, is_same
from presence_protocol.messages import Activity, AnyClientMessage, Bye, Ping, Query, SetStatus, Unwatch, Watch
from presence_server.application import entries, fanout
from presence_server.application.entries import entry_of
from presence_server.application.hub_limits import HubLimits
from presence_server.application.keys import PLAIN
from presence_server.application.liveness import LinkTimes
from presence_server.application.polls import Poll, PollAnswer
from presence_server.domain.model import Status
from presence_server.domain.shared import Lifetimes

USERS = range(1, 25)
WATCHERS = 14
STEPS = 500
STATUSES = (Status.ONLINE, Status.BUSY, Status.AWAY, Status.OFFLINE, None)
LIMITS = HubLimits(max_watched=20, min_publish_interval=0.5, times=LinkTimes(2.0, 3.0, 2.0, 4.0))


class Poller:
    """Asks again and again for the changes of the same users."""

    def __init__(self, world: World, user_ids: list[int]) -> None:
        self.user_ids = list(dict.fromkeys(user_ids))
        self.given: Given | None = None
        self._world = world
        self._poll: Poll | None = None
        self._answers: list[PollAnswer | None] = []

    def ask(self) -> None:
        self._answers = []
        cursor = self.given and self.given.cursor
        on_answer = self._answers.append
        self._poll = self._world.polls.open(None, self.user_ids, cursor, True, self._world.now, on_answer, lambda: None)

    def end(self) -> None:
        """As when it was answered, or its time is up."""
        if self._poll is None:
            return
        late = self._world.polls.close(self._poll)
        self._poll = None
        answer = (self._answers[0] if self._answers else None) or late
        if answer is not None:
            entries = dict(self.given.entries) if self.given and answer.resumed else {}
            for presence in answer.changes:
                held = entries.get(presence.user_id)
                assert held is None or presence.version >= held.version
                entries[presence.user_id] = entry_of(presence, PLAIN)
            self.given = Given(answer.cursor, entries)

    @property
    def is_answered(self) -> bool:
        return bool(self._answers)

    @property
    def asks(self) -> bool:
        return self._poll is not None


class Story:
    """Random steps in one world. `held_back` are the users whose last change waits for its turn to be published."""

    def __init__(self, seed: int, is_late: bool) -> None:
        self.random = Random(seed)
        self.is_late = is_late
        self.world = World(
            is_late=is_late,
            lifetimes=Lifetimes(grace=1.0, rest=6.0, away_after=self.random.choice([0.0, 2.0]), max_devices=3),
            max_remembered=self.random.choice([4, 1000]),
            limits=LIMITS,
            slice_deliveries=self.random.choice([1, 6]),
            slice_writes=3,
            heavy=5,
        )
        for number in range(WATCHERS):
            self.world.client(number % 2)
        self.pollers = [Poller(self.world, self.some_users()) for _ in range(3)]
        self.steps = (
            [self.change] * 8
            + [self.flap]
            + [self.slice] * 10
            + [self.pass_time] * 4
            + [self.watch] * 4
            + [self.stop] * 4
            + [self.drain] * 4
            + [self.come] * 3
            + [self.unwatch, self.say, self.lose, self.catch_up]
            + [self.poll] * 3
            + ([self.answer] * 8 if is_late else [])
        )

    def run(self) -> None:
        for _ in range(STEPS):
            self.random.choice(self.steps)()
            self.check_cursors()
        self.quieten()
        self.world.check_converged()
        self.check_pollers()
        self.check_cursors()
        for client in self.world.clients:
            if client.is_up:
                client.say(Bye())
        self.settle()
        self.world.check_empty()

    def check_cursors(self) -> None:
        held = self.held_back()
        self.world.check_cursors(held)
        for poller in self.pollers:
            if poller.given is not None:
                self.world.check_cursor(poller.given, set(held))

    def check_pollers(self) -> None:
        for poller in self.pollers:
            poller.end()
            poller.ask()
            if self.is_late:
                self.world.late.answer_all()
            poller.end()
            assert poller.given is not None
            assert all(is_same(entry, self.world.entry(user)) for user, entry in poller.given.entries.items())
            assert poller.given.entries.keys() == set(poller.user_ids)

    def held_back(self) -> list[int]:
        return [user_id for user_id in USERS if user_id in self.world.hub.publishing.pacing._held]

    def pick(self, is_up: bool = True) -> Client | None:
        some = [client for client in self.world.clients if client.is_up is is_up]
        return self.random.choice(some) if some else None

    def pick_waiting(self) -> Client | None:
        """One whose changes wait for their slice, so that what is done now comes between; else any."""
        boxes = self.world.fanout._outlets.boxes
        some = [client for client in self.world.clients if client.is_up and boxes[client.session.slot]]
        return self.random.choice(some) if some else self.pick()

    def some_users(self) -> list[int]:
        # The first few are watched by almost everybody: they go by the heavy lane.
        most = 4 if self.random.random() < 0.5 else USERS[-1]
        return [self.random.randint(1, most) for _ in range(self.random.randint(1, 6))]

    # -- steps -----------------------------------------------------------------------------------------------------

    def change(self) -> None:
        user_id = self.random.choice([self.random.choice(USERS), self.random.randint(1, 4)])
        match self.random.randrange(4):
            case 0:
                self.world.online(user_id, self.random.choice("ab"))
            case 1:
                self.world.offline(user_id, self.random.choice("ab"))
            case _:
                self.world.override(self.random.choice(STATUSES), user_id, self.random.choice([None, "hi"]))

    def flap(self) -> None:
        """More changes at once than one user's may be published."""
        user_id = self.random.choice(USERS)
        self.world.online(user_id, "a")
        for text in "abcdefgh":
            self.world.override(Status.BUSY, user_id, text)

    def slice(self) -> None:
        """What the loop has ready, in any order: what waits to be handed out, or the next slice."""
        if self.world.is_woken and self.random.random() < 0.5:
            self.world.turn()
        elif self.world.fanout.delay(self.world.now) == 0:
            self.world.fanout.step(self.world.now)

    def pass_time(self) -> None:
        self.world.clock.time += self.random.choice([0.015625, TICK, TICK, 0.5])
        if self.random.random() < 0.8:
            self.world.sweep()

    def watch(self) -> None:
        if (client := self.pick_waiting()) is None or client.session.state.name != "LIVE":
            return
        number, ids = client.next_id(), [*self.some_users(), *list(client.view.entries)[:2]]
        wanted = client.view.watch(ids, number)
        again = [user_id for user_id in ids if user_id in client.view.entries]
        client.say(Watch(user_ids=wanted + again, id=number))

    def unwatch(self) -> None:
        if (client := self.pick()) is not None and client.session.state.name == "LIVE":
            ids = self.some_users()
            client.view.unwatch(ids)
            client.say(Unwatch(user_ids=ids, id=self.random.choice([None, client.next_id()])))

    def say(self) -> None:
        if (client := self.pick()) is not None and client.session.state.name == "LIVE":
            number = client.next_id()
            said: list[AnyClientMessage] = [
                Activity(idle=self.random.random() < 0.5, id=number),
                SetStatus(status=self.random.choice(["BUSY", "OFFLINE", None]), id=number),
                Query(user_ids=self.some_users(), id=number),
                Ping(id=number),
            ]
            client.say(self.random.choice(said))

    def come(self) -> None:
        if (client := self.pick(is_up=False)) is None:
            return
        client.view.lost(self.world.now)
        client.open()
        who = self.random.choice([None, *USERS[:8]])
        client.hello(who, self.random.choice(["web", "phone"]), self.some_users())

    def lose(self) -> None:
        if (client := self.pick()) is not None:
            if self.random.random() < 0.8:
                # What was on its way may have arrived before the end, or not.
                client.link.drain(self.random.randint(0, len(client.link.waiting)))
                if client.is_up:
                    client.lose(self.random.choice([1000, 1001, 1006]))
            else:
                client.say(Bye())

    def stop(self) -> None:
        if (client := self.pick()) is not None:
            client.link.stop()

    def drain(self) -> None:
        some = [client for client in self.world.clients if client.link.is_stopped and client.is_up]
        if some:
            client = self.random.choice(some)
            client.link.drain(self.random.choice([None, None, 1]))

    def catch_up(self) -> None:
        """Everybody reads again."""
        for client in self.world.clients:
            if client.link.is_stopped and client.is_up:
                client.link.drain()

    def poll(self) -> None:
        poller = self.random.choice(self.pollers)
        if not poller.asks:
            poller.ask()
        elif poller.is_answered or self.random.random() < 0.3:
            poller.end()

    def answer(self) -> None:
        """As a network store does: several at once, and what the loop has ready after that in any order."""
        for _ in range(self.random.randint(1, 8)):
            self.world.late.answer_any(self.random)
        self.slice()

    # -- the end ---------------------------------------------------------------------------------------------------

    def settle(self) -> None:
        for _ in range(40):
            if self.is_late:
                self.world.late.answer_all()
            self.catch_up()
            self.world.wait(TICK)

    def quieten(self) -> None:
        """Nothing more happens; whoever is there asks for what its hello had to leave out."""
        self.settle()
        for client in self.world.clients:
            if client.is_up and (ids := client.view.left_out()):
                number = client.next_id()
                client.view.watch(ids, number)
                client.say(Watch(user_ids=ids, id=number))
        self.settle()
        self.world.flush()


@pytest.mark.parametrize("seed", range(12))
@pytest.mark.parametrize("is_late", [False, True], ids=["memory", "late"])
def test_watchers_converge_time_moves_forward_and_cursors_do_not_lie(
    seed: int, is_late: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(entries, "SNAPSHOT_PART", 3)
    monkeypatch.setattr(fanout, "FEW", 3)
    Story(seed, is_late).run()
