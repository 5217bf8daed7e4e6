"""Every call in every state of the connection: carried out, or refused with an error of ours and nothing sent."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from presence_client import (
    ConnectionClosed,
    NotConnected,
    Phase,
    PresenceClient,
    PresenceError,
    RequestTimedOut,
    SignedOut,
    UsageError,
)
from presence_client.testing import FakePresenceServer
from presence_protocol.messages import (
    Activity,
    Bye,
    Hello,
    Ok,
    Query,
    SetStatus,
    Snapshot,
    StatusEntry,
    Statuses,
    Unwatch,
    Watch,
)
from support.scripted_link import Scripted, ScriptedLink, until, welcome

Call = Callable[[PresenceClient], Awaitable[Any]]

CALLS: dict[str, Call] = {
    "set_status": lambda client: client.set_status("BUSY"),
    "clear_status": lambda client: client.clear_status(),
    "activity": lambda client: client.activity(True),
    "query": lambda client: client.query([2]),
    "watch": lambda client: client.watch([3]),
    "unwatch": lambda client: client.unwatch([9]),
}
"""Each of them says something to the server; 9 is watched from the start."""

EVERY_CALL = pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)


def play(story: Awaitable[None]) -> None:
    async def bounded() -> None:
        async with asyncio.timeout(20):
            await story

    asyncio.run(bounded())


def answer(link: ScriptedLink, *, since: int = 0) -> None:
    """Answer what was said on this link from the message number `since` on."""
    for message in link.said[since:]:
        match message:
            case Watch(id=id, user_ids=ids):
                link.say(Snapshot(id=id, statuses=[StatusEntry(each, "ONLINE", ["WEB"], None, 1) for each in ids]))
            case Query(id=id):
                link.say(Statuses(id=id, statuses=[]))
            case SetStatus(id=id) | Activity(id=id) | Unwatch(id=id):
                link.say(Ok(id=id))


def is_told(link: ScriptedLink) -> bool:
    """Whether the server was told what any of the calls says."""
    hello = next(message for message in link.said if isinstance(message, Hello))
    in_hello = hello.idle or 3 in (hello.watch or ()) or 9 not in (hello.watch or ())
    return in_hello or any(isinstance(message, SetStatus | Activity | Query | Watch | Unwatch) for message in link.said)


async def call_at(scripted: Scripted, call: Call) -> tuple[asyncio.Task[Any], bool]:
    """Begin a call. Returns whether it was done before anything more happened."""
    task = asyncio.create_task(call(scripted.client))  # type: ignore[arg-type]
    await asyncio.sleep(0.005)
    return task, task.done()


@EVERY_CALL
def test_before_the_link_is_there_it_waits_and_is_told(call: Call) -> None:
    async def story() -> None:
        scripted = Scripted(watch=[9], token=lambda: asyncio.sleep(0.02, "t"))
        async with scripted.client:
            task, was_done = await call_at(scripted, call)
            link = await scripted.online()
            link.say(Snapshot(statuses=[], cursor="c"))
            answer(link)
            await task
            assert is_told(link)
            assert not was_done or 9 not in (link.said[0].watch or ())  # type: ignore[union-attr]

    play(story())


@EVERY_CALL
def test_between_hello_and_welcome_it_waits_and_is_told(call: Call) -> None:
    async def story() -> None:
        scripted = Scripted(watch=[9])
        async with scripted.client:
            link = await scripted.greeted()
            task, was_done = await call_at(scripted, call)
            assert not was_done, "nobody was told anything"
            link.say(welcome(), Snapshot(statuses=[], cursor="c"))
            assert any(isinstance(message, SetStatus | Activity | Query | Watch | Unwatch) for message in link.said)
            answer(link)
            await task

    play(story())


@EVERY_CALL
def test_between_hello_and_a_welcome_that_does_not_come_it_is_told_later(call: Call) -> None:
    async def story() -> None:
        scripted = Scripted(watch=[9])
        async with scripted.client:
            link = await scripted.greeted()
            task, _ = await call_at(scripted, call)
            link.end()
            link = await scripted.online(2)
            link.say(Snapshot(statuses=[], cursor="c"))
            answer(link)
            await task
            assert is_told(link)

    play(story())


@EVERY_CALL
def test_online_it_is_sent_at_once(call: Call) -> None:
    async def story() -> None:
        scripted = Scripted(watch=[9])
        async with scripted.client:
            link = await scripted.online()
            link.say(Snapshot(statuses=[], cursor="c"))
            task, was_done = await call_at(scripted, call)
            assert not was_done
            assert len(link.said) == 2
            answer(link)
            await task

    play(story())


@EVERY_CALL
def test_online_without_an_answer_it_says_so(call: Call) -> None:
    async def story() -> None:
        scripted = Scripted(watch=[9])
        async with scripted.client:
            (await scripted.online()).say(Snapshot(statuses=[], cursor="c"))
            with pytest.raises(RequestTimedOut):
                await call(scripted.client)

    play(story())


@EVERY_CALL
def test_while_waiting_it_is_told_over_the_next_connection(call: Call) -> None:
    async def story() -> None:
        scripted = Scripted(watch=[9])
        async with scripted.client:
            (await scripted.online()).end()
            await until(lambda: scripted.client.state.phase is Phase.WAITING)
            task = asyncio.create_task(call(scripted.client))  # type: ignore[arg-type]
            link = await scripted.online(2)
            link.say(Snapshot(statuses=[], cursor="c"))
            answer(link)
            await task
            assert is_told(link)

    play(story())


@EVERY_CALL
def test_without_any_connection_it_says_so_in_time(call: Call) -> None:
    async def story() -> None:
        scripted = Scripted(token=lambda: asyncio.sleep(60, "t"))
        async with scripted.client:
            if call is CALLS["unwatch"]:
                await call(scripted.client)  # nobody watches: there is nothing to tell
                return
            with pytest.raises(NotConnected):
                await call(scripted.client)

    play(story())


@EVERY_CALL
def test_when_the_client_closes_whoever_waits_hears_it(call: Call) -> None:
    async def story() -> None:
        scripted = Scripted(watch=[9])
        await scripted.client.start()
        link = await scripted.greeted()
        task, _ = await call_at(scripted, call)
        await scripted.client.aclose()
        with pytest.raises(ConnectionClosed):
            await task
        assert [type(message) for message in link.said] == [Hello, Bye]

    play(story())


@EVERY_CALL
@pytest.mark.parametrize("is_closing", [True, False])
def test_during_and_after_the_close_it_is_refused(call: Call, is_closing: bool) -> None:
    async def story() -> None:
        scripted = Scripted(watch=[9])
        await scripted.client.start()
        link = await scripted.online()
        closing = asyncio.create_task(scripted.client.aclose())
        await asyncio.sleep(0)
        if not is_closing:
            await closing
        with pytest.raises(ConnectionClosed):
            await call(scripted.client)
        await closing
        with pytest.raises(ConnectionClosed):
            scripted.client.reconnect_now()
        with pytest.raises(ConnectionClosed):
            await scripted.client.wait_online()
        assert [type(message) for message in link.said] == [Hello, Bye]

    play(story())


@EVERY_CALL
def test_before_the_start_it_is_refused(call: Call) -> None:
    async def story() -> None:
        client = Scripted().client
        with pytest.raises(UsageError, match="not started"):
            await call(client)
        with pytest.raises(UsageError, match="not started"):
            await client.wait_online()
        with pytest.raises(UsageError, match="not started"):
            client.reconnect_now()
        with pytest.raises(UsageError, match="not started"):
            client.changes()
        await client.aclose()

    play(story())


def elsewhere(work: Callable[[], Awaitable[Any]]) -> BaseException | None:
    """Run in another thread, on an event loop of its own. Returns what it raised."""
    raised: list[BaseException] = []

    def run() -> None:
        try:
            asyncio.run(asyncio.wait_for(work(), 5))  # type: ignore[arg-type]
        except BaseException as failure:
            raised.append(failure)

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    return raised[0] if raised else None


@EVERY_CALL
def test_from_another_thread_it_is_refused_and_nothing_is_sent(call: Call) -> None:
    async def story() -> None:
        scripted = Scripted(watch=[9])
        async with scripted.client as client:
            link = await scripted.online()

            async def changes() -> None:
                client.changes()

            async def states() -> None:
                client.states()

            async def reconnect_now() -> None:
                client.reconnect_now()

            stream = client.changes()

            async def iterate() -> None:
                await anext(stream)

            works: list[Callable[[], Awaitable[Any]]] = [
                lambda: call(client), changes, states, reconnect_now, iterate, client.wait_online, client.aclose
            ]  # fmt: skip
            for work in works:
                failure = await asyncio.to_thread(elsewhere, work)
                assert isinstance(failure, UsageError), (work, failure)
            assert len(link.said) == 1
            assert client.state.phase is Phase.ONLINE, "reading does no harm"

    play(story())


@EVERY_CALL
def test_in_another_asyncio_run_it_is_refused(call: Call) -> None:
    made: list[Scripted] = []

    async def first() -> None:
        made.append(Scripted(watch=[9]))
        await made[0].client.start()
        await made[0].online()

    async def second() -> None:
        client = made[0].client
        with pytest.raises(UsageError, match="another event loop"):
            await call(client)
        with pytest.raises(UsageError, match="once"):
            await client.start()
        await client.aclose()
        assert client.state.phase is Phase.CLOSED

    play(first())
    play(second())
    assert len(made[0].links[0].said) == 1


def test_a_client_that_was_left_by_its_run_does_not_believe_itself_online() -> None:
    made: list[Scripted] = []

    async def first() -> None:
        made.append(Scripted())
        await made[0].client.start()
        await made[0].online()

    play(first())
    assert made[0].client.state.phase is Phase.WAITING


@pytest.mark.parametrize("arguments", [{"timeout": "1"}, {"timeout": -1}, {"timeout": float("nan")}, {"timeout": True}])
def test_a_timeout_that_is_none_is_refused_before_anything_is_sent(arguments: dict[str, Any]) -> None:
    async def story() -> None:
        scripted = Scripted()
        async with scripted.client as client:
            link = await scripted.online()
            with pytest.raises(ValueError, match="timeout must be a number of seconds"):
                await client.set_status("BUSY", **arguments)
            with pytest.raises(ValueError, match="timeout must be a number of seconds"):
                await client.wait_online(**arguments)
            assert len(link.said) == 1

    play(story())


# --- a token function, the one thing of the program's that the client calls ------------------------------------------


def test_a_client_may_be_closed_from_within_its_token_function() -> None:
    async def story() -> None:
        async def token() -> str:
            await scripted.client.aclose()
            return "t"

        scripted = Scripted(token=token)
        await scripted.client.start()
        with pytest.raises(ConnectionClosed):
            await scripted.client.wait_online()
        assert scripted.links == []
        await scripted.client.aclose()

    play(story())


@EVERY_CALL
def test_a_call_within_the_token_function_waits_no_longer_than_it_says(call: Call) -> None:
    async def story() -> None:
        errors: list[BaseException] = []

        async def token() -> str:
            try:
                await call(scripted.client)
            except PresenceError as error:
                errors.append(error)
            return "t"

        scripted = Scripted(token=token)
        async with scripted.client:
            await scripted.online()
        assert all(isinstance(error, NotConnected) for error in errors)

    play(story())


@pytest.mark.parametrize("is_raised", [True, False])
def test_whoever_is_signed_out_stops(is_raised: bool) -> None:
    async def story() -> None:
        asked = 0

        async def token() -> str | None:
            nonlocal asked
            asked += 1
            if is_raised:
                raise SignedOut("the session has expired")
            return None

        scripted = Scripted(token=token, open_timeout=5)
        with pytest.raises(ConnectionClosed) as caught:
            await scripted.client.start()
        assert caught.value.code == 4401
        assert caught.value.reason == ("the session has expired" if is_raised else "signed out")
        assert (asked, scripted.links) == (1, [])

    play(story())


def test_a_token_function_that_is_cancelled_is_asked_again() -> None:
    async def story() -> None:
        asked = 0

        async def token() -> str:
            nonlocal asked
            asked += 1
            if asked == 1:
                raise asyncio.CancelledError
            return "t"

        async with Scripted(token=token).client as client:
            await until(lambda: asked >= 2)
            assert client.state.phase is not Phase.CLOSED

    play(story())


def test_a_token_function_that_cannot_be_cancelled_does_not_hold_the_close(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("presence_client.runner.LEAVE_TIMEOUT", 0.05)
    monkeypatch.setattr("presence_client.runner.CANCEL_TIMEOUT", 0.05)

    async def story() -> None:
        released = asyncio.Event()

        async def token() -> str:
            while not released.is_set():
                try:
                    await released.wait()
                except asyncio.CancelledError:
                    continue
            return "t"

        scripted = Scripted(token=token)
        await scripted.client.start()
        await asyncio.sleep(0)
        await scripted.client.aclose()
        released.set()

    play(story())


# --- links -----------------------------------------------------------------------------------------------------------


def test_a_link_that_cannot_be_made_is_tried_again_and_told() -> None:
    async def story() -> None:
        scripted = Scripted(open_timeout=0.1)
        make = scripted._link
        tries = 0

        def links(*arguments: Any) -> Any:
            nonlocal tries
            tries += 1
            if tries == 1:
                raise FileNotFoundError(2, "No such file or directory", "ca.pem")
            return make(*arguments)

        scripted.client._links_of = links
        scripted.client._open_timeout = 0.0
        async with scripted.client as client:
            await asyncio.sleep(0)
            assert client.state.reason == "No such file or directory"
            await scripted.online()

    play(story())


def test_a_link_that_does_not_close_is_dropped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("presence_client.runner.LINGER", 0.02)

    async def story() -> None:
        async with FakePresenceServer() as server, server.connect(user_id=1) as client:
            old = server._links[0]
            old.close = lambda code, reason: None  # type: ignore[method-assign]  # the other side reads nothing more
            server.drain()
            await until(lambda: old not in server._links and server.connections == 1)
            assert client.state.phase is Phase.ONLINE

    play(story())


def test_whoever_waits_hears_the_http_status() -> None:
    async def story() -> None:
        async with FakePresenceServer() as server:
            server.refuse(404)
            client = server.connect(user_id=1, open_timeout=0.1)
            with pytest.raises(NotConnected, match="HTTP 404") as caught:
                await client.start()
            assert caught.value.status == 404
            assert client.state.phase is Phase.CLOSED

    play(story())


def test_nobody_who_answers_is_told_within_two_seconds(caplog: pytest.LogCaptureFixture) -> None:
    async def story() -> None:
        async with FakePresenceServer() as server:
            server.is_deaf = True
            async with server.connect(user_id=1, open_timeout=0) as client:
                async with asyncio.timeout(2):
                    async for state in client.states():
                        if state.reason:
                            break
                assert (state.phase, state.reason) == (Phase.CONNECTING, "no answer yet")
                await asyncio.sleep(0)
        assert [record.message for record in caplog.records if record.levelname == "WARNING"] == [
            "not connected (no answer yet); the client goes on trying"
        ]

    play(story())


# --- from within what the program iterates ---------------------------------------------------------------------------

STREAMS: dict[str, Callable[[PresenceClient], Any]] = {
    "changes": lambda client: client.changes(),
    "states": lambda client: client.states(),
    "self_views": lambda client: client.self_views(),
}


@pytest.mark.parametrize("stream", STREAMS.values(), ids=STREAMS)
@pytest.mark.parametrize(
    "call", [*CALLS.values(), PresenceClient.wait_online, PresenceClient.aclose], ids=[*CALLS, "wait_online", "aclose"]
)
def test_whoever_iterates_may_call(stream: Callable[[PresenceClient], Any], call: Call) -> None:
    async def story() -> None:
        async with FakePresenceServer() as server, server.connect(user_id=1, watch=[9]) as client:
            server.set(9, "BUSY")
            await server.settle()
            seen = 0
            async for _ in stream(client):
                seen += 1
                await call(client)
                if call is not PresenceClient.aclose:
                    break
            assert seen >= 1
            assert (client.state.phase is Phase.CLOSED) is (call is PresenceClient.aclose)

    play(story())


def test_two_may_close_at_once_and_both_see_it_done() -> None:
    async def story() -> None:
        async with FakePresenceServer() as server:
            client = await server.connect(user_id=1).start()
            await asyncio.gather(client.aclose(), client.aclose())
            assert (server.connections, client.state.phase) == (0, Phase.CLOSED)
            await client.aclose()

    play(story())


def test_a_start_that_is_closed_or_cancelled_ends() -> None:
    async def story() -> None:
        for end in ("aclose", "cancel"):
            scripted = Scripted(open_timeout=5)
            starting = asyncio.create_task(scripted.client.start())
            link = await scripted.greeted()
            if end == "aclose":
                await scripted.client.aclose()
                with pytest.raises(ConnectionClosed):
                    await starting
            else:
                starting.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await starting
            assert [type(message) for message in link.said] == [Hello, Bye]
            assert scripted.client.state.phase is Phase.CLOSED

    play(story())


def test_how_the_server_ended_it_is_not_forgotten_by_the_close() -> None:
    async def story() -> None:
        async with FakePresenceServer() as server, server.connect(user_id=1) as client:
            server.close(4403, "not you")
            await until(lambda: client.state.phase is Phase.CLOSED)
            await client.aclose()
            assert (client.state.code, client.state.reason) == (4403, "not you")
            with pytest.raises(ConnectionClosed, match="not you"):
                await client.query([2])

    play(story())
