"""Bytes <-> messages, for JSON and msgpack alike.

A message is decoded in one typed pass. Only what fails it is read again without types, to tell a peer that cannot
speak the protocol (`MalformedMessage`: the connection ends) from one that got a field wrong (`InvalidMessage`: it
is answered). The second pass also accepts what is odd but allowed: unknown fields, and duplicate keys of which an
earlier one was wrong.
"""

from collections.abc import Callable
from contextlib import suppress
from functools import lru_cache
from typing import Any, Final

import msgspec

from presence_protocol import fields, limits
from presence_protocol.errors import FieldError, InvalidMessage, MalformedMessage
from presence_protocol.feed import FeedDiff
from presence_protocol.large import LARGE, Flat, fields_of
from presence_protocol.messages import (
    FEED_OBSERVES,
    FEED_WATCHES,
    FIELDS,
    NOTHING_SAID,
    AnyClientMessage,
    AnyServerMessage,
    Fields,
    StatusEntry,
    Welcome,
    fields_by_type,
)
from presence_protocol.text import byte_order_mark, lone_surrogate
from presence_protocol.user_ids import KINDS, NUMBER, IdKind, told_in_json, told_in_msgpack
from presence_protocol.variants import Variants

# ValueError covers msgspec's DecodeError, UnicodeDecodeError, and an integer too long for int().
DECODE_FAILURES: Final = (ValueError, RecursionError, OverflowError)


class Codec:
    """One encoding of the protocol: `JSON` or `MSGPACK`."""

    def __init__(
        self,
        name: str,
        subprotocol: str,
        is_binary: bool,
        decode_any: Callable[[bytes], Any],
        decode_parts: Callable[[bytes], dict[str, msgspec.Raw]],
        pass_over: Callable[[bytes], msgspec.Raw],
        decode_flat: Callable[[msgspec.Raw], Any],
        decode_value: Callable[[msgspec.Raw], Any],
        decode_client: Callable[[bytes], AnyClientMessage],
        decode_server: Callable[[bytes], AnyServerMessage],
        encode: Callable[[Any], bytes],
        diff: Callable[[list[bytes], str], tuple[bytes, ...]],
        fields_by_type: Fields = FIELDS,
    ) -> None:
        self.name = name
        self.subprotocol = subprotocol
        self.is_binary = is_binary
        self.encode: Callable[[AnyClientMessage | AnyServerMessage | StatusEntry | FeedDiff], bytes] = encode
        self.diff = diff
        """Encoded entries and a cursor -> the pieces of an encoded `Diff`, so that an entry is encoded once for all.

        Pieces, since whoever puts them into a frame copies them in any case. The cursor is one of the server's own:
        printable ASCII, without quotes or backslashes.
        """
        self._fields_by_type = fields_by_type
        self._decode_any = decode_any
        self._decode_parts = decode_parts
        self._pass_over = pass_over
        self._decode_flat = decode_flat
        self._decode_value = decode_value
        self._known = {name for _, rules in fields_by_type.values() for name in rules} | {"type", "id", "observer"}
        self._decode_client = decode_client
        self._decode_server = decode_server

    def __repr__(self) -> str:
        return f"<Codec {self.name}>"

    def decode_client(self, data: bytes) -> AnyClientMessage:
        """Decode what a client sent.

        Raises:
            MalformedMessage: not one message in this encoding.
            InvalidMessage: `unknown_type` or `invalid_request`, with every wrong field.
        """
        try:
            return self._decode_client(data)
        except DECODE_FAILURES:
            return self._decode_slowly(data)

    def decode_server(self, data: bytes) -> AnyServerMessage:
        """Decode what a server sent. Unknown fields are ignored; an unknown `type` is an InvalidMessage.

        Raises:
            MalformedMessage: not a message of a server.
            InvalidMessage: `unknown_type`: a newer server's message, to be ignored.
        """
        try:
            return self._decode_server(data)
        except DECODE_FAILURES as failure:
            raw = self._map_of(data, self._decode_any)
            if raw.get("type") == "welcome" and raw.get("userIds") in KINDS:
                # Of a server whose ids are of another kind: whose welcome it is matters less than to say so.
                with suppress(msgspec.ValidationError):
                    return msgspec.convert(raw | {"self": None}, Welcome)
            if isinstance(raw.get("type"), str) and raw["type"] not in SERVER_TYPES:
                raise InvalidMessage("unknown_type", [FieldError("type", "is not a known message")]) from None
            raise MalformedMessage(str(failure)) from None

    def _map_of(self, data: bytes, decode: Callable[[bytes], Any]) -> dict[str, Any]:
        try:
            raw = decode(data)
        except DECODE_FAILURES as failure:
            words = str(failure)
            if not self.is_binary and (half := lone_surrogate(data)) is not None:
                words = f"{half} is half of a surrogate pair"
            elif not self.is_binary and byte_order_mark(data) is not None:
                words = "it begins with a byte order mark"
            raise MalformedMessage(f"not {self.name}: {words}") from None
        if type(raw) is not dict:
            raise MalformedMessage("a message must be a map")
        return raw

    def _decode_large(self, data: bytes) -> Any:
        try:
            parts = self._decode_parts(data)
        except msgspec.ValidationError:
            return self._pass_over(data)  # no map, if it is in this encoding
        return fields_of(parts, self._known, self._decode_flat, self._decode_value)

    def _decode_slowly(self, data: bytes) -> AnyClientMessage:
        raw = self._map_of(data, self._decode_any if len(data) <= LARGE else self._decode_large)
        id = raw.get("id")
        if id is not None and fields.message_id(id) is not None:
            id = None
        name = raw.get("type")
        if name is None:
            raise InvalidMessage("invalid_request", [FieldError("type", "is required")], id)
        if type(name) is not str or name not in self._fields_by_type:
            known = ", ".join(self._fields_by_type)
            raise InvalidMessage("unknown_type", [FieldError("type", f"must be one of {known}")], id)
        message_type, rules = self._fields_by_type[name]
        if name == "hello" and raw.get("observer") is True:
            rules = rules | _OBSERVER_RULES | {"platform": rules["platform"]._replace(required=False, nullable=True)}
        if errors := fields.find_errors(raw, rules):
            raise InvalidMessage("invalid_request", errors, id)
        try:
            message: AnyClientMessage = msgspec.convert(
                {key: raw[key] for key in ("type", *rules) if key in raw}, message_type
            )
        except msgspec.ValidationError as failure:
            # The rules in words missed what the types refuse: still an answer, if a less helpful one.
            lacking = _feed_error(raw) if name == "hello" else _LACKING.get(name)
            raise InvalidMessage("invalid_request", [lacking or FieldError(name, str(failure))], id) from None
        return message


