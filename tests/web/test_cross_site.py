"""A stranger's page in a real Chromium: whatever it tries, it changes nothing and reads nothing."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from playwright.sync_api import Browser, Page

from support.server import BASE, Server, run_server

ONLINE = '{"userId":7,"deviceId":"evil","platform":"WEB"}'

TRIES = {
    "fetch as JSON": "fetch(url + '/online', {method: 'POST', headers: {'Content-Type': 'application/json'}, body})",
    "fetch as text": "fetch(url + '/online', {method: 'POST', body})",
    "fetch without asking": "fetch(url + '/online', {method: 'POST', mode: 'no-cors', body})",
    "fetch without a type": "fetch(url + '/online', {method: 'POST', mode: 'no-cors', body: new Blob([body])})",
    "PUT": "fetch(url + '/status/7', {method: 'PUT', body: JSON.stringify({status: 'BUSY'})})",
    "DELETE": "fetch(url + '/status/7', {method: 'DELETE'})",
    "beacon": "navigator.sendBeacon(url + '/online', body)",
    "form": """new Promise((done) => {
        document.body.innerHTML = `<iframe name="f"></iframe><form target="f" method="post" enctype="text/plain"
            action="${url}/online"><input name='{"userId":7,"deviceId":"evil","platform":"WEB","x":"'
            value='"}'></form>`;
        document.querySelector("iframe").onload = done;
        document.querySelector("form").submit();
    })""",
}
READS = {
    "fetch": "fetch(url + '/status/7').then((answer) => answer.text())",
    "fetch the page": "fetch(url.replace('/api/v1/presence', '/')).then((answer) => answer.text())",
    "import": "import(url.replace('/api/v1/presence', '/sdk/presence.js')).then(() => 'read')",
    "WebSocket": """new Promise((done, failed) => {
        const socket = new WebSocket(url.replace('http', 'ws') + '/ws');
        socket.onopen = () => done('open');
        socket.onerror = failed;
    })""",
    "frame": """new Promise((done, failed) => {
        const frame = document.createElement('iframe');
        frame.onload = () => { try { done(frame.contentDocument.body.innerText); } catch (no) { failed(no); } };
        frame.src = url + '/status/7';
        document.body.append(frame);
    }).then((text) => text || Promise.reject(text))""",
}


@contextmanager
def stranger() -> Iterator[str]:
    """A site of somebody else's: another origin and, by its name, another site."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            page = b"<!doctype html><title>evil</title><body></body>"
            self.send_response(200)
            self.send_header("Content-Type", "text/html")
            self.send_header("Content-Length", str(len(page)))
            self.end_headers()
            self.wfile.write(page)

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield f"http://evil.localhost:{server.server_address[1]}/"
        finally:
            server.shutdown()
            thread.join()


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    # With a list, since loopback pages are let in without one.
    with run_server(allowed_origins="https://app.example") as running:
        yield running


@pytest.fixture
def evil(browser: Browser) -> Iterator[Page]:
    with stranger() as url:
        context = browser.new_context()
        page = context.new_page()
        page.goto(url)
        yield page
        context.close()


def attempt(page: Page, server: Server, what: str) -> Any:
    """What came of it: `no` if it failed."""
    script = f"async ([url, body]) => {{ try {{ return await {what}; }} catch {{ return 'no'; }} }}"
    return page.evaluate(f"async (given) => String(await ({script})(given))", [server.url + BASE, ONLINE])


@pytest.mark.parametrize("what", TRIES)
def test_a_strangers_page_changes_nothing(evil: Page, server: Server, what: str) -> None:
    server.request("PUT", "/status/7", {"status": "AWAY"})
    before = server.request("POST", "/status/batch", {"userIds": [7], "detail": True}).data
    attempt(evil, server, TRIES[what])
    evil.wait_for_load_state("networkidle")
    assert server.request("POST", "/status/batch", {"userIds": [7], "detail": True}).data == before
    assert server.status_of(7) == "OFFLINE"


@pytest.mark.parametrize("what", READS)
def test_a_strangers_page_reads_nothing(evil: Page, server: Server, what: str) -> None:
    assert attempt(evil, server, READS[what]) == "no"
