"""The page at `/`, in a real browser against the real server: what two people see of each other."""

import asyncio
import json
import re
import shlex
import threading
import urllib.request
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from pathlib import Path

import pytest
from playwright.sync_api import BrowserContext, Page, expect

from support.proxy import run_proxy
from support.server import free_port, run_server

from .conftest import GRACE, Tab, ids

ROOT = Path(__file__).parents[2]
# Longer than the grace period by what sweeps and a busy machine may take.
AFTER_GRACE = GRACE + 8


def test_two_people_see_each_other_come_online(tab: Tab, two: list[int]) -> None:
    a, b = two
    tab.open(two)
    tab.wait_to_see(a, b, "ONLINE")
    tab.wait_to_see(b, a, "ONLINE")
    expect(tab.by(f"sees-{a}-{b}-platforms")).to_have_text("WEB")
    expect(tab.by(f"truth-{a}")).to_have_text("Online")
    expect(tab.by(f"freshness-{a}")).to_have_text("live")


def test_without_being_told_it_shows_users_whom_the_readme_does_not_name(tab: Tab) -> None:
    tab.page.goto(tab.url)
    tab.wait_for_link(501, "online")
    tab.wait_for_link(502, "online")
    tab.wait_to_see(501, 502, "ONLINE")
    assert re.search(r"\b50[12]\b", (ROOT / "README.md").read_text("utf-8")) is None


def test_busy_shows_with_its_text_and_clear_takes_both_back(tab: Tab, two: list[int]) -> None:
    a, b = two
    tab.open(two)
    tab.by(f"status-text-{a}").fill("in a meeting")
    tab.press("busy", a)
    tab.wait_to_see(b, a, "BUSY")
    expect(tab.by(f"sees-{b}-{a}-said")).to_have_text("“in a meeting”")
    expect(tab.by(f"busy-{a}")).to_have_attribute("aria-pressed", "true")
    expect(tab.by(f"truth-{a}")).to_have_text("Busy")
    tab.press("clear", a)
    tab.wait_to_see(b, a, "ONLINE")
    expect(tab.by(f"sees-{b}-{a}-said")).to_have_text("")
    expect(tab.by(f"busy-{a}")).to_have_attribute("aria-pressed", "false")


def test_idle_is_away_until_it_is_cleared(tab: Tab, two: list[int]) -> None:
    a, b = two
    tab.open(two)
    tab.press("idle", a)
    tab.wait_to_see(b, a, "AWAY")
    expect(tab.by(f"idle-{a}")).to_have_attribute("aria-pressed", "true")
    expect(tab.by(f"sees-{b}-{a}-seen")).to_contain_text("idle, active")
    tab.press("clear", a)
    tab.wait_to_see(b, a, "ONLINE")


def test_invisible_is_offline_to_others_but_not_to_oneself(tab: Tab, two: list[int]) -> None:
    a, b = two
    tab.open(two)
    tab.wait_to_see(b, a, "ONLINE")
    tab.press("invisible", a)
    tab.wait_to_see(b, a, "OFFLINE")
    expect(tab.by(f"sees-{b}-{a}-platforms")).to_have_text("")
    expect(tab.by(f"sees-{b}-{a}-seen")).to_contain_text("last seen")
    expect(tab.by(f"note-{a}")).to_contain_text("invisible, but here")
    expect(tab.by(f"link-{a}")).to_have_text("connected")
    tab.press("clear", a)
    tab.wait_to_see(b, a, "ONLINE")


def test_leaving_shows_at_once_and_reconnecting_brings_back(tab: Tab, two: list[int]) -> None:
    a, b = two
    tab.open(two)
    tab.wait_to_see(b, a, "ONLINE")
    tab.press("leave", a)
    tab.wait_to_see(b, a, "OFFLINE", within=GRACE - 0.3)
    expect(tab.by(f"link-{a}")).to_have_text("closed: 1000 bye")
    expect(tab.by(f"sees-{a}")).to_have_attribute("data-stale", "true")
    tab.press("reconnect", a)
    tab.wait_to_see(b, a, "ONLINE")
    assert [welcome["continued"] for welcome in tab.welcomes(a)] == [False, False]


