"""From a device that is held to its `welcome`, and the snapshot that comes with it.

The watch list of a hello has to be known before `welcome` can say whether the cursor is covered. Meanwhile the session
is not read from.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

from presence_protocol.close_codes import CloseCode
from presence_protocol.fields import format_time
from presence_protocol.messages import Hello, Limits, Welcome
from presence_protocol.session import Role, advance
from presence_server.application import refusals
from presence_server.application.common import Common
from presence_server.application.cursors import digest_of, resumable_seq
from presence_server.application.draining import Draining
from presence_server.application.endings import LOSS_CODES
from presence_server.application.entries import self_view_of
from presence_server.application.following import Following
from presence_server.application.hub_limits import HubLimits
from presence_server.application.journal import Journal
from presence_server.application.liveness import Liveness
from presence_server.application.replies import Replies
from presence_server.application.roster import Roster
from presence_server.application.sessions import Session
from presence_server.application.sight import Sight
from presence_server.application.watching import Lookup, Watching
from presence_server.domain.causes import Cause
from presence_server.domain.model import UserKey
from presence_server.domain.transitions import Transition


class Welcoming:
    def __init__(
        self,
        common: Common,
        replies: Replies,
        roster: Roster,
        watching: Watching,
        sight: Sight,
        liveness: Liveness,
        draining: Draining,
        journal: Journal,
        following: Following,
    ) -> None:
        self._replies = replies
        self._engine = common.engine
        self._roster = roster
        self._watching = watching
        self._sight = sight
        self._liveness = liveness
        self._draining = draining
        self._journal = journal
        self._following = following
        self._turn = common.turn
        self._refused = common.refused
        self._user_ids = common.limits.user_ids.name
        self._told_limits = _told(common.limits)
        self._keys = common.keys
        self._clock = common.clock

    def connected(
        self, session: Session, hello: Hello, watch: list[UserKey], now: float, made: Transition | None
    ) -> None:
        """What came of the session's Connect. `watch` are the keys of whom the hello names."""
        if session.is_over:
            return  # it left while the engine was at it; its end was submitted after its beginning
        if made is not None and made.farewell is not None:
            cause, reason = made.farewell
            self._dismissed(session, cause, reason, now)
        elif made is not None and made.is_full:
            self._refused["max_devices"] += 1
            reason = "the user has as many devices as one may have"
            self._replies.close(session, CloseCode.TOO_MANY_DEVICES, reason, now)
        elif made is None or made.device is None:
            self._replies.close(session, CloseCode.UNAVAILABLE, "not available now", now)
        else:
            session.session_number = made.device.session
            self._roster.join(session, hello.client)
            self.watch_first(session, hello, watch, made.continued, now)

    def _dismissed(self, session: Session, cause: Cause, reason: str, now: float) -> None:
        """The session's device was ended while nobody could tell its client, which has come back by itself."""
        code, usual = LOSS_CODES[cause]
        if cause is Cause.REPLACED:
            self._replies.send(session, refusals.replaced(reason))
        self._replies.close(session, code, reason or usual, now)

    def watch_first(self, session: Session, hello: Hello, watch: list[UserKey], continued: bool, now: float) -> None:
        """Look the users up whom the hello names, then welcome the session."""
        watched = None if hello.watch is None else watch
        answer = partial(self._welcome, session, hello.id, watched, hello.cursor, continued, now)
        if watch:
            self._watching.watch(session, watch, now, answer)
        else:
            for _ in answer(None, True):
                pass

    def _welcome(
        self,
        session: Session,
        id: int | None,
        watched: list[UserKey] | None,
        given: str | None,
        continued: bool,
        now: float,
        lookup: Lookup | None,
        known: bool,
    ) -> Iterator[None]:
        """`given` is the cursor of the hello. Without a `lookup` there is nobody to watch."""
        watching = self._watching
        seq = resumable_seq(self._engine, given, partial(digest_of, watched or ())) if known else None
        if seq is not None and not self._sight.covers(session.viewer, seq):
            seq = None
        session.state = advance(Role.SERVER, session.state, "welcome")
        self._liveness.start_pings(session, now)
        self._journal.began(session, now)
        follows = session in self._following
        resumed = self._following.resumes(session) if follows else seq is not None
        self._replies.send(session, self._words(session, id, continued, resumed))
        if not known:
            self._replies.send(session, watching.refusal(lookup, None))
        elif lookup is not None and watched is not None:
            if seq is None:
                yield from watching.tell(lookup, watched, None)
            else:
                yield from watching.tell_changed(lookup, seq)
        elif watched is not None:
            watching.tell_nothing(session)
        if follows:
            self._following.begin(session)
        if self._draining.is_on:
            self._draining.ask(session)  # it was being greeted when all others were asked
        self._turn.read_on(session)

    def _words(self, session: Session, id: int | None, continued: bool, resumed: bool) -> Welcome:
        # The truth goes out with `welcome`; an event about it that is still due would only repeat it.
        truth = self_view_of(self._engine.truth(session.user_id), self._keys) if session.user_id else None
        return Welcome(
            id=id,
            session_id=self._engine.session_id(session.session_number),
            server_time=format_time(int(self._clock.utc())),
            continued=continued,
            resumed=resumed,
            self_=truth,
            limits=self._told_limits,
            user_ids=self._user_ids,
        )


def _told(limits: HubLimits) -> Limits:
    """What every client is told of them."""
    return Limits(
        ping_interval=int(limits.times.ping_interval * 1000),
        pong_timeout=int(limits.times.pong_timeout * 1000),
        max_watched=limits.max_watched,
        max_message=limits.max_message,
        max_batch=limits.max_batch,
    )
