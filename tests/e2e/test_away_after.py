"""Idleness inferred by the server: no message but pings for `away_after`, over real sockets."""

import asyncio

from support.client import Client
from support.server import run_server


def test_who_says_nothing_but_ping_goes_away_and_any_other_message_brings_them_back() -> None:
    async def story() -> None:
        watcher = await Client.observe(server, [1])
        client = await Client.hello(server, 1)
        await watcher.change_of(1, "ONLINE")
        for _ in range(12):  # longer than away_after, in messages that are no pings
            await client.ask(type="query", userIds=[2])
            await asyncio.sleep(0.1)
        assert not any(change["status"] == "AWAY" for message in watcher.heard for change in message.get("changes", ()))

        pinging = asyncio.create_task(ping_forever(client))
        await watcher.change_of(1, "AWAY", 3)
        pinging.cancel()
        await client.ask(type="unwatch", userIds=[])
        await watcher.change_of(1, "ONLINE")
        await client.close()
        await watcher.close()

    async def ping_forever(client: Client) -> None:
        while True:
            await client.send(type="ping")
            await asyncio.sleep(0.1)

    with run_server(away_after=0.8) as server:
        asyncio.run(story())
