"""The leak suite: whatever happens, nobody is told what they may not know, by a model on one screen, on both engines.

Hypothesis drives lists, blocks, privacy, presence, watches, resumes, queries, polls, slow readers and erasure. Each
byte that is written to a connection, and each answer, is held to the model as of that moment; and at rest everybody
must hold what the model lets them know.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from application.kit import Client, FakeLink, World
from presence_protocol.messages import Diff, Query, Snapshot, StatusEntry, Statuses, Unwatch, Watch
from presence_server.application.contacts import ContactBook
from presence_server.application.entries import entry_of
from presence_server.application.hub import HubLimits
from presence_server.application.keys import PLAIN
from presence_server.application.lists import finish
from presence_server.application.policies import ByContacts, Everyone
from presence_server.application.polls import Poll, PollAnswer
from presence_server.application.privacy import LastSeen
from presence_server.domain.lenses import Lens
from presence_server.domain.model import Shown, Status
from support.frames import frames_of
from support.knowledge import Model, leak_in

USERS = (1, 2, 3)
NEVER = 9
"""Somebody who never comes."""

user = st.sampled_from(USERS)
users = st.lists(st.sampled_from((*USERS, NEVER)), max_size=4, unique=True)


def check_entry(may: str, entry: StatusEntry, context: object) -> None:
    assert leak_in(may, entry) is None, (context, entry)


class Viewer(Client):
    """Looks at each frame when it is written: what waits in a socket was told before."""

    def __init__(self, world: World, who: int, model: Model, codec_number: int) -> None:
        super().__init__(world, codec_number)
        self.who = who
        self.model = model

    def open(self, address: str = "127.0.0.1") -> Client:
        super().open(address)
        link = self.link
        write = link.write

        def looked_at(frame: bytes) -> None:
            for _, payload in frames_of(frame):
                self._look(link, payload)
            write(frame)

        link.write = looked_at  # type: ignore[method-assign]
        return self

    def _look(self, link: FakeLink, payload: bytes) -> None:
        message = link.session.codec.decode_server(payload)
        entries: list[StatusEntry] = []
        if isinstance(message, Snapshot | Statuses):
            entries = message.statuses
        elif isinstance(message, Diff):
            entries = message.changes
        for entry in entries:
            check_entry(self.model.may_know(self.who, entry.user_id), entry, (self.who, message))

    def _check_versions(self, entries: Iterable[StatusEntry], merges: bool) -> None:
        """A permission that was given is told under a version of its own, which a later snapshot need not have."""


class Poller:
    def __init__(self, who: int) -> None:
        self.who = who
        self.poll: Poll | None = None
        self.answers: list[PollAnswer | None] = []
        self.cursor: str | None = None
        self.asked: list[int] = []
        self.held: dict[int, StatusEntry] = {}


class Leaks(RuleBasedStateMachine):
    is_late = False

    @initialize(
        strangers=st.sampled_from((None, Lens.HIDDEN, Lens.HIDDEN, Lens.COARSE, Lens.FULL)),
        reciprocal=st.booleans(),
        heavy=st.sampled_from((1, 1000)),
        slices=st.sampled_from((1, 500)),
        are_there=st.sampled_from((True, True, False)),
    )
    def start(self, strangers: Lens | None, reciprocal: bool, heavy: int, slices: int, are_there: bool) -> None:
        self.model = Model(strangers, reciprocal)
        self.book = ContactBook(PLAIN)
        self.policy = Everyone() if strangers is None else ByContacts(self.book, strangers)
        self.world = World(
            is_late=self.is_late,
            visibility=self.policy,
            is_reciprocal=reciprocal,
            limits=HubLimits(min_publish_interval=0.3),
            heavy=heavy,
            slice_writes=slices,
            slice_deliveries=slices,
        )
        if slices == 1:
            self.world.hub.answering.is_at_once = lambda _size: False  # type: ignore[method-assign]
        self.viewers = [Viewer(self.world, who, self.model, who % 2) for who in USERS]
        self.pollers = {who: Poller(who) for who in USERS}
        if are_there:
            self._begin_with_all()

    def _begin_with_all(self) -> None:
        """Everybody is there, watches all others, and is a contact of theirs: what comes can only take away."""
        for who in USERS:
            if self.model.strangers is not None:
                self.put_contacts(who, list(USERS), True)
            self.online(who, "rest")
            self.connect(who, [*USERS, NEVER])
        self._come_to_rest()

    def _come_to_rest(self) -> None:
        for _ in range(12):
            for viewer in self.viewers:
                if viewer.is_up:
                    viewer.link.drain()
            if self.is_late:
                self.world.late.answer_all()
            self.world.wait(0.5)
            self.world.flush()

    def _viewer(self, who: int) -> Viewer:
        return self.viewers[who - 1]

    # -- permissions ---------------------------------------------------------------------------------------------------

    @precondition(lambda self: self.model.strangers is not None)
    @rule(owner=user, members=users, mutual=st.booleans())
    def put_contacts(self, owner: int, members: list[int], mutual: bool) -> None:
        self.model.lists[owner] = dict.fromkeys(members, mutual)
        self._tell(self.book.set_contacts(owner, members, mutual))

    @precondition(lambda self: self.model.strangers is not None)
    @rule(owner=user, add=users, remove=users, mutual=st.booleans())
    def patch_contacts(self, owner: int, add: list[int], remove: list[int], mutual: bool) -> None:
        kept = self.model.lists.setdefault(owner, {}) | dict.fromkeys(add, mutual)
        self.model.lists[owner] = {whom: both for whom, both in kept.items() if whom not in remove}
        wanted = finish(self.book.contacts_with(owner, add, remove, mutual))
        for pairs in self.book.replace_in_steps(owner, wanted):
            self._tell(pairs)

    @precondition(lambda self: self.model.strangers is not None)
    @rule(owner=user, members=users)
    def put_blocks(self, owner: int, members: list[int]) -> None:
        self.model.blocks[owner] = set(members)
        self._tell(self.book.set_blocks(owner, members))

    def _tell(self, pairs: list[tuple[int, int]]) -> None:
        assert isinstance(self.policy, ByContacts)
        with self.world.hub.turn:
            self.policy.tell(pairs)

    @rule(owner=user, said=st.sampled_from(list(LastSeen)))
    def put_privacy(self, owner: int, said: LastSeen) -> None:
        self.model.privacy[owner] = said.value
        self.world.hub.permissions.set_last_seen(owner, said, self.world.now, lambda _made: None)

    # -- presence ------------------------------------------------------------------------------------------------------

    @rule(who=user, device=st.sampled_from(("rest", "tv")))
    def online(self, who: int, device: str) -> None:
        self.world.online(who, device)

    @rule(who=user, device=st.sampled_from(("rest", "tv")))
    def offline(self, who: int, device: str) -> None:
        self.world.offline(who, device)

    @rule(
        who=user,
        status=st.sampled_from((None, Status.BUSY, Status.AWAY, Status.OFFLINE)),
        text=st.sampled_from((None, "t")),
    )
    def override(self, who: int, status: Status | None, text: str | None) -> None:
        self.world.override(status, who, text)

    @rule(who=user)
    def erase(self, who: int) -> None:
        if self._viewer(who).is_up:
            self._viewer(who).lose()
        self.world.hub.dismissals.erase(who, self.world.now, lambda _made: None)
        self.model.privacy.pop(who, None)

    # -- connections ---------------------------------------------------------------------------------------------------

    @rule(who=user, watch=users)
    def connect(self, who: int, watch: list[int]) -> None:
        viewer = self._viewer(who)
        if viewer.is_up:
            viewer.lose()
        viewer.open().hello(who, "web", watch)

    @rule(who=user)
    def lose(self, who: int) -> None:
        if self._viewer(who).is_up:
            self._viewer(who).lose()

    @rule(who=user, whom=users)
    def watch(self, who: int, whom: list[int]) -> None:
        viewer = self._viewer(who)
        if viewer.is_up and whom:
            id = viewer.next_id()
            viewer.say(Watch(user_ids=viewer.view.watch(whom, id) or whom, id=id))

    @rule(who=user, whom=users)
    def unwatch(self, who: int, whom: list[int]) -> None:
        viewer = self._viewer(who)
        if viewer.is_up:
            viewer.view.unwatch(whom)
            viewer.say(Unwatch(user_ids=whom, id=viewer.next_id()))

    @rule(who=user, whom=users)
    def query(self, who: int, whom: list[int]) -> None:
        if self._viewer(who).is_up:
            self._viewer(who).say(Query(user_ids=whom, id=self._viewer(who).next_id()))

    @rule(who=user)
    def stop_reading(self, who: int) -> None:
        self._viewer(who).link.stop()

    @rule(who=user, frames=st.sampled_from((1, None)))
    def read(self, who: int, frames: int | None) -> None:
        if self._viewer(who).is_up:
            self._viewer(who).link.drain(frames)

    # -- REST ----------------------------------------------------------------------------------------------------------

    @rule(who=user, whom=users)
    def look_up(self, who: int, whom: list[int]) -> None:
        self.world.hub.lookup(who, whom, self.world.now, lambda found: self._looked_up(who, found))

    def _looked_up(self, who: int, found: list[Shown] | None) -> None:
        for shown in found or ():
            entry = entry_of(shown.presence._replace(last_active=shown.last_active), PLAIN)
            may = self.model.may_know(who, entry.user_id)
            check_entry(may, entry, (who, shown))
            assert not shown.devices or may in ("all", "untimed"), ("devices", who, shown)

    @rule(who=user, whom=users, may_wait=st.booleans())
    def poll(self, who: int, whom: list[int], may_wait: bool) -> None:
        poller = self.pollers[who]
        self._end_poll(poller)
        poller.answers = []
        cursor = poller.cursor if poller.asked == whom else None
        poller.asked = whom
        on_answer = poller.answers.append
        poller.poll = self.world.polls.open(who, whom, cursor, may_wait, self.world.now, on_answer, lambda: None)

    @rule(who=user)
    def end_poll(self, who: int) -> None:
        self._end_poll(self.pollers[who])

    def _end_poll(self, poller: Poller) -> None:
        if poller.poll is None:
            return
        late = self.world.polls.close(poller.poll)
        poller.poll = None
        first = poller.answers[0] if poller.answers else None
        answer = first or late
        if answer is None:
            return
        sight = self.world.hub.sight
        changes = answer.changes
        if sight.stamp(poller.who) != answer.stamp:  # as the endpoint does, which words it later
            changes = sight.still(poller.who, changes)
        if not answer.resumed:
            poller.held = {}
        for presence in changes:
            entry = entry_of(presence, PLAIN)
            check_entry(self.model.may_know(poller.who, entry.user_id), entry, (poller.who, answer))
            poller.held[entry.user_id] = entry
        poller.cursor = answer.cursor

    # -- time ----------------------------------------------------------------------------------------------------------

    @rule()
    def slice(self) -> None:
        self.world.turn()
        self.world.fanout.step(self.world.now)

    @rule(seconds=st.sampled_from((0.05, 0.5)))
    def wait(self, seconds: float) -> None:
        self.world.wait(seconds)

    @precondition(lambda self: self.is_late and self.world.late.waiting)
    @rule(number=st.integers(0, 3))
    def answer(self, number: int) -> None:
        for _ in range(number + 1):
            if self.world.late.waiting:
                self.world.late.answer_next()

    def teardown(self) -> None:
        if hasattr(self, "world"):
            self._settle()

    def _settle(self) -> None:
        """All is read and answered: everybody holds what the model lets them know, and no more."""
        world = self.world
        self._come_to_rest()
        for poller in self.pollers.values():
            self._end_poll(poller)
        for viewer in self.viewers:
            if not viewer.is_up:
                continue
            for whom, held in viewer.view.entries.items():
                may = self.model.may_know(viewer.who, whom)
                check_entry(may, held, (viewer.who, "at rest"))
                kept = entry_of(world.table.presence(whom), PLAIN)
                if may != "nothing":
                    assert held.status == kept.status, ("does not know", viewer.who, may, held, kept)
                if may in ("all", "untimed"):
                    shown: Any = (held.platforms, held.status_text)
                    assert shown == (kept.platforms, kept.status_text), (viewer.who, may, held, kept)
                if may == "all" and kept.version:
                    assert held.last_active_time == kept.last_active_time, (viewer.who, held, kept)


class LateLeaks(Leaks):
    is_late = True


_MANY = settings(max_examples=60, stateful_step_count=40, deadline=None, suppress_health_check=list(HealthCheck))
TestLeaks = Leaks.TestCase
TestLeaks.settings = _MANY
TestLateLeaks = LateLeaks.TestCase
TestLateLeaks.settings = _MANY
