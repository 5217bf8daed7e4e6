"""What back ends claim of users, through the SDK: on the real server, and on the fake one alike."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from presence_client import Claim, PresenceApi, RequestFailed
from presence_client.testing import FakePresenceServer
from presence_protocol.fields import parse_time
from support.server import run_server


@asynccontextmanager
async def real(user_ids: Any = "number") -> AsyncIterator[PresenceApi]:
    with run_server(user_ids=user_ids) as server:
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
            async with asyncio.timeout(30), request.param(user_ids) as api:
                await story(api)

        asyncio.run(in_time())

    return run


def hours(count: float) -> datetime:
    return datetime.now(UTC) + timedelta(hours=count)


def test_a_calendar_is_set_at_once_and_the_heaviest_wins(play: Any) -> None:
    async def story(api: PresenceApi) -> None:
        await api.online(1, "d", "WEB")
        meeting = Claim(id="m1", status="BUSY", text="Standup", emoji="📅", until=timedelta(hours=1))
        later = Claim(id="m2", status="AWAY", begins=hours(2), until=hours(3))
        held = await api.set_claims(1, "calendar", [meeting, later])
        assert [(one.source, one.id, one.weight, one.in_force) for one in held.claims] == [
            ("calendar", "m2", 40, False), ("calendar", "m1", 40, True)
        ]  # fmt: skip
        assert (held.now.status, held.now.status_by.source, held.now.status_by.id) == ("BUSY", "calendar", "m1")
        assert (held.now.status_text, held.now.status_emoji) == ("Standup", "📅")
        assert held.next is not None
        assert (held.next.status, held.next.status_by.source, held.next.at) == (
            "ONLINE",
            "devices",
            held.now.status_by.until,
        )
        again = await api.set_claims(1, "calendar", [meeting, later])
        assert [one.id for one in again.claims] == ["m2", "m1"]
        await api.set_status(1, "AWAY")
        await api.set_claims(1, "call", [Claim(status="BUSY", until=timedelta(minutes=5))])
        (user,) = await api.statuses([1])
        assert (user.status, user.status_text) == ("BUSY", "Standup")
        await api.end_claims(1, "call")
        assert (await api.status(1)).status == "AWAY", "the person's own word outweighs a calendar"

    play(story)


def test_one_claim_is_changed_and_ended(play: Any) -> None:
    async def story(api: PresenceApi) -> None:
        await api.online(1, "d", "WEB")
        held = await api.change_claim(1, "call", "c 1/ä", status="BUSY", until=timedelta(minutes=5))
        assert held.claims[0].id == "c 1/ä"
        held = await api.change_claim(1, "call", "c 1/ä", text="on the phone")
        assert (held.claims[0].status, held.claims[0].status_text) == ("BUSY", "on the phone")
        held = await api.change_claim(1, "call", "c 1/ä", status=None, alone=True)
        assert (held.now.status, held.claims[0].alone) == ("ONLINE", True)
        await api.change_claim(1, "call", "other", status="BUSY", until=timedelta(minutes=5))
        held = await api.end_claims(1, "call", "c 1/ä")
        assert [one.id for one in held.claims] == ["other"]
        assert (await api.end_claims(1, "call")).claims == []
        assert (await api.claims(1)).next is None

    play(story)


def test_a_holiday_for_everybody(play: Any) -> None:
    async def story(api: PresenceApi) -> None:
        made = await api.set_claims_of_many([1, 2, 3], "hours", [Claim(text="holiday", alone=True, until=hours(9))])
        assert (made.users, made.refused) == (3, [])
        assert [user.status_text for user in await api.statuses([1, 2, 3, 4])] == ["holiday"] * 3 + [None]

    play(story)


def test_invisible_beats_every_claim_and_alone_needs_no_device(play: Any) -> None:
    async def story(api: PresenceApi) -> None:
        await api.set_claims(1, "call", [Claim(status="BUSY", until=hours(1))])
        assert (await api.status(1)).status == "OFFLINE", "a claim needs a device to show"
        await api.set_claims(1, "call", [Claim(status="BUSY", text="bot", alone=True, until=hours(1))])
        assert (await api.status(1)).status == "BUSY"
        await api.set_status(1, "OFFLINE")
        assert (await api.status(1)).status == "OFFLINE"

    play(story)


@pytest.mark.parametrize(
    ("source", "claim", "field", "reason"),
    [
        ("gossip", Claim(status="BUSY", until=hours(1)), "source", "must be one of call, self, calendar, hours"),
        ("call", Claim(status="BUSY"), "claims[0].until", "is required"),
        ("call", Claim(until=hours(1)), "claims[0].status", "is required, unless there is a statusText or statusEmoji"),
        ("call", Claim(status="BUSY", until=hours(-1)), "claims[0].until", "must be later than now"),
        ("call", Claim(status="BUSY", begins=hours(2), until=hours(1)), "claims[0].until", "must be later than from"),
        ("call", Claim(status="BUSY", until=hours(9000)), "claims[0].until", "must be at most a year ahead"),
    ],
)
def test_what_the_server_refuses_is_named(play: Any, source: str, claim: Claim, field: str, reason: str) -> None:
    async def story(api: PresenceApi) -> None:
        with pytest.raises(RequestFailed) as refused:
            await api.set_claims(1, source, [claim])
        assert (refused.value.code, refused.value.error) == (400, "invalid_request")
        assert [(detail.field, detail.reason) for detail in refused.value.details] == [(field, reason)]

    play(story)


def test_too_many_and_alike_are_refused(play: Any) -> None:
    async def story(api: PresenceApi) -> None:
        one = Claim(status="BUSY", until=hours(1), id="a")
        with pytest.raises(RequestFailed, match=r"claims\[1\].id: must not be that of claims\[0\] as well"):
            await api.set_claims(1, "call", [one, one])
        with pytest.raises(RequestFailed, match="claims: must be at most 64"):
            await api.set_claims(1, "call", [Claim(status="BUSY", until=hours(1))] * 65)

    play(story)


@pytest.mark.parametrize(
    ("claim", "reason"),
    [
        (Claim(status="ASLEEP", until=hours(1)), r"claims\[0\].status must be one of"),  # type: ignore[arg-type]
        (Claim(text="x" * 141, until=hours(1)), r"claims\[0\].text must be a string of at most 140"),
        (Claim(emoji="🌴🌴", until=hours(1)), r"claims\[0\].emoji must be one emoji"),
        (Claim(status="BUSY", until=datetime(2030, 1, 1)), r"claims\[0\].until must have a time zone"),  # noqa: DTZ001
        (Claim(status="BUSY", begins="soon", until=hours(1)), r"claims\[0\].begins must be a time like"),
        (Claim(status="BUSY", id="", until=hours(1)), r"claims\[0\].id must be a string of 1"),
    ],
)
def test_what_cannot_be_right_is_never_sent(claim: Claim, reason: str) -> None:
    async def story() -> None:
        async with PresenceApi("http://127.0.0.1:9") as api:
            with pytest.raises(ValueError, match=reason):
                await api.set_claims(1, "call", [claim])
            with pytest.raises(ValueError, match="one of status, text"):
                await api.change_claim(1, "call", "c")

    asyncio.run(story())


def test_a_status_has_all_its_fields(play: Any) -> None:
    async def story(api: PresenceApi) -> None:
        await api.online(1, "d", "WEB")
        await api.set_status(1, "BUSY", text="on leave", emoji=":palm_tree:", text_until=hours(48))
        (user,) = await api.statuses([1])
        assert (user.status, user.status_text, user.status_emoji) == ("BUSY", "on leave", ":palm_tree:")
        await api.set_status(1, None)
        (user,) = await api.statuses([1])
        assert (user.status, user.status_text) == ("ONLINE", "on leave"), "what is left out stays"
        await api.set_status(1, emoji=None)
        (user,) = await api.statuses([1])
        assert (user.status_text, user.status_emoji) == ("on leave", None)
        await api.clear_status(1)
        assert (await api.statuses([1]))[0].status_text is None

    play(story)


def test_a_busy_device_is_busy_until_it_says_otherwise(play: Any) -> None:
    async def story(api: PresenceApi) -> None:
        await api.online(1, "d", "WEB", busy=True)
        assert (await api.status(1)).status == "BUSY"
        await api.online(1, "e", "IOS", idle=True)
        assert (await api.status(1)).status == "BUSY"
        await api.heartbeat(1, "d", busy=False, idle=True)
        assert (await api.status(1)).status == "AWAY"

    play(story)


def test_it_is_explained(play: Any) -> None:
    async def story(api: PresenceApi) -> None:
        await api.online(1, "d", "WEB")
        await api.set_claims(1, "call", [Claim(id="c", status="BUSY", until=timedelta(minutes=5))])
        told = await api.explain(1)
        assert (told.status, told.status_by.source, told.status_by.id) == ("BUSY", "call", "c")
        assert told.until is not None
        assert "the source call says so" in told.sentence["en"]
        assert told.sentence["zh"]
        assert told.next is not None
        (device,) = told.devices
        assert (device.device_id, device.holder) == ("d", "rest")
        assert parse_time(device.lapses_at) is not None
        assert {change.after for change in told.changes} >= {"ONLINE", "BUSY"}

    play(story)


@pytest.mark.parametrize(("user_ids", "user"), [("int64", 2**63 - 1), ("string", "bob 用户")])
def test_users_of_other_kinds(play: Any, user_ids: Any, user: Any) -> None:
    async def story(api: PresenceApi) -> None:
        held = await api.set_claims(user, "call", [Claim(status="BUSY", alone=True, until=hours(1))])
        assert held.user_id == user
        assert (await api.set_claims_of_many([user], "hours", [])).users == 1
        assert (await api.explain(user)).user_id == user

    play(story, user_ids)
