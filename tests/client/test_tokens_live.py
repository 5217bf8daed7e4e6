"""Both SDKs and a server that asks for tokens: a token that ends, and a ticket in place of one."""

from __future__ import annotations

import asyncio
import json
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from presence_client import Phase, Problem, connect
from server.identity.keys import SECRET, sign
from support.server import Server, run_server

PEER = Path(__file__).parents[1] / "node" / "ticket.mjs"


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with run_server(auth="jwt", jwt_key=SECRET, grace_period=0) as running:
        yield running


def token(user_id: int, seconds: float) -> str:
    return sign({"sub": str(user_id), "exp": time.time() + seconds})


def test_a_client_outlives_its_tokens_without_being_away(server: Server) -> None:
    asked: list[float] = []

    def next_token() -> str:
        asked.append(time.monotonic())
        return token(1, 2 if len(asked) < 4 else 600)

    async def story() -> None:
        watcher = connect(server.url, user_id=2, device_id="d", platform="PC", token=lambda: token(2, 600), watch=[1])
        client = connect(server.url, user_id=1, device_id="d", platform="PC", token=next_token)
        seen: list[str] = []
        async with asyncio.timeout(20), watcher, client:
            async for change in watcher.changes():
                seen.append(change.after.status)
                if seen[-1] == "ONLINE":
                    while len(asked) < 4:  # noqa: ASYNC110 - three ends of a token, by the server's clock
                        await asyncio.sleep(0.05)
                    await client.set_status("BUSY")
                if seen[-1] == "BUSY":
                    break
        # With no grace, a connection that ended would have been seen.
        assert seen[-2:] == ["ONLINE", "BUSY"]
        assert "OFFLINE" not in seen[1:]

    asyncio.run(story())


def test_who_may_not_is_told_so(server: Server) -> None:
    async def story() -> None:
        client = connect(
            server.url, user_id=4, device_id="d", platform="PC", token=lambda: token(3, 600), open_timeout=0
        )
        async with asyncio.timeout(20), client:
            async for state in client.states():
                if state.phase is Phase.CLOSED:
                    assert (state.code, state.problem) == (4403, Problem.FORBIDDEN)
                    return

    asyncio.run(story())


def test_the_browser_sdk_connects_with_a_ticket(server: Server) -> None:
    given = json.dumps({"url": server.url, "userId": 5, "token": token(5, 600)})
    ran = subprocess.run(["node", PEER, given], capture_output=True, text=True, timeout=60, check=False)
    assert ran.returncode == 0, ran.stderr
    told = json.loads(ran.stdout)
    assert told["state"] == "online"
    assert "token" not in told["hello"]
    assert told["url"].startswith(server.ws_url + "?ticket=")
    assert told["again"] == 4401  # a ticket is good once
