"""One device id for each tab, in real browsers: duplicated tabs, reloads, and a browser without locks."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from typing import Any, Protocol

import pytest
from playwright.sync_api import Browser, BrowserContext, Page

from support.firefox import Firefox, firefox
from support.server import Server, run_server

from .conftest import ids

GRACE = 4.0
"""The server's grace period here, in seconds: longer than a reload takes on a busy machine."""


class Tab(Protocol):
    """A tab whose page has the SDK within reach, and no client yet."""

    def evaluate(self, expression: str) -> Any: ...

    def reload(self) -> None: ...

    def navigate(self, url: str) -> None: ...

    def back(self) -> None: ...

    def close(self) -> None: ...

    def duplicate(self) -> Tab:
        """`window.open` of the same page: as *Duplicate tab*, it copies sessionStorage."""
        ...


class ChromiumTab:
    def __init__(self, page: Page) -> None:
        self._page = page

    def evaluate(self, expression: str) -> Any:
        return self._page.evaluate(expression)

    def reload(self) -> None:
        self._page.reload()

    def navigate(self, url: str) -> None:
        self._page.goto(url)

    def back(self) -> None:
        self._page.go_back()

    def close(self) -> None:
        self._page.close()

    def duplicate(self) -> Tab:
        with self._page.context.expect_page() as opened:
            self._page.evaluate("void window.open(location.href)")
        opened.value.wait_for_load_state()
        return ChromiumTab(opened.value)


class FirefoxTab:
    def __init__(self, browser: Firefox, context: str) -> None:
        self._browser = browser
        self._context = context

    def evaluate(self, expression: str) -> Any:
        return self._browser.evaluate(self._context, expression)

    def reload(self) -> None:
        self._browser.do("browsingContext.reload", context=self._context, wait="complete")

    def navigate(self, url: str) -> None:
        self._browser.do("browsingContext.navigate", context=self._context, url=url, wait="complete")

    def back(self) -> None:
        shown = self.evaluate("location.href")
        self._browser.do("browsingContext.traverseHistory", context=self._context, delta=-1)
        until = time.monotonic() + 10
        while time.monotonic() < until:
            (tab,) = self._browser.do("browsingContext.getTree", root=self._context, maxDepth=0)["contexts"]
            if tab["url"] != shown:
                return
            time.sleep(0.05)
        raise AssertionError("it did not go back")

    def close(self) -> None:
        self._browser.do("browsingContext.close", context=self._context)

    def duplicate(self) -> Tab:
        before = set(self._browser.contexts())
        self.evaluate(
            "new Promise((done) => { const opened = window.open(location.href);"
            " opened.addEventListener('load', () => done(), { once: true }); })"
        )
        (context,) = set(self._browser.contexts()) - before
        return FirefoxTab(self._browser, context)


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with run_server(grace_period=GRACE) as server:
        yield server


@pytest.fixture(scope="module")
def a_firefox() -> Iterator[Firefox]:
    with firefox() as browser:
        yield browser


@pytest.fixture(params=["chromium", "firefox"])
def new_tab(request: pytest.FixtureRequest, server: Server) -> Iterator[Callable[[], Tab]]:
    """Opens tabs in each browser; those left over are closed."""
    nobody = f"{server.url}/?people="
    if request.param == "chromium":
        browser: Browser = request.getfixturevalue("browser")
        context: BrowserContext = browser.new_context()

        def in_chromium() -> Tab:
            page = context.new_page()
            page.goto(nobody)
            return ChromiumTab(page)

        yield in_chromium
        context.close()
        return
    driven: Firefox = request.getfixturevalue("a_firefox")
    kept = set(driven.contexts())

    def in_firefox() -> Tab:
        made = driven.do("browsingContext.create", type="tab")["context"]
        driven.do("browsingContext.navigate", context=made, url=nobody, wait="complete")
        return FirefoxTab(driven, made)

    yield in_firefox
    for left in set(driven.contexts()) - kept:
        driven.do("browsingContext.close", context=left)


