"""`/changes`: a poller misses nothing, whatever it brings as a cursor, and leaves nothing behind."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections.abc import Callable, Iterator
from itertools import count
from typing import Any

import pytest

from support.client import Client
from support.rest import Line, Rest, post, refused
from support.server import Answer, run_server

_users = count(1000, 10)


@pytest.fixture(scope="module")
def rest() -> Iterator[Rest]:
    with run_server(min_publish_interval=0) as server:
        yield Rest(server)


@pytest.fixture
def user() -> int:
    """The first of ten users of each test's own."""
    return next(_users)


def changes(rest: Rest, user_ids: list[int], cursor: str | None = None, wait_ms: int | None = None) -> Any:
    optional = {"cursor": cursor, "waitMs": wait_ms}
    body = {"userIds": user_ids} | {name: value for name, value in optional.items() if value is not None}
    answer = rest.post("/changes", body)
    assert (answer.status, list(answer.data)) == (200, ["changes", "cursor", "resumed"])
    return answer.data


def fold(held: dict[int, Any], answer: Any) -> str:
    """What a poller does with an answer. Returns its next cursor."""
    if not answer["resumed"]:
        held.clear()
    for entry in answer["changes"]:
        if entry["userId"] not in held or entry["version"] >= held[entry["userId"]]["version"]:
            held[entry["userId"]] = entry
    cursor: str = answer["cursor"]
    return cursor


class Polling:
    """A long poll under way in a thread: `answer` waits for it; `seconds` is how long it took."""

    def __init__(self, rest: Rest, user_ids: list[int], cursor: str, wait_ms: int) -> None:
        self._done: list[Answer] = []
        body = {"userIds": user_ids, "cursor": cursor, "waitMs": wait_ms}

        def poll() -> None:
            started = time.monotonic()
            self._done.append(rest.post("/changes", body))
            self.seconds = time.monotonic() - started

        before = rest.server.metric("presence_long_polls")
        self._thread = threading.Thread(target=poll)
        self._thread.start()
        until(lambda: rest.server.metric("presence_long_polls") > before)

    def answer(self) -> Any:
        self._thread.join(20)
        return self._done[0].data


