"""What a client does with what it hears, written from the protocol's page and sharing no code with the SDK."""

from __future__ import annotations

import random
from typing import Any

from support.client import Client, Message
from support.server import Server


class Fold:
    """The users that one client watches, and what it holds of them."""

    def __init__(self, user_ids: list[int], codec: str) -> None:
        self.watched = set(user_ids)
        self.held: dict[int, Message] = {}
        self.cursor: str | None = None
        self.resumed = 0
        """How often the server took the cursor."""
        self._codec = codec
        self._merges = False
        """Whether the snapshot that comes is one that merges: it answers a hello whose cursor was taken."""
        self._added: set[int] = set()
        """Watched, but not yet answered with a snapshot: a cursor does not speak for them."""

    async def connect(self, server: Server) -> Client:
        """Connect with the cursor, and ask for what was added while offline."""
        client = await Client.open(server, self._codec)
        known = sorted(self.watched & self.held.keys() - self._added)
        hello: dict[str, Any] = {"type": "hello", "observer": True, "watch": known}
        if self.cursor is not None:
            hello["cursor"] = self.cursor
        await client.send(**hello)
        self.receive(await client.receive("welcome"))
        while True:
            message = await client.next()
            self.receive(message)
            if message["type"] == "snapshot" and not message.get("more"):
                break
        if missing := sorted(self.watched - self.held.keys() | self._added):
            await client.send(type="watch", userIds=missing)
        return client

    async def change_list(self, client: Client, rng: random.Random) -> None:
        """Watch one more and one less; the link may be dropped before the answer."""
        gone, new = rng.choice(sorted(self.watched)), rng.randrange(1, 41)
        self.watched.discard(gone)
        self.held.pop(gone, None)
        self._added.discard(gone)
        await client.send(type="unwatch", userIds=[gone])
        if new not in self.watched:
            self.watched.add(new)
            self._added.add(new)
            await client.send(type="watch", userIds=[new])

    async def read(self, client: Client) -> None:
        while True:
            self.receive(await client.next())

    def receive(self, message: Message) -> None:
        if message["type"] == "welcome":
            self._merges = message["resumed"]
            self.resumed += message["resumed"]
        elif message["type"] == "snapshot":
            for entry in message["statuses"]:
                self._take(entry, self._merges)
                self._added.discard(entry["userId"])
            if not message.get("more"):
                self._merges = False
        elif message["type"] == "diff":
            for entry in message["changes"]:
                self._take(entry, True)
        self.cursor = message.get("cursor", self.cursor)

    def _take(self, entry: Message, merges: bool) -> None:
        user_id = entry["userId"]
        if user_id not in self.watched or (merges and user_id not in self.held and user_id in self._added):
            return
        held = self.held.get(user_id)
        if not merges or held is None:
            self.held[user_id] = entry
            return
        # Promise 4: between two full snapshots no version goes back.
        assert entry["version"] >= held["version"], f"{entry} after {held}"
        if entry["version"] > held["version"]:
            self.held[user_id] = entry

    def shown(self) -> dict[int, tuple[str, tuple[str, ...], str | None]]:
        return {
            user_id: (entry["status"], tuple(entry["platforms"]), entry.get("statusText"))
            for user_id, entry in sorted(self.held.items())
            if user_id in self.watched
        }
