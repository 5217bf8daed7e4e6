"""The users of the fake server: devices and what users say of themselves in, public states with versions out.

Nobody else claims anything here, and nothing lapses that was said without an end.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime

from msgspec import UNSET

from presence_protocol.fields import PLATFORMS, format_time, parse_time
from presence_protocol.messages import Deciding, Override, SelfDevice, SelfView, SetStatus, StatusEntry, StatusName
from presence_protocol.user_ids import UserId
from presence_protocol.view import unknown


@dataclass
class User:
    """`fixed`: what a test said of the user, which stands above all else. `beneath`: what follows the override."""

    devices: dict[str, SelfDevice] = field(default_factory=dict)
    override: Override | None = None
    beneath: Override | None = None
    text: str | None = None
    emoji: str | None = None
    text_until: str | None = None
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
        if any(device.busy for device in self.devices.values()):
            return "BUSY"
        return "AWAY" if all(device.idle for device in self.devices.values()) else "ONLINE"

    def hear(self, message: SetStatus) -> str | None:
        """Take what a user says. Returns the field that means nothing with what was said before; None: none."""
        until = None if message.until is UNSET or message.until is None else _rounded(message.until)
        if message.status is None:
            self.say(None)
        elif message.status is not UNSET:
            self.say(Override(message.status, until))
        elif message.until is not UNSET:
            if self.override is None:
                return "until"
            held, self.override = self.override, Override(self.override.status, until)
            self.say_again(held)
        text = self.text if message.status_text is UNSET else message.status_text or None
        emoji = self.emoji if message.status_emoji is UNSET else message.status_emoji or None
        ends = message.text_until is not UNSET and message.text_until is not None
        if ends and (text, emoji, self.text, self.emoji) == (None, None, None, None):
            return "textUntil"
        if message.text_until is not UNSET:
            self.text_until = None if message.text_until is None else _rounded(message.text_until)
        self.text, self.emoji = text, emoji
        if text is None and emoji is None:
            self.text_until = None
        return None

    def say_again(self, held: Override) -> None:
        """The override has another end than `held`: what is beneath may be over by then."""
        until = None if self.override is None else self.override.until
        if until is None or (
            self.beneath is not None and self.beneath.until is not None and self.beneath.until <= until
        ):
            self.beneath = None

    def say(self, override: Override | None) -> None:
        """Set or clear the status. One with an end lies on top of what outlasts it, as on a real server."""
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

    def lapse_text(self) -> None:
        self.text = self.emoji = self.text_until = None


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
        by = Deciding("devices") if user.override is None else Deciding("self", "status", user.override.until)
        if user.override is not None and user.override.status != "OFFLINE" and not user.devices:
            by = Deciding("devices")
        text_by = None
        if user.text is not None or user.emoji is not None:
            text_by = Deciding("self", "text", user.text_until, user.text, user.emoji)
        devices = list(user.devices.values())
        return SelfView(
            user_id, user.status, user.override, devices, user.text, user.emoji, user.text_until, by, text_by
        )

    def update(self, user_id: UserId) -> StatusEntry | None:
        """Take into account that something about the user changed: the new entry, or None if it shows nowhere."""
        before, user = self.entry(user_id), self.user(user_id)
        platforms: list[str] = []
        text, emoji, last_seen = user.text, user.emoji, None
        if (fixed := user.fixed) is not None:
            platforms, text, emoji, last_seen = fixed.platforms, fixed.status_text, fixed.status_emoji, fixed.last_seen
        elif user.status != "OFFLINE":
            used = {device.platform for device in user.devices.values()}
            platforms = [platform for platform in PLATFORMS if platform in used]
        time = before.last_active_time
        after = StatusEntry(user_id, user.status, platforms, time, before.version, text, emoji, last_seen=last_seen)
        if after == before:
            return None
        self.seq += 1
        after.version, after.last_active_time = self.seq, now() if last_seen is None else None
        self._entries[user_id] = after
        return after

    def put_device(
        self, user_id: UserId, device_id: str, platform: str, idle: bool | None, busy: bool | None = None
    ) -> bool:
        """The device is there. Returns whether it was before."""
        devices = self.user(user_id).devices
        former = devices.get(device_id)
        if former is None:
            devices[device_id] = SelfDevice(device_id, platform, now(), bool(idle), bool(busy))
        else:
            levels = former.idle if idle is None else idle, former.busy if busy is None else busy
            devices[device_id] = SelfDevice(device_id, platform, former.online_time, *levels)
        return former is not None


def _rounded(time: str) -> str:
    """As the server answers a time that it was given."""
    return format_time(parse_time(time) or 0)


def now() -> str:
    return format_time(int(datetime.now(UTC).timestamp()))
