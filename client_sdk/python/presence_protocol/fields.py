"""What each field may hold, and the reason when it does not.

msgspec stops at the first wrong field and words its reasons for Python programmers. So a body that failed to decode
is read once more without types, and `find_errors` lists every wrong field in words for its sender. The types in
`messages` and the rules here say the same twice, for speed; a property test holds them together.

Rules take the decoded value and give the reason, or None when the value is right. Paths of nested values are added
by the rule itself through `ListRule`.
"""

import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from functools import lru_cache
from itertools import islice
from typing import Any, NamedTuple

from presence_protocol import limits
from presence_protocol.errors import FieldError
from presence_protocol.text import SHORT_CODE, is_one_emoji, refusal
from presence_protocol.user_ids import NUMBER

STATUSES = ("ONLINE", "AWAY", "BUSY", "OFFLINE")
PLATFORMS = ("WEB", "IOS", "ANDROID", "PC")

Rule = Callable[[Any], str | None]


class Field(NamedTuple):
    """How one field is checked. `each` turns the rule into one for every item of a list."""

    rule: Rule
    required: bool = False
    nullable: bool = True
    each: bool = False


def device_id(value: Any) -> str | None:
    if type(value) is str and 1 <= len(value) <= limits.MAX_DEVICE_ID:
        return None if value.isprintable() else refusal(value)  # what is printable is never refused: 70 ns less
    return f"must be a string of 1 to {limits.MAX_DEVICE_ID} characters"


def status_text(value: Any) -> str | None:
    if type(value) is str and len(value) <= limits.MAX_STATUS_TEXT:
        return None if value.isprintable() else refusal(value)  # what is printable is never refused: 70 ns less
    return f"must be a string of at most {limits.MAX_STATUS_TEXT} characters"


def status_emoji(value: Any) -> str | None:
    if type(value) is not str:
        return "must be a string"
    if not value or SHORT_CODE.fullmatch(value) is not None:
        return None
    if (reason := refusal(value)) is not None:
        return reason
    if len(value.encode()) <= limits.MAX_STATUS_EMOJI and is_one_emoji(value):
        return None
    return f"must be one emoji of at most {limits.MAX_STATUS_EMOJI} bytes, or a short code like :palm_tree:"


def claim_id(value: Any) -> str | None:
    if type(value) is str and 1 <= len(value) <= limits.MAX_CLAIM_ID:
        return refusal(value)
    return f"must be a string of 1 to {limits.MAX_CLAIM_ID} characters"


def one_of(choices: tuple[str, ...]) -> Rule:
    reason = f"must be one of {', '.join(choices)}"
    return lambda value: None if type(value) is str and value in choices else reason


_PLATFORM = re.compile(r"[A-Z][A-Z0-9_]{0,23}")


def platform_name(value: Any) -> str | None:
    """Any name that some server may take: each has a list of its own."""
    if type(value) is str and _PLATFORM.fullmatch(value):
        return None
    return f"must be a name of 1 to 24 capital letters, digits and underscores, such as {', '.join(PLATFORMS)}"


def boolean(value: Any) -> str | None:
    return None if type(value) is bool else "must be true or false"


def close_reason(value: Any) -> str | None:
    """What a person is told when their device is ended: it has to fit into a close frame."""
    if type(value) is not str:
        return "must be a string"
    if (refused := refusal(value)) is not None:
        return refused
    if len(value.encode()) <= limits.MAX_REASON:
        return None
    return f"must be at most {limits.MAX_REASON} bytes of UTF-8"


def within(value: Any) -> str | None:
    """Seconds that an answer may be waited for."""
    most = limits.MAX_WAIT // 1000
    is_right = type(value) in (int, float) and 0 <= value <= most
    return None if is_right else f"must be a number of seconds from 0 to {most}"


_CLIENT = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,31}/[A-Za-z0-9][A-Za-z0-9._+-]{0,31}", re.ASCII)


def client(value: Any) -> str | None:
    """What SDK somebody uses, and of which version."""
    if type(value) is str and _CLIENT.fullmatch(value) is not None:
        return None
    return "must be a name and a version such as presence-js/1.0.0, each of 1 to 32 letters, digits and . _ - +"


def transitions(value: Any) -> str | None:
    return None if value in ("all", "last") else "must be all or last"


