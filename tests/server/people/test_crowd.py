"""How many people are there, who, and how they can be reached: over real sockets."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from presence_server.identity.service_keys import line_of, new_key, parse_scopes
from server.identity.keys import SECRET
from server.identity.test_over_sockets import bearer, token
from support.client import Client
from support.rest import TIME, Line, Rest, post, refused
from support.server import Answer, run_server

READER, WRITER, ADMIN = (new_key(lambda size, byte=byte: bytes([byte]) * size) for byte in (1, 2, 3))


@pytest.fixture
def rest() -> Iterator[Rest]:
    with run_server(min_publish_interval=0) as server:
        yield Rest(server)


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rest]:
    keys: Path = tmp_path_factory.mktemp("keys") / "keys"
    scopes = ((READER, "read"), (WRITER, "write"), (ADMIN, "admin"))
    keys.write_text("\n".join(line_of(scope, key, parse_scopes(scope)) for key, scope in scopes), "utf-8")
    with run_server(auth="jwt", jwt_key=SECRET, service_keys=keys) as server:
        yield Rest(server)


def ask(rest: Rest, key: str, method: str, path: str, body: Any = None) -> Answer:
    return rest.call(method, path, body, bearer(key))


# -- statistics ------------------------------------------------------------------------------------------------------


def test_people_are_counted_and_not_connections(rest: Rest) -> None:
    async def live() -> None:
        one = await Client.hello(rest.server, 1, "tab-1", client="presence-js/1.0.0")
        two = await Client.hello(rest.server, 1, "tab-2", client="presence-js/1.0.0")
        old = await Client.hello(rest.server, 2, "phone", platform="IOS", client="presence-python/0.9.0", idle=True)
        mute = await Client.hello(rest.server, 2, "tablet", platform="IOS", idle=True)
        watcher = await Client.observe(rest.server, [1])
        rest.online(3, "poller", "PC")
        rest.put(3, status="BUSY")
        found = rest.get("/statistics").data
        assert found["users"] == {"ONLINE": 1, "AWAY": 1, "BUSY": 1, "OFFLINE": 0}
        assert found["online"] == 3
        assert found["platforms"] == {"WEB": 1, "IOS": 1, "ANDROID": 0, "PC": 1}
        assert found["clients"] == {"presence-js/1.0.0": 1, "presence-python/0.9.0": 1, "unknown": 1}
        assert (found["devices"], found["connections"]) == (5, 5)
        assert (found["joinsPerMinute"], found["leavesPerMinute"]) == (3, 0)
        await one.close()
        await mute.send(type="bye")
        await mute.closed()
        rest.offline(3, "poller")
        while (found := rest.get("/statistics").data)["connections"] != 3:
            pass
        assert found["clients"] == {"presence-js/1.0.0": 1, "presence-python/0.9.0": 1}
        assert (found["joinsPerMinute"], found["leavesPerMinute"]) == (3, 1)
        assert (found["online"], found["users"]["OFFLINE"]) == (2, 1)
        for name, value in {
            'presence_users_by_platform{platform="IOS"}': 1,
            'presence_users_by_platform{platform="PC"}': 0,
            'presence_users_by_sdk{sdk="presence-js"}': 1,
            'presence_users_by_sdk{sdk="unknown"}': 0,
            "presence_online_users": 2,
            "presence_joins_total": 3,
            "presence_leaves_total": 1,
        }.items():
            assert rest.server.metric(name) == value, name
        for client in (two, old, watcher):
            await client.close()

    asyncio.run(live())


def test_the_peaks_of_the_day_stay_when_people_have_gone(rest: Rest) -> None:
    for user_id in range(1, 6):
        rest.online(user_id)
    while (peaks := rest.get("/statistics").data["peaks"])["users"]["count"] < 5:
        time.sleep(0.05)  # the server looks ten times a second
    assert peaks["day"] in (peaks["users"]["at"][:10], datetime.now(UTC).strftime("%Y-%m-%d"))
    assert TIME.fullmatch(peaks["users"]["at"])
    for user_id in range(1, 6):
        rest.offline(user_id)
    assert rest.get("/statistics").data["online"] == 0
    assert rest.get("/statistics").data["peaks"]["users"]["count"] == 5
    assert rest.server.metric('presence_peak_today{of="users"}') == 5


def test_the_invisible_count_as_offline_and_admins_are_told_how_many_they_are(guarded: Rest) -> None:
    for method, path, body in (
        ("POST", "/online", {"userId": 7, "deviceId": "d", "platform": "PC"}),
        ("PUT", "/status/7", {"status": "OFFLINE"}),
    ):
        assert ask(guarded, token(7), method, path, body).status == 200
    reader, admin = (ask(guarded, key, "GET", "/statistics").data for key in (READER, ADMIN))
    assert reader["users"]["OFFLINE"] == admin["users"]["OFFLINE"] == 1
    assert (reader["online"], reader["platforms"]["PC"]) == (0, 0)
    assert "invisible" not in reader
    assert admin["invisible"] == 1
    for key, reach, devices in ((READER, "none", []), (ADMIN, "active", ["d"])):
        (found,) = ask(guarded, key, "POST", "/reach", {"userIds": [7]}).data
        assert (found["reach"], found["platforms"]) == (reach, ["PC"] if devices else [])
        told = ask(guarded, key, "GET", "/users/7/devices").data["devices"]
        assert [device["deviceId"] for device in told] == devices
        assert ask(guarded, key, "GET", "/online").data == {"users": [], "cursor": None}


@pytest.mark.parametrize(
    ("method", "path", "body", "taken"),
    [
        ("GET", "/statistics", None, {READER, ADMIN}),
        ("GET", "/online", None, {READER, ADMIN}),
        ("GET", "/users/1/devices", None, {READER, ADMIN}),
        ("POST", "/reach", {"userIds": [1]}, {READER, ADMIN}),
        ("POST", "/kick", {"userId": 1}, {WRITER}),
    ],
)
def test_they_are_for_services_with_the_scope(
    guarded: Rest, method: str, path: str, body: Any, taken: set[str]
) -> None:
    for key in (READER, WRITER, ADMIN, token(1)):
        answer = ask(guarded, key, method, path, body)
        if key in taken:
            assert answer.status == 200
        else:
            refused(answer, 403, "forbidden", "Authorization")
    refused(guarded.call(method, path, body), 401, "unauthenticated", "Authorization")


def test_clients_make_up_no_more_than_so_many_names(rest: Rest) -> None:
    async def live() -> None:
        clients = [await Client.hello(rest.server, n, client=f"made-up/{n}") for n in range(1, 80)]
        found = rest.get("/statistics").data["clients"]
        assert sum(found.values()) == 79
        assert found["other"] == 15
        assert len(found) == 65
        assert rest.server.metric('presence_users_by_sdk{sdk="other"}') == 79
        assert "made-up" not in rest.get("//metrics").text
        for client in clients:
            await client.close()
        bad = await Client.open(rest.server)
        await bad.send(type="hello", userId=1, deviceId="d", platform="WEB", client="x" * 70)
        assert await bad.closed() == 4400

    asyncio.run(live())


# -- who is there ----------------------------------------------------------------------------------------------------


def walk(rest: Rest, query: str = "") -> list[dict[str, Any]]:
    """All users on all pages."""
    found, cursor = [], ""
    while True:
        page = rest.get(f"/online?{query}{cursor}").data
        found += page["users"]
        if page["cursor"] is None:
            return found
        cursor = f"&cursor={page['cursor']}"


def test_pages_hold_everybody_who_is_there(rest: Rest) -> None:
    for user_id in range(1, 31):
        rest.online(user_id, platform="IOS" if user_id % 3 == 0 else "WEB", idle=user_id % 2 == 0)
    rest.put(30, status="OFFLINE")
    assert sorted(entry["userId"] for entry in walk(rest)) == list(range(1, 30))
    assert sorted(entry["userId"] for entry in walk(rest, "limit=4")) == list(range(1, 30))
    away = walk(rest, "limit=3&status=AWAY")
    assert sorted(entry["userId"] for entry in away) == list(range(2, 30, 2))
    assert {entry["status"] for entry in away} == {"AWAY"}
    on_ios = walk(rest, "limit=5&platform=IOS&status=ONLINE")
    assert sorted(entry["userId"] for entry in on_ios) == [3, 9, 15, 21, 27]
    assert on_ios[0]["platforms"] == ["IOS"]
    assert on_ios[0]["version"] > 0
    assert walk(rest, "status=BUSY") == []


def test_who_stays_is_met_once_while_others_come_and_go(rest: Rest) -> None:
    for user_id in range(1, 61):
        rest.online(user_id)
    met, cursor, number = [], "", 60
    while True:
        page = rest.get(f"/online?limit=5{cursor}").data
        met += [entry["userId"] for entry in page["users"]]
        if page["cursor"] is None:
            break
        cursor = f"&cursor={page['cursor']}"
        for _ in range(2):
            number += 1
            rest.online(number)
            rest.offline(number - 30)
    stayed = set(range(1, 61)) - {gone - 30 for gone in range(61, number + 1)}
    assert stayed
    assert all(met.count(user_id) == 1 for user_id in stayed)
    assert len(met) == len(set(met))


@pytest.mark.parametrize(
    ("query", "fields"),
    [
        ("limit=0", ["limit"]),
        ("limit=1001", ["limit"]),
        ("limit=ten", ["limit"]),
        ("limit=-1&status=OFFLINE&platform=TOASTER&cursor=x", ["limit", "status", "platform", "cursor"]),
        ("status=DND", ["status"]),
        ("cursor=", ["cursor"]),
        ("cursor=00000000.MQ", ["cursor"]),
        ("cursor=%ff.%ff", ["cursor"]),
    ],
)
def test_what_is_wrong_with_a_page_is_named(guarded: Rest, query: str, fields: list[str]) -> None:
    refused(ask(guarded, READER, "GET", f"/online?{query}"), 400, "invalid_request", *fields)


@pytest.mark.parametrize("kind", ["string", "int64"])
def test_ids_of_other_kinds_are_walked_as_well(kind: str) -> None:
    ids = ["安", "b.c", "x y"] if kind == "string" else [str(2**63 - 1), str(2**62), "7"]
    with run_server(user_ids=kind) as server:
        rest = Rest(server)
        for user_id in ids:
            rest.online(user_id)  # type: ignore[arg-type]
        assert sorted(entry["userId"] for entry in walk(rest, "limit=1")) == sorted(ids)
        found = rest.post("/reach", {"userIds": ids}).data
        assert [each["userId"] for each in found] == ids
        assert rest.post("/kick", {"userId": ids[0]}).data == {"userId": ids[0], "ended": 1}


# -- reach -----------------------------------------------------------------------------------------------------------


def test_reach_in_the_order_of_the_request(rest: Rest) -> None:
    async def live() -> None:
        web = await Client.hello(rest.server, 1, "web")
        phone = await Client.hello(rest.server, 1, "phone", platform="IOS", idle=True)
        await phone.ask(type="activity", idle=True)
        rest.online(2, "tablet", "ANDROID", idle=True)
        found = rest.post("/reach", {"userIds": [3, 2, 1, 2]}).data
        assert [(each["userId"], each["reach"], each["platforms"]) for each in found] == [
            (3, "none", []),
            (2, "background", ["ANDROID"]),
            (1, "active", ["WEB"]),
            (2, "background", ["ANDROID"]),
        ]
        assert found[0]["since"] is None
        assert all(TIME.fullmatch(each["since"]) for each in found[1:])
        await web.ask(type="activity", idle=True)
        assert rest.post("/reach", {"userIds": [1]}).data[0]["reach"] == "background"
        await web.ask(type="activity", idle=False)
        assert rest.post("/reach", {"userIds": [1]}).data[0]["reach"] == "active"
        for client in (web, phone):
            await client.send(type="bye")
            await client.closed()
        (found,) = rest.post("/reach", {"userIds": [1]}).data
        assert (found["reach"], found["platforms"]) == ("none", [])
        assert TIME.fullmatch(found["since"])

    asyncio.run(live())


@pytest.mark.parametrize("way", ["activity", "hello", "online", "heartbeat"])
def test_it_answers_as_soon_as_one_becomes_active(rest: Rest, way: str) -> None:
    async def live() -> None:
        loop = asyncio.get_running_loop()
        idle = await Client.hello(rest.server, 1, "phone", platform="IOS", idle=True)
        rest.online(2, "poller", idle=True)
        with ThreadPoolExecutor(1) as pool:
            asked = loop.run_in_executor(pool, rest.post, "/reach", {"userIds": [1, 2, 3], "within": 60})
            while not rest.server.metric("presence_reach_waits"):
                pass
            assert not asked.done()
            more: Client | None = None
            match way:
                case "activity":
                    await idle.ask(type="activity", idle=False)
                case "hello":
                    more = await Client.hello(rest.server, 3)
                case "online":
                    rest.online(3)
                case "heartbeat":
                    rest.post("/heartbeat", {"userId": 2, "deviceId": "poller", "idle": False})
            answer = await asked  # long before its time is up, or the request itself would time out
        reaches = [each["reach"] for each in answer.data]
        assert reaches.count("active") == 1
        assert reaches[{"activity": 0, "hello": 2, "online": 2, "heartbeat": 1}[way]] == "active"
        assert rest.server.metric("presence_reach_waits") == 0
        for client in filter(None, (idle, more)):
            await client.close()

    asyncio.run(live())


def test_it_answers_at_the_end_of_the_time_at_once_if_one_is_active_and_when_the_server_drains(rest: Rest) -> None:
    rest.online(2, idle=True)
    assert rest.post("/reach", {"userIds": [2], "within": 0.3}).data[0]["reach"] == "background"
    assert rest.post("/reach", {"userIds": [2], "within": 0}).status == 200
    rest.online(1)
    began = time.monotonic()
    assert rest.post("/reach", {"userIds": [2, 1], "within": 60}).data[1]["reach"] == "active"
    with ThreadPoolExecutor(1) as pool:
        asked = pool.submit(rest.post, "/reach", {"userIds": [2], "within": 60})
        while not rest.server.metric("presence_reach_waits"):
            time.sleep(0.02)
        rest.server.terminate()
        assert asked.result().data[0]["reach"] == "background"
    assert time.monotonic() - began < 55


def test_who_hangs_up_waits_no_longer(rest: Rest) -> None:
    with Line(rest.server) as line:
        line.send(post("reach", b'{"userIds": [5], "within": 60}'))
        while not rest.server.metric("presence_reach_waits"):
            time.sleep(0.02)
    while rest.server.metric("presence_reach_waits"):
        time.sleep(0.02)


@pytest.mark.parametrize(
    ("body", "fields"),
    [
        ({}, ["userIds"]),
        ({"userIds": 5}, ["userIds"]),
        ({"userIds": [0]}, ["userIds[0]"]),
        ({"userIds": [1], "within": -1}, ["within"]),
        ({"userIds": [1], "within": 61}, ["within"]),
        ({"userIds": [1], "within": True}, ["within"]),
        ({"userIds": [1], "within": "20"}, ["within"]),
        ({"userIds": list(range(1, 1002))}, ["userIds"]),
    ],
)
def test_what_is_wrong_with_a_question_is_named(guarded: Rest, body: Any, fields: list[str]) -> None:
    refused(ask(guarded, READER, "POST", "/reach", body), 400, "invalid_request", *fields)
