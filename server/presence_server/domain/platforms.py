"""Where devices run: an operator's list, each platform a bit, so that a set of them is one integer.

A list is an enumeration of its own, made once at start. A million users share the tuple of their platforms, and the
whole public state where it has no text: `PlatformSets` keeps those that were asked for, by mask.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from enum import StrEnum
from typing import Final, cast

MOST: Final = 32
"""Platforms in one list."""

USUAL: Final = ("WEB", "IOS", "ANDROID", "PC")
"""Those of the API document."""

KNOWN: Final = (*USUAL, "MINI_PROGRAM", "HARMONY", "PAD", "TV", "BOT")
"""Names to choose from, beside names of one's own."""

NAME: Final = re.compile(r"[A-Z][A-Z0-9_]{0,23}")

_MOST_SHARED: Final = 4096
"""Tuples that one list keeps. Clients choose their platforms, so there must be an end; what is beyond is not shared."""


class AnyPlatform(StrEnum):
    """A platform of some list. The order of a list is the one in which a user's platforms are listed."""

    _value_: str
    bit: int
    label: str
    """The value: that of an enum's member costs 0.1 us to ask for, and every entry tells platforms."""

    def __init__(self, name: str) -> None:
        self.label = name
        self.bit = 1 << len(type(self)._member_names_)


class Platform(AnyPlatform):
    """The usual list."""

    WEB = "WEB"
    IOS = "IOS"
    ANDROID = "ANDROID"
    PC = "PC"


class PlatformSets:
    """The sets of platforms of one list. `tells_status`: each platform's status is a part of the public state."""

    def __init__(self, platforms: type[AnyPlatform], tells_status: bool = False) -> None:
        self.tells_status = tells_status
        self._all = tuple(platforms)
        self._tuples: dict[int, tuple[AnyPlatform, ...]] = {}

    def of(self, mask: int) -> tuple[AnyPlatform, ...]:
        """The platforms whose bits are in `mask`, in the order of the list."""
        found = self._tuples.get(mask)
        if found is None:
            found = tuple(platform for platform in self._all if platform.bit & mask)
            if len(self._tuples) < _MOST_SHARED:
                self._tuples[mask] = found
        return found


_sets: Final[dict[type[AnyPlatform], PlatformSets]] = {Platform: PlatformSets(Platform)}


def sets_of(platform: AnyPlatform) -> PlatformSets:
    """The sets of the list that `platform` is of."""
    return _sets[type(platform)]


def check_names(names: Sequence[str]) -> None:
    """Raises ValueError with the reason if these cannot be the names of platforms."""
    if not names:
        raise ValueError("must name at least one platform")
    if len(names) > MOST:
        raise ValueError(f"must name at most {MOST} platforms, not {len(names)}")
    for name in names:
        if NAME.fullmatch(name) is None:
            raise ValueError(
                f"must hold names of 1 to 24 capital letters, digits and underscores, not {ascii(name)[:40]}; "
                f"such as {', '.join(KNOWN)}"
            )


def platforms_of(names: Sequence[str], tells_status: bool = False) -> type[AnyPlatform]:
    """The list of these platforms. Raises ValueError: see `check_names`."""
    check_names(names)
    if tuple(names) == USUAL and not tells_status:
        return Platform
    made = cast("Callable[..., type[AnyPlatform]]", AnyPlatform)("Platform", {name: name for name in names})
    _sets[made] = PlatformSets(made, tells_status)
    return made
