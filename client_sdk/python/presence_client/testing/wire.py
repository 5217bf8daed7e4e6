"""A link through memory: encoded messages go over two queues, each of which may be slow, cut or deaf."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Protocol

from presence_client.attempts import End
from presence_client.links import Events
from presence_client.websocket_link import end_of_refusal
from presence_protocol.close_codes import CloseCode
from presence_protocol.codec import Codec
from presence_protocol.errors import InvalidMessage
from presence_protocol.messages import AnyClientMessage, AnyServerMessage
from presence_protocol.session import Role, Session
from presence_protocol.user_ids import UserId


class ServerEnd(Protocol):
    """The fake server, as a link needs it."""

    latency: float
    refusal: tuple[int, float | None] | None
    is_deaf: bool

    def attach(self, link: MemoryLink) -> None: ...

    def detach(self, link: MemoryLink, code: int) -> None: ...

    def receive(self, link: MemoryLink, message: AnyClientMessage) -> None: ...


class Pipe:
    """One direction: what is put in comes out in order, each after the delay of the moment when it was put in."""

    def __init__(self) -> None:
        self._queue: asyncio.Queue[tuple[float, bytes | tuple[int, str]]] = asyncio.Queue()
        self.under_way = 0

    def put(self, item: bytes | tuple[int, str], delay: float) -> None:
        self.under_way += 1
        self._queue.put_nowait((asyncio.get_running_loop().time() + delay, item))

    async def get(self) -> bytes | tuple[int, str]:
        due, item = await self._queue.get()
        if (seconds := due - asyncio.get_running_loop().time()) > 0:
            await asyncio.sleep(seconds)
        return item


class MemoryLink:
    """Both ends of one connection: the SDK's link, and what the server knows of it."""

    def __init__(self, server: ServerEnd, codec: Codec) -> None:
        self.session = Session(Role.SERVER)
        self.user_id: UserId | None = None
        self.device_id = ""
        self.client = "unknown"
        self.watched: set[UserId] = set()
        self._server = server
        self._codec = codec
        self._to_server, self._to_client = Pipe(), Pipe()
        self._ended: asyncio.Future[End] = asyncio.get_running_loop().create_future()
        self._code_of_client = CloseCode.ABNORMAL
        self._is_dead = False

    def __repr__(self) -> str:
        return f"<MemoryLink {self.user_id}/{self.device_id} {self.session}>"

    @property
    def under_way(self) -> int:
        """Messages on their way, either way."""
        return 0 if self._ended.done() else self._to_server.under_way + self._to_client.under_way

    # -- the client's end ------------------------------------------------------------------------------------------

    def send(self, message: AnyClientMessage) -> None:
        self._to_server.put(self._codec.encode(message), self._server.latency)

    def close(self, code: int, reason: str) -> None:
        self._to_server.put((code, reason), self._server.latency)

    async def run(self, events: Events) -> End:
        if (refused := self._server.refusal) is not None and refused[0] < 4000:
            return end_of_refusal(*refused)
        await asyncio.sleep(self._server.latency)
        self._server.attach(self)
        pumps = [asyncio.create_task(self._pump_to_server()), asyncio.create_task(self._pump_to_client(events))]
        try:
            events.opened()
            return await self._ended
        finally:
            for pump in pumps:
                pump.cancel()
            for pump in pumps:
                with suppress(asyncio.CancelledError):
                    await pump
            self._server.detach(self, self._code_of_client)

    async def _pump_to_server(self) -> None:
        while True:
            item = await self._to_server.get()
            if isinstance(item, tuple):
                self._code_of_client = CloseCode(item[0])
                self._end(End(*item))
            elif not self._is_swallowed():
                self._server.receive(self, self._codec.decode_client(item))
            self._to_server.under_way -= 1

    async def _pump_to_client(self, events: Events) -> None:
        while True:
            item = await self._to_client.get()
            if self._is_swallowed():
                pass
            elif isinstance(item, tuple):
                self._end(End(*item))
            else:
                with suppress(InvalidMessage):
                    events.received(self._codec.decode_server(item))
            self._to_client.under_way -= 1

    def _is_swallowed(self) -> bool:
        """TCP loses nothing and then goes on: a connection that lost a message is never heard of again."""
        self._is_dead = self._is_dead or self._server.is_deaf
        return self._is_dead

    def _end(self, end: End) -> None:
        if not self._ended.done():
            self._ended.set_result(end)

    # -- the server's end ------------------------------------------------------------------------------------------

    def tell(self, message: AnyServerMessage) -> None:
        self._to_client.put(self._codec.encode(message), self._server.latency)

    def close_from_server(self, code: int, reason: str) -> None:
        self._to_client.put((code, reason), self._server.latency)

    def cut(self) -> None:
        self._end(End(CloseCode.ABNORMAL, "the connection was lost"))
