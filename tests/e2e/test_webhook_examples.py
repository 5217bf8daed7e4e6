"""The receivers in `examples/` are run: what a real server sends reaches them, and nothing that others send does."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from standardwebhooks.webhooks import Webhook

from support.server import Server, free_port, run_server

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "examples"
MODULES = ROOT / "tests" / "node" / "node_modules"
OLD, SECRET = "whsec_b2xkIHNlY3JldCBvZiAyNCBieXRlcy4=", "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
open_url = urllib.request.build_opener(urllib.request.ProxyHandler({})).open


def fastapi(port: int, folder: Path) -> list[Any]:
    command = [sys.executable, "-m", "uvicorn", "webhooks_fastapi:app", "--app-dir", EXAMPLES]
    return [*command, "--port", str(port), "--log-level", "warning"]


def django(port: int, folder: Path) -> list[Any]:
    return [sys.executable, EXAMPLES / "webhooks_django.py", str(port)]


def express(port: int, folder: Path) -> list[Any]:
    """In a project that has installed the SDK and Express."""
    (folder / "node_modules").mkdir()
    for package in MODULES.iterdir():
        os.symlink(package, folder / "node_modules" / package.name)
    os.symlink(ROOT / "client_sdk" / "js", folder / "node_modules" / "presence-client")
    shutil.copy(EXAMPLES / "webhooks_express.mjs", folder)
    return ["node", folder / "webhooks_express.mjs", str(port)]


class Receiver:
    def __init__(self, url: str, process: subprocess.Popen[str]) -> None:
        self.url = url
        self.process = process

    def post(self, body: bytes, headers: dict[str, str]) -> tuple[int, str]:
        asked = urllib.request.Request(f"{self.url}/presence", body, {"Content-Type": "application/json"} | headers)
        try:
            with open_url(asked, timeout=20) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as refused:
            return refused.code, refused.read().decode()

    def status_of(self, user_id: int) -> str:
        with open_url(f"{self.url}/presence/{user_id}", timeout=20) as answer:
            return str(json.load(answer)["status"])


@contextmanager
def run_receiver(command: Callable[[int, Path], list[Any]], folder: Path) -> Iterator[Receiver]:
    port = free_port()
    env = os.environ | {"PRESENCE_WEBHOOK_SECRET": f"{OLD} {SECRET}"}
    process = subprocess.Popen(
        command(port, folder), env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    try:
        receiver = Receiver(f"http://127.0.0.1:{port}", process)
        until(lambda: receiver.status_of(1) == "OFFLINE", process)
        yield receiver
    finally:
        process.kill()
        process.communicate()


def until(is_so: Callable[[], bool], process: subprocess.Popen[str], seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        assert process.poll() is None, process.stdout and process.stdout.read()
        with suppress(OSError):
            if is_so():
                return
        time.sleep(0.05)
    raise AssertionError("it did not come about in time")


@pytest.fixture(scope="module", params=[fastapi, django, express], ids=lambda command: command.__name__)
def receiver(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Receiver]:
    with run_receiver(request.param, tmp_path_factory.mktemp("receiver")) as running:
        yield running


def signed(body: str, secret: str = SECRET, age: float = 0.0) -> dict[str, str]:
    at = datetime.fromtimestamp(int(time.time() - age), UTC)
    signature = Webhook(secret).sign("msg_1", at, body)
    return {"webhook-id": "msg_1", "webhook-timestamp": str(int(at.timestamp())), "webhook-signature": signature}


def batch(user_id: int, status: str, version: int, gap: bool = False) -> str:
    entry = {"userId": user_id, "status": status, "platforms": [], "version": version, "cause": "connected", "at": 1}
    data = {"changes": [entry], "cursor": "c.1", "gap": gap}
    return json.dumps({"type": "presence.changes", "timestamp": "2025-11-09T15:00:01Z", "data": data})


def test_a_signed_event_counts_once_and_whatever_else_comes_does_not(receiver: Receiver) -> None:
    body = batch(1, "AWAY", 5)
    for _ in range(2):
        assert receiver.post(body.encode(), signed(body))[0] == 204
    assert receiver.status_of(1) == "AWAY"
    late = batch(1, "ONLINE", 4)
    assert receiver.post(late.encode(), signed(late, OLD))[0] == 204, "one of two secrets"
    assert receiver.status_of(1) == "AWAY", "a late entry changes nothing"
    other = batch(1, "BUSY", 9)
    for headers, reason in (
        (signed(body), "no signature is right"),
        (signed(other, "whsec_c29tZWJvZHkgZWxzZSdzIHNlY3JldC4="), "no signature is right"),
        (signed(other, age=301), "webhook-timestamp is more than five minutes ago"),
        ({}, "webhook-id is missing"),
    ):
        status, told = receiver.post(other.encode(), headers)
        assert (status, reason in told) == (400, True), told
    assert receiver.status_of(1) == "AWAY"
    anew = batch(2, "ONLINE", 6, gap=True)
    assert receiver.post(anew.encode(), signed(anew))[0] == 204
    assert (receiver.status_of(1), receiver.status_of(2)) == ("OFFLINE", "ONLINE"), "only who follows a gap"


def test_it_follows_a_running_server(receiver: Receiver, tmp_path: Path) -> None:
    hooks = tmp_path / "webhooks.toml"
    hooks.write_text(
        f"""[[webhook]]
name = "example"
url = "{receiver.url}/presence"
secrets = ["{SECRET}"]
batch_wait = 0
allow_private = true
""",
        "utf-8",
    )
    with run_server(webhooks=hooks, min_publish_interval=0) as server:
        _follow(receiver, server)


def _follow(receiver: Receiver, server: Server) -> None:
    server.online(10001, idle=True)
    until(lambda: receiver.status_of(10001) == "AWAY", receiver.process)
    server.request("PUT", "/status/10001", {"status": "BUSY"})
    until(lambda: receiver.status_of(10001) == "BUSY", receiver.process)
    server.post("/offline", {"userId": 10001, "deviceId": "rest"})
    until(lambda: receiver.status_of(10001) == "OFFLINE", receiver.process)
