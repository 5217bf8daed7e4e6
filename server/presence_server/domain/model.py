"""What presence is made of: statuses, platforms, devices, claims, and the change of a public state."""

from __future__ import annotations

from enum import StrEnum
from typing import ClassVar, Final, NamedTuple

from presence_server.domain.causes import Cause
from presence_server.domain.platforms import AnyPlatform
from presence_server.domain.platforms import Platform as Platform

UserKey = int | str
"""What the tables know a user by: made of the user's id where it enters, see `application.keys`."""


Topic = UserKey
"""What is watched, and told of under one name: see `domain.lenses`. A user's key is the topic of all that is shown of
them; no other kind of thing is watched today."""


class Status(StrEnum):
    ONLINE = "ONLINE"
    AWAY = "AWAY"
    BUSY = "BUSY"
    OFFLINE = "OFFLINE"


# A device's holder is the number of the connection that holds it (from 1), or one of these two.
GRACE: Final = 0
"""Nobody: its link ended uncleanly, and it ends when the grace period does."""
REST: Final = -1
"""A REST client, until it misses its heartbeats."""


class Source(NamedTuple):
    """Whose word it is, and how much it weighs. One object stands in all claims of a source."""

    name: str
    weight: int


SELF: Final = Source("self", 50)
"""The person's own word. The operator may give it another weight, never another name."""


class Claim(NamedTuple):
    """What one source says of a user: see `domain.claims`. Times are in whole seconds since 1970.

    `id` is the source's own name for it, empty if it has none. `since` is when it began or will begin; it is waited for
    only while the claim `is_planned`, else it only tells which of two claims began last. `until` None: it has no end.
    `alone`: it shows also while the user has no device. `lapses`: its end is the server's, nobody asked for it.
    """

    source: Source
    id: str
    since: int
    until: int | None
    status: Status | None = None
    text: str | None = None
    emoji: str | None = None
    is_planned: bool = False
    alone: bool = False
    lapses: bool = False

    @property
    def has_text(self) -> bool:
        return self.text is not None or self.emoji is not None


class PublicState(NamedTuple):
    """What anybody may see of a user, and all that makes a Change.

    `idle_since`: since when all devices are idle, in seconds since 1970, where the operator lets it be told."""

    status: Status
    platforms: tuple[AnyPlatform, ...] = ()
    text: str | None = None
    emoji: str | None = None
    idle_since: int | None = None
    by_platform: tuple[Status, ...] | None = None
    """The status on each of `platforms`; None where that is not told."""


OFFLINE: Final = PublicState(Status.OFFLINE)


class Idle(NamedTuple):
    """`is_said`: by the device itself; else inferred from its silence, and it ends when the device speaks.

    `since` is by the clock of durations: it tells who is longest idle, and is never shown.
    """

    since: float
    is_said: bool


class DeviceView(NamedTuple):
    """A device as it was when it was looked at: what leaves the table. Each field is as in `Device`."""

    device_id: str
    platform: AnyPlatform
    session: int
    holder: int
    online_time: int
    last_active: int
    activity: float | Idle
    busy: bool

    @property
    def idle(self) -> Idle | None:
        return self.activity if isinstance(self.activity, Idle) else None


class Device:
    """One device of one user: the session of (userId, deviceId).

    `session` numbers the session and survives replacement and grace; `holder` is the fencing token, so that the
    end of a connection which no longer holds the device changes nothing.
    `activity` is the time of its last message other than a ping or a hello while it is active, else an `Idle`: never
    is both needed, and two slots less are 16 bytes for each of a million.
    `online_time` and `last_active` are stamps, in seconds since 1970: a later correction of the system's clock does not
    rewrite them. `last_active` is when it was last heard while it was active, or since when it is idle; 0 before it was
    ever heard. It never moves back, whatever the clock does.
    `busy` is told by the class: few devices are, and a slot would be 16 bytes more for each of a million.
    """

    busy: ClassVar[bool] = False
    __slots__ = ("activity", "device_id", "holder", "last_active", "online_time", "platform", "session", "user_id")

    def __init__(
        self, user_id: UserKey, device_id: str, platform: AnyPlatform, session: int, now: float, online_time: int
    ) -> None:
        self.user_id = user_id
        self.device_id = device_id
        self.platform = platform
        self.session = session
        self.holder = GRACE
        self.online_time = online_time
        self.last_active = 0
        self.activity: float | Idle = now

    @property
    def idle(self) -> Idle | None:
        activity = self.activity
        return activity if isinstance(activity, Idle) else None

    def view(self) -> DeviceView:
        return DeviceView(
            self.device_id,
            self.platform,
            self.session,
            self.holder,
            self.online_time,
            self.last_active,
            self.activity,
            self.busy,
        )

    def set_busy(self, busy: bool) -> None:
        self.__class__ = BusyDevice if busy else Device

    def was_active(self, second: int) -> None:
        """It was active at `second` (seconds since 1970). One that is earlier than what is known changes nothing."""
        if second > self.last_active:
            self.last_active = second

    def __repr__(self) -> str:
        holder = {GRACE: "grace", REST: "rest"}.get(self.holder, f"connection {self.holder}")
        activity = ("busy, " if self.busy else "") + ("idle" if self.idle else "active")
        return f"<Device {self.user_id}/{self.device_id} {self.platform} {activity}, held by {holder}>"


