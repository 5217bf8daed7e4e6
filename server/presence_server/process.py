"""The life of the process: uvicorn's server, with an end that takes its clients along.

The first SIGTERM or SIGINT drains: nobody new is let in, long polls are answered, every client is asked to connect
elsewhere at a time of its own, and what is left at the end is closed with 1012. Only then does uvicorn's own
shutdown come, which closes listeners and connections at once. The second signal ends the process at once.
"""

from __future__ import annotations

import asyncio
import signal
import socket
from types import FrameType
from typing import Any, Final, cast

import uvicorn

from presence_protocol.close_codes import CloseCode
from presence_server.logs import get_logger
from presence_server.tls import Certificate
from presence_server.transports.gateway import Gateway

SPREAD: Final = 0.6
"""The share of the time before closing over which clients are asked to leave; the rest is for who is late."""

CLOSING: Final = 2.0
"""Seconds at the end of the drain, at most half of it, for closing what is left and ending the process."""

ENDING: Final = 0.6
"""Seconds that the end takes by itself: uvicorn looks at `should_exit` every 0.1 s, waits as long again before it
ends requests that are still under way, and then the interpreter ends, on a busy machine perhaps."""

_log = get_logger(__name__)


class PresenceServer(uvicorn.Server):
    def __init__(
        self, config: uvicorn.Config, gateway: Gateway, drain_timeout: float, certificate: Certificate | None = None
    ) -> None:
        super().__init__(config)
        self._certificate = certificate
        self._gateway = gateway
        self._drain_timeout = drain_timeout
        self._loop: asyncio.AbstractEventLoop | None = None
        self._drain: asyncio.Task[None] | None = None
        self._signals = 0
        self._listeners: list[socket.socket] = []
        self._reopening: asyncio.Task[None] | None = None

    async def startup(self, sockets: list[object] | None = None) -> None:  # type: ignore[override]
        self._loop = asyncio.get_running_loop()
        # Closing a listener ends its descriptor: each begins with one of its own, and the socket itself stays.
        self._listeners = cast("list[socket.socket]", sockets or [])
        if hasattr(signal, "SIGHUP"):
            self._loop.add_signal_handler(signal.SIGHUP, self._reload)
        await super().startup(sockets=[])
        await self._reopen()
        if self._signals:  # told to end before it had begun
            self.should_exit = True

    def _reload(self) -> None:
        """SIGHUP: read the files anew that may have changed."""
        gateway = self._gateway
        gone = gateway.access.reload()
        gateway.hub.dismissals.end_principals(gone, gateway.clock.now())
        if gateway.webhooks is not None:
            gateway.webhooks.reload()
        if self._certificate is not None:
            self._certificate.reload()

    async def on_tick(self, counter: int) -> bool:
        """Ten times a second. At a counter of 0 uvicorn reads the calendar for `Date`: a second later is too late."""
        return await super().on_tick(0)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """A signal. Overridden whole: uvicorn would raise it again after its shutdown, and exit with -15."""
        self._signals += 1
        if self._signals > 1 or self._loop is None:
            self.should_exit = self.force_exit = True
        elif self.started:
            self._loop.call_soon_threadsafe(self._begin_drain)

    def on_crowd(self, is_crowded: bool) -> None:
        """Accept nobody until there are descriptors again: who comes meanwhile waits in the kernel's queue."""
        if is_crowded:
            for server in self.servers:
                server.close()
            self.servers = []
        elif not self.should_exit:
            self._reopening = asyncio.ensure_future(self._reopen())

    async def _reopen(self) -> None:
        loop, config = asyncio.get_running_loop(), self.config
        opened: Any = config.http_protocol_class

        def open_door() -> asyncio.Protocol:
            door: asyncio.Protocol = opened(config=config, server_state=self.server_state)
            return door

        tls: dict[str, Any] = {}
        if self._certificate is not None:
            # Until the handshake is done the connection is nobody's: no other timeout would end it.
            timeout = self._gateway.http.limits.header_timeout
            tls = {"ssl": self._certificate.context, "ssl_handshake_timeout": timeout, "ssl_shutdown_timeout": 1.0}
        for listener in self._listeners:
            if listener.family == socket.AF_UNIX:  # of the proxy in front, which is on this machine
                made = await loop.create_unix_server(open_door, sock=listener.dup(), backlog=config.backlog)
            else:
                made = await loop.create_server(open_door, sock=listener.dup(), backlog=config.backlog, **tls)
            self.servers.append(made)

    def _begin_drain(self) -> None:
        self._drain = asyncio.ensure_future(self._drain_and_exit())

    async def _drain_and_exit(self) -> None:
        ends_at = asyncio.get_running_loop().time() + self._drain_timeout
        try:
            await self._drain_clients()
        except Exception as failure:
            # Whatever went wrong, whoever sent the signal waits for the process to end.
            _log.exception("drain failed", failure)
        finally:
            left = ends_at - asyncio.get_running_loop().time() - ENDING
            # Requests still under way get a second, unless the drain has less left (uvicorn's type knows no fractions).
            self.config.timeout_graceful_shutdown = max(0.0, min(1.0, left))  # type: ignore[assignment]
            self.should_exit = True

    async def _drain_clients(self) -> None:
        gateway = self._gateway
        closing = min(CLOSING, self._drain_timeout / 2)
        _log.info("draining", connections=len(gateway.websockets.connections), seconds=self._drain_timeout)
        gateway.hub.drain((self._drain_timeout - closing) * SPREAD)
        gateway.polls.wake_all()
        if gateway.reaches is not None:
            gateway.reaches.wake_all()
        if gateway.feed is not None:
            gateway.feed.wake_all()
        await gateway.websockets.wait_empty(self._drain_timeout - closing)
        left = len(gateway.websockets.connections)
        now = gateway.clock.now()
        gateway.hub.dismissals.close_all(CloseCode.SERVICE_RESTART, "the server is ending", now)
        await gateway.websockets.wait_empty(closing / 2)
        for connection in list(gateway.websockets.connections):
            connection.abort()
        _log.info("drained", closed=left)
