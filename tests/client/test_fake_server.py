"""The SDK over the public fake server: what a program sees, and what users' own tests can make happen."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from presence_client import (
    Change,
    ConnectionClosed,
    Kind,
    NotConnected,
    Phase,
    PresenceClient,
    RequestFailed,
    RequestTimedOut,
)
from presence_client.testing import FakePresenceServer
from presence_protocol.messages import Auth, Hello, SetStatus, Watch


def play(story: Coroutine[Any, Any, None]) -> None:
    async def in_time() -> None:
        async with asyncio.timeout(10):
            await story
        assert asyncio.all_tasks() == {asyncio.current_task()}, "nothing is left behind"

    asyncio.run(in_time())


async def online(client: PresenceClient) -> None:
    async for state in client.states():
        if state.phase is Phase.ONLINE and not client.view.stale:
            return


def said(server: FakePresenceServer, kind: type) -> list[Any]:
    return [message for _, message in server.received if isinstance(message, kind)]


@pytest.mark.parametrize("codec", ["json", "msgpack"])
def test_watch_change_and_leave(codec: Any) -> None:
    async def story() -> None:
        async with FakePresenceServer() as server:
            async with server.connect(user_id=1, codec=codec) as client:
                assert (client.state.phase, client.state.kind) == (Phase.ONLINE, Kind.WEBSOCKET)
                await client.watch([2, 3])
                assert {user_id: entry.status for user_id, entry in client.view.items()} == {2: "OFFLINE", 3: "OFFLINE"}
                assert not client.view.stale
                assert client.view.stale_since is None
                changes = client.changes(initial=False)
                server.set(2, "BUSY", platforms=["IOS", "PC"], text="in a meeting")
                change = await anext(changes)
                assert (change.user_id, change.status, change.text) == (2, "BUSY", "in a meeting")
                assert change.platforms == ["IOS", "PC"]
                assert change.before is not None
                assert change.before.status == "OFFLINE"
                assert client.view[2].status == "BUSY"
                assert server.entry(1).status == "ONLINE"
            assert server.entry(1).status == "OFFLINE", "bye is at once"
            assert server.connections == 0

    play(story())


def test_two_clients_see_each_other() -> None:
    async def story() -> None:
        async with (
            FakePresenceServer() as server,
            server.connect(user_id=1, watch=[2]) as ann,
            server.connect(user_id=2, platform="IOS") as bob,
        ):
            await bob.set_status("AWAY", text="lunch", until=timedelta(hours=1))
            await server.settle()
            assert (ann.view[2].status, ann.view[2].status_text) == ("AWAY", "lunch")
            assert bob.self_view is not None
            assert bob.self_view.override is not None
            assert bob.self_view.override.until is not None
            await bob.clear_status()
            await bob.activity(True, timedelta(minutes=5))
            await server.settle()
            assert (ann.view[2].status, ann.view[2].platforms) == ("AWAY", ["IOS"])
            await bob.set_status("OFFLINE")
            await server.settle()
            assert ann.view[2].status == "OFFLINE"
            assert bob.self_view.override.status == "OFFLINE"
            assert [entry.status for entry in await ann.query([1, 2, 1])] == ["ONLINE", "OFFLINE", "ONLINE"]
            asked = [1, 2] * 500
            assert [entry.user_id for entry in await ann.query(asked)] == asked, "which comes in parts"

    play(story())


def test_a_dropped_link_is_taken_up_and_what_happened_meanwhile_is_caught_up() -> None:
    async def story() -> None:
        async with FakePresenceServer(grace_period=5) as server, server.connect(user_id=1, watch=[2]) as client:
            states = client.states()
            await anext(states)
            changes = client.changes(initial=False)
            server.refuse(502)
            server.cut()
            assert (await anext(states)).phase is Phase.WAITING
            assert client.view.stale
            assert client.view.stale_since is not None
            assert abs(datetime.now(UTC) - client.view.stale_since) < timedelta(seconds=5)
            assert client.view[2].status == "OFFLINE", "stale, but not gone"
            server.set(2, "AWAY")
            server.set(2, "BUSY")
            watched = asyncio.create_task(client.watch(3))
            await asyncio.sleep(0)
            server.accept()
            await online(client)
            assert [change.status async for change in _first(changes, 1)] == ["BUSY"], "net changes, not a log"
            await watched
            assert client.view[3].status == "OFFLINE"
            again = said(server, Hello)[-1]
            assert (again.watch, again.cursor) == ([2], "1.1")
            assert said(server, Watch)[-1].user_ids == [3], "added while offline: no cursor speaks for them"
            assert server.entry(1).status == "ONLINE"

    play(story())


async def _first(changes: Any, count: int) -> Any:
    for _ in range(count):
        yield await anext(changes)


def test_a_server_that_forgot_everything_is_believed() -> None:
    async def story() -> None:
        async with FakePresenceServer() as server:
            server.set(2, "BUSY")
            async with server.connect(user_id=1, watch=[2]) as client:
                await server.settle()
                server.forget()
                server.cut()
                server.set(2, "AWAY")
                changes = client.changes(initial=False)
                assert (await anext(changes)).status == "AWAY"

    play(story())


def test_a_slow_consumer_sees_the_last_value_of_each() -> None:
    async def story() -> None:
        async with FakePresenceServer() as server, server.connect(observer=True, watch=[2, 3]) as client:
            await server.settle()
            changes = client.changes(initial=False)
            for number in range(50):
                server.set(2, "BUSY", text=str(number))
                server.set(3, "AWAY" if number % 2 else "ONLINE")
            await server.settle()
            first, second = await anext(changes), await anext(changes)
            assert (first.user_id, first.text, second.user_id, second.status) == (2, "49", 3, "AWAY")
            assert first.before is not None
            assert first.before.status == "OFFLINE"
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(anext(changes), 0.01)

    play(story())


def test_changes_begin_with_what_is_known() -> None:
    async def story() -> None:
        async with FakePresenceServer() as server:
            server.set(2, "BUSY")
            async with server.connect(observer=True) as client:
                await client.watch([2])
                async for change in client.changes():
                    assert change == Change(None, server.entry(2))
                    break
                await client.unwatch(2)
                assert dict(client.view) == {}
                assert server.watchers(2) == 0

    play(story())


def test_streams_end_with_the_client() -> None:
    async def story() -> None:
        async with FakePresenceServer() as server:
            async with server.connect(user_id=1) as client:
                changes, states = client.changes(), client.states()
                reading = asyncio.create_task(_all(changes))
            assert await reading == []
            assert [state.phase async for state in states] == [Phase.CLOSED]

    play(story())


async def _all(stream: Any) -> list[Any]:
    return [each async for each in stream]


def test_a_replaced_client_stops_and_says_why() -> None:
    async def story() -> None:
        async with (
            FakePresenceServer() as server,
            server.connect(user_id=1) as older,
            server.connect(user_id=1),
        ):
            with pytest.raises(ConnectionClosed, match="give each its own device_id") as closed:
                async for _ in older.changes():
                    pass
            assert (closed.value.code, older.state.phase) == (4409, Phase.CLOSED)
            with pytest.raises(ConnectionClosed):
                await older.watch([5])
            await asyncio.sleep(0.1)
            assert server.connections == 1, "it does not come back"

    play(story())


def test_a_token_callback_is_asked_once_more() -> None:
    async def story() -> None:
        given: list[str] = []

        async def token() -> str:
            given.append("fresh" if given else "expired")
            return given[-1]

        async with (
            FakePresenceServer(authenticate=lambda token, user_id: token == "fresh") as server,
            server.connect(user_id=1, token=token) as client,
        ):
            assert client.state.phase is Phase.ONLINE
            assert given == ["expired", "fresh"]

    play(story())


def test_tokens_that_are_never_taken_stop_the_client() -> None:
    async def story() -> None:
        given: list[str] = []

        def token() -> str:
            given.append("expired")
            return "expired"

        async with FakePresenceServer(authenticate=lambda token, user_id: False) as server:
            with pytest.raises(ConnectionClosed, match="4401"):
                async with server.connect(user_id=1, token=token):
                    pass
            assert len(given) == 2
            with pytest.raises(ConnectionClosed, match="4401"):
                async with server.connect(user_id=1, token="x"):
                    pass

    play(story())


def test_a_token_callback_that_fails_is_asked_again_later() -> None:
    async def story() -> None:
        tries: list[int] = []

        def token() -> str:
            tries.append(1)
            if len(tries) < 3:
                raise OSError("no network")
            return "t"

        async with FakePresenceServer() as server, server.connect(user_id=1, token=token):
            assert len(tries) == 3

    play(story())


def test_a_drained_server_is_left_without_a_gap() -> None:
    async def story() -> None:
        async with FakePresenceServer() as server, server.connect(user_id=1, watch=[2]) as client:
            await server.settle()
            phases = []

            async def watch_states() -> None:
                async for state in client.states():
                    phases.append(state.phase)  # noqa: PERF401 - it is looked at meanwhile

            watching = asyncio.create_task(watch_states())
            server.drain(after=0.01)
            await asyncio.sleep(0.05)
            await server.settle()
            assert len(said(server, Hello)) == 2
            assert server.connections == 1
            server.set(2, "BUSY")
            await server.settle()
            assert client.view[2].status == "BUSY"
            assert set(phases) == {Phase.ONLINE}
            watching.cancel()
            with suppress(asyncio.CancelledError):
                await watching

    play(story())


def test_while_nobody_else_lets_it_in_it_keeps_the_draining_server() -> None:
    async def story() -> None:
        async with FakePresenceServer() as server, server.connect(user_id=1, watch=[2]) as client:
            server.refuse(503, retry_after=0)
            server.drain()
            await asyncio.sleep(0.1)
            server.set(2, "BUSY")
            await server.settle()
            assert (client.state.phase, client.view[2].status) == (Phase.ONLINE, "BUSY")
            server.accept()
            await asyncio.sleep(0.2)
            assert len(said(server, Hello)) == 2

    play(story())


def test_a_half_open_link_is_noticed() -> None:
    async def story() -> None:
        async with (
            FakePresenceServer(ping_interval=0.01, pong_timeout=0.05) as server,
            server.connect(user_id=1) as client,
        ):
            server.is_deaf = True
            states = client.states()
            async for state in states:
                if state.phase is Phase.WAITING:
                    break
            assert state.reason == "no answer to ping"
            server.is_deaf = False
            await client.wait_online()

    play(story())


def test_what_is_asked_while_disconnected_waits_or_says_why() -> None:
    async def story() -> None:
        async with FakePresenceServer() as server, server.connect(user_id=1) as client:
            server.refuse(502)
            server.cut()
            async for state in client.states():
                if state.phase is Phase.WAITING and state.reason == "HTTP 502":
                    break
            with pytest.raises(NotConnected, match="last try: HTTP 502"):
                await client.set_status("BUSY", timeout=0.02)
            query = asyncio.create_task(client.query([1]))
            status = asyncio.create_task(client.set_status("AWAY"))
            await asyncio.sleep(0.02)
            server.accept()
            assert (await query)[0].user_id == 1
            await status
            assert [message.status for message in said(server, SetStatus)] == ["AWAY"], "BUSY was withdrawn"

    play(story())


def test_a_reply_that_never_comes() -> None:
    async def story() -> None:
        async with FakePresenceServer() as server, server.connect(user_id=1) as client:
            server.is_deaf = True
            with pytest.raises(RequestTimedOut):
                await client.query([1], timeout=0.02)
            pending = asyncio.create_task(client.set_status("BUSY"))
            await asyncio.sleep(0.01)
            server.is_deaf = False
            server.cut()
            with pytest.raises(ConnectionClosed, match="ask again"):
                await pending
            await client.wait_online()
            await server.settle()
            assert said(server, SetStatus) == [], "never replayed"

    play(story())


def test_a_refusal_names_its_reason() -> None:
    async def story() -> None:
        async with FakePresenceServer(max_watched=1) as server, server.connect(observer=True) as client:
            with pytest.raises(RequestFailed, match="too_many_watched"):
                await client.watch([1, 2])
            assert client.view.watched == frozenset()
            with pytest.raises(RequestFailed) as refused:
                await client.set_status("BUSY")
            assert (refused.value.code, refused.value.error) == (403, "forbidden")

    play(story())


def test_slow_messages_arrive_in_order() -> None:
    async def story() -> None:
        async with FakePresenceServer() as server:
            server.delay(0.02)
            async with server.connect(user_id=1, watch=[2]) as client:
                server.set(2, "AWAY")
                server.delay(0)
                server.set(2, "BUSY")
                await server.settle()
                assert client.view[2].status == "BUSY"

    play(story())


def test_entering_gives_up_in_time_and_need_not_wait_at_all() -> None:
    async def story() -> None:
        async with FakePresenceServer() as server:
            server.refuse(503)
            with pytest.raises(NotConnected, match="HTTP 503"):
                async with server.connect(user_id=1, open_timeout=0.1):
                    pass
            async with server.connect(user_id=1, open_timeout=0) as client:
                assert client.state.phase is Phase.CONNECTING
                server.accept()
                await client.wait_online()

    play(story())


def test_to_cancel_is_to_leave_with_a_bye() -> None:
    async def story() -> None:
        async with FakePresenceServer(grace_period=60) as server:

            async def stay() -> None:
                async with server.connect(user_id=1) as client:
                    await client.query([2])
                    await asyncio.Event().wait()

            task = asyncio.create_task(stay())
            async with server.connect(observer=True, watch=[1]) as watcher:
                async for change in watcher.changes():
                    if change.status == "ONLINE":
                        break
            await server.settle()
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            assert server.entry(1).status == "OFFLINE"

    play(story())


@pytest.mark.parametrize("steps", range(0, 40, 3))
def test_to_cancel_at_any_moment_leaves_nothing_behind(steps: int) -> None:
    async def story() -> None:
        async with FakePresenceServer() as server:

            async def stay() -> None:
                async with server.connect(user_id=1, watch=[2]) as client:
                    await client.watch([3])
                    await client.set_status("BUSY")

            task = asyncio.create_task(stay())
            for _ in range(steps):
                await asyncio.sleep(0)
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task
            await server.settle()
            assert server.connections == 0

    play(story())


def test_a_call_that_is_cancelled_before_it_was_sent_is_not_sent() -> None:
    async def story() -> None:
        async with FakePresenceServer() as server, server.connect(user_id=1) as client:
            server.refuse()
            server.cut()
            await asyncio.sleep(0.01)
            call = asyncio.create_task(client.set_status("BUSY"))
            await asyncio.sleep(0)
            call.cancel()
            with suppress(asyncio.CancelledError):
                await call
            server.accept()
            await client.wait_online()
            await server.settle()
            assert said(server, SetStatus) == []

    play(story())


def test_wrong_arguments_are_named() -> None:
    async def story() -> None:
        async with FakePresenceServer() as server:
            for arguments, reason in [
                ({"user_id": 0}, "user_id must be an integer from 1"),
                ({"user_id": 1, "device_id": "x" * 129}, "device_id must be a string of 1 to 128"),
                ({"user_id": 1, "platform": "web"}, "platform must be a name of 1 to 24 capital letters"),
                ({"observer": True, "user_id": 1}, "an observer has no user"),
                ({"user_id": 1, "status": "GONE"}, "status must be one of"),
                ({"user_id": 1, "watch": [1, -1]}, r"watch\[1\] must be an integer"),
                ({}, "user_id, device_id and platform are required"),
            ]:
                with pytest.raises(ValueError, match=reason):
                    server.connect(**arguments)  # type: ignore[arg-type]
            async with server.connect(user_id=1) as client:
                with pytest.raises(ValueError, match=r"user_ids\[1\] must be an integer .* not True"):
                    await client.watch([1, True])
                with pytest.raises(ValueError, match="text must be a string of at most 140"):
                    await client.set_status("BUSY", text="x" * 141)
                with pytest.raises(ValueError, match="until must have a time zone"):
                    await client.set_status("BUSY", until=datetime(2030, 1, 1))  # noqa: DTZ001
                with pytest.raises(ValueError, match="until must be a time"):
                    await client.set_status("BUSY", until="tomorrow")
                with pytest.raises(ValueError, match="idle_for must be from 0"):
                    await client.activity(True, -1)
            with pytest.raises(RuntimeError, match="entered once"):
                await client.__aenter__()
            with pytest.raises(RuntimeError, match="inside `async with"):
                server.connect(user_id=1).changes()

    play(story())


async def _renewed(tokens: list[str], *, is_good: bool) -> tuple[list[str], list[str], int]:
    """What is asked of a client whose token ends: the messages that renew it, and the hellos."""
    async with FakePresenceServer(authenticate=lambda token, _: token in ("t1", "t2")) as server:
        given = iter(tokens)
        async with server.connect(user_id=1, token=lambda: next(given)) as client:
            server.expire(0.2)
            await server.settle()
            async with asyncio.timeout(10):
                while not is_good and len(said(server, Hello)) < 2:  # noqa: ASYNC110 - the server has no event for it
                    await asyncio.sleep(0.01)
            assert client.state.phase is Phase.ONLINE or not is_good
            hellos = [message.token for message in said(server, Hello)]
            return [message.token for message in said(server, Auth)], hellos, server.connections


def test_a_token_that_ends_is_replaced_over_the_same_connection() -> None:
    assert asyncio.run(_renewed(["t1", "t2"], is_good=True)) == (["t2"], ["t1"], 1)


def test_a_new_token_that_is_refused_leads_to_another_connection() -> None:
    renewals, hellos, _ = asyncio.run(_renewed(["t1", "bad", "t2"], is_good=False))
    assert (renewals, hellos) == (["bad"], ["t1", "t2"])