_LACKING: Final = {
    "status": FieldError("status", NOTHING_SAID),
    "activity": FieldError("idle", "is required, unless there is busy"),
}
"""What a message of that type lacks whose every field is right by itself."""


def _feed_error(hello: dict[str, Any]) -> FieldError | None:
    """What is wrong with a hello that asks for the feed, whose every field is right by itself."""
    if hello.get("feed") is not True:
        return None
    return FieldError("watch", FEED_WATCHES) if hello.get("observer") is True else FieldError("feed", FEED_OBSERVES)


def _absent(_value: Any) -> str:
    return "must be left out: an observer has no user and no device"


_OBSERVER_RULES = {
    "userId": fields.Field(_absent),
    "deviceId": fields.Field(_absent),
}

SERVER_TYPES: Final = frozenset(
    ("welcome", "self", "snapshot", "diff", "statuses", "ok", "pong", "error", "reconnect", "expiring")
)


def _plain(depth: int) -> Any:
    """The type of plain data: what JSON can tell, nested at most `depth` deep."""
    plain: Any = bool | int | float | str | None
    for _ in range(depth):
        plain = bool | int | float | str | list[plain] | dict[str, plain] | None
    return plain


MAX_DEPTH: Final = 8
"""How deep the value of an unknown field may be nested in msgpack.

There keys may be integers, and Python's hash of an integer is that integer: a map of 26,000 keys that were chosen to
collide takes seconds to build. So the types refuse such a key before anything is built, and types have an end. In JSON
all keys are strings, whose hash is salted. Of a large message such a field is not built at all: see `large`.
"""


