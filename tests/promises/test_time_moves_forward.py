"""Promise 4, time moves forward: between two full snapshots the versions seen of one user never go back."""

import asyncio
from collections.abc import Iterator

import pytest

from support.client import Client, Message, vanish
from support.scripted_link import until
from support.server import Server, run_server

USERS = list(range(1, 301))


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with run_server(min_publish_interval=0) as running:
        yield running


def entries(message: Message) -> list[Message]:
    return [*message.get("statuses", ()), *message.get("changes", ())]


@pytest.mark.parametrize("codec", ["json", "msgpack"])
def test_snapshots_queries_and_diffs_of_a_busy_server(server: Server, codec: str) -> None:
    """300 users change as fast as they can, while one watches, watches anew and asks in between."""

    async def story() -> None:
        watcher = await Client.observe(server, USERS, codec)
        people = [await Client.hello(server, user_id, codec=codec) for user_id in USERS]
        readers = [asyncio.create_task(read_all(client)) for client in (*people, watcher)]
        for turn in range(12):
            for client in people:
                await client.send(type="status", status="BUSY" if turn % 2 else "ONLINE", statusText=str(turn))
            await watcher.send(type="query", userIds=USERS)
            await watcher.send(type="watch", userIds=USERS[turn * 10 :])
            await asyncio.sleep(0)

        def last() -> set[str | None]:
            told = {entry["userId"]: entry.get("statusText") for message in watcher.heard for entry in entries(message)}
            return set(told.values())

        try:
            await until(lambda: last() == {"11"}, 60)
        finally:
            for reader in readers:
                reader.cancel()
            await vanish(*people, watcher)
        seen: dict[int, int] = {}
        for message in watcher.heard:
            for entry in entries(message):
                assert entry["version"] >= seen.get(entry["userId"], 0), message["type"]
                seen[entry["userId"]] = entry["version"]

    asyncio.run(story())


async def read_all(client: Client) -> None:
    while True:
        await client.next()


def test_versions_go_on_growing_after_a_user_was_gone(server: Server) -> None:
    async def story() -> None:
        watcher = await Client.observe(server, [1000])
        await watcher.receive("snapshot")
        versions = []
        for _ in range(3):
            client = await Client.hello(server, 1000)
            versions.append((await watcher.change_of(1000, "ONLINE"))["version"])
            await client.close()
            versions.append((await watcher.change_of(1000, "OFFLINE"))["version"])
        assert versions == sorted(set(versions))
        assert versions[-1] < 2**53  # a JavaScript client must be able to hold it
        await watcher.close()

    asyncio.run(story())
