"""A link without a network, which a test holds in its hand: it sees what the client says, and says what it likes."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from presence_client.attempts import End, Policy
from presence_client.backoff import Backoff
from presence_client.client import PresenceClient
from presence_client.conversation import Kind
from presence_client.identity import Identity
from presence_client.links import Events, Link
from presence_protocol.messages import AnyClientMessage, AnyServerMessage, Limits, Welcome

LIMITS = Limits(ping_interval=25_000, pong_timeout=10_000, max_watched=5000, max_message=262_144, max_batch=1000)
QUICK = Policy(Backoff(0.01, 0.01), fallback_after=None)


def welcome(server_time: str = "2026-01-01T00:00:00Z") -> Welcome:
    return Welcome(session_id="s", server_time=server_time, continued=False, resumed=False, self_=None, limits=LIMITS)


class ScriptedLink:
    """One connection. It opens at once, and answers nothing by itself."""

    def __init__(self) -> None:
        self.said: list[AnyClientMessage] = []
        self._ended: asyncio.Future[End] = asyncio.get_running_loop().create_future()
        self._events: Events | None = None

    async def run(self, events: Events) -> End:
        self._events = events
        events.opened()
        return await self._ended

    def send(self, message: AnyClientMessage) -> None:
        self.said.append(message)

    def close(self, code: int, reason: str) -> None:
        self.end(code, reason)

    def say(self, *messages: AnyServerMessage) -> None:
        """The server says this."""
        assert self._events is not None, "it has not been opened yet"
        for message in messages:
            self._events.received(message)

    def end(self, code: int = 1006, reason: str = "", http_status: int = 0) -> None:
        """The connection ends."""
        if not self._ended.done():
            self._ended.set_result(End(code, reason, http_status=http_status))


class Scripted:
    """A client over such links: `links` has all that were made, the last one last."""

    def __init__(self, *, policy: Policy = QUICK, **more: Any) -> None:
        self.links: list[ScriptedLink] = []
        more = {"open_timeout": 0.0, "timeout": 0.2} | more
        identity = Identity(None, None, None, observer=True) if more.pop("observer", False) else Identity(1, "d", "PC")
        self.client = PresenceClient(identity, self._link, policy=policy, chance=lambda: 1.0, **more)

    def _link(self, _kind: Kind, _token: str | None) -> Link:
        self.links.append(ScriptedLink())
        return self.links[-1]

    async def greeted(self, number: int = 1) -> ScriptedLink:
        """Wait until the client has said hello on its link of this number."""
        await until(lambda: len(self.links) >= number and bool(self.links[-1].said))
        return self.links[-1]

    async def online(self, number: int = 1) -> ScriptedLink:
        """Wait for hello, and welcome it."""
        link = await self.greeted(number)
        link.say(welcome())
        return link


async def until(condition: Callable[[], bool], seconds: float = 8) -> None:
    """Wait until it is so.

    Raises:
        TimeoutError: not within so many seconds.
    """
    async with asyncio.timeout(seconds):
        while not condition():  # noqa: ASYNC110 - what is waited for has no event of its own
            await asyncio.sleep(0.001)
