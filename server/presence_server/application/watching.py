"""Watch and unwatch: answered in order, although what is watched may have to be looked up first.

An engine answers a `follow` at once or later. The edges are added when it does, just before the snapshot that
answers the watch, so that no diff can name a user before it. Meanwhile the session's other watches and unwatches
wait their turn; everything else it says goes on.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from functools import partial
from typing import Final

from presence_protocol.messages import AnyServerMessage, Ok, Snapshot, Unwatch, Watch
from presence_server.application.cursors import Cursor
from presence_server.application.entries import entry_of, parts, unknown
from presence_server.application.fanout import Fanout
from presence_server.application.keys import UserKeys
from presence_server.application.ports import Engine
from presence_server.application.refusals import refusal, unavailable
from presence_server.application.sessions import Session
from presence_server.application.sight import Sight
from presence_server.domain.interest import Interest
from presence_server.domain.model import UserPresence

LOOKUP_TIMEOUT: Final = 10.0
"""Seconds after its watch arrived at which a look-up is answered with 503 and the interest withdrawn."""

MAX_PENDING: Final = 100
"""Watches and unwatches of one session that may wait for a look-up."""


class Lookup:
    """A follow under way for one session. `deadline` is in seconds, as `now` is."""

    __slots__ = ("deadline", "done", "session", "user_ids")

    def __init__(self, session: Session, user_ids: list[int], done: Callable[[bool], None], deadline: float) -> None:
        self.session = session
        self.user_ids = user_ids
        self.done = done
        self.deadline = deadline


class Watching:
    """The edges of all sessions: added, answered, withdrawn."""

    def __init__(
        self,
        engine: Engine,
        interest: Interest,
        fanout: Fanout,
        sight: Sight,
        send: Callable[[Session, AnyServerMessage], None],
        max_watched: int,
        keys: UserKeys,
    ) -> None:
        self._engine = engine
        self._interest = interest
        self._fanout = fanout
        self._sight = sight
        self._send = send
        self._max_watched = max_watched
        self._keys = keys
        self._lookups: dict[Session, Lookup] = {}

    def handle(self, session: Session, message: Watch | Unwatch, now: float) -> None:
        """Answer `message`, now or when its turn comes."""
        if session.lookup is None:
            self._begin(session, message, now)
            return
        if session.pending is None:
            session.pending = deque()
        if len(session.pending) >= MAX_PENDING:
            self._send(session, unavailable(message.id))
        else:
            session.pending.append((message, now))

    def _begin(self, session: Session, message: Watch | Unwatch, now: float) -> None:
        user_ids = self._keys.distinct(message.user_ids, self._max_watched)
        if isinstance(message, Unwatch):
            if user_ids is None:
                reason = f"must be at most {self._max_watched} different ids"
                self._send(session, refusal(400, "invalid_request", "userIds", reason, message.id))
                return
            self._engine.unfollow(self._interest.unwatch(session.slot, user_ids))
            if message.id is not None:
                self._send(session, Ok(id=message.id))
        elif user_ids is None or not self.has_room(session, user_ids):
            reason = f"more than {self._max_watched} watched users in all"
            self._send(session, refusal(400, "too_many_watched", "userIds", reason, message.id))
        else:
            self.watch(session, user_ids, now, partial(self._answer, session, user_ids, message.id))

    def _answer(self, session: Session, user_ids: list[int], id: int | None, known: bool) -> None:
        if known:
            self.send_snapshot(session, self.visible(session, user_ids), id)
        else:
            self._send(session, unavailable(id))

    def has_room(self, session: Session, user_ids: list[int]) -> bool:
        """Whether `session` may watch `user_ids`, which differ, as well."""
        count = self._interest.count(session.slot)
        if count + len(user_ids) <= self._max_watched:
            return True
        watched = set(self._interest.watched(session.slot))
        return count + sum(user_id not in watched for user_id in user_ids) <= self._max_watched

    def watch(self, session: Session, user_ids: list[int], now: float, done: Callable[[bool], None]) -> None:
        """Add edges to those of `user_ids`, which differ, who may be seen. `done` is told once they are there, or not.

        All are keys.
        """
        watched = set(self._interest.watched(session.slot))
        new = [user_id for user_id in self._sight.seen(session.user_id, user_ids) if user_id not in watched]
        lookup = Lookup(session, new, done, now + LOOKUP_TIMEOUT)
        session.lookup = lookup
        self._engine.follow(new, now, partial(self._known, lookup))
        if session.lookup is lookup:
            self._lookups[session] = lookup

    def _known(self, lookup: Lookup, known: bool) -> None:
        session = lookup.session
        if session.lookup is not lookup:
            self._engine.unfollow(lookup.user_ids)  # withdrawn meanwhile
            return
        if known:
            self._interest.watch(session.slot, lookup.user_ids)
        else:
            self._engine.unfollow(lookup.user_ids)
        self._finish(lookup, known)

    def _finish(self, lookup: Lookup, known: bool) -> None:
        session = lookup.session
        session.lookup = None
        self._lookups.pop(session, None)
        lookup.done(known)
        # Whoever finishes at once while these are begun finds none that wait: no recursion, however many there are.
        pending, session.pending = session.pending, None
        while pending and session.lookup is None:
            message, arrived_at = pending.popleft()
            self._begin(session, message, arrived_at)
        if pending and not session.is_over:
            session.pending = pending

    def visible(self, session: Session, user_ids: list[int]) -> Iterable[UserPresence]:
        """The public state of each of `user_ids`, as far as `session` may see it."""
        presence = self._engine.presence
        seen = self._sight.seen(session.user_id, user_ids)
        if seen is user_ids:
            return map(presence, user_ids)
        may_see = set(seen)
        return (presence(user_id) if user_id in may_see else unknown(user_id) for user_id in user_ids)

    def send_snapshot(self, session: Session, presences: Iterable[UserPresence], id: int | None = None) -> None:
        """Send a snapshot in parts, the last with the cursor."""
        pending: Snapshot | None = None
        for part in parts(presences):
            if pending is not None:
                pending.more = True
                self._send(session, pending)
            pending = Snapshot(id=id, statuses=[entry_of(presence, self._keys) for presence in part])
        if pending is not None:
            # Whoever is behind, as one may be who is answered late, was not sent all that is settled.
            seq = session.served if session.behind else self._fanout.settled
            pending.cursor = str(Cursor(self._engine.epoch, seq))
            self._send(session, pending)

    def drop(self, session: Session) -> None:
        """The session ended."""
        session.lookup = session.pending = None
        self._lookups.pop(session, None)
        self._engine.unfollow(self._interest.drop(session.slot))

    def sweep(self, now: float) -> None:
        """Answer the look-ups that took too long, and withdraw their interest."""
        for lookup in [lookup for lookup in self._lookups.values() if lookup.deadline <= now]:
            self._finish(lookup, False)

    def __len__(self) -> int:
        """How many look-ups are under way."""
        return len(self._lookups)
