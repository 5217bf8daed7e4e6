"""Promise 5, of what is remembered: however many clients say whatever of whomever, it costs nobody else anything."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from support.client import Client, Message
from support.rest import check_refusal
from support.server import Answer, Server, run_server

ANN, BOB, EVE = 1, 2, 3
WATCHED = [5, 6, 7]
ROOM = 50
ATTACKERS = 20
IDS_EACH = 30


@pytest.fixture
def server() -> Iterator[Server]:
    with run_server(max_remembered=ROOM, max_unseen=ROOM, grace_period=0) as running:
        yield running


def come_and_go(server: Server, *user_ids: int) -> None:
    for user_id in user_ids:
        server.online(user_id, "d")
        server.post("/offline", {"userId": user_id, "deviceId": "d"})


def overrides_of_strangers(server: Server) -> list[Answer]:
    """Twenty clients at once, on ids that nobody has."""

    def attack(attacker: int) -> list[Answer]:
        first = 10**6 + attacker * IDS_EACH
        body = {"status": "OFFLINE", "statusText": "x" * 140}
        return [server.request("PUT", f"/status/{user_id}", body) for user_id in range(first, first + IDS_EACH)]

    with ThreadPoolExecutor(ATTACKERS) as pool:
        return [answer for answers in pool.map(attack, range(ATTACKERS)) for answer in answers]


async def observe(server: Server, cursor: str | None = None) -> tuple[Message, str]:
    """Watch, and leave again: the welcome, and the cursor of the snapshot."""
    more = {} if cursor is None else {"cursor": cursor}
    client = await Client.observe(server, WATCHED, **more)
    snapshot = await client.receive("snapshot")
    await client.connection.close()
    return client.heard[0], snapshot["cursor"]


def test_overrides_of_strangers_touch_nobody_who_was_here(server: Server) -> None:
    come_and_go(server, ANN, BOB)
    server.request("PUT", f"/status/{BOB}", {"status": "OFFLINE"})
    server.request("PUT", f"/status/{EVE}", {"status": "OFFLINE"})
    last_seen = server.get(f"/status/{ANN}").data["lastActiveTime"]
    _, cursor = asyncio.run(observe(server))
    come_and_go(server, 8, 9)

    answers = overrides_of_strangers(server)

    kept = [answer for answer in answers if answer.status == 200]
    assert len(kept) == ROOM - 1, "Eve never came either"
    for refused in answers:
        if refused.status != 200:
            check_refusal(refused)
            assert (refused.status, refused.data["error"]) == (503, "unavailable")
            assert refused.data["details"][0]["field"] == "userId"
            assert refused.headers["Retry-After"]
    assert server.metric("presence_unseen_users") == ROOM
    assert server.metric("presence_remembered_users") == 4
    assert last_seen is not None
    assert server.get(f"/status/{ANN}").data["lastActiveTime"] == last_seen
    welcome, _ = asyncio.run(observe(server, cursor))
    assert welcome["resumed"]
    for user_id in (BOB, EVE):
        server.online(user_id)
        assert server.status_of(user_id) == "OFFLINE", "still invisible"


def test_whoever_comes_is_not_refused(server: Server) -> None:
    overrides_of_strangers(server)
    assert server.online(ANN).status == 200
    assert server.request("PUT", f"/status/{ANN}", {"status": "BUSY"}).data["status"] == "BUSY"


def test_an_override_of_a_stranger_ends() -> None:
    with run_server(max_remembered=4, max_unseen=ROOM, unseen_for=0.5, grace_period=0) as server:
        come_and_go(server, ANN, BOB)
        last_seen = server.get(f"/status/{ANN}").data["lastActiveTime"]
        overrides_of_strangers(server)
        while server.metric("presence_unseen_users"):
            pass
        # A text shows while OFFLINE too, so that each was told of once. They are remembered where they push out their
        # like, and nobody who was here.
        assert server.metric('presence_users{status="OFFLINE"}') == ROOM + 2
        assert server.metric("presence_remembered_users") == 2
        assert last_seen is not None
        assert server.get(f"/status/{ANN}").data["lastActiveTime"] == last_seen
        assert server.request("PUT", f"/status/{EVE}", {"status": "BUSY"}).status == 200
