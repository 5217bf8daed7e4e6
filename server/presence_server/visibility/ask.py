"""The application is asked who may see whom.

It is sent `{"viewer": 10001, "userIds": [10002, 10003]}`, 1,000 ids at most, and answers 200 with
`{"lenses": {"10002": "full", "10003": "coarse"}, "expiresIn": 60}`. Whoever it does not name is hidden. So is everybody
who was asked about while it fails or is silent: they are asked about again soon.

What was answered is remembered, also past its lifetime, so that a different answer is noticed; the oldest viewers go
first. Questions of one viewer within one turn of the loop go together. Of each viewer and user there is one question
under way at most.
"""

from __future__ import annotations

import asyncio
import json
from collections import OrderedDict
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final

import httpx

from presence_protocol.user_ids import UserId
from presence_server.application.keys import UserKeys
from presence_server.application.ports import Changed
from presence_server.domain.lenses import Lens
from presence_server.domain.model import UserKey
from presence_server.logs import get_logger

TIMEOUT: Final = 5.0
"""Seconds for a whole answer."""

MAX_ASKED: Final = 1_000
"""Ids in one question."""

MAX_ANSWER: Final = 262_144
MAX_LIFE: Final = 3_600.0
"""Seconds that an answer is believed, whatever it says."""

USUAL_LIFE: Final = 60.0
"""Seconds that an answer is believed which does not say for how long."""

FAILED_LIFE: Final = 5.0
"""Seconds for which nobody is asked again after a failure."""

MAX_ASKING: Final = 32
"""Questions on the wire at once; others wait for their turn."""

MAX_WAITING: Final = 10_000
"""Questions that wait; of more, all that is asked about is hidden for now."""

REMEMBERED: Final = 1_000_000
"""Answers that are remembered, of all viewers together."""

LENSES: Final = {"full": Lens.FULL, "coarse": Lens.COARSE, "hidden": Lens.HIDDEN}

Told = Callable[[float | None], None]

_log = get_logger(__name__)


class _Question:
    """What is asked at once about one viewer, and whom to tell that it was answered."""

    __slots__ = ("keys", "waiting")

    def __init__(self) -> None:
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


class AskApplication:
    """A `Visibility`. Belongs to one event loop from `start` to `stop`."""

    is_open = False

    def __init__(self, url: str, keys: UserKeys, now: Callable[[], float]) -> None:
        self._url = url
        self._keys = keys
        self._now = now
        self._client: httpx.AsyncClient | None = None
        self._known: OrderedDict[UserKey, dict[UserKey, tuple[Lens, float]]] = OrderedDict()
        self._count = 0
        self._open: dict[UserKey, _Question] = {}  # by viewer: not sent yet, and has room
        self._under_way: dict[tuple[UserKey, UserKey], _Question] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._room = asyncio.Semaphore(MAX_ASKING)
        self._changed: Changed = _nobody

    async def start(self) -> None:
        self._client = httpx.AsyncClient(timeout=TIMEOUT)

    async def stop(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._client is not None:
            await self._client.aclose()

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
        if unknown and (self._client is None or len(self._tasks) >= MAX_WAITING):
            self._learned(viewer, dict.fromkeys(unknown, Lens.HIDDEN), now + FAILED_LIFE)
        elif unknown:
            for question in dict.fromkeys(self._question(viewer, key) for key in unknown):
                question.waiting.append(waiting)
                waiting.left += 1
            return
        self._tell(waiting)

    def _question(self, viewer: UserKey, key: UserKey) -> _Question:
        """The question that is to be or was asked about this pair."""
        under_way = self._under_way.get((viewer, key))
        if under_way is not None:
            return under_way
        question = self._open.get(viewer)
        if question is None or len(question.keys) >= MAX_ASKED:
            question = self._open[viewer] = _Question()
            task = asyncio.ensure_future(self._ask(viewer, question))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        question.keys[key] = None
        self._under_way[viewer, key] = question
        return question

    async def _ask(self, viewer: UserKey, question: _Question) -> None:
        made: dict[UserKey, Lens] = {}
        life = FAILED_LIFE
        try:
            async with self._room:
                if self._open.get(viewer) is question:
                    del self._open[viewer]
                user_ids = [self._keys.user_id(key) for key in question.keys]
                answer = await self._answer({"viewer": self._keys.user_id(viewer), "userIds": user_ids})
            made, life = _lenses(answer, user_ids, question.keys)
        except (httpx.HTTPError, TimeoutError, ValueError, RecursionError) as failure:
            _log.warning("the application does not say who may see whom", reason=str(failure) or type(failure).__name__)
        finally:
            for key in question.keys:
                self._under_way.pop((viewer, key), None)
        now = self._now()
        self._learned(viewer, {key: made.get(key, Lens.HIDDEN) for key in question.keys}, now + life)
        for waiting in question.waiting:
            waiting.left -= 1
            if not waiting.left:
                self._tell(waiting)

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

    async def _answer(self, question: dict[str, Any]) -> Any:
        assert self._client is not None
        received = bytearray()
        async with asyncio.timeout(TIMEOUT), self._client.stream("POST", self._url, json=question) as answer:
            if answer.status_code != 200:
                raise ValueError(f"answered {answer.status_code}")
            async for chunk in answer.aiter_bytes():
                received += chunk
                if len(received) > MAX_ANSWER:
                    raise ValueError(f"answered more than {MAX_ANSWER} bytes")
        return json.loads(received)


def _lenses(answer: Any, user_ids: Sequence[UserId], keys: Iterable[UserKey]) -> tuple[dict[UserKey, Lens], float]:
    """The lens of each key, and for how many seconds it holds. Raises ValueError: it is no answer."""
    lenses = answer.get("lenses") if isinstance(answer, dict) else None
    if not isinstance(lenses, dict):
        raise ValueError("answered without an object of lenses")
    life = answer.get("expiresIn", USUAL_LIFE)
    if isinstance(life, bool) or not isinstance(life, int | float) or life <= 0:
        raise ValueError("expiresIn must be a number of seconds")
    found = {}
    for user_id, key in zip(user_ids, keys, strict=True):
        said = lenses.get(str(user_id), "hidden")
        if said not in LENSES:
            raise ValueError("a lens must be full, coarse or hidden")
        found[key] = LENSES[said]
    return found, min(max(float(life), 1.0), MAX_LIFE)


def _nobody(_viewer: UserKey, _keys: Sequence[UserKey]) -> None:
    """Before anybody is attached, nobody is told."""
