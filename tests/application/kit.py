"""The application without transports: a clock that only the test moves, links that the test may stop, model clients.

`World` does what the driver does, but only when told to: `turn` hands out what nobody was handed, `flush` and `wait`
let time pass. Every client holds the server to two of its promises whatever the test is about: between two full
snapshots no version goes back, and no cursor claims what was not sent (see `World.check_cursors`).
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Iterable, Sequence
from itertools import count
from random import Random
from typing import Any, NamedTuple, TypeVar, overload

from presence_protocol.messages import (
    AnyClientMessage,
    AnyServerMessage,
    Diff,
    Hello,
    Snapshot,
    StatusEntry,
    Statuses,
    Watch,
    Welcome,
)
from presence_protocol.view import View
from presence_server.application.admission import Admission
from presence_server.application.allowances import Allowances
from presence_server.application.ceilings import Ceilings
from presence_server.application.cursors import parse
from presence_server.application.entries import entry_of
from presence_server.application.fanout import Fanout
from presence_server.application.hub import Hub
from presence_server.application.hub_limits import HubLimits
from presence_server.application.keys import PLAIN, UserKeys
from presence_server.application.policies import Everyone
from presence_server.application.polls import Polls
from presence_server.application.ports import Authenticator, Engine, EngineEvent, Listener, Peer, Visibility
from presence_server.application.sessions import Abort, Close, Effect, ReadOn, Send, Session
from presence_server.domain.claims import Word
from presence_server.domain.interest import Interest
from presence_server.domain.model import Change, Kept, Platform, Shown, Status, Truth, UserPresence
from presence_server.domain.shard import Lifetimes
from presence_server.domain.table import PresenceTable, TableStatistics
from presence_server.domain.transitions import AnyTransition, Connect, Offline, Online, Say, Transition
from presence_server.engines.memory import MemoryEngine
from presence_server.transports.websocket.frames import FRAMERS
from support.frames import frames_of
from support.who import trusting

START = 1_762_700_400.0  # 2025-11-09T15:00:00Z
BOOT = 5_000.0
"""What the clock of durations says then. Whoever takes one of the clocks for the other is off by decades."""
TICK = 0.125
"""Seconds between two sweeps: a binary fraction, so that times add up exactly."""

ANN, BOB, EVE = 10001, 10002, 10003
M = TypeVar("M")


class ManualClock:
    """`time` is that of durations. Somebody may set the system's clock, by so many seconds."""

    def __init__(self) -> None:
        self.time = BOOT
        self.set_by = 0.0

    def now(self) -> float:
        return self.time

    def utc(self) -> float:
        return START + self.time - BOOT + self.set_by


class Follows:
    """How often each user is followed. Going below zero is a bug of the application."""

    def __init__(self) -> None:
        self.counts: Counter[int] = Counter()

    def add(self, user_ids: Iterable[int]) -> None:
        self.counts.update(user_ids)

    def remove(self, user_ids: Iterable[int]) -> None:
        for user_id in user_ids:
            assert self.counts[user_id] > 0, f"{user_id} was unfollowed more often than followed"
            self.counts[user_id] -= 1
        self.counts = +self.counts


class CountingEngine(MemoryEngine):
    """The memory engine, which has no need to count follows, with that count."""

    def __init__(self, table: PresenceTable, epoch: int, clock: ManualClock) -> None:
        super().__init__(table, epoch, clock)
        self.follows = Follows()

    def follow(self, user_ids: Sequence[int], now: float, done: Callable[[bool], None]) -> None:
        self.follows.add(user_ids)
        super().follow(user_ids, now, done)

    def unfollow(self, user_ids: Iterable[int]) -> None:
        self.follows.remove(user_ids)


class Waiting:
    """What a `LateEngine` was asked and has not answered. `about` is the user whose transition it is, or None."""

    def __init__(self, about: int | None, answer: Callable[[bool], None], may_fail: bool, users: Counter[int]) -> None:
        self.about = about
        self.answer = answer
        self.may_fail = may_fail
        self.users = users


