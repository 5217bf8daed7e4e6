"""REST over real sockets: what its users live by, every answer held against the OpenAPI document."""

import re
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from server.transports.rest_schema import check_answer
from support.server import BASE, Answer, Server, run_server

TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ")


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with run_server(min_publish_interval=0) as running:
        yield running


@pytest.fixture(scope="module")
def document(server: Server) -> dict[str, Any]:
    found: dict[str, Any] = server.request("GET", "//openapi.json").json
    return found


def ask(server: Server, document: dict[str, Any], method: str, path: str, body: Any = None) -> Answer:
    """Make a request whose answer must be one that the OpenAPI document tells of."""
    answer = server.request(method, path, body)
    assert set(answer.json) == {"code", "message", "data"}
    assert answer.json["code"] == answer.status
    assert answer.headers["Content-Type"] == "application/json"
    check_answer(document, method, BASE + path, answer.status, answer.json)
    return answer


def test_online_twice_keeps_the_online_time_and_updates_the_platform(server: Server, document: dict[str, Any]) -> None:
    server.online(1, "d", "WEB")
    first = server.get("/status/1").data["devices"][0]["onlineTime"]
    time.sleep(1.1)  # times are whole seconds, and the server's clock is its own
    assert ask(server, document, "POST", "/online", {"userId": 1, "deviceId": "d", "platform": "IOS"}).status == 200
    devices = ask(server, document, "GET", "/status/1").data["devices"]
    assert devices == [{"deviceId": "d", "platform": "IOS", "onlineTime": first}]


def test_who_was_never_heard_of(server: Server, document: dict[str, Any]) -> None:
    answer = ask(server, document, "GET", "/status/999999")
    assert answer.data == {"userId": 999999, "status": "OFFLINE", "lastActiveTime": None, "devices": []}
    assert ask(server, document, "POST", "/offline", {"userId": 999999, "deviceId": "d"}).data is None
    refused = ask(server, document, "POST", "/heartbeat", {"userId": 999999, "deviceId": "d"})
    assert (refused.status, refused.data["error"]) == (404, "device_not_online")


def test_last_seen_stays_after_offline(server: Server, document: dict[str, Any]) -> None:
    server.online(2)
    server.post("/offline", {"userId": 2, "deviceId": "rest"})
    answer = ask(server, document, "GET", "/status/2")
    assert answer.data["status"] == "OFFLINE"
    assert answer.data["devices"] == []
    assert TIME.fullmatch(answer.data["lastActiveTime"])


def test_a_batch_keeps_order_and_repeats_and_may_be_empty_or_a_thousand(
    server: Server, document: dict[str, Any]
) -> None:
    server.online(3)
    answer = ask(server, document, "POST", "/status/batch", {"userIds": [4, 3, 4]})
    assert [(user["userId"], user["status"]) for user in answer.data] == [(4, "OFFLINE"), (3, "ONLINE"), (4, "OFFLINE")]
    assert ask(server, document, "POST", "/status/batch", {"userIds": []}).data == []
    assert len(ask(server, document, "POST", "/status/batch", {"userIds": list(range(1, 1001))}).data) == 1000
    detail = ask(server, document, "POST", "/status/batch", {"userIds": [3], "detail": True}).data[0]
    assert (detail["platforms"], TIME.fullmatch(detail["lastActiveTime"]) is not None) == (["WEB"], True)


def test_an_override_is_set_shown_and_cleared(server: Server, document: dict[str, Any]) -> None:
    server.online(5)
    body = {"status": "BUSY", "statusText": "开会中", "until": "2026-12-01T00:00:00Z"}
    body["until"] = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + 3600))
    assert ask(server, document, "PUT", "/status/5", body).data["status"] == "BUSY"
    detail = server.post("/status/batch", {"userIds": [5], "detail": True}).data[0]
    assert (detail["status"], detail["statusText"]) == ("BUSY", "开会中")
    assert ask(server, document, "DELETE", "/status/5").data["status"] == "ONLINE"


@pytest.mark.parametrize("until", ["2020-01-01T00:00:00Z", "2999-01-01T00:00:00Z", "tomorrow", "2027-01-01", 5])
def test_an_until_that_cannot_be(server: Server, document: dict[str, Any], until: Any) -> None:
    refused = ask(server, document, "PUT", "/status/5", {"status": "BUSY", "until": until})
    assert refused.status == 400
    assert [detail["field"] for detail in refused.data["details"]] == ["until"]


def test_an_override_ends_by_itself(server: Server) -> None:
    server.online(6)
    until = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + 2))
    server.request("PUT", "/status/6", {"status": "OFFLINE", "until": until})
    assert server.status_of(6) == "OFFLINE"
    give_up = time.monotonic() + 5
    while server.status_of(6) == "OFFLINE":
        assert time.monotonic() < give_up
        time.sleep(0.1)
    assert server.status_of(6) == "ONLINE"


