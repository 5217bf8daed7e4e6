"""What a user id is: three kinds, of which a server speaks one.

number   1 to 2^53-1, a JSON number: what every language holds exactly (the default)
int64    1 to 2^63-1: sent as an integer or as its digits in a string; told as a string in JSON, since JavaScript would
         round the number, and as an integer in msgpack
string   1 to 64 characters of `text`, without a slash; two that look alike but are spelt differently are two users,
         so whoever uses letters with marks sends them in one form (NFC)

A value is judged by `IdKind.refusal`, and made an id by `IdKind.parse`; text from a path, a command line or a token by
`IdKind.of_text` and `IdKind.of_claim`. Nobody else reads ids.
"""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal

from msgspec import Meta

from presence_protocol.limits import MAX_USER_ID
from presence_protocol.text import refusal

UserId = int | str
"""An id of any kind. Of `int64` it is an `int` in Python, of whatever form it was sent in."""

MAX_INT64: Final = 2**63 - 1
MAX_LETTERS: Final = 64
"""Longest id of the kind `string`, in characters."""

IdKindName = Literal["number", "int64", "string"]


class Snowflake(int):
    """An id of 64 bits as it is to be told: an encoder of JSON writes its digits in a string (`told_in_json`)."""

    __slots__ = ()


def told_in_json(value: Any) -> str:
    """For an encoder of JSON: how to write what it does not know. Raises NotImplementedError for all but ids."""
    if type(value) is Snowflake:
        return str(int(value))
    raise NotImplementedError(f"{type(value).__name__} cannot be encoded")


def told_in_msgpack(value: Any) -> int:
    """As `told_in_json`, for msgpack."""
    if type(value) is Snowflake:
        return int(value)
    raise NotImplementedError(f"{type(value).__name__} cannot be encoded")


class IdKind:
    """One kind of ids. `name` is what `welcome` says; `wire` is the type that a decoder holds what is sent to."""

    name: IdKindName
    wire: Any
    is_parsed: bool = False
    """Whether what has the type `wire` is still to go through `parse`."""

    def refusal(self, value: Any) -> str | None:
        """The reason why a decoded value is no id, or None."""
        raise NotImplementedError

    def parse(self, value: Any) -> UserId:
        """The id that a decoded value is. Raises ValueError with the reason."""
        reason = self.refusal(value)
        if reason is not None:
            raise ValueError(reason)
        return value  # type: ignore[no-any-return]

    def of_text(self, text: str) -> UserId:
        """The id that a path, a command line or a token spells. Raises ValueError with the reason."""
        return self.parse(text)

    def of_claim(self, raw: Any) -> UserId:
        """The id that a token's claim holds: as JSON has it, or in a string, as `sub` must be one (RFC 7519).

        Raises ValueError with the reason.
        """
        try:
            return self.of_text(raw) if isinstance(raw, str) else self.parse(raw)
        except ValueError as reason:
            raise ValueError(str(reason).replace("must be", "must be a user id:", 1)) from None

    def __repr__(self) -> str:
        return f"<IdKind {self.name}>"


def _digits(text: str, most: int) -> int | None:
    """What plain digits say, from 1 to `most`; None for anything spelt otherwise: `007`, `+1`, `1e3`, ` 1`."""
    if text.isascii() and text.isdigit() and text[0] != "0" and len(text) <= 19 and int(text) <= most:
        return int(text)
    return None


class _Number(IdKind):
    name = "number"
    wire = Annotated[int, Meta(ge=1, le=MAX_USER_ID)]
    reason = f"must be an integer from 1 to {MAX_USER_ID}"

    def refusal(self, value: Any) -> str | None:
        return None if type(value) is int and 1 <= value <= MAX_USER_ID else self.reason

    def of_text(self, text: str) -> UserId:
        user_id = _digits(text, MAX_USER_ID)
        if user_id is None:
            raise ValueError(self.reason)
        return user_id


class _Int64(IdKind):
    name = "int64"
    wire = Annotated[int, Meta(ge=1, le=MAX_INT64)] | Annotated[str, Meta(min_length=1, max_length=19)]
    is_parsed = True
    reason = f"must be an integer from 1 to {MAX_INT64}, or its digits in a string"

    def refusal(self, value: Any) -> str | None:
        if isinstance(value, str):
            return None if _digits(value, MAX_INT64) is not None else self.reason
        is_one = type(value) in (int, Snowflake) and 1 <= value <= MAX_INT64
        return None if is_one else self.reason

    def parse(self, value: Any) -> UserId:
        user_id = _digits(value, MAX_INT64) if isinstance(value, str) else value
        if user_id is None or self.refusal(user_id) is not None:
            raise ValueError(self.reason)
        return Snowflake(user_id)


class _String(IdKind):
    name = "string"
    wire = Annotated[str, Meta(min_length=1, max_length=MAX_LETTERS)]
    is_parsed = True
    reason = f"must be a string of 1 to {MAX_LETTERS} characters"

    def refusal(self, value: Any) -> str | None:
        if type(value) is not str or not 1 <= len(value) <= MAX_LETTERS:
            return self.reason
        if "/" in value:
            return "must not hold U+002F, a slash"
        return None if value.isprintable() else refusal(value)  # what is printable is never refused


NUMBER: Final[IdKind] = _Number()
INT64: Final[IdKind] = _Int64()
STRING: Final[IdKind] = _String()

KINDS: Final[dict[str, IdKind]] = {kind.name: kind for kind in (NUMBER, INT64, STRING)}


def kind_of(name: str) -> IdKind:
    """The kind of that name. Raises ValueError if there is none."""
    try:
        return KINDS[name]
    except (KeyError, TypeError):
        raise ValueError(f"must be one of {', '.join(KINDS)}") from None