class LateEngine:
    """An Engine that answers only when told to, and tells of nobody who is not followed.

    It holds the application to what the contract allows it to ask: the presence of followed users, and the truth of
    users who have a session.
    """

    def __init__(self, table: PresenceTable, epoch: int, clock: ManualClock) -> None:
        self.epoch = epoch
        self.follows = Follows()
        self.waiting: list[Waiting] = []
        self.is_eager = False
        """Answer `follow` at once for as long as this is set: an engine may do so when it knows the users already."""
        self._inner = MemoryEngine(table, epoch, clock)
        self._clock = clock

    def attach(self, listener: Listener) -> None:
        def tell(event: EngineEvent, now: float) -> None:
            if not isinstance(event, Change) or self._is_known(event.user_id):
                listener(event, now)

        self._inner.attach(tell)

    @property
    def seq(self) -> int:
        return self._inner.seq

    @property
    def floor(self) -> int:
        return self._inner.floor

    def submit(self, transition: AnyTransition, now: float, done: Callable[[Transition | None], None]) -> None:
        def answer(well: bool) -> None:
            if well:
                self._inner.submit(transition, self._clock.now(), done)
            else:
                done(None)

        may_fail = isinstance(transition, Connect | Say)
        self.waiting.append(Waiting(transition.user_id, answer, may_fail, Counter()))

    def touch(self, user_id: int, device_id: str, holder: int, now: float, spoke: bool) -> None:
        self._inner.touch(user_id, device_id, holder, now, spoke)

    def follow(self, user_ids: Sequence[int], now: float, done: Callable[[bool], None]) -> None:
        self.follows.add(user_ids)
        if self.is_eager:
            done(True)
        else:
            self.waiting.append(Waiting(None, done, True, Counter(user_ids)))

    def unfollow(self, user_ids: Iterable[int]) -> None:
        self.follows.remove(user_ids)

    def _is_known(self, user_id: int) -> bool:
        return self.follows.counts[user_id] > sum(waiting.users[user_id] for waiting in self.waiting)

    def presence(self, user_id: int) -> UserPresence:
        assert self._is_known(user_id), f"{user_id} is not followed"
        return self._inner.presence(user_id)

    def changed_since(self, user_ids: Iterable[int], seq: int) -> list[UserPresence]:
        wanted = list(user_ids)
        assert all(map(self._is_known, wanted))
        return self._inner.changed_since(wanted, seq)

    def truth(self, user_id: int) -> Truth:
        return self._inner.truth(user_id)

    def reveal(self, user_id: int, now: float, done: Callable[[Truth | None], None]) -> None:
        self._inner.reveal(user_id, now, done)

    def lookup(self, user_ids: Sequence[int], now: float, done: Callable[[list[Shown] | None], None]) -> None:
        def answer(well: bool) -> None:
            if well:
                self._inner.lookup(user_ids, self._clock.now(), done)
            else:
                done(None)

        self.waiting.append(Waiting(None, answer, True, Counter()))

    def export(self, user_id: int, now: float, done: Callable[[Kept | None], None]) -> None:
        self._inner.export(user_id, now, done)

    def next_version(self) -> int:
        return self._inner.next_version()

    def restamp(self, user_id: int, now: float) -> None:
        self._inner.restamp(user_id, now)

    def sweep(self, now: float) -> None:
        self._inner.sweep(now)

    def statistics(self) -> TableStatistics:
        return self._inner.statistics()

    # -- the test's side -------------------------------------------------------------------------------------------

    def answer_next(self, well: bool = True) -> None:
        """Answer what has waited longest."""
        self.waiting.pop(0).answer(well)

    def answer_all(self) -> None:
        while self.waiting:
            self.answer_next()

    def answer_any(self, random: Random) -> None:
        """Answer one of those whose turn it may be: the transitions of one user keep their order."""
        first: dict[int | None, None] = {}
        ready = []
        for waiting in self.waiting:
            if waiting.about is None or waiting.about not in first:
                ready.append(waiting)
            first[waiting.about] = None
        if ready:
            chosen = random.choice(ready)
            self.waiting.remove(chosen)
            chosen.answer(not chosen.may_fail or random.random() < 0.9)