def test_a_pulled_cable_within_grace_is_noticed_by_nobody(tab: Tab, two: list[int]) -> None:
    a, b = two
    tab.open(two)
    tab.wait_to_see(b, a, "ONLINE")
    tab.press("pull", a)
    tab.wait_for_link(a, "waiting")
    expect(tab.by(f"sees-{a}")).to_have_attribute("data-stale", "true")
    expect(tab.by(f"grace-{a}")).to_be_visible()
    tab.press("busy", b)  # what happens meanwhile is caught up with
    tab.press("reconnect", a)
    tab.wait_for_link(a, "online")
    tab.wait_to_see(a, b, "BUSY")
    expect(tab.by(f"sees-{a}")).to_have_attribute("data-stale", "false")
    expect(tab.by(f"grace-{a}")).to_be_hidden()
    tab.page.wait_for_timeout(GRACE * 1000 + 500)  # were it not for the reconnect, grace would end now
    told = tab.told(b, a)
    assert "OFFLINE" not in told[told.index("ONLINE") :]
    assert [(w["continued"], w["resumed"]) for w in tab.welcomes(a)] == [(False, False), (True, True)]


def test_who_was_away_comes_back_away(tab: Tab, two: list[int]) -> None:
    a, b = two
    tab.open(two)
    tab.press("idle", a)
    tab.wait_to_see(b, a, "AWAY")
    tab.press("pull", a)
    tab.wait_for_link(a, "waiting")
    tab.press("reconnect", a)
    tab.wait_for_link(a, "online")
    tab.press("busy", b)
    tab.wait_to_see(a, b, "BUSY")
    assert tab.told(b, a)[-1] == "AWAY"


def test_a_pulled_cable_shows_when_grace_is_over(tab: Tab, two: list[int]) -> None:
    a, b = two
    tab.open(two)
    tab.wait_to_see(b, a, "ONLINE")
    tab.press("pull", a)
    tab.wait_to_see(b, a, "OFFLINE", within=AFTER_GRACE)
    expect(tab.by(f"grace-text-{a}")).to_contain_text("Grace is over")
    expect(tab.by(f"truth-{a}")).to_have_text("Offline")
    expect(tab.by(f"note-{a}")).to_have_text("this device is offline")
    tab.press("reconnect", a)
    tab.wait_to_see(b, a, "ONLINE")
    assert [welcome["continued"] for welcome in tab.welcomes(a)] == [False, False]


def test_two_tabs_see_each_other(new_tab: Callable[[], Tab], two: list[int]) -> None:
    a, b = two
    one, other = new_tab().open([a], watch=[b]), new_tab().open([b], watch=[a])
    one.wait_to_see(a, b, "ONLINE")
    other.wait_to_see(b, a, "ONLINE")
    one.press("busy", a)
    other.wait_to_see(b, a, "BUSY")
    other.press("leave", b)
    one.wait_to_see(a, b, "OFFLINE")


def test_the_same_person_in_two_tabs_is_online_until_both_have_left(new_tab: Callable[[], Tab], two: list[int]) -> None:
    a, b = two
    one, other = new_tab().open([a, b]), new_tab().open([a])
    one.wait_to_see(b, a, "ONLINE")
    expect(one.by(f"note-{a}")).to_contain_text("2 devices")
    one.press("leave", a)
    one.press("busy", b)
    expect(one.by(f"busy-{b}")).to_have_attribute("aria-pressed", "true")
    assert one.told(b, a)[-1] == "ONLINE"
    other.press("leave", a)
    one.wait_to_see(b, a, "OFFLINE")


def test_a_reload_continues_the_session_and_nobody_notices(new_tab: Callable[[], Tab], two: list[int]) -> None:
    a, b = two
    one, other = new_tab().open([a]), new_tab().open([b], watch=[a])
    other.wait_to_see(b, a, "ONLINE")
    device = one.by(f"device-{a}").inner_text()
    one.page.reload()
    one.wait_for_link(a, "online")
    assert one.by(f"device-{a}").inner_text() == device
    other.page.wait_for_timeout(GRACE * 1000 + 500)
    assert "OFFLINE" not in other.told(b, a)
    assert [welcome["continued"] for welcome in one.welcomes(a)] == [False, True]


