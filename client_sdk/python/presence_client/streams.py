"""What a program iterates over: each stream belongs to one consumer, and holds a bounded amount for it.

`check_loop` raises UsageError where the consumer does not run in the client's event loop, in which it would never wake.
"""

import asyncio
from collections.abc import Callable
from typing import Generic, TypeVar

from presence_client.changes import Change, Conflated
from presence_client.errors import PresenceError
from presence_protocol.user_ids import UserId

T = TypeVar("T")


class ChangeStream:
    """Changes of the watched users, the last of each that was not taken yet."""

    def __init__(self, check_loop: Callable[[], None]) -> None:
        self._check_loop = check_loop
        self._waiting = Conflated()
        self._wake = asyncio.Event()
        self._is_finished = False
        self._error: PresenceError | None = None

    def __aiter__(self) -> "ChangeStream":
        return self

    async def __anext__(self) -> Change:
        self._check_loop()
        while not self._waiting:
            if self._error is not None:
                raise self._error
            if self._is_finished:
                raise StopAsyncIteration
            self._wake.clear()
            await self._wake.wait()
        return self._waiting.take()

    def put(self, change: Change) -> None:
        """There is a change."""
        self._waiting.put(change)
        self._wake.set()

    def forget(self, user_id: UserId) -> None:
        """The user is watched no longer."""
        self._waiting.forget(user_id)

    def finish(self, error: PresenceError | None) -> None:
        """Nothing more will come: end, with this error if there is one, after what still waits."""
        self._is_finished = True
        self._error = error
        self._wake.set()


class Latest(Generic[T]):
    """Values of which only the last one matters: a consumer that falls behind sees just that. Ends with `finish`."""

    def __init__(self, check_loop: Callable[[], None]) -> None:
        self._check_loop = check_loop
        self._waiting: list[T] = []  # one at most
        self._is_finished = False
        self._wake = asyncio.Event()

    def __aiter__(self) -> "Latest[T]":
        return self

    async def __anext__(self) -> T:
        self._check_loop()
        while not self._waiting:
            if self._is_finished:
                raise StopAsyncIteration
            self._wake.clear()
            await self._wake.wait()
        return self._waiting.pop()

    def put(self, value: T) -> None:
        """There is a newer value."""
        self._waiting = [value]
        self._wake.set()

    def finish(self) -> None:
        """Nothing more will come, after what still waits."""
        self._is_finished = True
        self._wake.set()
