"""Which devices of one user may be online together: the login policy, and who gives way when there is no more room.

A device that comes anew ends those that it may not stand beside. A device that is there already, also in grace, is not
new when it comes back; but when it comes back on another platform, it is new to those that stand there.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

from presence_server.domain.model import Device
from presence_server.domain.platforms import AnyPlatform

MANY: Final = "many"
ONE: Final = "one"
ONE_PER_PLATFORM: Final = "one-per-platform"
ONE_PER_CLASS: Final = "one-per-class"
POLICIES: Final = (MANY, ONE, ONE_PER_PLATFORM, ONE_PER_CLASS)

OLDEST: Final = "oldest"
NEWEST: Final = "newest"
ON_FULL: Final = (OLDEST, NEWEST)

MAX_REASON: Final = 123
"""Bytes of UTF-8 of what a close frame can say (RFC 6455 section 5.5)."""


class Logins(NamedTuple):
    """`groups`: by platform the group of which a user may have one device; None: as many as `max_devices` says.

    `refuses_newest`: a device too many is refused itself, instead of ending one that is there.
    """

    groups: Mapping[str, str] | None = None
    refuses_newest: bool = False

    def rivals(self, devices: Sequence[Device], device_id: str, platform: AnyPlatform) -> list[Device]:
        """Which of `devices` may not stand beside that device on that platform."""
        groups = self.groups
        if groups is None:
            return []
        group = groups[platform.value]
        return [each for each in devices if groups[each.platform.value] == group and each.device_id != device_id]


def groups_of(policy: str, platforms: Sequence[str], classes: Mapping[str, Sequence[str]]) -> dict[str, str] | None:
    """By platform its group, as `Logins` takes them. A platform that is in no class is a class of its own."""
    if policy == MANY:
        return None
    if policy == ONE:
        return dict.fromkeys(platforms, ONE)
    groups = {platform: platform for platform in platforms}
    if policy == ONE_PER_CLASS:
        # Names of classes are in lower case, those of platforms in capitals: they never meet.
        groups |= {platform: name for name, members in classes.items() for platform in members if platform in groups}
    return groups


def signed_in(device_id: str, platform: str) -> str:
    """What the person at a device is told that had to give way to this one, as long as a close frame can say it."""
    return clipped(f"signed in on another device: {platform}, {device_id}")


def clipped(text: str, most: int = MAX_REASON) -> str:
    """`text`, or as many of its characters as fit into so many bytes of UTF-8, with an ellipsis after them."""
    if len(text.encode()) <= most:
        return text
    return text.encode()[: most - 3].decode(errors="ignore") + "…"
