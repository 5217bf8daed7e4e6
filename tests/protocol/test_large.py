"""What is large and wrong is answered as what is small and wrong, and costs no more than what is large and right."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import msgpack
import msgspec
import pytest

from presence_protocol.codec import CODECS, Codec
from presence_protocol.errors import InvalidMessage, MalformedMessage
from presence_protocol.large import LARGE
from presence_server.transports.rest.bodies import BatchBody, Bodies
from presence_server.transports.rest.envelope import Refusal

SIZE = 262_144
JSON, MSGPACK = CODECS
PACKERS: dict[str, Callable[[Any], bytes]] = {"json": msgspec.json.encode, "msgpack": msgpack.packb}

WRONG: list[Any] = [
    {"type": "watch", "userIds": [1, 0, "x", [2], {"a": [3]}], "id": 7},
    {"type": "watch", "userIds": {"a": [1]}, "id": 7},
    {"type": "watch", "id": "seven"},
    {"type": "hello", "userId": 0, "deviceId": "", "platform": "PHONE", "watch": [-1]},
    {"type": "hello", "observer": True, "userId": 1},
    {"type": "status", "status": ["BUSY"], "statusText": [["x"]], "id": 1},
    {"type": "shout", "id": 3},
    {"type": ["watch"]},
    {"id": 1},
]


def told(codec: Codec, data: bytes) -> Any:
    try:
        return codec.decode_client(data)
    except InvalidMessage as invalid:
        return invalid.error, invalid.details, invalid.id
    except MalformedMessage as malformed:
        return malformed.reason


@pytest.mark.parametrize("codec", CODECS, ids=str)
@pytest.mark.parametrize("message", WRONG, ids=str)
def test_what_is_large_is_answered_as_what_is_small(codec: Codec, message: Any) -> None:
    pack = PACKERS[codec.name]
    assert told(codec, pack(message | {"unknown": [[]] * LARGE})) == told(codec, pack(message))


@pytest.mark.parametrize("codec", CODECS, ids=str)
def test_what_is_large_and_no_message_is_malformed(codec: Codec) -> None:
    pack = PACKERS[codec.name]
    assert told(codec, pack([1] * LARGE)) == "a message must be a map"
    cut = pack({"type": "watch", "userIds": [1] * LARGE})[:-3]
    assert told(codec, cut).startswith(f"not {codec.name}: ")


def test_a_large_body_that_is_wrong_names_the_field() -> None:
    bodies = Bodies()
    for ids, reason in ([0] * LARGE, "userIds[0]"), ([[[]]] * LARGE, "userIds[0]"), ({"a": [[]] * LARGE}, "userIds[0]"):
        with pytest.raises(Refusal) as refused:
            bodies.decode(msgspec.json.encode({"userIds": ids}), BatchBody)
        assert (refused.value.status, refused.value.details[0].field) == (400, reason)
    with pytest.raises(Refusal) as refused:
        bodies.decode(msgspec.json.encode([1] * LARGE), BatchBody)
    assert refused.value.details[0].reason == "must be a JSON object"


def repeated(piece: bytes, room: int = SIZE - 100) -> bytes:
    return b"[%b]" % b",".join([piece] * (room // (len(piece) + 1)))


def cost(work: Callable[[], object]) -> float:
    times = []
    for _ in range(7):
        began = time.process_time()
        work()
        times.append(time.process_time() - began)
    return min(times)


TANGLES = [b"[]", b"{}", b"[" * 25 + b"]" * 25, b'{"a":[{}]}', b"0", b'"x"']


@pytest.mark.parametrize("tangle", TANGLES, ids=str)
@pytest.mark.parametrize("field", [b"userIds", b"unknown"])
def test_what_is_wrong_costs_no_more_than_what_is_right(tangle: bytes, field: bytes) -> None:
    """It was 4 to 26 times as much."""
    right = b'{"type":"watch","userIds":%b}' % repeated(b"1")
    wrong = b'{"type":"watch","id":"x","%b":%b}' % (field, repeated(tangle))
    dear = 3 * cost(lambda: JSON.decode_client(right))
    assert cost(lambda: told(JSON, wrong)) < dear
    bodies = Bodies()

    def read() -> None:
        with pytest.raises(Refusal):
            bodies.decode(wrong, BatchBody)

    assert cost(read) < dear


def test_what_is_wrong_in_msgpack_costs_no_more_than_what_is_right() -> None:
    right = msgpack.packb({"type": "watch", "userIds": [1] * SIZE})
    dear = 3 * cost(lambda: MSGPACK.decode_client(right))
    for value in ([], {}, [[[]]], 0):
        for field in ("userIds", "unknown"):
            size = len(msgpack.packb(value))
            wrong = msgpack.packb({"type": "watch", "id": "x", field: [value] * (SIZE // size)})
            assert cost(lambda wrong=wrong: told(MSGPACK, wrong)) < dear, (value, field)  # type: ignore[misc]
