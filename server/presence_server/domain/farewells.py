"""What clients are to be told of devices that were ended: by a login elsewhere, or by a back end.

A WebSocket client is told by the code of its close, if it can hear it: one whose link was lost learns of it when it
comes back by itself (`returning` of a hello). A REST client learns of it with its next heartbeat, and must not take it
for a heartbeat that was lost. Else either would come back, and end whoever has taken its place.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, NamedTuple

from presence_server.domain.causes import Cause
from presence_server.domain.model import UserKey

MOST: Final = 100_000
"""Devices of which it is remembered, some 300 bytes each; then the oldest is forgotten."""


KEPT: Final = 3_600.0
"""Seconds for which it is: who was out of reach for longer than that comes as a stranger."""


class Farewell(NamedTuple):
    """Why a device was ended, and in words for the person at it."""

    cause: Cause
    reason: str


class Farewells:
    """The last ended devices. Costs nothing while there is none."""

    def __init__(self, most: int = MOST) -> None:
        self._most = most
        self._said: dict[tuple[UserKey, str], tuple[float, Farewell]] = {}
        self.on_change: Callable[[tuple[UserKey, str]], None] = _nobody
        """Told of which device there is another word, or none any more."""

    def say(self, user_id: UserKey, device_id: str, farewell: Farewell, now: float) -> None:
        """The device was ended."""
        self._said.pop((user_id, device_id), None)
        self.restore(user_id, device_id, now + KEPT, farewell)
        self.on_change((user_id, device_id))

    def restore(self, user_id: UserKey, device_id: str, until: float, farewell: Farewell) -> None:
        """The device was ended, and is told so `until` then."""
        self._said[user_id, device_id] = (until, farewell)
        if len(self._said) > self._most:
            del self._said[next(iter(self._said))]

    def devices(self) -> list[tuple[UserKey, str]]:
        """Of which there is a word, the oldest first."""
        return list(self._said)

    def of(self, user_id: UserKey, device_id: str) -> tuple[float, Farewell] | None:
        """Until when the device is told what; None: nothing."""
        return self._said.get((user_id, device_id))

    def to(self, user_id: UserKey, device_id: str, now: float) -> Farewell | None:
        """What the device is to be told; None: it was not ended, or too long ago."""
        found = self._said.get((user_id, device_id)) if self._said else None
        return found[1] if found is not None and now < found[0] else None

    def discard(self, user_id: UserKey, device_id: str) -> None:
        """The device has come anew."""
        if self._said and self._said.pop((user_id, device_id), None) is not None:
            self.on_change((user_id, device_id))

    def forget(self, user_id: UserKey) -> None:
        """Keep nothing of one user: a pass over all."""
        for key in [key for key in self._said if key[0] == user_id]:
            del self._said[key]
            self.on_change(key)

    def prune(self, now: float) -> None:
        """Forget what nobody has asked for in time; the oldest come first."""
        said = self._said
        while said:
            key, (until, _) = next(iter(said.items()))
            if now < until:
                return
            del said[key]

    def __len__(self) -> int:
        return len(self._said)


def _nobody(_device: tuple[UserKey, str]) -> None:
    """Nobody keeps it beside this."""
