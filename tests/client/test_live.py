"""The SDK against the real server, both started as a user would."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Coroutine, Iterator
from contextlib import suppress
from typing import Any

import pytest

from presence_client import Backoff, ConnectionClosed, Kind, Phase, PresenceClient, connect
from support.proxy import run_proxy
from support.server import Server, run_server

QUICK = Backoff(base=0.02, cap=0.1)


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with run_server(grace_period=0.6, ping_interval=0.5, pong_timeout=0.5, min_publish_interval=0) as running:
        yield running


def play(story: Coroutine[Any, Any, None], seconds: float = 20) -> None:
    async def in_time() -> None:
        async with asyncio.timeout(seconds):
            await story
        assert asyncio.all_tasks() == {asyncio.current_task()}, "nothing is left behind"

    asyncio.run(in_time())


async def until(condition: Callable[[], bool], seconds: float = 5) -> None:
    async with asyncio.timeout(seconds):
        while not condition():  # noqa: ASYNC110 - a page would poll as well
            await asyncio.sleep(0.01)


def client_of(url: str, user_id: int, **more: Any) -> PresenceClient:
    return connect(url, user_id=user_id, device_id=f"d{user_id}", platform="PC", backoff=QUICK, **more)


def sees(client: PresenceClient, user_id: int, status: str) -> Callable[[], bool]:
    return lambda: user_id in client.view and client.view[user_id].status == status


@pytest.mark.parametrize("codec", ["json", "msgpack"])
@pytest.mark.parametrize("transport", ["websocket", "rest"])
def test_everything_that_a_client_can_say(server: Server, codec: Any, transport: Any) -> None:
    async def story() -> None:
        async with (
            client_of(server.url, 10, codec=codec, transport=transport, watch=[11]) as ann,
            client_of(server.url, 11, codec=codec, transport=transport) as bob,
        ):
            assert ann.state.kind is Kind(transport)
            await until(sees(ann, 11, "ONLINE"))
            await bob.set_status("BUSY", text="in a meeting")
            await until(sees(ann, 11, "BUSY"))
            assert ann.view[11].status_text == "in a meeting"
            await bob.clear_status()
            await bob.activity(True, 60)
            await until(sees(ann, 11, "AWAY"))
            assert ann.view[11].platforms == ["PC"]
            await bob.set_status("OFFLINE")
            await until(sees(ann, 11, "OFFLINE"))
            await bob.set_status("ONLINE")
            assert [entry.status for entry in await ann.query([11, 12, 11])] == ["ONLINE", "OFFLINE", "ONLINE"]
            await bob.clear_status()
            await ann.watch([12])
            assert ann.view[12].version == 0
            await ann.unwatch([11])
            assert list(ann.view) == [12]
        assert server.status_of(11) == server.status_of(10) == "OFFLINE", "each said bye"

    play(story())


def test_many_users_come_in_parts(server: Server) -> None:
    async def story() -> None:
        async with client_of(server.url, 10, watch=range(1000, 2600)) as client:
            await until(lambda: len(client.view) == 1600)
            await client.watch(range(3000, 4200))
            assert len(client.view) == 2800

    play(story())


def test_after_a_vanished_link_it_resumes_and_nobody_saw_it_go(server: Server) -> None:
    async def story() -> None:
        async with (
            run_proxy(server.port) as proxy,
            client_of(server.url, 21, watch=[20]) as watcher,
            client_of(proxy.url, 20, watch=[22, 23]) as client,
        ):
            await until(sees(watcher, 20, "ONLINE"))
            await until(lambda: not client.view.stale)
            seen = watcher.changes(initial=False)
            changes = client.changes(initial=False)
            proxy.faults.refuse_connections = True
            proxy.cut()
            await until(lambda: client.state.phase is not Phase.ONLINE)
            server.online(22)
            adding = asyncio.create_task(client.watch([24]))
            await asyncio.sleep(0.05)
            proxy.faults.refuse_connections = False
            assert ((await anext(changes)).user_id, client.view[22].status) == (22, "ONLINE")
            await adding
            assert set(client.view) == {22, 23, 24}
            await asyncio.sleep(0.8)
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(anext(seen), 0.01)
        server.post("/offline", {"userId": 22, "deviceId": "rest"})

    play(story())


def test_a_drained_server_is_left_for_the_next() -> None:
    async def story(old: Server) -> None:
        async with run_proxy(old.port) as proxy, client_of(proxy.url, 30, watch=[31]) as client:
            with run_server(grace_period=5) as new:
                new.online(31)
                await until(lambda: not client.view.stale)
                phases: list[Phase] = []

                async def note() -> None:
                    async for state in client.states():
                        phases.append(state.phase)  # noqa: PERF401 - it is looked at meanwhile

                noting = asyncio.create_task(note())
                await asyncio.sleep(0)
                proxy._target_port = new.port
                old.terminate()
                await until(sees(client, 31, "ONLINE"), 12)
                assert new.status_of(30) == "ONLINE"
                await asyncio.to_thread(old.wait)
                assert set(phases) == {Phase.ONLINE}, "never anything but online"
                noting.cancel()
                with suppress(asyncio.CancelledError):
                    await noting
                async with asyncio.timeout(5):
                    await client.query([31])

    # Long enough for its whole spread to lie before its closing.
    with run_server(drain_timeout=6) as old:
        play(story(old))


def test_a_server_that_ends_and_comes_back_elsewhere_is_found_again() -> None:
    async def story() -> None:
        with run_server(drain_timeout=0.2) as first:
            port = first.port
            client = client_of(first.url, 40, watch=[41])
            await client.__aenter__()
            first.terminate()
            await asyncio.to_thread(first.wait)
        await until(lambda: client.state.phase is not Phase.ONLINE)
        assert client.view.stale
        with run_server(port=port) as second:
            second.online(41)
            await until(lambda: sees(client, 41, "ONLINE")() and not client.view.stale)
            assert second.status_of(40) == "ONLINE"
            await client.__aexit__(None, None, None)

    play(story())


def test_a_newer_connection_of_the_device_stops_the_older(server: Server) -> None:
    async def story() -> None:
        async with client_of(server.url, 50) as older, client_of(server.url, 50):
            with pytest.raises(ConnectionClosed) as closed:
                async for _ in older.changes():
                    pass
            assert (closed.value.code, older.state.phase) == (4409, Phase.CLOSED)
            await asyncio.sleep(0.3)
            assert server.status_of(50) == "ONLINE"

    play(story())


def test_a_device_that_the_back_end_ends_stops(server: Server) -> None:
    async def story() -> None:
        async with client_of(server.url, 60) as client:
            await asyncio.to_thread(server.post, "/offline", {"userId": 60, "deviceId": "d60"})
            await until(lambda: client.state.phase is Phase.CLOSED)
            assert client.state.code == 4410

    play(story())


def test_a_quiet_connection_lives_by_the_servers_pings(server: Server) -> None:
    async def story() -> None:
        async with client_of(server.url, 70) as client:
            states = client.states()
            await anext(states)
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(anext(states), 3)

    play(story())


def test_silence_of_a_half_open_link_is_noticed(server: Server) -> None:
    async def story() -> None:
        async with run_proxy(server.port) as proxy, client_of(proxy.url, 71) as client:
            proxy.faults.black_hole = True
            await until(lambda: client.state.phase is not Phase.ONLINE, 5)
            proxy.faults.black_hole = False
            proxy.cut()  # the next try may be in the hole already, and would wait for its timeout
            await client.wait_online()

    play(story())


def test_nothing_leaks_in_a_thousand_cycles(server: Server) -> None:
    async def story() -> None:
        async def cycle(number: int) -> None:
            async with client_of(server.url, 80, watch=[81]) as client:
                if number % 4 == 0:
                    await client.watch([number + 1])
                elif number % 4 == 1:
                    raise KeyError(number)

        async def cancelled(number: int) -> None:
            task = asyncio.create_task(cycle(number))
            await asyncio.sleep(0.0005 * (number % 12))
            task.cancel()
            with suppress(asyncio.CancelledError, KeyError):
                await task

        for number in range(5):
            with suppress(KeyError):
                await cycle(number)
        await asyncio.sleep(0.1)
        before = len(os.listdir("/proc/self/fd"))
        for number in range(1000):
            with suppress(KeyError):
                await (cycle if number % 2 else cancelled)(number)
            assert asyncio.all_tasks() == {asyncio.current_task()}
        await asyncio.sleep(0.1)
        assert len(os.listdir("/proc/self/fd")) == before
        await until(lambda: server.status_of(80) == "OFFLINE")

    play(story(), 60)


def test_nothing_leaks_over_rest_either(server: Server) -> None:
    async def story() -> None:
        before = len(os.listdir("/proc/self/fd"))
        for number in range(20):
            async with client_of(server.url, 85, watch=[86], transport="rest"):
                await asyncio.sleep(0.01 * (number % 3))
            assert asyncio.all_tasks() == {asyncio.current_task()}
        await asyncio.sleep(0.1)
        assert len(os.listdir("/proc/self/fd")) == before

    play(story())
