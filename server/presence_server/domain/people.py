"""What back ends ask of everybody at once: how many are there, who, and whether somebody is at a device now.

Read from the table as it is; `sees_all` says whether whoever asks may know of the invisible.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from enum import StrEnum
from typing import NamedTuple

from presence_server.domain.attendance import Attendance, Place
from presence_server.domain.model import Device, Idle, Status, UserKey, UserPresence, UserRecord
from presence_server.domain.platforms import AnyPlatform, sets_of


class Reach(StrEnum):
    """How a person can be reached through their devices."""

    ACTIVE = "active"
    """A person is at a device now."""
    BACKGROUND = "background"
    """There is a device, and nobody at it: each of them is idle."""
    NONE = "none"


class Reached(NamedTuple):
    """`platforms` of the devices that make it so. `since`: seconds since 1970, None: never known.

    ACTIVE: since when the longest of them is online. BACKGROUND: since when the last of them is idle. NONE: when the
    user was last active.
    """

    user_id: UserKey
    reach: Reach
    platforms: tuple[AnyPlatform, ...] = ()
    since: int | None = None


class Figures(NamedTuple):
    """`there`: users who are not OFFLINE to others. `invisible`: who have a device, and are. The last two only grow."""

    there: int
    invisible: int
    joined: int
    left: int


class Present(NamedTuple):
    """A page of who is there; `next` None: it is the last."""

    users: list[UserPresence]
    next: Place | None


class People:
    def __init__(
        self,
        attendance: Attendance,
        by_status: dict[Status, int],
        find: Callable[[UserKey], UserRecord | None],
        with_devices: Callable[[], int],
    ) -> None:
        """`with_devices`: how many users have a device, whether others see that or not."""
        self._attendance = attendance
        self._by_status = by_status
        self._find = find
        self._with_devices = with_devices

    def figures(self) -> Figures:
        attendance = self._attendance
        invisible = self._with_devices() - attendance.with_devices
        return Figures(attendance.there, invisible, attendance.joined, attendance.left)

    def by_status(self) -> dict[Status, int]:
        """Users of whom something is known, by public status: who is invisible is OFFLINE."""
        return dict(self._by_status)

    def by_platform(self, platforms: Iterable[AnyPlatform]) -> dict[str, int]:
        """Users who are there, by platform. Who is there on two counts for both."""
        return {platform.value: self._attendance.on(platform) for platform in platforms}

    def page(
        self, place: Place, most: int, status: Status | None = None, platform: AnyPlatform | None = None
    ) -> Present:
        """See `Attendance.page`."""
        found, after = self._attendance.page(place, most, status, platform)
        return Present([_presence_of(record) for record in found], after)

    def reach(self, user_id: UserKey, sees_all: bool) -> Reached:
        """How the user can be reached; of the invisible that is not told to who does not see all."""
        record = self._find(user_id)
        if record is None:
            return Reached(user_id, Reach.NONE)
        if record.public.status is Status.OFFLINE and not sees_all:
            return Reached(user_id, Reach.NONE, since=record.stamped_active or None)
        devices = record.devices
        active = [device for device in devices if not isinstance(device.activity, Idle)]
        if active:
            since = min(device.online_time for device in active)
            return Reached(user_id, Reach.ACTIVE, platforms_of(active), since)
        if devices:
            return Reached(user_id, Reach.BACKGROUND, platforms_of(devices), max(each.last_active for each in devices))
        return Reached(user_id, Reach.NONE, since=record.live_active() or None)


def _presence_of(record: UserRecord) -> UserPresence:
    return UserPresence(record.user_id, record.public, record.stamped_active or None, record.version, record.seq)


def platforms_of(devices: Sequence[Device]) -> tuple[AnyPlatform, ...]:
    """The distinct platforms of at least one device, in the order of their list."""
    mask = 0
    for device in devices:
        mask |= device.platform.bit
    return sets_of(devices[0].platform).of(mask)
