"""Promise 5, of ids that clients choose: however they are chosen, they cost what any others do."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from random import Random
from typing import Any

import msgspec
import pytest

from promises.test_bounded import close_code, raw
from support.client import Client, vanish
from support.collisions import colliding
from support.raw import BINARY, TEXT, frame, upgrade
from support.server import Server, run_server

MANY = 20_000
ATTACKERS = 5
DEARER = 3.0
"""How many times the CPU of random ids those that collide may take; with ids as they are it was over ten times."""

CHOSEN = colliding(MANY)
OTHERS = Random(1).sample(range(1, max(CHOSEN)), MANY)


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with run_server(is_measured=True, max_watched=MANY, max_batch=MANY, hello_timeout=30) as running:
        yield running


def cpu(server: Server) -> float:
    return server.metric("process_cpu_seconds_total")


async def hello(server: Server, ids: list[int]) -> None:
    observer = await Client.observe(server, ids)
    while (await observer.receive("snapshot", 30)).get("more"):
        pass
    await vanish(observer)


async def query(server: Server, ids: list[int]) -> None:
    client = await Client.open(server, max_size=None)
    await client.send(type="hello", observer=True)
    await client.send(type="watch", userIds=ids, id=1)
    await client.send(type="query", userIds=ids, id=2)
    await client.send(type="unwatch", userIds=ids, id=3)
    await client.receive("ok", 30)
    await vanish(client)


async def changes(server: Server, ids: list[int]) -> None:
    await asyncio.to_thread(server.post, "/changes", {"userIds": ids})


async def batch(server: Server, ids: list[int]) -> None:
    await asyncio.to_thread(server.post, "/status/batch", {"userIds": ids})


async def bystander(server: Server, late: list[float]) -> None:
    """Ping over and over; what the server works until each answer into `late`, in seconds."""
    client = await Client.hello(server, 10**15)
    try:
        while True:
            began = server.worked()
            await client.send(type="ping")
            await client.receive("pong", 60)
            late.append(server.worked() - began)
            await asyncio.sleep(0.005)
    finally:
        await vanish(client)


def cost(server: Server, attack: Any, ids: list[int]) -> tuple[float, float]:
    """Five clients attack at once: the server's CPU seconds, and the most of them until a bystander has its pong."""
    late: list[float] = []

    async def story() -> None:
        watching = asyncio.create_task(bystander(server, late))
        await asyncio.gather(*(attack(server, ids) for _ in range(ATTACKERS)))
        watching.cancel()
        await asyncio.gather(watching, return_exceptions=True)

    before = cpu(server)
    asyncio.run(story())
    return cpu(server) - before, max(late, default=0.0)


@pytest.mark.parametrize("attack", [hello, query, changes, batch])
def test_ids_that_were_chosen_to_collide_cost_what_others_do(server: Server, attack: Any) -> None:
    cost(server, attack, OTHERS)  # the first is dearer, whatever it is
    usual, usually_late = cost(server, attack, OTHERS)
    chosen, late = cost(server, attack, CHOSEN)
    assert chosen < DEARER * usual
    assert late < DEARER * usually_late + 0.1


async def refused(server: Server, data: bytes, opcode: int, protocol: str) -> int:
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    writer.write(upgrade({"Sec-WebSocket-Protocol": protocol}))
    await reader.readuntil(b"\r\n\r\n")
    writer.write(frame(opcode, data))
    code = await close_code(reader, 30)
    writer.close()
    return code


def test_a_map_of_integers_that_collide_is_not_built(server: Server) -> None:
    def hello(keys: list[int]) -> bytes:
        return msgspec.msgpack.encode({"type": "hello", "userId": 1, "deviceId": "d", "x": dict.fromkeys(keys)})

    async def attack(data: bytes) -> None:
        codes = [refused(server, data, BINARY, "presence.v1.msgpack") for _ in range(ATTACKERS)]
        assert set(await asyncio.gather(*codes)) == {4400}

    before = cpu(server)
    asyncio.run(attack(hello(OTHERS)))
    between = cpu(server)
    asyncio.run(attack(hello(CHOSEN)))
    assert cpu(server) - between < DEARER * (between - before) + 0.1


@pytest.mark.parametrize("kind", ["watch", "unwatch"])
def test_a_hundred_thousand_times_the_same_id_is_one(kind: str) -> None:
    async def story(server: Server) -> None:
        reader, writer = await raw(server)
        before = cpu(server)
        writer.write(frame(TEXT, json.dumps({"type": kind, "id": 1, "userIds": [1] * 80_000}).encode()))
        answer = await asyncio.wait_for(reader.readuntil(b'"id":1'), 60)
        assert (b"snapshot" if kind == "watch" else b"ok") in answer
        assert cpu(server) - before < 0.1
        writer.close()

    with run_server(is_measured=True, max_message=300_000) as server:
        asyncio.run(story(server))
