"""The Python SDK through the proxies of docs/operations.md: TLS in front, the server below a path."""

from __future__ import annotations

import asyncio
import json
import re
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from presence_client import Phase, PresenceApi, connect
from presence_protocol.limits import MAX_WAIT
from presence_server.settings import Settings
from support.proxies import IDLE, NAMES, block, run_block
from support.server import BASE, Server, run_server
from support.tls import Authority


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with run_server(root_path="/presence", trusted_proxies="127.0.0.1", ping_interval=0.5) as running:
        yield running


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("tls"))


@pytest.fixture(scope="module", params=NAMES)
def proxied(
    request: pytest.FixtureRequest, server: Server, authority: Authority, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[str]:
    with run_block(request.param, server.port, tmp_path_factory.mktemp(request.param), authority) as url:
        yield url


def fetch(url: str, authority: Authority, body: Any = None, **headers: str) -> Any:
    """The answer to a request through the proxy: status, headers, text."""
    data = None if body is None else json.dumps(body).encode()
    asked = urllib.request.Request(url, data, {"Content-Type": "application/json"} | headers)
    opener = urllib.request.build_opener(
        urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=authority.client())
    )
    with opener.open(asked, timeout=20) as answer:
        return answer.status, answer.headers, answer.url, answer.read().decode()


@pytest.mark.parametrize("transport", ["websocket", "rest"])
def test_the_python_sdk_comes_through(proxied: str, authority: Authority, transport: Any) -> None:
    async def story() -> None:
        who: dict[str, Any] = {"device_id": transport, "platform": "PC", "ssl": authority.client()}
        async with asyncio.timeout(20), connect(proxied, user_id=900, watch=[901], **who) as watcher:
            await watcher.wait_online()
            async with connect(proxied, user_id=901, transport=transport, **who) as client:
                await client.wait_online()
                async for change in watcher.changes():
                    if change.after.user_id == 901 and change.after.status == "ONLINE":
                        break
        async with PresenceApi(proxied, ssl=authority.client()) as api:
            assert (await api.status(901)).status == "OFFLINE"

    asyncio.run(story())


def test_the_page_and_all_that_it_names_are_there(proxied: str, authority: Authority) -> None:
    _, _, url, page = fetch(proxied, authority)
    assert url == f"{proxied}/"
    for path in {*re.findall(r'(?:src|href)="(\w[^":]+)"', page), "docs", "sdk/client.js", "healthz"}:
        assert fetch(f"{proxied}/{path}", authority)[0] == 200, path
    document = json.loads(fetch(f"{proxied}/openapi.json", authority)[3])
    below = document["servers"][0]["url"]
    (path,) = [path for path in document["paths"] if path.endswith("/status/batch")]
    origin = proxied.removesuffix("/presence")
    assert fetch(origin + below + path, authority, {"userIds": [1]}, Origin=origin)[0] == 200


def test_a_stranger_behind_the_proxy_is_a_stranger(authority: Authority, tmp_path: Path) -> None:
    """The proxy tells the client's address, and the server judges by it."""
    with (
        run_server(root_path="/presence", trusted_proxies="127.0.0.1", trusted_networks="10.0.0.0/8") as server,
        run_block("nginx", server.port, tmp_path, authority) as url,
        pytest.raises(urllib.error.HTTPError, match="401"),
    ):
        fetch(f"{url}{BASE}/status/1", authority)


@pytest.mark.parametrize("name", NAMES)
def test_a_silent_connection_outlives_the_idle_time_by_the_servers_pings(
    name: str, server: Server, authority: Authority, tmp_path: Path
) -> None:
    """In the blocks it is longer than any pause that the server makes; here both are shorter by the same."""
    seconds = float(IDLE.rstrip("s"))
    usual = Settings()
    assert seconds > usual.ping_interval + usual.pong_timeout
    assert seconds > MAX_WAIT / 1000
    assert IDLE in block(name) or name == "caddy"

    async def story(url: str) -> None:
        phases: list[Phase] = []
        async with connect(url, user_id=910, device_id=name, platform="PC", ssl=authority.client()) as client:

            async def listen() -> None:
                async for state in client.states():
                    phases.append(state.phase)  # noqa: PERF401 - as they come

            listening = asyncio.ensure_future(listen())
            await client.wait_online()
            await asyncio.sleep(3.5)
            await client.query([910])
            listening.cancel()
        assert phases[-1] is Phase.ONLINE
        assert phases.count(Phase.ONLINE) == 1, "it had to connect anew"

    with run_block(name, server.port, tmp_path, authority, idle="2s") as url:
        asyncio.run(story(url))
