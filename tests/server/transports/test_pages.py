"""The page and its assets, as a browser gets them."""

import re
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.raw import upgrade
from support.server import BASE, Server, run_server

ROOT = Path(__file__).parents[3]


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with run_server(grace_period=2.5) as running:
        yield running


def test_the_page_tells_the_grace_period_and_locks_itself_down(server: Server) -> None:
    page = server.request("GET", "//")
    assert page.status == 200
    assert 'name="presence-grace-period" content="2.5"' in page.text
    assert "default-src 'self'" in page.headers["Content-Security-Policy"]
    for name, value in (
        ("X-Content-Type-Options", "nosniff"),
        ("X-Frame-Options", "DENY"),
        ("Referrer-Policy", "no-referrer"),
        ("Cross-Origin-Opener-Policy", "same-origin"),
        ("Cross-Origin-Resource-Policy", "same-origin"),
    ):
        assert page.headers[name] == value


@pytest.mark.parametrize(
    "path", ["//docs", "//assets/page.js", "//assets/page.css", "//sdk/presence.js", "//favicon.ico"]
)
def test_assets_are_there_and_are_asked_for_once(server: Server, path: str) -> None:
    asset = server.request("GET", path)
    assert asset.status == 200
    again = server.request("GET", path, headers={"If-None-Match": asset.headers["ETag"]})
    assert (again.status, again.text) == (304, "")


@pytest.mark.node
def test_what_is_vendored_is_what_was_published() -> None:
    """At the version that `tests/node/package.json` pins, so that a newer one is a change of two places."""
    vendored = ROOT / "server" / "presence_server" / "web" / "vendor"
    published = ROOT / "tests" / "node" / "node_modules" / "swagger-ui-dist"
    for file in ("swagger-ui-bundle.js", "swagger-ui-bundle.js.LICENSE.txt", "swagger-ui.css", "LICENSE", "NOTICE"):
        assert (vendored / file).read_bytes() == (published / file).read_bytes(), file
    for notice in (ROOT / "NOTICE", ROOT / "client_sdk" / "python" / "NOTICE"):
        assert "Swagger UI       Apache-2.0" in notice.read_text("utf-8")


def test_no_page_has_a_script_in_it(server: Server) -> None:
    for path in ("//", "//docs"):
        page = server.request("GET", path)
        assert re.search(r"<script(?![^>]*\bsrc=)|\son\w+=|<style|\sstyle=", page.text) is None
        policy = page.headers["Content-Security-Policy"]
        assert "unsafe" not in policy
        assert "default-src 'self'" in policy


@pytest.mark.parametrize("path", ["//", "//docs"])
def test_all_addresses_of_a_page_are_relative(server: Server, path: str) -> None:
    addresses = re.findall(r'(?:src|href)="([^"]*)"', server.request("GET", path).text)
    assert len(addresses) > 4
    assert [address for address in addresses if address.startswith("/") or ":" in address] == []


@pytest.mark.parametrize("root_path", ["/presence", "/a/b-c.d/"])
def test_below_a_path_all_is_served_as_at_the_root(root_path: str) -> None:
    root = root_path.rstrip("/")
    with run_server(root_path=root_path) as server:
        for path in ("/", "/docs", "/openapi.json", "/healthz", "/readyz", "/metrics", "/assets/page.js"):
            assert server.request("GET", f"/{root}{path}").status == 200
            assert server.request("GET", f"/{path}").status == 200  # a proxy may have taken the path off
        assert server.request("POST", f"/{root}{BASE}/status/batch", {"userIds": [1]}).data == [
            {"userId": 1, "status": "OFFLINE"}
        ]
        assert server.request("GET", f"/{root}").text.startswith("<!doctype html>")  # redirected to the slash
        for wrong in (f"{root}x/healthz", f"{root}{root}/healthz", f"{root}//healthz"):
            assert server.request("GET", f"/{wrong}").status == 404
        for path in (f"{root}{BASE}/ws", f"{BASE}/ws"):
            assert handshake(server, path) == 101
            assert handshake(server, path, b"X-Name:\tunusual\r\n") == 101
        assert handshake(server, f"{root}{root}{BASE}/ws") == 404


def handshake(server: Server, path: str, extra: bytes = b"") -> int:
    """The status of the answer to a request to upgrade."""
    with socket.create_connection(("127.0.0.1", server.port), 5) as link:
        link.sendall(upgrade(extra=extra, path=path))
        return int(link.recv(4096).split()[1])


@pytest.mark.parametrize("path", ["//assets/__init__.py", "//assets/nope.js", "//assets/..%2f..%2fapp.py", "//sdk/"])
def test_nothing_else_is_served(server: Server, path: str) -> None:
    refused = server.request("GET", path)
    assert (refused.status, refused.json["code"]) == (404, 404)
