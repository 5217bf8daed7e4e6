"""The link over WebSocket, before servers of the tests' own: what it offers, and how it ends."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Awaitable
from contextlib import asynccontextmanager
from email.utils import formatdate
from importlib import metadata
from typing import Any

import pytest
from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.http11 import Request, Response

from presence_client import Backoff, NotConnected, Phase, PresenceClient, connect
from presence_client.websocket_link import check_borrowed
from support.http_stub import answering, response
from support.scripted_link import until

LIMITS = {"pingInterval": 25000, "pongTimeout": 10000, "maxWatched": 9, "maxMessage": 262144, "maxBatch": 9}
WELCOME = {
    "type": "welcome", "sessionId": "s", "serverTime": "2026-01-01T00:00:00Z", "continued": False, "resumed": False,
    "self": None, "limits": LIMITS,
}  # fmt: skip


def play(story: Awaitable[None]) -> None:
    async def bounded() -> None:
        async with asyncio.timeout(20):
            await story

    asyncio.run(bounded())


@asynccontextmanager
async def serving(handler: Any, **options: Any) -> AsyncIterator[str]:
    async with serve(handler, "127.0.0.1", 0, subprotocols=["presence.v1.json"], **options) as server:  # type: ignore[list-item]
        yield url_of(server)


def url_of(server: Server) -> str:
    return f"http://127.0.0.1:{next(iter(server.sockets)).getsockname()[1]}"


def client_of(url: str, **more: Any) -> PresenceClient:
    options: dict[str, Any] = {"codec": "json", "transport": "websocket", "backoff": Backoff(0.01, 0.02)}
    return connect(url, user_id=1, device_id="d", platform="PC", **options | more)


async def welcomed(socket: ServerConnection) -> None:
    await socket.recv()
    await socket.send(json.dumps(WELCOME))


@pytest.mark.parametrize(
    ("frame", "reason"),
    [
        ("x" * (4 * 1024 * 1024 + 1), "the server sent a message of more than 4194304 bytes"),
        ("[" * 1000, "the server sent what is no message"),
        ("{}", "the server sent what is no message"),
    ],
    ids=["too big", "no JSON", "no message"],
)
def test_what_this_side_closes_for_is_named_and_it_comes_back(frame: str, reason: str) -> None:
    async def story() -> None:
        hellos = 0

        async def handler(socket: ServerConnection) -> None:
            nonlocal hellos
            hellos += 1
            await welcomed(socket)
            if hellos == 1:
                await socket.send(frame)
            await socket.wait_closed()

        async with serving(handler) as url, client_of(url) as client:
            reasons: set[str] = set()

            async def look() -> None:
                async for state in client.states():
                    reasons.add(state.reason)

            looking = asyncio.create_task(look())
            await until(lambda: hellos == 2 and client.state.phase is Phase.ONLINE)
            looking.cancel()
            assert any(each.startswith(reason) for each in reasons), reasons

    play(story())


@pytest.mark.parametrize("code", [1002, 1007, 1009])
def test_the_same_codes_from_the_server_stop(code: int) -> None:
    async def story() -> None:
        async def handler(socket: ServerConnection) -> None:
            await welcomed(socket)
            await socket.close(code)

        async with serving(handler) as url, client_of(url) as client:
            await until(lambda: client.state.phase is Phase.CLOSED)
            assert client.state.code == code

    play(story())


def test_it_takes_permessage_deflate_where_the_server_has_it() -> None:
    async def story() -> None:
        taken: list[str | None] = []

        async def handler(socket: ServerConnection) -> None:
            assert socket.response is not None
            taken.append(socket.response.headers.get("Sec-WebSocket-Extensions"))
            await welcomed(socket)
            await socket.wait_closed()

        for compression in ("deflate", None):
            async with serving(handler, compression=compression) as url, client_of(url):
                pass
        with_it, without = taken
        assert with_it is not None
        assert with_it.startswith("permessage-deflate")
        assert without is None

    play(story())


@pytest.mark.parametrize("status", [301, 404, 426, 500, 502])
@pytest.mark.parametrize("transport", ["websocket", "rest", "auto"])
def test_whoever_waits_is_told_with_which_status_it_was_refused(status: int, transport: str) -> None:
    async def story() -> None:
        async with answering(lambda head, body: response(status)) as url:
            client = client_of(url, transport=transport, open_timeout=0.5)
            with pytest.raises(NotConnected, match=f"HTTP {status}") as caught:
                await client.start()
            assert caught.value.status == status

    play(story())


def test_a_date_to_retry_after_counts_from_the_servers_own_time(monkeypatch: pytest.MonkeyPatch) -> None:
    async def story() -> None:
        now = time.time() - 86_400  # the server, or this machine, is a day off

        def refuse(connection: ServerConnection, request: Request) -> Response:
            response = connection.respond(503, "full\n")
            del response.headers["Date"]
            response.headers["Date"] = formatdate(now, usegmt=True)
            response.headers["Retry-After"] = formatdate(now + 7, usegmt=True)
            return response

        async with serving(welcomed, process_request=refuse) as url, client_of(url, open_timeout=0) as client:
            await until(lambda: client.state.phase is Phase.WAITING)
            assert client.state.retry_in is not None
            assert 6 <= client.state.retry_in <= 8

    play(story())


def test_a_version_of_websockets_that_lacks_what_is_overridden_is_refused_by_name() -> None:
    class Connection:
        """What a later version might be."""

    check_borrowed()
    version = metadata.version("websockets")
    with pytest.raises(ImportError, match=rf"^websockets {version} has no Connection\.process_event, which presence_"):
        check_borrowed([(Connection, "process_event")])