WITHOUT_LOCKS = "Object.defineProperty(navigator, 'locks', { value: undefined, configurable: true });"
WITHOUT_CHANNELS = "globalThis.BroadcastChannel = undefined;"


def start(tab: Tab, user: int, without: str = "") -> dict[str, Any]:
    """Connect a client in the tab. Returns its device id, and whether its session continues."""
    started: dict[str, Any] = tab.evaluate(
        f"""(async () => {{
          {without}
          const {{ PresenceClient }} = await import("/sdk/presence.js");
          const client = (globalThis.client = new PresenceClient({{
            url: location.origin, userId: {user}, backoff: {{ base: 100, cap: 200 }},
          }}));
          globalThis.codes = [];
          client.addEventListener("state", ({{ detail }}) => detail.code && codes.push(detail.code));
          const {{ continued }} = await client.connect();
          return {{ deviceId: client.deviceId, continued }};
        }})()"""
    )
    return started


def now(tab: Tab) -> dict[str, Any]:
    seen: dict[str, Any] = tab.evaluate("({ state: client.state, deviceId: client.deviceId, codes })")
    return seen


def wait_for(tab: Tab, condition: str) -> None:
    """Wait until it holds in the page, for ten seconds at most."""
    held = tab.evaluate(
        f"""(async () => {{
          for (const end = performance.now() + 10_000; performance.now() < end; ) {{
            if ({condition}) return true;
            await new Promise((done) => setTimeout(done, 20));
          }}
          return JSON.stringify([client.state, codes]);
        }})()"""
    )
    assert held is True, held


def devices(server: Server, user: int) -> set[str]:
    return {device["deviceId"] for device in server.get(f"/status/{user}").data["devices"]}


def stays_online(tab: Tab, server: Server, user: int, seconds: float) -> None:
    """Look at the user every 100 ms: a false OFFLINE lasts until the other tab has come back."""
    seen = tab.evaluate(
        f"""(async () => {{
          const seen = [];
          for (const end = performance.now() + {seconds * 1000}; performance.now() < end; ) {{
            const answer = await fetch("/api/v1/presence/status/{user}");
            seen.push((await answer.json()).data.status);
            await new Promise((done) => setTimeout(done, 100));
          }}
          return [...new Set(seen)];
        }})()"""
    )
    assert seen == ["ONLINE"], json.dumps(seen)


@pytest.mark.parametrize("without", ["", WITHOUT_LOCKS], ids=["locks", "channels"])
def test_a_duplicated_tab_is_another_device(new_tab: Callable[[], Tab], server: Server, without: str) -> None:
    (user,) = ids.take(1)
    tab = new_tab()
    first = start(tab, user, without)
    other = tab.duplicate()
    second = start(other, user, without)
    assert second["deviceId"] != first["deviceId"]
    assert [now(each)["codes"] for each in (tab, other)] == [[], []]
    assert devices(server, user) == {first["deviceId"], second["deviceId"]}

    tab.close()
    stays_online(other, server, user, GRACE + 1)


@pytest.mark.parametrize("without", ["", WITHOUT_LOCKS], ids=["locks", "channels"])
def test_a_reload_keeps_the_id_and_continues_the_session(
    new_tab: Callable[[], Tab], server: Server, without: str
) -> None:
    (user,) = ids.take(1)
    tab = new_tab()
    first = start(tab, user, without)
    other = tab.duplicate()
    second = start(other, user, without)
    for each, started in ((tab, first), (other, second)):
        each.reload()
        assert start(each, user, without) == {"deviceId": started["deviceId"], "continued": True}
    assert devices(server, user) == {first["deviceId"], second["deviceId"]}


