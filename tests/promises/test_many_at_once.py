"""Promise 5 against many: two hundred that flood delay a bystander by no more than a few turns of the loop, and what
they hold is bounded. Counted in messages handled and bytes held, so that it holds on a busy machine as well."""

import asyncio
import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from support.client import Client, vanish
from support.raw import TEXT, RawClient, frame
from support.server import Server, Span, run_server

ATTACKERS = 200
PINGS = 60
GHOST_BOUND = 10 + 10 + 1 + 2
"""Seconds: see the settings below, and docs/operations.md."""

FLOODS = {
    "queries": [{"type": "query", "userIds": [1] * 1000}],
    "watches": [
        {"type": "watch", "userIds": list(range(1, 1001))},
        {"type": "unwatch", "userIds": list(range(1, 1001))},
    ],
    "one more, one fewer": [{"type": "watch", "userIds": [5]}, {"type": "unwatch", "userIds": [5]}],
    "wrong lists": [{"type": "query", "userIds": ["x"] * 20_000}],
}

FLOOD = """
import sys, time
sys.path.insert(0, sys.argv[1])
from support.raw import RawClient
class At:
    port = int(sys.argv[2])
blob = bytes.fromhex(sys.stdin.readline())
watched = list(range(10_000, 10_000 + int(sys.argv[4])))
crowd = [RawClient.observer(At, watched or None) for _ in range(int(sys.argv[3]))]
offsets = [0] * len(crowd)
for one in crowd:
    one.socket.setblocking(False)
print("ready", flush=True)
ends = time.monotonic() + 40
while time.monotonic() < ends:
    is_idle = True
    for number, one in enumerate(crowd):
        try:
            offsets[number] = (offsets[number] + one.socket.send(blob[offsets[number]:])) % len(blob)
            is_idle = False
        except OSError:
            pass
        try:
            while one.socket.recv(1 << 18):
                pass
        except OSError:
            pass
    if is_idle:
        time.sleep(0.002)
"""


@pytest.fixture
def server() -> Iterator[Server]:
    with run_server(is_measured=True, grace_period=1, ping_interval=10, pong_timeout=10) as running:
        yield running


@contextmanager
def flooded(server: Server, messages: list[dict[str, object]], watched: int) -> Iterator[None]:
    """A process of its own floods, so that who measures is not slowed by it."""
    blob = b"".join(frame(TEXT, json.dumps(message).encode()) for message in messages)
    blob *= max(1, 60_000 // len(blob))
    tests = str(Path(__file__).parent.parent)
    arguments = [sys.executable, "-c", FLOOD, tests, str(server.port), str(ATTACKERS), str(watched)]
    flood = subprocess.Popen(arguments, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        assert flood.stdin is not None
        assert flood.stdout is not None
        flood.stdin.write(blob.hex() + "\n")
        flood.stdin.flush()
        assert flood.stdout.readline() == "ready\n"
        yield
    finally:
        flood.kill()
        flood.communicate()


@pytest.mark.parametrize("kind", FLOODS)
def test_two_hundred_that_flood_delay_a_bystander_by_a_few_turns_and_the_dead_end_in_time(
    server: Server, kind: str
) -> None:
    async def story() -> None:
        bystander = await Client.hello(server, 777)
        victim = await Client.hello(server, 4242)
        watcher = await Client.observe(server, [4242])
        await watcher.receive("snapshot")
        with flooded(server, FLOODS[kind], 4_900 if kind.startswith("one more") else 0):
            await asyncio.sleep(0.5)
            await vanish(victim)
            gone = Span(server)
            before = await asyncio.to_thread(server.metric, "presence_websocket_messages_total")
            for _ in range(PINGS):
                assert (await bystander.ask(type="ping"))["type"] == "pong"
            handled = await asyncio.to_thread(server.metric, "presence_websocket_messages_total") - before
            # Where each attacker had a turn of its own, it was this for each of the two hundred before each pong.
            each = 32 if kind.startswith("one more") else 1
            assert handled / PINGS < ATTACKERS * each / 4
            await watcher.change_of(4242, "OFFLINE", 60)
            assert gone.fair < GHOST_BOUND
        await vanish(bystander, watcher)

    asyncio.run(story())


def test_who_asks_and_does_not_read_holds_one_part(server: Server) -> None:
    """Each asks for 1,000 users of the longest text there is: 700 KB."""

    async def story() -> None:
        person = await Client.hello(server, 5)
        await person.send(type="status", status="BUSY", statusText="\U0001f600" * 140)
        before = server.resident_kb()
        crowd = [RawClient.observer(server, receive_buffer=4096) for _ in range(100)]
        for one in crowd:
            one.send(frame(TEXT, json.dumps({"type": "query", "userIds": [5] * 1000}).encode()))
        for _ in range(3):
            assert (await person.ask(type="ping"))["type"] == "pong"
            await asyncio.sleep(0.3)
        assert server.resident_kb() - before < 100 * 400
        for one in crowd:
            one.socket.close()
        await vanish(person)

    asyncio.run(story())
