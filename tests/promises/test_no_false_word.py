"""Promise 2, no false word: who comes back within the grace period, or is there on another device, is never OFFLINE."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager

import pytest

from support.client import Client, vanish
from support.server import Server, run_server

GRACE = 1.0
USER = 8


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with run_server(grace_period=GRACE) as running:
        yield running


@asynccontextmanager
async def witness(server: Server, user: int = USER) -> AsyncIterator[Client]:
    """A watcher who must never have been told OFFLINE after the first ONLINE or AWAY."""
    watcher = await Client.observe(server, [user])
    await watcher.receive("snapshot")
    yield watcher
    told = [change["status"] for message in watcher.heard for change in message.get("changes", ())]
    assert told, "nobody ever came"
    assert "OFFLINE" not in told
    await watcher.close()
    server.post("/offline", {"userId": user, "deviceId": "d1"})
    server.post("/offline", {"userId": user, "deviceId": "d2"})


@pytest.mark.parametrize("how", ["dropped", 1001, 3001])
def test_a_reconnect_within_grace_is_invisible(server: Server, how: str | int) -> None:
    async def story() -> None:
        async with witness(server) as watcher:
            client = await Client.hello(server, USER)
            await watcher.change_of(USER, "ONLINE")
            client.vanish() if how == "dropped" else await client.close(int(how))
            await asyncio.sleep(GRACE / 3)
            assert server.status_of(USER) == "ONLINE"
            assert len(server.get(f"/status/{USER}").data["devices"]) == 1  # in grace, and still listed
            again = await Client.hello(server, USER)
            assert again.heard[0]["continued"] is True
            assert await watcher.hears_nothing(GRACE * 1.3)
            await again.close(1001)

    asyncio.run(story())


def test_a_newer_connection_replaces_the_older_and_outlives_its_end(server: Server) -> None:
    async def story() -> None:
        async with witness(server) as watcher:
            older = await Client.hello(server, USER)
            await watcher.change_of(USER, "ONLINE")
            online_time = server.get(f"/status/{USER}").data["devices"][0]["onlineTime"]
            newer = await Client.hello(server, USER)
            assert await older.closed() == 4409
            assert await watcher.hears_nothing(GRACE * 1.3)
            assert (await newer.ask(type="ping"))["type"] == "pong"
            assert server.get(f"/status/{USER}").data["devices"][0]["onlineTime"] == online_time
            await newer.close(1001)

    asyncio.run(story())


def test_a_user_who_is_there_on_another_device(server: Server) -> None:
    async def story() -> None:
        async with witness(server) as watcher:
            phone = await Client.hello(server, USER, "d1", platform="IOS")
            await watcher.change_of(USER, "ONLINE")
            laptop = await Client.hello(server, USER, "d2", platform="PC")
            await watcher.receive(lambda message: message["changes"][0]["platforms"] == ["IOS", "PC"])
            await phone.close(1000)
            change = await watcher.change_of(USER, "ONLINE")
            assert change["platforms"] == ["PC"]
            await laptop.close(1001)

    asyncio.run(story())


def test_who_was_away_comes_back_away(server: Server) -> None:
    async def story() -> None:
        async with witness(server) as watcher:
            client = await Client.hello(server, USER)
            await client.ask(type="activity", idle=True)
            await watcher.change_of(USER, "AWAY")
            client.vanish()
            again = await Client.hello(server, USER)
            assert again.heard[0]["self"]["status"] == "AWAY"
            assert await watcher.hears_nothing(GRACE * 1.3)
            await again.ask(type="activity", idle=False)
            await watcher.change_of(USER, "ONLINE")
            await again.close(1001)

    asyncio.run(story())


def test_rest_takes_over_in_grace(server: Server) -> None:
    async def story() -> None:
        async with witness(server) as watcher:
            client = await Client.hello(server, USER)
            await watcher.change_of(USER, "ONLINE")
            client.vanish()
            await asyncio.sleep(GRACE / 3)
            assert server.post("/heartbeat", {"userId": USER, "deviceId": "d1"}).status == 200
            assert await watcher.hears_nothing(GRACE * 1.3)

    asyncio.run(story())


def test_a_killed_app_does_not_unmask_an_invisible_user(server: Server) -> None:
    async def story() -> None:
        watcher = await Client.observe(server, [USER])
        await watcher.receive("snapshot")
        client = await Client.hello(server, USER, status="OFFLINE")
        client.vanish()
        await asyncio.sleep(GRACE * 1.5)
        again = await Client.hello(server, USER)
        assert again.heard[0]["self"]["override"] == {"status": "OFFLINE"}
        assert await watcher.hears_nothing(0.3)
        await again.ask(type="status", status=None)
        await watcher.change_of(USER, "ONLINE")
        await again.close()
        await watcher.close()

    asyncio.run(story())


@pytest.mark.parametrize("beats", ["before hello", "after hello", "in grace"])
def test_whoever_sends_heartbeats_in_time_stays_online_although_a_connection_drops(server: Server, beats: str) -> None:
    """The next is wanted in 30 s, which is much longer than the grace period here."""
    user = 20 + len(beats)  # of its own: whoever comes and goes too often is told of late
    device = {"userId": user, "deviceId": "d1"}

    async def story() -> None:
        async with witness(server, user) as watcher:
            if beats == "before hello":
                server.online(user, "d1")
            client = await Client.hello(server, user)
            await watcher.change_of(user, "ONLINE")
            if beats == "after hello":
                assert server.post("/heartbeat", device).status == 200
            await vanish(client)
            if beats == "in grace":
                assert server.post("/heartbeat", device).status == 200
            assert await watcher.hears_nothing(GRACE * 1.5)
            assert server.status_of(user) == "ONLINE"
            assert server.post("/heartbeat", device).status == 200
            again = await Client.hello(server, user)
            assert again.heard[0]["continued"] is True
            await again.close(1001)
            assert await watcher.hears_nothing(GRACE * 1.5)

    asyncio.run(story())


def test_dead_devices_do_not_push_out_the_one_that_lives(server: Server) -> None:
    """A tab that has a new device id at each start, on a train, and a phone that was there before."""

    async def story() -> None:
        phone = await Client.hello(server, 9, "phone", platform="IOS")
        for number in range(40):
            await vanish(await Client.hello(server, 9, f"tab {number}"))
        assert (await phone.ask(type="ping"))["type"] == "pong"
        assert server.status_of(9) == "ONLINE"
        await phone.close()

    asyncio.run(story())
