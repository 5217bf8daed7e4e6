"""`GET /webhooks` and `POST /webhooks/{name}/replay`: where each webhook stands, and what it missed once more."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from presence_protocol import fields
from presence_protocol.errors import FieldError
from presence_protocol.fields import Field, find_errors, format_time
from presence_server.application.cursors import parse
from presence_server.application.principals import ADMIN
from presence_server.transports.rest.desk import Desk, allow, route
from presence_server.transports.rest.envelope import Refusal, success

if TYPE_CHECKING:
    from presence_server.transports.gateway import Gateway
    from presence_server.webhooks.deliveries import Standing

_FIELDS = {"cursor": Field(fields.text)}


class WebhooksApi:
    """For services with the scope `admin`."""

    def __init__(self, gateway: Gateway, desk: Desk) -> None:
        self._gateway = gateway
        self._desk = desk

    def routes(self) -> list[Route]:
        return [
            route("/webhooks", {"GET": self.list}),
            route("/webhooks/{name}/replay", {"POST": self.replay}),
        ]

    async def list(self, request: Request) -> Response:
        allow((await self._desk.who(request)).needs(ADMIN))
        return success(list(map(view_of, self._standings())))

    async def replay(self, request: Request) -> Response:
        """From a cursor, or without one from the beginning: everybody present."""
        allow((await self._desk.who(request)).needs(ADMIN))
        raw = await self._desk.raw(request)
        errors = find_errors(raw, _FIELDS)
        cursor = raw.get("cursor")
        if not errors and cursor is not None and parse(cursor) is None:
            errors = [FieldError("cursor", "is none that a server gave out")]
        if errors:
            raise Refusal(400, errors)
        name, webhooks = request.path_params["name"], self._gateway.webhooks
        if webhooks is None or not webhooks.replay(name, cursor):
            raise Refusal(404, [FieldError("name", "there is no such webhook in the file of --webhooks")])
        return success(next(view_of(one) for one in self._standings() if one.webhook.name == name))

    def _standings(self) -> tuple[Standing, ...]:
        webhooks = self._gateway.webhooks
        return () if webhooks is None else tuple(webhooks.standings())


def view_of(standing: Standing) -> dict[str, Any]:
    """One webhook as it is told. Of its URL the query is left out, which may hold a secret."""
    told: dict[str, Any] = {
        "name": standing.webhook.name,
        "url": standing.webhook.url.partition("?")[0],
        "scope": standing.webhook.scope,
        "state": standing.state.value,
        "cursor": standing.position,
        "lagMs": round(standing.lag * 1000),
        "attempts": standing.attempts,
        "delivered": {"batches": standing.tally.batches, "changes": standing.tally.changes},
        "failed": standing.tally.failures,
    }
    if standing.next_attempt_in is not None:
        told["nextAttemptInMs"] = round(standing.next_attempt_in * 1000)
    if standing.received_at is not None:
        told["lastDelivery"] = format_time(int(standing.received_at))
    if standing.last_error_at is not None:
        told["lastError"] = {"reason": standing.last_error, "time": format_time(int(standing.last_error_at))}
    return told
