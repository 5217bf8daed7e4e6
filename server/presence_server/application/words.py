"""From what a person says of themselves, as clients write it, to the domain's words; and whether its times can be."""

from __future__ import annotations

from typing import Final, Protocol

from msgspec import UNSET, UnsetType

from presence_protocol.fields import parse_time
from presence_protocol.limits import MAX_UNTIL_AHEAD
from presence_server.domain.claims import LEAVE, Left, Word, Wrong
from presence_server.domain.model import Status

INVISIBLE_FORBIDDEN: Final = Wrong("status", "must not be OFFLINE: this server lets nobody be invisible")


class Said(Protocol):
    """A `status` message, or the body of a request that says the same."""

    @property
    def status(self) -> str | UnsetType | None: ...
    @property
    def until(self) -> str | UnsetType | None: ...
    @property
    def status_text(self) -> str | UnsetType | None: ...
    @property
    def status_emoji(self) -> str | UnsetType | None: ...
    @property
    def text_until(self) -> str | UnsetType | None: ...


def word_of(said: Said) -> Word:
    """Whose times were found to be times already. An empty text or emoji is the same as none."""
    status, text, emoji = said.status, said.status_text, said.status_emoji
    return Word(
        LEAVE if status is UNSET else status_of(status),
        seconds_of(said.until),
        LEAVE if text is UNSET else text or None,
        LEAVE if emoji is UNSET else emoji or None,
        seconds_of(said.text_until),
    )


_STATUSES: Final = {status.value: status for status in Status}  # to call the enumeration takes 0.3 us


def status_of(name: str | None) -> Status | None:
    return None if name is None else _STATUSES[name]


def seconds_of(time: str | UnsetType | None) -> int | Left | None:
    """Seconds since 1970 of a time that is one."""
    if isinstance(time, str):
        return parse_time(time)
    return LEAVE if time is UNSET else None


def check_word(word: Word, utc: float) -> Wrong | None:
    """Why `word` cannot be said at `utc`, in seconds since 1970; None: it can."""
    if isinstance(word.until, int) and (reason := check_until(word.until, utc)) is not None:
        return Wrong("until", reason)
    if isinstance(word.text_until, int) and (reason := check_until(word.text_until, utc)) is not None:
        return Wrong("textUntil", reason)
    return None


def check_until(until: int, utc: float) -> str | None:
    """The reason why nothing can end at `until`, or None; both in seconds since 1970."""
    return "must be later than now" if until <= utc else check_ahead(until, utc)


def check_ahead(time: int, utc: float) -> str | None:
    """The reason why `time` is too far ahead, or None; both in seconds since 1970."""
    return "must be at most a year ahead" if time > utc + MAX_UNTIL_AHEAD else None
