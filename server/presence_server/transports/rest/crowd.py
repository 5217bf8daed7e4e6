"""`GET /statistics` and `GET /online`: how many people are there, and who. For services with the scope read.

Who is invisible counts as OFFLINE and is on no page; services with `admin` are told how many those are.
"""

from __future__ import annotations

from base64 import urlsafe_b64decode, urlsafe_b64encode
from typing import TYPE_CHECKING, Any, Final
from uuid import uuid4

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from presence_protocol.errors import FieldError
from presence_protocol.fields import format_time
from presence_server.application.census import Peak
from presence_server.application.entries import entry_of
from presence_server.application.principals import ADMIN, READ, Denied, Principal
from presence_server.domain.attendance import FIRST, Place, bucket_of
from presence_server.domain.model import Status
from presence_server.domain.people import People
from presence_server.domain.platforms import AnyPlatform
from presence_server.transports.rest.desk import Desk, allow, route, unavailable
from presence_server.transports.rest.envelope import Refusal, success

if TYPE_CHECKING:
    from presence_server.transports.gateway import Gateway

USUAL_PAGE: Final = 100
MOST_ON_A_PAGE: Final = 1_000

THERE: Final = {status.value: status for status in (Status.ONLINE, Status.AWAY, Status.BUSY)}
"""The statuses of those who are there."""


def service(who: Principal, scope: str) -> Denied | None:
    """Whether it is a service with `scope`; one with admin may read as well. None lets it."""
    if not who.is_service:
        return Denied(403, f"must be a service's, with the scope {scope}")
    return None if scope == READ and ADMIN in who.scopes else who.needs(scope)


class CrowdApi:
    def __init__(self, gateway: Gateway, desk: Desk) -> None:
        self._gateway = gateway
        self._desk = desk

    def routes(self) -> list[Route]:
        return [route("/statistics", {"GET": self.statistics})]

    async def statistics(self, request: Request) -> Response:
        who = await self._desk.who(request)
        allow(service(who, READ))
        self._desk.queries(who, 1)
        gateway, hub, people = self._gateway, self._gateway.hub, _people_of(self._gateway)
        figures, peaks = people.figures(), gateway.census.peaks
        joins, leaves = gateway.census.in_a_minute(figures.joined, figures.left)
        told: dict[str, Any] = {
            "users": {status.value: count for status, count in people.by_status().items()},
            "online": figures.there,
            "platforms": people.by_platform(hub.limits.platforms),
            "clients": hub.roster.clients.by_name(),
            "devices": hub.engine.statistics()._asdict().get("devices", 0),
            "connections": len(hub.roster),
            "joinsPerMinute": joins,
            "leavesPerMinute": leaves,
            "peaks": {
                "day": format_time(peaks.day)[:10],
                "users": _peak(peaks.users),
                "connections": _peak(peaks.connections),
            },
        }
        return success(told | ({"invisible": figures.invisible} if ADMIN in who.scopes else {}))


class PresentApi:
    """`GET /online`, which stands beside `POST /online`: see `RestApi`."""

    def __init__(self, gateway: Gateway, desk: Desk) -> None:
        self._gateway = gateway
        self._desk = desk
        self._walk = uuid4().hex[:8]
        """Names this process in cursors: the order of a walk is another after a restart."""

    async def online(self, request: Request) -> Response:
        """A page of who is there."""
        who = await self._desk.who(request)
        allow(service(who, READ))
        asked, wrong = request.query_params, []
        limit, status, platform = USUAL_PAGE, asked.get("status"), asked.get("platform")
        if "limit" in asked and (limit := _whole(asked["limit"])) not in range(1, MOST_ON_A_PAGE + 1):
            wrong.append(FieldError("limit", f"must be an integer from 1 to {MOST_ON_A_PAGE}"))
        if status is not None and status not in THERE:
            wrong.append(FieldError("status", f"must be one of {', '.join(THERE)}: who is OFFLINE is not there"))
        platforms = {each.value: each for each in self._gateway.hub.limits.platforms}
        if platform is not None and platform not in platforms:
            wrong.append(FieldError("platform", f"must be one of {', '.join(platforms)}"))
        place = self._place_of(asked["cursor"]) if "cursor" in asked else FIRST
        if place is None:
            wrong.append(FieldError("cursor", "is none of this server since its start; begin anew without it"))
        if wrong or place is None:
            raise Refusal(400, wrong)
        self._desk.queries(who, limit)
        return success(self._page(place, limit, THERE.get(status or ""), platforms.get(platform or "")))

    def _page(self, place: Place, limit: int, status: Status | None, platform: AnyPlatform | None) -> dict[str, Any]:
        keys, page = self._gateway.hub.keys, _people_of(self._gateway).page(place, limit, status, platform)
        return {
            "users": [entry_of(presence, keys) for presence in page.users],
            "cursor": None if page.next is None else self._cursor_of(page.next),
        }

    def _cursor_of(self, place: Place) -> str:
        """The id of the last user rather than the key, which would tell of the secret that keys are made with."""
        assert place.after is not None
        last = str(self._gateway.hub.keys.user_id(place.after)).encode()
        return f"{self._walk}.{urlsafe_b64encode(last).decode().rstrip('=')}"

    def _place_of(self, cursor: str) -> Place | None:
        walk, _, last = cursor.partition(".")
        try:
            text = urlsafe_b64decode(last + "=" * (-len(last) % 4)).decode()
            key = self._gateway.hub.keys.key(self._gateway.user_ids.of_text(text))
        except ValueError:
            return None
        return Place(bucket_of(key), key) if walk == self._walk else None


def _people_of(gateway: Gateway) -> People:
    """Raises Refusal: 503: the engine cannot tell."""
    if gateway.people is None:
        raise unavailable()
    return gateway.people


def _whole(text: str) -> int:
    """A number in plain digits; -1 if it is none, or a long one."""
    return int(text) if text.isascii() and text.isdigit() and len(text) < 10 else -1


def _peak(peak: Peak) -> dict[str, Any]:
    return {"count": peak.most, "at": format_time(peak.at)}
