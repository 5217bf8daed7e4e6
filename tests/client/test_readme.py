"""The README's examples, as they stand there."""

from __future__ import annotations

import asyncio
import json
import re
import signal
import socket
import subprocess
import sys
import textwrap
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from standardwebhooks.webhooks import Webhook

import presence_client.webhooks
from presence_client.testing import FakePresenceServer
from support.server import Server, run_server

README = Path(__file__).parents[2] / "client_sdk/python/README.md"
EXAMPLES = re.findall(r"```python\n(.*?)```", README.read_text("utf-8"), re.DOTALL)
FIRST, REST, CLAIMS, PEOPLE, FEED, WEBHOOKS, FAKE = EXAMPLES
URL = "http://127.0.0.1:8004"


@pytest.fixture(scope="module")
def server():  # type: ignore[no-untyped-def]
    with run_server() as running:
        yield running


def test_the_first_example_says_who_comes_and_who_goes(server: Server) -> None:
    assert sum(1 for line in FIRST.splitlines() if line.strip()) <= 10
    code = FIRST.replace(URL, server.url)
    process = subprocess.Popen(
        [sys.executable, "-u", "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    lines = [process.stdout.readline().split() for _ in range(2)]
    assert lines == [["10002", "OFFLINE"], ["10003", "OFFLINE"]]
    assert server.status_of(10001) == "ONLINE"
    server.online(10002)
    assert process.stdout.readline().split() == ["10002", "ONLINE"]
    server.request("PUT", "/status/10002", {"status": "BUSY", "statusText": "in a meeting"})
    assert process.stdout.readline().strip() == "10002 BUSY in a meeting"
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=10)
    assert (errors, process.returncode) == ("", 130)
    assert server.status_of(10001) == "OFFLINE", "Ctrl-C says goodbye, too"


def test_the_first_example_says_soon_that_nobody_answers_and_ends_in_one_line() -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    code = FIRST.replace(URL, f"http://127.0.0.1:{port}").replace("connect(", "connect(open_timeout=3, url=", 1)
    process = subprocess.run([sys.executable, "-u", "-c", code], capture_output=True, text=True, timeout=30)
    first, last = process.stderr.splitlines()
    assert first == "not connected (Connection refused); the client goes on trying"
    assert last == (
        "NotConnected: not connected within 3 s (last try: Connection refused); is the server there, and its URL right?"
    )
    assert process.returncode == 1


def test_ctrl_c_ends_the_first_example_while_nobody_answers() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:  # TCP is there, and nobody behind it
        code = FIRST.replace(URL, f"http://127.0.0.1:{silent.getsockname()[1]}")
        process = subprocess.Popen([sys.executable, "-u", "-c", code], stderr=subprocess.PIPE, text=True)
        assert process.stderr is not None
        assert process.stderr.readline().strip() == "not connected (no answer yet); the client goes on trying"
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=10)
        assert (errors, process.returncode) == ("", 130)


def run(example: str, **names: object) -> None:
    body = textwrap.indent(example, "    ")
    scope: dict[str, object] = dict(names)
    exec(compile(f"async def main():\n{body}", str(README), "exec"), scope)
    main = scope["main"]
    assert callable(main)
    asyncio.run(asyncio.wait_for(main(), 10))


def test_the_rest_example(server: Server, capsys: pytest.CaptureFixture[str]) -> None:
    example = REST.replace(URL, server.url).replace("wait=30", "wait=0")
    run(example, PresenceApi=presence_client.PresenceApi)
    assert "user_id=10001, status='ONLINE'" in capsys.readouterr().out


def test_the_example_of_claims(server: Server, capsys: pytest.CaptureFixture[str]) -> None:
    server.online(10001)
    names = {"PresenceApi": presence_client.PresenceApi, "Claim": presence_client.Claim, "timedelta": timedelta}
    run(CLAIMS.replace(URL, server.url), **names)
    said = capsys.readouterr().out
    assert said.startswith("calendar 10001 is BUSY until ")
    assert "the source calendar says so" in said


def test_the_example_of_everybody(server: Server, capsys: pytest.CaptureFixture[str]) -> None:
    server.online(20001)
    server.request("PUT", "/status/20001", {"status": "BUSY"})
    example = PEOPLE.replace("10001, 10002", "20001, 20002").replace(URL, server.url)
    run(example, PresenceApi=presence_client.PresenceApi)
    pushed, busy = capsys.readouterr().out.splitlines()
    assert pushed == "push 20002"
    assert 20001 in json.loads(busy)


def test_the_example_of_the_feed(server: Server, capsys: pytest.CaptureFixture[str]) -> None:
    server.online(10001)
    example = FEED.replace(URL, server.url) + "        break\n"
    run(example, PresenceApi=presence_client.PresenceApi, Presences=presence_client.Presences)
    assert "10001 " in capsys.readouterr().out


def test_the_example_of_webhooks(capsys: pytest.CaptureFixture[str]) -> None:
    secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
    entry = {"userId": 1, "status": "AWAY", "platforms": [], "version": 1, "cause": "idle", "at": 1}
    data = {"changes": [entry], "cursor": "c", "gap": False}
    body = json.dumps({"type": "presence.changes", "timestamp": "2025-11-09T15:00:01Z", "data": data})
    now = datetime.now(UTC)
    headers = {"webhook-id": "m", "webhook-timestamp": str(int(now.timestamp()))}
    headers["webhook-signature"] = Webhook(secret).sign("m", now, body)
    names = {name: getattr(presence_client.webhooks, name) for name in presence_client.webhooks.__all__}
    call = f"{WEBHOOKS}\nassert await receive(body, headers) == 204\nassert await receive(body, {{}}) == 400\n"
    run(call, **names, Presences=presence_client.Presences, secret=secret, body=body.encode(), headers=headers)
    assert capsys.readouterr().out == "1 AWAY idle\n"


def test_the_example_for_tests() -> None:
    run(FAKE, FakePresenceServer=FakePresenceServer)
