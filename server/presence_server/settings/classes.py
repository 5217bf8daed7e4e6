"""A setting that holds lists: which platforms are one class of devices, such as all that is mobile."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

from presence_server.settings.declaration import shown

DEFAULT_CLASSES: Final = "mobile=IOS+ANDROID,desktop=PC,web=WEB"

_NAME: Final = re.compile(r"[a-z][a-z0-9_-]{0,31}")


def parse_classes(text: str, platforms: Sequence[str]) -> dict[str, tuple[str, ...]]:
    """`mobile=IOS+ANDROID,web=WEB` by name of the class. Raises ValueError with the reason.

    A platform may be in one class only, or in none: then it is one by itself.
    """
    classes: dict[str, tuple[str, ...]] = {}
    placed: set[str] = set()
    for one in filter(None, re.split(r"[,\s]+", text)):
        name, _, listed = one.partition("=")
        members = tuple(listed.split("+"))
        if _NAME.fullmatch(name) is None or not listed:
            raise ValueError(
                "must hold CLASS=PLATFORM+PLATFORM, the class a lower-case letter, then letters, digits, - and _, 32 "
                f"at most; not {shown(one)}"
            )
        if name in classes:
            raise ValueError(f"must name {name} once")
        for member in members:
            if member not in platforms:
                raise ValueError(f"must name platforms of this server ({', '.join(platforms)}), not {shown(member)}")
            if member in placed:
                raise ValueError(f"must name {member} once: it can be in one class only")
            placed.add(member)
        classes[name] = members
    if not classes:
        raise ValueError("must hold at least one class")
    return classes
