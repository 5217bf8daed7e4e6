"""Credentials -> a principal: the one decision, made once for a connection or a request.

A ticket is asked first, then a service key, then what `--auth` says: the address (`none`), a signed token (`jwt`), or
the application (`webhook`). What cannot be told is never a yes.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Final, Protocol

from presence_server.application.ports import Peer, Wanted
from presence_server.application.principals import Denied, Principal, trusted
from presence_server.identity.networks import Networks
from presence_server.identity.revocations import Revocations
from presence_server.identity.service_keys import PREFIX, ServiceKeys
from presence_server.identity.tickets import Tickets
from presence_server.identity.tokens import TokenVerifier
from presence_server.identity.webhook import AskApplication

Done = Callable[[Principal | Denied], None]


class Way(Protocol):
    """One of the ways of `--auth`. `done` is called exactly once, at once or later."""

    def decide(self, peer: Peer, token: str | None, wanted: Wanted, utc: float, done: Done) -> None: ...


class ByAddress:
    """Clients of some networks are trusted with everything; all others are nobody.

    Each is a service of its own, named by its address, so that one does not use up what another may have. Whoever comes
    through a proxy is judged by its own address, as far as trusted proxies vouch for one.
    """

    def __init__(self, networks: Networks) -> None:
        self._networks = networks
        self._trusted = lru_cache(maxsize=4096)(trusted)

    def decide(self, peer: Peer, token: str | None, wanted: Wanted, utc: float, done: Done) -> None:
        if peer.clients is None:
            if self._networks.holds(peer.address):
                done(self._trusted(peer.address))
            else:
                done(Denied(401, "only clients within the trusted networks are let in: no authenticator is configured"))
        elif peer.clients and all(map(self._networks.holds, peer.clients)):
            done(self._trusted(peer.clients[0]))
        else:
            done(Denied(401, "it came through a proxy that is not trusted, or for a client that is not"))


class ByToken:
    """A signed token says who it is."""

    def __init__(self, verifier: TokenVerifier) -> None:
        self._verifier = verifier

    def decide(self, peer: Peer, token: str | None, wanted: Wanted, utc: float, done: Done) -> None:
        if token is None:
            done(Denied(401, "a token is needed"))
        else:
            self._verifier.verify(token, utc, done)


class ByApplication:
    """The application says who a token belongs to."""

    def __init__(self, asker: AskApplication) -> None:
        self._asker = asker

    def decide(self, peer: Peer, token: str | None, wanted: Wanted, utc: float, done: Done) -> None:
        if token is None:
            done(Denied(401, "a token is needed"))
            return
        address = peer.clients[0] if peer.clients else peer.address
        self._asker.verify(token, address, wanted.user_id, wanted.device_id, utc, done)


class Authentication:
    """All ways together. Implements the port `Authenticator`."""

    def __init__(
        self, way: Way, tickets: Tickets, revocations: Revocations, service_keys: ServiceKeys | None = None
    ) -> None:
        self.tickets = tickets
        self.revocations = revocations
        self._way = way
        self._service_keys = service_keys

    def authenticate(self, peer: Peer, token: str | None, wanted: Wanted, now: float, utc: float, done: Done) -> None:
        """Tell `done` who it is. `now` is monotonic and `utc` since 1970, both in seconds."""
        if token is None:
            token = bearer(peer.authorization)
        if peer.ticket is not None:
            found = self.tickets.redeem(peer.ticket, now)
            self._check(done, _still_good(found, utc), wanted)
        elif token is not None and token.startswith(PREFIX):
            service = None if self._service_keys is None else self._service_keys.find(token)
            done(Denied(401, "the key is not known") if service is None else service)
        else:
            self._way.decide(peer, token, wanted, utc, lambda made: self._check(done, made, wanted))

    def is_over(self, principal: Principal, utc: float) -> bool:
        """Whether what it was let in with is no longer good: for whoever was kept waiting."""
        has_expired = principal.expires_at is not None and utc >= principal.expires_at
        return has_expired or self.revocations.refuses(principal)

    def may_use_device(self, principal: Principal, device_id: str) -> Denied | None:
        """For who was let in before the device was known: whether the token was revoked for it. None lets it."""
        return _REVOKED if self.revocations.refuses(principal, device_id) else None

    def _check(self, done: Done, made: Principal | Denied, wanted: Wanted) -> None:
        if isinstance(made, Principal) and self.revocations.refuses(made, wanted.device_id):
            made = _REVOKED
        done(made)


_REVOKED: Final = Denied(401, "the token was revoked")


def _still_good(found: Principal | None, utc: float) -> Principal | Denied:
    """Whom a ticket was given to. It lives no longer than the token that it was given for."""
    if found is None:
        return Denied(401, "is unknown, was used, or is too old", "ticket")
    if found.expires_at is not None and utc >= found.expires_at:
        return Denied(401, "the token that it was given for has expired", "ticket")
    return found


def bearer(authorization: str | None) -> str | None:
    """The token of an `Authorization: Bearer` header (RFC 6750, section 2.1); None if there is none."""
    if authorization is None or authorization[:7].lower() != "bearer ":
        return None
    return authorization[7:].strip() or None
