"""User ids of each kind: what is one, in a message, in a path and in a token, and why another is none."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from presence_protocol.codec import CODECS, codecs_of
from presence_protocol.errors import InvalidMessage
from presence_protocol.messages import Hello, Query, Snapshot, StatusEntry, Watch
from presence_protocol.user_ids import INT64, KINDS, NUMBER, STRING, Snowflake, kind_of

VECTORS = json.loads((Path(__file__).parents[1] / "vectors/user_ids.json").read_bytes())["cases"]
TAKEN = [case for case in VECTORS if "id" in case]
REFUSED = [case for case in VECTORS if "reason" in case]


def named(case: dict[str, Any]) -> str:
    return f"{case['kind']}-{ascii(case['value'])[:40]}"


@pytest.mark.parametrize("case", TAKEN, ids=named)
def test_what_is_an_id(case: dict[str, Any]) -> None:
    kind = kind_of(case["kind"])
    assert kind.refusal(case["value"]) is None
    user_id = kind.parse(case["value"])
    assert str(user_id) == case["id"]
    assert kind.of_text(case["id"]) == user_id
    assert kind.of_claim(case["id"]) == user_id
    json_codec, msgpack_codec = codecs_of(kind)
    message = json.dumps({"type": "watch", "userIds": [case["value"]]}).encode()
    watch = json_codec.decode_client(message)
    assert isinstance(watch, Watch)
    assert watch.user_ids == [user_id]
    query = msgpack_codec.decode_client(msgpack_codec.encode(Query(user_ids=[user_id])))
    assert isinstance(query, Query)
    assert query.user_ids == [user_id]


@pytest.mark.parametrize("case", REFUSED, ids=named)
def test_what_is_none(case: dict[str, Any]) -> None:
    kind = kind_of(case["kind"])
    assert kind.refusal(case["value"]) == case["reason"]
    with pytest.raises(ValueError, match=f"^{re.escape(case['reason'])}$"):
        kind.parse(case["value"])
    json_codec, _ = codecs_of(kind)
    with pytest.raises(InvalidMessage) as invalid:
        json_codec.decode_client(json.dumps({"type": "watch", "userIds": [case["value"]]}).encode())
    assert invalid.value.details == [("userIds[0]", case["reason"])]
    if isinstance(case["value"], str) and kind is not NUMBER:
        with pytest.raises(ValueError, match="must"):
            kind.of_text(case["value"])


def test_an_int64_is_told_as_a_string_in_json_and_as_an_integer_in_msgpack() -> None:
    greatest = 2**63 - 1
    entry = StatusEntry(Snowflake(greatest), "ONLINE", ["WEB"], None, 1)
    in_json, in_msgpack = (codec.encode(Snapshot(statuses=[entry])) for codec in CODECS)
    assert json.loads(in_json)["statuses"][0]["userId"] == str(greatest)
    assert greatest.to_bytes(8, "big") in in_msgpack
    for codec, encoded in zip(codecs_of(INT64), (in_json, in_msgpack), strict=True):
        read = codec.decode_server(encoded)
        assert isinstance(read, Snapshot)
        assert read.statuses[0].user_id == greatest


def test_each_kind_has_messages_of_the_same_classes() -> None:
    for kind in KINDS.values():
        for codec in codecs_of(kind):
            user_id = kind.of_text("10001")
            hello = Hello(user_id=user_id, device_id="d", platform="WEB", watch=[user_id])
            read = codec.decode_client(codec.encode(hello))
            assert isinstance(read, Hello)
            assert (read.user_id, read.watch, read.device_id) == (user_id, [user_id], "d")


def test_a_claim_may_be_a_number_only_where_ids_are() -> None:
    assert NUMBER.of_claim(10001) == NUMBER.of_claim("10001") == 10001
    assert INT64.of_claim(10001) == 10001
    with pytest.raises(ValueError, match=r"^must be a user id: a string of 1 to 64 characters$"):
        STRING.of_claim(10001)


def test_a_name_that_is_no_kind() -> None:
    with pytest.raises(ValueError, match="must be one of number, int64, string"):
        kind_of("uuid")
