"""Login policy, on-full and kicks over real sockets: who is ended, with which code and reason, and who comes back."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest

from support.client import Client, vanish
from support.rest import Answer, Rest, refused
from support.server import Server, run_server

ANN = 10001


@pytest.fixture(scope="module")
def one() -> Iterator[Rest]:
    with run_server(login_policy="one", grace_period=30) as server:
        yield Rest(server)


@pytest.fixture(scope="module")
def many() -> Iterator[Rest]:
    with run_server(grace_period=30) as server:
        yield Rest(server)


def devices_of(rest: Rest, user_id: int) -> list[str]:
    return sorted(device["deviceId"] for device in rest.get(f"/users/{user_id}/devices").data["devices"])


async def ended(client: Client) -> tuple[int, str]:
    """The code and the reason with which the server closes."""
    code = await client.closed()
    return code, client.connection.close_reason or ""


def test_a_newcomer_ends_the_others_and_each_is_told_who_took_over(one: Rest) -> None:
    async def live() -> None:
        web = await Client.hello(one.server, ANN, "tab-1")
        phone = await Client.hello(one.server, ANN, "phone-2", platform="IOS")
        code, reason = await ended(web)
        assert code == 4409
        assert "IOS" in reason
        assert "phone-2" in reason
        told = [message for message in web.heard if message["type"] == "error"]
        assert [(error["code"], error["error"], error["message"]) for error in told] == [(409, "replaced", reason)]
        assert devices_of(one, ANN) == ["phone-2"]
        one.online(ANN, "poller", "PC")
        assert (await ended(phone))[0] == 4409
        assert devices_of(one, ANN) == ["poller"]
        again = await Client.hello(one.server, ANN, "tab-1")
        assert devices_of(one, ANN) == ["tab-1"]
        await again.close()

    asyncio.run(live())


def test_watchers_see_nobody_go_in_between(one: Rest) -> None:
    async def live() -> None:
        watcher = await Client.observe(one.server, [20])
        await watcher.receive("snapshot")
        for name, platform in (("a", "WEB"), ("b", "IOS"), ("c", "WEB")):
            one.online(20, name, platform)
        entry: dict[str, Any] = {}
        while entry.get("platforms") != ["WEB"] or entry["version"] < one_version(one):
            entry = (await watcher.receive("diff"))["changes"][-1]
        statuses = {change["status"] for message in watcher.heard for change in message.get("changes", ())}
        assert statuses == {"ONLINE"}
        await watcher.close()

    def one_version(rest: Rest) -> int:
        version: int = rest.post("/changes", {"userIds": [20]}).data["changes"][0]["version"]
        return version

    asyncio.run(live())


def test_the_same_device_that_comes_back_ends_nobody_but_its_older_connection(one: Rest) -> None:
    async def live() -> None:
        older = await Client.hello(one.server, 21, "d")
        newer = await Client.hello(one.server, 21, "d")
        assert await ended(older) == (4409, "replaced by a newer connection of this device")
        assert not [message for message in older.heard if message["type"] == "error"]
        await vanish(newer)
        back = await Client.open(one.server)
        await back.send(type="hello", userId=21, deviceId="d", platform="WEB")
        assert (await back.receive("welcome"))["continued"]
        await back.close()

    asyncio.run(live())


def test_a_device_in_grace_gives_way(one: Rest) -> None:
    async def live() -> None:
        lost = await Client.hello(one.server, 22, "lost")
        await vanish(lost)
        while one.get("/users/22/devices").data["devices"][0]["holder"] != "grace":
            pass
        newer = await Client.hello(one.server, 22, "new")
        assert devices_of(one, 22) == ["new"]
        await newer.close()

    asyncio.run(live())


def test_who_comes_back_by_itself_ends_nobody(one: Rest) -> None:
    async def live() -> None:
        lost = await Client.hello(one.server, 24, "lost")
        await vanish(lost)
        newer = await Client.hello(one.server, 24, "phone-2", platform="IOS")
        back = await Client.open(one.server)
        await back.send(type="hello", userId=24, deviceId="lost", platform="WEB", returning=True)
        code, reason = await ended(back)
        assert (code, reason) == (4409, "signed in on another device: IOS, phone-2")
        assert [message["error"] for message in back.heard] == ["replaced"]
        assert (await newer.ask(type="ping"))["type"] == "pong"
        assert devices_of(one, 24) == ["phone-2"]
        await vanish(newer)
        again = await Client.hello(one.server, 24, "phone-2", platform="IOS", returning=True)
        assert again.heard[-1]["continued"]
        kicked = one.post("/kick", {"userId": 24, "reason": "enough"}).data["ended"]
        assert (kicked, await ended(again)) == (1, (4410, "enough"))
        back = await Client.open(one.server)
        await back.send(type="hello", userId=24, deviceId="phone-2", platform="IOS", returning=True)
        assert await ended(back) == (4410, "enough")
        signed_in = await Client.hello(one.server, 24, "phone-2", platform="IOS")
        await signed_in.close()

    asyncio.run(live())


def test_a_rest_device_learns_of_it_with_its_next_heartbeat(one: Rest) -> None:
    one.online(23, "old")
    one.online(23, "new", "IOS")
    for _ in range(2):
        answer = one.post("/heartbeat", {"userId": 23, "deviceId": "old"})
        (reason,) = refused(answer, 404, "device_replaced", "deviceId")
        assert reason == "signed in on another device: IOS, new"
    refused(one.post("/heartbeat", {"userId": 23, "deviceId": "never"}), 404, "device_not_online", "deviceId")
    assert one.online(23, "old").status == 200
    assert one.post("/heartbeat", {"userId": 23, "deviceId": "old"}).status == 200
    assert devices_of(one, 23) == ["old"]


@pytest.mark.parametrize(
    ("settings", "left"),
    [
        ({"login_policy": "one-per-platform"}, ["android", "ios-2", "pc", "web"]),
        ({"login_policy": "one-per-class"}, ["ios-2", "pc", "web"]),
        ({"login_policy": "one-per-class", "device_classes": "handheld=IOS,big=ANDROID+PC+WEB"}, ["ios-2", "web"]),
    ],
)
def test_one_of_each_platform_or_class(settings: dict[str, Any], left: list[str]) -> None:
    with run_server(**settings) as server:
        rest = Rest(server)
        for name in ("ios-1", "android", "pc", "web", "ios-2"):
            rest.online(ANN, name, name.partition("-")[0].upper())
        assert devices_of(rest, ANN) == left


# -- on full ---------------------------------------------------------------------------------------------------------


def test_the_newest_is_refused_where_the_operator_says_so() -> None:
    async def live(server: Server, rest: Rest) -> None:
        first = await Client.hello(server, ANN, "first")
        rest.online(ANN, "second")
        third = await Client.open(server)
        await third.send(type="hello", userId=ANN, deviceId="third", platform="WEB")
        code, reason = await ended(third)
        assert code == 4411
        assert "as many devices as one may have" in reason
        refused(rest.online(ANN, "third"), 409, "too_many_devices", "deviceId")
        assert devices_of(rest, ANN) == ["first", "second"]
        assert rest.online(ANN, "second").status == 200
        assert (await first.ask(type="ping"))["type"] == "pong"
        assert server.metric('presence_limit_refusals_total{limit="max_devices"}') == 2
        await first.close()

    with run_server(max_devices=2, on_full="newest") as server:
        asyncio.run(live(server, Rest(server)))


def test_the_oldest_gives_way_otherwise() -> None:
    async def live(server: Server) -> None:
        first = await Client.hello(server, ANN, "first")
        second = await Client.hello(server, ANN, "second")
        assert (await ended(first))[0] == 4411
        await second.close()

    with run_server(max_devices=1) as server:
        asyncio.run(live(server))


# -- kick ------------------------------------------------------------------------------------------------------------


def kick(rest: Rest, user_id: int, **which: Any) -> Answer:
    return rest.post("/kick", {"userId": user_id, **which})


def test_a_back_end_ends_sessions_and_says_why(many: Rest) -> None:
    async def live() -> None:
        web = await Client.hello(many.server, 30, "web")
        ios = await Client.hello(many.server, 30, "ios", platform="IOS")
        lost = await Client.hello(many.server, 30, "lost", platform="PC")
        await vanish(lost)
        many.online(30, "poller", "ANDROID")
        assert kick(many, 30, platform="IOS", deviceId="web").data == {"userId": 30, "ended": 0}
        assert kick(many, 30, platform="IOS", reason="违反社区规定").data == {"userId": 30, "ended": 1}
        assert await ended(ios) == (4410, "违反社区规定")
        assert kick(many, 30, deviceId="web").data["ended"] == 1
        assert await ended(web) == (4410, "ended by the back end")
        assert devices_of(many, 30) == ["lost", "poller"]
        assert kick(many, 30).data["ended"] == 2
        assert devices_of(many, 30) == []
        assert many.status_of(30) == "OFFLINE"
        assert many.get("/explain/30").data["changes"][0]["cause"] == "ended_by_backend"
        refused(many.post("/heartbeat", {"userId": 30, "deviceId": "poller"}), 404, "device_ended", "deviceId")
        assert kick(many, 30).data["ended"] == 0

    asyncio.run(live())


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "userId"),
        ({"userId": 0}, "userId"),
        ({"userId": 1, "platform": "TOASTER"}, "platform"),
        ({"userId": 1, "platform": 5}, "platform"),
        ({"userId": 1, "deviceId": ""}, "deviceId"),
        ({"userId": 1, "reason": 5}, "reason"),
        ({"userId": 1, "reason": "会" * 42}, "reason"),
        ({"userId": 1, "reason": "a\nb"}, "reason"),
    ],
)
def test_what_is_wrong_with_a_kick_is_named(many: Rest, body: dict[str, Any], field: str) -> None:
    refused(many.post("/kick", body), 400, "invalid_request", field)


def test_the_longest_reason_arrives_whole(many: Rest) -> None:
    async def live() -> None:
        client = await Client.hello(many.server, 31)
        assert kick(many, 31, reason="会" * 41).data["ended"] == 1
        assert await ended(client) == (4410, "会" * 41)

    asyncio.run(live())


# -- devices ---------------------------------------------------------------------------------------------------------


def test_every_device_with_its_holder(many: Rest) -> None:
    async def live() -> None:
        web = await Client.hello(many.server, 32, "web", idle=True)
        lost = await Client.hello(many.server, 32, "lost", platform="IOS")
        await vanish(lost)
        many.online(32, "poller", "PC", busy=True)
        told = many.get("/users/32/devices").data
        while {each["deviceId"]: each["holder"] for each in told["devices"]}["lost"] != "grace":
            told = many.get("/users/32/devices").data
        assert told["userId"] == 32
        found = {each["deviceId"]: each for each in told["devices"]}
        assert {name: each["holder"] for name, each in found.items()} == {
            "web": "connection",
            "lost": "grace",
            "poller": "rest",
        }
        assert [found[name]["idle"] for name in ("web", "lost", "poller")] == [True, False, False]
        assert [found[name]["busy"] for name in ("web", "lost", "poller")] == [False, False, True]
        for each in found.values():
            assert each["onlineTime"] <= each["lastHeard"] <= each["lapsesAt"]
        assert many.get("/users/33/devices").data == {"userId": 33, "devices": []}
        refused(many.get("/users/x/devices"), 400, "invalid_request", "userId")
        await web.close()

    asyncio.run(live())
