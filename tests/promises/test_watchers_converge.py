"""Promise 3, watchers converge: a fold of snapshots and diffs is the server's state, whatever the client went through.

Promise 4, time moves forward, is watched along the way: `Fold` refuses a version that goes back.
"""

import asyncio
import random
from collections.abc import Iterator

import pytest

from promises.fold import Fold
from support.client import Client, vanish
from support.server import Server, run_server

USERS = list(range(1, 41))


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with run_server(grace_period=0.3, min_publish_interval=0.2, max_flush_interval=0.1) as running:
        yield running


def truth(server: Server, user_ids: list[int]) -> dict[int, tuple[str, tuple[str, ...], str | None]]:
    """What REST says of each user, as a watcher would hold it."""
    found = server.post("/status/batch", {"userIds": user_ids, "detail": True}).data
    return {user["userId"]: (user["status"], tuple(user["platforms"]), user.get("statusText")) for user in found}


async def change_things(server: Server, users: list[int], rng: random.Random, rounds: int) -> None:
    """People come, go, and change their minds."""
    present: dict[int, Client] = {}
    for _ in range(rounds):
        user_id = rng.choice(users)
        client = present.get(user_id)
        if client is None:
            codec = rng.choice(["json", "msgpack"])
            platform = rng.choice(["WEB", "IOS", "PC"])
            present[user_id] = await Client.hello(server, user_id, codec=codec, platform=platform)
            continue
        match rng.randrange(6):
            case 0:
                await client.ask(type="status", status="BUSY", statusText=f"text {rng.randrange(9)}")
            case 1:
                await client.ask(type="status", status=rng.choice([None, "OFFLINE"]))
            case 2:
                await client.ask(type="activity", idle=rng.random() < 0.5)
            case 3:
                present.pop(user_id).vanish()
            case 4:
                await present.pop(user_id).close()
            case 5:
                await asyncio.sleep(0.01)
    await vanish(*present.values())


async def watch_restlessly(server: Server, fold: Fold, rng: random.Random, done: asyncio.Event) -> Client:
    """Connect, read a while, drop the link; again and again, with the cursor."""
    while not done.is_set():
        client = await fold.connect(server)
        try:
            async with asyncio.timeout(rng.uniform(0.05, 0.4)):
                while True:
                    fold.receive(await client.next())
        except TimeoutError:
            pass
        if rng.random() < 0.5:
            await fold.change_list(client, rng)
        client.vanish()
    return await fold.connect(server)


@pytest.mark.parametrize("seed", [1, 2])
def test_every_watcher_ends_with_the_servers_state(server: Server, seed: int) -> None:
    async def story() -> None:
        rng = random.Random(seed)
        steady = [Fold(USERS, codec) for codec in ("json", "msgpack")]
        restless = [Fold(rng.sample(USERS, 20), rng.choice(["json", "msgpack"])) for _ in range(6)]
        clients = [await fold.connect(server) for fold in steady]
        done = asyncio.Event()
        readers = [asyncio.create_task(fold.read(client)) for fold, client in zip(steady, clients, strict=True)]
        watchers = [
            asyncio.create_task(watch_restlessly(server, fold, random.Random(seed * 100 + number), done))
            for number, fold in enumerate(restless)
        ]
        await asyncio.gather(
            change_things(server, USERS[::2], random.Random(seed + 50), 250),
            change_things(server, USERS[1::2], random.Random(seed + 51), 250),
        )
        done.set()
        last = await asyncio.gather(*watchers)
        readers += [asyncio.create_task(fold.read(client)) for fold, client in zip(restless, last, strict=True)]
        await asyncio.sleep(1.5)  # grace, and what was held back of those who flapped
        for reader in readers:
            reader.cancel()
        for fold in (*steady, *restless):
            assert fold.shown() == truth(server, sorted(fold.watched))
        assert sum(fold.resumed for fold in restless) > 10  # else it proved little
        await vanish(*clients, *last)

    asyncio.run(story())


def test_a_watcher_that_stops_reading_is_told_what_it_missed(server: Server) -> None:
    """Its socket is full of answers that it does not read, so diffs to it are conflated, never queued."""

    async def story() -> None:
        fold = Fold(USERS, "json")
        client = await fold.connect(server)
        client.connection.transport.pause_reading()
        for _ in range(15):
            await client.send(type="query", userIds=list(range(1000, 2000)))
        await change_things(server, USERS, random.Random(3), 150)
        assert server.metric("presence_slow_sessions") == 1
        client.connection.transport.resume_reading()
        reader = asyncio.create_task(fold.read(client))
        await asyncio.sleep(1.5)
        reader.cancel()
        assert fold.shown() == truth(server, USERS)
        assert server.metric("presence_slow_sessions") == 0
        await vanish(client)

    asyncio.run(story())
