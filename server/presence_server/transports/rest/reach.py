"""`POST /reach`: push, or will they see it? How each user can be reached through their devices, now or within a time.

For services. Those with the scope admin are told the truth; to others who is invisible cannot be reached, as if away.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from presence_protocol.errors import FieldError
from presence_protocol.fields import format_time
from presence_protocol.user_ids import UserId
from presence_server.application.principals import ADMIN, READ
from presence_server.application.reaches import Reaches
from presence_server.domain.model import UserKey
from presence_server.domain.people import Reach, Reached
from presence_server.transports.rest import bodies
from presence_server.transports.rest.crowd import service
from presence_server.transports.rest.desk import Desk, allow, disconnected, first_of, route, unavailable
from presence_server.transports.rest.envelope import Refusal, success

if TYPE_CHECKING:
    from presence_server.transports.gateway import Gateway


class ReachApi:
    def __init__(self, gateway: Gateway, desk: Desk) -> None:
        self._gateway = gateway
        self._desk = desk

    def routes(self) -> list[Route]:
        return [route("/reach", {"POST": self.reach})]

    async def reach(self, request: Request) -> Response:
        who = await self._desk.who(request)
        allow(service(who, READ))
        body = await self._desk.body(request, bodies.ReachBody)
        hub, most = self._gateway.hub, self._gateway.hub.limits.max_batch
        if len(body.user_ids) > most:
            hub.refused["max_batch"] += 1
            raise Refusal(400, [FieldError("userIds", f"must be at most {most} ids")])
        self._desk.queries(who, len(body.user_ids))
        reaches = self._gateway.reaches
        if reaches is None:
            raise unavailable()
        keys, sees_all = hub.keys.keys(body.user_ids), ADMIN in who.scopes
        found = reaches.of(keys, sees_all)
        if body.within and not _is_anybody_active(found) and not hub.is_draining:
            with self._desk.poll(who):
                await self._wait(request, reaches, keys, sees_all, body.within)
            self._desk.refuse_if_over(who)
            found = reaches.of(keys, sees_all)
        return success([_told(user_id, reached) for user_id, reached in zip(body.user_ids, found, strict=True)])

    async def _wait(
        self, request: Request, reaches: Reaches, keys: list[UserKey], sees_all: bool, seconds: float
    ) -> None:
        """Until one of them is active, or the time is up, or nobody waits for the answer any more."""
        active: asyncio.Future[None] = asyncio.get_running_loop().create_future()

        def on_active() -> None:
            if not active.done():
                active.set_result(None)

        waiting = reaches.open(keys, sees_all, on_active)
        gone = asyncio.ensure_future(disconnected(request))
        try:
            await first_of(seconds, active, gone)
        finally:
            gone.cancel()
            reaches.close(waiting)


def _is_anybody_active(found: list[Reached]) -> bool:
    return any(reached.reach is Reach.ACTIVE for reached in found)


def _told(user_id: UserId, reached: Reached) -> dict[str, Any]:
    return {
        "userId": user_id,
        "reach": reached.reach.value,
        "platforms": [platform.value for platform in reached.platforms],
        "since": None if reached.since is None else format_time(reached.since),
    }
