"""The browser SDK and the pages through the proxies of docs/operations.md: TLS in front, the server below a path."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, BrowserContext, expect

from support.proxies import NAMES, run_block
from support.server import Server, run_server
from support.tls import Authority

from .conftest import Tab, ids


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with run_server(root_path="/presence", trusted_proxies="127.0.0.1", grace_period=1.5) as running:
        yield running


@pytest.fixture
def secure(browser: Browser) -> Iterator[BrowserContext]:
    context = browser.new_context(ignore_https_errors=True)
    context.set_default_timeout(15_000)
    yield context
    context.close()


@pytest.mark.parametrize("name", NAMES)
def test_two_people_see_each_other_through_a_proxy(
    name: str, server: Server, secure: BrowserContext, tmp_path: Path
) -> None:
    a, b = ids.take(2)
    with run_block(name, server.port, tmp_path, Authority(tmp_path)) as url:
        tab = Tab(secure.new_page(), url).open([a, b])
        tab.wait_to_see(a, b, "ONLINE")
        tab.press("busy", b)
        tab.wait_to_see(a, b, "BUSY")
        assert f"{url}/api/v1/presence/status/{b}" in tab.by("curl-read-line").inner_text()
        tab.page.goto(f"{url}/docs")
        expect(tab.page.locator("#operations-presence-online")).to_be_visible()
        assert tab.complaints == []
        assert all("/presence/" in asked for asked in tab.requested if not asked.startswith(("data:", "blob:")))
