"""Endpoints about credentials: a one-time ticket for a URL, and the end of tokens that are no longer good."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from presence_protocol.fields import parse_time
from presence_server.application.principals import ADMIN, Denied
from presence_server.identity.tickets import TICKET_LIFE
from presence_server.transports.rest import bodies
from presence_server.transports.rest.desk import Desk, allow, route, ticket_of
from presence_server.transports.rest.envelope import success

if TYPE_CHECKING:
    from presence_server.identity.authentication import Authentication
    from presence_server.transports.gateway import Gateway


class CredentialsApi:
    """`POST /ticket` and `POST /revoke`."""

    def __init__(self, gateway: Gateway, desk: Desk, authentication: Authentication) -> None:
        self._gateway = gateway
        self._desk = desk
        self._authentication = authentication

    def routes(self) -> list[Route]:
        return [route("/ticket", {"POST": self.ticket}), route("/revoke", {"POST": self.revoke})]

    async def ticket(self, request: Request) -> Response:
        """For whoever asks, good once and for half a minute: a browser cannot set headers on a WebSocket."""
        who = await self._desk.who(request)
        if ticket_of(request.scope["query_string"]) is not None:
            # Else who once saw one could have another for ever, beyond the end of the key that it was given for.
            allow(Denied(403, "gives no further ticket", "ticket"))
        ticket = self._authentication.tickets.issue(who, self._gateway.clock.now())
        left = TICKET_LIFE if who.expires_at is None else who.expires_at - self._gateway.clock.utc()
        return success({"ticket": ticket, "expiresIn": max(1, int(min(TICKET_LIFE, left)))})

    async def revoke(self, request: Request) -> Response:
        """From now on a user's older tokens are refused, and connections that came with one end."""
        allow((await self._desk.who(request)).needs(ADMIN))
        body = await self._desk.body(request, bodies.RevokeBody)
        revocations, clock = self._authentication.revocations, self._gateway.clock
        utc = clock.utc()
        revocations.add(body.user_id, body.device_id, _limit(body.issued_before, utc), utc)
        ended = self._gateway.hub.dismissals.revoke(body.user_id, body.device_id, revocations.refuses, clock.now())
        return success({"userId": body.user_id, "connections": ended})


def _limit(issued_before: str | int | None, utc: float) -> float:
    """Tokens tell whole seconds: one that was issued in this second may have been issued before this moment."""
    if isinstance(issued_before, str):
        return parse_time(issued_before) or 0
    return math.floor(utc) + 1 if issued_before is None else issued_before
