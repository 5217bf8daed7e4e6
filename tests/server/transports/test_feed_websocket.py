"""An observer's hello with `feed`: everybody's changes as diffs, with resume, in both encodings."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from presence_server.identity.service_keys import line_of, new_key, parse_scopes
from server.identity.keys import SECRET
from server.identity.test_over_sockets import token
from support.client import Client, Message
from support.server import Server, run_server

_users = count(1000, 10)
ADMIN, READER, WRITER = (new_key(lambda size, byte=byte: bytes([byte]) * size) for byte in (1, 2, 3))


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with run_server(min_publish_interval=0, grace_period=1) as running:
        yield running


@pytest.fixture
def user() -> int:
    """The first of ten users of each test's own."""
    return next(_users)


async def follow(server: Server, codec: str = "json", **more: Any) -> tuple[Client, Message]:
    """A follower that was welcomed, and its welcome."""
    client = await Client.open(server, codec)
    await client.send(type="hello", observer=True, feed=True, **more)
    return client, await client.receive("welcome")


async def caught_up(client: Client) -> list[Message]:
    """The diffs up to the first that says there is no more."""
    diffs = [await client.receive("diff")]
    while diffs[-1].get("more"):
        diffs.append(await client.receive("diff"))
    return diffs


@pytest.mark.parametrize("codec", ["json", "msgpack"])
def test_everybody_first_and_then_what_changes(server: Server, user: int, codec: str) -> None:
    async def live() -> None:
        server.online(user, "phone", "IOS")
        client, welcome = await follow(server, codec)
        assert (welcome["resumed"], welcome["self"]) == (False, None)
        diffs = await caught_up(client)
        assert diffs[0]["resumed"] is False
        mine = [entry for diff in diffs for entry in diff["changes"] if entry["userId"] == user]
        assert [(entry["status"], entry["cause"], entry["device"]) for entry in mine] == [
            ("ONLINE", "connected", {"deviceId": "phone", "platform": "IOS"})
        ]
        server.request("PUT", f"/status/{user}", {"status": "BUSY", "statusText": "in a call"})
        diff = await client.receive("diff")
        entry = diff["changes"][0]
        assert (entry["userId"], entry["status"], entry["statusText"], entry["cause"]) == (
            user,
            "BUSY",
            "in a call",
            "status_set",
        )
        assert "lastActiveTime" not in entry
        await client.close()
        server.post("/offline", {"userId": user, "deviceId": "phone"})
        again, welcome = await follow(server, codec, cursor=diff["cursor"])
        assert welcome["resumed"] is True
        told = await again.receive("diff")
        assert [(entry["userId"], entry["cause"]) for entry in told["changes"]] == [(user, "left")]
        assert "resumed" not in told
        await again.close()

    asyncio.run(live())


def test_a_cursor_is_the_same_for_all_ways_in(server: Server, user: int) -> None:
    async def live() -> None:
        cursor = server.post("/changes", {}).data["cursor"]
        server.online(user)
        client, welcome = await follow(server, cursor=cursor)
        assert welcome["resumed"] is True
        told = await client.receive("diff")
        assert [entry["userId"] for entry in told["changes"]] == [user]
        await client.close()
        server.post("/offline", {"userId": user, "deviceId": "rest"})
        changes = server.post("/changes", {"cursor": told["cursor"]}).data["changes"]
        assert [entry["cause"] for entry in changes] == ["left"]

    asyncio.run(live())


def test_every_transition_is_told_to_who_asks_for_it(server: Server, user: int) -> None:
    async def live() -> None:
        client, _ = await follow(server, transitions="all")
        await caught_up(client)
        server.online(user)
        for status in ("BUSY", "AWAY", "ONLINE"):
            server.request("PUT", f"/status/{user}", {"status": status})
        told: list[str] = []
        while len(told) < 4:
            told += [entry["status"] for entry in (await client.receive("diff"))["changes"]]
        assert told == ["ONLINE", "BUSY", "AWAY", "ONLINE"]
        await client.close()

    asyncio.run(live())


