"""Servers of each kind of user ids, and with platforms of their own, over REST and WebSocket alike."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from websockets.exceptions import ConnectionClosed

from support.client import Client
from support.server import Server, run_server

VECTORS = json.loads((Path(__file__).parents[2] / "vectors/user_ids.json").read_bytes())["cases"]
KINDS = ("number", "int64", "string")


@pytest.fixture(scope="module", params=KINDS)
def server(request: pytest.FixtureRequest) -> Iterator[tuple[str, Server]]:
    with run_server(user_ids=request.param, grace_period=1) as running:
        yield request.param, running


def test_every_vector_on_rest_and_websocket(server: tuple[str, Server]) -> None:
    kind, running = server
    cases = [case for case in VECTORS if case["kind"] == kind]

    async def over_websocket() -> None:
        client = await Client.observe(running, [])
        for number, case in enumerate(cases):
            await client.send(type="query", id=number, userIds=[case["value"]])
            answer = await client.receive("statuses" if "id" in case else "error")
            if "id" in case:
                assert str(answer["statuses"][0]["userId"]) == case["id"], case
                assert isinstance(answer["statuses"][0]["userId"], int) is (kind == "number")
            else:
                assert answer["details"] == [{"field": "userIds[0]", "reason": case["reason"]}], case
        await client.close()

    asyncio.run(over_websocket())
    for case in cases:
        body = {"userId": case["value"], "deviceId": "d", "platform": "WEB"}
        answer = running.post("/online", body)
        many = running.post("/status/batch", {"userIds": [case["value"]]})
        if "id" in case:
            assert answer.status == many.status == 200, case
            assert str(answer.data["userId"]) == str(many.data[0]["userId"]) == case["id"]
            shown = running.get(f"/status/{quote(case['id'], safe='')}")
            if case["id"] != ".":  # which a client does away with
                assert shown.data["userId"] == answer.data["userId"]
                assert shown.data["status"] == "ONLINE"
            assert running.post("/offline", body).status == 200
        else:
            reason = case["reason"] if case["value"] is not None else "is required"
            assert answer.status == many.status == 400, case
            assert answer.data["details"][0] == {"field": "userId", "reason": reason}
            assert many.data["details"] == [{"field": "userIds[0]", "reason": case["reason"]}]
            if isinstance(case["value"], str) and case["value"] and kind != "number":
                path = running.get(f"/status/{quote(case['value'], safe='')}")
                assert (path.status, path.data["details"]) == (400, [{"field": "userId", "reason": case["reason"]}])


def test_people_meet_under_ids_of_each_kind(server: tuple[str, Server]) -> None:
    kind, running = server
    ann, bob = {"number": (1, 2**53 - 1), "int64": (1, 2**63 - 1), "string": ("ann", "b/b".replace("/", "用户"))}[kind]

    async def meet() -> None:
        for codec in ("json", "msgpack"):

            def told(user_id: Any, codec: str = codec) -> Any:
                return str(user_id) if kind == "int64" and codec == "json" else user_id

            watcher = await Client.hello(running, ann, "w", codec=codec, watch=[bob])
            welcome = next(message for message in watcher.heard if message["type"] == "welcome")
            assert welcome["userIds"] == kind
            assert welcome["self"]["userId"] == told(ann)
            snapshot = await watcher.receive("snapshot")
            assert [entry["userId"] for entry in snapshot["statuses"]] == [told(bob)]
            other = await Client.hello(running, bob, codec)
            diff = await watcher.receive("diff")
            assert [(entry["userId"], entry["status"]) for entry in diff["changes"]] == [(told(bob), "ONLINE")]
            await other.send(type="bye")
            diff = await watcher.receive("diff")
            assert diff["changes"][0]["status"] == "OFFLINE"
            await other.close()
            await watcher.close()

    asyncio.run(meet())


def test_an_id_of_another_kind_in_a_hello_closes_with_the_reason(server: tuple[str, Server]) -> None:
    kind, running = server
    other = {"number": "ann", "int64": "ann", "string": 10001}[kind]

    async def say() -> None:
        client = await Client.open(running)
        await client.send(type="hello", userId=other, deviceId="d", platform="WEB")
        with pytest.raises(ConnectionClosed) as closed:
            await client.connection.recv()
        assert closed.value.rcvd is not None
        assert closed.value.rcvd.code == 4400
        assert "userId: must be" in closed.value.rcvd.reason
        await client.close()

    asyncio.run(say())


def test_changes_and_a_user_named_batch(server: tuple[str, Server]) -> None:
    kind, running = server
    ids: list[Any] = {"number": [7, 8], "int64": [7, "8"], "string": ["batch", "b,c"]}[kind]
    first = running.post("/changes", {"userIds": ids}).data
    again = running.post("/changes", {"userIds": ids, "cursor": first["cursor"]}).data
    assert (first["resumed"], again["resumed"], again["changes"]) == (False, True, [])
    running.post("/online", {"userId": ids[0], "deviceId": "d", "platform": "WEB"})
    later = running.post("/changes", {"userIds": ids, "cursor": again["cursor"]}).data
    assert [(str(entry["userId"]), entry["status"]) for entry in later["changes"]] == [(str(ids[0]), "ONLINE")]
    assert running.get(f"/status/{ids[0]}").data["status"] == "ONLINE"
    running.post("/offline", {"userId": ids[0], "deviceId": "d"})


@pytest.fixture(scope="module")
def wide() -> Iterator[Server]:
    with run_server(platforms="TV,WEB,IOS,MY_FRIDGE", platform_status="on", grace_period=1) as running:
        yield running


def test_platforms_of_ones_own(wide: Server) -> None:
    assert wide.online(1, "a", "MY_FRIDGE").status == 200
    assert wide.online(1, "b", "TV").status == 200
    entry = wide.post("/changes", {"userIds": [1]}).data["changes"][0]
    assert entry["platforms"] == ["TV", "MY_FRIDGE"]
    refused = wide.online(1, "c", "ANDROID")
    assert refused.data["details"] == [{"field": "platform", "reason": "must be one of TV, WEB, IOS, MY_FRIDGE"}]
    enum = wide.get("//openapi.json").json["components"]["schemas"]["Device"]["properties"]["platform"]["enum"]
    assert enum == ["TV", "WEB", "IOS", "MY_FRIDGE"]


def test_the_status_on_each_platform(wide: Server) -> None:
    def told(user_id: int) -> Any:
        return wide.post("/changes", {"userIds": [user_id]}).data["changes"][0].get("platformStatus")

    async def live() -> None:
        watcher = await Client.observe(wide, [2])
        await watcher.receive("snapshot")
        web = await Client.hello(wide, 2, "web", platform="WEB")
        assert (await watcher.receive("diff"))["changes"][0]["platformStatus"] == {"WEB": "ONLINE"}
        phone = await Client.hello(wide, 2, "phone", platform="IOS", idle=True)
        both = (await watcher.receive("diff"))["changes"][0]
        assert both["platformStatus"] == {"WEB": "ONLINE", "IOS": "AWAY"}
        await phone.send(type="activity", idle=False)
        change = (await watcher.receive("diff"))["changes"][0]
        assert (change["status"], change["platformStatus"]) == ("ONLINE", {"WEB": "ONLINE", "IOS": "ONLINE"})
        await web.send(type="status", status="BUSY")
        change = (await watcher.receive("diff"))["changes"][0]
        assert change["platformStatus"] == {"WEB": "BUSY", "IOS": "BUSY"}
        assert wide.get("/status/2").data["platformStatus"] == {"WEB": "BUSY", "IOS": "BUSY"}
        detail = wide.post("/status/batch", {"userIds": [2], "detail": True}).data[0]
        assert detail["platformStatus"] == {"WEB": "BUSY", "IOS": "BUSY"}
        await web.send(type="status", status="OFFLINE")
        change = (await watcher.receive("diff"))["changes"][0]
        never = wide.post("/changes", {"userIds": [999]}).data["changes"][0]
        assert change.keys() == never.keys() == {"userId", "status", "platforms", "lastActiveTime", "version"}
        await phone.send(type="activity", idle=True)  # and nobody is told
        await web.send(type="status", id=5, status=None)
        change = (await watcher.receive("diff"))["changes"][0]
        assert change["platformStatus"] == {"WEB": "ONLINE", "IOS": "AWAY"}
        for client in (web, phone, watcher):
            await client.close()

    asyncio.run(live())
    assert told(999) is None