def text(value: Any) -> str | None:
    return None if type(value) is str else "must be a string"


def integer(lowest: int, highest: int) -> Rule:
    reason = f"must be an integer from {lowest} to {highest}"
    return lambda value: None if type(value) is int and lowest <= value <= highest else reason


def timestamp(value: Any) -> str | None:
    if type(value) is str and parse_time(value) is not None:
        return None
    return "must be a time like 2025-11-09T15:00:00Z or 2025-11-09T23:00:00+08:00"


# Its own digits, lengths and letters: `datetime.fromisoformat` alone lets spaces, weeks and missing parts pass.
_TIME = re.compile(
    r"(\d{4})-(\d\d)-(\d\d)T(\d\d):(\d\d):(\d\d)(?:\.(\d{1,9}))?(?:Z|([+-])([01]\d|2[0-3]):([0-5]\d))", re.ASCII
)


def parse_time(value: str) -> int | None:
    """Whole seconds since 1970 of an RFC 3339 time such as `2025-11-09T15:00:00Z`, which may have a fraction of up to
    nine digits, and an offset (`+08:00`) in place of `Z`. None for anything written otherwise.

    A fraction is rounded up: what ends at such a time never ends before it.
    """
    found = _TIME.fullmatch(value)
    if found is None:
        return None
    *_, fraction, sign, hours, minutes = found.groups()
    year, month, day, hour, minute, second = map(int, found.groups()[:6])
    try:
        seconds = int(datetime(year, month, day, hour, minute, second, tzinfo=UTC).timestamp())
    except ValueError:
        return None
    if fraction is not None and fraction.strip("0"):
        seconds += 1
    if sign is not None:
        offset = int(hours) * 3_600 + int(minutes) * 60
        seconds += offset if sign == "-" else -offset
    return seconds


@lru_cache(maxsize=4096)  # a busy server formats the same few seconds for everybody
def format_time(seconds: int) -> str:
    """`2025-11-09T15:00:00Z` for whole seconds since 1970."""
    days, seconds = divmod(seconds, 86_400)
    minutes, seconds = divmod(seconds, 60)
    hours, minutes = divmod(minutes, 60)
    return f"{_date(days)}T{hours:02}:{minutes:02}:{seconds:02}Z"


@lru_cache(maxsize=64)  # 3 us less where all times differ, as those at which devices came online do
def _date(days: int) -> str:
    return datetime.fromtimestamp(days * 86_400, UTC).strftime("%Y-%m-%d")


user_id = NUMBER.refusal
message_id = integer(-limits.MAX_USER_ID, limits.MAX_USER_ID)
idle_for = integer(0, limits.MAX_IDLE_FOR)
wait = integer(0, limits.MAX_WAIT)
status = one_of(STATUSES)
platform = one_of(PLATFORMS)

MAX_DETAILS = 20
"""Wrong fields that one answer names: a list of 1,000 wrong ids must not be answered with 1,000 reasons."""

MAX_LOOKED_AT = 10_000
"""Items of a list that are looked at for reasons: a millisecond. A later one that is wrong is named by its decoder."""


def find_errors(raw: Mapping[str, Any], fields: Mapping[str, Field]) -> list[FieldError]:
    """Every wrong field of `raw`, in the order of `fields`, at most `MAX_DETAILS` of them."""
    errors: list[FieldError] = []
    for name, field in fields.items():
        value = raw.get(name)
        if name not in raw or (value is None and field.required and not field.nullable):
            if field.required:
                errors.append(FieldError(name, "is required"))
        elif value is None and field.nullable:
            continue
        elif field.each:
            errors.extend(_list_errors(name, value, field.rule))
        elif (reason := field.rule(value)) is not None:
            errors.append(FieldError(name, reason))
        if len(errors) >= MAX_DETAILS:
            return errors[:MAX_DETAILS]
    return errors


def _list_errors(name: str, value: Any, rule: Rule) -> list[FieldError]:
    if type(value) is not list:
        return [FieldError(name, "must be a list")]
    errors: list[FieldError] = []
    for index, item in enumerate(islice(value, MAX_LOOKED_AT)):
        if (reason := rule(item)) is not None:
            errors.append(FieldError(f"{name}[{index}]", reason))
            if len(errors) >= MAX_DETAILS:
                break
    return errors
