"""The one place where a transition meets its watchers.

Every message of every connection comes in through `handle`, every event of the engine through `receive`, time
through `sweep`. What is to go out goes into the turn (see `turn`). All is synchronous: between two awaits, the table,
the index and what was written agree.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from functools import partial
from random import Random
from typing import Final, NamedTuple

from presence_protocol.close_codes import CloseCode, ends_device
from presence_protocol.errors import InvalidMessage, OutOfTurn, Refused
from presence_protocol.messages import (
    Activity,
    AnyClientMessage,
    AnyServerMessage,
    Bye,
    Ping,
    Snapshot,
    Statuses,
)
from presence_protocol.session import CLOSE, Role, State, advance, event_of
from presence_server.application import refusals
from presence_server.application.admission import Admission
from presence_server.application.allowances import Allowances
from presence_server.application.answering import Answering
from presence_server.application.catchup import CatchUp
from presence_server.application.ceilings import Ceilings
from presence_server.application.common import Common
from presence_server.application.conversation import Conversation
from presence_server.application.credentials import Credentials
from presence_server.application.dismissals import Dismissals
from presence_server.application.draining import Draining
from presence_server.application.edges import Edges
from presence_server.application.endings import DEAD_REASON, FAILURE_CODES, FAILURE_LIMITS, LEAVING_CAUSES
from presence_server.application.entries import part_bytes
from presence_server.application.fanout import Fanout
from presence_server.application.feed import Feed
from presence_server.application.following import Following
from presence_server.application.greeting import Greeting
from presence_server.application.hub_limits import HubLimits
from presence_server.application.journal import Journal, NoJournal
from presence_server.application.keys import UserKeys
from presence_server.application.liveness import LinkFailure, Liveness
from presence_server.application.lookups import Found, look_up
from presence_server.application.metering import Metering
from presence_server.application.permissions import Permissions
from presence_server.application.ports import (
    Authenticator,
    Clock,
    Done,
    Engine,
    EngineEvent,
    Link,
    Peer,
    TruthChanged,
    Visibility,
    Wanted,
    unheard,
)
from presence_server.application.principals import Denied, Principal
from presence_server.application.privacy import Privacy
from presence_server.application.publishing import Publishing
from presence_server.application.roster import Roster
from presence_server.application.sessions import Session
from presence_server.application.sight import Sight
from presence_server.application.truths import Truths
from presence_server.application.turn import Turn
from presence_server.application.views import Views
from presence_server.application.watching import Watching
from presence_server.application.welcoming import Welcoming
from presence_server.domain.causes import Cause
from presence_server.domain.interest import Interest
from presence_server.domain.model import Change, UserKey
from presence_server.domain.transitions import (
    AnyTransition,
    Disconnect,
    Leave,
)

STALL: Final = 1.0
"""Seconds without a sweep after which one is skipped, so that sockets are read before anything expires. One, and not
the next as well: sockets were read in between, and a loop that is always late must still let things expire."""

_LIVE: Final = State.LIVE  # see `sessions`
_CLOSING: Final = State.CLOSING
_LEFT: Final = Cause.LEFT

SILENT: Final = (Ping, Activity, Bye)
"""Messages that do not end inferred idleness: a ping is no activity, and the others settle it themselves."""

WITH_ENTRIES: Final = (Snapshot, Statuses)
"""Messages that may tell a version: what waits for its slice goes out before them, so that no version goes back."""


class HubStatistics(NamedTuple):
    sessions: int
    observers: int
    users_with_sessions: int
    behind: int
    held_changes: int
    lookups: int
    messages: int
    changes: int


class Hub:
    def __init__(
        self,
        engine: Engine,
        interest: Interest,
        fanout: Fanout,
        views: Views,
        authenticator: Authenticator,
        visibility: Visibility,
        limits: HubLimits,
        clock: Clock,
        keys: UserKeys,
        random: Random,
        turn: Turn,
        allowances: Allowances | None = None,
        ceilings: Ceilings | None = None,
        admission: Admission | None = None,
        is_reciprocal: bool = False,
        journal: Journal | None = None,
        has_time: Callable[[], bool] | None = None,
        feed: Feed | None = None,
    ) -> None:
        """`is_reciprocal`: see `Sight`. `has_time`: see `Answering`. `feed`: of the engine, if it keeps one."""
        self.engine = engine
        self.interest = interest
        self.fanout = fanout
        self.visibility = visibility
        self.turn = turn
        self.limits = limits
        self.clock = clock
        self.keys = keys
        self.allowances = allowances
        self.ceilings = ceilings or Ceilings()
        self.admission = admission or Admission(0.0, 0.0)
        self.refused: Counter[str] = Counter()
        """What was refused for a limit, by the setting's name."""
        self._journal = journal or NoJournal()
        self.common = Common(engine, views, turn, clock, keys, limits, self.refused, part_bytes(limits.max_message))
        self.roster = Roster()
        self.liveness = Liveness(limits.times, turn)
        self.draining = Draining(self.roster, self, random)
        self.credentials = Credentials(authenticator, allowances, self, clock)
        self.sight = Sight(visibility, engine, views, Privacy(), is_reciprocal)
        self.edges = Edges(interest, self.sight)
        self.publishing = Publishing(engine, interest, fanout, self.sight, turn, limits.min_publish_interval)
        self._truths = Truths(engine, self.roster, fanout, self, keys)
        self._catchup = CatchUp(self.common, interest, fanout, self.sight)
        self.answering = Answering(self._catchup, self._truths, turn, clock, has_time)
        self.permissions = Permissions(
            self.common, self.sight, self.edges, fanout, self._catchup, self.roster, self.answering, self
        )
        self.watching = Watching(
            self.common, interest, fanout, self.sight, self.edges, self.permissions, self, self.answering, self.ceilings
        )
        self._following = Following(self.common, self, self.answering, feed)
        self._metering = Metering(self)
        self.dismissals = Dismissals(self.common, self.roster, self, self.permissions)
        self._handlers = self._conversation().handlers
        self._last_sweep, self._is_skipping = float("-inf"), False
        self._messages = self._changes = 0
        turn.before_end = self._tell_what_is_due
        fanout.before_flush = self._truths.ride
        engine.attach(self.receive)

    def _conversation(self) -> Conversation:
        common, metering, sight, following = self.common, self._metering, self.sight, self._following
        welcoming = Welcoming(
            common, self, self.roster, self.watching, sight, self.liveness, self.draining, self._journal, following
        )
        who, admission, ceilings = self.credentials, self.admission, self.ceilings
        greeting = Greeting(
            common, self, who, self.permissions, welcoming, self.draining, metering, admission, ceilings, following
        )
        return Conversation(common, self, greeting, self.watching, self.answering, sight, metering, following)

    # -- entries: connections ------------------------------------------------------------------------------------

    def open(self, link: Link, codec_number: int, peer: Peer, now: float) -> Session:
        """A connection was accepted; it has yet to say hello."""
        session = Session(self.engine.next_number(), 0, codec_number, link, peer, now)
        session.slot = self.fanout.attach(session, codec_number)
        self.roster.add(session)
        self.liveness.add(session, now)
        return session

    def heard(self, session: Session, now: float) -> None:
        """Something arrived on the session's link, and may be no message, or not yet."""
        session.heard = now
        if session.user_id and session.state is _LIVE:
            self.engine.touch(session.user_id, session.device_id, session.number, now, spoke=False)

    def handle(self, session: Session, message: AnyClientMessage, now: float) -> None:
        """Act on what a client said. A session that is over is not listened to any more."""
        with self.turn:
            self._messages += 1
            session.heard = now
            if session.is_over:
                return
            try:
                state = advance(Role.SERVER, session.state, event_of(message))
            except Refused as refused:
                reason = f"{refused.event} may be sent only once"
                self.send(session, refusals.refusal(400, refused.error, "type", reason, message.id))
            except OutOfTurn:
                self.close(session, CloseCode.MALFORMED, "the first message must be a hello", now)
            else:
                spoke = not isinstance(message, SILENT)
                if session.user_id and (spoke or state is _LIVE):
                    self.engine.touch(session.user_id, session.device_id, session.number, now, spoke)
                if state < _CLOSING:  # a bye is closed by its handler
                    session.state = state
                if session.purse is not None and self._metering.is_over(session, session.purse, message, now):
                    return
                self._handlers[type(message)](session, message, now)

    def refuse(self, session: Session, failure: InvalidMessage, now: float) -> None:
        """A message was read, but something in it is wrong."""
        with self.turn:
            self.heard(session, now)
            if session.state is State.OPEN:
                self.close(session, CloseCode.MALFORMED, f"not a valid hello: {failure}", now)
            elif not (
                session.is_over
                or (session.purse is not None and self._metering.is_over(session, session.purse, failure, now))
            ):
                self.send(session, refusals.invalid(failure))

    def fail(self, session: Session, code: CloseCode, reason: str, now: float) -> None:
        """What arrived cannot be taken for a message."""
        with self.turn:
            self.close(session, code, reason, now)

    def lost(self, session: Session, code: int, now: float, reason: str | None = None) -> None:
        """The client closed with `code` (1005: without one), or the link dropped (1006).

        `reason`: why the transport has closed it with `code`; None if it has not.
        """
        with self.turn:
            self._end(session, code, now, reason)

    def blocked(self, session: Session, now: float) -> None:
        """The session's connection takes no more for now."""
        if not session.is_over:
            self._catchup.block(session, now)
            self.liveness.block(session)

    def unblocked(self, session: Session, now: float) -> None:
        """The session's connection can be written to again."""
        with self.turn:
            if not session.is_over:
                self._catchup.unblock(session)
                self.liveness.unblock(session, now)
                self.answering.catch_up(now)
                if session.can_go_on:
                    self.turn.read_on(session)

    def go_on(self, session: Session, now: float) -> None:
        """Do the next step of what the session is being answered (see `slices`): it has a turn, and room."""
        with self.turn:
            self.answering.go_on(session, now)

    # -- entries: the engine, time, back ends ----------------------------------------------------------------------

    def receive(self, event: EngineEvent, now: float) -> None:
        """The one entry for what the engine has to tell."""
        if isinstance(event, Change):
            self._changes += 1
            self.publishing.publish(event, now)
        elif isinstance(event, TruthChanged):
            self._truths.changed(event)
        else:
            self.dismissals.evict(event, now)
        self.turn.note()

    def submit(self, transition: AnyTransition, now: float, done: Done) -> None:
        """A back end's transition."""
        with self.turn:
            self.engine.submit(transition, now, done)

    def lookup(
        self, viewer: UserKey, user_ids: list[UserKey], now: float, done: Found, with_devices: bool = False
    ) -> None:
        """What `viewer` may ask of each of `user_ids`, in their order; None if it cannot be had now. All are keys."""
        look_up(self.engine, self.clock, self.sight, viewer, user_ids, now, done, with_devices)

    def authenticate(
        self, peer: Peer, token: str | None, wanted: Wanted, now: float, done: Callable[[Principal | Denied], None]
    ) -> None:
        """Tell `done` who `peer` is, at once or later."""
        self.credentials.authenticate(peer, token, wanted, now, done)

    def hear_truths(self, hear: Callable[[UserKey], None] | None) -> None:
        """Tell `hear` of each user whose truth has changed from now on, before anybody else; None: nobody."""
        self._truths.hear = hear

    def sweep(self, now: float) -> None:
        """Let what is due happen. To be called some ten times a second."""
        with self.turn:
            # The first sweep is skipped as well: nobody knows what was before it.
            self._is_skipping = now - self._last_sweep > STALL and not self._is_skipping
            self._last_sweep = now
            if self._is_skipping:
                return
            self.answering.catch_up(now)
            self.engine.sweep(now)
            self.publishing.release(now)
            for session, failure in self.liveness.sweep(now):
                if failure is LinkFailure.DEAD:
                    self.turn.do(session.link.abort)
                    self._end(session, CloseCode.ABNORMAL, now, DEAD_REASON)
                else:
                    self.refused[FAILURE_LIMITS[failure]] += 1
                    self.close(session, *FAILURE_CODES[failure], now)
            self.watching.sweep(now)
            if not self.visibility.is_open:
                self.permissions.sweep(now)
            self.credentials.sweep(now)

    def _tell_what_is_due(self) -> None:
        """An entry ends: tell each changed truth, once; or it goes with the flush that is to come."""
        if self.permissions.due:
            self.permissions.tell_all()
        if self._truths.due and not self.fanout.is_gathering:
            self._truths.tell()

    # -- entries: the process's end --------------------------------------------------------------------------------

    @property
    def is_draining(self) -> bool:
        return self.draining.is_on

    def drain(self, spread: float) -> None:
        """Ask every client to connect elsewhere, spread over `spread` seconds. Grace does not run out any more."""
        with self.turn:
            self.engine.drain(self.clock.now())
            self.draining.begin(spread)

    # -- parts -----------------------------------------------------------------------------------------------------

    def send(self, session: Session, message: AnyServerMessage) -> None:
        if session.is_over:
            return
        if isinstance(message, WITH_ENTRIES):
            self.fanout.empty(session.slot)
        self.turn.send(session, message)

    def close(self, session: Session, code: CloseCode, reason: str, now: float) -> None:
        """Our own close: the session is over now, whatever its peer still sends."""
        if not session.is_over:
            with self.turn:
                self.fanout.empty(session.slot)
                self.turn.do(partial(session.link.close, code, reason))
                self._end(session, code, now, reason)

    def _end(self, session: Session, code: int, now: float, reason: str | None) -> None:
        """The session is over: withdraw its interest, and let go of its device."""
        if not self.roster.remove(session):
            return
        self._journal.ended(session, code, reason, now)
        session.state = advance(Role.SERVER, session.state, CLOSE)
        self.liveness.discard(session)
        self.credentials.forget(session)
        if session.viewer:
            self.permissions.forget(session)
        self.answering.forget(session)
        self._following.forget(session)
        self.watching.drop(session)
        self.fanout.detach(session.slot)
        if session.user_id:
            self._let_go(session, code, now)

    def _let_go(self, session: Session, code: int, now: float) -> None:
        whose = session.user_id, session.device_id, session.number
        wanted = Leave(*whose, LEAVING_CAUSES.get(code, _LEFT)) if ends_device(code) else Disconnect(*whose)
        self.engine.submit(wanted, now, unheard)

    def statistics(self) -> HubStatistics:
        return HubStatistics(
            sessions=len(self.roster),
            observers=len(self.roster) - self.roster.joined,
            users_with_sessions=self.roster.users,
            behind=self._catchup.behind,
            held_changes=len(self.publishing.pacing),
            lookups=len(self.watching),
            messages=self._messages,
            changes=self._changes,
        )
