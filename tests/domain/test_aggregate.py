"""Claims and devices of one user -> one public state: every small case there is, against the rules once more."""

from __future__ import annotations

from itertools import combinations, product

import pytest

from domain.naive_claims import NaiveClaims, Said
from presence_server.domain.aggregate import aggregate, decide
from presence_server.domain.claims import ordered
from presence_server.domain.model import (
    OFFLINE,
    SELF,
    Claim,
    Device,
    Idle,
    Platform,
    PublicState,
    Source,
    Status,
)

WEB, IOS, ANDROID, PC = Platform
NOW = 1_000.0
CALL, CALENDAR, BOT = Source("call", 80), Source("calendar", 40), Source("bot", 50)


def device(platform: Platform = WEB, *, idle: bool = False, busy: bool = False) -> Device:
    made = Device(1, f"{platform}-{idle}", platform, 1, 100.0, 1_000)
    made.activity = Idle(100.0, is_said=True) if idle else 100.0
    made.set_busy(busy)
    return made


def said(status: Status | None, source: Source = SELF, text: str | None = None, **more: object) -> Claim:
    return Claim(source, "", 900, None, status, text, **more)  # type: ignore[arg-type]


def test_every_small_case() -> None:
    """Each pair of claims out of some hundred, and each of a few devices: both ways of saying the rules agree."""
    times = ((900, None, False), (900, 1_000, True), (1_000, 1_001, True), (1_001, 1_002, True), (950, 1_060, False))
    claims = [
        Claim(source, "", since, until, status, text, is_planned=is_planned, alone=alone)
        for source, (since, until, is_planned) in product((SELF, CALL, CALENDAR, BOT), times)
        for status, text, alone in (
            (Status.OFFLINE, None, False),
            (Status.BUSY, "meeting", False),
            (Status.AWAY, None, True),
            (None, "elsewhere", False),
            (None, "out of office", True),
        )
    ]
    there = ((None, ()), (Status.ONLINE, (device(),)), (Status.AWAY, (device(idle=True),)))
    count = 0
    for pair in combinations(claims, 2):
        naive = NaiveClaims()
        naive.said = [Said(c.source.name, c.source.weight, *c[1:], order=-i) for i, c in enumerate(pair)]  # type: ignore[misc]
        stack = ordered(pair)
        for word, devices in there:
            assert aggregate(stack, devices, NOW) == naive.public(word, (WEB,), NOW), (pair, word)
            count += 1
    assert count > 10_000


def test_no_device_is_offline_whatever_was_said() -> None:
    assert aggregate((), [], NOW) == OFFLINE
    for status in Status:
        assert aggregate((said(status),), [], NOW) == OFFLINE


@pytest.mark.parametrize(
    "levels", list(product([(False, False), (True, False), (False, True), (True, True)], repeat=2))
)
def test_the_devices_word(levels: tuple[tuple[bool, bool], ...]) -> None:
    """BUSY if any says so, else ONLINE if any is active, else AWAY."""
    devices = [device(idle=idle, busy=busy) for idle, busy in levels]
    idle_all, busy_any = all(idle for idle, _ in levels), any(busy for _, busy in levels)
    expected = Status.BUSY if busy_any else Status.AWAY if idle_all else Status.ONLINE
    assert aggregate((), devices, NOW).status is expected


def test_a_claim_of_a_service_never_unmasks() -> None:
    for source, alone in product((CALL, CALENDAR), (True, False)):
        stack = ordered((said(Status.BUSY, source, "call", alone=alone), said(Status.OFFLINE)))
        for devices in ((), (device(),)):
            assert aggregate(stack, devices, NOW).status is Status.OFFLINE
            assert decide(stack, devices, NOW).by == said(Status.OFFLINE)


def test_an_own_text_shows_whatever_the_status_is() -> None:
    lunch = said(None, SELF, "lunch")
    assert aggregate((lunch,), (), NOW) == PublicState(Status.OFFLINE, (), "lunch")
    assert aggregate(ordered((said(Status.OFFLINE), lunch)), (device(),), NOW) == PublicState(
        Status.OFFLINE, (), "lunch"
    )
    assert aggregate((lunch,), (device(),), NOW) == PublicState(Status.ONLINE, (WEB,), "lunch")


def test_invisible_cannot_be_told_from_away_whatever_is_claimed() -> None:
    texts = [said(None, source, "text", alone=alone) for source in (SELF, CALL) for alone in (True, False)]
    for some in (*combinations(texts, 1), *combinations(texts, 2)):
        hidden = aggregate(ordered((*some, said(Status.OFFLINE))), (device(),), NOW)
        assert hidden == aggregate(ordered(some), (), NOW)


def test_since_when_all_devices_are_idle_is_told_if_the_operator_lets_it_be() -> None:
    quiet, other = device(idle=True), device(IOS, idle=True)
    quiet.was_active(700)
    other.was_active(800)
    assert aggregate((), (quiet, other), NOW).idle_since is None
    assert aggregate((), (quiet, other), NOW, show_idle_since=True).idle_since == 800
    assert aggregate((), (quiet, device()), NOW, show_idle_since=True).idle_since is None
    assert aggregate((said(Status.OFFLINE),), (quiet,), NOW, show_idle_since=True) == OFFLINE


def test_platforms_are_distinct_and_in_enum_order() -> None:
    devices = [device(PC), device(WEB), device(ANDROID), device(WEB, idle=True), device(PC, idle=True)]
    assert aggregate((), devices, NOW).platforms == (WEB, ANDROID, PC)
    assert aggregate((), [device(each) for each in reversed(Platform)], NOW).platforms == tuple(Platform)


def test_equal_states_without_a_text_are_one_object() -> None:
    """A million users in the same state cost one state."""
    some, others = [device(), device(IOS)], [device(IOS), device()]
    assert aggregate((), some, NOW) is aggregate((said(Status.ONLINE),), others, NOW)
