"""PUT and DELETE of a user's status: busy, away, invisible, until when, and what others get to see of it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any

import pytest

from support.client import Client
from support.rest import Rest, refused
from support.server import run_server

_users = count(1000)


@pytest.fixture(scope="module")
def rest() -> Iterator[Rest]:
    with run_server(min_publish_interval=0) as server:
        yield Rest(server)


@pytest.fixture
def user() -> int:
    """A user of each test's own."""
    return next(_users)


def after(seconds: float) -> str:
    return (datetime.now(UTC) + timedelta(seconds=seconds)).strftime("%Y-%m-%dT%H:%M:%SZ")


@pytest.mark.parametrize("status", ["BUSY", "AWAY", "ONLINE"])
def test_an_override_is_shown_until_it_is_cleared(rest: Rest, user: int, status: str) -> None:
    rest.online(user, idle=status == "ONLINE")
    put = rest.put(user, status=status)
    assert (put.json["message"], put.data["status"]) == ("success", status)
    assert put.data == rest.get(f"/status/{user}").data
    assert rest.post("/status/batch", {"userIds": [user]}).data == [{"userId": user, "status": status}]
    cleared = rest.call("DELETE", f"/status/{user}")
    assert cleared.data["status"] == ("AWAY" if status == "ONLINE" else "ONLINE")
    assert rest.call("DELETE", f"/status/{user}").data == cleared.data


def test_an_override_makes_nobody_online_and_lasts_across_a_disconnect(rest: Rest, user: int) -> None:
    assert rest.put(user, status="BUSY").data == {
        "userId": user,
        "status": "OFFLINE",
        "lastActiveTime": None,
        "devices": [],
    }
    assert rest.online(user).data["status"] == "BUSY"
    rest.offline(user)
    assert rest.status_of(user) == "OFFLINE"
    assert rest.online(user).data["status"] == "BUSY"


def test_the_status_text_is_shown_with_an_override_and_goes_with_it(rest: Rest, user: int) -> None:
    rest.online(user)

    def text() -> Any:
        return rest.post("/status/batch", {"userIds": [user], "detail": True}).data[0].get("statusText")

    rest.put(user, status="BUSY", statusText="开会" * 70)
    assert text() == "开会" * 70
    rest.put(user, status="BUSY", statusText="")
    assert text() is None
    rest.put(user, status="AWAY", statusText="lunch 🍜")
    assert text() == "lunch 🍜"
    rest.call("DELETE", f"/status/{user}")
    assert text() is None