class FakeLink:
    """A connection that the test may stop: what is then written waits, as in a full socket's buffer."""

    def __init__(self, world: World, client: Client) -> None:
        self._world = world
        self._client = client
        self.session: Session
        self.raw: list[bytes] = []
        self.waiting: list[bytes] = []
        self.unread: deque[AnyClientMessage] = deque()
        self.is_stopped = False
        self.is_blocked = False
        self.room = 2
        """So many frames may wait while there is still said to be room."""
        self.pings = self.unanswered = 0
        self.closed: tuple[int, str] | None = (0, "never opened")
        self.is_aborted = False

    @property
    def is_up(self) -> bool:
        return self.closed is None and not self.is_aborted

    # -- ports.Link ------------------------------------------------------------------------------------------------

    def write(self, frame: bytes) -> None:
        if not self.is_up:
            return
        self.raw.append(frame)
        if not self.is_stopped:
            self._deliver(frame)
            return
        self.waiting.append(frame)
        if not self.is_blocked:
            # Transports call back at once from within a write.
            self.is_blocked = True
            self._world.hub.blocked(self.session, self._world.now)

    def _deliver(self, written: bytes) -> None:
        for _, payload in frames_of(written):
            self._client.receive(self.session.codec.decode_server(payload))

    def ping(self) -> None:
        self.pings += 1
        self.unanswered += 1

    def close(self, code: int, reason: str) -> None:
        if self.is_up:
            self.closed = (code, reason)

    def abort(self) -> None:
        self.is_aborted = True

    def has_room(self) -> bool:
        return len(self.waiting) < self.room

    def read_on(self) -> None:
        while self.is_up:
            if self.session.can_go_on:
                self._world.perform(self._world.hub.go_on(self.session, self._world.now))
            elif self.unread and not self.session.must_wait:
                self._world.perform(self._world.hub.handle(self.session, self.unread.popleft(), self._world.now))
            else:
                break

    # -- the test's side -------------------------------------------------------------------------------------------

    def stop(self) -> None:
        """The client stops reading."""
        self.is_stopped = True

    def drain(self, frames: int | None = None, is_still_slow: bool = False) -> None:
        """The client reads what waits, or only so much of it. With all of it read it goes on, unless `is_still_slow`:
        then the next frame blocks it again."""
        some = len(self.waiting) if frames is None else frames
        gone, self.waiting = self.waiting[:some], self.waiting[some:]
        for frame in gone:
            self._deliver(frame)
        if self.waiting:
            return
        self.is_stopped = is_still_slow
        if self.is_blocked:
            self.is_blocked = False
            self._world.perform(self._world.hub.unblocked(self.session, self._world.now))


class Given(NamedTuple):
    """A cursor that a client was given, and what it held then."""

    cursor: str
    entries: dict[int, StatusEntry]


