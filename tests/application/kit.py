"""The application without transports: a clock that only the test moves, links that the test may stop, model clients.

`World` does what the driver does, but only when told to: `turn` hands out what nobody was handed, `flush` and `wait`
let time pass. Every client holds the server to two of its promises whatever the test is about: between two full
snapshots no version goes back, and no cursor claims what was not sent (see `World.check_cursors`).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from itertools import count
from random import Random
from typing import Any, NamedTuple, TypeVar, overload

from application.engines import CountingEngine, Follows, LateEngine, ManualClock
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
from presence_server.application.ports import Authenticator, Engine, Peer, Visibility
from presence_server.application.sessions import Session
from presence_server.application.turn import Turn
from presence_server.application.views import Views
from presence_server.domain.claims import Word
from presence_server.domain.interest import Interest
from presence_server.domain.model import Platform, Status
from presence_server.domain.shared import Lifetimes
from presence_server.domain.table import PresenceTable
from presence_server.domain.transitions import AnyTransition, Offline, Online, Say, Transition
from presence_server.transports.websocket.frames import FRAMERS, PING
from support.frames import frames_of
from support.who import trusting

TICK = 0.125
"""Seconds between two sweeps: a binary fraction, so that times add up exactly."""

ANN, BOB, EVE = 10001, 10002, 10003
(A_PING,) = frames_of(PING)
M = TypeVar("M")


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
        self.pings_fill_it = False
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
        pings = frames_of(frame).count(A_PING)
        self.pings += pings
        self.unanswered += pings
        if pings and frame == PING and not self.pings_fill_it:
            return  # a socket nearly always has room for two bytes
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
        for each in frames_of(written):
            if each != A_PING:
                self._client.receive(self.session.codec.decode_server(each[1]))

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
                self._world.hub.go_on(self.session, self._world.now)
            elif self.unread and not self.session.must_wait:
                self._world.hub.handle(self.session, self.unread.popleft(), self._world.now)
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
            self._world.hub.unblocked(self.session, self._world.now)


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
        self.world.hub.lost(self.session, code, self.world.now)
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
        self.is_woken = False
        turn = Turn(FRAMERS, PING, self._wake)
        views = Views(self.engine, self.clock, keys)
        self.fanout = Fanout(views, self.interest, self.clock, turn, **fanout)
        who = visibility or Everyone()
        self.hub = Hub(
            self.engine,
            self.interest,
            self.fanout,
            views,
            authenticator or trusting(),
            who,
            limits or HubLimits(),
            self.clock,
            keys,
            Random(0),
            turn,
            allowances,
            ceilings,
            admission,
            is_reciprocal,
        )
        self.polls = Polls(views, self.fanout, self.hub.sight, self.hub.edges, self.hub.permissions)
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
        self.hub.submit(transition, self.now, self.told.append)

    def online(self, user_id: int = ANN, device_id: str = "rest") -> None:
        self.submit(Online(user_id, device_id, Platform.WEB, self.hub.engine.next_number()))

    def offline(self, user_id: int = ANN, device_id: str = "rest") -> None:
        self.submit(Offline(user_id, device_id))

    def override(self, status: Status | None, user_id: int = ANN, text: str | None = None) -> None:
        self.submit(Say(user_id, None if status is None else Word(status, None, text, None, None)))

    # -- what the driver does --------------------------------------------------------------------------------------

    def _wake(self) -> None:
        self.is_woken = True

    def turn(self) -> None:
        self.is_woken = False
        self.hub.turn.run()

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
        self.hub.sweep(self.now)

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
