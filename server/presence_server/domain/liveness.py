"""Until when a device counts as there, and whether somebody is at it.

A device that a connection holds is there while that holds; its deadline, if it has one, is the moment at which it
becomes idle. A REST device is there until its deadline, which each heartbeat moves.
"""

from __future__ import annotations

from presence_server.domain.model import REST, Device, Idle
from presence_server.domain.shared import Shared


class Liveness:
    """What devices say of themselves, or what is inferred from their silence."""

    def __init__(self, shared: Shared) -> None:
        self._shared = shared

    def beat(self, device: Device, idle: bool | None, now: float, utc: float) -> bool:
        """A REST client said that `device` is there. Returns whether its idleness changed."""
        idleness_changed = idle is not None and self.set_idle(device, idle, None, now, utc)
        # What was promised before holds as well: it may have been for longer.
        before = self._shared.deadlines.of(device) if device.holder == REST else self._shared.promises.of(device)
        promised = max(before or 0.0, now + self._shared.lifetimes.rest * self._shared.stretch)
        if not device.idle:
            device.was_active(self._shared.second_of(utc))
        if device.holder <= 0:
            device.holder = REST
            self._shared.promises.discard(device)
            self._shared.deadlines.set(device, promised)
        else:
            self._shared.promises.give(device, promised)
            self.watch_activity(device)
        return idleness_changed

    def keep_promise(self, device: Device) -> None:
        """A connection takes hold of a REST device, whose deadline now counts for when that connection drops."""
        promised = self._shared.deadlines.of(device)
        if promised is not None and self._shared.promises.of(device) is None:
            self._shared.promises.give(device, promised)

    def set_idle(self, device: Device, idle: bool, idle_for: float | None, now: float, utc: float) -> bool:
        """Said idleness. Returns whether the device changed between active and idle."""
        was = device.idle
        if not idle:
            device.activity = now
            device.was_active(self._shared.second_of(utc))
        elif was is None or idle_for is not None:
            device.activity = Idle(now - (idle_for or 0.0), is_said=True)
            device.was_active(self._shared.second_of(max(0.0, utc - (idle_for or 0.0))))
        else:
            device.activity = Idle(was.since, is_said=True)
        return (was is not None) is not idle

    def watch_activity(self, device: Device) -> None:
        """A connected device has a deadline only while its idleness may have to be inferred."""
        away_after = self._shared.lifetimes.away_after
        if away_after and not isinstance(device.activity, Idle):
            self._shared.deadlines.set(device, device.activity + away_after)
        else:
            self._shared.deadlines.discard(device)


def set_busy(device: Device, busy: bool | None) -> bool:
    """Returns whether the device changed between busy and not."""
    if busy is None or busy is device.busy:
        return False
    device.set_busy(busy)
    return True