def test_a_duplicated_tab_is_another_device(new_tab: Callable[[], Tab], two: list[int]) -> None:
    a, b = two
    one, other = new_tab().open([a]), new_tab().open([b], watch=[a])
    with one.page.context.expect_page() as opened:
        one.page.evaluate("void window.open(location.href)")  # copies sessionStorage, as *Duplicate tab* does
    copy = opened.value
    copy.locator(f'[data-testid="person-{a}"][data-state="online"]').wait_for()
    assert copy.get_by_test_id(f"device-{a}").inner_text() != one.by(f"device-{a}").inner_text()
    expect(one.by(f"link-{a}")).to_have_text("connected")
    copy.close()
    other.page.wait_for_timeout(GRACE * 1000 + 500)
    told = other.told(b, a)
    assert "OFFLINE" not in told[told.index("ONLINE") :]


def test_who_has_left_stays_away_on_reload(tab: Tab, two: list[int]) -> None:
    a, b = two
    tab.open(two)
    tab.press("leave", a)
    tab.page.reload()
    tab.wait_for_link(b, "online")
    expect(tab.by(f"link-{a}")).to_have_text("not connected")
    tab.press("reconnect", a)
    tab.wait_to_see(b, a, "ONLINE")


def test_people_can_be_added_watched_and_removed(tab: Tab, three: list[int]) -> None:
    a, b, c = three
    tab.open([a])
    tab.by("new-user").fill(str(b))
    tab.by("new-platform").select_option("IOS")
    tab.by("add").click()
    tab.wait_to_see(a, b, "ONLINE")
    tab.wait_to_see(b, a, "ONLINE")
    expect(tab.by(f"sees-{a}-{b}-platforms")).to_have_text("IOS")
    tab.by("new-user").fill(str(c))
    tab.by("watch").click()
    tab.wait_to_see(a, c, "OFFLINE")
    expect(tab.by(f"sees-{a}-{c}-seen")).to_have_text("never seen")
    tab.press("remove", b)
    expect(tab.by(f"person-{b}")).to_have_count(0)
    expect(tab.by(f"sees-{a}-{b}")).to_have_count(0)
    tab.by(f"unwatch-{c}").click()
    expect(tab.by(f"sees-{a}-{c}")).to_have_count(0)
    tab.press("remove", a)
    expect(tab.page.get_by_text("No device is here.")).to_be_visible()


def test_the_frames_that_went_by_are_shown(tab: Tab, two: list[int]) -> None:
    a, b = two
    tab.open(two)
    tab.press("busy", a)
    tab.wait_to_see(b, a, "BUSY")
    frames = tab.page.locator('[data-testid="frame"]')
    diff = frames.and_(tab.page.locator('[data-kind="diff"]')).first
    expect(diff).to_contain_text(f"{a} BUSY WEB")
    diff.locator("summary").click()
    expect(diff.locator("pre")).not_to_be_empty()
    assert json.loads(diff.locator("pre").inner_text())["changes"][0]["status"] == "BUSY"
    tab.by("frames-of").select_option(str(a))
    assert {row.get_attribute("data-user") for row in frames.all() if row.is_visible()} == {str(a)}
    tab.by("frames-clear").click()
    expect(frames).to_have_count(0)


def test_the_curl_lines_do_what_the_buttons_did(tab: Tab, two: list[int]) -> None:
    a, b = two
    tab.open(two)
    tab.by(f"status-text-{a}").fill("it's lunch")
    tab.press("busy", a)
    tab.wait_to_see(b, a, "BUSY")
    busy = tab.by("curl-status-line").inner_text()
    tab.press("clear", a)
    tab.wait_to_see(b, a, "ONLINE")
    cleared = tab.by("curl-status-line").inner_text()
    run(busy)
    tab.wait_to_see(b, a, "BUSY")
    expect(tab.by(f"sees-{b}-{a}-said")).to_have_text("“it's lunch”")
    assert run(tab.by("curl-read-line").inner_text())["status"] == "BUSY"
    run(cleared)
    tab.wait_to_see(b, a, "ONLINE")
    tab.press("idle", a)
    tab.wait_to_see(b, a, "AWAY")
    tab.press("clear", a)
    tab.wait_to_see(b, a, "ONLINE")
    run(tab.by("curl-device-line").inner_text())
    tab.press("leave", a)
    tab.wait_to_see(b, a, "OFFLINE")
    leave = tab.by("curl-device-line").inner_text()
    tab.press("reconnect", a)
    tab.wait_to_see(b, a, "ONLINE")
    run(leave)
    tab.wait_to_see(b, a, "OFFLINE")
    expect(tab.by(f"link-{a}")).to_contain_text("closed: 4410")


