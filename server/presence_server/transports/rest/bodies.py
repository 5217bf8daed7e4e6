"""The bodies of REST requests: what they may hold, and reading them within their bounds."""

from __future__ import annotations

import re
from collections.abc import Collection
from typing import Annotated, Any, Final, Literal, TypeVar

import msgspec
from msgspec import UNSET, Meta, Struct, UnsetType
from starlette.requests import ClientDisconnect, Request

from presence_protocol import fields
from presence_protocol.codec import DECODE_FAILURES
from presence_protocol.errors import FieldError
from presence_protocol.fields import Field, Rule, find_errors
from presence_protocol.large import LARGE, Flat, fields_of
from presence_protocol.messages import (
    FIELDS,
    NOTHING_SAID,
    PlatformName,
    StatusName,
    UserId,
    check_said,
    require,
)
from presence_protocol.text import byte_order_mark, lone_surrogate
from presence_protocol.user_ids import NUMBER, IdKind
from presence_protocol.variants import Variants
from presence_server.application.feed import MOST
from presence_server.transports.rest.envelope import Refusal

MAX_DRAINED: Final = 16 * 1024 * 1024
"""Bytes of a body over the limit that are read and dropped, so that the client gets to see its 413."""


class Body(Struct, rename="camel", forbid_unknown_fields=True, kw_only=True):
    """Unknown fields are ignored; they are forbidden to the decoder as in `ClientMessage`, for the second pass."""


class OnlineBody(Body):
    user_id: UserId
    device_id: str
    platform: PlatformName
    idle: bool | None = None
    busy: bool | None = None

    def __post_init__(self) -> None:
        require(fields.device_id(self.device_id))


class DeviceBody(Body):
    """For `/heartbeat` and `/offline`."""

    user_id: UserId
    device_id: str
    idle: bool | None = None
    busy: bool | None = None

    def __post_init__(self) -> None:
        require(fields.device_id(self.device_id))


class BatchBody(Body):
    user_ids: list[UserId]
    detail: bool | None = None


class StatusBody(Body):
    """What a person says of themselves, as in `SetStatus`: what is left out stays as it is, or is cleared by a PUT."""

    status: StatusName | UnsetType | None = UNSET
    until: str | UnsetType | None = UNSET
    status_text: str | UnsetType | None = UNSET
    status_emoji: str | UnsetType | None = UNSET
    text_until: str | UnsetType | None = UNSET

    def __post_init__(self) -> None:
        check_said(self)


class KickBody(Body):
    user_id: UserId
    platform: PlatformName | None = None
    device_id: str | None = None
    reason: str | None = None

    def __post_init__(self) -> None:
        if self.device_id is not None:
            require(fields.device_id(self.device_id))
        if self.reason is not None:
            require(fields.close_reason(self.reason))


class ReachBody(Body):
    user_ids: list[UserId]
    within: int | float | None = None

    def __post_init__(self) -> None:
        if self.within is not None:
            require(fields.within(self.within))


class ContactsBody(Body):
    user_ids: list[UserId]
    mutual: bool | None = None


class ContactsChangeBody(Body):
    add: list[UserId] | None = None
    remove: list[UserId] | None = None
    mutual: bool | None = None


class BlocksBody(Body):
    user_ids: list[UserId]


class BlocksChangeBody(Body):
    add: list[UserId] | None = None
    remove: list[UserId] | None = None


class PrivacyBody(Body):
    last_seen: Literal["everyone", "contacts", "nobody"]


Seconds = Annotated[int, Meta(ge=0, le=100_000_000_000)]
"""Since 1970, as tokens tell their times."""


class RevokeBody(Body):
    user_id: UserId
    issued_before: str | Seconds | None = None
    device_id: str | None = None

    def __post_init__(self) -> None:
        if isinstance(self.issued_before, str):
            require(fields.timestamp(self.issued_before))
        if self.device_id is not None:
            require(fields.device_id(self.device_id))


class ChangesBody(Body):
    """Without `user_ids`: everybody's, for services (see `transports.rest.feed`)."""

    user_ids: list[UserId] | None = None
    cursor: str | None = None
    wait_ms: int | None = None
    limit: int | None = None
    transitions: Literal["all", "last"] | None = None

    def __post_init__(self) -> None:
        if self.wait_ms is not None:
            require(fields.wait(self.wait_ms))
        if self.limit is not None:
            require(_limit(self.limit))


