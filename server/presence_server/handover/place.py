"""The place of a server that runs, and how it is left: what `giving` asks for, done with all its parts."""

from __future__ import annotations

import socket
from collections.abc import Sequence

from presence_server.process import PresenceServer
from presence_server.state.engine import LastingEngine
from presence_server.state.hands import ThreadHands
from presence_server.state.life import State
from presence_server.transports.gateway import Gateway


class ServerPlace:
    """A `giving.Place`. `longest`: seconds within which clients are asked to reconnect, at most."""

    def __init__(
        self, server: PresenceServer, gateway: Gateway, state: State, hands: ThreadHands, longest: float
    ) -> None:
        self._server = server
        self._gateway = gateway
        self._state = state
        self._hands = hands
        self._longest = longest
        self.is_left = False

    @property
    def listeners(self) -> Sequence[socket.socket]:
        return self._server.listeners

    async def stop_accepting(self) -> None:
        await self._server.stop_accepting()
        await self._server.finish_begun()

    async def release(self) -> None:
        gateway = self._gateway
        if gateway.webhooks is not None:
            await gateway.webhooks.stop()
        gateway.hub.publishing.release_all(gateway.clock.now())
        self._engine.is_released = True
        self._state.finish()
        await self._hands.rest()
        self._state.close()

    async def take_back(self) -> None:
        self._state.take_back()
        self._engine.is_released = False
        if self._gateway.webhooks is not None:
            self._gateway.webhooks.start()
        await self._server.accept()

    def move_clients(self) -> None:
        self.is_left = True
        self._server.move_clients(self._longest)

    @property
    def _engine(self) -> LastingEngine:
        engine = self._gateway.hub.engine
        assert isinstance(engine, LastingEngine)
        return engine