def until(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 5
    while not holds():
        assert time.monotonic() < deadline


def check_nothing_left(rest: Rest) -> None:
    until(lambda: rest.server.metric("presence_long_polls") == 0)
    assert rest.server.metric("presence_watches") == 0
    assert rest.server.metric("presence_watchers") == 0


def test_without_a_cursor_all_are_told_at_once_known_or_not(rest: Rest, user: int) -> None:
    rest.online(user, platform="IOS")
    started = time.monotonic()
    answer = changes(rest, [user + 1, user, user], wait_ms=60_000)
    assert time.monotonic() - started < 5
    assert answer["resumed"] is False
    unknown, known = answer["changes"]
    assert unknown == {"userId": user + 1, "status": "OFFLINE", "platforms": [], "lastActiveTime": None, "version": 0}
    assert (known["userId"], known["status"], known["platforms"]) == (user, "ONLINE", ["IOS"])
    assert known["version"] > 0


def test_a_cursor_gets_what_changed_since_and_only_that(rest: Rest, user: int) -> None:
    ids = [user, user + 1, user + 2]
    cursor = changes(rest, ids)["cursor"]
    assert changes(rest, ids, cursor) == {"changes": [], "cursor": cursor, "resumed": True}
    rest.online(user + 1)
    rest.online(user + 3)  # nobody asks for it
    rest.put(user + 1, status="BUSY", statusText="x")
    answer = changes(rest, ids, cursor)
    assert answer["resumed"] is True
    (entry,) = answer["changes"]
    assert (entry["userId"], entry["status"], entry["statusText"]) == (user + 1, "BUSY", "x")
    # The order and repeats of ids do not matter to a cursor.
    later = changes(rest, [user + 2, user, user + 1, user], answer["cursor"])
    assert later["resumed"] is True


def test_a_waiting_poll_is_woken_by_a_change(rest: Rest, user: int) -> None:
    polling = Polling(rest, [user, user + 1], changes(rest, [user, user + 1])["cursor"], 20_000)
    rest.online(user + 1, platform="ANDROID")
    answer = polling.answer()
    assert polling.seconds < 5
    assert answer["resumed"] is True
    assert [(change["userId"], change["platforms"]) for change in answer["changes"]] == [(user + 1, ["ANDROID"])]
    assert changes(rest, [user, user + 1], answer["cursor"])["changes"] == []
    check_nothing_left(rest)


def test_a_change_of_somebody_else_wakes_nobody_and_the_time_runs_out(rest: Rest, user: int) -> None:
    cursor = changes(rest, [user])["cursor"]
    polling = Polling(rest, [user], cursor, 600)
    rest.online(user + 1)
    answer = polling.answer()
    assert (answer["changes"], answer["resumed"]) == ([], True)
    assert 0.5 < polling.seconds < 5
    rest.online(user)
    assert [change["userId"] for change in changes(rest, [user], answer["cursor"])["changes"]] == [user]
    check_nothing_left(rest)


def test_nothing_is_waited_for_unless_it_is_asked_for(rest: Rest, user: int) -> None:
    cursor = changes(rest, [user])["cursor"]
    started = time.monotonic()
    for wait_ms in (None, 0):
        assert changes(rest, [user], cursor, wait_ms)["changes"] == []
    assert time.monotonic() - started < 5


def test_many_polls_of_one_user_are_all_woken(rest: Rest, user: int) -> None:
    cursor = changes(rest, [user])["cursor"]
    polls = [Polling(rest, [user], cursor, 20_000) for _ in range(10)]
    rest.online(user)
    assert {len(polling.answer()["changes"]) for polling in polls} == {1}
    check_nothing_left(rest)


def test_a_poller_that_folds_its_answers_holds_the_servers_state(rest: Rest, user: int) -> None:
    ids = list(range(user, user + 10))
    held: dict[int, Any] = {}
    cursor = fold(held, changes(rest, ids))
    stop = threading.Event()

    def poll() -> None:
        nonlocal cursor
        while not stop.is_set():
            cursor = fold(held, changes(rest, ids, cursor, 50))

    poller = threading.Thread(target=poll)
    poller.start()
    for number in range(150):
        user_id = ids[number % 10]
        if number % 3 == 2:
            rest.offline(user_id)
        else:
            rest.online(user_id, idle=number % 2 == 0, platform=("WEB", "IOS", "PC")[number % 3])
    stop.set()
    poller.join(20)
    fold(held, changes(rest, ids, cursor))
    assert list(held.values()) == changes(rest, list(held))["changes"]


# -- cursors that do not cover ---------------------------------------------------------------------------------------


def test_the_cursor_of_another_set_of_users_gets_everything(rest: Rest, user: int) -> None:
    rest.online(user)
    cursor = changes(rest, [user, user + 1])["cursor"]
    for ids in ([user], [user, user + 2], [user, user + 1, user + 2], []):
        answer = changes(rest, ids, cursor, 60_000)
        assert answer["resumed"] is False
        assert [change["userId"] for change in answer["changes"]] == ids


@pytest.mark.parametrize("wrong", ["", "x", "....", "0.0", "-1.-1", "1_0.1", "+1.1", "١.١", "a" * 5000, "\0", "1.1.é"])
def test_a_cursor_that_is_garbage_gets_everything(rest: Rest, user: int, wrong: str) -> None:
    answer = changes(rest, [user], wrong, 60_000)
    assert answer["resumed"] is False
    assert [change["userId"] for change in answer["changes"]] == [user]


def test_a_cursor_from_the_future_or_from_another_server_gets_everything(rest: Rest, user: int) -> None:
    epoch, seq, digest = changes(rest, [user])["cursor"].split(".")
    future = f"{int(seq, 16) + 1_000_000:x}"
    for cursor in (f"{epoch}.{future}.{digest}", f"{int(epoch, 16) ^ 1:x}.{seq}.{digest}", f"{epoch}.{seq}.0"):
        assert changes(rest, [user], cursor, 60_000)["resumed"] is False
    assert changes(rest, [user], f"{epoch}.{seq}.{digest}")["resumed"] is True


def test_a_cursor_from_before_what_was_forgotten_gets_everything() -> None:
    with run_server(max_remembered=1, shards=1) as server:
        small = Rest(server)
        cursor = changes(small, [1, 2, 3])["cursor"]
        for user_id in (1, 2, 3):
            small.online(user_id)
            small.offline(user_id)
        answer = changes(small, [1, 2, 3], cursor)
        assert answer["resumed"] is False
        assert [change["status"] for change in answer["changes"]] == ["OFFLINE"] * 3
        assert changes(small, [1, 2, 3], answer["cursor"])["resumed"] is True


# -- the WebSocket's cursor ------------------------------------------------------------------------------------------


def test_cursors_of_rest_and_websocket_are_the_same_thing(rest: Rest, user: int) -> None:
    ids = [user, user + 1]

    async def story() -> None:
        watcher = await Client.observe(rest.server, ids)
        cursor = (await watcher.receive("snapshot"))["cursor"]
        await watcher.close()
        rest.online(user)
        answer = changes(rest, ids, cursor, 60_000)
        assert answer["resumed"] is True
        assert [change["userId"] for change in answer["changes"]] == [user]

        rest.online(user + 1)
        again = await Client.open(rest.server)
        await again.send(type="hello", observer=True, watch=ids, cursor=answer["cursor"])
        assert (await again.receive("welcome"))["resumed"] is True
        assert [entry["userId"] for entry in (await again.receive("snapshot"))["statuses"]] == [user + 1]
        rest.offline(user + 1)
        diff = await again.receive("diff")
        await again.close()
        assert changes(rest, ids, diff["cursor"])["resumed"] is True
        assert changes(rest, ids, diff["cursor"])["changes"] == []

        other = await Client.open(rest.server)
        await other.send(type="hello", observer=True, watch=[user], cursor=answer["cursor"])
        assert (await other.receive("welcome"))["resumed"] is False
        await other.close()

    asyncio.run(story())


# -- bounds ----------------------------------------------------------------------------------------------------------


def test_a_client_that_goes_away_while_it_waits_leaves_nothing_behind(rest: Rest, user: int) -> None:
    cursor = changes(rest, [user, user + 1])["cursor"]
    body = json.dumps({"userIds": [user, user + 1], "cursor": cursor, "waitMs": 60_000}).encode()
    lines = [Line(rest.server) for _ in range(20)]
    for line in lines:
        line.send(post("changes", body))
    until(lambda: rest.server.metric("presence_long_polls") == 20)
    assert rest.server.metric("presence_watches") == 40
    for line in lines:
        line.socket.close()
    check_nothing_left(rest)


@pytest.mark.parametrize("wait_ms", [-1, 60_001, 1.5, True, "1000"])
def test_how_long_may_be_waited(rest: Rest, user: int, wait_ms: Any) -> None:
    refused(rest.post("/changes", {"userIds": [user], "waitMs": wait_ms}), 400, "invalid_request", "waitMs")


def test_five_thousand_users_may_be_asked_for(rest: Rest) -> None:
    ids = list(range(100_000, 105_000))
    answer = changes(rest, ids)
    assert [change["userId"] for change in answer["changes"]] == ids
    assert changes(rest, ids, answer["cursor"]) == {"changes": [], "cursor": answer["cursor"], "resumed": True}
    refused(rest.post("/changes", {"userIds": [*ids, 1]}), 400, "invalid_request", "userIds")
    assert changes(rest, []) == {"changes": [], "cursor": changes(rest, [])["cursor"], "resumed": False}


def test_who_waits_takes_a_place_as_everybody_does() -> None:
    with run_server(max_connections=2) as server:
        full = Rest(server)
        cursor = changes(full, [1])["cursor"]
        until(lambda: server.get("//readyz").status == 200)
        body = json.dumps({"userIds": [1], "cursor": cursor, "waitMs": 20_000}).encode()
        with Line(server) as one, Line(server) as two:
            one.send(post("changes", body))
            two.send(post("changes", body))
            until(lambda: server.metric("presence_long_polls") == 2)
            answer = full.post("/changes", {"userIds": [1], "cursor": cursor, "waitMs": 50})
            refused(answer, 503, "unavailable", "server")
            assert int(answer.headers["Retry-After"]) > 0
            assert server.get("//healthz").status == 200
            assert server.get("//readyz").json == {"status": "full"}
            server.terminate()
            assert [line.answer().data["changes"] for line in (one, two)] == [[], []]
