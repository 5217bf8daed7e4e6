"""Thousands of clients in one process, which come back by themselves and keep account of what they were told.

Each is a user with one device, watches some others, and counts every word that must not be said: OFFLINE of a user who
is always there, and a version that goes back. They know no more of the protocol than they need.
"""

from __future__ import annotations

import asyncio
import base64
import json
import os
from collections import Counter
from collections.abc import Sequence
from random import Random
from typing import Any

_PATH = "/api/v1/presence/ws"
FIRST_WAIT, MOST_WAIT = 0.2, 5.0
"""Seconds until another try, which double with each."""


class Member(asyncio.Protocol):
    """One user. `watched` are users of the swarm."""

    def __init__(self, swarm: Swarm, user_id: int, watched: Sequence[int]) -> None:
        self.swarm = swarm
        self.user_id = user_id
        self.watched = watched
        self.versions: dict[int, int] = {}
        self.statuses: dict[int, str] = {}
        self.cursor: str | None = None
        self.is_there = False
        self._transport: asyncio.Transport | None = None
        self._received = bytearray()
        self._is_upgraded = False
        self._wait = FIRST_WAIT

    # -- the connection ------------------------------------------------------------------------------------------------

    async def come(self) -> None:
        """Connect, or try again later."""
        try:
            await asyncio.get_running_loop().create_connection(lambda: self, "127.0.0.1", self.swarm.port)
        except OSError:
            self._come_later()

    def _come_later(self) -> None:
        if not self.swarm.is_over:
            wait = self.swarm.random.uniform(self._wait / 2, self._wait)
            self._wait = min(MOST_WAIT, 2 * self._wait)
            asyncio.get_running_loop().call_later(wait, self.swarm.begin, self)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport, self._received, self._is_upgraded = transport, bytearray(), False
        key = base64.b64encode(os.urandom(16)).decode()
        transport.write(
            f"GET {_PATH} HTTP/1.1\r\nHost: 127.0.0.1:{self.swarm.port}\r\nUpgrade: websocket\r\n"
            f"Connection: Upgrade\r\nSec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\n"
            "Sec-WebSocket-Protocol: presence.v1.json\r\n\r\n".encode()
        )

    def connection_lost(self, failure: Exception | None) -> None:
        self.swarm.left(self)
        self._transport, self.is_there = None, False
        self._come_later()

    def data_received(self, data: bytes) -> None:
        received = self._received
        received += data
        if not self._is_upgraded:
            end = received.find(b"\r\n\r\n")
            if end < 0:
                return
            if not received.startswith(b"HTTP/1.1 101"):
                self.swarm.counts["refused"] += 1
                self.drop()
                return
            del received[: end + 4]
            self._is_upgraded = True
            hello = {"type": "hello", "userId": self.user_id, "deviceId": "d", "platform": "WEB"}
            self.send(**hello, watch=list(self.watched), **({"cursor": self.cursor} if self.cursor else {}))
        while (frame := self._frame()) is not None:
            self._heard(*frame)

    def _frame(self) -> tuple[int, bytes] | None:
        received = self._received
        if len(received) < 2:
            return None
        length, start = received[1], 2
        if length == 126:
            length, start = int.from_bytes(received[2:4], "big"), 4
        elif length == 127:
            length, start = int.from_bytes(received[2:10], "big"), 10
        if len(received) < start + length:
            return None
        frame = received[0] & 15, bytes(received[start : start + length])
        del received[: start + length]
        return frame

    def _send_frame(self, kind: int, data: bytes) -> None:
        if self._transport is None:
            return
        length = len(data)
        head = (
            bytes([128 | kind, 128 | length]) if length < 126 else bytes([128 | kind, 254]) + length.to_bytes(2, "big")
        )
        self._transport.write(head + bytes(4) + data)

    def send(self, **message: Any) -> None:
        self._send_frame(1, json.dumps(message).encode())

    def drop(self) -> None:
        if self._transport is not None:
            self._transport.abort()

    # -- what it is told -----------------------------------------------------------------------------------------------

    def _heard(self, kind: int, data: bytes) -> None:
        if kind == 9:
            self._send_frame(10, data)
        elif kind == 8:
            self.swarm.counts[f"closed {int.from_bytes(data[:2], 'big')}"] += 1
            self.drop()
        elif kind == 1:
            message = json.loads(data)
            if message["type"] == "welcome":
                self._welcomed(message)
            elif message["type"] == "reconnect" and self.swarm.moves:
                self._wait = 0.0
                asyncio.get_running_loop().call_later(message["afterMs"] / 1000, self._move, self._transport)
            for entry in message.get("changes", message.get("statuses", ())):
                self._told(entry["userId"], entry["status"], entry["version"])
            self.cursor = message.get("cursor", self.cursor)

    def _move(self, left: asyncio.Transport | None) -> None:
        if left is self._transport:
            self.drop()

    def _welcomed(self, welcome: dict[str, Any]) -> None:
        self.is_there, self._wait = True, FIRST_WAIT
        self.swarm.arrived(self, welcome["continued"], welcome["resumed"])

    def _told(self, user_id: int, status: str, version: int) -> None:
        before = self.versions.get(user_id, 0)
        if version < before:
            self.swarm.wrong(f"{self.user_id} was told of {user_id} at {version} after {before}")
        if status == "OFFLINE" and self.statuses.get(user_id, status) != "OFFLINE":
            self.swarm.wrong(f"{self.user_id} was told that {user_id} is OFFLINE, at {version} after {before}")
        self.versions[user_id], self.statuses[user_id] = version, status


