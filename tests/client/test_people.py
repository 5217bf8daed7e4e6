"""What back ends ask of everybody, through the SDK: on the real server, and on the fake one alike."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest

from presence_client import ConnectionClosed, Phase, PresenceApi, PresenceClient, Problem, RequestFailed, connect
from presence_client.identity import CLIENT
from presence_client.testing import FakePresenceServer
from support.server import run_server


class Server:
    """One of the two, and how to be a client of it."""

    def __init__(self, api: PresenceApi, connect: Callable[..., PresenceClient]) -> None:
        self.api = api
        self.connect = connect


@asynccontextmanager
async def real(policy: str) -> AsyncIterator[Server]:
    with run_server(login_policy=policy, min_publish_interval=0) as server:

        def client(user_id: int, device_id: str, platform: str = "WEB", **more: Any) -> PresenceClient:
            return connect(server.url, user_id=user_id, device_id=device_id, platform=platform, **more)

        async with PresenceApi(server.url) as api:
            yield Server(api, client)


@asynccontextmanager
async def fake(policy: Any) -> AsyncIterator[Server]:
    async with FakePresenceServer(login_policy=policy) as server, server.api() as api:

        def client(user_id: int, device_id: str, platform: str = "WEB", **more: Any) -> PresenceClient:
            return server.connect(user_id=user_id, device_id=device_id, platform=platform, **more)

        yield Server(api, client)


@pytest.fixture(params=[real, fake])
def play(request: pytest.FixtureRequest) -> Callable[..., None]:
    def run(story: Callable[[Server], Awaitable[None]], policy: str = "many") -> None:
        async def in_time() -> None:
            async with asyncio.timeout(60), request.param(policy) as server:
                await story(server)

        asyncio.run(in_time())

    return run


async def end_of(client: PresenceClient) -> ConnectionClosed:
    """Why a client stopped for good."""
    with pytest.raises(ConnectionClosed) as closed:
        async for _ in client.changes():
            pass
    return closed.value


def test_a_kick_ends_clients_for_good_and_says_why(play: Any) -> None:
    async def story(server: Server) -> None:
        async with server.connect(1, "web") as web, server.connect(1, "phone", "IOS") as phone:
            await server.api.online(1, "poller", "PC")
            assert await server.api.kick(1, platform="IOS", reason="maintenance") == 1
            ended = await end_of(phone)
            assert (ended.code, ended.reason) == (4410, "maintenance")
            assert (phone.state.phase, phone.state.problem) == (Phase.CLOSED, Problem.ENDED)
            assert await server.api.kick(1, device_id="poller") == 1
            with pytest.raises(RequestFailed) as refused:
                await server.api.heartbeat(1, "poller")
            assert (refused.value.code, refused.value.error) == (404, "device_ended")
            held = await server.api.devices(1)
            assert [(each.device_id, each.platform, each.holder) for each in held] == [("web", "WEB", "connection")]
            assert await server.api.kick(1) == 1
            assert (await end_of(web)).code == 4410
            assert await server.api.kick(1) == 0
            assert await server.api.devices(1) == []
        with pytest.raises(RequestFailed) as wrong:
            await server.api.kick(1, platform="TOASTER", reason="x" * 124)
        assert [detail.field for detail in wrong.value.details] == ["platform", "reason"]

    play(story)


def test_the_login_policy_ends_the_others_and_they_stay_away(play: Any) -> None:
    async def story(server: Server) -> None:
        async with server.connect(1, "web") as web, server.connect(1, "phone-2", "IOS") as phone:
            ended = await end_of(web)
            assert ended.code == 4409
            assert "IOS" in ended.reason
            assert "phone-2" in ended.reason
            assert web.state.problem is Problem.REPLACED
            await server.api.online(1, "poller", "PC")
            assert (await end_of(phone)).code == 4409
            await server.api.online(1, "tablet", "ANDROID")
            with pytest.raises(RequestFailed) as refused:
                await server.api.heartbeat(1, "poller")
            assert refused.value.error == "device_replaced"
            assert [each.device_id for each in await server.api.devices(1)] == ["tablet"]

    play(story, "one")


def test_one_on_each_platform(play: Any) -> None:
    async def story(server: Server) -> None:
        for device_id, platform in (("a", "WEB"), ("b", "IOS"), ("c", "WEB")):
            await server.api.online(1, device_id, platform)
        assert sorted(each.device_id for each in await server.api.devices(1)) == ["b", "c"]

    play(story, "one-per-platform")


def test_people_are_counted(play: Any) -> None:
    async def story(server: Server) -> None:
        async with server.connect(1, "web"), server.connect(1, "phone", "IOS"):
            await server.api.online(2, "poller", "PC", idle=True)
            found = await server.api.statistics()
            assert found.users == {"ONLINE": 1, "AWAY": 1, "BUSY": 0, "OFFLINE": 0}
            assert (found.online, found.devices, found.connections, found.invisible) == (2, 3, 2, 0)
            assert found.platforms == {"WEB": 1, "IOS": 1, "ANDROID": 0, "PC": 1}
            assert found.clients == {CLIENT: 1}
            assert (found.joins_per_minute, found.leaves_per_minute) == (2, 0)
            assert found.peaks.users.at.startswith(found.peaks.day)
            await server.api.set_status(2, "OFFLINE")
            found = await server.api.statistics()
            assert (found.online, found.invisible, found.leaves_per_minute) == (1, 1, 1)

    play(story)


def test_everybody_who_is_online_page_by_page(play: Any) -> None:
    async def story(server: Server) -> None:
        for user_id in range(1, 12):
            await server.api.online(user_id, "d", "IOS" if user_id % 2 else "WEB", idle=user_id > 8)
        await server.api.offline(11, "d")
        assert sorted([each.user_id async for each in server.api.online_users(page=3)]) == list(range(1, 11))
        found = server.api.online_users(status="AWAY", platform="IOS", page=1)
        assert [(each.user_id, each.status) async for each in found] == [(9, "AWAY")]
        with pytest.raises(RequestFailed) as wrong:
            _ = [each async for each in server.api.online_users(status="OFFLINE", page=0)]
        assert [detail.field for detail in wrong.value.details] == ["limit", "status"]

    play(story)


def test_push_or_will_they_see_it(play: Any) -> None:
    async def story(server: Server) -> None:
        async with server.connect(1, "web") as web:
            await server.api.online(2, "poller", "PC", idle=True)
            found = await server.api.reach([3, 1, 2])
            assert [(each.user_id, each.reach, each.platforms) for each in found] == [
                (3, "none", []),
                (1, "active", ["WEB"]),
                (2, "background", ["PC"]),
            ]
            assert found[0].since is None
            await web.activity(True)
            asked = asyncio.create_task(server.api.reach([1, 3], within=60))
            await asyncio.sleep(0.05)
            assert not asked.done()
            await web.activity(False)
            assert [each.reach for each in await asked] == ["active", "none"]
        with pytest.raises(ValueError, match="within"):
            await server.api.reach([1], within=61)

    play(story)


def test_the_terminal_tells_and_ends() -> None:
    def client(*arguments: str) -> str:
        command = [sys.executable, "-m", "presence_client", *arguments, "--url", server.url]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout

    with run_server() as server:
        server.online(1, "desk", "PC", idle=True)
        server.online(1, "phone", "IOS")
        first, *devices = client("devices", "1").splitlines()
        assert first == "1  2 devices"
        assert devices[0].startswith("  desk (PC) idle, rest, heard ")
        told = client("statistics").splitlines()
        assert told[0].split() == ["online", "1"]
        assert told[2].split(maxsplit=1) == ["platforms", "WEB 0, IOS 1, ANDROID 0, PC 1"]
        assert json.loads(client("statistics", "--json"))["online"] == 1
        assert client("kick", "1", "--platform", "IOS", "--reason", "bye") == "1  1 ended\n"
        assert client("kick", "1") == "1  1 ended\n"
        assert server.status_of(1) == "OFFLINE"