class Client:
    """A model client: it folds what it receives, over any number of connections, and remembers its cursors."""

    def __init__(self, world: World, codec_number: int = 0) -> None:
        self.world = world
        self.codec_number = codec_number
        self.view = View(world.now)
        self.link = FakeLink(world, self)
        self.received: list[AnyServerMessage] = []
        self.given: deque[Given] = deque(maxlen=6)
        self._seen: dict[int, int] = {}
        self._asked: set[int] = set()
        self._is_resumed = False
        self._ids = count(1)

    @property
    def session(self) -> Session:
        return self.link.session

    @property
    def is_up(self) -> bool:
        return self.link.is_up and not self.session.is_over

    # -- connections -----------------------------------------------------------------------------------------------

    def open(self, address: str = "127.0.0.1") -> Client:
        """Connect anew, without a word yet."""
        self.link = FakeLink(self.world, self)
        self.link.closed = None
        self.link.session = self.world.hub.open(self.link, self.codec_number, Peer(address), self.world.now)
        self._seen = {}
        self._asked = set()
        self._is_resumed = False
        return self

    def hello(
        self, user_id: int | None = None, device_id: str = "web", watch: Iterable[int] | None = None, **more: Any
    ) -> Client:
        """Say hello, as an observer without `user_id`, and take up the view where it is."""
        self.view.watched.update(watch or ())
        ids, cursor = self.view.hello()
        fields: dict[str, Any] = {"watch": ids if ids or watch is not None else None, "cursor": cursor}
        if user_id is None:
            fields["observer"] = True
        else:
            fields |= {"user_id": user_id, "device_id": device_id, "platform": "WEB"}
        self.say(Hello(**(fields | more)))
        return self

    def say(self, message: AnyClientMessage) -> list[AnyServerMessage]:
        """Send a message. Returns what was received meanwhile."""
        before = len(self.received)
        if isinstance(message, Hello):
            self._asked.update(message.watch or ())
        elif isinstance(message, Watch):
            self._asked.update(message.user_ids)
        if not self.session.must_wait:
            self.world.hub.heard(self.session, self.world.now)
        self.link.unread.append(message)
        self.link.read_on()
        return self.received[before:]

    def next_id(self) -> int:
        return next(self._ids)

    def lose(self, code: int = 1006) -> None:
        """The connection ends; what waited in it is lost."""
        self.world.perform(self.world.hub.lost(self.session, code, self.world.now))
        self.link.close(code, "lost")
        self.view.lost(self.world.now)

    # -- what it receives ------------------------------------------------------------------------------------------

    def receive(self, message: AnyServerMessage) -> None:
        self.received.append(message)
        if isinstance(message, Welcome):
            self._is_resumed = message.resumed
        elif isinstance(message, Snapshot):
            self._check_versions(message.statuses, self._is_resumed and message.id is None)
            # Only the snapshot that answers hello merges; a later one without id replaces.
            self._is_resumed = self._is_resumed and (message.more or message.id is not None)
        elif isinstance(message, Statuses):
            self._check_versions([entry for entry in message.statuses if entry.user_id in self._seen], False)
        elif isinstance(message, Diff):
            assert self._asked.issuperset(entry.user_id for entry in message.changes), "nobody asked for that"
            self._check_versions(message.changes, True)
        self.view.receive(message)
        if self.view.cursor is not None:
            self.given.append(Given(self.view.cursor, dict(self.view.entries)))

    def _check_versions(self, entries: Iterable[StatusEntry], merges: bool) -> None:
        for entry in entries:
            held = self._seen.get(entry.user_id, 0)
            if merges or entry.version:  # a full snapshot may say that a user was forgotten
                assert entry.version >= held, f"{entry.user_id} went from version {held} back to {entry.version}"
            self._seen[entry.user_id] = entry.version

    @overload
    def take(self) -> list[AnyServerMessage]: ...

    @overload
    def take(self, kind: type[M]) -> list[M]: ...

    def take(self, kind: type[Any] | None = None) -> list[Any]:
        """What was received since the last time, or what of it is a `kind`; the rest is dropped."""
        received, self.received = self.received, []
        return [message for message in received if kind is None or isinstance(message, kind)]

    def status(self, user_id: int = ANN) -> str:
        return self.view.entries[user_id].status