def run(line: str) -> dict[str, object]:
    """Do what a curl line would: no machine need have curl for this test. Returns the answer's `data`."""
    words = shlex.split(line.replace("\\\n", " "))  # shlex knows no continued lines
    assert words.pop(0) == "curl"
    method, url, headers, body = "GET", "", {}, None
    while words:
        word = words.pop(0)
        if word == "-X":
            method = words.pop(0)
        elif word == "-H":
            name, _, value = words.pop(0).partition(": ")
            headers[name] = value
        elif word == "-d":
            body = words.pop(0).encode()
        else:
            url = word
    direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with direct.open(urllib.request.Request(url, body, headers, method=method), timeout=10) as answer:
        data: dict[str, object] = json.load(answer)["data"]
    return data


def test_a_curl_line_can_be_copied(tab: Tab, two: list[int]) -> None:
    tab.page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    tab.open(two)
    tab.by("curl-read-copy").click()
    expect(tab.by("curl-read-copy")).to_have_text("Copied")
    assert tab.page.evaluate("navigator.clipboard.readText()") == tab.by("curl-read-line").inner_text()


def test_nothing_is_asked_of_another_host(tab: Tab, two: list[int]) -> None:
    tab.open(two)
    host = tab.url.partition("://")[2]
    assert tab.requested
    assert {request.partition("://")[2].partition("/")[0] for request in tab.requested} == {host}


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 768, 375, 360])
def test_nothing_sticks_out_to_the_side(tab: Tab, two: list[int], width: int, scheme: str) -> None:
    a, b = two
    longest = 2**53 - 1
    tab.page.set_viewport_size({"width": width, "height": 800})
    tab.page.emulate_media(color_scheme="dark" if scheme == "dark" else "light")
    tab.open([a, b], watch=[longest])
    tab.by(f"status-text-{a}").fill("W" * 140)
    tab.press("busy", a)
    tab.wait_to_see(b, a, "BUSY")
    tab.press("pull", b)
    tab.wait_for_link(b, "waiting")
    assert sideways(tab.page) == []


def sideways(page: Page) -> list[str]:
    """What reaches past the viewport's right edge, other than inside something that clips or scrolls."""
    found: list[str] = page.evaluate(
        """() => {
          const width = document.documentElement.clientWidth;
          const clipped = (element) => {
            for (let e = element.parentElement; e && e !== document.body; e = e.parentElement) {
              if (getComputedStyle(e).overflowX !== "visible") return true;
            }
            return false;
          };
          const out = [...document.body.querySelectorAll("*")]
            .filter((e) => e.getBoundingClientRect().right > width + 0.5 && !clipped(e))
            .map((e) => `${e.tagName} ${e.className}`);
          return document.documentElement.scrollWidth > width ? ["the page scrolls", ...out] : out;
        }"""
    )
    return found


def test_the_colours_follow_the_system(tab: Tab, two: list[int]) -> None:
    tab.open(two)
    shades = {}
    for scheme in ("light", "dark"):
        tab.page.emulate_media(color_scheme="dark" if scheme == "dark" else "light")
        shades[scheme] = tab.page.evaluate("getComputedStyle(document.documentElement).backgroundColor")
    assert lightness(shades["light"]) > 200
    assert lightness(shades["dark"]) < 60


def lightness(colour: str) -> float:
    """0 to 255, of a computed `rgb(...)`."""
    parts = colour[colour.index("(") + 1 : -1].split(",")
    return sum(float(part) for part in parts[:3]) / 3


