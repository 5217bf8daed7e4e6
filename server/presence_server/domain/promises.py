"""Until when heartbeats over REST keep a device that is held by a connection as well.

`nextHeartbeatInterval` is a promise: whoever beats in time stays online. It holds whatever becomes of a connection of
the same device meanwhile. Few devices come both ways, so what was promised is kept here and not in each of a million.
"""

from __future__ import annotations

from presence_server.domain.model import Device


class Promises:
    """By device, the time until which it was promised to be online."""

    def __init__(self) -> None:
        self._until: dict[
            Device, float
        ] = {}  # in the order in which they were given, which is nearly that of the times

    def __len__(self) -> int:
        return len(self._until)

    def give(self, device: Device, until: float) -> None:
        self._until.pop(device, None)
        self._until[device] = until

    def of(self, device: Device) -> float | None:
        return self._until.get(device)

    def discard(self, device: Device) -> None:
        self._until.pop(device, None)

    def prune(self, now: float) -> None:
        """Drop what has lapsed by `now`. One that was given behind later ones stays for as long as those."""
        while self._until:
            device = next(iter(self._until))
            if self._until[device] > now:
                return
            del self._until[device]
