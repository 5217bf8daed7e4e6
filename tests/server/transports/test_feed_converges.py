"""By each way in, a reader that folds what it is told holds in the end what the table says: also one that is slow.

Every reader begins while everything is under way, and may be told things twice. In the end everybody is asked for.
"""

from __future__ import annotations

import asyncio
import http.client
import json
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from random import Random
from typing import Any
from urllib.parse import urlsplit

import pytest

from support.client import Client
from support.server import Server, run_server

USERS = range(1, 61)
STEPS = 600
TOGETHER = 8
"""Requests under way at once."""


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with run_server(min_publish_interval=0) as running:
        yield running


class Fold:
    """What a back end keeps, by the two rules of the documentation."""

    def __init__(self) -> None:
        self.held: dict[int, Any] = {}
        self.newest: dict[int, int] = {}

    def void(self) -> None:
        self.held.clear()
        self.newest.clear()

    def take(self, entry: Any) -> None:
        user_id, version = entry["userId"], entry["version"]
        assert version >= self.newest.get(user_id, 0), "out of order"
        self.newest[user_id] = version
        if user_id not in self.held or version > self.held[user_id]["version"]:
            self.held[user_id] = entry

    def shown(self, user_id: int) -> tuple[str, list[str], str | None]:
        entry = self.held.get(user_id, {"status": "OFFLINE", "platforms": []})
        return entry["status"], sorted(entry["platforms"]), entry.get("statusText")


class Readers:
    """All ways in. Each says when it has been told of `user_id` at `status`."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self.folds: dict[str, Fold] = {}

    def fold(self, name: str) -> Fold:
        return self.folds.setdefault(name, Fold())

    async def poll(self, name: str, **more: Any) -> None:
        fold, cursor = self.fold(name), None
        while True:
            body = {"waitMs": 2_000, **more} | ({} if cursor is None else {"cursor": cursor})
            answer = (await asyncio.to_thread(self.server.post, "/changes", body)).data
            cursor = answer["cursor"]
            if not answer["resumed"]:
                fold.void()
            for entry in answer["changes"]:
                fold.take(entry)

    async def events(self, name: str, pause: float = 0.0) -> None:
        """One connection after the other: it is cut, and goes on from the last event, which it may be told again."""
        fold, last = self.fold(name), ""
        while True:
            last = await asyncio.to_thread(self._some_events, fold, last, 150)
            await asyncio.sleep(pause)

    def _some_events(self, fold: Fold, last: str, most: int) -> str:
        url = urlsplit(self.server.url)
        assert url.hostname is not None
        connection = http.client.HTTPConnection(url.hostname, url.port, timeout=2)
        try:
            connection.request("GET", "/api/v1/presence/events", headers={"Last-Event-ID": last} if last else {})
            event: dict[str, str] = {}
            for raw in connection.getresponse():
                line = raw.decode().rstrip("\n")
                if line:
                    name, _, value = line.partition(": ")
                    event[name] = value
                    continue
                if event.get("event") == "change":
                    fold.take(json.loads(event["data"]))
                    last, most = event["id"], most - 1
                event = {}
                if not most:
                    break
        except TimeoutError:
            pass  # it is quiet
        finally:
            connection.close()
        return last

    async def socket(self, name: str, codec: str, pause: float = 0.0, **more: Any) -> None:
        fold = self.fold(name)
        client = await Client.open(self.server, codec)
        await client.send(type="hello", observer=True, feed=True, **more)
        await client.receive("welcome")
        try:
            while True:
                diff = await client.receive("diff")
                if diff.get("resumed") is False:
                    fold.void()
                for entry in diff["changes"]:
                    fold.take(entry)
                await asyncio.sleep(pause)
        finally:
            await client.close()

    @asynccontextmanager
    async def reading(self) -> AsyncIterator[None]:
        tasks = [
            asyncio.ensure_future(reader)
            for reader in (
                self.poll("poll"),
                self.poll("poll by sevens", limit=7),
                self.poll("poll of transitions", transitions="all"),
                self.events("events"),
                self.socket("socket", "json"),
                self.socket("socket of transitions", "msgpack", transitions="all"),
                self.socket("slow socket", "json", pause=0.3),
            )
        ]
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()
            done = await asyncio.gather(*tasks, return_exceptions=True)
        failures = [each for each in done if isinstance(each, Exception)]
        assert not failures, failures


async def change(server: Server, random: Random) -> None:
    user_id = random.choice(USERS)
    device = random.choice(("phone", "web"))
    match random.randrange(5):
        case 0 | 1:
            await asyncio.to_thread(server.online, user_id, device, random.choice(("IOS", "WEB")))
        case 2:
            await asyncio.to_thread(server.post, "/offline", {"userId": user_id, "deviceId": device})
        case 3:
            said = {"status": random.choice(("BUSY", "AWAY", "ONLINE")), "statusText": random.choice(("", "lunch"))}
            await asyncio.to_thread(server.request, "PUT", f"/status/{user_id}", said)
        case _:
            await asyncio.to_thread(server.request, "DELETE", f"/status/{user_id}")


def test_after_quiet_every_reader_holds_what_the_table_says(server: Server) -> None:
    async def live() -> None:
        asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(4 + TOGETHER))  # each waits for an answer
        random, readers = Random(15), Readers(server)
        async with readers.reading():
            for _ in range(STEPS // TOGETHER):
                await asyncio.gather(*(change(server, random) for _ in range(TOGETHER)))
            told = server.post("/status/batch", {"userIds": list(USERS), "detail": True}).data
            wanted = [(each["status"], sorted(each["platforms"]), each.get("statusText")) for each in told]
            assert len(set(map(str, wanted))) > 4
            for _ in range(300):
                wrong = {
                    name: [user_id for user_id, want in zip(USERS, wanted, strict=True) if fold.shown(user_id) != want]
                    for name, fold in readers.folds.items()
                }
                if not any(wrong.values()):
                    return
                await asyncio.sleep(0.1)
            raise AssertionError(wrong)

    asyncio.run(live())
