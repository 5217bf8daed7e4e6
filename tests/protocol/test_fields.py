"""The rules in words, and that they agree with the types that decode."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from presence_protocol import fields, limits
from presence_protocol.codec import JSON, MSGPACK, Codec
from presence_protocol.errors import FieldError, InvalidMessage
from presence_protocol.fields import MAX_DETAILS, PLATFORMS, STATUSES, Field, Rule, find_errors
from presence_protocol.messages import FIELDS

NOT_INTEGERS: list[Any] = [None, True, False, 1.0, "1", "", [], {}, [1]]
NOT_STRINGS: list[Any] = [None, True, 0, 1.5, [], {}, ["a"]]


@pytest.mark.parametrize(
    ("rule", "right", "wrong"),
    [
        (fields.user_id, [1, 10001, 2**53 - 1], [*NOT_INTEGERS, 0, -1, 2**53, 10**400]),
        (fields.message_id, [0, -1, 2**53 - 1, -(2**53) + 1], [*NOT_INTEGERS, 2**53, -(2**53)]),
        (fields.idle_for, [0, 300_000, 366 * 86_400_000], [*NOT_INTEGERS, -1, 366 * 86_400_000 + 1]),
        (fields.wait, [0, 60_000], [*NOT_INTEGERS, -1, 60_001]),
        (fields.status, list(STATUSES), [*NOT_STRINGS, "", "online", "ONLINE ", "INVISIBLE"]),
        (fields.platform, list(PLATFORMS), [*NOT_STRINGS, "", "web", "LINUX"]),
        (fields.boolean, [True, False], [None, 0, 1, "true", []]),
        (fields.text, ["", "x" * 10_000, "\x00"], NOT_STRINGS),
        (
            fields.device_id,
            ["d", "x" * 128, "设备 1", "😀" * 128, "\u200b", "👩\u200d💻"],
            [*NOT_STRINGS, "", "x" * 129, "a\n", "\x00", "\x7f", "\u202e", "\u2028", "\ud800"],
        ),
        (
            fields.status_text,
            ["", "in a meeting", "会" * 140],
            [*NOT_STRINGS, "x" * 141, "two\nlines", "\u202e", "\x1b[31m"],
        ),
        (
            fields.timestamp,
            ["2025-11-09T15:00:00Z", "2024-02-29T23:59:59.999Z", "2025-11-09T23:00:00+08:00"],
            [*NOT_STRINGS, "", "2025-11-09T15:00:00", "2025-02-29T00:00:00Z", "2025-11-09T15:00:00Z\n"],
        ),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_rules(rule: Rule, right: list[Any], wrong: list[Any]) -> None:
    for value in right:
        assert rule(value) is None, value
    for value in wrong:
        reason = rule(value)
        assert reason is not None, value
        assert reason.startswith(("must be ", "must not hold "))


def test_a_reason_says_what_would_be_right() -> None:
    assert fields.user_id(0) == "must be an integer from 1 to 9007199254740991"
    assert fields.platform("web") == "must be one of WEB, IOS, ANDROID, PC"
    assert fields.device_id("") == "must be a string of 1 to 128 characters"
    assert fields.status_text("a\u202eb") == "must not hold U+202E, a bidirectional control"
    assert fields.timestamp("now") == "must be a time like 2025-11-09T15:00:00Z or 2025-11-09T23:00:00+08:00"


def test_times_are_whole_seconds_of_utc() -> None:
    assert fields.parse_time("1970-01-01T00:00:00Z") == 0
    assert fields.parse_time("2025-11-09T15:00:00Z") == 1_762_700_400
    assert fields.format_time(1_762_700_400) == "2025-11-09T15:00:00Z"


@given(st.integers(0, 253_402_300_799))  # to the end of the year 9999
def test_times_survive_the_round_trip(seconds: int) -> None:
    assert fields.parse_time(fields.format_time(seconds)) == seconds


RULES = {
    "must": Field(fields.boolean, required=True, nullable=False),
    "null": Field(fields.boolean, required=True),
    "may": Field(fields.boolean),
    "list": Field(fields.user_id, each=True),
}


def test_nothing_wrong() -> None:
    assert find_errors({"must": True, "null": None, "may": None, "list": [1, 2], "other": object()}, RULES) == []


def test_all_that_is_wrong_is_named_in_the_order_of_the_rules() -> None:
    assert find_errors({"list": [1, 0, "x"], "may": 1, "must": None}, RULES) == [
        FieldError("must", "is required"),
        FieldError("null", "is required"),
        FieldError("may", "must be true or false"),
        FieldError("list[1]", "must be an integer from 1 to 9007199254740991"),
        FieldError("list[2]", "must be an integer from 1 to 9007199254740991"),
    ]


def test_what_must_be_a_list() -> None:
    for value in ("12", {"0": 1}, 5, True):
        assert find_errors({"must": True, "null": True, "list": value}, RULES) == [FieldError("list", "must be a list")]


def test_a_long_list_of_wrong_ids_gets_a_short_answer() -> None:
    errors = find_errors({"must": 1, "null": True, "list": [0] * 5000}, RULES)
    assert len(errors) == MAX_DETAILS
    assert errors[-1].field == f"list[{MAX_DETAILS - 2}]"


EDGES = st.sampled_from(
    [
        None,
        True,
        False,
        0,
        1,
        -1,
        2**53 - 1,
        2**53,
        -(2**53) + 1,
        -(2**53),
        2**63,
        limits.MAX_IDLE_FOR,
        limits.MAX_IDLE_FOR + 1,
        1.0,
        0.5,
        "",
        "1",
        "d",
        "x" * 128,
        "x" * 129,
        "x" * 140,
        "x" * 141,
        "a\x00b",
        "a\u200b",
        "a\u202e",
        *STATUSES,
        *PLATFORMS,
        "web",
        "2025-11-09T15:00:00Z",
        "2025-02-30T15:00:00Z",
        "2025-11-09t15:00:00z",
        "2025-11-09T23:00:00.250+08:00",
        [],
        [1],
        [1, 0],
        [1, "2"],
        [1.0],
        [None],
        [[1]],
        {},
        {"userId": 1},
    ]
)
SCALARS = st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats(allow_nan=False) | st.text()
JSON_VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=4), inner, max_size=3)
)


@st.composite
def messages(draw: st.DrawFn) -> dict[str, Any]:
    """Maps that look like messages: known types, known and unknown fields, any values, often the right ones."""
    name = draw(st.sampled_from(sorted(FIELDS)))
    raw: dict[str, Any] = {"type": name}
    right = {"userId": 1, "deviceId": "d", "platform": "WEB", "userIds": [1, 2], "status": "BUSY", "idle": True}
    for field in FIELDS[name][1]:
        kind = draw(st.sampled_from(["right", "right", "absent", "edge", "any"]))
        if kind == "right" and field in right:
            raw[field] = right[field]
        elif kind in ("edge", "any"):
            raw[field] = draw(EDGES if kind == "edge" else JSON_VALUES)
    if draw(st.booleans()):
        raw["unknown"] = draw(JSON_VALUES)
    return raw


@pytest.mark.parametrize("codec", [JSON, MSGPACK])
@given(raw=messages())
def test_types_and_words_agree(codec: Codec, raw: dict[str, Any]) -> None:
    name = raw["type"]
    rules = FIELDS[name][1]
    expected = {field for field, _ in find_errors(raw, rules)}
    said = ("status", "until", "statusText", "statusEmoji", "textUntil")
    if name == "status" and not expected and not any(field in raw for field in said):
        expected = {"status"}
    if name == "activity" and not expected and raw.get("idle") is None and raw.get("busy") is None:
        expected = {"idle"}
    is_observer = name == "hello" and raw.get("observer") is True
    if is_observer:
        expected -= {"userId", "deviceId"}
        expected |= {field for field in ("userId", "deviceId") if raw.get(field) is not None}
        if raw.get("platform") is None:
            expected -= {"platform"}
    invalid, message = decode(codec, raw)
    if invalid is not None:
        assert {field for field, _ in invalid.details} == expected
        assert invalid.error == "invalid_request"
    else:
        assert expected == set()
        sent = {field: value for field, value in raw.items() if field == "type" or field in rules}
        assert without_nulls(json.loads(JSON.encode(message))) == without_nulls(sent)


def decode(codec: Codec, raw: dict[str, Any]) -> tuple[InvalidMessage | None, Any]:
    try:
        return None, codec.decode_client(codec.encode(raw))  # type: ignore[arg-type]
    except InvalidMessage as invalid:
        return invalid, None


def without_nulls(raw: dict[str, Any]) -> dict[str, Any]:
    return {field: value for field, value in raw.items() if value is not None}


@pytest.mark.parametrize(
    ("said", "wrong"),
    [
        ({"observer": True, "feed": True, "watch": [1]}, "watch: who follows the feed watches nobody"),
        ({"observer": True, "feed": 1}, "feed: must be true or false"),
        ({"observer": True, "platform": "TV"}, "platform: must be one of WEB, IOS, ANDROID, PC"),
        ({"observer": True, "userId": 1}, "userId: must be left out: an observer has no user and no device"),
        ({"userId": 1, "deviceId": "d", "platform": "WEB", "feed": True}, "feed: the feed is for observers"),
    ],
)
@pytest.mark.parametrize("codec", [JSON, MSGPACK], ids=lambda codec: codec.name)
def test_a_hello_is_refused_for_what_is_wrong_with_it(codec: Codec, said: dict[str, Any], wrong: str) -> None:
    invalid, _ = decode(codec, {"type": "hello", **said})
    assert str(invalid) == wrong