def test_the_keyboard_reaches_every_control_and_shows_where_it_is(tab: Tab, two: list[int]) -> None:
    tab.open(two)
    reached, hidden = set(), []
    for _ in range(150):
        tab.page.keyboard.press("Tab")
        name, width = tab.page.evaluate(
            """() => {
              const e = document.activeElement;
              const name = e.dataset.testid ?? e.id ?? e.tagName;
              return [name, parseFloat(getComputedStyle(e).outlineWidth)];
            }"""
        )
        if name in reached and name == "new-user":
            break
        reached.add(name)
        if width < 2 and name not in ("", "BODY"):
            hidden.append(name)
    controls = ["idle", "busy", "invisible", "clear", "status-text", "pull", "reconnect", "leave", "another", "remove"]
    expected = {f"{control}-{user}" for user in two for control in controls}
    expected |= {
        "new-user",
        "new-platform",
        "add",
        "watch",
        "language",
        "frames-of",
        "frames-clear",
        "rest-of",
        "curl-read-copy",
    }
    assert expected - reached == set()
    assert hidden == []


def test_the_keyboard_is_enough(tab: Tab, two: list[int]) -> None:
    a, b = two
    tab.open(two)
    tab.by(f"busy-{a}").focus()
    tab.page.keyboard.press("Space")
    tab.wait_to_see(b, a, "BUSY")
    tab.by(f"pull-{a}").focus()
    tab.page.keyboard.press("Enter")
    tab.wait_for_link(a, "waiting")
    expect(tab.by(f"pull-{a}")).to_be_focused()  # though it can be pulled only once
    tab.page.keyboard.press("Tab")
    expect(tab.by(f"reconnect-{a}")).to_be_focused()
    tab.page.keyboard.press("Enter")
    tab.wait_for_link(a, "online")
    tab.by(f"remove-{a}").focus()
    tab.page.keyboard.press("Enter")
    expect(tab.by(f"person-{a}")).to_have_count(0)
    assert tab.page.evaluate("document.activeElement.dataset.testid") == f"remove-{b}"


def test_changes_are_said_aloud(tab: Tab, two: list[int]) -> None:
    a, b = two
    tab.open(two)
    tab.wait_to_see(b, a, "ONLINE")
    tab.press("busy", a)
    expect(tab.by("announcer")).to_have_text(f"{b} sees {a}: Busy")
    assert tab.by("announcer").get_attribute("aria-live") == "polite"


def test_every_control_has_a_name(tab: Tab, two: list[int]) -> None:
    tab.open(two)
    nameless = tab.page.evaluate(
        """() => [...document.querySelectorAll("button, input, select, [role=region], [role=group]")]
          .filter((e) => !(e.ariaLabel || e.textContent.trim() && e.tagName === "BUTTON" || e.labels?.length))
          .map((e) => e.outerHTML)"""
    )
    assert nameless == []


def test_whoever_asked_for_less_motion_gets_none(tab: Tab, two: list[int]) -> None:
    a, b = two
    tab.page.emulate_media(reduced_motion="reduce")
    tab.open(two)
    tab.press("busy", a)
    tab.wait_to_see(b, a, "BUSY")
    assert tab.page.evaluate("document.getAnimations().length") == 0


def test_a_user_is_online_as_long_as_one_of_their_devices_is(tab: Tab, two: list[int]) -> None:
    a, b = two
    tab.open([a, a, b])
    second = f"{a}.2"
    assert tab.by(f"device-{a}").inner_text() != tab.by(f"device-{second}").inner_text()
    expect(tab.by(f"note-{b}")).not_to_contain_text("devices")
    expect(tab.by(f"note-{a}")).to_contain_text("2 devices")
    tab.wait_to_see(b, a, "ONLINE")
    tab.press("pull", a)
    expect(tab.by(f"truth-{a}")).to_have_text("Online")  # in grace; the others still see it so
    expect(tab.by(f"truth-{a}")).to_have_text("Offline", timeout=AFTER_GRACE * 1000)
    expect(tab.by(f"note-{a}")).to_have_text(f"this device is offline; {a} has others")
    expect(tab.by(f"truth-{second}")).to_have_text("Online")
    tab.press("leave", second)
    tab.wait_to_see(b, a, "OFFLINE", within=AFTER_GRACE)
    told = tab.told(b, a)
    assert told.count("OFFLINE") == (1 if told[0] == "ONLINE" else 2)