def test_until_ends_an_override(rest: Rest, user: int) -> None:
    rest.online(user)
    cursor = rest.post("/changes", {"userIds": [user]}).data["cursor"]
    until = after(1.6)  # between half a second and 1.6 seconds from now, since times are whole seconds
    assert rest.put(user, status="BUSY", until=until).data["status"] == "BUSY"
    seen: list[str] = []
    while not seen or seen[-1] != "ONLINE":
        answer = rest.post("/changes", {"userIds": [user], "cursor": cursor, "waitMs": 5000}).data
        cursor = answer["cursor"]
        assert answer["changes"], "the override did not end"
        seen += [change["status"] for change in answer["changes"]]
    assert seen == ["BUSY", "ONLINE"]
    assert time.time() >= datetime.strptime(until, "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC).timestamp()
    assert rest.status_of(user) == "ONLINE"


@pytest.mark.parametrize("before", ["AWAY", "OFFLINE"])
def test_busy_for_a_while_ends_in_what_was_before(rest: Rest, user: int, before: str) -> None:
    rest.online(user)
    rest.put(user, status=before)
    cursor = rest.post("/changes", {"userIds": [user]}).data["cursor"]
    assert rest.put(user, status="BUSY", until=after(1.6)).data["status"] == "BUSY"
    seen: list[str] = []
    while not seen or seen[-1] == "BUSY":
        answer = rest.post("/changes", {"userIds": [user], "cursor": cursor, "waitMs": 5000}).data
        cursor = answer["cursor"]
        assert answer["changes"], "the override did not end"
        seen += [change["status"] for change in answer["changes"]]
    assert seen == ["BUSY", before]
    assert rest.status_of(user) == before
    assert rest.call("DELETE", f"/status/{user}").data["status"] == "ONLINE"


@pytest.mark.parametrize(
    "form", ["{:%Y-%m-%dT%H:%M:%S}.000Z", "{:%Y-%m-%dT%H:%M:%S}.000+00:00", "{:%Y-%m-%dT%H:%M:%S}+00:00"]
)
def test_until_may_have_a_fraction_and_an_offset(rest: Rest, user: int, form: str) -> None:
    """And is answered as the document has times, over either way in."""
    until = datetime.now(UTC) + timedelta(hours=1)
    written, east = form.format(until), form.replace("+00:00", "+08:00").format(until + timedelta(hours=8))
    expected = f"{until:%Y-%m-%dT%H:%M:%SZ}"

    async def story() -> None:
        client = await Client.hello(rest.server, user, "web")
        assert rest.put(user, status="BUSY", until=written).status == 200
        assert (await client.receive("self"))["override"]["until"] == expected
        for given in (written, east if "+" in form else written):
            assert (await client.ask(type="status", status="AWAY", until=given, statusText=given))["type"] == "ok"
            assert (await client.receive("self"))["override"]["until"] == expected
            assert (await client.ask(type="status", status=None))["type"] == "ok"
            assert (await client.receive("self"))["override"] is None
        late = f"{until - timedelta(hours=2):%Y-%m-%dT%H:%M:%S}.999Z"
        refusal = await client.ask(type="status", status="AWAY", until=late)
        assert refusal["details"] == [{"field": "until", "reason": "must be later than now"}]
        await client.close()

    asyncio.run(story())


def test_until_must_be_later_than_now_and_at_most_a_year_ahead(rest: Rest, user: int) -> None:
    rest.online(user)
    for seconds, reason in ((-1, "later than now"), (-86_400, "later than now"), (367 * 86_400, "a year ahead")):
        (given,) = refused(rest.put(user, status="BUSY", until=after(seconds)), 400, "invalid_request", "until")
        assert reason in given
        assert rest.status_of(user) == "ONLINE"
    assert rest.put(user, status="BUSY", until=after(365 * 86_400)).data["status"] == "BUSY"


def test_an_end_needs_a_status_and_none_is_no_end(rest: Rest, user: int) -> None:
    def patch(**body: Any) -> Any:
        return rest.server.request("PATCH", f"/status/{user}", body)

    (reason,) = refused(patch(until=after(60)), 400, "invalid_request", "until")
    assert reason == "means nothing without a status"
    assert patch(until=None, textUntil=None).status == 200  # nothing is there to be cleared
    patch(status="BUSY")
    refused(patch(status=None, until=after(60)), 400, "invalid_request", "until")
    assert rest.status_of(user) == rest.put(user, status="BUSY").data["status"]
    assert patch(status=None, until=None).status == 200


def test_an_invisible_user_is_offline_on_every_path(rest: Rest, user: int) -> None:
    rest.online(user, "phone", "IOS")
    shown = rest.get(f"/status/{user}").data
    said = {"statusText": "on leave", "statusEmoji": "🌴"}
    hidden = {"userId": user, "status": "OFFLINE", "lastActiveTime": shown["lastActiveTime"], "devices": []} | said
    assert rest.put(user, status="OFFLINE", **said).data == hidden
    first = rest.post("/changes", {"userIds": [user]}).data

    def check() -> None:
        assert rest.get(f"/status/{user}").data == hidden
        assert rest.post("/status/batch", {"userIds": [user]}).data == [{"userId": user, "status": "OFFLINE"}]
        (detail,) = rest.post("/status/batch", {"userIds": [user], "detail": True}).data
        expected = {"userId": user, "status": "OFFLINE", "lastActiveTime": hidden["lastActiveTime"], "platforms": []}
        assert detail == expected | said
        (entry,) = rest.post("/changes", {"userIds": [user]}).data["changes"]
        assert (entry["status"], entry["platforms"], entry["statusText"]) == ("OFFLINE", [], "on leave")
        assert entry == first["changes"][0]  # no version taken, no time moved
        since = {"userIds": [user], "cursor": first["cursor"]}
        assert rest.post("/changes", since).data["changes"] == []

    check()
    rest.online(user, "laptop", "PC")
    check()
    assert rest.post("/heartbeat", {"userId": user, "deviceId": "phone", "idle": True}).status == 200
    check()
    rest.offline(user, "laptop")
    check()
    assert rest.online(user, "phone", "WEB").data == {name: hidden[name] for name in list(hidden)[:3]}
    check()
    rest.offline(user, "phone")
    check()
    rest.online(user, "phone", "ANDROID")
    assert rest.call("DELETE", f"/status/{user}").data["devices"][0]["platform"] == "ANDROID"
    (change,) = rest.post("/changes", {"userIds": [user], "cursor": first["cursor"]}).data["changes"]
    assert (change["status"], change["platforms"]) == ("ONLINE", ["ANDROID"])


def test_metrics_do_not_tell_an_invisible_user_apart(rest: Rest, user: int) -> None:
    rest.online(user)
    before = rest.server.metric('presence_users{status="ONLINE"}')
    rest.put(user, status="OFFLINE")
    assert rest.server.metric('presence_users{status="ONLINE"}') == before - 1


def test_rest_and_websocket_share_a_session_and_an_override(rest: Rest, user: int) -> None:
    async def story() -> None:
        client = await Client.hello(rest.server, user, "both", platform="WEB")
        rest.put(user, status="BUSY", statusText="on the phone")
        told = await client.receive("self")
        assert (told["status"], told["override"]["status"]) == ("BUSY", "BUSY")
        assert told["statusText"] == "on the phone"
        rest.online(user, "both", "PC")  # a connected device: nothing but platform and idleness
        told = await client.receive("self")
        assert [(device["deviceId"], device["platform"]) for device in told["devices"]] == [("both", "PC")]
        assert (await client.ask(type="status", status=None))["type"] == "ok"
        assert rest.status_of(user) == "ONLINE"
        rest.offline(user, "both")
        assert await client.closed() == 4410

    asyncio.run(story())
    assert rest.status_of(user) == "OFFLINE"