class World:
    """All of the application on one manual clock."""

    def __init__(
        self,
        *,
        is_late: bool = False,
        lifetimes: Lifetimes | None = None,
        max_remembered: int = 1_000,
        limits: HubLimits | None = None,
        authenticator: Authenticator | None = None,
        visibility: Visibility | None = None,
        was_swept: bool = True,
        keys: UserKeys = PLAIN,
        allowances: Allowances | None = None,
        ceilings: Ceilings | None = None,
        admission: Admission | None = None,
        is_reciprocal: bool = False,
        **fanout: Any,
    ) -> None:
        self.clock = ManualClock()
        self.table = PresenceTable(lifetimes, shards=2, max_remembered=max_remembered)
        self.follows: Follows
        self.engine: Engine
        if is_late:
            self.late = LateEngine(self.table, 0xE, self.clock)
            self.engine, self.follows = self.late, self.late.follows
        else:
            counting = CountingEngine(self.table, 0xE, self.clock)
            self.engine, self.follows = counting, counting.follows
        self.interest = Interest()
        self.fanout = Fanout(self.engine, self.interest, self.clock, FRAMERS, keys, **fanout)
        who = visibility or Everyone()
        self.is_woken = False
        self.hub = Hub(
            self.engine,
            self.interest,
            self.fanout,
            authenticator or trusting(),
            who,
            limits or HubLimits(),
            self.clock,
            keys,
            Random(0),
            self._wake,
            allowances,
            ceilings,
            admission,
            is_reciprocal,
        )
        self.polls = Polls(self.fanout, self.hub.sight, self.hub.edges, self.hub.permissions)
        self.clients: list[Client] = []
        self.told: list[Transition | None] = []
        """What came of the transitions of back ends."""
        if was_swept:
            self.sweep()

    @property
    def now(self) -> float:
        return self.clock.time

    # -- who is there ----------------------------------------------------------------------------------------------

    def client(self, codec_number: int = 0) -> Client:
        client = Client(self, codec_number)
        self.clients.append(client)
        return client

    def connect(
        self, user_id: int | None = None, device_id: str = "web", watch: Iterable[int] | None = None, **more: Any
    ) -> Client:
        """A new client, welcomed; what it was sent so far is still to be taken."""
        return self.client(more.pop("codec_number", 0)).open().hello(user_id, device_id, watch, **more)

    def submit(self, transition: AnyTransition) -> None:
        self.perform(self.hub.submit(transition, self.now, self.told.append))

    def online(self, user_id: int = ANN, device_id: str = "rest") -> None:
        self.submit(Online(user_id, device_id, Platform.WEB, self.hub.next_number()))

    def offline(self, user_id: int = ANN, device_id: str = "rest") -> None:
        self.submit(Offline(user_id, device_id))

    def override(self, status: Status | None, user_id: int = ANN, text: str | None = None) -> None:
        self.submit(Say(user_id, None if status is None else Word(status, None, text, None, None)))

    # -- what the driver does --------------------------------------------------------------------------------------

    def _wake(self) -> None:
        self.is_woken = True

    def perform(self, effects: Iterable[Effect]) -> None:
        for effect in effects:
            link = effect.session.link
            match effect:
                case Send(session, message):
                    link.write(FRAMERS[session.codec_number](session.codec.encode(message)))
                case Close(_, code, reason):
                    link.close(code, reason)
                case ReadOn():
                    link.read_on()
                case Abort():
                    link.abort()

    def turn(self) -> None:
        self.is_woken = False
        self.perform(self.hub.take())

    def flush(self) -> None:
        """Let all that is gathered go out; the clock moves as far as that takes."""
        self.turn()
        while (delay := self.fanout.delay(self.now)) is not None:
            self.clock.time += delay
            self.fanout.step(self.now)

    def sweep(self) -> None:
        for client in self.clients:
            if client.link.unanswered and client.link.is_up and not client.link.is_stopped:
                client.link.unanswered = 0
                self.hub.heard(client.session, self.now)
        self.perform(self.hub.sweep(self.now))

    def wait(self, seconds: float) -> None:
        """Let time pass, with all that the driver does meanwhile. Clients that read answer pings."""
        until = self.now + seconds
        while self.now < until:
            self.clock.time = min(until, self.now + TICK)
            self.sweep()
            self.turn()
            while self.fanout.delay(self.now) == 0:
                self.fanout.step(self.now)

    # -- what must hold --------------------------------------------------------------------------------------------

    def entry(self, user_id: int) -> StatusEntry:
        """The public state as the table has it."""
        return entry_of(self.table.presence(user_id), PLAIN)

    def check_cursors(self, held: Iterable[int] = ()) -> None:
        """Whoever resumed from a cursor it was given would hold what the table says, but for changes still `held`."""
        for client in self.clients:
            for given in client.given:
                self.check_cursor(given, set(held))

    def check_cursor(self, given: Given, held: set[int]) -> None:
        cursor = parse(given.cursor)
        assert cursor is not None
        assert cursor.epoch == self.engine.epoch
        assert cursor.seq <= self.engine.seq
        if cursor.seq < self.table.floor:
            return  # not covered: everything would be sent
        sent = {presence.user_id for presence in self.table.changed_since(given.entries, cursor.seq)}
        for user_id, entry in given.entries.items():
            if user_id not in sent and user_id not in held:
                assert is_same(entry, self.entry(user_id)), f"cursor {given.cursor} claims {user_id}, unsent"

    def check_converged(self) -> None:
        """Every client that is connected holds what the table says of everybody whom it watches."""
        for client in self.clients:
            if client.is_up:
                assert client.view.entries.keys() == client.view.watched
                for user_id, entry in client.view.entries.items():
                    assert is_same(entry, self.entry(user_id)), f"{entry} is not {self.entry(user_id)}"

    def check_empty(self) -> None:
        """Nobody is connected any more: nothing is kept of anybody's interest."""
        assert self.interest.statistics() == (0, 0, 0)
        assert not self.follows.counts
        assert self.fanout.statistics().outlets == 0
        assert len(self.hub.watching) == len(self.hub.liveness) == len(self.polls) == 0
        assert self.hub.statistics()[:4] == (0, 0, 0, 0)


def is_same(held: StatusEntry, entry: StatusEntry) -> bool:
    """Whether a client that holds `held` knows `entry`. A user who was forgotten since stays OFFLINE at a version."""
    return held == entry or (entry.version == 0 and held.status == entry.status == "OFFLINE")
