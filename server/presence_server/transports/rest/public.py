"""Pages and documents, which nobody has to be known for: how many an address may ask for in a second."""

from __future__ import annotations

from typing import TYPE_CHECKING

from starlette.requests import Request

from presence_protocol.paths import BASE_PATH
from presence_server.transports.operations import PATHS
from presence_server.transports.rest.desk import forwarding_of, refused_by
from presence_server.transports.rest.envelope import failure

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Receive, Scope, Send

    from presence_server.transports.gateway import Gateway


class PublicLimit:
    """ASGI around all. Endpoints of REST count by themselves, when they know who asks; probes are not counted."""

    def __init__(self, app: ASGIApp, gateway: Gateway) -> None:
        self._app = app
        self._gateway = gateway

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and not scope["path"].startswith(BASE_PATH) and scope["path"] not in PATHS:
            address = scope["client"][0] if scope["client"] else ""
            over = self._gateway.entrance.over_asking(address, forwarding_of(Request(scope)))
            if over is not None:
                await failure(refused_by(over))(scope, receive, send)
                return
        await self._app(scope, receive, send)
