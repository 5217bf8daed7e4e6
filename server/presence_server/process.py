"""The life of the process: uvicorn's server, with an end that takes its clients along.

The first SIGTERM or SIGINT drains: nobody new is let in, long polls are answered, every client is asked to connect
elsewhere at a time of its own, and what is left at the end is closed with 1012. Only then does uvicorn's own
shutdown come, which closes listeners and connections at once. The second signal ends the process at once.
"""

from __future__ import annotations

import asyncio
import signal
import socket
from collections.abc import Callable
from types import FrameType
from typing import Any, Final, cast

import uvicorn

from presence_protocol.close_codes import CloseCode
from presence_server.listening import Sockets
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


MOVED_A_SECOND: Final = 2000
"""Clients that a successor on the same machine greets in a second, with room to spare: 0.2 ms each."""

LATE: Final = 3.0
"""Seconds that a client has to move after the last was asked to."""

HELD_DRAIN: Final = 2.0
"""Seconds of a drain at most where systemd holds the sockets: whoever connects waits for the server to come."""


BEGUN: Final = 1.0
"""Seconds that what has begun may take: a request that is answered, a client that has connected and is greeted."""

LOOK: Final = 0.01
QUIET: Final = 3
"""So many looks in a row must find nothing begun: a connection that was just accepted takes a turn to be seen."""


class PresenceServer(uvicorn.Server):
    def __init__(
        self,
        config: uvicorn.Config,
        gateway: Gateway,
        drain_timeout: float,
        certificate: Certificate | None = None,
        sockets: Sockets = Sockets(),  # noqa: B008 - it is a constant
    ) -> None:
        super().__init__(config)
        self._sockets = sockets
        self.on_started: list[Callable[[], None]] = []
        """Called once connections are accepted."""
        self._is_accepting = False
        self._certificate = certificate
        self._gateway = gateway
        self._drain_timeout = drain_timeout
        self._loop: asyncio.AbstractEventLoop | None = None
        self._drain: asyncio.Task[None] | None = None
        self._signals = 0
        self.listeners: list[socket.socket] = []
        self._reopening: asyncio.Task[None] | None = None

    async def startup(self, sockets: list[object] | None = None) -> None:  # type: ignore[override]
        self._loop = asyncio.get_running_loop()
        # Closing a listener ends its descriptor: each begins with one of its own, and the socket itself stays.
        self.listeners = cast("list[socket.socket]", sockets or [])
        if hasattr(signal, "SIGHUP"):
            self._loop.add_signal_handler(signal.SIGHUP, self._reload)
        await super().startup(sockets=[])
        await self.accept()
        for call in self.on_started:
            call()
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
            self._close_servers()
        elif not self.should_exit and self._is_accepting:
            self._reopening = asyncio.ensure_future(self._reopen())

    def _close_servers(self) -> None:
        for server in self.servers:
            server.close()
        self.servers = []

    async def accept(self) -> None:
        """Accept whoever connects, and has connected."""
        self._is_accepting = True
        await self._reopen()

    async def stop_accepting(self) -> None:
        """Accept who has connected already, and nobody more."""
        for _ in range(2):  # a turn of the loop accepts all that wait
            await asyncio.sleep(0)
        self._is_accepting = False
        self._close_servers()

    async def finish_begun(self) -> None:
        """Whoever was accepted is answered or greeted, within `BEGUN` seconds; requests to come go elsewhere."""
        self._wake_waiting()
        loop, quiet = asyncio.get_running_loop(), 0
        ends = loop.time() + BEGUN
        while quiet < QUIET and loop.time() < ends:
            connections = self.server_state.connections
            for connection in list(connections):
                connection.end_when_idle()  # type: ignore[union-attr]  # they are ours
            quiet = 0 if connections or self._gateway.hub.roster.greeting else quiet + 1
            await asyncio.sleep(LOOK)

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
        for listener in self.listeners:
            if listener.family == socket.AF_UNIX:  # of the proxy in front, which is on this machine
                made = await loop.create_unix_server(open_door, sock=listener.dup(), backlog=config.backlog)
            else:
                made = await loop.create_server(open_door, sock=listener.dup(), backlog=config.backlog, **tls)
            self.servers.append(made)

    def _begin_drain(self) -> None:
        self._drain = asyncio.ensure_future(self._drain_and_exit())

    async def _drain_and_exit(self) -> None:
        if self._sockets.are_held:
            self._drain_timeout = min(self._drain_timeout, HELD_DRAIN)
        ends_at = asyncio.get_running_loop().time() + self._drain_timeout
        try:
            if self._sockets.are_held or self._sockets.are_shared:
                await self.stop_accepting()
                for listener in self.listeners:  # at once: who comes to a shared port must come to the other server
                    listener.close()
                self.listeners = []
                await self.finish_begun()
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
        self._wake_waiting()
        await gateway.websockets.wait_empty(self._drain_timeout - closing)
        await self._close_clients(closing)

    def _wake_waiting(self) -> None:
        """Whoever waits for something is answered."""
        gateway = self._gateway
        gateway.polls.wake_all()
        if gateway.reaches is not None:
            gateway.reaches.wake_all()
        if gateway.feed is not None:
            gateway.feed.wake_all()

    async def _close_clients(self, closing: float) -> None:
        gateway = self._gateway
        left = len(gateway.websockets.connections)
        now = gateway.clock.now()
        gateway.hub.dismissals.close_all(CloseCode.SERVICE_RESTART, "the server is ending", now)
        await gateway.websockets.wait_empty(closing / 2)
        for connection in list(gateway.websockets.connections):
            connection.abort()
        _log.info("drained", closed=left)

    # -- another server takes its place ----------------------------------------------------------------------------

    def move_clients(self, longest: float) -> None:
        """Ask all to reconnect, within `longest` seconds at most, and end: another server accepts them."""
        self._drain = asyncio.ensure_future(self._move_and_exit(longest))

    async def _move_and_exit(self, longest: float) -> None:
        gateway = self._gateway
        try:
            count = len(gateway.websockets.connections)
            spread = min(count / MOVED_A_SECOND, longest, self._drain_timeout)
            _log.info("clients move", connections=count, seconds=round(spread, 2))
            gateway.hub.drain(spread)
            self._wake_waiting()
            await gateway.websockets.wait_empty(spread + LATE)
            await self._close_clients(CLOSING)
        except Exception as failure:
            _log.exception("moving failed", failure)
        finally:
            self.should_exit = True
