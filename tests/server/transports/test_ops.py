"""Health, readiness and metrics, as whoever runs the server sees them."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any, cast

import pytest

from presence_server import __version__
from presence_server.transports.operations import Operations
from support.client import Client
from support.rest import Rest
from support.server import run_server


@pytest.fixture(scope="module")
def rest() -> Iterator[Rest]:
    with run_server() as server:
        yield Rest(server)


def test_healthz(rest: Rest) -> None:
    answer = rest.get("//healthz")
    assert (answer.status, answer.json) == (200, {"status": "ok", "version": __version__})
    assert answer.headers["Cache-Control"] == "no-store"


def test_readyz(rest: Rest) -> None:
    answer = rest.get("//readyz")
    assert (answer.status, answer.json) == (200, {"status": "ready"})


def test_readyz_of_a_full_server() -> None:
    gateway = SimpleNamespace(
        hub=SimpleNamespace(is_draining=False, engine=SimpleNamespace(is_reachable=True)), has_room=lambda: False
    )
    operations = Operations(cast("Any", gateway), __version__)
    answer = asyncio.run(operations.readyz(cast("Any", None)))
    assert (answer.status_code, answer.body) == (503, b'{"status":"full"}')
    assert answer.headers["retry-after"] == "5"


def test_a_draining_server_is_alive_not_ready_and_serves_reads_to_the_end() -> None:
    async def story() -> None:
        client = await Client.hello(server, 1)
        server.terminate()
        await client.receive("reconnect")
        answer = rest.get("//readyz")
        assert (answer.status, answer.json) == (503, {"status": "draining"})
        assert int(answer.headers["Retry-After"]) > 0
        assert rest.get("//healthz").status == 200
        assert server.metric("presence_draining") == 1
        assert rest.status_of(1) == "ONLINE"
        assert rest.post("/heartbeat", {"userId": 2, "deviceId": "rest"}).status == 200
        refused = rest.online(3)
        assert (refused.status, refused.data["error"]) == (503, "unavailable")
        assert rest.put(1, status="BUSY").status == 503
        assert rest.call("DELETE", "/status/1").status == 503
        cursor = rest.post("/changes", {"userIds": [1]}).data["cursor"]
        started = time.monotonic()
        waited = rest.post("/changes", {"userIds": [1], "cursor": cursor, "waitMs": 20_000})
        assert (waited.data["changes"], waited.data["resumed"]) == ([], True)
        assert time.monotonic() - started < 5
        assert rest.offline(2).status == 200
        await client.close()

    with run_server(drain_timeout=20) as server:
        rest = Rest(server)
        rest.online(2)
        asyncio.run(story())
        assert server.wait() == 0
