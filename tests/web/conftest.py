"""A real Chromium, and pages in it whose frames and console can be looked at."""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Locator, Page, WebSocket, sync_playwright

from support.server import run_server

GRACE = 1.5
"""The server's grace period in these tests, in seconds."""

CHROMIUM = "/usr/bin/chromium"
ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


@dataclass
class Tab:
    """A browser tab with the service's page, and what went over its sockets as the browser itself reports it."""

    page: Page
    url: str
    complaints: list[str] = field(default_factory=list)
    received: list[tuple[int, dict[str, Any]]] = field(default_factory=list)
    requested: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.page.on("console", self._console)
        self.page.on("pageerror", lambda error: self.complaints.append(f"uncaught: {error}"))
        self.page.on("request", lambda request: self.requested.append(request.url))
        self.page.on("websocket", self._socket)

    def _console(self, message: ConsoleMessage) -> None:
        if message.type in ("error", "warning", "assert"):
            self.complaints.append(f"{message.type}: {message.text}")

    def _socket(self, socket: WebSocket) -> None:
        self.requested.append(socket.url)
        users: list[int] = []

        def sent(payload: str | bytes) -> None:
            message = json.loads(payload)
            if message["type"] == "hello":
                users.append(message["userId"])

        socket.on("framesent", sent)
        socket.on("framereceived", lambda payload: self.received.append((users[0], json.loads(payload))))

    def open(self, people: list[int], watch: list[int] | None = None, language: str = "en") -> "Tab":
        """Open the page with these people, and wait until all of them are connected. Twice: a second device."""
        query = f"lang={language}&people={','.join(map(str, people))}"
        if watch:
            query += f"&watch={','.join(map(str, watch))}"
        self.page.goto(f"{self.url}/?{query}")
        for place, user in enumerate(people):
            number = people[: place + 1].count(user)
            self.wait_for_link(user if number == 1 else f"{user}.{number}", "online")
        return self

    def wait_for_link(self, user: int | str, state: str) -> None:
        self.page.locator(f'[data-testid="person-{user}"][data-state="{state}"]').wait_for()

    def by(self, name: str) -> Locator:
        return self.page.get_by_test_id(name)

    def press(self, action: str, user: int | str) -> None:
        self.by(f"{action}-{user}").click()

    def wait_to_see(self, watcher: int | str, user: int, status: str, within: float = 5) -> None:
        """Wait until `watcher`'s card shows `user` with `status`, at most `within` seconds."""
        row = self.page.locator(f'[data-testid="sees-{watcher}-{user}"][data-status="{status}"]')
        row.wait_for(timeout=within * 1000)

    def told(self, watcher: int, user: int) -> list[str]:
        """Every status of `user` that the server told `watcher`, in order."""
        return [
            entry["status"]
            for listener, message in self.received
            for entry in message.get("statuses", []) + message.get("changes", [])
            if listener == watcher and entry["userId"] == user
        ]

    def welcomes(self, user: int) -> list[dict[str, Any]]:
        return [message for listener, message in self.received if listener == user and message["type"] == "welcome"]


@pytest.fixture(scope="session")
def url() -> Iterator[str]:
    with run_server(grace_period=GRACE) as server:
        yield server.url


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        yield browser
        browser.close()


@pytest.fixture
def context(browser: Browser) -> Iterator[BrowserContext]:
    context = browser.new_context(viewport={"width": 1280, "height": 900})
    context.set_default_timeout(10_000)
    yield context
    context.close()


@pytest.fixture
def new_tab(context: BrowserContext, url: str) -> Iterator[Callable[[], Tab]]:
    """Makes tabs; when the test is over, none of their consoles may hold an error or a warning."""
    tabs: list[Tab] = []

    def make() -> Tab:
        tabs.append(Tab(context.new_page(), url))
        return tabs[-1]

    yield make
    assert [tab.complaints for tab in tabs] == [[] for _ in tabs]


@pytest.fixture
def tab(new_tab: Callable[[], Tab]) -> Tab:
    return new_tab()


class Ids:
    """User ids that no other test uses: the server remembers."""

    def __init__(self) -> None:
        self._last = 20000

    def take(self, count: int) -> list[int]:
        first = self._last + 1
        self._last += count
        return list(range(first, first + count))


ids = Ids()


@pytest.fixture
def two() -> list[int]:
    return ids.take(2)


@pytest.fixture
def three() -> list[int]:
    return ids.take(3)