class Swarm:
    """All of them. `counts`: continued, resumed and so on, by arrival. `wrongs`: what must never be said."""

    def __init__(self, port: int, size: int, watched: int, seed: int = 1, moves: bool = False) -> None:
        """`moves`: they do as `reconnect` says; else they stay until they are closed."""
        self.port = port
        self.moves = moves
        self.random = Random(seed)
        self.counts: Counter[str] = Counter()
        self.wrongs: list[str] = []
        self.is_over = False
        self.there = 0
        ids = range(1, size + 1)
        self.members = [Member(self, user_id, self.random.sample(ids, watched)) for user_id in ids]
        self._tasks: set[asyncio.Task[None]] = set()
        self._changed = asyncio.Event()

    def begin(self, member: Member) -> None:
        task = asyncio.ensure_future(member.come())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def arrived(self, member: Member, continued: bool, resumed: bool) -> None:
        self.there += 1
        self.counts["arrived"] += 1
        self.counts["continued"] += continued
        self.counts["resumed"] += resumed
        self._changed.set()

    def left(self, member: Member) -> None:
        self.there -= member.is_there
        self._changed.set()

    def wrong(self, what: str) -> None:
        self.counts["wrong"] += 1
        if len(self.wrongs) < 10:
            self.wrongs.append(what)

    async def all_there(self, seconds: float = 120.0) -> None:
        async with asyncio.timeout(seconds):
            while self.there < len(self.members):
                self._changed.clear()
                await self._changed.wait()

    async def come(self) -> None:
        """All of them, a hundred at a time."""
        for start in range(0, len(self.members), 100):
            for member in self.members[start : start + 100]:
                self.begin(member)
            await asyncio.sleep(0.02)
        await self.all_there()

    def stir(self) -> None:
        """Somebody goes idle, or comes back to it: a change for who watches."""
        member = self.random.choice(self.members)
        if member.is_there:
            member.send(type="activity", idle=self.random.random() < 0.5)

    async def stirring(self, changes: float) -> None:
        """So many a second, until cancelled."""
        while True:
            self.stir()
            await asyncio.sleep(1 / changes)

    async def leave(self) -> None:
        self.is_over = True
        for member in self.members:
            member.drop()
        await asyncio.sleep(0)
