"""For those who run it: is it alive, is it ready, how is it doing (see `metrics`)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from presence_server.transports.exposition import CONTENT_TYPE, text_of
from presence_server.transports.metrics import collect
from presence_server.transports.rest.envelope import NOT_STORED, error_headers

if TYPE_CHECKING:
    from presence_server.transports.gateway import Gateway


PATHS: Final = frozenset(("/healthz", "/readyz", "/metrics"))
"""Answered also to those for whom there is no place: a full server must be seen to be alive."""


class Operations:
    def __init__(self, gateway: Gateway, version: str) -> None:
        self._gateway = gateway
        self._version = version

    def routes(self) -> list[Route]:
        return [
            Route("/healthz", self.healthz),
            Route("/readyz", self.readyz),
            Route("/metrics", self.metrics),
        ]

    async def healthz(self, _request: Request) -> Response:
        """200 while the process answers at all."""
        return _json(200, {"status": "ok", "version": self._version})

    async def readyz(self, _request: Request) -> Response:
        """200 while new connections are welcome; 503 when draining or full."""
        if self._gateway.hub.is_draining:
            return _json(503, {"status": "draining"})
        if not self._gateway.hub.engine.is_reachable:
            return _json(503, {"status": "unreachable"})
        if not self._gateway.has_room():
            return _json(503, {"status": "full"})
        return _json(200, {"status": "ready"})

    async def metrics(self, _request: Request) -> Response:
        """Prometheus's text format, version 0.0.4."""
        text = text_of(collect(self._gateway, self._version))
        return Response(text, headers=NOT_STORED, media_type=CONTENT_TYPE)


def _json(status: int, body: dict[str, str]) -> Response:
    headers = NOT_STORED | error_headers(status)
    return Response(msgspec.json.encode(body), status_code=status, headers=headers, media_type="application/json")