def test_invisible_is_offline_on_every_path(server: Server, document: dict[str, Any]) -> None:
    server.online(7)
    cursor = server.post("/changes", {"userIds": [7]}).data["cursor"]
    assert ask(server, document, "PUT", "/status/7", {"status": "OFFLINE"}).data["status"] == "OFFLINE"
    gone = server.post("/changes", {"userIds": [7], "cursor": cursor}).data
    assert [(change["status"], change["platforms"]) for change in gone["changes"]] == [("OFFLINE", [])]
    before = server.get("/status/7").data
    time.sleep(1.1)
    assert server.post("/heartbeat", {"userId": 7, "deviceId": "rest"}).status == 200
    assert server.online(7, "another", "IOS").data["status"] == "OFFLINE"
    assert ask(server, document, "GET", "/status/7").data == before  # the last activity stands still as well
    assert server.post("/status/batch", {"userIds": [7], "detail": True}).data[0]["platforms"] == []
    quiet = ask(server, document, "POST", "/changes", {"userIds": [7], "cursor": gone["cursor"]}).data
    assert quiet == {"changes": [], "cursor": quiet["cursor"], "resumed": True}


def test_idle_in_online_and_heartbeat(server: Server) -> None:
    server.online(8, idle=True)
    assert server.status_of(8) == "AWAY"
    server.online(8)  # says nothing of it, so it stays
    assert server.status_of(8) == "AWAY"
    server.post("/heartbeat", {"userId": 8, "deviceId": "rest", "idle": False})
    assert server.status_of(8) == "ONLINE"


def test_a_long_poll_is_woken_by_a_change_and_misses_none(server: Server, document: dict[str, Any]) -> None:
    first = ask(server, document, "POST", "/changes", {"userIds": [20, 21]}).data
    assert (first["resumed"], [change["userId"] for change in first["changes"]]) == (False, [20, 21])
    with ThreadPoolExecutor() as pool:
        body = {"userIds": [20, 21], "cursor": first["cursor"], "waitMs": 20_000}
        waiting = pool.submit(server.post, "/changes", body)
        while server.metric("presence_gateway_polls") == 0:
            time.sleep(0.01)
        began = time.monotonic()
        server.online(21)
        woken = waiting.result(10).data
        assert time.monotonic() - began < 5
    assert [(change["userId"], change["status"]) for change in woken["changes"]] == [(21, "ONLINE")]
    assert woken["resumed"] is True
    server.online(20)  # between two polls
    then = ask(server, document, "POST", "/changes", {"userIds": [21, 20], "cursor": woken["cursor"]}).data
    assert [change["userId"] for change in then["changes"]] == [20]
    assert server.metric("presence_gateway_polls") == server.metric("presence_interest_edges") == 0


def test_a_poll_whose_time_is_up(server: Server) -> None:
    cursor = server.post("/changes", {"userIds": [30]}).data["cursor"]
    began = time.monotonic()
    answer = server.post("/changes", {"userIds": [30], "cursor": cursor, "waitMs": 300}).data
    assert 0.25 < time.monotonic() - began < 5
    assert (answer["changes"], answer["resumed"]) == ([], True)


@pytest.mark.parametrize("cursor", ["garbage", "", "0.0", "ffff.1.abc", "x" * 5000])
def test_a_cursor_that_is_not_covered_gets_everything(server: Server, cursor: str) -> None:
    answer = server.post("/changes", {"userIds": [31], "cursor": cursor, "waitMs": 5000}).data
    assert (len(answer["changes"]), answer["resumed"]) == (1, False)


def test_a_cursor_speaks_for_its_own_users_only(server: Server) -> None:
    cursor = server.post("/changes", {"userIds": [32]}).data["cursor"]
    assert server.post("/changes", {"userIds": [32, 33], "cursor": cursor}).data["resumed"] is False
    epoch, seq, digest = cursor.split(".")
    future = f"{epoch}.{int(seq, 16) + 2**40:x}.{digest}"
    assert server.post("/changes", {"userIds": [32], "cursor": future}).data["resumed"] is False


def test_many_at_once(server: Server) -> None:
    with ThreadPoolExecutor(20) as pool:
        answers = list(pool.map(lambda number: server.online(1000 + number % 50, f"d{number}"), range(200)))
    assert {answer.status for answer in answers} == {200}
    assert len(server.get("/status/1000").data["devices"]) == 4


def test_a_rest_device_lives_for_two_and_a_half_intervals_and_a_heartbeat_renews_it() -> None:
    with run_server(heartbeat_interval=0.4) as server:
        server.online(1)
        for _ in range(4):
            time.sleep(0.4)
            beat = server.post("/heartbeat", {"userId": 1, "deviceId": "rest"})
            assert (beat.status, beat.data) == (200, {"nextHeartbeatInterval": 400})
        assert server.status_of(1) == "ONLINE"
        time.sleep(1.3)
        assert server.status_of(1) == "OFFLINE"
        assert server.post("/heartbeat", {"userId": 1, "deviceId": "rest"}).status == 404
