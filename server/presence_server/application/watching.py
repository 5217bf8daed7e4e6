"""Watch and unwatch: answered in order, although what is watched may have to be looked up first.

An engine answers a `follow` at once or later. The edges are added when it does, and the snapshot that answers the watch
is begun, so that no diff can name a user before it. Meanwhile the session's other watches and unwatches
wait their turn; everything else it says goes on. Long lists are seen to piece by piece (see `slices`).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from functools import partial
from typing import Final

from presence_protocol.messages import Error, Ok, Snapshot, Unwatch, Watch
from presence_server.application.allowances import TooMuch
from presence_server.application.answering import Answering
from presence_server.application.ceilings import Ceilings
from presence_server.application.common import Common
from presence_server.application.cursors import Cursor
from presence_server.application.edges import Edges
from presence_server.application.entries import entry_of
from presence_server.application.fanout import Fanout
from presence_server.application.permissions import Permissions
from presence_server.application.refusals import refusal, too_much, unavailable
from presence_server.application.replies import Replies
from presence_server.application.sessions import Session
from presence_server.application.sight import Sight
from presence_server.application.slices import messages, pieces
from presence_server.domain.interest import Interest
from presence_server.domain.lenses import key_of
from presence_server.domain.model import UserKey, UserPresence

LOOKUP_TIMEOUT: Final = 10.0
"""Seconds after its watch arrived at which a look-up is answered with 503 and the interest withdrawn."""

MAX_PENDING: Final = 100
"""Watches and unwatches of one session that may wait for a look-up."""


class Lookup:
    """A watch or unwatch of one session from its beginning to its answer. `deadline` is in seconds, as `now` is.

    It is about `size` users. `user_ids` are those who are followed for it.
    """

    __slots__ = ("answer", "deadline", "over", "session", "size", "user_ids")

    def __init__(
        self, session: Session, size: int, user_ids: list[UserKey], answer: WatchAnswer, deadline: float
    ) -> None:
        self.session = session
        self.size = size
        self.user_ids = user_ids
        self.answer = answer
        self.over: TooMuch | None = None  # the limit that refuses it
        self.deadline = deadline


WatchAnswer = Callable[[Lookup, bool], Iterator[None]]
"""The steps that answer a watch, given whether its users are known."""


class Watching:
    """The edges of all sessions: added, answered, withdrawn."""

    def __init__(
        self,
        common: Common,
        interest: Interest,
        fanout: Fanout,
        sight: Sight,
        edges: Edges,
        permissions: Permissions,
        replies: Replies,
        answering: Answering,
        ceilings: Ceilings,
    ) -> None:
        self._views = common.views
        self._interest = interest
        self._fanout = fanout
        self._sight = sight
        self._edges = edges
        self._permissions = permissions
        self._replies = replies
        self._answering = answering
        self._max_watched = common.limits.max_watched
        self._keys = common.keys
        self._part_bytes = common.part_bytes
        self.refused = 0
        """Messages that were refused for more than `max_watched`."""
        self._ceilings = ceilings
        self._lookups: dict[Session, Lookup] = {}

    def handle(self, session: Session, message: Watch | Unwatch, now: float) -> None:
        """Answer `message`, now or when its turn comes."""
        if session.lookup is None:
            self._begin(session, message, now)
            return
        if session.pending is None:
            session.pending = deque()
        if len(session.pending) >= MAX_PENDING:
            self._replies.send(session, unavailable(message.id))
        else:
            session.pending.append((message, now))

    def _begin(self, session: Session, message: Watch | Unwatch, now: float) -> None:
        user_ids = self._keys.distinct(message.user_ids, self._max_watched)
        if isinstance(message, Unwatch):
            if user_ids is None:
                self.refused += 1
                reason = f"must be at most {self._max_watched} different ids"
                self._replies.send(session, refusal(400, "invalid_request", "userIds", reason, message.id))
                return
            answer = partial(self._unwatch, user_ids, message.id)
            self._run(Lookup(session, len(user_ids), [], answer, now), True)
        elif user_ids is None or not self.has_room(session, user_ids):
            self.refused += 1
            reason = f"more than {self._max_watched} watched users in all"
            self._replies.send(session, refusal(400, "too_many_watched", "userIds", reason, message.id))
        else:
            self.watch(session, user_ids, now, partial(self._answer, user_ids, message.id))

    def has_room(self, session: Session, user_ids: list[UserKey]) -> bool:
        """Whether `session` may watch `user_ids`, which differ, as well."""
        room = self._max_watched - self._interest.count(session.slot)
        return len(user_ids) <= room or len(self._edges.missing(session.slot, user_ids)) <= room

    def watch(self, session: Session, user_ids: list[UserKey], now: float, answer: WatchAnswer) -> None:
        """Follow `user_ids`, which differ, and do the steps of `answer`. All are keys.

        Those who may not be seen are followed as well: it may change, and takes as long as for those who never came.
        """
        lookup = Lookup(session, len(user_ids), [], answer, now + LOOKUP_TIMEOUT)
        session.lookup = self._lookups[session] = lookup
        self._sight.learn(session.viewer, user_ids, now, partial(self._learned, lookup, user_ids, now))

    def _learned(self, lookup: Lookup, user_ids: list[UserKey], now: float, seconds: float | None) -> None:
        """It is known how the session sees them."""
        if self._lookups.get(lookup.session) is not lookup:
            return  # withdrawn meanwhile
        new = self._edges.missing(lookup.session.slot, user_ids)
        if (over := self._ceilings.edges(self._interest, new)) is not None:
            lookup.over = over
            del self._lookups[lookup.session]
            self._run(lookup, False)
            return
        lookup.user_ids = new
        self._views.follow(lookup.user_ids, now, partial(self._known, lookup, now, seconds))

    def _known(self, lookup: Lookup, asked_at: float, seconds: float | None, known: bool) -> None:
        """The lenses hold for so many seconds since `asked_at`, which may be over: the engine had its time as well."""
        if self._lookups.get(lookup.session) is not lookup:
            self._views.unfollow(lookup.user_ids)  # withdrawn meanwhile
            return
        del self._lookups[lookup.session]
        if known:
            self._edges.add(lookup.session.slot, lookup.session.viewer, lookup.user_ids)
            self._permissions.hold_for(
                lookup.session.viewer, seconds, asked_at
            )  # not before there is an edge to look at again
        else:
            self._views.unfollow(lookup.user_ids)
        self._run(lookup, known)

    def _run(self, lookup: Lookup, known: bool) -> None:
        """Answer: at once what is brief, else piece by piece."""
        session = lookup.session
        session.lookup = lookup
        steps = self._carry_out(lookup, known)
        if self._answering.is_at_once(lookup.size):
            for _ in steps:
                pass
        else:
            self._answering.begin(session, steps)

    def _carry_out(self, lookup: Lookup, known: bool) -> Iterator[None]:
        yield from lookup.answer(lookup, known)
        self._finish(lookup)

    def _finish(self, lookup: Lookup) -> None:
        session = lookup.session
        session.lookup = None
        # Whoever finishes at once while these are begun finds none that wait: no recursion, however many there are.
        pending, session.pending = session.pending, None
        while pending and session.lookup is None:
            message, arrived_at = pending.popleft()
            self._begin(session, message, arrived_at)
        if pending and not session.is_over:
            session.pending = pending

    def _unwatch(self, user_ids: list[UserKey], id: int | None, lookup: Lookup, _known: bool) -> Iterator[None]:
        session = lookup.session
        for piece, is_last in pieces(user_ids):
            self._views.unfollow(self._edges.unwatch(session.slot, piece))
            if not is_last:
                yield
        if id is not None:
            self._replies.send(session, Ok(id=id))

    def _answer(self, user_ids: list[UserKey], id: int | None, lookup: Lookup, known: bool) -> Iterator[None]:
        if known:
            yield from self.tell(lookup, user_ids, id)
        else:
            self._replies.send(lookup.session, self.refusal(lookup, id))

    @staticmethod
    def refusal(lookup: Lookup | None, id: int | None) -> Error:
        """What to say of a watch that could not be carried out."""
        return unavailable(id) if lookup is None or lookup.over is None else too_much(lookup.over, id)

    def tell(self, lookup: Lookup, user_ids: list[UserKey], id: int | None) -> Iterator[None]:
        """Send a snapshot of `user_ids`, the last part with the cursor."""
        session = lookup.session
        for piece, is_last in pieces(user_ids):
            yield from self._tell_piece(session, piece, is_last, id)

    def tell_changed(self, lookup: Lookup, seq: int) -> Iterator[None]:
        """Send a snapshot of those watched who changed since `seq`."""
        session = lookup.session
        changed = self._views.changed_since(self._interest.watched(session.slot), seq)
        for piece, is_last in pieces([key_of(presence.user_id) for presence in changed]):
            yield from self._tell_piece(session, piece, is_last, None)

    def _tell_piece(self, session: Session, user_ids: list[UserKey], is_last: bool, id: int | None) -> Iterator[None]:
        """One piece of a snapshot, read now, through the lenses that hold now, and when a part of it is sent."""
        viewer, sight = session.viewer, self._sight
        stamp = sight.stamp(viewer)
        presences = map(self._views.presence, sight.topics(viewer, user_ids))
        for part, more in messages(presences, is_last, self._part_bytes):
            self._send_part(session, part if sight.stamp(viewer) == stamp else sight.still(viewer, part), more, id)
            if more:
                yield

    def tell_nothing(self, session: Session) -> None:
        """A snapshot of nobody, for its cursor."""
        self._send_part(session, [], False, None)

    def _send_part(self, session: Session, part: list[UserPresence], more: bool, id: int | None) -> None:
        cursor = None
        if not more:
            # Whoever is behind, as all are who are answered piece by piece, was not sent all that is settled.
            seq = session.served if session.behind else self._fanout.settled
            cursor = str(Cursor(self._views.epoch, seq))
        statuses = [entry_of(presence, self._keys) for presence in part]
        self._replies.send(session, Snapshot(id=id, statuses=statuses, more=more, cursor=cursor))

    def drop(self, session: Session) -> None:
        """The session ended."""
        session.lookup = session.pending = None
        self._lookups.pop(session, None)
        self._views.unfollow(self._edges.drop(session.slot))

    def sweep(self, now: float) -> None:
        """Answer the look-ups that took too long, and withdraw their interest."""
        for lookup in [lookup for lookup in self._lookups.values() if lookup.deadline <= now]:
            del self._lookups[lookup.session]
            self._run(lookup, False)

    def __len__(self) -> int:
        """How many look-ups are under way."""
        return len(self._lookups)
