"""`/openapi.json`: what the REST endpoints take and answer."""

from __future__ import annotations

from typing import TYPE_CHECKING

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

if TYPE_CHECKING:
    from presence_server.transports.gateway import Gateway


def openapi_route(gateway: Gateway, version: str) -> Route:
    async def serve(_request: Request) -> Response:
        return Response(b"{}", media_type="application/json")

    return Route("/openapi.json", serve)
