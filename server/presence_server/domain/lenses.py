"""Lenses: how much of a user a viewer is shown, and the topics under which the watchers of one lens are kept.

An edge is kept under a *topic*: the user's key with the lens above its bits, or behind its letters. So all who see a
user alike share one topic, whose changes are encoded once, and the full lens, which is everybody's where all may see
all, is the key itself and costs nothing. Nothing ever happens under a topic of the hidden lens: to an engine it is a
user who never came.
"""

from __future__ import annotations

from enum import IntEnum
from typing import Final

from presence_server.domain.model import OFFLINE, PublicState, Shown, UserKey, UserPresence


class Lens(IntEnum):
    """What a viewer is shown, from all to nothing.

    A policy says FULL, COARSE or HIDDEN. The two between them are the same without any time, for users who do not show
    when they were last seen.
    """

    FULL = 0
    UNTIMED = 1
    COARSE = 2
    BARE = 3
    HIDDEN = 4

    @property
    def without_time(self) -> Lens:
        return _WITHOUT_TIME[self]


_WITHOUT_TIME: Final = {
    Lens.FULL: Lens.UNTIMED,
    Lens.UNTIMED: Lens.UNTIMED,
    Lens.COARSE: Lens.BARE,
    Lens.BARE: Lens.BARE,
    Lens.HIDDEN: Lens.HIDDEN,
}

_SHIFT: Final = 96
"""Bits that a key of a number may have: an id has up to 63, and the number that it is multiplied by 30."""

KEY_BITS: Final = (1 << _SHIFT) - 1
_MARKS: Final = tuple(lens << _SHIFT for lens in Lens)

_ENDS: Final = tuple("" if lens is Lens.FULL else f"\0{lens.value}" for lens in Lens)
"""What marks a lens behind a key that is a string: no id holds a control character."""

DAY: Final = 86_400


def topic_of(key: UserKey, lens: Lens) -> UserKey:
    return key + _ENDS[lens] if type(key) is str else key | _MARKS[lens]  # type: ignore[operator]


def key_of(topic: UserKey) -> UserKey:
    """Whose topic it is."""
    return topic.partition("\0")[0] if type(topic) is str else topic & KEY_BITS  # type: ignore[operator]


def lens_of(topic: UserKey) -> Lens:
    if type(topic) is str:
        return Lens(int(topic[-1])) if topic[-2:-1] == "\0" else Lens.FULL
    return Lens(topic >> _SHIFT)  # type: ignore[operator]


def is_full(topic: UserKey) -> bool:
    """Whether it is of the full lens, and so a key."""
    return topic[-2:-1] != "\0" if type(topic) is str else topic <= KEY_BITS  # type: ignore[operator]


def topics_of(key: UserKey) -> list[UserKey]:
    """One for each lens, the full one first."""
    return [topic_of(key, lens) for lens in Lens]


def partial_topics_of(key: UserKey) -> list[UserKey]:
    """Those of lenses that show something, but not all."""
    return [topic_of(key, lens) for lens in (Lens.UNTIMED, Lens.COARSE, Lens.BARE)]


def last_seen(last_active: int | None, utc: float) -> str | None:
    """When somebody was last active (seconds since 1970), roughly, as of `utc`: by days of UTC."""
    if last_active is None:
        return None
    days = int(utc) // DAY - last_active // DAY
    if days <= 0:
        return "today"
    return "this_week" if days < 7 else "this_month" if days < 30 else "earlier"


def through(lens: Lens, presence: UserPresence, utc: float) -> UserPresence:
    """`presence`, or what is left of it already, as `lens` shows it, under its topic; never more than it holds."""
    topic = topic_of(key_of(presence.user_id), lens)
    if lens is Lens.HIDDEN:
        return UserPresence(topic, OFFLINE, None, 0, 0)
    public, last_active, seen = presence.public, presence.last_active, presence.last_seen
    if lens >= Lens.COARSE:
        public = PublicState(public.status)
        last_active, seen = None, seen or last_seen(last_active, utc)
    if lens in (Lens.UNTIMED, Lens.BARE):
        last_active = seen = None
        public = public._replace(idle_since=None)
    return presence._replace(user_id=topic, public=public, last_active=last_active, last_seen=seen)


def shown_through(lens: Lens, shown: Shown, utc: float) -> Shown:
    """The answer to a look-up, as `lens` shows it."""
    if lens is Lens.FULL or not shown.presence.version:
        return shown  # whoever was never told of looks alike through every lens, and must take as long
    live = shown.presence._replace(last_active=shown.last_active)
    seen = through(lens, live, utc)
    return Shown(seen, None, shown.devices if lens is Lens.UNTIMED else ())
