"""What the REST endpoints do where the API document is silent: the rules of the design, one after the other."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from http.client import HTTPConnection
from typing import Any

import pytest

from support.rest import MAX_USER_ID, Line, Rest, exchange, head, post, refused, times_replaced
from support.server import BASE, run_server


@pytest.fixture(scope="module")
def rest() -> Iterator[Rest]:
    with run_server() as server:
        yield Rest(server)


# -- online, offline, heartbeat --------------------------------------------------------------------------------------


def test_online_twice_keeps_the_online_time_and_takes_the_platform(rest: Rest) -> None:
    rest.online(100, "a", "WEB")
    before = rest.get("/status/100").data["devices"]
    assert rest.online(100, "a", "PC").json["message"] == "上线成功"
    assert rest.get("/status/100").data["devices"] == [{**before[0], "platform": "PC"}]


def test_every_device_of_a_user_is_listed_and_the_last_to_go_makes_them_offline(rest: Rest) -> None:
    rest.online(101, "a", "WEB")
    rest.online(101, "b", "IOS")
    assert [device["deviceId"] for device in rest.get("/status/101").data["devices"]] == ["a", "b"]
    rest.offline(101, "a")
    assert rest.status_of(101) == "ONLINE"
    rest.offline(101, "b")
    left = rest.get("/status/101").data
    assert (left["status"], left["devices"]) == ("OFFLINE", [])
    assert left["lastActiveTime"] is not None


def test_offline_of_a_device_that_is_not_online_is_what_was_asked_for(rest: Rest) -> None:
    for _ in range(2):
        answer = rest.offline(102, "never")
        assert (answer.status, answer.json) == (200, {"code": 200, "message": "下线成功", "data": None})


def test_a_heartbeat_of_a_device_that_is_not_online_says_to_call_online_again(rest: Rest) -> None:
    answer = rest.post("/heartbeat", {"userId": 103, "deviceId": "gone"})
    (reason,) = refused(answer, 404, "device_not_online", "deviceId")
    assert "/online" in reason
    assert answer.json["message"] == "设备不在线"
    assert rest.status_of(103) == "OFFLINE"


@pytest.mark.parametrize("path", ["/online", "/heartbeat"])
def test_idleness_can_be_said_with_online_and_heartbeat(rest: Rest, path: str) -> None:
    device = {"userId": 104, "deviceId": "a", "platform": "WEB"}
    rest.post("/online", {**device, "idle": False})
    assert rest.status_of(104) == "ONLINE"
    rest.post(path, {**device, "idle": True})
    assert rest.status_of(104) == "AWAY"
    rest.post(path, device)  # says nothing of it
    assert rest.status_of(104) == "AWAY"
    rest.post(path, {**device, "idle": False})
    assert rest.status_of(104) == "ONLINE"


# -- status, batch ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("user_id", [1, 987_654_321, MAX_USER_ID])
def test_a_user_never_heard_of_is_offline(rest: Rest, user_id: int) -> None:
    nobody = {"userId": user_id, "status": "OFFLINE", "lastActiveTime": None, "devices": []}
    assert rest.get(f"/status/{user_id}").data == nobody


def test_batch_keeps_the_order_and_the_repeats_of_the_request(rest: Rest) -> None:
    rest.online(110)
    found = rest.post("/status/batch", {"userIds": [111, 110, 111, 110]}).data
    assert found == [
        {"userId": 111, "status": "OFFLINE"},
        {"userId": 110, "status": "ONLINE"},
        {"userId": 111, "status": "OFFLINE"},
        {"userId": 110, "status": "ONLINE"},
    ]


def test_batch_takes_a_thousand_ids_and_none(rest: Rest) -> None:
    ids = list(range(MAX_USER_ID, MAX_USER_ID - 1000, -1))
    assert [one["userId"] for one in rest.post("/status/batch", {"userIds": ids}).data] == ids
    assert rest.post("/status/batch", {"userIds": []}).data == []
    (reason,) = refused(rest.post("/status/batch", {"userIds": [*ids, 1]}), 400, "invalid_request", "userIds")
    assert "1000" in reason


def test_batch_in_detail(rest: Rest) -> None:
    rest.online(112, "a", "PC")
    rest.online(112, "b", "WEB")
    rest.put(112, status="BUSY", statusText="开会中")
    found = rest.post("/status/batch", {"userIds": [112, 113], "detail": True}).data
    assert times_replaced(found) == [
        {"userId": 112, "status": "BUSY", "lastActiveTime": "time", "platforms": ["WEB", "PC"], "statusText": "开会中"},
        {"userId": 113, "status": "OFFLINE", "lastActiveTime": None, "platforms": []},
    ]
    plain = {"userIds": [112], "detail": False}
    assert rest.post("/status/batch", plain).data == [{"userId": 112, "status": "BUSY"}]


# -- paths and methods -----------------------------------------------------------------------------------------------


def test_a_percent_escape_in_a_path_is_what_it_stands_for(rest: Rest) -> None:
    rest.online(1)
    assert rest.get("/status/%31").data["userId"] == 1
    assert rest.server.post("/st%61tus/batch", {"userIds": [1]}).data == [{"userId": 1, "status": "ONLINE"}]


def test_a_query_is_ignored(rest: Rest) -> None:
    assert rest.get("/status/120?verbose=1").data["userId"] == 120


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("GET", "/status/batch", "POST"),
        ("PUT", "/status/batch", "POST"),
        ("GET", "/kick", "POST"),
        ("DELETE", "/offline", "POST"),
        ("PUT", "/heartbeat", "POST"),
        ("GET", "/changes", "POST"),
        ("HEAD", "/changes", "POST"),
        ("PATCH", "/online", "GET, HEAD, POST"),
        ("OPTIONS", "/online", "GET, HEAD, POST"),
        ("TRACE", "/offline", "POST"),
        ("BREW", "/online", None),
        ("POST", "/status/1", "DELETE, GET, HEAD, PATCH, PUT"),
        ("POST", "/ws", "GET, HEAD"),
        ("POST", "//healthz", "GET, HEAD"),
        ("DELETE", "//metrics", "GET, HEAD"),
        ("PUT", "//openapi.json", "GET, HEAD"),
    ],
)
def test_a_wrong_method_is_told_the_right_ones(rest: Rest, method: str, path: str, allowed: str | None) -> None:
    whole = path[1:] if path.startswith("//") else BASE + path
    answer = exchange(rest.server, head(method, whole), method)
    if allowed is None:  # no method of HTTP at all
        assert refused(answer, 400, "invalid_request", "request") == ["is not an HTTP request"]
        return
    assert answer.status == 405
    assert ", ".join(sorted(answer.headers["Allow"].split(", "))) == allowed
    if method != "HEAD":
        refused(answer, 405, "method_not_allowed", "method")


NOWHERE = """
/nowhere / /online/ /status /status/ /status/1/ /status/1/2 /Online
//nowhere //api/v1/presence //api/v2/presence/online //healthz/ //api/v1/presence//online //..%2f..%2fetc/passwd
"""


@pytest.mark.parametrize("path", NOWHERE.split())
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_an_unknown_path_is_answered_in_the_envelope(rest: Rest, method: str, path: str) -> None:
    refused(rest.call(method, path, {} if method == "POST" else None), 404, "not_found", "path")


def test_head_is_get_without_the_body(rest: Rest) -> None:
    rest.online(121)
    for path in (f"{BASE}/status/121", "/healthz", "/openapi.json", "/"):
        got = exchange(rest.server, head("GET", path), "GET")
        asked = exchange(rest.server, head("HEAD", path), "HEAD")
        assert (asked.status, asked.text) == (200, "")
        assert asked.headers["Content-Length"] == got.headers["Content-Length"] != "0"
        assert asked.headers["Content-Type"] == got.headers["Content-Type"]


def test_the_websocket_path_without_an_upgrade(rest: Rest) -> None:
    answer = rest.get("/ws")
    refused(answer, 426, "upgrade_required", "Upgrade")
    assert answer.headers["Upgrade"] == "websocket"


# -- media types -----------------------------------------------------------------------------------------------------

ONLINE = b'{"userId":130,"deviceId":"a","platform":"WEB"}'


@pytest.mark.parametrize(
    "media_type",
    [
        "application/json",
        "application/json; charset=utf-8",
        'Application/JSON;charset="UTF-8"',
        "application/json;profile=x; charset=utf8",
        "application/json ;",
        None,
    ],
)
def test_json_may_be_named_in_many_ways_or_not_at_all(rest: Rest, media_type: str | None) -> None:
    named = [] if media_type is None else [f"Content-Type: {media_type}"]
    request = head("POST", "online", f"Content-Length: {len(ONLINE)}", *named).encode() + ONLINE
    assert exchange(rest.server, request).status == 200


FOREIGN_TYPES = (
    "application/x-www-form-urlencoded",
    "multipart/form-data; boundary=json",
    "text/plain",
    "application/jsonx",
    "application/msgpack",
    "application/json; charset=latin-1",
    "application/json, text/plain",
    "",
)


@pytest.mark.parametrize("media_type", FOREIGN_TYPES)
@pytest.mark.parametrize("path", ["online", "offline", "heartbeat", "status/batch", "changes"])
def test_another_media_type_is_refused(rest: Rest, path: str, media_type: str) -> None:
    named = f"Content-Type: {media_type}"
    request = head("POST", path, f"Content-Length: {len(ONLINE)}", named).encode() + ONLINE
    refused(exchange(rest.server, request), 415, "unsupported_media_type", "Content-Type")


@pytest.mark.parametrize("lines", [["gzip"], ["identity, br"], ["identity", "gzip"], ["gzip", ""]], ids=" ".join)
def test_a_compressed_body_is_refused_however_it_is_said(rest: Rest, lines: list[str]) -> None:
    named = [f"Content-Encoding: {line}" for line in lines]
    request = head("POST", "online", f"Content-Length: {len(ONLINE)}", *named).encode() + ONLINE
    refused(exchange(rest.server, request), 415, "unsupported_media_type", "Content-Encoding")


@pytest.mark.parametrize(
    "lines",
    [["gzip"], ["identity"], ["chunked, gzip"], ["chunked", "gzip"], ["gzip, chunked"]],
    ids=" ".join,
)
@pytest.mark.parametrize("order", [1, -1], ids=["before the length", "after it"])
def test_another_coding_is_not_read_with_a_length_either(rest: Rest, lines: list[str], order: int) -> None:
    named = [f"Transfer-Encoding: {line}" for line in lines]
    lengths = [f"Content-Length: {len(ONLINE)}"]
    request = head("POST", "online", *(named + lengths if order == 1 else lengths + named)).encode() + ONLINE
    refused(exchange(rest.server, request), 501, "not_implemented", "Transfer-Encoding")


def test_header_lines_are_taken_as_by_the_websocket(rest: Rest) -> None:
    lines = [f"X-{number}: y" for number in range(1100)]
    assert exchange(rest.server, head("GET", "status/1", *lines[:900]).encode()).status == 200
    refused(
        exchange(rest.server, head("GET", "status/1", *lines).encode()),
        431,
        "request_header_fields_too_large",
        "request",
    )


def test_put_minds_the_media_type_and_delete_does_not(rest: Rest) -> None:
    form = {"Content-Type": "application/x-www-form-urlencoded"}
    put = rest.call("PUT", "/status/131", {"status": "BUSY"}, form)
    refused(put, 415, "unsupported_media_type", "Content-Type")
    assert rest.call("DELETE", "/status/131", b"status=BUSY", form).status == 200


# -- what is odd but right -------------------------------------------------------------------------------------------


def test_of_duplicate_keys_the_last_one_wins(rest: Rest) -> None:
    good = b'{"userId":"x","userId":140,"deviceId":"","deviceId":"a","platform":"web","platform":"PC"}'
    assert rest.call("POST", "/online", good).data["userId"] == 140
    assert rest.get("/status/140").data["devices"][0]["platform"] == "PC"
    typed = b'{"userId":141,"userId":142,"deviceId":"a","platform":"PC"}'
    assert rest.call("POST", "/online", typed).data["userId"] == 142
    bad = b'{"userId":143,"deviceId":"a","platform":"PC","userId":true}'
    refused(rest.call("POST", "/online", bad), 400, "invalid_request", "userId")
    assert [rest.status_of(user_id) for user_id in (141, 143)] == ["OFFLINE", "OFFLINE"]


def test_unknown_fields_are_ignored_whatever_they_hold(rest: Rest) -> None:
    more: dict[str, Any] = {"userid": 7, "type": "hello", "nested": [{"a": [None, 1e300]}], "": 0, "版本": "1"}
    assert rest.online(144, **more).status == 200
    assert rest.post("/heartbeat", {"userId": 144, "deviceId": "rest", "platform": 5, **more}).status == 200
    assert rest.post("/status/batch", {"userIds": [144], **more}).data == [{"userId": 144, "status": "ONLINE"}]


def test_optional_fields_may_be_null(rest: Rest) -> None:
    assert rest.online(145, idle=None).status == 200
    assert rest.post("/status/batch", {"userIds": [145], "detail": None}).data[0].keys() == {"userId", "status"}
    assert rest.post("/changes", {"userIds": [145], "cursor": None, "waitMs": None}).status == 200
    assert rest.put(145, status="AWAY", until=None, statusText=None).data["status"] == "AWAY"


WORDS = {
    "emoji joined by ZWJ": "\U0001f469\u200d\U0001f4bb coding",
    "the flag of England": "\U0001f3f4\U000e0067\U000e0062\U000e0065\U000e006e\U000e0067\U000e007f",
    "Persian with ZWNJ": "\u0645\u06cc\u200c\u0631\u0648\u0645",
    "a wide space": "\u4f1a\u8bae\u4e2d\u300018:00",
    "a no-break space": "Occup\u00e9\u00a0!",
    "an emoji that this interpreter does not know": "\U0001faff",
}


@pytest.mark.parametrize("text", WORDS.values(), ids=WORDS.keys())
def test_what_people_write_is_taken(rest: Rest, text: str) -> None:
    assert rest.online(148, f"Ann's phone {text}").status == 200
    assert rest.put(148, status="BUSY", statusText=text).status == 200
    (shown,) = rest.post("/status/batch", {"userIds": [148], "detail": True}).data
    assert shown["statusText"] == text
    assert f"Ann's phone {text}" in [device["deviceId"] for device in rest.get("/status/148").data["devices"]]
    assert rest.offline(148, f"Ann's phone {text}").status == 200


@pytest.mark.parametrize("device_id", ["设备 一号", "😀", "x" * 128, "设" * 128, "a/b?c#d%2F", '"quoted\\"', " "])
def test_a_device_id_is_any_text(rest: Rest, device_id: str) -> None:
    assert rest.online(146, device_id).status == 200
    assert device_id in [device["deviceId"] for device in rest.get("/status/146").data["devices"]]
    assert rest.post("/heartbeat", {"userId": 146, "deviceId": device_id}).status == 200
    assert rest.offline(146, device_id).status == 200
    assert rest.get("/status/146").data["devices"] == []


def test_escapes_in_json_are_what_they_stand_for(rest: Rest) -> None:
    body = b'{"\\u0075serId":147,"deviceId":"\\ud83d\\ude00","platform":"\\u0057EB"}'
    assert rest.call("POST", "/online", body).status == 200
    assert rest.get("/status/147").data["devices"][0]["deviceId"] == "😀"


# -- connections -----------------------------------------------------------------------------------------------------


def test_one_connection_serves_one_request_after_the_other_also_after_refusals(rest: Rest) -> None:
    connection = HTTPConnection("127.0.0.1", rest.server.port, timeout=10)
    seen = []
    for path, body in (
        ("/online", ONLINE),
        ("/online", b"{"),
        ("/nowhere", b"x" * 1000),
        ("/online", b"x" * 300_000),
        ("/status/batch", b'{"userIds":[130]}'),
    ):
        connection.request("POST", BASE + path, body, {"Content-Type": "application/json"})
        answer = connection.getresponse()
        answer.read()
        seen.append(answer.status)
    connection.close()
    assert seen == [200, 400, 404, 413, 200]


def test_two_hundred_requests_at_once(rest: Rest) -> None:
    users = range(2000, 2020)
    calls = [(user_id, f"device {number}") for user_id in users for number in range(10)]
    with ThreadPoolExecutor(40) as pool:
        answers = list(pool.map(lambda call: rest.online(*call), calls))
    assert {answer.status for answer in answers} == {200}
    assert [answer.data["userId"] for answer in answers] == [user_id for user_id, _ in calls]
    for user_id in users:
        devices = rest.get(f"/status/{user_id}").data["devices"]
        assert {device["deviceId"] for device in devices} == {f"device {number}" for number in range(10)}


def test_answers_of_requests_in_one_write_come_in_order(rest: Rest) -> None:
    with Line(rest.server) as line:
        line.send(b"".join(post("status/batch", b'{"userIds":[%d]}' % user_id) for user_id in range(3000, 3010)))
        assert [line.answer().data[0]["userId"] for _ in range(10)] == list(range(3000, 3010))
