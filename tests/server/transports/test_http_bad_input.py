"""What REST clients get wrong: a clear answer that names each wrong field, and nothing that was stored is lost."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

import pytest

from support.rest import USER_ID_REASON, Rest, refused
from support.server import run_server

DEVICE_REASON = "must be a string of 1 to 128 characters"
PLATFORM_REASON = "must be one of WEB, IOS, ANDROID, PC"
STATUS_REASON = "must be one of ONLINE, AWAY, BUSY, OFFLINE"
TIME_REASON = "must be a time like 2025-11-09T15:00:00Z or 2025-11-09T23:00:00+08:00"
TEXT_REASON = "must be a string of at most 140 characters"

ANN = 10001
GOOD: dict[str, dict[str, Any]] = {
    "/online": {"userId": ANN, "deviceId": "device_123", "platform": "WEB"},
    "/offline": {"userId": ANN, "deviceId": "device_123"},
    "/heartbeat": {"userId": ANN, "deviceId": "device_123"},
    "/status/batch": {"userIds": [ANN]},
    "/changes": {"userIds": [ANN]},
    f"/status/{ANN}": {"status": "BUSY"},
}


@pytest.fixture(scope="module")
def server() -> Iterator[Rest]:
    with run_server() as running:
        yield Rest(running)


@pytest.fixture
def rest(server: Rest) -> Iterator[Rest]:
    """A server on which Ann is online, before and after, with the very device that the bad requests are about."""
    if server.status_of(ANN) == "OFFLINE":
        server.online(ANN, "device_123")
    before = server.get(f"/status/{ANN}").data["devices"]
    yield server
    after = server.get(f"/status/{ANN}").data
    assert (after["status"], after["devices"]) == ("ONLINE", before)


def ask(rest: Rest, path: str, body: Any) -> list[tuple[str, str]]:
    """The fields and reasons of the 400 that `body` gets."""
    answer = rest.call("PUT" if path.startswith("/status/1") else "POST", path, body)
    fields = [detail["field"] for detail in answer.data["details"]] if answer.status == 400 else []
    return list(zip(fields, refused(answer, 400, "invalid_request", *fields), strict=True))


# -- not a JSON object -----------------------------------------------------------------------------------------------

NOT_JSON = {
    "not JSON": b"userId=10001",
    "truncated": b'{"userId":10001,"deviceId":"device_1',
    "a single quote": b"{'userId':10001}",
    "a trailing comma": b'{"userId":10001,}',
    "something behind": b'{"userId":10001}{}',
    "a comment": b'{"userId":10001 /* Ann */}',
    "NaN": b'{"userId":NaN}',
    "a leading zero": b'{"userId":010001}',
    "a byte order mark": b'\xef\xbb\xbf{"userId":10001}',
    "UTF-16": '{"userId":10001}'.encode("utf-16"),
    "a control character": b'{"userId":10001,"deviceId":"a\nb"}',
    "a lone high surrogate": b'{"userId":10001,"deviceId":"\\ud83d"}',
    "a lone low surrogate": b'{"userId":10001,"deviceId":"\\ude00 "}',
    "surrogates the wrong way round": b'{"userId":10001,"deviceId":"\\ude00\\ud83d"}',
    "an integer of 5,000 digits": b'{"userId":1' + b"0" * 5000 + b"}",
}


def test_half_of_a_surrogate_pair_is_named(rest: Rest) -> None:
    body = b'{"status":"BUSY","statusText":"\\ude00\\ud83d"}'
    assert ask(rest, f"/status/{ANN}", body) == [("body", "is not JSON: U+DE00 is half of a surrogate pair")]


@pytest.mark.parametrize("body", NOT_JSON.values(), ids=NOT_JSON.keys())
@pytest.mark.parametrize("path", GOOD)
def test_what_is_not_json(rest: Rest, path: str, body: bytes) -> None:
    ((field, reason),) = ask(rest, path, body)
    assert field == "body"
    assert reason.startswith("is not JSON: ")
    assert "JSON is malformed" not in reason


@pytest.mark.parametrize(("encoding", "name"), [("utf-8-sig", "UTF-8"), ("utf-16", "UTF-16"), ("utf-32", "UTF-32")])
def test_a_byte_order_mark_is_named(rest: Rest, encoding: str, name: str) -> None:
    ((field, reason),) = ask(rest, "/heartbeat", '{"userId":10001,"deviceId":"a"}'.encode(encoding))
    assert (field, f"byte order mark of {name};" in reason) == ("body", True)


@pytest.mark.parametrize("body", [b"", b"  \r\n\t"], ids=["nothing", "white space"])
@pytest.mark.parametrize("path", GOOD)
def test_an_empty_body(rest: Rest, path: str, body: bytes) -> None:
    assert ask(rest, path, body) == [("body", "is empty; a JSON object is expected")]


@pytest.mark.parametrize("raw", [b"\xff", b"\xc3", b"\xed\xa0\x80", b"\xf5\x80\x80\x80", b"\xc0\x80"])
@pytest.mark.parametrize("body", [b'{"userId":10001,"deviceId":"a%b"}', b'{"userId":10001,"%b":1}'])
def test_invalid_utf8(rest: Rest, body: bytes, raw: bytes) -> None:
    ((field, reason),) = ask(rest, "/offline", body % raw)
    assert field == "body"
    assert "UTF-8" in reason


@pytest.mark.parametrize("body", [[], [1, 2], "x", 7, 1.5, True, None])
@pytest.mark.parametrize("path", GOOD)
def test_a_wrong_type_at_the_top(rest: Rest, path: str, body: Any) -> None:
    raw = b"null" if body is None else body if not isinstance(body, str) else b'"x"'
    assert ask(rest, path, raw) == [("body", "must be a JSON object")]


NESTED = {
    "lists": b"[" * 100_000,
    "closed lists": b"[" * 100_000 + b"]" * 100_000,
    "objects": b'{"a":' * 40_000,
    "in an unknown field": b'{"userId":10001,"deviceId":"device_123","x":' + b"[" * 100_000 + b"]" * 100_000 + b"}",
    "in a known field": b'{"userId":' + b"[" * 100_000 + b"]" * 100_000 + b"}",
}


@pytest.mark.parametrize("body", NESTED.values(), ids=NESTED.keys())
@pytest.mark.parametrize("path", ["/offline", "/changes"])
def test_a_hundred_thousand_brackets(rest: Rest, path: str, body: bytes) -> None:
    ((field, reason),) = ask(rest, path, body)
    assert field == "body"
    assert "nested too deeply" in reason


# -- wrong fields ----------------------------------------------------------------------------------------------------

NOT_USER_IDS = {
    "true": True,
    "false": False,
    "1.0": 1.0,
    "1.5": 1.5,
    "zero": 0,
    "negative": -1,
    "2^53": 2**53,
    "2^64": 2**64,
    "400 digits": 10**399,
    "minus 400 digits": -(10**399),
    "text": "10001",
    "a list": [10001],
    "an object": {},
}


@pytest.mark.parametrize("value", NOT_USER_IDS.values(), ids=NOT_USER_IDS.keys())
def test_what_is_no_user_id(rest: Rest, value: Any) -> None:
    for path in ("/online", "/offline", "/heartbeat"):
        assert ask(rest, path, {**GOOD[path], "userId": value}) == [("userId", USER_ID_REASON)]
    for path in ("/status/batch", "/changes"):
        wrong = [("userIds[1]", USER_ID_REASON), ("userIds[3]", USER_ID_REASON)]
        assert ask(rest, path, {"userIds": [ANN, value, ANN, value]}) == wrong


@pytest.mark.parametrize("text", [b"1e3", b"1E0", b"1.0e4", b"-0", b"10001.0", b"1e400"])
def test_numbers_that_are_no_plain_integers(rest: Rest, text: bytes) -> None:
    ((field, _),) = ask(rest, "/offline", b'{"userId":%b,"deviceId":"device_123"}' % text)
    assert field == ("body" if text == b"1e400" else "userId")


NOT_DEVICE_IDS = {
    "empty": "",
    "129 characters": "x" * 129,
    "129 characters of more bytes": "设" * 129,
    "an integer": 7,
    "true": True,
    "a list": ["device_123"],
}


@pytest.mark.parametrize("value", NOT_DEVICE_IDS.values(), ids=NOT_DEVICE_IDS.keys())
def test_what_is_no_device_id(rest: Rest, value: Any) -> None:
    for path in ("/online", "/offline", "/heartbeat"):
        assert ask(rest, path, {**GOOD[path], "deviceId": value}) == [("deviceId", DEVICE_REASON)]


NOT_TEXT = {
    "a line end": ("a\nb", "U+000A, a control character"),
    "a tab": ("a\tb", "U+0009, a control character"),
    "NUL": ("a\0b", "U+0000, a control character"),
    "delete": ("a\x7fb", "U+007F, a control character"),
    "C1": ("a\x85b", "U+0085, a control character"),
    "a line separator": ("a\u2028b", "U+2028, a line separator"),
    "the other direction": ("a\u202eb", "U+202E, a bidirectional control"),
    "a direction isolate": ("a\u2066b", "U+2066, a bidirectional control"),
    "a non-character": ("a\ufdd0b", "U+FDD0, not a character"),
    "a non-character beyond": ("a\U0010ffffb", "U+10FFFF, not a character"),
}


@pytest.mark.parametrize(("value", "named"), NOT_TEXT.values(), ids=NOT_TEXT.keys())
def test_what_no_text_may_hold_is_named(rest: Rest, value: str, named: str) -> None:
    for path in ("/online", "/offline", "/heartbeat"):
        assert ask(rest, path, {**GOOD[path], "deviceId": value}) == [("deviceId", f"must not hold {named}")]
    wrong = {"status": "BUSY", "statusText": value}
    assert ask(rest, f"/status/{ANN}", wrong) == [("statusText", f"must not hold {named}")]


@pytest.mark.parametrize("value", ["web", "Web", "WEB ", "MAC", "", 0, True, ["WEB"]])
def test_what_is_no_platform(rest: Rest, value: Any) -> None:
    assert ask(rest, "/online", {**GOOD["/online"], "platform": value}) == [("platform", PLATFORM_REASON)]


@pytest.mark.parametrize("value", ["busy", "INVISIBLE", "", 1, True, []])
def test_what_is_no_status(rest: Rest, value: Any) -> None:
    assert ask(rest, f"/status/{ANN}", {"status": value}) == [("status", STATUS_REASON)]


@pytest.mark.parametrize(
    ("path", "field", "value", "reason"),
    [
        ("/online", "idle", 1, "must be true or false"),
        ("/online", "idle", "true", "must be true or false"),
        ("/heartbeat", "idle", 0.0, "must be true or false"),
        ("/status/batch", "detail", "yes", "must be true or false"),
        ("/status/batch", "userIds", ANN, "must be a list"),
        ("/status/batch", "userIds", {"0": ANN}, "must be a list"),
        ("/changes", "userIds", "10001", "must be a list"),
        ("/changes", "cursor", 5, "must be a string"),
        ("/changes", "waitMs", -1, "must be an integer from 0 to 60000"),
        ("/changes", "waitMs", 60_001, "must be an integer from 0 to 60000"),
        ("/changes", "waitMs", 1.0, "must be an integer from 0 to 60000"),
        ("/changes", "waitMs", True, "must be an integer from 0 to 60000"),
        (f"/status/{ANN}", "until", 1_762_700_400, TIME_REASON),
        (f"/status/{ANN}", "until", "2025-11-09 15:00:00", TIME_REASON),
        (f"/status/{ANN}", "until", "2025-11-09T15:00:00+0800", TIME_REASON),
        (f"/status/{ANN}", "until", "2025-11-09T15:00:00.Z", TIME_REASON),
        (f"/status/{ANN}", "until", "2025-02-30T15:00:00Z", TIME_REASON),
        (f"/status/{ANN}", "until", "2025-11-09T24:00:00Z", TIME_REASON),
        (f"/status/{ANN}", "until", "２０２５-11-09T15:00:00Z", TIME_REASON),
        (f"/status/{ANN}", "until", "", TIME_REASON),
        (f"/status/{ANN}", "until", "2020-01-01T00:00:00Z", "must be later than now"),
        (f"/status/{ANN}", "until", "9999-12-31T23:59:59Z", "must be at most a year ahead"),
        (f"/status/{ANN}", "statusText", "x" * 141, TEXT_REASON),
        (f"/status/{ANN}", "statusText", 5, TEXT_REASON),
    ],
)
def test_other_wrong_fields(rest: Rest, path: str, field: str, value: Any, reason: str) -> None:
    assert ask(rest, path, {**GOOD[path], field: value}) == [(field, reason)]


@pytest.mark.parametrize(
    ("path", "required"),
    [
        ("/online", ["userId", "deviceId", "platform"]),
        ("/offline", ["userId", "deviceId"]),
        ("/heartbeat", ["userId", "deviceId"]),
        ("/status/batch", ["userIds"]),
    ],
)
def test_missing_fields_are_all_named_and_null_is_missing(rest: Rest, path: str, required: list[str]) -> None:
    assert ask(rest, path, {}) == [(field, "is required") for field in required]
    assert ask(rest, path, dict.fromkeys(required)) == [(field, "is required") for field in required]
    for field in required:
        without = {name: value for name, value in GOOD[path].items() if name != field}
        assert ask(rest, path, without) == [(field, "is required")]


def test_a_status_of_nothing_at_all_is_refused(rest: Rest) -> None:
    reason = "needs at least one of status, until, statusText, statusEmoji, textUntil"
    assert ask(rest, f"/status/{ANN}", {}) == [("status", reason)]


def test_every_wrong_field_is_named_at_once(rest: Rest) -> None:
    assert ask(rest, "/online", {"userId": 0, "deviceId": "", "idle": "no"}) == [
        ("userId", USER_ID_REASON),
        ("deviceId", DEVICE_REASON),
        ("platform", "is required"),
        ("idle", "must be true or false"),
    ]
    assert ask(rest, "/changes", {"userIds": [0], "cursor": 1, "waitMs": "x"}) == [
        ("userIds[0]", USER_ID_REASON),
        ("cursor", "must be a string"),
        ("waitMs", "must be an integer from 0 to 60000"),
    ]


def test_a_thousand_wrong_ids_do_not_get_a_thousand_reasons(rest: Rest) -> None:
    assert ask(rest, "/status/batch", {"userIds": [0] * 1000}) == [
        (f"userIds[{at}]", USER_ID_REASON) for at in range(20)
    ]


def test_too_many_ids(rest: Rest) -> None:
    assert ask(rest, "/status/batch", {"userIds": [ANN] * 1001}) == [("userIds", "must be at most 1000 ids")]
    too_many = {"userIds": list(range(1, 5002))}
    assert ask(rest, "/changes", too_many) == [("userIds", "must be at most 5000 different ids")]
    assert rest.post("/changes", {"userIds": [*range(1, 5001), *range(1, 5001)]}).status == 200


# -- the user id in the path -----------------------------------------------------------------------------------------

NOT_PATH_IDS = ["abc", "-1", "+1", "1e3", "1.0", "0", "00", "007", "0x10", "1_000", str(2**53), "9" * 400, "%", "%3"]
NOT_PATH_IDS += [
    "%201",
    "1%20",
    "1%00",
    "1%0a",
    "１００",
    "١",
    "%EF%BC%91",
    "%E2%82%AC",
    "%FF",
    "1%2F2",
    "1%2f",
    "true",
    "null",
    "*",
    "BATCH",
]


@pytest.mark.parametrize("text", NOT_PATH_IDS)
@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE"])
def test_what_is_no_user_id_in_a_path(rest: Rest, method: str, text: str) -> None:
    answer = rest.call(method, f"/status/{quote(text, safe='%+*')}", {"status": "BUSY"} if method == "PUT" else None)
    assert refused(answer, 400, "invalid_request", "userId") == [USER_ID_REASON]
