"""The users of the fake server: devices and overrides in, public states with versions out."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime

from presence_protocol.fields import PLATFORMS, format_time
from presence_protocol.messages import Override, SelfDevice, SelfView, StatusEntry, StatusName
from presence_protocol.user_ids import UserId
from presence_protocol.view import unknown


@dataclass
class User:
    """`fixed`: what a test said of the user, which stands above all else. `beneath`: what follows the override."""

    devices: dict[str, SelfDevice] = field(default_factory=dict)
    override: Override | None = None
    beneath: Override | None = None
    fixed: StatusEntry | None = None

    @property
    def status(self) -> StatusName:
        """What the user is told of themselves."""
        if self.fixed is not None:
            return self.fixed.status
        if not self.devices:
            return "OFFLINE"
        if self.override is not None:
            return self.override.status
        return "AWAY" if all(device.idle for device in self.devices.values()) else "ONLINE"

    def say(self, override: Override | None) -> None:
        """Set or clear the override. One with an end lies on top of what outlasts it, as on a real server."""
        held, self.override = self.override, override
        if override is None or override.until is None:
            self.beneath = None
            return
        if self.beneath is None and held is not None and (held.until is None or held.status != override.status):
            self.beneath = held
        if self.beneath is not None and self.beneath.until is not None and self.beneath.until <= override.until:
            self.beneath = None

    def lapse(self) -> None:
        """The override is over."""
        self.override, self.beneath = self.beneath, None


class Users:
    """All users. `seq` numbers the changes, and is their version, too."""

    def __init__(self) -> None:
        self.seq = 0
        self._users: dict[UserId, User] = {}
        self._entries: dict[UserId, StatusEntry] = {}

    def user(self, user_id: UserId) -> User:
        return self._users.setdefault(user_id, User())

    def entry(self, user_id: UserId) -> StatusEntry:
        """What others see."""
        return self._entries.get(user_id) or unknown(user_id)

    def entries(self, user_ids: Iterable[UserId]) -> list[StatusEntry]:
        return [self.entry(user_id) for user_id in user_ids]

    def self_view(self, user_id: UserId) -> SelfView:
        user = self.user(user_id)
        return SelfView(user_id, user.status, user.override, list(user.devices.values()))

    def update(self, user_id: UserId) -> StatusEntry | None:
        """Take into account that something about the user changed: the new entry, or None if it shows nowhere."""
        before, user = self.entry(user_id), self.user(user_id)
        platforms, text = [], None
        if user.fixed is not None:
            platforms, text = user.fixed.platforms, user.fixed.status_text
        elif user.status != "OFFLINE":
            used = {device.platform for device in user.devices.values()}
            platforms = [platform for platform in PLATFORMS if platform in used]
            text = user.override.status_text if user.override is not None else None
        after = StatusEntry(user_id, user.status, list(platforms), before.last_active_time, before.version, text)
        if after == before:
            return None
        self.seq += 1
        after.version, after.last_active_time = self.seq, now()
        self._entries[user_id] = after
        return after

    def put_device(self, user_id: UserId, device_id: str, platform: str, idle: bool | None) -> bool:
        """The device is there. Returns whether it was before."""
        devices = self.user(user_id).devices
        former = devices.get(device_id)
        if former is None:
            devices[device_id] = SelfDevice(device_id, platform, now(), bool(idle))
        else:
            kept = former.idle if idle is None else idle
            devices[device_id] = SelfDevice(device_id, platform, former.online_time, kept)
        return former is not None


def now() -> str:
    return format_time(int(datetime.now(UTC).timestamp()))
