"""The page and its assets, as a browser gets them."""

from collections.abc import Iterator

import pytest

from support.server import Server, run_server


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with run_server(grace_period=2.5) as running:
        yield running


def test_the_page_tells_the_grace_period_and_locks_itself_down(server: Server) -> None:
    page = server.request("GET", "//")
    assert page.status == 200
    assert 'name="presence-grace-period" content="2.5"' in page.text
    assert "default-src 'self'" in page.headers["Content-Security-Policy"]
    assert page.headers["X-Content-Type-Options"] == "nosniff"


@pytest.mark.parametrize("path", ["//assets/page.js", "//assets/page.css", "//sdk/presence.js", "//favicon.ico"])
def test_assets_are_there_and_are_asked_for_once(server: Server, path: str) -> None:
    asset = server.request("GET", path)
    assert asset.status == 200
    again = server.request("GET", path, headers={"If-None-Match": asset.headers["ETag"]})
    assert (again.status, again.text) == (304, "")


@pytest.mark.parametrize("path", ["//assets/__init__.py", "//assets/nope.js", "//assets/..%2f..%2fapp.py", "//sdk/"])
def test_nothing_else_is_served(server: Server, path: str) -> None:
    refused = server.request("GET", path)
    assert (refused.status, refused.json["code"]) == (404, 404)
