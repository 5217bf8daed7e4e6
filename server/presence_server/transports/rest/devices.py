"""`POST /kick` and `GET /users/{userId}/devices`: a back end sees a user's devices, and ends them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from presence_server.application.explanations import Times, device_views
from presence_server.application.principals import ADMIN, READ, WRITE
from presence_server.domain.model import Status
from presence_server.domain.transitions import Kick
from presence_server.transports.rest import bodies
from presence_server.transports.rest.crowd import service
from presence_server.transports.rest.desk import Desk, allow, route, unavailable
from presence_server.transports.rest.envelope import success
from presence_server.transports.rest.explain import HasAccounts

if TYPE_CHECKING:
    from presence_server.transports.gateway import Gateway


class DevicesApi:
    def __init__(self, gateway: Gateway, desk: Desk, times: Times) -> None:
        self._gateway = gateway
        self._desk = desk
        self._times = times

    def routes(self) -> list[Route]:
        return [
            route("/kick", {"POST": self.kick}),
            route("/users/{user_id}/devices", {"GET": self.devices}),
        ]

    async def kick(self, request: Request) -> Response:
        """End a user's devices: all, or those on a platform, or one."""
        who = await self._desk.who(request)
        allow(service(who, WRITE))
        body = await self._desk.body(request, bodies.KickBody)
        self._desk.change(who)
        hub = self._gateway.hub
        platform = None if body.platform is None else hub.limits.platforms(body.platform)
        made = await self._desk.submit(Kick(hub.keys.key(body.user_id), platform, body.device_id, body.reason or ""))
        return success({"userId": body.user_id, "ended": made.ended})

    async def devices(self, request: Request) -> Response:
        """All that a user is online with. Of the invisible, services with the scope admin alone are told."""
        user_id = self._desk.user_id_of(request)
        who = await self._desk.who(request)
        allow(service(who, READ))
        self._desk.queries(who, 1)
        hub = self._gateway.hub
        if not isinstance(hub.engine, HasAccounts):
            raise unavailable()
        account = hub.engine.account(hub.keys.key(user_id))
        is_told = account.truth.public.status is not Status.OFFLINE or ADMIN in who.scopes
        devices = device_views(account, hub.roster.heard_at, self._times, self._gateway.clock.now()) if is_told else []
        return success({"userId": user_id, "devices": devices})
