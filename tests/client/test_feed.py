"""The feed through the SDK: on the real server and on the fake one; outages, gaps, and where the cursor is kept."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from presence_client import (
    Backoff,
    FeedBatch,
    FeedEntry,
    FileCursor,
    Gap,
    MemoryCursor,
    PresenceApi,
    Presences,
    RequestFailed,
)
from presence_client.feed import GAP, Feed, FeedAnswer
from presence_client.testing import FakePresenceServer
from presence_protocol.user_ids import NUMBER
from support.server import free_port, run_server

QUICK = Backoff(base=0.01, cap=0.05)


@asynccontextmanager
async def real(user_ids: Any = "number") -> AsyncIterator[PresenceApi]:
    with run_server(user_ids=user_ids, min_publish_interval=0) as server:
        async with PresenceApi(server.url, user_ids=user_ids) as api:
            yield api


@asynccontextmanager
async def fake(user_ids: Any = "number") -> AsyncIterator[PresenceApi]:
    async with FakePresenceServer(user_ids=user_ids) as server, server.api() as api:
        yield api


@pytest.fixture(params=[real, fake])
def play(request: pytest.FixtureRequest) -> Callable[..., None]:
    def run(story: Callable[[PresenceApi], Awaitable[None]], user_ids: Any = "number") -> None:
        async def in_time() -> None:
            async with asyncio.timeout(60), request.param(user_ids) as api:
                await story(api)

        asyncio.run(in_time())

    return run


async def take(feed: Feed, count: int) -> list[Any]:
    return [await anext(feed) for _ in range(count)]


def told(entries: list[Any]) -> list[Any]:
    return [(entry.user_id, entry.status) if isinstance(entry, FeedEntry) else entry for entry in entries]


def test_everybody_present_and_then_whoever_changes(play: Any) -> None:
    async def story(api: PresenceApi) -> None:
        await api.online(1, "d", "WEB")
        await api.online(2, "d", "IOS", idle=True)
        feed = api.feed(wait=20)
        assert told(await take(feed, 3)) == [Gap(), (1, "ONLINE"), (2, "AWAY")]
        waiting = asyncio.create_task(take(feed, 1))
        await asyncio.sleep(0.05)
        await api.set_status(1, "BUSY", text="lunch", emoji="🍜")
        (entry,) = await waiting
        assert (entry.status, entry.status_text, entry.status_emoji, entry.cause) == (
            "BUSY",
            "lunch",
            "🍜",
            "status_set",
        )
        await api.offline(2, "d")
        (entry,) = await take(feed, 1)
        assert (entry.user_id, entry.status, entry.platforms, entry.cause) == (2, "OFFLINE", [], "left")
        assert entry.device is not None
        assert (entry.device.device_id, entry.device.platform) == ("d", "IOS")

    play(story)


def test_in_batches_of_a_limit_it_folds_to_what_everybody_sees(play: Any) -> None:
    async def story(api: PresenceApi) -> None:
        for user_id in range(1, 8):
            await api.online(user_id, "d", "WEB")
        held, seen = Presences(), []
        async for batch in api.feed(limit=3, wait=0).batches():
            assert isinstance(batch, FeedBatch)
            assert len(batch.changes) <= 3
            seen += [entry.user_id for entry in held.take(batch.changes, gap=batch.gap)]
            if len(seen) == 7:
                break
        assert seen == list(range(1, 8))
        assert {user_id: entry.status for user_id, entry in held.items()} == dict.fromkeys(range(1, 8), "ONLINE")

    play(story)


def test_after_a_restart_it_goes_on_from_what_was_taken(play: Any, tmp_path: Path) -> None:
    async def story(api: PresenceApi) -> None:
        store = FileCursor(tmp_path / f"{id(api)}.cursor")
        await api.online(1, "d", "WEB")
        await api.online(2, "d", "WEB")
        feed = api.feed(store, wait=20)
        assert told(await take(feed, 3)) == [Gap(), (1, "ONLINE"), (2, "ONLINE")]
        assert store.load() is None, "what was given last may not be taken yet"
        waiting = asyncio.create_task(take(feed, 1))
        await asyncio.sleep(0.05)
        await api.set_status(1, "AWAY")
        assert told(await waiting) == [(1, "AWAY")]
        for status in ("BUSY", "AWAY", "BUSY"):
            await api.set_status(2, status)  # type: ignore[arg-type]
        again = api.feed(store, wait=20)
        assert told(await take(again, 2)) == [(1, "AWAY"), (2, "BUSY")], "at least once, and the last state of each"

    play(story)


@pytest.mark.parametrize(("user_ids", "user"), [("int64", 2**63 - 1), ("string", "bob 用户")])
def test_users_of_other_kinds(play: Any, user_ids: Any, user: Any) -> None:
    async def story(api: PresenceApi) -> None:
        await api.online(user, "d", "WEB")
        assert told(await take(api.feed(), 2)) == [Gap(), (user, "ONLINE")]

    play(story, user_ids)


def test_every_transition_where_it_is_wanted(play: Any) -> None:
    async def story(api: PresenceApi) -> None:
        feed = api.feed(transitions="all", wait=20)
        await api.online(1, "d", "WEB")
        assert isinstance((await take(feed, 1))[0], Gap)
        await take(feed, 1)
        for status in ("BUSY", "AWAY", "BUSY"):
            await api.set_status(1, status)  # type: ignore[arg-type]
        assert told(await take(feed, 3)) == [(1, "BUSY"), (1, "AWAY"), (1, "BUSY")]

    play(story)


def test_a_cursor_that_is_not_covered_is_a_gap(play: Any) -> None:
    async def story(api: PresenceApi) -> None:
        await api.online(1, "d", "WEB")
        assert told(await take(api.feed(MemoryCursor("of.another")), 2)) == [Gap(), (1, "ONLINE")]

    play(story)


def test_an_outage_is_waited_out_and_nothing_is_missed(caplog: pytest.LogCaptureFixture) -> None:
    async def story() -> None:
        async with FakePresenceServer() as server, server.api() as api:
            await api.online(1, "d", "WEB")
            feed = api.feed(backoff=QUICK)
            await take(feed, 2)
            server.refuse(503)
            waiting = asyncio.create_task(take(feed, 2))
            while not caplog.records:  # noqa: ASYNC110 - the log has no event
                await asyncio.sleep(0.01)
            for user_id, status in ((1, "BUSY"), (2, "AWAY"), (1, "AWAY")):
                server.set(user_id, status)  # type: ignore[arg-type]
            server.limit(retry_after=0.01, times=3)
            server.accept()
            assert told(await waiting) == [(2, "AWAY"), (1, "AWAY")]

    with caplog.at_level(logging.WARNING, "presence_client"):
        asyncio.run(asyncio.wait_for(story(), 20))
    said = [record.getMessage() for record in caplog.records]
    assert said[0].startswith("the feed cannot be read (503 unavailable")
    assert said[1:] == ["the feed goes on"], "said once"


def test_a_server_that_is_killed_and_comes_back_with_its_state_is_followed_without_a_gap(tmp_path: Path) -> None:
    port = free_port()
    settings = {"port": port, "state": tmp_path / "state", "min_publish_interval": 0}

    async def story() -> None:
        async with PresenceApi(f"http://127.0.0.1:{port}") as api:
            feed = api.feed(FileCursor(tmp_path / "cursor"), backoff=QUICK)
            with run_server(**settings) as server:
                await api.online(1, "d", "WEB")
                assert told(await take(feed, 2)) == [Gap(), (1, "ONLINE")]
                waiting = asyncio.create_task(take(feed, 1))
                await asyncio.sleep(0.05)
                server.terminate()
                await asyncio.to_thread(server.wait)
            assert not waiting.done()
            with run_server(**settings):
                await api.set_status(1, "BUSY")
                assert told(await waiting) == [(1, "BUSY")]

    asyncio.run(asyncio.wait_for(story(), 90))


def test_whoever_may_not_read_is_told_so_at_once() -> None:
    async def story() -> None:
        async with FakePresenceServer(authenticate=lambda token, user_id: 4403) as server, server.api() as api:
            with pytest.raises(RequestFailed, match="403 forbidden"):
                await anext(api.feed())

    asyncio.run(asyncio.wait_for(story(), 20))


def test_transitions_that_were_left_out_are_told_and_void_nothing() -> None:
    answers = [FeedAnswer([FeedEntry(1, "AWAY", [], 5, "idle", 1)], "c.5", resumed=True, gap=True)]

    async def ask(cursor: str | None) -> FeedAnswer:
        assert cursor == "c.1"
        return answers.pop()

    async def story() -> None:
        feed = Feed(ask, MemoryCursor("c.1"), NUMBER, QUICK)
        first, second = await take(feed, 2)
        assert (first, second.status) == (Gap(is_void=False), "AWAY")

    asyncio.run(story())


def test_a_store_may_be_asynchronous_and_one_that_fails_is_tried_again() -> None:
    class Store:
        saved: list[str] = []  # noqa: RUF012 - of this test alone
        is_broken = True

        async def load(self) -> str | None:
            return "c.1"

        async def save(self, cursor: str) -> None:
            if self.is_broken:
                raise OSError("disk full")
            self.saved.append(cursor)

    async def ask(cursor: str | None) -> FeedAnswer:
        version = int((cursor or "c.0")[2:]) + 1
        return FeedAnswer([FeedEntry(1, "AWAY", [], version, "idle", 1)], f"c.{version}", resumed=True)

    async def story() -> None:
        store = Store()
        feed = Feed(ask, store, NUMBER, QUICK)
        await anext(feed)
        with pytest.raises(OSError, match="disk full"):
            await anext(feed)
        store.is_broken = False
        entry = await anext(feed)
        assert isinstance(entry, FeedEntry)
        assert (entry.version, store.saved) == (3, ["c.2"])

    asyncio.run(story())


def test_a_server_that_lets_nobody_wait_is_not_asked_in_a_frenzy() -> None:
    asked: list[float] = []

    async def ask(cursor: str | None) -> FeedAnswer:
        asked.append(asyncio.get_running_loop().time())
        changes = [FeedEntry(1, "AWAY", [], 5, "idle", 1)] if len(asked) > 4 else []
        return FeedAnswer(changes, "c.5", resumed=True, more=len(asked) == 2)

    async def story() -> None:
        await anext(Feed(ask, MemoryCursor("c.1"), NUMBER, QUICK))
        first, at_once, *others = [after - before for before, after in pairwise(asked)]
        assert len(others) == 2
        assert min(first, *others) >= GAP - 0.01
        assert at_once < 20 * GAP, "there was more"

    asyncio.run(story())


def test_a_file_holds_what_was_saved_last_and_rubbish_is_no_cursor(tmp_path: Path) -> None:
    store = FileCursor(tmp_path / "cursor")
    assert store.load() is None
    for cursor in ("19a.2f", "19a.30"):
        store.save(cursor)
        assert FileCursor(str(store.path)).load() == cursor
    assert [path.name for path in tmp_path.iterdir()] == ["cursor"]
    for rubbish in (b"\xff\xfe", b"", b"\n"):
        store.path.write_bytes(rubbish)
        assert store.load() is None


@pytest.mark.parametrize(
    "wrong", [{"wait": 61}, {"wait": -1}, {"limit": 0}, {"limit": 10_001}, {"transitions": "some"}]
)
def test_what_cannot_be_right_is_said_at_once(wrong: dict[str, Any]) -> None:
    api = PresenceApi("http://127.0.0.1:9")
    with pytest.raises(ValueError, match=f"{next(iter(wrong))} must be"):
        api.feed(**wrong)