def _json_diff(entries: list[bytes], cursor: str) -> tuple[bytes, ...]:
    return b'{"type":"diff","changes":[', b",".join(entries), b'],"cursor":"%b"}' % cursor.encode()


_PACK = msgspec.msgpack.encode
_DIFF_HEAD = b"\x83" + _PACK("type") + _PACK("diff") + _PACK("changes")
_CURSOR_KEY = _PACK("cursor")


def _msgpack_diff(entries: list[bytes], cursor: str) -> tuple[bytes, ...]:
    count = len(entries)
    if count < 16:
        array = bytes((0x90 | count,))
    elif count < 65_536:
        array = b"\xdc" + count.to_bytes(2, "big")
    else:
        array = b"\xdd" + count.to_bytes(4, "big")
    return _DIFF_HEAD, array, b"".join(entries), _CURSOR_KEY, _PACK(cursor)


_encode_json = msgspec.json.Encoder(enc_hook=told_in_json).encode
_encode_msgpack = msgspec.msgpack.Encoder(enc_hook=told_in_msgpack).encode
_decode_any_json = msgspec.json.Decoder().decode
_PLAIN = _plain(MAX_DEPTH)
_decode_any_msgpack = msgspec.msgpack.Decoder(dict[str, _PLAIN]).decode  # type: ignore[valid-type]
_decode_value_msgpack = msgspec.msgpack.Decoder(_PLAIN).decode
_decode_parts_json = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
_decode_parts_msgpack = msgspec.msgpack.Decoder(dict[str, msgspec.Raw]).decode
_pass_over_json = msgspec.json.Decoder(msgspec.Raw).decode
_pass_over_msgpack = msgspec.msgpack.Decoder(msgspec.Raw).decode
_decode_flat_json = msgspec.json.Decoder(Flat).decode
_decode_flat_msgpack = msgspec.msgpack.Decoder(Flat).decode


def _codecs(client: Any, server: Any, fields_by_type: Fields) -> tuple[Codec, Codec]:
    """JSON's and msgpack's, for messages of these types."""
    return (
        Codec(
            name="json",
            subprotocol=limits.SUBPROTOCOL_JSON,
            is_binary=False,
            decode_any=_decode_any_json,
            decode_parts=_decode_parts_json,
            pass_over=_pass_over_json,
            decode_flat=_decode_flat_json,
            decode_value=_decode_any_json,
            decode_client=msgspec.json.Decoder(client).decode,
            decode_server=msgspec.json.Decoder(server).decode,
            encode=_encode_json,
            diff=_json_diff,
            fields_by_type=fields_by_type,
        ),
        Codec(
            name="msgpack",
            subprotocol=limits.SUBPROTOCOL_MSGPACK,
            is_binary=True,
            decode_any=_decode_any_msgpack,
            decode_parts=_decode_parts_msgpack,
            pass_over=_pass_over_msgpack,
            decode_flat=_decode_flat_msgpack,
            decode_value=_decode_value_msgpack,
            decode_client=msgspec.msgpack.Decoder(client).decode,
            decode_server=msgspec.msgpack.Decoder(server).decode,
            encode=_encode_msgpack,
            diff=_msgpack_diff,
            fields_by_type=fields_by_type,
        ),
    )


JSON, MSGPACK = CODECS = _codecs(AnyClientMessage, AnyServerMessage, FIELDS)
"""Those of the usual settings. `CODECS` is indexed by the number that a session keeps of its codec.

Encoding, names and subprotocols are the same for ids and platforms of all kinds; decoding is not: see `codecs_of`.
"""


@lru_cache(maxsize=64)
def codecs_of(kind: IdKind, platforms: tuple[str, ...] = fields.PLATFORMS) -> tuple[Codec, Codec]:
    """As `CODECS`, for ids of `kind` and for these platforms."""
    if kind is NUMBER and platforms == fields.PLATFORMS:
        return CODECS
    variants = Variants(kind, platforms)
    rules = {
        name: (variants.of(one), of_fields)
        for name, (one, of_fields) in fields_by_type(kind.refusal, fields.one_of(platforms)).items()
    }
    return _codecs(variants.of_union(AnyClientMessage), variants.of_union(AnyServerMessage), rules)
