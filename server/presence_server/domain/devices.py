"""Which devices a user has beside each other: they come, give way to one that comes, and go.

What each of them is doing is not decided here (see `liveness`), nor what others see of it (see `records`).
"""

from __future__ import annotations

from presence_server.domain.causes import Cause
from presence_server.domain.farewells import Farewell
from presence_server.domain.logins import signed_in
from presence_server.domain.model import GRACE, REST, Device, Idle, UserRecord
from presence_server.domain.shared import Shared
from presence_server.domain.transitions import Connect, Evicted, Online


class Devices:
    """The devices of all users: whoever adds or takes one away does it here."""

    def __init__(self, shared: Shared) -> None:
        self._shared = shared

    def attach(self, record: UserRecord, wanted: Connect | Online, now: float, utc: float) -> Device:
        second = self._shared.second_of(utc)
        device = Device(wanted.user_id, wanted.device_id, wanted.platform, wanted.session, now, second)
        if not record.devices:
            if record.version or record.claims or record.has_come:  # else it was made a moment ago, and waits nowhere
                self._shared.remembered.discard(record.user_id)
                self._shared.unseen.discard(record.user_id)
                self._shared.strangers.discard(record.user_id)
            self._shared.with_devices += 1
        record.devices = (*record.devices, device)
        self._shared.devices += 1
        self._shared.farewells.discard(record.user_id, device.device_id)
        return device

    def detach(self, record: UserRecord, device: Device) -> None:
        record.settled_active = max(record.settled_active, device.last_active)
        devices = record.devices
        is_alone = len(devices) == 1 and devices[0] is device  # as most are
        record.devices = () if is_alone else tuple(other for other in devices if other is not device)
        self._shared.deadlines.discard(device)
        self._shared.promises.discard(device)
        self._shared.devices -= 1
        if not record.devices:
            self._shared.with_devices -= 1

    def farewell_to(self, record: UserRecord | None, wanted: Connect, now: float) -> Farewell | None:
        """What is to be told to a client that comes back by itself, and whose session is over; None: it may come."""
        if record is not None and record.find(wanted.device_id) is not None:
            return None
        shared = self._shared
        farewell = shared.farewells.to(wanted.user_id, wanted.device_id, now)
        if farewell is None and record is not None:
            rivals = shared.logins.rivals(record.devices, wanted.device_id, wanted.platform)
            if rivals:
                newest = max(rivals, key=lambda device: device.session)
                return Farewell(Cause.REPLACED, signed_in(newest.device_id, newest.platform.value))
        return farewell

    def end_rivals(
        self, record: UserRecord, by: Connect | Online, is_new: bool, now: float
    ) -> tuple[Evicted, ...] | None:
        """End those that may not stand beside the device that comes. None: there is no room for it, and nobody ends."""
        shared = self._shared
        rivals = shared.logins.rivals(record.devices, by.device_id, by.platform)
        left = len(record.devices) - len(rivals)
        if is_new and shared.logins.refuses_newest and left >= shared.lifetimes.max_devices:
            return None
        reason = signed_in(by.device_id, by.platform.value) if rivals else ""
        return self.end_all(record, rivals, Farewell(Cause.REPLACED, reason), now)

    def end_all(self, record: UserRecord, devices: list[Device], farewell: Farewell, now: float) -> tuple[Evicted, ...]:
        """End devices, and see to it that each is told: at once by a close, or else when it is heard again."""
        evicted = []
        for device in devices:
            self._shared.farewells.say(record.user_id, device.device_id, farewell, now)
            if device.holder > 0:
                evicted.append(Evicted(device.holder, *farewell))
            self.detach(record, device)
        return tuple(evicted)

    def make_room(self, record: UserRecord, now: float) -> tuple[Evicted, ...]:
        """End the device that is the first to give way, when there is no room for one more."""
        if len(record.devices) < self._shared.lifetimes.max_devices:
            return ()
        last = min(record.devices, key=lambda device: (*self._standing(device, now), device.session))
        self.detach(record, last)
        return (Evicted(last.holder, Cause.TOO_MANY_DEVICES),) if last.holder > 0 else ()

    def _standing(self, device: Device, now: float) -> tuple[int, float]:
        """The least gives way first: the dead before the living, and of these the idle before the active.

        A device in grace is as good as gone; of several, the one gone the longest. A REST device is taken for dying
        once half of its lifetime is over, a quarter of an interval after a heartbeat was due. Then comes the one that
        is idle the longest. Devices that are equal here give way by age.
        """
        due = self._shared.deadlines.of(device) or 0.0
        if device.holder == GRACE:
            return 0, due
        if device.holder == REST and due - now < self._shared.lifetimes.rest / 2:
            return 1, due
        if isinstance(device.activity, Idle):
            return 2, device.activity.since
        return 3, 0.0
