"""A plain client over the `websockets` package: it says what it is told, and keeps what it hears."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import msgpack
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from support.server import Server

Message = dict[str, Any]

WAIT = 30.0
"""Seconds after which what is expected does not come any more: many, since the machine may be busy."""


class Client:
    """One WebSocket to the server, in either codec."""

    def __init__(self, connection: ClientConnection, is_binary: bool) -> None:
        self.connection = connection
        self.heard: list[Message] = []
        """Every message received so far."""
        self._is_binary = is_binary
        self._next_id = 0

    @classmethod
    async def open(cls, server: Server, codec: str = "json", url: str | None = None, **options: Any) -> Client:
        """Connect, without a hello; through a proxy if its `url` is given."""
        connection = await connect(
            url or server.ws_url, subprotocols=[f"presence.v1.{codec}"], proxy=None, ping_interval=None, **options
        )
        return cls(connection, codec == "msgpack")

    @classmethod
    async def hello(
        cls, server: Server, user_id: int, device_id: str = "d1", codec: str = "json", **more: Any
    ) -> Client:
        """Connect and be welcomed."""
        client = await cls.open(server, codec, more.pop("url", None))
        platform = more.pop("platform", "WEB")
        await client.send(type="hello", userId=user_id, deviceId=device_id, platform=platform, **more)
        await client.receive("welcome")
        return client

    @classmethod
    async def observe(cls, server: Server, watch: list[int], codec: str = "json", **more: Any) -> Client:
        """Connect as an observer, and be welcomed. The snapshot is still to be received."""
        client = await cls.open(server, codec)
        await client.send(type="hello", observer=True, watch=watch, **more)
        await client.receive("welcome")
        return client

    async def send(self, **message: Any) -> None:
        await self.connection.send(msgpack.packb(message) if self._is_binary else json.dumps(message))

    async def ask(self, **message: Any) -> Message:
        """Send with an id of its own, and wait for the reply that carries it."""
        self._next_id += 1
        await self.send(id=self._next_id, **message)
        return await self.receive(lambda reply: reply.get("id") == self._next_id)

    async def receive(self, wanted: str | Callable[[Message], bool], seconds: float = WAIT) -> Message:
        """The next message of this type, or that fits; others that come before it are kept in `heard` only."""
        fits = wanted if callable(wanted) else lambda message: message["type"] == wanted
        async with asyncio.timeout(seconds):
            while True:
                message = await self.next()
                if fits(message):
                    return message

    async def next(self) -> Message:
        data = await self.connection.recv()
        message: Message = msgpack.unpackb(data) if isinstance(data, bytes) else json.loads(data)
        self.heard.append(message)
        return message

    async def change_of(self, user_id: int, status: str, seconds: float = WAIT) -> Message:
        """The next entry of a diff that says `status` of `user_id`."""

        def entry(message: Message) -> Message | None:
            for change in message.get("changes", ()):
                if change["userId"] == user_id and change["status"] == status:
                    return dict(change)
            return None

        message = await self.receive(lambda message: entry(message) is not None, seconds)
        found = entry(message)
        assert found is not None
        return found

    async def hears_nothing(self, seconds: float) -> bool:
        """Whether no message comes for so long."""
        try:
            async with asyncio.timeout(seconds):
                await self.next()
        except TimeoutError:
            return True
        return False

    async def closed(self, seconds: float = WAIT) -> int:
        """The code with which the connection ends (1006: without one); what is said before is kept in `heard`."""
        with suppress(ConnectionClosed):
            async with asyncio.timeout(seconds):
                while True:
                    await self.next()
        code = self.connection.close_code
        return 1006 if code is None else code

    async def close(self, code: int = 1000) -> None:
        await self.connection.close(code)

    def vanish(self) -> None:
        """Drop the link without a close frame, as a killed process does."""
        self.connection.transport.abort()


async def vanish(*clients: Client) -> None:
    """Drop many links at once, and wait until this side has let go of them."""
    for client in clients:
        client.vanish()
    await asyncio.gather(*(client.connection.wait_closed() for client in clients))