def test_a_card_adds_another_device_of_its_user(tab: Tab, two: list[int]) -> None:
    a, b = two
    tab.open(two)
    tab.press("another", a)
    tab.wait_for_link(f"{a}.2", "online")
    expect(tab.by(f"sees-{b}-{a}-platforms")).to_have_text("WEBIOS")
    devices = [tab.by(f"device-{key}").inner_text() for key in (a, f"{a}.2")]
    tab.page.reload()
    tab.wait_for_link(f"{a}.2", "online")
    assert [tab.by(f"device-{key}").inner_text() for key in (a, f"{a}.2")] == devices


def test_a_card_that_lost_its_connection_does_not_say_online_after_the_grace_period(tab: Tab, two: list[int]) -> None:
    a, _ = two
    tab.open([a])
    tab.press("pull", a)  # nobody watches: the card knows by itself
    expect(tab.by(f"truth-{a}")).to_have_text("Offline", timeout=AFTER_GRACE * 1000)
    expect(tab.by(f"idle-{a}")).to_have_attribute("aria-pressed", "false")
    expect(tab.by(f"grace-text-{a}")).to_have_text("Grace is over: this device is offline.")


def test_the_page_speaks_chinese_or_english_by_choice(tab: Tab, two: list[int]) -> None:
    a, b = two
    tab.open(two)
    tab.by("language").select_option("zh")
    expect(tab.by(f"truth-{a}")).to_have_text("在线")
    expect(tab.by(f"clear-{a}")).to_have_text("清除状态")
    expect(tab.page.locator("html")).to_have_attribute("lang", "zh")
    assert english(tab.page) == []
    tab.press("busy", a)
    expect(tab.by(f"sees-{b}-{a}-status")).to_have_text("忙碌")
    tab.page.goto(f"{tab.url}/")  # kept
    tab.wait_for_link(a, "online")
    expect(tab.by(f"truth-{b}")).to_have_text("在线")
    tab.by("language").select_option("en")
    expect(tab.by(f"truth-{b}")).to_have_text("Online")
    assert "拔" not in tab.page.inner_text("body")


def english(page: Page) -> list[str]:
    """Words that the page says in English, other than names and what goes over the wire."""
    found: list[str] = page.evaluate(
        """() => {
          const wire = ".frames .log, .rest pre, .device, .foot, .chip, select, title, script, template";
          const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
          const texts = [];
          while (walker.nextNode()) {
            const node = walker.currentNode;
            if (!node.parentElement.closest(wire) && /[A-Za-z]{3,}/.test(node.data)) texts.push(node.data.trim());
          }
          for (const e of document.querySelectorAll("[aria-label], [title], [placeholder]")) {
            for (const name of ["aria-label", "title", "placeholder"]) {
              const text = e.closest(wire) ? "" : (e.getAttribute(name) ?? "");
              if (/[A-Za-z]{3,}/.test(text.replace("curl", ""))) texts.push(text);
            }
          }
          return texts.filter((text) => !["用 curl 做同样的事"].includes(text));
        }"""
    )
    return found


def test_both_languages_have_all_the_words(tab: Tab, two: list[int]) -> None:
    tab.open(two)
    missing = tab.page.evaluate(
        """async () => {
          const { WORDS } = await import("./assets/language.js");
          const names = (words) => Object.entries(words)
            .map(([key, text]) => `${key} ${[...new Set(text.match(/{\\w+}/g))].sort()}`);
          const [en, zh] = [names(WORDS.en), names(WORDS.zh)];
          return [...en.filter((name) => !zh.includes(name)), ...zh.filter((name) => !en.includes(name))];
        }"""
    )
    assert missing == []


@pytest.mark.parametrize("size", [(1280, 800), (1440, 900), (1920, 1080)])
def test_twelve_people_fit_a_screen(tab: Tab, size: tuple[int, int]) -> None:
    width, height = size
    tab.page.set_viewport_size({"width": width, "height": height})
    twelve = ids.take(12)
    tab.open(twelve)
    tab.press("pull", twelve[0])
    tab.wait_for_link(twelve[0], "waiting")
    lowest = tab.page.evaluate(
        "Math.max(...[...document.querySelectorAll('.person')].map((e) => e.getBoundingClientRect().bottom))"
    )
    assert lowest <= height
    assert sideways(tab.page) == []


