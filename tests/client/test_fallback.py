"""Where WebSockets are blocked: REST takes over by itself, with the same interface, and gives way again."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterator
from typing import Any

import pytest

from presence_client import Backoff, Kind, NotConnected, PresenceClient
from presence_client.address import Address
from presence_client.attempts import Policy
from presence_client.http import Http
from presence_client.http_link import HttpLink
from presence_client.identity import Identity
from presence_client.route import Route
from presence_client.websocket_link import WebSocketLink
from presence_protocol.codec import MSGPACK
from support.proxy import run_proxy
from support.server import Server, free_port, run_server


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with run_server(grace_period=0.6, heartbeat_interval=1, min_publish_interval=0) as running:
        yield running


def play(story: Coroutine[Any, Any, None]) -> None:
    async def in_time() -> None:
        async with asyncio.timeout(20):
            await story
        assert asyncio.all_tasks() == {asyncio.current_task()}

    asyncio.run(in_time())


async def until(condition: Callable[[], bool], seconds: float = 5) -> None:
    async with asyncio.timeout(seconds):
        while not condition():  # noqa: ASYNC110 - a page would poll as well
            await asyncio.sleep(0.01)


def client_of(url: str, user_id: int, upgrade: float = 60, **more: Any) -> PresenceClient:
    """As `connect` makes one, but it tries WebSocket again after `upgrade` seconds."""
    route = Route(Address.parse(url))
    return PresenceClient(
        Identity(user_id, f"d{user_id}", "PC"),
        lambda kind, token: HttpLink(Http(route), token) if kind is Kind.REST else WebSocketLink(route, MSGPACK),
        policy=Policy(Backoff(0.02, 0.1), upgrade=Backoff(upgrade, upgrade)),
        **more,
    )


def kind_of(client: PresenceClient) -> Kind | None:
    return client.state.kind


@pytest.mark.parametrize("status", [403, 502])
def test_refused_upgrades_lead_to_rest(server: Server, status: int) -> None:
    async def story() -> None:
        async with run_proxy(server.port) as proxy:
            proxy.faults.refuse_upgrades = status
            async with client_of(proxy.url, 10, watch=[11]) as client:
                assert (client.state.kind, proxy.upgrades) == (Kind.REST, 3)
                assert server.status_of(10) == "ONLINE"
                changes = client.changes(initial=False)
                server.online(11)
                assert (await anext(changes)).status == "ONLINE"
                await client.set_status("BUSY")
                assert server.status_of(10) == "BUSY"
                await client.clear_status()
                await client.watch([12, 13])
                assert set(client.view) == {11, 12, 13}
                assert not client.view.stale
                # Longer than a REST device lives without a heartbeat.
                await asyncio.sleep(3)
                assert server.status_of(10) == "ONLINE"
                assert proxy.upgrades == 3
            assert server.status_of(10) == "OFFLINE"
        server.post("/offline", {"userId": 11, "deviceId": "rest"})

    play(story())


def test_when_websockets_work_again_it_moves_and_nobody_sees_it(server: Server) -> None:
    async def story() -> None:
        async with run_proxy(server.port) as proxy, client_of(server.url, 21, watch=[20]) as watcher:
            proxy.faults.refuse_upgrades = 502
            async with client_of(proxy.url, 20, upgrade=0.2, watch=[22]) as client:
                await until(lambda: 20 in watcher.view and watcher.view[20].status == "ONLINE")
                seen = watcher.changes(initial=False)
                await asyncio.sleep(0.5)
                assert client.state.kind is Kind.REST
                assert proxy.upgrades > 3
                proxy.faults.refuse_upgrades = 0
                await until(lambda: client.state.kind is Kind.WEBSOCKET)
                server.online(22)
                await until(lambda: client.view[22].status == "ONLINE")
                assert client.self_view is not None
                await asyncio.sleep(3)
                assert server.status_of(20) == "ONLINE"
                with pytest.raises(TimeoutError):
                    await asyncio.wait_for(anext(seen), 0.01)
        server.post("/offline", {"userId": 22, "deviceId": "rest"})

    play(story())


def test_a_websocket_that_is_lost_where_no_new_one_is_let_through_goes_on_by_its_cursor(server: Server) -> None:
    async def story() -> None:
        async with run_proxy(server.port) as proxy, client_of(proxy.url, 30, watch=[31, 32]) as client:
            await until(lambda: not client.view.stale)
            assert kind_of(client) is Kind.WEBSOCKET
            changes = client.changes(initial=False)
            proxy.faults.refuse_upgrades = 403
            proxy.cut()
            server.online(32)
            change = await anext(changes)
            assert (change.user_id, change.status) == (32, "ONLINE")
            await until(lambda: not client.view.stale)
            assert kind_of(client) is Kind.REST
            assert server.status_of(30) == "ONLINE"
        server.post("/offline", {"userId": 32, "deviceId": "rest"})

    play(story())


def test_a_poll_that_is_cut_off_is_asked_again(server: Server) -> None:
    async def story() -> None:
        async with run_proxy(server.port) as proxy:
            proxy.faults.refuse_upgrades = 502
            async with client_of(proxy.url, 40, watch=[41]) as client:
                await until(lambda: not client.view.stale)
                await asyncio.sleep(0.4)
                proxy.cut()
                server.online(41)
                await until(lambda: client.view[41].status == "ONLINE")
                await until(lambda: not client.view.stale)
        server.post("/offline", {"userId": 41, "deviceId": "rest"})

    play(story())


def test_a_server_that_is_down_is_tried_over_websocket_only() -> None:
    async def story() -> None:
        tried: list[Kind] = []
        route = Route(Address.parse(f"http://127.0.0.1:{free_port()}"))

        def links(kind: Kind, token: str | None) -> WebSocketLink:
            tried.append(kind)
            return WebSocketLink(route, MSGPACK)

        policy = Policy(Backoff(0.02, 0.1))
        client = PresenceClient(Identity(50, "d", "PC"), links, policy=policy, open_timeout=0.5)
        with pytest.raises(NotConnected, match="Connection refused"):
            await client.__aenter__()
        assert len(tried) > 3
        assert set(tried) == {Kind.WEBSOCKET}

    play(story())
