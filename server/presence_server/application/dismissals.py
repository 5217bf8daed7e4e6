"""Sessions that are ended by somebody's order: a device was lost, credentials revoked, a user erased, the process ends.

Each of these is an entry of its own: see `turn`.
"""

from __future__ import annotations

from collections.abc import Callable, Set

from presence_protocol.close_codes import CloseCode
from presence_server.application import refusals
from presence_server.application.common import Common
from presence_server.application.endings import LOSS_CODES
from presence_server.application.permissions import Permissions
from presence_server.application.ports import Done, unheard
from presence_server.application.principals import Principal
from presence_server.application.replies import Replies
from presence_server.application.roster import Roster
from presence_server.application.sessions import Session
from presence_server.domain.causes import Cause
from presence_server.domain.model import UserKey
from presence_server.domain.transitions import Erase, Evicted, Leave, Transition

Refuses = Callable[[Principal, str | None], bool]
"""Whether the credentials that a principal came with are refused now, for this device if it has one."""


class Dismissals:
    def __init__(self, common: Common, roster: Roster, replies: Replies, permissions: Permissions) -> None:
        self._engine = common.engine
        self._refused = common.refused
        self._roster = roster
        self._replies = replies
        self._permissions = permissions
        self._turn = common.turn
        self._keys = common.keys

    def revoke(self, user_id: UserKey, device_id: str | None, is_refused: Refuses, now: float) -> int:
        """End the connections of a user whose credentials were revoked; and how many those were.

        `user_id` is the id itself. `device_id`: those of one device only. A connection that a service holds for the
        user is ended as well.
        """
        key = self._keys.key(user_id)
        with self._turn:
            ended = [
                session
                for session in self._roster
                if (principal := session.principal) is not None
                and (device_id is None or device_id in (session.device_id, principal.device_id))
                and ((session.user_id == key and principal.is_service) or (principal.user_id == user_id))
                and (principal.is_service or is_refused(principal, session.device_id or None))
            ]
            self._end_revoked(ended, now)
            return len(ended)

    def end_principals(self, gone: Set[Principal], now: float) -> None:
        """End the connections of these: their credentials are no longer good."""
        if not gone:
            return
        with self._turn:
            self._end_revoked([session for session in self._roster if session.principal in gone], now)

    def _end_revoked(self, ended: list[Session], now: float) -> None:
        for session in ended:
            self._let_go(session, Cause.NOT_ALLOWED, now)
            self._replies.close(session, CloseCode.UNAUTHENTICATED, "the credentials were revoked", now)

    def _let_go(self, session: Session, cause: Cause, now: float) -> None:
        """Its device ends with it, for this cause."""
        if session.user_id:
            wanted = Leave(session.user_id, session.device_id, session.number, cause)
            self._engine.submit(wanted, now, unheard)

    def evict(self, event: Evicted, now: float) -> None:
        """The engine's word that a connection has lost its device."""
        session = self._roster.find(event.holder)
        if session is not None:
            if event.cause is Cause.TOO_MANY_DEVICES:
                self._refused["max_devices"] += 1
            code, usual = LOSS_CODES[event.cause]
            if event.cause is Cause.REPLACED and event.reason:
                # By another device, and not by a newer connection of this one: its client must take no other id.
                self._replies.send(session, refusals.replaced(event.reason))
            self._replies.close(session, code, event.reason or usual, now)

    def erase(self, user_id: UserKey, now: float, done: Done) -> int:
        """Forget a user (a key): their connections end, and all that the engine keeps. How many connections did.

        What they said of their privacy holds until the engine has forgotten them: what it keeps may be told until then.
        """

        def erased(made: Transition | None) -> None:
            self._permissions.erased(user_id, made is not None, now)
            done(made)

        with self._turn:
            ended = [session for session in self._roster if user_id in (session.user_id, session.viewer)]
            for session in ended:
                self._let_go(session, Cause.ERASED, now)
                self._replies.close(session, CloseCode.FORBIDDEN, "the user was erased", now)
            self._permissions.erase_last_seen(user_id)
            self._engine.submit(Erase(user_id), now, erased)
            return len(ended)

    def close_all(self, code: CloseCode, reason: str, now: float) -> None:
        with self._turn:
            for session in self._roster:
                self._replies.close(session, code, reason, now)
