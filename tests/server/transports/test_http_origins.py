"""Which pages may use REST: the Origin policy and CORS, over sockets."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from support.rest import Rest, check_refusal, exchange, head, refused
from support.server import Answer, run_server

FOREIGN = ["https://evil.example", "null", "http://127.0.0.1.evil.example", "file://", "garbage", "http://[::1"]
LOCAL = ["http://localhost:3000", "http://127.0.0.1:5173", "http://[::1]:8080"]
CHANGING: list[tuple[str, str, Any]] = [
    ("POST", "/online", {"userId": 1, "deviceId": "a", "platform": "WEB"}),
    ("POST", "/offline", {"userId": 2, "deviceId": "rest"}),
    ("POST", "/heartbeat", {"userId": 2, "deviceId": "rest"}),
    ("POST", "/status/batch", {"userIds": [2]}),
    ("POST", "/changes", {"userIds": [2]}),
    ("PUT", "/status/2", {"status": "BUSY"}),
    ("DELETE", "/status/2", None),
]


@pytest.fixture(scope="module")
def rest() -> Iterator[Rest]:
    with run_server() as server:
        yield Rest(server)


def cors(headers: Any) -> set[str]:
    return {name.lower() for name in headers if name.lower().startswith("access-control-")}


def check_forbidden(answer: Answer) -> None:
    check_refusal(answer)
    assert (answer.status, answer.data["error"], answer.json["message"]) == (403, "forbidden", "没有权限")


@pytest.mark.parametrize("origin", FOREIGN)
def test_a_foreign_page_may_change_nothing(rest: Rest, origin: str) -> None:
    rest.online(2)
    for method, path, body in CHANGING:
        answer = rest.call(method, path, body, {"Origin": origin})
        check_forbidden(answer)
        assert not cors(answer.headers)
        assert answer.headers["Vary"] == "Origin"
    assert (rest.status_of(1), rest.status_of(2)) == ("OFFLINE", "ONLINE")


@pytest.mark.parametrize("origin", FOREIGN)
@pytest.mark.parametrize("path", ["/status/2", "//healthz", "//openapi.json", "//metrics"])
def test_a_foreign_page_gets_an_answer_that_it_cannot_read(rest: Rest, origin: str, path: str) -> None:
    answer = rest.call("GET", path, None, {"Origin": origin})
    assert answer.status == 200
    assert not cors(answer.headers)
    assert answer.headers["Vary"] == "Origin"


@pytest.mark.parametrize("origin", LOCAL)
def test_a_page_on_this_machine_may_do_all(rest: Rest, origin: str) -> None:
    for method, path, body in CHANGING:
        answer = rest.call(method, path, body, {"Origin": origin})
        assert answer.status in (200, 404)  # the heartbeat's, of a device that was just ended
        assert answer.headers["Access-Control-Allow-Origin"] == origin
        assert "Retry-After" in answer.headers["Access-Control-Expose-Headers"]


def test_refusals_too_can_be_read_by_a_page_that_may(rest: Rest) -> None:
    for method, path, body, status in (
        ("POST", "/online", {}, 400),
        ("GET", "/nowhere", None, 404),
        ("GET", "/offline", None, 405),
        ("POST", "/online", b" " * 300_000, 413),
    ):
        answer = rest.call(method, path, body, {"Origin": LOCAL[0]})
        assert (answer.status, answer.headers["Access-Control-Allow-Origin"]) == (status, LOCAL[0])


def preflight(rest: Rest, origin: str, method: str, **more: str) -> Any:
    asked = {"Origin": origin, "Access-Control-Request-Method": method, **more}
    return rest.server.request("OPTIONS", "/status/2", None, asked)


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE"])
def test_a_preflight_is_answered(rest: Rest, method: str) -> None:
    answer = preflight(rest, LOCAL[0], method, **{"Access-Control-Request-Headers": "content-type,authorization"})
    assert (answer.status, answer.text) == (204, "")
    assert answer.headers["Access-Control-Allow-Origin"] == LOCAL[0]
    assert method in answer.headers["Access-Control-Allow-Methods"].split(", ")
    assert answer.headers["Access-Control-Allow-Headers"] == "content-type,authorization"
    assert int(answer.headers["Access-Control-Max-Age"]) > 0
    assert "Access-Control-Allow-Credentials" not in answer.headers


def test_a_foreign_preflight_is_refused(rest: Rest) -> None:
    answer = preflight(rest, FOREIGN[0], "PUT")
    check_forbidden(answer)
    assert not cors(answer.headers)


STAR = "OPTIONS * HTTP/1.1\r\nHost: localhost\r\n\r\n"


def test_options_that_is_no_preflight_says_what_is_allowed(rest: Rest) -> None:
    answer = rest.call("OPTIONS", "/offline")
    refused(answer, 405, "method_not_allowed", "method")
    assert answer.headers["Allow"] == "POST"


@pytest.mark.parametrize("target", ["/", "*", "/healthz", "/openapi.json"])
def test_options_without_more_is_answered_with_what_may_be_asked(rest: Rest, target: str) -> None:
    answer = exchange(rest.server, head("OPTIONS", target) if target != "*" else STAR, "OPTIONS")
    assert (answer.status, answer.text) == (204, "")
    assert "GET" in answer.headers["Allow"]


def test_with_a_list_only_its_pages_and_those_of_the_host_itself(rest: Rest) -> None:
    with run_server(allowed_origins="https://app.example,https://chat.example:8443") as server:
        listed = Rest(server)
        own = f"http://127.0.0.1:{server.port}"
        for origin, may in (
            ("https://app.example", True),
            ("https://APP.example:443", True),
            ("https://chat.example:8443", True),
            (own, True),
            ("http://app.example", False),
            ("https://chat.example", False),
            (LOCAL[0], False),
        ):
            answer = listed.call("POST", "/status/batch", {"userIds": [1]}, {"Origin": origin})
            assert (answer.status == 200) is may, origin
            assert ("Access-Control-Allow-Origin" in answer.headers) is may
