"""Bad input to REST: each answered clearly, naming each wrong field, and nothing that was stored is lost."""

import json
import socket
from collections.abc import Iterator
from typing import Any

import pytest

from support.server import Server, run_server

GOOD = {"userId": 1, "deviceId": "d", "platform": "WEB"}
KEPT = 4242


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with run_server(hello_timeout=1) as running:
        running.online(KEPT)
        yield running
        assert running.status_of(KEPT) == "ONLINE", "something that was stored is lost"
        assert not [line for line in running.log if '"error"' in line or "Traceback" in line]


def online(**fields: Any) -> bytes:
    return json.dumps(GOOD | fields).encode()


BODIES: dict[str, tuple[bytes, list[str]]] = {
    "empty": (b"", ["body"]),
    "not JSON": (b"userId=1", ["body"]),
    "truncated": (b'{"userId": 1', ["body"]),
    "invalid UTF-8": (b'{"userId":1,"deviceId":"\xff","platform":"WEB"}', ["body"]),
    "a list": (b"[]", ["body"]),
    "a number": (b"5", ["body"]),
    "null": (b"null", ["body"]),
    "100,000 brackets": (b"[" * 100_000, ["body"]),
    "100,000 brackets in a field": (b'{"userId":1,"deviceId":"d","platform":"WEB","x":' + b"[" * 100_000, ["body"]),
    "lone surrogate": (b'{"userId":1,"deviceId":"\\ud800","platform":"WEB"}', ["body"]),
    "true for an integer": (online(userId=True), ["userId"]),
    "1.0 for an integer": (online(userId=1.0), ["userId"]),
    "a string for an integer": (online(userId="1"), ["userId"]),
    "0": (online(userId=0), ["userId"]),
    "negative": (online(userId=-1), ["userId"]),
    "2^53": (online(userId=2**53), ["userId"]),
    "400 digits": (b'{"userId":' + b"9" * 400 + b',"deviceId":"d","platform":"WEB"}', ["userId"]),
    "null for an integer": (online(userId=None), ["userId"]),
    "empty deviceId": (online(deviceId=""), ["deviceId"]),
    "129 characters": (online(deviceId="x" * 129), ["deviceId"]),
    "control character": (online(deviceId="a\x07"), ["deviceId"]),
    "lower-case platform": (online(platform="web"), ["platform"]),
    "idle that is no boolean": (online(idle="yes"), ["idle"]),
    "nothing": (b"{}", ["userId", "deviceId", "platform"]),
    "all wrong": (b'{"userId":0,"deviceId":5,"platform":null,"idle":1}', ["userId", "deviceId", "platform", "idle"]),
}


@pytest.mark.parametrize("name", BODIES)
def test_a_body_that_is_wrong(server: Server, name: str) -> None:
    body, fields = BODIES[name]
    refused = server.request("POST", "/online", body)
    assert refused.status == refused.json["code"] == 400
    assert refused.json["message"] == "请求参数错误"
    assert refused.data["error"] == "invalid_request"
    assert [detail["field"] for detail in refused.data["details"]] == fields
    assert all(detail["reason"] for detail in refused.data["details"])


@pytest.mark.parametrize(
    "body",
    [
        b'{"userId":"x","userId":5,"deviceId":"d","platform":"WEB"}',
        b'{"userId":5,"deviceId":"d","platform":"WEB","unknown":[1,{"a":2}]}',
        b' {"userId":5,"deviceId":"\xe8\xae\xbe\xe5\xa4\x87","platform":"PC","idle":null} ',
    ],
    ids=["the last of two keys", "an unknown field", "null where it may be left out"],
)
def test_a_body_that_is_odd_and_right(server: Server, body: bytes) -> None:
    assert server.request("POST", "/online", body).data["userId"] == 5


@pytest.mark.parametrize(
    ("path", "body", "field"),
    [
        ("/status/batch", {"userIds": list(range(1, 1002))}, "userIds"),
        ("/status/batch", {"userIds": [1, "2", 3]}, "userIds[1]"),
        ("/status/batch", {"userIds": 5}, "userIds"),
        ("/status/batch", {}, "userIds"),
        ("/changes", {"userIds": [1], "waitMs": 60_001}, "waitMs"),
        ("/changes", {"userIds": [1], "waitMs": -1}, "waitMs"),
        ("/changes", {"userIds": [1], "cursor": 5}, "cursor"),
        ("/changes", {"userIds": list(range(1, 5002))}, "userIds"),
        ("/heartbeat", {"userId": 1}, "deviceId"),
        ("/offline", {"deviceId": "d"}, "userId"),
    ],
)
def test_other_bodies(server: Server, path: str, body: Any, field: str) -> None:
    refused = server.post(path, body)
    assert refused.status == 400
    assert [detail["field"] for detail in refused.data["details"]] == [field]


@pytest.mark.parametrize(
    "user", ["abc", "-1", "1e3", "007", "0", "9007199254740992", "1.0", "%EF%BC%91", "%201", "1" * 400]
)
def test_a_user_id_in_the_path_that_is_none(server: Server, user: str) -> None:
    refused = server.get(f"/status/{user}")
    assert (refused.status, refused.data["details"][0]["field"]) == (400, "userId")


