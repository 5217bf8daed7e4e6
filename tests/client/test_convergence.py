"""Whatever is done to its connections, a client ends up with the server's truth, and so does who folds its changes."""

from __future__ import annotations

import asyncio
from random import Random
from typing import Any

import pytest

from presence_client import PresenceClient, StatusEntry
from presence_client.testing import FakePresenceServer

USERS = range(2, 8)


def upset(server: FakePresenceServer, random: Random) -> None:
    """Something happens to the server, to the network, or to a user."""
    match random.randrange(10):
        case 0:
            server.cut()
        case 1:
            server.drain(random.random() * 0.01)
        case 2:
            server.forget()
        case 3:
            server.refuse(random.choice([502, 503]), random.choice([None, 0]))
        case 4:
            server.accept()
        case 5:
            server.delay(random.choice([0, 0.002, 0.005]))
        case 6:
            server.close(random.choice([1011, 1012, 4503, 4508]))
        case 7:
            server.is_deaf = not server.is_deaf
        case _:
            server.set(random.choice(USERS), random.choice(["ONLINE", "AWAY", "BUSY", "OFFLINE"]))


def call(client: PresenceClient, wanted: set[int], random: Random) -> asyncio.Task[None]:
    """The program changes its mind about whom to watch."""
    user_id = random.choice(USERS)
    if random.random() < 0.5:
        wanted.add(user_id)
        return asyncio.create_task(client.watch(user_id, timeout=0.05))
    wanted.discard(user_id)
    return asyncio.create_task(client.unwatch(user_id, timeout=0.05))


async def converged(client: PresenceClient, server: FakePresenceServer, wanted: set[int]) -> None:
    def is_so() -> bool:
        truth = {user_id: server.entry(user_id).version for user_id in wanted}
        return not client.view.stale and {user_id: entry.version for user_id, entry in client.view.items()} == truth

    async with asyncio.timeout(5):
        while not is_so():  # noqa: ASYNC110 - freshness has no event of its own
            await asyncio.sleep(0.002)


@pytest.mark.parametrize("seed", range(25))
def test_it_converges(seed: int) -> None:
    random = Random(seed)

    async def story() -> None:
        grace = random.choice([0, 0.05])
        codec: Any = random.choice(["json", "msgpack"])
        held: dict[int, StatusEntry] = {}
        wanted = {2, 3}

        async def fold(changes: Any) -> None:
            async for change in changes:
                held[change.user_id] = change.after

        async with (
            FakePresenceServer(grace_period=grace, ping_interval=0.02, pong_timeout=0.02) as server,
            server.connect(user_id=1, watch=wanted, codec=codec) as client,
        ):
            folding = asyncio.create_task(fold(client.changes()))
            calls = []
            for _ in range(60):
                if random.random() < 0.8:
                    upset(server, random)
                else:
                    calls.append(call(client, wanted, random))
                await asyncio.sleep(random.choice([0, 0, 0.001, 0.005]))
            server.accept()
            server.delay(0)
            server.is_deaf = False
            server.cut()  # what went half-open is noticed at once, instead of by its timeout
            await asyncio.gather(*calls, return_exceptions=True)
            await converged(client, server, wanted)
            await asyncio.sleep(0.005)
            assert {user_id: held[user_id].status for user_id in wanted} == {
                user_id: server.entry(user_id).status for user_id in wanted
            }
        await asyncio.gather(folding, return_exceptions=True)
        assert asyncio.all_tasks() == {asyncio.current_task()}

    asyncio.run(story())
