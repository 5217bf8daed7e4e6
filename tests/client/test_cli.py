"""`presence-client`: what it prints, what it says when it cannot, and its exit codes."""

import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from presence_client.commands.screen import Row, line_of
from support.server import Server, free_port, run_server

SCRIPT = Path(sys.executable).parent / "presence-client"


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    """The console script, without the system's proxies."""
    environment = {name: value for name, value in os.environ.items() if not name.lower().endswith("_proxy")}
    return subprocess.run([str(SCRIPT), *arguments], capture_output=True, text=True, env=environment, timeout=30)


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with run_server(max_batch=3) as server:
        yield server


@contextmanager
def impostor(status: int, body: bytes) -> Iterator[str]:
    """A web server that answers every POST with `body`. Yields its URL."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            """Not into the tests' output."""

    with HTTPServer(("127.0.0.1", 0), Handler) as http:
        thread = threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield f"http://127.0.0.1:{http.server_port}"
        http.shutdown()
        thread.join()


def test_a_line_per_user_in_the_order_asked(server: Server) -> None:
    server.online(10001, "d1", "WEB")
    server.online(10001, "d2", "IOS")
    server.request("PUT", "/status/10001", {"status": "BUSY", "statusText": "in a meeting"})
    ended = run("status", "7", "10001", "7", "--url", server.url)
    assert (ended.returncode, ended.stderr) == (0, "")
    first, second, third = ended.stdout.splitlines()
    assert first == third == "7      OFFLINE  -        never seen"
    assert second.startswith("10001  BUSY     WEB,IOS  last active 20")
    assert second.endswith("Z  in a meeting")


def test_a_slash_behind_the_url_does_no_harm(server: Server) -> None:
    assert run("status", "7", "--url", f"{server.url}/").returncode == 0


def test_nobody_listens() -> None:
    url = f"http://127.0.0.1:{free_port()}"
    ended = run("status", "1", "--url", url)
    assert (ended.returncode, ended.stdout) == (1, "")
    assert ended.stderr == f"presence-client: cannot reach {url}: Connection refused\n"


def test_the_server_refuses(server: Server) -> None:
    ended = run("status", "1", "2", "3", "4", "--url", server.url)
    assert (ended.returncode, ended.stdout) == (1, "")
    assert ended.stderr == (
        f"presence-client: {server.url} refused: 400 invalid_request (userIds: must be at most 3 ids)\n"
    )


@pytest.mark.parametrize("body", [b"<html>", b"[]", b'{"data":1}', json.dumps({"data": [{}]}).encode()])
def test_another_server_answers(body: bytes) -> None:
    with impostor(200, body) as url:
        ended = run("status", "1", "--url", url)
    assert (ended.returncode, ended.stdout) == (1, "")
    assert ended.stderr == f"presence-client: {url} answered, but not as a presence server does\n"


def test_another_server_refuses() -> None:
    with impostor(404, b"<html>") as url:
        ended = run("status", "1", "--url", url)
    assert (ended.returncode, ended.stderr) == (1, f"presence-client: {url} refused: 404 Not Found\n")


@pytest.mark.parametrize("user_id", ["0", "-1", "x", "1e3", "１", "9007199254740992", "9" * 5000])
def test_what_is_no_user_id(user_id: str) -> None:
    ended = run("status", "--", user_id)
    assert (ended.returncode, ended.stdout) == (2, "")
    assert ended.stderr.startswith("presence-client: argument USER_ID: ")
    assert ended.stderr.count("\n") == 1


@pytest.mark.parametrize("url", ["127.0.0.1:8004", "ftp://a", "http://", "http://a:x", "http://a?b", "http://[::1"])
def test_what_is_no_url(url: str) -> None:
    ended = run("status", "1", "--url", url)
    assert (ended.returncode, ended.stdout) == (2, "")
    assert ended.stderr.startswith("presence-client: --url: ")


@pytest.mark.parametrize("arguments", [(), ("status",), ("dance", "1"), ("status", "1", "--colour")])
def test_no_such_command(arguments: tuple[str, ...]) -> None:
    ended = run(*arguments)
    assert (ended.returncode, ended.stdout) == (2, "")
    assert ended.stderr.startswith("presence-client: ")
    assert ended.stderr.count("\n") == 1


def test_help() -> None:
    ended = run("--help")
    assert (ended.returncode, ended.stderr) == (0, "")
    assert "status" in ended.stdout


def test_a_line() -> None:
    coarse = Row(5, "ONLINE", [], None, "lunch", "🍜", "this_week", "2025-11-09T15:00:00Z")
    assert line_of(coarse) == "5  ONLINE   -        last seen this week  idle since 2025-11-09T15:00:00Z  🍜  lunch"
    assert line_of(Row(5, "ONLINE", ["WEB"], None, None)) == "5  ONLINE   WEB      last active unknown"
    assert line_of(Row(5, "AWAY", ["PC"], "2025-11-09T15:00:00Z", None), 3) == (
        "5    AWAY     PC       last active 2025-11-09T15:00:00Z"
    )
