"""What a program iterates over: each stream belongs to one consumer, and holds a bounded amount for it."""

import asyncio

from presence_client.actions import ConnectionState, Phase
from presence_client.changes import Change, Conflated
from presence_client.errors import PresenceError


class ChangeStream:
    """Changes of the watched users, the last of each that was not taken yet."""

    def __init__(self) -> None:
        self._waiting = Conflated()
        self._wake = asyncio.Event()
        self._is_finished = False
        self._error: PresenceError | None = None

    def __aiter__(self) -> "ChangeStream":
        return self

    async def __anext__(self) -> Change:
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

    def forget(self, user_id: int) -> None:
        """The user is watched no longer."""
        self._waiting.forget(user_id)

    def finish(self, error: PresenceError | None) -> None:
        """Nothing more will come: end, with this error if there is one, after what still waits."""
        self._is_finished = True
        self._error = error
        self._wake.set()


class StateStream:
    """States of a connection; only the last one waits. Ends after CLOSED."""

    def __init__(self, present: ConnectionState) -> None:
        self._waiting: ConnectionState | None = present
        self._is_last = False
        self._wake = asyncio.Event()

    def __aiter__(self) -> "StateStream":
        return self

    async def __anext__(self) -> ConnectionState:
        if self._is_last:
            raise StopAsyncIteration
        while self._waiting is None:
            self._wake.clear()
            await self._wake.wait()
        state, self._waiting = self._waiting, None
        self._is_last = state.phase is Phase.CLOSED
        return state

    def put(self, state: ConnectionState) -> None:
        """The connection's state is another one."""
        self._waiting = state
        self._wake.set()
