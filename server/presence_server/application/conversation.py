"""What each message of a client does. One method a message; `handlers` is the table.

The hub has already made sure that the message is allowed in the session's state.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, Final

from presence_protocol.close_codes import CloseCode
from presence_protocol.messages import (
    FEED_WATCHES,
    Activity,
    Auth,
    Bye,
    Hello,
    Ok,
    Ping,
    Pong,
    Query,
    SetStatus,
    Statuses,
    Unwatch,
    Watch,
)
from presence_server.application import refusals, slices
from presence_server.application.answering import Answering
from presence_server.application.common import Common
from presence_server.application.entries import entry_of
from presence_server.application.following import Following
from presence_server.application.greeting import Greeting
from presence_server.application.lookups import look_up
from presence_server.application.metering import Metering
from presence_server.application.replies import Replies
from presence_server.application.sessions import Session
from presence_server.application.sight import Sight
from presence_server.application.slices import messages
from presence_server.application.watching import Watching
from presence_server.application.words import INVISIBLE_FORBIDDEN, check_word, word_of
from presence_server.domain.model import Shown, Status, UserKey
from presence_server.domain.transitions import Say, SetActivity, Transition

LEAST_ENTRY: Final = 160
"""Bytes that `messages` allows for an entry at least: no more users are looked up than may fit a part."""

Handler = Callable[[Session, Any, float], None]


class Handlers(dict[type[Any], Handler]):
    """By class of message. A class that is a variant of another is looked up once."""

    def __missing__(self, message: type[Any]) -> Handler:
        handler = self[message] = self[message.__base__]  # type: ignore[index]
        return handler


class Conversation:
    def __init__(
        self,
        common: Common,
        replies: Replies,
        greeting: Greeting,
        watching: Watching,
        answering: Answering,
        sight: Sight,
        metering: Metering,
        following: Following,
    ) -> None:
        self._replies = replies
        self._engine = common.engine
        self._watching = watching
        self._answering = answering
        self._sight = sight
        self._metering = metering
        self._following = following
        self._limits = common.limits
        self._refused = common.refused
        self._part_bytes = common.part_bytes
        self._keys = common.keys
        self._clock = common.clock
        self.handlers: Final = Handlers(
            {
                Hello: greeting.hello,
                Auth: greeting.auth,
                Watch: self.watch,
                Unwatch: self.watch,
                SetStatus: self.status,
                Activity: self.activity,
                Query: self.query,
                Ping: self.ping,
                Bye: self.bye,
            }
        )

    def watch(self, session: Session, message: Watch | Unwatch, now: float) -> None:
        if not self._may_watch(session, message.id):
            return
        if session in self._following:
            self._replies.send(session, refusals.refusal(400, "invalid_request", "type", FEED_WATCHES, message.id))
            return
        if session.purse is not None:
            over = session.purse.watches(len(message.user_ids), now)
            if not self._metering.may_have(session, over, message.id, now):
                return
        self._watching.handle(session, message, now)

    def status(self, session: Session, message: SetStatus, now: float) -> None:
        if not (self._has_device(session, message.id) and self._may_change(session, message.id, now)):
            return
        word = word_of(message)
        wrong = check_word(word, self._clock.utc())
        if wrong is not None:
            self._replies.send(session, refusals.refusal(400, "invalid_request", *wrong, message.id))
        elif word.status is Status.OFFLINE and not self._limits.allows_invisible:
            self._replies.send(session, refusals.refusal(403, "forbidden", *INVISIBLE_FORBIDDEN, message.id))
        else:
            self._engine.submit(Say(session.user_id, word), now, partial(self._answer, session, message.id))

    def activity(self, session: Session, message: Activity, now: float) -> None:
        if not (self._has_device(session, message.id) and self._may_change(session, message.id, now)):
            return
        idle_for = None if message.idle_for_ms is None else message.idle_for_ms / 1000
        wanted = SetActivity(session.user_id, session.device_id, session.number, message.idle, idle_for, message.busy)
        self._engine.submit(wanted, now, partial(self._answer, session, message.id))

    def _has_device(self, session: Session, id: int | None) -> bool:
        if session.user_id:
            return True
        self._replies.send(
            session, refusals.refusal(403, "forbidden", "type", "an observer has no user and no device", id)
        )
        return False

    def _may_change(self, session: Session, id: int | None, now: float) -> bool:
        if session.purse is None or (over := session.purse.status(now)) is None:
            return True
        return self._metering.may_have(session, over, id, now)

    def _answer(self, session: Session, id: int | None, made: Transition | None) -> None:
        if made is None or made.is_refused:
            self._refused["max_unseen"] += made is not None
            self._replies.send(session, refusals.unavailable(id))
        elif made.wrong is not None:
            self._replies.send(session, refusals.refusal(400, "invalid_request", *made.wrong, id))
        elif id is not None:
            self._replies.send(session, Ok(id=id))

    def query(self, session: Session, message: Query, now: float) -> None:
        if len(message.user_ids) > self._limits.max_batch:
            self._refused["max_batch"] += 1
            reason = f"must be at most {self._limits.max_batch} ids"
            self._replies.send(session, refusals.refusal(400, "invalid_request", "userIds", reason, message.id))
        elif self._may_watch(session, message.id) and self._may_ask(session, message, now):
            self._ask(session, message.id, self._keys.keys(message.user_ids), 0, now)

    def _may_ask(self, session: Session, message: Query, now: float) -> bool:
        if session.purse is None:
            return True
        over = session.purse.queries(len(message.user_ids), now)
        return self._metering.may_have(session, over, message.id, now)

    def _may_watch(self, session: Session, id: int | None) -> bool:
        denied = None if session.principal is None else session.principal.may_watch()
        if denied is not None:
            self._replies.send(session, refusals.denied(denied, id))
        return denied is None

    def _ask(self, session: Session, id: int | None, user_ids: list[UserKey], start: int, now: float) -> None:
        """Ask for those from `start` on: for all if they are few, else for the next piece, when it is its turn."""
        if self._answering.is_at_once(len(user_ids)):
            self._look_up(session, id, user_ids, start, now)
        else:
            self._answering.begin(session, _one_step(partial(self._look_up, session, id, user_ids, start, now)))

    def _look_up(self, session: Session, id: int | None, user_ids: list[UserKey], start: int, now: float) -> None:
        piece = user_ids[start : start + min(slices.PIECE, self._part_bytes // LEAST_ENTRY)]
        done = partial(self._tell, session, id, user_ids, start, now)
        look_up(self._engine, self._clock, self._sight, session.viewer, piece, now, done)

    def _tell(
        self,
        session: Session,
        id: int | None,
        user_ids: list[UserKey],
        start: int,
        now: float,
        found: list[Shown] | None,
    ) -> None:
        if found is None:
            self._replies.send(session, refusals.unavailable(id))
            return
        # One part: the next is made once this one has gone out.
        part, _ = messages((shown.presence for shown in found), True, self._part_bytes)[0]
        start += len(part)
        more = start < len(user_ids)
        self._replies.send(
            session, Statuses(id=id, statuses=[entry_of(presence, self._keys) for presence in part], more=more)
        )
        if more:
            self._answering.begin(session, _one_step(partial(self._look_up, session, id, user_ids, start, now)))

    def ping(self, session: Session, message: Ping, now: float) -> None:
        self._replies.send(session, Pong(id=message.id))

    def bye(self, session: Session, message: Bye, now: float) -> None:
        self._replies.close(session, CloseCode.NORMAL, "bye", now)


def _one_step(step: Callable[[], None]) -> Iterator[None]:
    step()
    yield from ()