@pytest.mark.parametrize("without", ["", WITHOUT_LOCKS], ids=["locks", "channels"])
def test_another_page_of_the_same_tab_is_the_same_device(
    new_tab: Callable[[], Tab], server: Server, without: str
) -> None:
    """And so is the one before, when it comes back out of the browser's cache."""
    (user,) = ids.take(1)
    tab = new_tab()
    first = start(tab, user, without)
    tab.navigate(f"{server.url}/?people=&another")
    assert start(tab, user, without) == {"deviceId": first["deviceId"], "continued": True}
    tab.back()
    if not tab.evaluate("'client' in globalThis"):
        start(tab, user, without)
    wait_for(tab, "client.state === 'online'")
    assert now(tab)["deviceId"] == first["deviceId"]
    assert devices(server, user) == {first["deviceId"]}


def test_two_tabs_with_one_id_cure_themselves(new_tab: Callable[[], Tab], server: Server) -> None:
    (user,) = ids.take(1)
    neither = WITHOUT_LOCKS + WITHOUT_CHANNELS
    tab = new_tab()
    first = start(tab, user, neither)
    other = tab.duplicate()
    assert start(other, user, neither)["deviceId"] == first["deviceId"]  # nobody could tell
    wait_for(tab, "codes.includes(4409) && client.state === 'online'")
    seen = [now(each) for each in (tab, other)]
    assert [each["state"] for each in seen] == ["online", "online"]
    assert seen[0]["deviceId"] != seen[1]["deviceId"] == first["deviceId"]
    other.close()
    stays_online(tab, server, user, GRACE + 1)


def test_two_clients_of_one_page_are_two_devices(new_tab: Callable[[], Tab], server: Server) -> None:
    (user,) = ids.take(1)
    tab = new_tab()
    taken = []
    for _ in range(2):
        one = start(tab, user)["deviceId"]
        tab.evaluate("void (globalThis.one = globalThis.client)")
        taken.append([one, start(tab, user)["deviceId"]])
        tab.reload()
    assert taken[0][0] != taken[0][1]
    assert taken[1] == taken[0]


def test_a_refused_handshake_is_told_to_whoever_connects(new_tab: Callable[[], Tab]) -> None:
    told = new_tab().evaluate(
        """(async () => {
          const { PresenceClient } = await import("/sdk/presence.js");
          const client = new PresenceClient({ url: `${location.origin}/nowhere`, userId: 1, backoff: { base: 100 } });
          const error = await client.connect().then(() => null, (error) => error);
          const { state } = client;
          client.bye();
          return [error.name, error.error, state];
        })()"""
    )
    assert told == ["PresenceError", "not_online", "waiting"]


def test_the_page_comes_back_at_once_when_the_browser_is_online_again(new_tab: Callable[[], Tab]) -> None:
    (user,) = ids.take(1)
    tab = new_tab()
    start(tab, user)
    came_back = tab.evaluate(
        """(async () => {
          const { connect } = await import("/sdk/presence.js");
          const sockets = [];
          class Socket extends WebSocket {
            constructor(...parts) {
              super(...parts);
              sockets.push(this);
            }
          }
          const client = connect({ url: location.origin, WebSocket: Socket, backoff: { base: 1e7, cap: 1e7 } });
          await client.connect();
          sockets[0].onclose({ code: 1006, reason: "" });
          const { state } = client;
          dispatchEvent(new Event("online"));
          await client.connect();
          client.bye();
          return [state, sockets.length];
        })()"""
    )
    assert came_back == ["waiting", 2]


def test_the_page_works_in_each_browser(new_tab: Callable[[], Tab], server: Server) -> None:
    a, b = ids.take(2)
    seen = new_tab().evaluate(
        f"""(async () => {{
          const opened = window.open("/?people={a},{b}");
          for (const end = performance.now() + 10_000; performance.now() < end; ) {{
            const row = opened.document.querySelector('[data-testid="sees-{a}-{b}"]');
            if (row?.dataset.status === "ONLINE") return row.dataset.status;
            await new Promise((done) => setTimeout(done, 50));
          }}
          return opened.document.body.innerText;
        }})()"""
    )
    assert seen == "ONLINE"
