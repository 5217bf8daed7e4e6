"""`GET /explain/{userId}`: why a user is shown as they are. For the user, and for services with the scope admin."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, runtime_checkable

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from presence_server.application.explanations import Times, explain
from presence_server.application.principals import ADMIN
from presence_server.domain.account import Account
from presence_server.domain.model import UserKey
from presence_server.transports.rest.desk import Desk, allow, route, unavailable
from presence_server.transports.rest.envelope import success

if TYPE_CHECKING:
    from presence_server.transports.gateway import Gateway


@runtime_checkable
class HasAccounts(Protocol):
    """An engine that knows why everybody is shown as they are."""

    def account(self, user_id: UserKey) -> Account: ...


class ExplainApi:
    def __init__(self, gateway: Gateway, desk: Desk, times: Times) -> None:
        self._gateway = gateway
        self._desk = desk
        self._times = times

    def routes(self) -> list[Route]:
        return [route("/explain/{user_id}", {"GET": self.explain})]

    async def explain(self, request: Request) -> Response:
        user_id = self._desk.user_id_of(request)
        who = await self._desk.who(request)
        if who.is_service:
            allow(who.needs(ADMIN))
        else:
            allow(who.may_speak_for(user_id))
        self._desk.queries(who, 1)
        hub, clock = self._gateway.hub, self._gateway.clock
        if not isinstance(hub.engine, HasAccounts):
            raise unavailable()
        account = hub.engine.account(hub.keys.key(user_id))
        return success(explain(user_id, account, hub.roster.heard_at, self._times, clock.now()))