def test_a_proxy_that_does_not_pass_websockets_is_named_and_trying_ends(context: BrowserContext) -> None:
    """A proxy as many are set up: it knows HTTP, and answers a request to upgrade by itself."""
    with run_server() as server, http_proxy(server.port) as proxy:
        page = context.new_page()
        page.goto(f"http://127.0.0.1:{proxy}/?people=501")
        expect(page.get_by_test_id("note-501")).to_contain_text("The proxy does not pass WebSockets", timeout=20_000)
        expect(page.get_by_test_id("person-501")).to_have_attribute("data-state", "closed")
        expect(page.get_by_test_id("link-501")).to_have_text("no WebSockets")
        expect(page.get_by_test_id("reconnect-501")).to_have_attribute("aria-disabled", "false")


@contextmanager
def http_proxy(target: int) -> Iterator[int]:
    """The port of a proxy that answers requests to upgrade by itself, with 400."""
    started: Future[int] = Future()
    loops: list[tuple[asyncio.AbstractEventLoop, asyncio.Event]] = []

    async def serve() -> None:
        async with run_proxy(target) as proxy:
            proxy.faults.refuse_upgrades = 400
            loops.append((asyncio.get_running_loop(), asyncio.Event()))
            started.set_result(proxy.port)
            await loops[0][1].wait()

    # Playwright has a loop in this thread.
    thread = threading.Thread(target=lambda: asyncio.run(serve()), daemon=True)
    thread.start()
    port = started.result(5)
    try:
        yield port
    finally:
        loop, ended = loops[0]
        loop.call_soon_threadsafe(ended.set)
        thread.join(5)


def test_a_server_that_is_gone_is_waited_for(context: BrowserContext) -> None:
    """It is not taken for a proxy in the way."""
    port = free_port()
    page = context.new_page()
    with run_server(port=port) as server:
        page.goto(f"{server.url}/?people=501")
        page.locator('[data-testid="person-501"][data-state="online"]').wait_for()
    page.locator('[data-testid="person-501"][data-state="waiting"]').wait_for()
    page.wait_for_timeout(3000)
    with run_server(port=port):
        page.locator('[data-testid="person-501"][data-state="online"]').wait_for(timeout=30_000)


def test_the_api_documentation_is_read_without_the_network(tab: Tab) -> None:
    for language, heading in (("en", "User goes online"), ("zh", "用户上线")):
        tab.page.goto(f"{tab.url}/docs?lang={language}")
        expect(tab.page.locator("#operations-presence-online")).to_contain_text(heading)
        expect(tab.page.locator("html")).to_have_attribute("lang", language)
        tab.page.locator("#operations-presence-online .opblock-summary-control").click()
        expect(tab.page.locator("#operations-presence-online")).to_contain_text("device_123")
    host = tab.url.partition("://")[2]
    asked = {request.partition("://")[2].partition("/")[0] for request in tab.requested if "://" in request}
    assert asked == {host}


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 768, 375])
def test_the_api_documentation_fits_every_screen(tab: Tab, width: int, scheme: str) -> None:
    tab.page.set_viewport_size({"width": width, "height": 800})
    tab.page.emulate_media(color_scheme="dark" if scheme == "dark" else "light")
    tab.page.goto(f"{tab.url}/docs")
    tab.page.locator("#operations-presence-online .opblock-summary-control").click()
    expect(tab.page.locator("#operations-presence-online")).to_contain_text("device_123")
    assert tab.page.evaluate("document.documentElement.scrollWidth") <= width
    shade = lightness(tab.page.evaluate("getComputedStyle(document.body).backgroundColor"))
    assert shade < 60 if scheme == "dark" else shade > 200


def test_whoever_is_not_let_in_is_told_why(context: BrowserContext) -> None:
    with run_server(auth="jwt", jwt_key="k" * 40) as server:
        page = context.new_page()
        page.goto(f"{server.url}/?people=501")
        expect(page.get_by_test_id("link-501")).to_contain_text("closed: 4401")
        expect(page.get_by_test_id("note-501")).to_contain_text("This page has no token")