@pytest.mark.parametrize("people", [0, 1, 5])
def test_the_first_who_follows_is_told_as_any_other(people: int) -> None:
    async def live() -> None:
        with run_server() as new:
            for user_id in range(1, people + 1):
                new.online(user_id)
            first, _ = await follow(new)
            told = await first.receive("diff")
            second, _ = await follow(new)
            assert told == await second.receive("diff")
            assert {entry["userId"] for entry in told["changes"]} == set(range(1, people + 1))
            assert (told["resumed"], "more" in told) == (False, False)
            await first.close()
            await second.close()

    asyncio.run(live())


def test_who_is_told_that_there_is_more_is_told_when_there_is_no_more() -> None:
    """Also where nobody is left to be told of: the last users of all are OFFLINE, which a walk passes over."""

    async def live() -> None:
        with run_server(max_message=8192) as small:
            for user_id in range(1, 51):
                small.online(user_id)
                if user_id > 30:
                    small.post("/offline", {"userId": user_id, "deviceId": "rest"})
            for _ in range(2):
                client, _ = await follow(small)
                diffs = await caught_up(client)
                assert {entry["userId"] for diff in diffs for entry in diff["changes"]} == set(range(1, 31))
                assert all(diff["changes"] for diff in diffs[:-1])
                await client.close()

    asyncio.run(live())


def test_more_than_fits_one_diff_comes_in_parts(server: Server) -> None:
    async def live() -> None:
        with run_server(max_message=8192) as small:
            for user_id in range(1, 31):
                small.online(user_id)
            client, _ = await follow(small)
            diffs = await caught_up(client)
            assert len(diffs) > 3
            assert [diff.get("resumed", True) for diff in diffs] == [False] + [True] * (len(diffs) - 1)
            assert {entry["userId"] for diff in diffs for entry in diff["changes"]} == set(range(1, 31))
            await client.close()

    asyncio.run(live())


def test_who_follows_watches_nobody_and_only_observers_follow(server: Server, user: int) -> None:
    async def live() -> None:
        client, _ = await follow(server)
        refused = await client.ask(type="watch", userIds=[user])
        assert (refused["type"], refused["code"]) == ("error", 400)
        assert (await client.ask(type="query", userIds=[user]))["type"] == "statuses"
        await client.close()
        for more in ({"observer": True, "watch": [1]}, {"userId": user, "deviceId": "d", "platform": "WEB"}):
            client = await Client.open(server)
            await client.send(type="hello", feed=True, **more)
            assert await client.closed() == 4400

    asyncio.run(live())


def test_scopes(tmp_path: Path) -> None:
    keys = tmp_path / "keys"
    scopes = ((ADMIN, "admin,read"), (READER, "read"), (WRITER, "write"))
    keys.write_text("\n".join(line_of("key", key, parse_scopes(scope)) for key, scope in scopes), "utf-8")

    async def live(server: Server) -> None:
        own = await Client.hello(server, 7, token=token(7), status="OFFLINE")
        for key, seen in ((ADMIN, [("ONLINE", True)]), (READER, [])):
            client, _ = await follow(server, token=key)
            diffs = await caught_up(client)
            told = [(entry["status"], entry["invisible"]) for diff in diffs for entry in diff["changes"]]
            assert told == seen
            await client.close()
        for credentials in (WRITER, token(8)):
            client = await Client.open(server)
            await client.send(type="hello", observer=True, feed=True, token=credentials)
            assert await client.closed() == 4403
        await own.close()

    with run_server(auth="jwt", jwt_key=SECRET, service_keys=keys) as server:
        asyncio.run(live(server))


def test_users_are_told_why_they_changed_and_watchers_are_not(server: Server, user: int) -> None:
    async def live() -> None:
        own = await Client.hello(server, user, "desk", platform="PC")
        watcher = await Client.observe(server, [user])
        await watcher.receive("snapshot")
        server.online(user, "phone", "IOS")
        told = await own.receive("self")
        assert (told["cause"], told["device"]) == ("connected", {"deviceId": "phone", "platform": "IOS"})
        server.request("PUT", f"/status/{user}", {"status": "BUSY"})
        told = await own.receive("self")
        assert (told["cause"], "device" in told) == ("status_set", False)
        diff = await watcher.change_of(user, "BUSY")
        assert not {"cause", "device", "at"} & set(diff)
        await own.close()
        await watcher.close()

    asyncio.run(live())
