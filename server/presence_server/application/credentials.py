"""Who somebody is, what they pay from, and for how long their credentials hold."""

from __future__ import annotations

from collections.abc import Callable

from presence_protocol.close_codes import CloseCode
from presence_protocol.messages import Expiring
from presence_server.application.allowances import Allowances
from presence_server.application.expiry import Expiry
from presence_server.application.ports import Authenticator, Clock, Peer, Wanted
from presence_server.application.principals import Denied, Principal
from presence_server.application.replies import Replies
from presence_server.application.sessions import Session


class Credentials:
    def __init__(
        self, authenticator: Authenticator, allowances: Allowances | None, replies: Replies, clock: Clock
    ) -> None:
        self._authenticator = authenticator
        self._allowances = allowances
        self._replies = replies
        self._clock = clock
        self._expiry = Expiry()

    def authenticate(
        self, peer: Peer, token: str | None, wanted: Wanted, now: float, done: Callable[[Principal | Denied], None]
    ) -> None:
        """Tell `done` who `peer` is, at once or later."""
        self._authenticator.authenticate(peer, token, wanted, now, self._clock.utc(), done)

    def admit(self, session: Session, principal: Principal, now: float) -> None:
        """The session's principal is known, or renewed."""
        if session.principal is not None:
            self._expiry.forget(session)
        session.principal = principal
        if session.peer.authorization is not None or session.peer.ticket is not None:
            # A token has a few hundred bytes, of no use any more; and what is not kept cannot leak.
            session.peer = session.peer._replace(authorization=None, ticket=None)
        if self._allowances is not None and session.purse is None:
            session.purse = self._allowances.purse(principal, session.viewer)
        if principal.expires_at is not None:
            self._expiry.follow(session, now, self._clock.utc())

    def forget(self, session: Session) -> None:
        """It ended."""
        self._expiry.forget(session)
        if session.is_counted and session.purse is not None:
            session.purse.disconnect()

    def sweep(self, now: float) -> None:
        """Tell whose credentials end soon, and close those whose have ended."""
        if self._expiry.is_empty:
            return
        for session, left in list(self._expiry.sweep(now, self._clock.utc())):
            if left > 0:
                self._replies.send(session, Expiring(in_ms=int(left * 1000)))
            else:
                self._replies.close(session, CloseCode.UNAUTHENTICATED, "the token has expired", now)