def test_a_percent_encoded_digit_is_one(server: Server) -> None:
    assert server.get("/status/%31").data["userId"] == 1


@pytest.mark.parametrize(
    ("method", "path", "allow"),
    [
        ("GET", "/online", {"POST"}),
        ("GET", "/status/batch", {"POST"}),
        ("PATCH", "/status/1", {"GET", "HEAD", "PUT", "DELETE"}),
        ("POST", "/status/1", {"GET", "HEAD", "PUT", "DELETE"}),
        ("DELETE", "/changes", {"POST"}),
    ],
)
def test_a_wrong_method_is_told_the_right_ones(server: Server, method: str, path: str, allow: set[str]) -> None:
    refused = server.request(method, path, {})
    assert (refused.status, refused.data["error"]) == (405, "method_not_allowed")
    assert set(refused.headers["Allow"].split(", ")) == allow


@pytest.mark.parametrize("path", ["/nope", "/status", "/status/1/", "/status/1/2", "//nope", "//api/v1/presence"])
def test_a_wrong_path(server: Server, path: str) -> None:
    refused = server.get(path)
    assert (refused.status, refused.json["code"], refused.data["error"]) == (404, 404, "not_found")


@pytest.mark.parametrize(
    ("media_type", "status"),
    [
        ("text/plain", 415),
        ("application/x-www-form-urlencoded", 415),
        ("application/json; charset=gbk", 415),
        ("application/json; charset=utf-8", 200),
        ("Application/JSON", 200),
    ],
)
def test_media_types(server: Server, media_type: str, status: int) -> None:
    assert server.request("POST", "/online", online(), {"Content-Type": media_type}).status == status


@pytest.mark.parametrize(
    ("method", "origin", "status"),
    [
        ("POST", "http://evil.example", 403),
        ("POST", "http://localhost:3000", 200),
        ("POST", "null", 403),
        ("POST", None, 200),
    ],
)
def test_origins_of_what_changes_something(server: Server, method: str, origin: str | None, status: int) -> None:
    answer = server.request(method, "/online", online(), {} if origin is None else {"Origin": origin})
    assert answer.status == answer.json["code"] == status


def test_a_foreign_page_may_not_read(server: Server) -> None:
    assert (
        "Access-Control-Allow-Origin"
        not in server.request("GET", "/status/1", headers={"Origin": "http://evil.example"}).headers
    )
    own = server.request("GET", "/status/1", headers={"Origin": "http://localhost:3000"})
    assert own.headers["Access-Control-Allow-Origin"] == "http://localhost:3000"


def say(server: Server, data: bytes) -> bytes:
    """Send raw bytes, and read until the server closes or has answered."""
    with socket.create_connection(("127.0.0.1", server.port), timeout=15) as connection:
        connection.sendall(data)
        answer = b""
        while b"\r\n\r\n" not in answer or not answer.endswith(b"}"):
            piece = connection.recv(65_536)
            if not piece:
                break
            answer += piece
        return answer


HEAD = b"POST /api/v1/presence/online HTTP/1.1\r\nHost: localhost\r\n"


@pytest.mark.parametrize("chunked", [False, True])
def test_a_body_over_the_limit_gets_its_413(server: Server, chunked: bool) -> None:
    body = b'{"x":"' + b"x" * 400_000 + b'"}'
    if chunked:
        pieces = [body[start : start + 50_000] for start in range(0, len(body), 50_000)]
        data = HEAD + b"Transfer-Encoding: chunked\r\n\r\n"
        data += b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in [*pieces, b""])
    else:
        data = HEAD + b"Content-Length: %d\r\n\r\n" % len(body) + body
    answer = say(server, data)
    assert answer.startswith(b"HTTP/1.1 413")
    assert b'"payload_too_large"' in answer


def test_without_a_content_type_it_is_read_as_json(server: Server) -> None:
    body = online()
    assert say(server, HEAD + b"Content-Length: %d\r\n\r\n" % len(body) + body).startswith(b"HTTP/1.1 200")


def test_a_body_that_does_not_arrive_in_time(server: Server) -> None:
    assert say(server, HEAD + b"Content-Length: 100\r\n\r\n{").startswith(b"HTTP/1.1 408")


@pytest.mark.parametrize("data", [b"garbage\r\n\r\n", "GET /api/v1/presence/status/１ HTTP/1.1\r\n\r\n".encode()])
def test_what_is_no_http_request(server: Server, data: bytes) -> None:
    answer = say(server, data)
    assert answer.startswith(b"HTTP/1.1 400")
    assert json.loads(answer.partition(b"\r\n\r\n")[2])["code"] == 400


def test_a_plain_get_of_the_websocket_is_told_to_upgrade(server: Server) -> None:
    refused = server.get("/ws")
    assert (refused.status, refused.headers["Upgrade"]) == (426, "websocket")
