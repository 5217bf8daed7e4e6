"""What is known of who may see whom where the application is asked, and what is to be asked: without any I/O.

What was answered is remembered, also past its lifetime, so that a different answer is noticed; the oldest viewers go
first. Questions of one viewer within one turn of the loop go together. Of each viewer and user there is one question
under way at most.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final

from presence_protocol.user_ids import UserId
from presence_server.application.keys import UserKeys
from presence_server.application.ports import Changed
from presence_server.domain.lenses import Lens
from presence_server.domain.model import UserKey

MAX_ASKED: Final = 1_000
"""Ids in one question."""

MAX_LIFE: Final = 3_600.0
"""Seconds that an answer is believed, whatever it says."""

USUAL_LIFE: Final = 60.0
"""Seconds that an answer is believed which does not say for how long."""

FAILED_LIFE: Final = 5.0
"""Seconds for which nobody is asked again after a failure."""

MAX_WAITING: Final = 10_000
"""Questions that wait; of more, all that is asked about is hidden for now."""

REMEMBERED: Final = 1_000_000
"""Answers that are remembered, of all viewers together."""

LENSES: Final = {"full": Lens.FULL, "coarse": Lens.COARSE, "hidden": Lens.HIDDEN}

Told = Callable[[float | None], None]


class Question:
    """What is asked at once about one viewer, and whom to tell that it was answered."""

    __slots__ = ("keys", "viewer", "waiting")

    def __init__(self, viewer: UserKey) -> None:
        self.viewer = viewer
        self.keys: dict[UserKey, None] = {}
        self.waiting: list[_Waiting] = []


class _Waiting:
    """Somebody who waits until all of `keys` are known. `left`: questions that are still to be answered."""

    __slots__ = ("done", "keys", "left", "viewer")

    def __init__(self, viewer: UserKey, keys: Sequence[UserKey], done: Told) -> None:
        self.viewer = viewer
        self.keys = keys
        self.done = done
        self.left = 0


class Questions:
    """A `Visibility` that asks. Whoever carries the questions implements `send`."""

    is_open = False

    def __init__(self, keys: UserKeys, now: Callable[[], float]) -> None:
        self._keys = keys
        self._now = now
        self._known: OrderedDict[UserKey, dict[UserKey, tuple[Lens, float]]] = OrderedDict()
        self._count = 0
        self._asking = 0
        self._open: dict[UserKey, Question] = {}  # by viewer: not sent yet, and has room
        self._under_way: dict[tuple[UserKey, UserKey], Question] = {}
        self._changed: Changed = _nobody

    # -- for whoever carries them ----------------------------------------------------------------------------------

    def send(self, question: Question) -> None:
        """See that `body_of` the question is asked, and call `answered`, later and once."""
        raise NotImplementedError

    def can_send(self) -> bool:
        """Whether anybody can be asked at all."""
        return True

    def body_of(self, question: Question) -> dict[str, Any]:
        """What to ask. Nobody is added to the question from now on."""
        if self._open.get(question.viewer) is question:
            del self._open[question.viewer]
        user_ids = [self._keys.user_id(key) for key in question.keys]
        return {"viewer": self._keys.user_id(question.viewer), "userIds": user_ids}

    def answered(self, question: Question, answer: Any) -> None:
        """`answer` is what the application said, as JSON; an exception: why it said nothing.

        Raises ValueError: it is no answer, and counts as none.
        """
        made: dict[UserKey, Lens] = {}
        life = FAILED_LIFE
        try:
            if not isinstance(answer, BaseException):
                user_ids = [self._keys.user_id(key) for key in question.keys]
                made, life = _lenses(answer, user_ids, question.keys)
        finally:
            self._close(question, made, life)

    def _close(self, question: Question, made: dict[UserKey, Lens], life: float) -> None:
        self._asking -= 1
        if self._open.get(question.viewer) is question:
            del self._open[question.viewer]
        for key in question.keys:
            self._under_way.pop((question.viewer, key), None)
        lenses = {key: made.get(key, Lens.HIDDEN) for key in question.keys}
        self._learned(question.viewer, lenses, self._now() + life)
        for waiting in question.waiting:
            waiting.left -= 1
            if not waiting.left:
                self._tell(waiting)

    # -- ports.Visibility ------------------------------------------------------------------------------------------

    def attach(self, changed: Changed) -> None:
        self._changed = changed

    def lens(self, viewer: UserKey, key: UserKey) -> Lens:
        known = self._known.get(viewer)
        return known[key][0] if known is not None and key in known else Lens.HIDDEN

    def is_contact(self, viewer: UserKey, key: UserKey) -> bool:
        """Whom the application shows in full is as good as a contact."""
        return self.lens(viewer, key) is Lens.FULL

    def sweep(self, now: float) -> None:
        """What is out of date is asked for by whoever needs it."""

    def learn(self, viewer: UserKey, keys: Sequence[UserKey], now: float, done: Told) -> None:
        known = self._known.get(viewer, {})
        if known:
            self._known.move_to_end(viewer)
        unknown = [key for key in keys if key != viewer and (key not in known or known[key][1] <= now)]
        waiting = _Waiting(viewer, keys, done)
        if unknown and (not self.can_send() or self._asking >= MAX_WAITING):
            self._learned(viewer, dict.fromkeys(unknown, Lens.HIDDEN), now + FAILED_LIFE)
        elif unknown:
            for question in dict.fromkeys(self._question(viewer, key) for key in unknown):
                question.waiting.append(waiting)
                waiting.left += 1
            return
        self._tell(waiting)

    def _question(self, viewer: UserKey, key: UserKey) -> Question:
        """The question that is to be or was asked about this pair."""
        under_way = self._under_way.get((viewer, key))
        if under_way is not None:
            return under_way
        question = self._open.get(viewer)
        if question is None or len(question.keys) >= MAX_ASKED:
            question = self._open[viewer] = Question(viewer)
            self._asking += 1
            self.send(question)
        question.keys[key] = None
        self._under_way[viewer, key] = question
        return question

    def _tell(self, waiting: _Waiting) -> None:
        known = self._known.get(waiting.viewer, {})
        ends = [known[key][1] for key in waiting.keys if key in known]
        waiting.done(max(0.0, min(ends) - self._now()) if ends else None)

    def _learned(self, viewer: UserKey, lenses: dict[UserKey, Lens], until: float) -> None:
        known = self._known.setdefault(viewer, {})
        self._known.move_to_end(viewer)
        before = len(known)
        changed = [key for key, lens in lenses.items() if key not in known or known[key][0] is not lens]
        known.update({key: (lens, until) for key, lens in lenses.items()})
        self._count += len(known) - before
        while self._count > REMEMBERED and len(self._known) > 1:
            self._count -= len(self._known.popitem(last=False)[1])
        if changed:
            self._changed(viewer, changed)

    def forget(self, key: UserKey) -> None:
        """Nothing is remembered of what this user may see, nor of who may see them."""
        self._count -= len(self._known.pop(key, ()))
        for known in self._known.values():
            if known.pop(key, None) is not None:
                self._count -= 1


def _lenses(answer: Any, user_ids: Sequence[UserId], keys: Iterable[UserKey]) -> tuple[dict[UserKey, Lens], float]:
    """The lens of each key, and for how many seconds it holds. Raises ValueError: it is no answer."""
    lenses = answer.get("lenses") if isinstance(answer, dict) else None
    if not isinstance(lenses, dict):
        raise ValueError("answered without an object of lenses")
    life = answer.get("expiresIn", USUAL_LIFE)
    if isinstance(life, bool) or not isinstance(life, int | float) or not life > 0:  # NaN is none
        raise ValueError("expiresIn must be a number of seconds")
    found = {}
    for user_id, key in zip(user_ids, keys, strict=True):
        said = lenses.get(str(user_id), "hidden")
        if not isinstance(said, str) or said not in LENSES:
            raise ValueError("a lens must be full, coarse or hidden")
        found[key] = LENSES[said]
    return found, float(min(max(life, 1.0), MAX_LIFE))


def _nobody(_viewer: UserKey, _keys: Sequence[UserKey]) -> None:
    """Before anybody is attached, nobody is told."""
