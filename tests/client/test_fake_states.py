"""What the fake server can be told to do, and that a program sees it: claims that end, limits, refusals."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from datetime import timedelta
from typing import Any

import pytest

from presence_client import Claim, ConnectionClosed, Phase, PresenceClient, Problem, RequestFailed
from presence_client.testing import FakePresenceServer
from presence_protocol.fields import parse_time
from presence_protocol.messages import SetStatus


def play(story: Coroutine[Any, Any, None]) -> None:
    async def in_time() -> None:
        async with asyncio.timeout(10):
            await story
        assert asyncio.all_tasks() == {asyncio.current_task()}, "nothing is left behind"

    asyncio.run(in_time())


async def became(client: PresenceClient, phase: Phase) -> Any:
    async for state in client.states():
        if state.phase is phase:
            return state
    raise AssertionError(phase)


def test_a_meeting_begins_and_ends_while_a_client_watches() -> None:
    async def story() -> None:
        async with (
            FakePresenceServer() as server,
            server.api() as api,
            server.connect(user_id=1, watch=[2]) as ann,
            server.connect(user_id=2) as bob,
        ):
            meeting = Claim(id="m", status="BUSY", text="Standup", begins=timedelta(hours=1), until=timedelta(hours=2))
            await api.set_claims(2, "calendar", [meeting])
            await server.settle()
            assert ann.view[2].status == "ONLINE"
            server.advance(3_601)
            await server.settle()
            assert (ann.view[2].status, ann.view[2].status_text) == ("BUSY", "Standup")
            assert bob.self_view is not None
            assert bob.self_view.status_by is not None
            assert (bob.self_view.status_by.source, bob.self_view.status_by.id) == ("calendar", "m")
            assert bob.self_view.override is None
            server.advance(3_600)
            await server.settle()
            assert (ann.view[2].status, ann.view[2].status_text) == ("ONLINE", None)

    play(story())


def test_what_a_person_forgets_ends_by_itself_and_they_are_told_when() -> None:
    async def story() -> None:
        async with FakePresenceServer(lifetimes={"AWAY": 60}) as server, server.connect(user_id=1) as client:
            for status, seconds in (("BUSY", 86_400), ("AWAY", 60)):
                await client.set_status(status)  # type: ignore[arg-type]
                await server.settle()
                assert client.self_view is not None
                assert client.self_view.override is not None
                until = parse_time(client.self_view.override.until or "")
                assert until is not None
                assert abs(until - server.utc() - seconds) < 5
            server.advance(61)
            await server.settle()
            assert client.self_view.override is None
            assert server.entry(1).status == "ONLINE"
            await client.set_status("OFFLINE")
            await server.settle()
            assert client.self_view.override is not None
            assert client.self_view.override.until is None

    play(story())


def test_a_text_outlives_its_person_and_busy_its_device_not() -> None:
    async def story() -> None:
        async with FakePresenceServer() as server, server.connect(observer=True, watch=[2]) as watcher:
            async with server.connect(user_id=2) as bob:
                await bob.set_status(text="on leave", emoji="🌴", text_until=timedelta(hours=1))
                await bob.activity(False, busy=True)
                await server.settle()
                assert (watcher.view[2].status, watcher.view[2].status_emoji) == ("BUSY", "🌴")
            await server.settle()
            assert (watcher.view[2].status, watcher.view[2].status_text) == ("OFFLINE", "on leave")
            async with server.connect(user_id=2):
                assert server.entry(2).status == "ONLINE"
            server.advance(3_601)
            await server.settle()
            assert watcher.view[2].status_text is None

    play(story())


def test_what_is_said_of_who_is_away_does_not_tell_when_they_were_there() -> None:
    async def story() -> None:
        async with FakePresenceServer() as server, server.api() as api:
            await api.set_claims(3, "call", [Claim(status="BUSY", alone=True, until=timedelta(hours=1))])
            assert (server.entry(3).status, server.entry(3).last_active_time) == ("BUSY", None)
            await api.online(2, "d", "WEB")
            await api.offline(2, "d")
            left_at = server.entry(2).last_active_time
            assert left_at is not None
            server.advance(100)
            await api.set_status(2, text="on leave")
            entry = server.entry(2)
            assert (entry.status_text, entry.last_active_time) == ("on leave", left_at)
            assert (await api.status(2)).last_active_time == left_at

    play(story())


def test_idleness_and_platforms_are_told_where_the_server_tells_them() -> None:
    async def story() -> None:
        async with (
            FakePresenceServer(platform_status=True, show_idle_since=True, platforms=("WEB", "TV")) as server,
            server.connect(observer=True, watch=[2]) as watcher,
            server.connect(user_id=2, device_id="a") as web,
            server.connect(user_id=2, device_id="b", platform="TV") as tv,
        ):
            await web.activity(True, timedelta(minutes=5))
            await server.settle()
            entry = watcher.view[2]
            assert (entry.platforms, entry.platform_status, entry.idle_since) == (
                ["WEB", "TV"],
                {"WEB": "AWAY", "TV": "ONLINE"},
                None,
            )
            await tv.activity(True, timedelta(minutes=1))
            await server.settle()
            idle_since = parse_time(watcher.view[2].idle_since or "")
            assert idle_since is not None
            assert abs(server.utc() - idle_since - 60) < 5
            await tv.set_status("BUSY")
            await server.settle()
            assert watcher.view[2].platform_status == {"WEB": "BUSY", "TV": "BUSY"}

    play(story())


def test_over_a_limit_a_call_is_told_when_to_come_back_and_nothing_is_done() -> None:
    async def story() -> None:
        async with FakePresenceServer() as server, server.connect(user_id=1) as client, server.api() as api:
            server.limit(retry_after=1.5, times=2)
            for call in (lambda: client.set_status("BUSY"), lambda: api.set_status(1, "BUSY")):
                with pytest.raises(RequestFailed) as refused:
                    await call()
                assert (refused.value.code, refused.value.error, refused.value.retry_after) == (
                    429,
                    "too_many_requests",
                    1.5,
                )
            assert server.entry(1).status == "ONLINE"
            await client.set_status("BUSY")

    play(story())


@pytest.mark.parametrize(("code", "problem"), [(4529, Problem.TOO_FAST), (4503, Problem.UNAVAILABLE)])
def test_told_when_to_come_back_it_waits_and_says_why(code: int, problem: Problem) -> None:
    async def story() -> None:
        async with FakePresenceServer() as server, server.connect(user_id=1) as client:
            server.close(code, "slow down", retry_after=60)
            state = await became(client, Phase.WAITING)
            assert (state.code, state.problem) == (code, problem)
            assert state.retry_in >= 60
            client.reconnect_now()
            await client.wait_online()
            assert client.state.problem is None

    play(story())


def test_a_busy_server_lets_in_only_to_say_when_to_come_back() -> None:
    async def story() -> None:
        async with FakePresenceServer() as server:
            server.refuse(4503, retry_after=30)
            async with server.connect(user_id=1, open_timeout=0) as client:
                state = await became(client, Phase.WAITING)
                assert (state.problem, state.retry_in >= 30) == (Problem.UNAVAILABLE, True)
                async with server.api() as api:
                    with pytest.raises(RequestFailed) as refused:
                        await api.status(1)
                    assert (refused.value.code, refused.value.retry_after) == (503, 30)
                server.accept()
                client.reconnect_now()
                await client.wait_online()

    play(story())


def test_who_may_not_is_told_so_and_stops() -> None:
    async def story() -> None:
        async with FakePresenceServer(authenticate=lambda token, user_id: token == "t" or 4403) as server:
            with pytest.raises(ConnectionClosed, match="4403"):
                async with server.connect(user_id=1, token="x"):
                    pass
            async with server.connect(user_id=1, token="t") as client:
                server.close(4403, "withdrawn")
                state = await became(client, Phase.CLOSED)
                assert state.problem is Problem.FORBIDDEN
            async with server.api(token="x") as api:
                with pytest.raises(RequestFailed, match="403 forbidden"):
                    await api.status(1)

    play(story())


def test_a_token_that_ends_is_renewed_in_band_or_ends_the_connection() -> None:
    async def story() -> None:
        given: list[str] = []

        def token() -> str:
            given.append(f"t{len(given)}")
            return given[-1]

        async with (
            FakePresenceServer(authenticate=lambda token, user_id: token is not None) as server,
            server.connect(user_id=1, token=token) as renewing,
            server.connect(user_id=2, token="fixed") as fixed,
        ):
            server.expire(after=0.05)
            state = await became(fixed, Phase.CLOSED)
            assert (state.code, state.problem) == (4401, Problem.SIGNED_OUT)
            assert (renewing.state.phase, given) == (Phase.ONLINE, ["t0", "t1"])

    play(story())


def test_what_the_server_refuses_in_a_status_is_named() -> None:
    async def story() -> None:
        async with FakePresenceServer() as server, server.connect(user_id=1) as client:
            with pytest.raises(RequestFailed, match="until: means nothing without a status"):
                await client.set_status(until=timedelta(hours=1))
            with pytest.raises(RequestFailed, match="until: must be later than now"):
                await client.set_status("BUSY", "2020-01-01T00:00:00Z")
            assert [type(message) for _, message in server.received].count(SetStatus) == 2

    play(story())


def test_a_back_end_ends_a_device() -> None:
    async def story() -> None:
        async with FakePresenceServer() as server, server.connect(user_id=1) as client, server.api() as api:
            await api.offline(1, "device")
            state = await became(client, Phase.CLOSED)
            assert (state.code, state.problem) == (4410, Problem.ENDED)
            assert server.entry(1).status == "OFFLINE"

    play(story())
