"""Who may see whom in a run, and how that changes: contacts and blocks that a back end puts, or an application that is
asked; and above both what people say of their privacy.

The model (`support.knowledge`) is told what was asked for, not what came of it. While a list changes step by step, a
pair is as it was or as it will be: the model allows both, and once it is answered only the latter.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from random import Random
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from presence_protocol.user_ids import UserId
from presence_server.application.contacts import ContactBook, Pair
from presence_server.application.lists import Steps, in_order
from presence_server.application.policies import ByContacts
from presence_server.application.ports import Peer, Visibility, Wanted
from presence_server.application.principals import Denied, Principal, trusted
from presence_server.application.privacy import LastSeen
from presence_server.domain.lenses import Lens
from presence_server.visibility.questions import LENSES, Question, Questions
from simulator.loop import SOCKET, SOON
from simulator.people import number_of
from support.knowledge import Model

if TYPE_CHECKING:
    from simulator.world import World

WAYS: Final = ("everyone", "contacts", "ask")
"""Who may see whom; with `everyone` there is nothing of this module in a run."""

SEES: Final = "sees "
"""What the token of somebody who only watches begins with; the user's id follows."""


class Rules(NamedTuple):
    by: str
    strangers: Lens
    is_reciprocal: bool
    life: float
    """Seconds that an answer of the application holds."""


def rules_of(seed: int, by: str) -> Rules:
    """Drawn by themselves, so that all else of a seed stays as it is."""
    random = Random(f"permissions {seed}")
    strangers = random.choice((Lens.HIDDEN, Lens.HIDDEN, Lens.COARSE, Lens.FULL))
    return Rules(by, strangers, random.random() < 0.3, random.choice((1.0, 2.0, 3.0)))


class ByEyes:
    """Lets everybody in: with a token of `SEES` as that user, who only watches, else as a service."""

    def authenticate(
        self,
        peer: Peer,
        token: str | None,
        wanted: Wanted,
        now: float,
        utc: float,
        done: Callable[[Principal | Denied], None],
    ) -> None:
        if token is None:
            done(trusted("test"))
            return
        said = token.removeprefix(SEES)
        user_id = said if said.startswith("person ") else int(said)
        done(Principal(f"user {said}", user_id, may_observe=True))


class Application(Questions):
    """Is asked over the simulated network; and sometimes it fails."""

    def __init__(self, world: World, rules: Rules, model: Model) -> None:
        super().__init__(world.people.keys, world.clock.now)
        self._world = world
        self._rules = rules
        self._model = model
        self._said: dict[tuple[UserId, UserId], str] = {}
        self.fails = False

    def truth(self, viewer: Any, whom: Any) -> str:
        usual = ("full", "full", "coarse", "hidden")[(3 * number_of(viewer) + number_of(whom)) % 4]
        return self._said.get((viewer, whom), usual)

    def say(self, viewer: UserId, whom: UserId, lens: str) -> None:
        self._said[viewer, whom] = lens

    def send(self, question: Question) -> None:
        self._world.loop.serve(SOON, 0.0, self._ask, question)

    def _ask(self, question: Question) -> None:
        self._world.loop.call_later(self._world.delay(), self._decide, question, self.body_of(question))

    def _decide(self, question: Question, body: dict[str, Any]) -> None:
        answer: Any = ValueError("answered 500")
        if not self.fails:
            lenses = {str(whom): self.truth(body["viewer"], whom) for whom in body["userIds"]}
            answer = {"lenses": lenses, "expiresIn": self._rules.life}
        self._world.loop.call_later(
            self._world.delay(), self._world.loop.serve, SOCKET, 0.0, self._hear, question, answer
        )

    def _hear(self, question: Question, answer: Any) -> None:
        answers, keys = self._model.answers, self._world.people.keys
        assert answers is not None
        viewer = keys.user_id(question.viewer)
        for whom in map(keys.user_id, question.keys):
            said = "hidden" if isinstance(answer, Exception) else answer["lenses"][str(whom)]
            answers[viewer, whom] = LENSES[said]
        self.answered(question, answer)


