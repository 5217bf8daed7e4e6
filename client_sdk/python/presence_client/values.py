"""What callers pass in, checked and turned into what goes over the wire."""

import math
import unicodedata
from collections.abc import Awaitable, Callable, Iterable
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

from msgspec import UNSET, UnsetType

from presence_client.errors import InvalidSetting
from presence_protocol import fields, limits
from presence_protocol.messages import SetStatus, StatusName
from presence_protocol.user_ids import NUMBER, IdKind, UserId

AskForToken = Callable[[], str | Awaitable[str | None] | None]

Token = str | AskForToken
"""Credentials, or a function (async or not) that gets them: it is asked before each connection, and once more, at
once, when the server does not take what it gave (4401). It has 30 s. If it raises, it is asked again after the backoff;
if it raises `SignedOut`, or gives None, the client stops."""


def token_of(token: str) -> str:
    """A token as it is shown to a server: without the white space around it that comes with files and variables.

    Raises:
        InvalidSetting: it is empty, or cannot go into a header. Its text does not show the token.
    """
    if not isinstance(token, str):
        raise InvalidSetting("token", f"must be a string, not {type(token).__name__}")
    token = token.strip().strip("\ufeff")  # the mark that some editors begin a file with
    if not token:
        raise InvalidSetting("token", "is empty")
    check_header("token", token)
    return token


def check_header(name: str, value: str) -> None:
    """Hold text to what a header can carry, in UTF-8: no control character, no surrogate.

    Raises:
        InvalidSetting: it holds one. Its text does not show the value.
    """
    for index, character in enumerate(value, 1):
        if unicodedata.category(character) in ("Cc", "Cs", "Zl", "Zp"):
            raise InvalidSetting(name, f"cannot go into a header: character {index} is U+{ord(character):04X}")


def user_ids_of(name: str, user_ids: Iterable[UserId] | UserId, kind: IdKind = NUMBER) -> list[UserId]:
    """One user id, or several, as a list. Text is one id where ids are spelt as text.

    Raises:
        ValueError: one of them is none.
    """
    is_one = isinstance(user_ids, int) or (isinstance(user_ids, str) and kind is not NUMBER)
    if not is_one and (isinstance(user_ids, str | bytes) or not isinstance(user_ids, Iterable)):
        raise ValueError(f"{name} must be a user id, or several, not {user_ids!r}")
    ids: list[Any] = [user_ids] if is_one else list(user_ids)  # type: ignore[arg-type]
    for index, user_id in enumerate(ids):
        try:
            ids[index] = kind.parse(user_id)
        except ValueError as reason:
            raise ValueError(f"{name}[{index}] {reason}, not {user_id!r}") from None
    return ids


class Level(NamedTuple):
    """What was said of the person at a device: idle, since when (by the core's clock), and busy (None: never said)."""

    idle: bool
    since: float
    busy: bool | None = None


Time = datetime | timedelta | str | UnsetType | None
"""When something ends: a time with a zone, a duration from now, or RFC 3339. None: it has no end. UNSET: as it is."""


def status_message(
    status: StatusName | UnsetType | None,
    until: Time,
    text: str | UnsetType | None,
    emoji: str | UnsetType | None,
    text_until: Time,
    now: float,
) -> SetStatus:
    """What `set_status` says. Raises ValueError with the name of the argument that cannot be."""
    for name, value, rule in (
        ("status", status, fields.status),
        ("text", text, fields.status_text),
        ("emoji", emoji, fields.status_emoji),
    ):
        if value is not None and value is not UNSET and (reason := rule(value)) is not None:
            raise ValueError(f"{name} {reason}")
    ends = [UNSET if end is UNSET else until_of(end, now) for end in (until, text_until)]
    if all(value is UNSET for value in (status, text, emoji, *ends)):
        raise ValueError("one of status, until, text, emoji and text_until is needed")
    return SetStatus(
        status=status,
        until=ends[0],
        status_text=text if text is UNSET else text or None,
        status_emoji=emoji if emoji is UNSET else emoji or None,
        text_until=ends[1],
    )


def until_of(until: datetime | timedelta | str | None, now: float) -> str | None:
    """A time as the wire has it, in whole seconds, rounded up. `now`: for a duration, in seconds since 1970.

    Raises:
        ValueError: a datetime without a time zone, a string in another form, or none of these.
    """
    if until is None:
        return None
    if isinstance(until, str):
        if (reason := fields.timestamp(until)) is not None:
            raise ValueError(f"until {reason}")
        return until
    if not isinstance(until, datetime | timedelta):
        raise ValueError(f"until must be a time, a duration or a string, not {until!r}")
    try:
        if isinstance(until, timedelta):
            until = datetime.fromtimestamp(now, UTC) + until
        if until.tzinfo is None:
            raise ValueError("until must have a time zone, such as datetime.now(UTC) has")
        return fields.format_time(math.ceil(until.timestamp()))
    except OverflowError:
        raise ValueError("until must be within the next year") from None


def patience_of(name: str, seconds: float) -> float:
    """For how long somebody waits, in seconds.

    Raises:
        ValueError: no number, or a negative one.
    """
    if isinstance(seconds, bool) or not isinstance(seconds, int | float) or not seconds >= 0:
        raise ValueError(f"{name} must be a number of seconds, 0 or more, not {seconds!r}")
    return float(seconds)


def seconds_of(name: str, duration: float | timedelta) -> float:
    """A duration in seconds.

    Raises:
        ValueError: it is negative, or longer than 366 days.
    """
    seconds = duration.total_seconds() if isinstance(duration, timedelta) else float(duration)
    if not 0 <= seconds * 1000 <= limits.MAX_IDLE_FOR:
        raise ValueError(f"{name} must be from 0 to {limits.MAX_IDLE_FOR // 1000} seconds")
    return seconds
