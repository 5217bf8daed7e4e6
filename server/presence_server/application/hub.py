"""The one place where a transition meets its watchers.

Every message of every connection comes in through `handle`, every event of the engine through `receive`, time
through `sweep`. What is to go out goes into the turn (see `turn`). All is synchronous: between two awaits, the table,
the index and what was written agree.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence, Set
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
    Diff,
    Expiring,
    Ping,
    Reconnect,
    SelfChanged,
    Snapshot,
    Statuses,
)
from presence_protocol.session import CLOSE, Role, State, advance, event_of
from presence_server.application import refusals, slices
from presence_server.application.admission import Admission
from presence_server.application.allowances import Allowances, Purse, TooMuch
from presence_server.application.catchup import CatchUp
from presence_server.application.ceilings import Ceilings
from presence_server.application.conversation import HANDLERS
from presence_server.application.cursors import Cursor
from presence_server.application.edges import Edges
from presence_server.application.endings import DEAD_REASON, FAILURE_CODES, FAILURE_LIMITS, LOSS_CODES
from presence_server.application.entries import entry_of, part_bytes, self_view_of
from presence_server.application.expiry import Expiry
from presence_server.application.fanout import Fanout
from presence_server.application.hub_limits import HubLimits
from presence_server.application.journal import Journal, NoJournal
from presence_server.application.keys import UserKeys
from presence_server.application.liveness import LinkFailure, Liveness
from presence_server.application.lookups import Found, look_up
from presence_server.application.pacing import Pacing
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
)
from presence_server.application.principals import Denied, Principal
from presence_server.application.privacy import LastSeen, Privacy
from presence_server.application.sessions import Session
from presence_server.application.sight import Sight
from presence_server.application.slices import DONE
from presence_server.application.turn import Turn
from presence_server.application.watching import Watching
from presence_server.domain.causes import Cause
from presence_server.domain.interest import Interest
from presence_server.domain.lenses import Lens, lens_of, partial_topics_of
from presence_server.domain.model import Change, UserKey
from presence_server.domain.transitions import (
    AnyTransition,
    Disconnect,
    Erase,
    Evicted,
    Leave,
    Restate,
)

STALL: Final = 1.0
"""Seconds without a sweep after which one is skipped, so that sockets are read before anything expires. One, and not
the next as well: sockets were read in between, and a loop that is always late must still let things expire."""

_LIVE: Final = State.LIVE  # see `sessions`
_CLOSING: Final = State.CLOSING

SILENT: Final = (Ping, Activity, Bye)
"""Messages that do not end inferred idleness: a ping is no activity, and the others settle it themselves."""

WITH_ENTRIES: Final = (Snapshot, Statuses)
"""Messages that may tell a version: what waits for its slice goes out before them, so that no version goes back."""


Refuses = Callable[[Principal], bool]
"""Whether the credentials that a principal came with are refused now."""


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
    ) -> None:
        """`is_reciprocal`: see `Sight`."""
        self.engine = engine
        self.interest = interest
        self.fanout = fanout
        self.visibility = visibility
        self.privacy = Privacy()
        self.sight = Sight(visibility, engine, fanout.views, self.privacy, is_reciprocal)
        self.edges = Edges(interest, self.sight)
        self.limits = limits
        self.clock = clock
        self.keys = keys
        self.allowances = allowances
        self.ceilings = ceilings or Ceilings()
        self.admission = admission or Admission(0.0, 0.0)
        self.is_draining = False
        self._drain_spread = 0.0
        self._authenticator = authenticator
        self._random = random
        self.turn = turn
        self.liveness = Liveness(limits.times, turn.ping)
        self.part_bytes = part_bytes(limits.max_message)
        self._catchup = CatchUp(interest, fanout, turn, self.sight, keys, self.part_bytes)
        self._pacing = Pacing(limits.min_publish_interval)
        self.permissions = Permissions(
            self.sight,
            self.edges,
            fanout,
            self._catchup,
            lambda viewer: self._by_user.get(viewer, ()),
            self._serve_again,
            self.part_bytes,
        )
        self.watching = Watching(
            interest,
            fanout,
            self.sight,
            self.edges,
            self.permissions.hold_for,
            self.send,
            self.begin,
            self.is_at_once,
            limits.max_watched,
            keys,
            self.part_bytes,
            self.ceilings,
        )
        self._expiry = Expiry()
        self._sessions: dict[int, Session] = {}
        self._by_user: dict[UserKey, tuple[Session, ...]] = {}
        self._self_due: dict[Session, None] = {}
        self.last_number = 0
        """The last one given to a session. What outlives the process sets it, so that none is given twice."""
        self._last_sweep = float("-inf")
        self._is_skipping = False
        self._messages = self._changes = self._joined = 0
        self.refusals: Counter[str] = Counter()
        """What was refused for a limit, by the setting's name."""
        self.journal: Journal = NoJournal()
        self.claim: Callable[[], bool] = _always
        """Whether there is time to make a piece of an answer now: whoever else is busy goes first."""
        turn.before_end = self._tell_what_is_due
        fanout.before_flush = self._tell_selves
        self._catchup.before = self._tell_permissions
        self._restated: set[UserKey] = set()
        """Users whose status has changed, or what is shown of them, while pacing holds it."""
        visibility.attach(self.permission_changed)
        engine.attach(self.receive)

    # -- entries: connections ------------------------------------------------------------------------------------

    def open(self, link: Link, codec_number: int, peer: Peer, now: float) -> Session:
        """A connection was accepted; it has yet to say hello."""
        session = Session(self.next_number(), 0, codec_number, link, peer, now)
        session.slot = self.fanout.attach(session, codec_number)
        self._sessions[session.number] = session
        self.liveness.add(session, now)
        return session

    def next_number(self) -> int:
        """A number for a new session, unique in this process."""
        self.last_number += 1
        return self.last_number

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
                if session.purse is not None and self._is_over(session, session.purse, message, now):
                    return
                HANDLERS[type(message)](self, session, message, now)

    def refuse(self, session: Session, failure: InvalidMessage, now: float) -> None:
        """A message was read, but something in it is wrong."""
        with self.turn:
            self.heard(session, now)
            if session.state is State.OPEN:
                self.close(session, CloseCode.MALFORMED, f"not a valid hello: {failure}", now)
            elif not (
                session.is_over or (session.purse is not None and self._is_over(session, session.purse, failure, now))
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
                self._catch_up(now)
                if session.can_go_on:
                    self.read_on(session)

    def go_on(self, session: Session, now: float) -> None:
        """Do the next step of what the session is being answered (see `slices`): it has a turn, and room."""
        with self.turn:
            work, catching_up = session.work, session.catching_up
            if not session.can_go_on:
                pass
            elif work is not None:
                if next(work[0], DONE) is DONE:
                    work.popleft()
                    if not work and session.work is work:
                        session.work = None
                        self._serve(session, now)
            elif catching_up is not None and next(catching_up, DONE) is DONE and session.catching_up is catching_up:
                session.catching_up = None
                if not session.behind:
                    self._caught_up(session)

    # -- entries: the engine, time, back ends ----------------------------------------------------------------------

    def receive(self, event: EngineEvent, now: float) -> None:
        """The one entry for what the engine has to tell."""
        if isinstance(event, Change):
            self._changes += 1
            is_restated = event.before.status is not event.after.status or event.before == event.after
            self._publish(event.user_id, event.version, is_restated, now)
        elif isinstance(event, TruthChanged):
            for session in self._by_user.get(event.user_id, ()):
                self._self_due[session] = None
        else:
            self._evict(event, now)
        self.turn.note()

    def submit(self, transition: AnyTransition, now: float, done: Done) -> None:
        """A back end's transition."""
        with self.turn:
            self.engine.submit(transition, now, done)

    def lookup(self, viewer: UserKey, user_ids: list[UserKey], now: float, done: Found) -> None:
        """What `viewer` may ask of each of `user_ids`, in their order; None if it cannot be had now. All are keys."""
        look_up(self.engine, self.clock, self.sight, viewer, user_ids, now, done)

    def authenticate(
        self, peer: Peer, token: str | None, wanted: Wanted, now: float, done: Callable[[Principal | Denied], None]
    ) -> None:
        """Tell `done` who `peer` is, at once or later."""
        self._authenticator.authenticate(peer, token, wanted, now, self.clock.utc(), done)

    def admit(self, session: Session, principal: Principal, now: float) -> None:
        """The session's principal is known, or renewed."""
        session.principal = principal
        if self.allowances is not None and session.purse is None:
            session.purse = self.allowances.purse(principal)
        if principal.expires_at is not None or len(self._expiry):
            self._expiry.follow(session, now, self.clock.utc())

    def revoke(self, user_id: UserKey, device_id: str | None, is_refused: Refuses, now: float) -> int:
        """End the connections of a user whose credentials were revoked; and how many those were.

        `user_id` is the id itself. `device_id`: those of one device only. A connection that a service holds for the
        user is ended as well.
        """
        key = self.keys.key(user_id)
        with self.turn:
            ended = [
                session
                for session in self._sessions.values()
                if (principal := session.principal) is not None
                and (device_id is None or session.device_id == device_id)
                and ((session.user_id == key and principal.is_service) or (principal.user_id == user_id))
                and (principal.is_service or is_refused(principal))
            ]
            self._end_revoked(ended, now)
            return len(ended)

    def end_principals(self, gone: Set[Principal], now: float) -> None:
        """End the connections of these: their credentials are no longer good."""
        if not gone:
            return
        with self.turn:
            self._end_revoked([session for session in self._sessions.values() if session.principal in gone], now)

    def _end_revoked(self, ended: list[Session], now: float) -> None:
        for session in ended:
            if session.user_id:
                self.engine.submit(Leave(session.user_id, session.device_id, session.number), now, _forget)
            self.close(session, CloseCode.UNAUTHENTICATED, "the credentials were revoked", now)

    def heard_at(self, number: int) -> float | None:
        """When the connection of that number was heard last; None if there is none."""
        session = self._sessions.get(number)
        return None if session is None else session.heard

    def sweep(self, now: float) -> None:
        """Let what is due happen. To be called some ten times a second."""
        with self.turn:
            # The first sweep is skipped as well: nobody knows what was before it.
            self._is_skipping = now - self._last_sweep > STALL and not self._is_skipping
            self._last_sweep = now
            if self._is_skipping:
                return
            self._catch_up(now)
            if not self.is_draining:
                self.engine.sweep(now)
            for user_id, version in self._pacing.release(now):
                self.engine.restamp(user_id, now)
                is_restated = user_id in self._restated
                self._restated.discard(user_id)
                self._gather(user_id, version, is_restated, now)
            for session, failure in self.liveness.sweep(now):
                if failure is LinkFailure.DEAD:
                    self.turn.do(session.link.abort)
                    self._end(session, CloseCode.ABNORMAL, now, DEAD_REASON)
                else:
                    self.refusals[FAILURE_LIMITS[failure]] += 1
                    self.close(session, *FAILURE_CODES[failure], now)
            self.watching.sweep(now)
            if not self.visibility.is_open:
                self.permissions.sweep(now)
            if len(self._expiry):
                self._end_expired(now)

    def _end_expired(self, now: float) -> None:
        for session, left in list(self._expiry.sweep(now, self.clock.utc())):
            if left > 0:
                self.send(session, Expiring(in_ms=int(left * 1000)))
            else:
                self.close(session, CloseCode.UNAUTHENTICATED, "the token has expired", now)

    def _tell_what_is_due(self) -> None:
        """An entry ends: tell each changed truth, once; or it goes with the flush that is to come."""
        if self.permissions.due:
            for session in list(self.permissions.due):
                if session.state is _LIVE and not session.behind:
                    self._tell_permissions(session)
        if self._self_due and not self.fanout.is_gathering:
            for session, message in self._due_selves():
                self.fanout.overtake(session.slot)
                self.send(session, message)

    # -- entries: the process's end --------------------------------------------------------------------------------

    def drain(self, spread: float) -> None:
        """Ask every client to connect elsewhere, spread over `spread` seconds. Grace does not run out any more."""
        self.is_draining = True
        self._drain_spread = spread
        with self.turn:
            for session in self._sessions.values():
                if session.state is State.LIVE:
                    self.ask_to_reconnect(session)

    def ask_to_reconnect(self, session: Session) -> None:
        after = int(self._random.uniform(0, self._drain_spread) * 1000)
        self.send(session, Reconnect(after_ms=after, reason="draining"))

    def close_all(self, code: CloseCode, reason: str, now: float) -> None:
        with self.turn:
            for session in list(self._sessions.values()):
                self.close(session, code, reason, now)

    # -- limits ----------------------------------------------------------------------------------------------------

    def _is_over(self, session: Session, purse: Purse, message: AnyClientMessage | InvalidMessage, now: float) -> bool:
        """Whether one more message is over its limit, and was refused. To leave is always allowed."""
        over = purse.message(now)
        if over is None or type(message) is Bye:
            return False
        self.too_much(session, over, message.id, now)
        return True

    def may_have(self, session: Session, over: TooMuch | None, id: int | None, now: float) -> bool:
        """Whether no limit is in the way; else the message with this `id` is refused."""
        if over is not None:
            self.too_much(session, over, id, now)
        return over is None

    def turn_away(self, session: Session, over: TooMuch, id: int | None, now: float) -> None:
        """Refuse a hello for the moment: an `error` that says when to come back, and the close that goes with it."""
        self.send(session, refusals.too_much(over, id))
        code = CloseCode.TOO_FAST if over.code == 429 else CloseCode.UNAVAILABLE
        self.close(session, code, f"{over.limit}: {over.reason}", now)

    def too_much(self, session: Session, over: TooMuch, id: int | None, now: float) -> None:
        """Refuse a message that is over a limit, and close whoever goes on all the same, or has not begun."""
        goes_on = session.purse is not None and session.purse.goes_on(now)
        if goes_on or session.state is not _LIVE:
            self.turn_away(session, over, id, now)
        else:
            self.send(session, refusals.too_much(over, id))

    # -- parts -----------------------------------------------------------------------------------------------------

    def send(self, session: Session, message: AnyServerMessage) -> None:
        if session.is_over:
            return
        if isinstance(message, WITH_ENTRIES):
            self.fanout.empty(session.slot)
        self.turn.send(session, message)

    def _publish(self, user_id: UserKey, version: int, is_restated: bool, now: float) -> None:
        if self._pacing.admit(user_id, version, now):
            self._gather(user_id, version, is_restated, now)
        elif is_restated and not self.sight.is_open:
            self._restated.add(user_id)

    def _gather(self, user_id: UserKey, version: int, is_restated: bool, now: float) -> None:
        """`is_restated`: not only details changed, which those do not learn of who may see the status alone."""
        if self.interest.is_watched(user_id):
            self.fanout.gather(user_id, version, now)
            self.turn.wake()
        if not self.sight.is_open:
            for topic in partial_topics_of(user_id):
                if self.interest.is_watched(topic) and (is_restated or lens_of(topic) is Lens.UNTIMED):
                    self.fanout.gather(topic, version, now)
                    self.turn.wake()

    def permission_changed(self, viewer: UserKey, keys: Sequence[UserKey]) -> None:
        """The policy's word that `viewer` sees these users otherwise from now on."""
        self.permissions.changed(viewer, keys)
        self.turn.note()

    def set_last_seen(self, user_id: UserKey, said: LastSeen, now: float, done: Done) -> bool:
        """A user says who is told when they were last seen. Whether there was room to keep it."""
        with self.turn:
            was_kept = self.privacy.set(user_id, said)
            if was_kept:
                if len(self.privacy):
                    self.sight.look_again()
                self.permissions.shown_otherwise(user_id)
                if self.sight.is_reciprocal:
                    self.permissions.changed_altogether(user_id)
                self.sight.look_again()
                self.engine.submit(Restate(user_id), now, done)
            return was_kept

    def erase(self, user_id: UserKey, now: float, done: Done) -> int:
        """Forget a user (a key): their connections end, and all that the engine keeps. How many connections did."""
        with self.turn:
            ended = [session for session in self._sessions.values() if user_id in (session.user_id, session.viewer)]
            for session in ended:
                self.close(session, CloseCode.FORBIDDEN, "the user was erased", now)
            if self.privacy.of(user_id) is not LastSeen.EVERYONE:
                self.set_last_seen(user_id, LastSeen.EVERYONE, now, _forget)
            self.engine.submit(Erase(user_id), now, done)
            return len(ended)

    def watched_by(self, user_id: UserKey) -> list[UserKey]:
        """Whom the connections of a user watch; all are keys."""
        watched = (self.edges.keys(session.slot) for session in self._by_user.get(user_id, ()))
        return list(dict.fromkeys(key for keys in watched for key in keys))

    def _tell_permissions(self, session: Session) -> bool:
        """Tell the session what it may see since a permission changed. Whether there was anything to tell."""
        if session not in self.permissions.due:
            return False
        told = False
        for part, cursor in self.permissions.take(session):
            if cursor is None:
                seq = session.served if session.behind else self.fanout.settled
                cursor = str(Cursor(self.engine.epoch, seq))
            self.send(session, Diff(changes=[entry_of(presence, self.keys) for presence in part], cursor=cursor))
            told = True
        return told

    def _serve_again(self, session: Session) -> None:
        """The session was held, or is being caught up: begin anew, from where it is."""
        if not session.blocked_since and session.work is None:
            self._serve(session, self.clock.now())
            self.read_on(session)

    def _tell_selves(self) -> None:
        """A flush begins, and each changed truth with it."""
        for session, message in self._due_selves():
            self.fanout.ride(session.slot, message)

    def _due_selves(self) -> Iterator[tuple[Session, SelfChanged]]:
        """Who is to be told of their user's truth, which is due no more, and what it is now."""
        due, self._self_due = self._self_due, {}
        for session in due:
            if session.state is not _LIVE:
                continue  # it left, or `welcome` is still to come and will tell
            if session.behind:
                session.self_due = True
                continue
            yield session, SelfChanged.of(self_view_of(self.engine.truth(session.user_id), self.keys))

    def is_at_once(self, size: int) -> bool:
        """Whether an answer about so many users may be made here and now."""
        return size <= slices.AT_ONCE or (size <= slices.PIECE and self.claim())

    def begin(self, session: Session, steps: Iterator[None]) -> None:
        """Do `steps` for the session, one at a time, after those that were begun before (see `slices`)."""
        if session.is_over:
            return
        self._tell_permissions(session)  # no cursor of the answer may claim it before
        if session.work is None:
            session.work = deque()
            session.catching_up = None
            self._catchup.hold(session)
            self.read_on(session)
        session.work.append(steps)

    def _catch_up(self, now: float) -> None:
        for session in self._catchup.take_due(now):
            self._serve(session, now)
            self.read_on(session)

    def _serve(self, session: Session, now: float) -> None:
        """Begin to tell the session what it missed while it was behind."""
        if self._catchup.has_lost_count(session):
            session.work = deque((self._catchup.everything(session),))
        else:
            session.catching_up = self._catchup.steps(session, now)

    def _caught_up(self, session: Session) -> None:
        if session.self_due:
            session.self_due = False
            self._self_due[session] = None
        self.read_on(session)

    def join(self, session: Session) -> None:
        """The session holds its device: it is told of its user's truth from now on."""
        self._by_user[session.user_id] = (*self._by_user.get(session.user_id, ()), session)
        self._joined += 1

    def read_on(self, session: Session) -> None:
        self.turn.read_on(session)

    def _evict(self, event: Evicted, now: float) -> None:
        session = self._sessions.get(event.holder)
        if session is not None:
            if event.cause is Cause.TOO_MANY_DEVICES:
                self.refusals["max_devices"] += 1
            self.close(session, *LOSS_CODES[event.cause], now)

    def close(self, session: Session, code: CloseCode, reason: str, now: float) -> None:
        """Our own close: the session is over now, whatever its peer still sends."""
        if not session.is_over:
            with self.turn:
                self.fanout.empty(session.slot)
                self.turn.do(partial(session.link.close, code, reason))
                self._end(session, code, now, reason)

    def _end(self, session: Session, code: int, now: float, reason: str | None) -> None:
        """The session is over: withdraw its interest, and let go of its device."""
        if self._sessions.pop(session.number, None) is None:
            return
        self.journal.ended(session, code, reason, now)
        session.state = advance(Role.SERVER, session.state, CLOSE)
        self.liveness.discard(session)
        self._expiry.forget(session)
        if session.is_counted and session.purse is not None:
            session.purse.disconnect()
        if session.viewer:
            self.permissions.forget(session)
        self._catchup.forget(session)
        session.work = session.catching_up = None
        self.watching.drop(session)
        self.fanout.detach(session.slot)
        if session.user_id:
            joined = self._by_user.get(session.user_id, ())
            others = tuple(other for other in joined if other is not session)
            self._joined -= len(joined) - len(others)
            if others:
                self._by_user[session.user_id] = others
            else:
                self._by_user.pop(session.user_id, None)
            self._let_go(session, code, now)

    def _let_go(self, session: Session, code: int, now: float) -> None:
        wanted = Leave if ends_device(code) else Disconnect
        self.engine.submit(wanted(session.user_id, session.device_id, session.number), now, _forget)

    def statistics(self) -> HubStatistics:
        return HubStatistics(
            sessions=len(self._sessions),
            observers=len(self._sessions) - self._joined,
            users_with_sessions=len(self._by_user),
            behind=self._catchup.behind,
            held_changes=len(self._pacing),
            lookups=len(self.watching),
            messages=self._messages,
            changes=self._changes,
        )


def _always() -> bool:
    """Nobody else is busy."""
    return True


def _forget(_made: object) -> None:
    """Nobody waits for what came of it."""
