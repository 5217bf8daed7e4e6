"""Two settings that hold pairs: which sources may claim what users are, and after how long what they say lapses."""

from __future__ import annotations

import re
from typing import Final

from presence_server.domain.model import SELF, Source, Status
from presence_server.settings.declaration import shown

MAX_SOURCES: Final = 32
MAX_WEIGHT: Final = 1_000_000
MAX_LIFETIME: Final = 366 * 86_400
DEFAULT_LIFETIMES: Final = {
    Status.BUSY: 86_400,
    Status.AWAY: 604_800,
    Status.ONLINE: 604_800,
    Status.OFFLINE: 0,
}
DEVICES: Final = "devices"
"""What is said to decide where no claim does: no source may be called so."""

_NAME: Final = re.compile(r"[a-z][a-z0-9_-]{0,31}")


def parse_sources(text: str) -> dict[str, Source]:
    """`call=80,self=50` by name, in the order given. Raises ValueError with the reason."""
    sources: dict[str, Source] = {}
    for name, weight in _pairs(text, MAX_WEIGHT):
        if _NAME.fullmatch(name) is None or name == DEVICES:
            raise ValueError(
                "must name sources with a lower-case letter, then letters, digits, - and _, 32 at most, and none "
                f"of them {DEVICES}; not {shown(name)}"
            )
        if name in sources:
            raise ValueError(f"must name {name} once")
        sources[name] = Source(name, weight)
    if SELF.name not in sources:
        raise ValueError("must hold self, which is the user's own word")
    if len(sources) > MAX_SOURCES:
        raise ValueError(f"must hold at most {MAX_SOURCES} sources")
    return sources


def parse_lifetimes(text: str) -> dict[Status, int]:
    """`BUSY=86400,AWAY=0` by status, in seconds; those not named keep their default. Raises ValueError."""
    lifetimes = dict(DEFAULT_LIFETIMES)
    for name, seconds in _pairs(text, MAX_LIFETIME):
        if name not in Status.__members__:
            raise ValueError(f"must name {', '.join(Status)}, not {shown(name)}")
        lifetimes[Status(name)] = seconds
    return lifetimes


def _pairs(text: str, most: int) -> list[tuple[str, int]]:
    pairs = []
    for one in filter(None, re.split(r"[,\s]+", text)):
        name, _, value = one.partition("=")
        if re.fullmatch("[0-9]{1,9}", value, re.ASCII) is None or int(value) > most:
            raise ValueError(f"must hold NAME=NUMBER with a number from 0 to {most}, not {shown(one)}")
        pairs.append((name, int(value)))
    return pairs