class Permissions:
    def __init__(self, world: World, rules: Rules) -> None:
        self._world = world
        self.rules = rules
        self.model = Model(rules.strangers, rules.is_reciprocal)
        self.book = ContactBook(world.people.keys)
        self.application = Application(world, rules, self.model)
        self._by_contacts = ByContacts(self.book, rules.strangers)
        self.policy: Visibility = self._by_contacts
        if rules.by == "ask":
            self.model.answers = {}
            self.policy = self.application
        self.restated: set[UserId] = set()
        """Who has said something of their privacy: the same is told once more, under a version of its own."""
        self._lines: dict[UserId, deque[Iterator[None]]] = {}
        self._begin_with_some()

    @property
    def asks(self) -> bool:
        return self.model.answers is not None

    def _begin_with_some(self) -> None:
        """Half of all know each other: what comes can take away as well as give."""
        world, random = self._world, Random(f"contacts {self._world.scenario.seed}")
        for number in range(world.scenario.users):
            members = [world.people.of(other) for other in range(world.scenario.users) if random.random() < 0.5]
            self.book.set_contacts(world.people.of(number), members, mutual=True)
            self.model.lists[world.people.of(number)] = dict.fromkeys(members, True)

    def mend(self) -> None:
        """The application fails no more."""
        self.application.fails = False

    def at_rest(self, viewer: UserId) -> Model:
        """What somebody who watches may know once nothing has changed for a while.

        What the application says of whom `viewer` sees was asked for again when it was out of date. What it says of who
        sees `viewer`, which matters if that is to be reciprocal, is as it was when somebody needed it.
        """
        if self.model.answers is None:
            return self.model
        model = Model(None, self.model.reciprocal)
        model.privacy = self.model.privacy
        people = map(self._world.people.of, range(self._world.scenario.users + 3))
        model.answers = self.model.answers | {
            (viewer, whom): LENSES[self.application.truth(viewer, whom)] for whom in people
        }
        return model

    def is_changing(self, user_id: UserId) -> bool:
        """Whether the user's lists are being changed: what is told may be from before or after."""
        return user_id in self._lines

    # -- what back ends and people ask for -----------------------------------------------------------------------------

    def put_contacts(self, owner: UserId, members: list[UserId], mutual: bool) -> None:
        wanted = self.book.contacts_of(members, mutual)
        after = dict.fromkeys(members, mutual)
        self._request(owner, self._contacts(owner, wanted, lambda _kept: after))

    def patch_contacts(self, owner: UserId, add: list[UserId], remove: list[UserId], mutual: bool) -> None:
        def after(kept: dict[UserId, bool]) -> dict[UserId, bool]:
            added = kept | dict.fromkeys(add, mutual)
            return {whom: both for whom, both in added.items() if whom not in remove}

        self._request(owner, self._contacts(owner, self.book.contacts_with(owner, add, remove, mutual), after))

    def put_blocks(self, owner: UserId, members: list[UserId]) -> None:
        self._request(owner, self._blocks(owner, in_order(members), lambda _kept: set(members)))

    def patch_blocks(self, owner: UserId, add: list[UserId], remove: list[UserId]) -> None:
        wanted = self.book.blocks_with(owner, add, remove)
        self._request(owner, self._blocks(owner, wanted, lambda kept: (kept | set(add)) - set(remove)))

    def set_privacy(self, owner: UserId, said: LastSeen) -> None:
        def handle() -> None:
            world = self._world
            self.model.privacy[owner] = said.value
            self.restated.add(owner)
            world.hub.permissions.set_last_seen(owner, said, world.clock.now(), lambda _made: None)

        self._world.requests.send(handle)

    # -- lists, in steps, one change of a user's after the other -------------------------------------------------------

    def _contacts(
        self, owner: UserId, wanted: Steps[Any], after_of: Callable[[dict[UserId, bool]], dict[UserId, bool]]
    ) -> Iterator[None]:
        kept = self.model.lists.get(owner, {})
        after = after_of(kept)
        lists = yield from wanted
        self.model.lists[owner] = {  # both
            whom: kept.get(whom, False) or after.get(whom, False) for whom in kept | after
        }
        yield from self._told(self.book.replace_in_steps(owner, lists))
        self.model.lists[owner] = after

    def _blocks(
        self, owner: UserId, wanted: Steps[Any], after_of: Callable[[set[UserId]], set[UserId]]
    ) -> Iterator[None]:
        kept = self.model.blocks.get(owner, set())
        after = after_of(kept)
        blocked = yield from wanted
        self.model.blocks[owner] = kept & after
        yield from self._told(self.book.block_in_steps(owner, blocked))
        self.model.blocks[owner] = after

    def _told(self, changes: Iterator[list[Pair]]) -> Iterator[None]:
        """As `transports.rest.people` does."""
        for pairs in changes:
            with self._world.hub.turn:
                self._by_contacts.tell(pairs)
            yield

    def _request(self, owner: UserId, steps: Iterator[None]) -> None:
        self._world.requests.send(lambda: self._arrive(owner, steps))

    def _arrive(self, owner: UserId, steps: Iterator[None]) -> None:
        line = self._lines.setdefault(owner, deque())
        line.append(steps)
        if len(line) == 1:
            self._go_on(owner)

    def _go_on(self, owner: UserId) -> None:
        line = self._lines[owner]
        if next(line[0], self) is self:
            line.popleft()
            if not line:
                del self._lines[owner]
                return
        self._world.loop.serve(SOON, self._world.scenario.turn, self._go_on, owner)
