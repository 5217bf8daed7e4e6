"""The first minute: one REST call, one hello, one watch, one diff, over real sockets."""

import asyncio

from support.client import Client
from support.server import run_server


def test_a_watcher_is_told_that_a_user_came_online_and_left() -> None:
    async def story() -> None:
        watcher = await Client.hello(server, 1, watch=[2])
        assert (await watcher.receive("snapshot"))["statuses"][0]["status"] == "OFFLINE"
        server.online(2, platform="IOS")
        change = await watcher.change_of(2, "ONLINE")
        assert change["platforms"] == ["IOS"]
        server.post("/offline", {"userId": 2, "deviceId": "rest"})
        await watcher.change_of(2, "OFFLINE")
        await watcher.close()

    with run_server() as server:
        asyncio.run(story())