class BusyDevice(Device):
    """A device that says its person is busy: in a call, or presenting. See `Device.set_busy`."""

    busy = True
    __slots__ = ()


AnyDevice = Device | DeviceView


_CONNECTED: Final = Cause.CONNECTED  # an enum's member costs 50 ns to look up


class UserRecord:
    """All that is kept of one user.

    `public`, `version` and `stamped_active` are what watchers were told last; `seq` is the number under which the
    last Change was handed to fan-out. `settled_active` is the greatest last activity of devices that are gone. Both
    times are stamps in seconds since 1970, 0 while never known, and never move back.

    `cause` is why the last Change was, as far as everybody may know (see `reasons.cause_for_all`), and `by` the device
    that caused it, if one did and it is still remembered.

    `claims` stand in the order of who wins, those that are over or still to come included.

    A lone device, which is most, is held without a tuple around it: that would be 48 bytes more for each user.
    """

    __slots__ = (
        "_devices",
        "by",
        "cause",
        "claims",
        "public",
        "seq",
        "settled_active",
        "stamped_active",
        "user_id",
        "version",
    )

    def __init__(self, user_id: UserKey) -> None:
        self.user_id = user_id
        self._devices: Device | tuple[Device, ...] = ()
        self.claims: tuple[Claim, ...] = ()
        self.public: PublicState = OFFLINE
        self.cause = _CONNECTED
        self.by: Device | None = None
        self.version = 0
        self.seq = 0
        self.settled_active = 0
        self.stamped_active = 0

    @property
    def devices(self) -> tuple[Device, ...]:
        held = self._devices
        return held if type(held) is tuple else (held,)  # type: ignore[return-value]

    @devices.setter
    def devices(self, devices: tuple[Device, ...]) -> None:
        self._devices = devices[0] if len(devices) == 1 else devices

    def views(self) -> tuple[DeviceView, ...]:
        """The devices as they are now."""
        held = self._devices
        return tuple([device.view() for device in held]) if type(held) is tuple else (held.view(),)  # type: ignore[union-attr]

    def find(self, device_id: str) -> Device | None:
        for device in self.devices:
            if device.device_id == device_id:
                return device
        return None

    @property
    def has_come(self) -> bool:
        """Whether a device of the user was ever online since the record is kept."""
        return self._devices != () or self.settled_active > 0

    def live_active(self) -> int:
        """The user's last activity as of now, whether or not anybody may see it."""
        latest = self.settled_active
        held = self._devices
        if type(held) is not tuple:
            return max(latest, held.last_active)  # type: ignore[union-attr]
        for device in held:
            if device.last_active > latest:
                latest = device.last_active
        return latest

    def shown_active(self) -> int | None:
        """The last activity that anybody may see: live, but standing still while the user is OFFLINE to all."""
        seconds = self.stamped_active if self.public.status is Status.OFFLINE else self.live_active()
        return seconds or None

    def __repr__(self) -> str:
        return f"<UserRecord {self.user_id} {self.public.status} v{self.version}, {len(self.devices)} devices>"


class UserPresence(NamedTuple):
    """The public state of one user at one version. `last_active` is that version's, in whole seconds, or None.

    `last_seen` is said instead of it, where that is all that may be shown (see `domain.lenses`).
    """

    user_id: UserKey
    public: PublicState
    last_active: int | None
    version: int
    seq: int
    last_seen: str | None = None


class Shown(NamedTuple):
    """What anybody may ask of one user: the public state, the last activity live, and the devices if asked for."""

    presence: UserPresence
    last_active: int | None
    devices: tuple[DeviceView, ...]


class Truth(NamedTuple):
    """What a user may see of themselves at `utc`: what others see, and all that is beneath it."""

    user_id: UserKey
    public: PublicState
    claims: tuple[Claim, ...]
    devices: tuple[DeviceView, ...]
    utc: float


class Kept(NamedTuple):
    """All that a table keeps of one user. `last_active`: seconds since 1970, whether or not anybody may see it."""

    presence: UserPresence
    truth: Truth
    last_active: int | None


class Change(NamedTuple):
    """A user's public state went from `before` to `after`. `by` is the device that caused it, if one did."""

    user_id: UserKey
    before: PublicState
    after: PublicState
    version: int
    cause: Cause
    by: Device | None = None
