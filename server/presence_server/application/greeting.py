"""A hello, from its arrival until its device is held; and a token that is renewed.

Who is at the other end is found out at once or later, and what the hello asks for is held against that. Then the device
is connected, and `welcoming` does the rest.
"""

from __future__ import annotations

from functools import partial
from typing import Final

from presence_protocol.close_codes import CloseCode
from presence_protocol.messages import Auth, Hello, Ok
from presence_server.application import refusals
from presence_server.application.admission import Admission
from presence_server.application.ceilings import Ceilings
from presence_server.application.common import Common
from presence_server.application.credentials import Credentials
from presence_server.application.draining import Draining
from presence_server.application.following import Following
from presence_server.application.metering import Metering
from presence_server.application.permissions import Permissions
from presence_server.application.ports import Wanted
from presence_server.application.principals import Denied, Principal
from presence_server.application.replies import Replies
from presence_server.application.sessions import Session
from presence_server.application.welcoming import Welcoming
from presence_server.application.words import INVISIBLE_FORBIDDEN
from presence_server.domain.model import Status
from presence_server.domain.transitions import Connect

FRESH: Final = 1.0
"""Seconds after its handshake within which a hello was let in with that. Later it is one more: thousands who are
connected already may say hello at once as well."""

DENIED_CODES: Final = {
    401: CloseCode.UNAUTHENTICATED,
    403: CloseCode.FORBIDDEN,
    503: CloseCode.UNAVAILABLE,
}
"""How a connection is closed whose hello is denied, by the status that a request would be answered with."""


class Greeting:
    def __init__(
        self,
        common: Common,
        replies: Replies,
        credentials: Credentials,
        permissions: Permissions,
        welcoming: Welcoming,
        draining: Draining,
        metering: Metering,
        admission: Admission,
        ceilings: Ceilings,
        following: Following,
    ) -> None:
        self._replies = replies
        self._engine = common.engine
        self._credentials = credentials
        self._permissions = permissions
        self._welcoming = welcoming
        self._draining = draining
        self._metering = metering
        self._admission = admission
        self._ceilings = ceilings
        self._following = following
        self._limits = common.limits
        self._platforms = {platform.value: platform for platform in common.limits.platforms}
        self._refused = common.refused
        self._keys = common.keys
        self._clock = common.clock

    def hello(self, session: Session, hello: Hello, now: float) -> None:
        if self._draining.is_on:
            self._replies.close(session, CloseCode.UNAVAILABLE, "the server is draining", now)
            return
        over = self._ceilings.memory()
        if over is None and now - session.sign_of_life > FRESH:
            over = self._admission.take(now)
        if over is not None:
            self._metering.turn_away(session, over, hello.id, now)
            return
        wanted = Wanted() if hello.observer else Wanted(hello.user_id, hello.device_id)
        done = partial(self._authenticated, session, hello)
        self._credentials.authenticate(session.peer, hello.token, wanted, now, done)

    def _authenticated(self, session: Session, hello: Hello, made: Principal | Denied) -> None:
        if session.is_over:
            return  # it left while somebody was asked
        now = self._clock.now()
        denied = made if isinstance(made, Denied) else _not_allowed(made, hello)
        if denied is not None:
            self._replies.close(session, DENIED_CODES[denied.status], f"{denied.field}: {denied.reason}", now)
            return
        assert isinstance(made, Principal)
        seeing = hello.user_id or made.user_id
        session.viewer = 0 if seeing is None else self._keys.key(seeing)
        self._credentials.admit(session, made, now)
        if not self._is_within_limits(session, hello, now):
            return
        if hello.feed and not self._following.prepare(session, hello, made):
            return
        if session.viewer and (hello.observer or hello.user_id is None):
            self._permissions.join(session)
        limits, close = self._limits, self._replies.close
        if self._draining.is_on:
            close(session, CloseCode.UNAVAILABLE, "the server is draining", now)
        elif (watch := self._keys.distinct(hello.watch, limits.max_watched) if hello.watch else []) is None:
            self._refused["max_watched"] += 1
            close(session, CloseCode.MALFORMED, f"too_many_watched: more than {limits.max_watched}", now)
        elif hello.status == "OFFLINE" and not limits.allows_invisible:
            close(session, CloseCode.FORBIDDEN, ": ".join(INVISIBLE_FORBIDDEN), now)
        elif hello.observer or hello.user_id is None or hello.device_id is None or hello.platform is None:
            self._welcoming.watch_first(session, hello, watch, False, now)
        else:
            session.user_id, session.device_id = session.viewer, hello.device_id
            session.platform = hello.platform
            connect = Connect(
                session.user_id,
                hello.device_id,
                self._platforms[hello.platform],
                session.number,
                session.number,
                hello.idle,
                None if hello.idle_for_ms is None else hello.idle_for_ms / 1000,
                None if hello.status is None else Status(hello.status),
                hello.busy,
                returning=bool(hello.returning),
            )
            self._engine.submit(connect, now, partial(self._welcoming.connected, session, hello, watch, now))

    def _is_within_limits(self, session: Session, hello: Hello, now: float) -> bool:
        """Whether its principal may have one more connection, and watch as many; else it is refused, and closed."""
        if (purse := session.purse) is None:
            return True
        over = purse.connect()
        session.is_counted = over is None
        over = over or purse.message(now)
        if over is None and hello.watch:
            over = purse.watches(len(hello.watch), now)
        return self._metering.may_have(session, over, hello.id, now)

    def auth(self, session: Session, message: Auth, now: float) -> None:
        """A new token for a connection that stays: it must be the same principal's, and only its end may differ."""
        wanted = Wanted(self._keys.user_id(session.user_id) or None, session.device_id or None)
        done = partial(self._renewed, session, message)
        self._credentials.authenticate(session.peer, message.token, wanted, now, done)

    def _renewed(self, session: Session, message: Auth, made: Principal | Denied) -> None:
        if session.is_over:
            return
        before = session.principal
        if isinstance(made, Principal) and (before is None or made.user_id != before.user_id):
            made = Denied(403, "must be of the same user", "token")
        if isinstance(made, Principal) and session.user_id:
            made = made.may_speak_for(self._keys.user_id(session.user_id), session.device_id) or made
        elif isinstance(made, Principal):
            made = made.may_be_observer() or made
        if isinstance(made, Denied):
            self._replies.send(session, refusals.denied(made, message.id))
            return
        self._credentials.admit(session, made, self._clock.now())
        if message.id is not None:
            self._replies.send(session, Ok(id=message.id))


def _not_allowed(principal: Principal, hello: Hello) -> Denied | None:
    """Why `principal` may not say this hello; None lets it."""
    if hello.observer or hello.user_id is None:
        return principal.may_be_observer()
    if (denied := principal.may_speak_for(hello.user_id, hello.device_id, hello.platform)) is not None:
        return denied
    return principal.may_watch() if hello.watch else None
