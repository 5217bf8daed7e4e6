"""Which versions of which SDKs people use, by what their connections say in `hello`.

People are counted, not connections: two tabs of one version are one user. Clients choose what they say, so only so
many names are kept at once; whoever says another meanwhile counts as `other`.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Final

UNKNOWN: Final = "unknown"
"""Nothing was said."""
OTHER: Final = "other"

SDKS: Final = ("presence-js", "presence-python")
"""Ours, which have a name in metrics."""

MOST: Final = 64


class Client:
    """One name, and how many users have a connection of it. Connections share it."""

    __slots__ = ("name", "users")

    def __init__(self, name: str) -> None:
        self.name = name
        self.users = 0

    @property
    def sdk(self) -> str:
        """The name without the version, if it is one of ours; else `other`, or `unknown`."""
        name = self.name.partition("/")[0]
        return name if name in (*SDKS, UNKNOWN) else OTHER

    def __repr__(self) -> str:
        return f"<Client {self.name}, {self.users} users>"


class Clients:
    def __init__(self, most: int = MOST) -> None:
        self._most = most
        self._known: dict[str, Client] = {}
        self._unknown, self._other = Client(UNKNOWN), Client(OTHER)

    def joined(self, name: str | None, others: Collection[Client | None]) -> Client:
        """A user has a connection of that name from now on, beside those of `others`. What it is counted under."""
        client = self._unknown if name is None else self._named(name)
        client.users += client not in others
        return client

    def left(self, client: Client | None, others: Collection[Client | None]) -> None:
        """A user has a connection less, beside those of `others`."""
        if client is not None and client not in others:
            client.users -= 1

    def _named(self, name: str) -> Client:
        known = self._known.get(name)
        if known is None:
            if len(self._known) >= self._most:
                self._make_room()
            if len(self._known) >= self._most:
                return self._other
            known = self._known[name] = Client(name)
        return known

    def _make_room(self) -> None:
        """Forget the names that nobody uses now."""
        self._known = {name: client for name, client in self._known.items() if client.users}

    def by_name(self) -> dict[str, int]:
        """Users who are connected, by what their clients say they are."""
        every = (*sorted(self._known.values(), key=lambda each: each.name), self._other, self._unknown)
        return {client.name: client.users for client in every if client.users}

    def by_sdk(self) -> dict[str, int]:
        """The same by name of the SDK: those of one user in two versions count twice."""
        found = dict.fromkeys((*SDKS, OTHER, UNKNOWN), 0)
        for client in (*self._known.values(), self._other, self._unknown):
            found[client.sdk] += client.users
        return found