_limit: Final = fields.integer(1, MOST)


def _issued_before(raw: Any) -> str | None:
    """A time as REST writes it, or as tokens do: whole seconds since 1970."""
    if type(raw) is int and 0 <= raw <= 1e11:
        return None
    return fields.timestamp(raw) if isinstance(raw, str) else "must be a time, or whole seconds since 1970"


def _last_seen(raw: Any) -> str | None:
    return None if raw in ("everyone", "contacts", "nobody") else "must be everyone, contacts or nobody"


_DEVICE_ID: Final = {"deviceId": Field(fields.device_id, required=True, nullable=False)}
_IDLE: Final = {"idle": Field(fields.boolean), "busy": Field(fields.boolean)}

Rules = dict[type[Body], dict[str, Field]]


def rules_of(user_id: Rule, platform: Rule) -> Rules:
    """The rule of each field in words, for the second pass over a body that failed to decode."""
    user = {"userId": Field(user_id, required=True, nullable=False)}
    users = {"userIds": Field(user_id, required=True, nullable=False, each=True)}
    add_remove = {"add": Field(user_id, each=True), "remove": Field(user_id, each=True)}
    device = user | _DEVICE_ID
    return {
        OnlineBody: device | {"platform": Field(platform, required=True, nullable=False)} | _IDLE,
        DeviceBody: device | _IDLE,
        BatchBody: users | {"detail": Field(fields.boolean)},
        StatusBody: {name: rule for name, rule in FIELDS["status"][1].items() if name != "id"},
        RevokeBody: user | {"issuedBefore": Field(_issued_before), "deviceId": Field(fields.device_id)},
        KickBody: user
        | {
            "platform": Field(platform),
            "deviceId": Field(fields.device_id),
            "reason": Field(fields.close_reason),
        },
        ReachBody: users | {"within": Field(fields.within)},
        ContactsBody: users | {"mutual": Field(fields.boolean)},
        ContactsChangeBody: add_remove | {"mutual": Field(fields.boolean)},
        BlocksBody: users,
        BlocksChangeBody: add_remove,
        PrivacyBody: {"lastSeen": Field(_last_seen, required=True, nullable=False)},
        ChangesBody: {
            "userIds": Field(user_id, each=True),
            "cursor": Field(fields.text),
            "waitMs": Field(fields.wait),
            "limit": Field(_limit),
            "transitions": Field(fields.transitions),
        },
    }


RULES: Final = rules_of(fields.user_id, fields.platform)
"""Those of a server whose settings are the usual ones."""

_decode_any = msgspec.json.Decoder().decode
_decode_parts = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
_decode_flat = msgspec.json.Decoder(Flat).decode
_pass_over = msgspec.json.Decoder(msgspec.Raw).decode


def _decode_large(data: bytes, known: Collection[str]) -> Any:
    """As `_decode_any`; but of an object, only its `known` fields."""
    try:
        parts = _decode_parts(data)
    except msgspec.ValidationError:
        return _pass_over(data)  # no object, if it is JSON
    return fields_of(parts, known, _decode_flat, _decode_any)


_CHARSET: Final = re.compile(r';\s*charset\s*=\s*"?([^\s;"]*)', re.IGNORECASE)
_CLOSE: Final = {"Connection": "close"}

B = TypeVar("B", bound=Body)


