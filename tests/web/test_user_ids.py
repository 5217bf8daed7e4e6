"""The page on servers whose user ids are strings, or of 64 bits, and on one with platforms of its own."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import quote

import pytest
from playwright.sync_api import Browser, BrowserContext, expect

from support.server import Server, run_server

from .conftest import Tab
from .test_accessibility import WIDTHS, dress, violations

LONG = "an id of sixty-four letters, as some directory services make them"[:64]
STRANGE = "o'brien 用户 #1?&%"


@pytest.fixture(scope="module")
def strings() -> Iterator[Server]:
    with run_server(user_ids="string", grace_period=2, platforms="WEB,TV,MINI_PROGRAM") as server:
        yield server


@pytest.fixture(scope="module")
def int64() -> Iterator[Server]:
    with run_server(user_ids="int64", grace_period=2) as server:
        yield server


@pytest.fixture
def open_at(browser: Browser) -> Iterator[Callable[[Server, str], Tab]]:
    contexts: list[BrowserContext] = []
    tabs: list[Tab] = []

    def open_(server: Server, query: str = "lang=en") -> Tab:
        contexts.append(browser.new_context(viewport={"width": 1280, "height": 900}))
        contexts[-1].set_default_timeout(10_000)
        tabs.append(Tab(contexts[-1].new_page(), server.url))
        tabs[-1].page.goto(f"{server.url}/?{query}")
        return tabs[-1]

    yield open_
    complaints = [tab.complaints for tab in tabs]
    for context in contexts:
        context.close()
    assert complaints == [[] for _ in complaints]


OpenAt = Callable[..., Tab]


def add(tab: Tab, user: str, how: str = "add") -> None:
    tab.by("new-user").fill(user)
    tab.by(how).click()


def test_strings_are_users(open_at: OpenAt, strings: Server) -> None:
    tab = open_at(strings)
    for user in ("ann", "bob"):
        tab.wait_for_link(user, "online")
    expect(tab.by("new-user")).to_have_value("cho")
    for user in (STRANGE, LONG, "007"):
        add(tab, user)
        tab.wait_for_link(tab_safe(user), "online")
    tab.by(f"status-text-{tab_safe(STRANGE)}").fill("it's on")
    tab.press("busy", tab_safe(STRANGE))
    tab.wait_to_see("ann", tab_safe(STRANGE), "BUSY")  # type: ignore[arg-type]
    line = tab.by("curl-read-line").text_content()
    assert line == f"curl {strings.url}/api/v1/presence/status/o%27brien%20%E7%94%A8%E6%88%B7%20%231%3F%26%25"
    tab.by("another-ann").click()
    tab.wait_for_link("ann/2", "online")
    expect(tab.page.get_by_role("heading", name="ann #2", exact=True)).to_be_visible()
    add(tab, "eve", "watch")
    tab.wait_to_see("ann", "eve", "OFFLINE")  # type: ignore[arg-type]
    strings.request("POST", "/online", {"userId": "eve", "deviceId": "d", "platform": "TV"})
    tab.wait_to_see("ann", "eve", "ONLINE")  # type: ignore[arg-type]
    tab.page.reload()
    for user in ("ann", "ann/2", tab_safe(STRANGE), tab_safe(LONG), "007"):
        tab.wait_for_link(user, "online")


def test_what_is_no_id_is_said_at_the_field(open_at: OpenAt, strings: Server, int64: Server) -> None:
    for server, wrong in ((strings, "a/b"), (int64, "9223372036854775808"), (int64, "007")):
        tab = open_at(server)
        people = tab.page.locator(".person")
        expect(people).to_have_count(2)
        add(tab, wrong)
        assert tab.page.evaluate("document.getElementById('new-user').validity.valid") is False
        expect(people).to_have_count(2)
        add(tab, "77")
        tab.wait_for_link("77", "online")


def test_ids_of_64_bits_are_not_rounded(open_at: OpenAt, int64: Server) -> None:
    greatest = "9223372036854775807"
    tab = open_at(int64, f"lang=en&people={greatest},9007199254740993&watch=9007199254740992")
    for user in (greatest, "9007199254740993"):
        tab.wait_for_link(user, "online")
    tab.press("busy", greatest)
    tab.wait_to_see("9007199254740993", greatest, "BUSY")  # type: ignore[arg-type]
    tab.wait_to_see(greatest, "9007199254740992", "OFFLINE")  # type: ignore[arg-type]
    rows = tab.page.locator(f'[data-testid="person-{greatest}"] .other')
    assert [row.get_attribute("data-testid") for row in rows.all()] == [
        f"sees-{greatest}-9007199254740992",
        f"sees-{greatest}-9007199254740993",
    ]


def test_the_platforms_are_the_servers(open_at: OpenAt, strings: Server) -> None:
    tab = open_at(strings)
    assert tab.by("new-platform").locator("option").all_text_contents() == ["WEB", "TV", "MINI_PROGRAM"]
    tab.by("new-platform").select_option("MINI_PROGRAM")
    add(tab, "cho")
    tab.wait_for_link("cho", "online")
    expect(tab.page.locator('[data-testid="sees-ann-cho"] .platforms')).to_have_text("MINI_PROGRAM")


def test_what_was_stored_of_another_kind_is_let_go(open_at: OpenAt, strings: Server) -> None:
    tab = open_at(strings)
    stored = '{"people":[{"userId":501,"platform":"IOS"},{"userId":502,"platform":"PC"}],"watched":[503]}'
    # As if it had been stored by an earlier visit: the page stores its own when it goes on.
    tab.page.add_init_script(
        f"""if (!sessionStorage.getItem("done")) {{
          sessionStorage.setItem("presence.people", '{stored}');
          sessionStorage.setItem("done", "1");
        }}"""
    )
    tab.page.reload()
    for user in ("ann", "bob"):
        tab.wait_for_link(user, "online")
    expect(tab.page.locator(".person")).to_have_count(2)


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("language", ["en", "zh"])
def test_long_and_strange_ids_fit_and_axe_finds_nothing(
    open_at: OpenAt, strings: Server, width: int, language: str
) -> None:
    tab = open_at(strings, f"lang={language}&people={quote(LONG.replace(',', ''))},{quote('W' * 64)},{quote('مريم')}")
    dress(tab.page, width, "light")
    for user in (LONG.replace(",", ""), "W" * 64, "مريم"):
        tab.wait_for_link(tab_safe(user), "online")
    wide: Any = tab.page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
    assert wide == 0, "nothing sticks out"
    cut = "(cards) => cards.filter((card) => card.scrollWidth > card.clientWidth).length"
    assert tab.page.locator(".person").evaluate_all(cut) == 0, "nothing is cut off"
    for name in ("remove", "another"):  # what an id has pushed out of its card cannot be pressed
        tab.by(f"{name}-{tab_safe('W' * 64)}").click(trial=True)
    assert violations(tab.page) == []


def tab_safe(user: str) -> str:
    """As it stands in a selector between double quotes."""
    return user.replace("\\", "\\\\").replace('"', '\\"')
