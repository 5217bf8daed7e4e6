"""A view ends up with the server's state, whatever happens on the way.

The model server is naive: it answers each message in order, sends each change at once to whoever watches, and writes
snapshots in parts of one entry, with changes in between. At any moment the connection may be lost with all that is
under way in both directions.
"""

from collections import deque

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from presence_protocol.messages import AnyServerMessage, Diff, Limits, Ok, Snapshot, StatusEntry, StatusName, Welcome
from presence_protocol.view import View, unknown

USERS = st.integers(1, 2)
ID_LISTS = st.lists(USERS, min_size=1, max_size=2, unique=True)
CHANGES = st.lists(USERS, max_size=2)
STATUSES: tuple[StatusName, ...] = ("ONLINE", "AWAY", "BUSY", "OFFLINE")
LIMITS = Limits(ping_interval=1, pong_timeout=1, max_watched=9, max_message=1024, max_batch=9)


class Server:
    """What it knows outlives connections; whom it tells does not."""

    def __init__(self) -> None:
        self.seq = 0
        self.floor = 0
        self.known: dict[int, StatusEntry] = {}
        self.drop()

    def drop(self) -> None:
        self.watched: set[int] = set()
        self.parts: deque[tuple[int | None, int | None, bool]] = deque()  # id, user, whether it is the last
        self.out: deque[AnyServerMessage] = deque()

    def entry(self, user_id: int) -> StatusEntry:
        return self.known.get(user_id) or unknown(user_id)

    def change(self, user_id: int) -> None:
        self.seq += 1
        self.known[user_id] = StatusEntry(
            user_id=user_id, status=STATUSES[self.seq % 4], platforms=[], last_active_time=None, version=self.seq
        )
        if user_id in self.watched:
            self.out.append(Diff(changes=[self.known[user_id]], cursor=str(self.seq)))

    def hello(self, watch: list[int], cursor: str | None) -> None:
        since = int(cursor) if cursor is not None and int(cursor) >= self.floor else None
        welcome = Welcome(
            session_id="s", server_time="t", continued=False, resumed=since is not None, self_=None, limits=LIMITS
        )
        self.out.append(welcome)
        if since is not None:
            self.watched = set(watch)
            self.begin(None, [user_id for user_id in watch if self.entry(user_id).version > since])
        elif watch:
            self.begin(None, watch)

    def read(self, what: str, id: int, user_ids: list[int]) -> None:
        if what == "watch":
            self.begin(id, user_ids)
        else:
            self.watched.difference_update(user_ids)
            self.out.append(Ok(id=id))

    def begin(self, id: int | None, user_ids: list[int]) -> None:
        self.parts.extend((id, user_id, user_id == user_ids[-1]) for user_id in user_ids)
        if not user_ids:
            self.parts.append((id, None, True))

    def write(self) -> None:
        """Write one part of a snapshot; from then on its user's changes are sent."""
        id, user_id, is_last = self.parts.popleft()
        statuses = []
        if user_id is not None:
            self.watched.add(user_id)
            statuses.append(self.entry(user_id))
        self.out.append(Snapshot(id=id, statuses=statuses, more=not is_last, cursor=str(self.seq) if is_last else None))


class Convergence(RuleBasedStateMachine):
    """Rules are large and runs are short: that finds the few steps that a mistake needs the soonest."""

    @initialize(user_ids=ID_LISTS)
    def start(self, user_ids: list[int]) -> None:
        self.server = Server()
        self.view = View(now=0)
        self.view.watch(user_ids)
        self.wanted = set(user_ids)
        self.sent: deque[tuple[str, int, list[int]]] = deque()
        self.is_welcomed = False
        self.last_id = 0
        self.server.hello(*self.view.hello())
        self.settle()

    def send(self, what: str, user_ids: list[int]) -> None:
        self.last_id += 1
        self.sent.append((what, self.last_id, user_ids))

    @rule(user_id=USERS)
    def change(self, user_id: int) -> None:
        self.server.change(user_id)

    @rule(user_ids=ID_LISTS)
    def watch(self, user_ids: list[int]) -> None:
        self.wanted.update(user_ids)
        if new := self.view.watch(user_ids, self.last_id + 1):
            self.send("watch", new)

    @rule(user_ids=ID_LISTS)
    def unwatch(self, user_ids: list[int]) -> None:
        self.wanted.difference_update(user_ids)
        self.view.unwatch(user_ids)
        self.send("unwatch", user_ids)

    @rule(user_id=USERS, before=CHANGES, between=CHANGES, hears=st.booleans())
    def watch_again(self, user_id: int, before: list[int], between: list[int], hears: bool) -> None:
        """Users change before the server has read the unwatch, and between it and the watch."""
        while self.sent or self.server.parts:
            self.go_on(["read", "write"])
        self.unwatch([user_id])
        self.watch([user_id])
        for changed in before:
            self.server.change(changed)
        self.go_on(["read"])
        for changed in between:
            self.server.change(changed)
        while hears and self.server.out:
            self.hear()

    @rule(missed=CHANGES, added=st.lists(USERS, max_size=1), forgets=st.booleans(), between=CHANGES)
    def reconnect(self, missed: list[int], added: list[int], forgets: bool, between: list[int]) -> None:
        """Users change while nothing is connected, and between the parts of the snapshot that answers hello."""
        self.sent.clear()
        self.server.drop()
        self.view.lost(now=1)
        self.wanted.update(added)
        self.view.watch(added)
        for user_id in missed:
            self.server.change(user_id)
        if forgets:
            self.server.floor = self.server.seq
        self.is_welcomed = False
        self.server.hello(*self.view.hello())
        for user_id in between:
            self.go_on(["write"])
            self.server.change(user_id)
            while self.server.out:
                self.hear()

    @rule(steps=st.lists(st.sampled_from(["read", "write", "hear"]), min_size=1, max_size=5))
    def go_on(self, steps: list[str]) -> None:
        for step in steps:
            if step == "read" and self.sent and not self.server.parts:
                self.server.read(*self.sent.popleft())
            elif step == "write" and self.server.parts:
                self.server.write()
            elif step == "hear" and self.server.out:
                self.hear()

    def hear(self) -> None:
        self.view.receive(self.server.out.popleft())
        if not self.is_welcomed:
            self.is_welcomed = True
            if left_out := self.view.left_out():
                self.send("watch", self.view.watch(left_out, self.last_id + 1))

    @invariant()
    def holds_nobody_else(self) -> None:
        assert set(self.view.entries) <= self.wanted == self.view.watched

    @rule()
    def settle(self) -> None:
        while self.sent or self.server.parts or self.server.out:
            self.go_on(["write", "hear", "read"])
        assert self.view.entries == {user_id: self.server.entry(user_id) for user_id in self.wanted}
        assert self.view.stale_since is None

    def teardown(self) -> None:
        self.reconnect([], [], False, [])
        self.settle()


Convergence.TestCase.settings = settings(max_examples=250, stateful_step_count=7)
TestConvergence = Convergence.TestCase
