"""uvicorn's HTTP protocol, with what a server of many WebSockets needs on top.

A request's head must arrive in time (uvicorn waits forever for one that comes a byte a second); bytes that follow an
upgrade request in the same read are handed on; and after an upgrade the protocol lets go of its parser, since the
two form a cycle that would keep several kilobytes for each connection until the next collection.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import httptools
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from presence_protocol.errors import FieldError
from presence_server.transports.envelope import error_body

if TYPE_CHECKING:
    import asyncio

    from presence_server.transports.gateway import Gateway


class HttpConnection(HttpToolsProtocol):
    gateway: Gateway  # set on the subclass that `bound_to` makes

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._expect_head()

    def connection_lost(self, exc: Exception | None) -> None:
        self.gateway.driver.discard_timeout(self._head_timeout)
        super().connection_lost(exc)

    def on_message_begin(self) -> None:
        self._expect_head()
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        self.gateway.driver.discard_timeout(self._head_timeout)
        super().on_headers_complete()

    def data_received(self, data: bytes) -> None:
        self._unset_keepalive_if_required()
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            if self._should_upgrade():
                self.handle_websocket_upgrade()
                self._hand_on(data[upgrade.args[0] :])
            else:
                self._unsupported_upgrade_warning()
        except httptools.HttpParserError:
            self.send_400_response("not an HTTP request")

    def send_400_response(self, msg: str) -> None:
        body = error_body(400, [FieldError("request", msg)])
        head = (
            "HTTP/1.1 400 Bad Request\r\ncontent-type: application/json\r\n"
            f"content-length: {len(body)}\r\nconnection: close\r\n\r\n"
        )
        self.transport.write(head.encode() + body)
        self.transport.close()

    def _expect_head(self) -> None:
        self.gateway.driver.set_timeout(self._head_timeout, self.gateway.hello_timeout)

    def _head_timeout(self) -> None:
        if not self.transport.is_closing():
            self.transport.close()

    def _hand_on(self, rest: bytes) -> None:
        self.gateway.driver.discard_timeout(self._head_timeout)
        upgraded: Any = self.transport.get_protocol()
        if rest:
            upgraded.data_received(rest)
        self.parser = None  # type: ignore[assignment]
        self.cycle = None  # type: ignore[assignment]


def bound_to(gateway: Gateway) -> type[HttpConnection]:
    """The protocol class for uvicorn's `http` setting, which takes a class and nothing else."""
    return type("HttpConnection", (HttpConnection,), {"gateway": gateway})
