"""The users of the fake server: devices, and what is said of them, in; public states with versions out.

What is said follows the rules of `testing.claims`; time comes in as seconds since 1970.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

from presence_client.testing.claims import Held, Rules, Stack, Verdict, decide, own_status, own_text, settled
from presence_protocol.fields import PLATFORMS, format_time
from presence_protocol.messages import Deciding, Override, SelfDevice, SelfView, StatusEntry, StatusName
from presence_protocol.user_ids import UserId
from presence_protocol.view import unknown

REMEMBERED: Final = 1_000
"""Changes that the feed can still tell one by one."""


@dataclass
class Device:
    """`holder`: `connection`, `grace` or `rest`. `idle_since`: in seconds since 1970; None while active."""

    device_id: str
    platform: str
    online_time: int
    idle_since: int | None = None
    busy: bool = False
    holder: str = "connection"

    @property
    def status(self) -> StatusName:
        return "BUSY" if self.busy else "ONLINE" if self.idle_since is None else "AWAY"


@dataclass
class User:
    """`fixed`: what a test said of the user, which stands above all else."""

    devices: dict[str, Device] = field(default_factory=dict)
    stack: Stack = ()
    fixed: StatusEntry | None = None

    def word(self) -> StatusName | None:
        """What the devices say; None: there are none."""
        return _most(self.devices.values())

    def verdict(self, now: float) -> Verdict:
        return decide(self.stack, self.word(), now)


class Happened(NamedTuple):
    """A change of a public state, for the feed and for `explain`. `at`: milliseconds since 1970."""

    entry: StatusEntry
    before: StatusEntry
    cause: str
    at: int
    device: Device | None


def _most(devices: Iterable[Device]) -> StatusName | None:
    """What devices say together: BUSY if any does, else ONLINE if any is active, else AWAY; None: there are none."""
    said = {device.status for device in devices}
    return next((status for status in _ORDER if status in said), None)


_ORDER: Final[tuple[StatusName, ...]] = ("BUSY", "ONLINE", "AWAY")


class Users:
    """All users. `seq` numbers the changes, and is their version, too. `clock`: seconds since 1970."""

    def __init__(
        self,
        clock: Callable[[], float],
        rules: Rules = Rules(),  # noqa: B008 - immutable
        *,
        platforms: Sequence[str] = PLATFORMS,
        platform_status: bool = False,
        show_idle_since: bool = False,
    ) -> None:
        self.seq = 0
        self.happened: list[Happened] = []
        """The last changes, the oldest first."""
        self.rules = rules
        self.clock = clock
        self._platforms = platforms
        self._tells_platforms = platform_status
        self._tells_idle = show_idle_since
        self._users: dict[UserId, User] = {}
        self._entries: dict[UserId, StatusEntry] = {}
        self._last: dict[UserId, Happened] = {}

    def user(self, user_id: UserId) -> User:
        return self._users.setdefault(user_id, User())

    @property
    def ids(self) -> list[UserId]:
        """Of all users that there is anything to say of."""
        return list(self._users)

    def entry(self, user_id: UserId) -> StatusEntry:
        """What others see."""
        return self._entries.get(user_id) or unknown(user_id)

    def entries(self, user_ids: Iterable[UserId]) -> list[StatusEntry]:
        return [self.entry(user_id) for user_id in user_ids]

    def last_of_each(self, seq: int) -> list[Happened]:
        """The last change of whoever has changed after `seq`, in that order."""
        return sorted(
            (one for one in self._last.values() if one.entry.version > seq), key=lambda one: one.entry.version
        )

    def self_view(self, user_id: UserId) -> SelfView:
        user, now = self.user(user_id), self.clock()
        verdict, said, text = user.verdict(now), own_status(user.stack, now), own_text(user.stack, now)
        override = None if said is None or said.status is None else Override(said.status, time_of(said.until))
        devices = [
            SelfDevice(
                each.device_id, each.platform, format_time(each.online_time), each.idle_since is not None, each.busy
            )
            for each in user.devices.values()
        ]
        return SelfView(
            user_id,
            user.fixed.status if user.fixed is not None else verdict.status,
            override,
            devices,
            text and text.text,
            text and text.emoji,
            text and time_of(text.until),
            Deciding("devices") if verdict.by is None else deciding(verdict.by),
            None if verdict.text_by is None else deciding(verdict.text_by, with_text=True),
        )

    def settle(self, user_id: UserId) -> None:
        """Forget the claims that have ended."""
        user = self.user(user_id)
        user.stack = settled(user.stack, self.clock())

    def update(self, user_id: UserId, cause: str, device: Device | None = None) -> StatusEntry | None:
        """Take into account that something about the user changed: the new entry, or None if it shows nowhere."""
        before = self.entry(user_id)
        after = self._made(user_id, before)
        if after == before:
            return None
        self.seq += 1
        now = self.clock()
        after.version = self.seq
        after.last_active_time = self._last_active(user_id, before, after, now)
        self._entries[user_id] = after
        happened = self._last[user_id] = Happened(after, before, cause, int(now * 1000), device)
        self.happened.append(happened)
        del self.happened[:-REMEMBERED]
        return after

    def _last_active(self, user_id: UserId, before: StatusEntry, after: StatusEntry, now: float) -> str | None:
        """Stands still while the user is OFFLINE, and where a claim alone brought them."""
        if after.last_seen is not None:
            return None
        user = self.user(user_id)
        is_there = user.fixed is not None or bool(user.devices) or bool(before.platforms)
        if not is_there or before.status == after.status == "OFFLINE":
            return before.last_active_time
        return format_time(int(now))

    def _made(self, user_id: UserId, before: StatusEntry) -> StatusEntry:
        user = self.user(user_id)
        verdict = user.verdict(self.clock())
        made = StatusEntry(user_id, verdict.status, [], before.last_active_time, before.version)
        if verdict.text_by is not None:
            made.status_text, made.status_emoji = verdict.text_by.text, verdict.text_by.emoji
        if (fixed := user.fixed) is not None:
            made.status, made.platforms, made.last_seen = fixed.status, fixed.platforms, fixed.last_seen
            made.status_text, made.status_emoji = fixed.status_text, fixed.status_emoji
        elif verdict.status != "OFFLINE" and user.devices:
            used = {device.platform for device in user.devices.values()}
            made.platforms = [platform for platform in self._platforms if platform in used]
            idle = [device.idle_since for device in user.devices.values() if device.idle_since is not None]
            if self._tells_idle and len(idle) == len(user.devices):
                made.idle_since = format_time(max(idle))
            if self._tells_platforms:
                made.platform_status = {
                    platform: verdict.status
                    if verdict.by is not None
                    else _most(each for each in user.devices.values() if each.platform == platform) or "OFFLINE"
                    for platform in made.platforms
                }
        return made

    def put_device(
        self,
        user_id: UserId,
        device_id: str,
        platform: str,
        idle: bool | None,
        busy: bool | None = None,
        *,
        idle_for: float = 0.0,
        holder: str = "connection",
    ) -> bool:
        """The device is there. Returns whether it was before. `idle_for`: seconds."""
        devices = self.user(user_id).devices
        former = devices.get(device_id)
        if former is None:
            devices[device_id] = Device(device_id, platform, int(self.clock()))
        device = devices[device_id]
        device.platform, device.holder = platform, holder
        self.put_level(device, idle, busy, idle_for)
        return former is not None

    def put_level(self, device: Device, idle: bool | None, busy: bool | None, idle_for: float = 0.0) -> None:
        """What is said of the person at a device; None leaves it as it is."""
        if idle is not None and idle != (device.idle_since is not None):
            device.idle_since = int(self.clock() - idle_for) if idle else None
        device.busy = device.busy if busy is None else busy


def deciding(claim: Held, with_text: bool = False) -> Deciding:
    """What decides, as it is told; with its text, where that is what it decides."""
    texts = (claim.text, claim.emoji) if with_text else (None, None)
    return Deciding(claim.source, claim.id or None, time_of(claim.until), *texts)


def time_of(seconds: int | None) -> str | None:
    return None if seconds is None else format_time(seconds)


def without_none(told: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in told.items() if value is not None}
