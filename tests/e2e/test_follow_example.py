"""The example that keeps a table of everybody: it is killed at any moment, and the table is right again afterwards."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from support.server import Server, run_server

EXAMPLE = Path(__file__).parents[2] / "examples" / "follow_everybody.py"


@contextmanager
def following(database: Path, server: Server) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, EXAMPLE, database, server.url]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def rows(database: Path) -> dict[int, str]:
    if not database.exists():
        return {}
    with closing(sqlite3.connect(database, timeout=10)) as db:
        try:
            return dict(db.execute("SELECT user, status FROM presence"))
        except sqlite3.OperationalError:
            return {}  # not made yet


def wait_for(database: Path, expected: dict[int, str], process: subprocess.Popen[str]) -> None:
    deadline = time.monotonic() + 60
    while (found := rows(database)) != expected:
        assert process.poll() is None, process.stderr and process.stderr.read()
        assert time.monotonic() < deadline, found
        time.sleep(0.05)


def test_a_program_that_is_killed_catches_up_from_its_cursor(tmp_path: Path) -> None:
    database = tmp_path / "presence.db"
    with run_server(min_publish_interval=0) as server:
        server.online(1)
        server.online(2, idle=True)
        with following(database, server) as process:
            wait_for(database, {1: "ONLINE", 2: "AWAY"}, process)
        # The outage: whoever changes meanwhile is told as they are at its end.
        server.post("/offline", {"userId": 1, "deviceId": "rest"})
        server.online(3)
        for status in ("BUSY", "AWAY", "BUSY"):
            server.request("PUT", "/status/2", {"status": status})
        with following(database, server) as process:
            wait_for(database, {1: "OFFLINE", 2: "BUSY", 3: "ONLINE"}, process)
    with run_server(min_publish_interval=0) as other:  # which knows nothing of that cursor
        other.online(4)
        with following(database, other) as process:
            wait_for(database, {4: "ONLINE"}, process)
