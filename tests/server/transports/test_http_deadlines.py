"""A REST device lives for 2.5 heartbeat intervals: it ends when they are missed, and not while they come."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from support.rest import Rest, refused
from support.server import run_server

INTERVAL = 0.4
LIFETIME = 2.5 * INTERVAL


@pytest.fixture(scope="module")
def rest() -> Iterator[Rest]:
    with run_server(heartbeat_interval=INTERVAL, min_publish_interval=0) as server:
        yield Rest(server)


def until_offline(rest: Rest, user_id: int, cursor: str) -> float:
    """The time at which a watcher is told that the user went OFFLINE."""
    answer = rest.post("/changes", {"userIds": [user_id], "cursor": cursor, "waitMs": 10_000}).data
    assert [change["status"] for change in answer["changes"]] == ["OFFLINE"]
    return time.monotonic()


def cursor_of(rest: Rest, user_id: int) -> str:
    cursor: str = rest.post("/changes", {"userIds": [user_id]}).data["cursor"]
    return cursor


def test_a_device_without_heartbeats_ends_within_the_bound(rest: Rest) -> None:
    started = time.monotonic()
    rest.online(1)
    lived = until_offline(rest, 1, cursor_of(rest, 1)) - started
    assert LIFETIME - 0.1 < lived < LIFETIME + 2
    assert rest.get("/status/1").data["devices"] == []
    refused(rest.post("/heartbeat", {"userId": 1, "deviceId": "rest"}), 404, "device_not_online", "deviceId")
    assert rest.online(1).data["status"] == "ONLINE"


@pytest.mark.parametrize("with_online", [False, True])
def test_a_device_lives_while_heartbeats_come(rest: Rest, with_online: bool) -> None:
    user_id = 2 + with_online
    rest.online(user_id)
    cursor = cursor_of(rest, user_id)
    before = rest.get(f"/status/{user_id}").data["devices"]
    for _ in range(5):
        waited = rest.post("/changes", {"userIds": [user_id], "cursor": cursor, "waitMs": round(INTERVAL * 1000)})
        assert waited.data["changes"] == []
        if with_online:
            rest.online(user_id)
        else:
            answer = rest.post("/heartbeat", {"userId": user_id, "deviceId": "rest"})
            assert answer.data == {"nextHeartbeatInterval": round(INTERVAL * 1000)}
    assert rest.get(f"/status/{user_id}").data["devices"] == before
    last = time.monotonic()
    assert LIFETIME - 0.1 < until_offline(rest, user_id, cursor) - last < LIFETIME + 2


def test_one_device_ends_and_the_other_stays(rest: Rest) -> None:
    rest.online(5, "a", "WEB")
    rest.online(5, "b", "IOS")
    cursor = cursor_of(rest, 5)
    deadline = time.monotonic() + 5
    platforms = ["WEB", "IOS"]
    while platforms != ["IOS"]:
        assert time.monotonic() < deadline
        assert rest.post("/heartbeat", {"userId": 5, "deviceId": "b"}).status == 200
        answer = rest.post("/changes", {"userIds": [5], "cursor": cursor, "waitMs": 300}).data
        cursor = answer["cursor"]
        for change in answer["changes"]:
            assert change["status"] == "ONLINE"
            platforms = change["platforms"]
    assert [device["deviceId"] for device in rest.get("/status/5").data["devices"]] == ["b"]