class Bodies:
    """Reads the bodies of one server: ids of its kind, and its platforms."""

    def __init__(self, user_ids: IdKind = NUMBER, platforms: tuple[str, ...] = fields.PLATFORMS) -> None:
        if user_ids is NUMBER and platforms == fields.PLATFORMS:
            self.rules = RULES
            self._types: dict[type[Body], Any] = {body: body for body in RULES}
        else:
            self.rules = rules_of(user_ids.refusal, fields.one_of(platforms))
            variants = Variants(user_ids, platforms)
            self._types = {body: variants.of(body) for body in RULES}
        self._decoders = {body: msgspec.json.Decoder(one).decode for body, one in self._types.items()}

    async def read(self, request: Request, body_type: type[B], limit: int) -> B:
        """The body of `request`, of at most `limit` bytes. That it arrives in time is the connection's to see to.

        Raises:
            Refusal: 400 with each wrong field, 413 or 415.
        """
        _check_media_type(request)
        return self.decode(await _read_bytes(request, limit), body_type)

    def decode_valid(self, data: bytes, body_type: type[B]) -> B | None:
        """Decode `data`; None if anything is wrong with it."""
        try:
            return self._decoders[body_type](data)  # type: ignore[no-any-return]
        except DECODE_FAILURES:
            return None

    def decode(self, data: bytes, body_type: type[B]) -> B:
        """Decode `data`, or say in a Refusal each thing that is wrong with it."""
        if (body := self.decode_valid(data, body_type)) is not None:
            return body
        rules = self.rules[body_type]
        raw = _raw_of(data, rules)
        if errors := find_errors(raw, rules):
            raise Refusal(400, errors)
        try:
            made: B = msgspec.convert({key: raw[key] for key in rules if key in raw}, self._types[body_type])
        except msgspec.ValidationError as reason:
            # The rules in words missed what the types refuse: still an answer, if a less helpful one.
            field = "status" if str(reason) == NOTHING_SAID else "body"
            raise Refusal(400, [FieldError(field, str(reason))]) from None
        return made


async def read_raw(request: Request, limit: int) -> dict[str, Any]:
    """As `Bodies.read`, for whoever looks at the fields themselves."""
    _check_media_type(request)
    return _raw_of(await _read_bytes(request, limit))


def _raw_of(data: bytes, known: Collection[str] | None = None) -> dict[str, Any]:
    """The object that `data` is, of a large one only the `known` fields. Raises Refusal if it is none."""
    if (mark := byte_order_mark(data)) is not None:
        raise Refusal(
            400,
            [FieldError("body", f"is not JSON: it begins with a byte order mark of {mark}; send UTF-8 without one")],
        )
    if not data.strip():
        raise Refusal(400, [FieldError("body", "is empty; a JSON object is expected")])
    try:
        raw = _decode_any(data) if known is None or len(data) <= LARGE else _decode_large(data, known)
    except RecursionError:
        raise Refusal(400, [FieldError("body", "is nested too deeply")]) from None
    except UnicodeDecodeError as reason:
        raise Refusal(400, [FieldError("body", f"is not UTF-8 (byte {reason.start} of a string)")]) from None
    except DECODE_FAILURES as reason:
        half = lone_surrogate(data)
        words = (
            str(reason).removeprefix("JSON is malformed: ") if half is None else f"{half} is half of a surrogate pair"
        )
        raise Refusal(400, [FieldError("body", f"is not JSON: {words}")]) from None
    if type(raw) is not dict:
        raise Refusal(400, [FieldError("body", "must be a JSON object")])
    return raw


def _check_media_type(request: Request) -> None:
    codings = ",".join(request.headers.getlist("content-encoding")).lower().split(",")
    if not {coding.strip() for coding in codings} <= {"", "identity"}:
        reason = "must not be there: compressed bodies are not read"
        raise Refusal(415, [FieldError("Content-Encoding", reason)], headers={"Accept-Encoding": "identity"})
    given = request.headers.get("content-type")
    if given is None:
        return  # read as JSON
    charset = _CHARSET.search(given)
    is_utf8 = charset is None or charset[1].lower() in ("utf-8", "utf8")
    if given.partition(";")[0].strip().lower() != "application/json" or not is_utf8:
        raise Refusal(415, [FieldError("Content-Type", "must be application/json, in UTF-8")])


async def _read_bytes(request: Request, limit: int) -> bytes:
    """The whole body. One over the limit is read to its end and dropped before it is refused."""
    received = bytearray()
    size = 0
    try:
        async for chunk in request.stream():
            size += len(chunk)
            if size <= limit:
                received += chunk
            elif size > MAX_DRAINED:
                break
            else:
                received.clear()
    except ClientDisconnect:
        raise Refusal(400, [FieldError("body", "ended early")]) from None
    if size > limit:
        headers = _CLOSE if size > MAX_DRAINED else {}
        raise Refusal(413, [FieldError("body", f"is larger than {limit} bytes")], headers=headers)
    return bytes(received)
