"""The example that makes claims of a calendar file: a week of it goes by on a running server, a day in two seconds."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from support.rest import Rest
from support.server import run_server

EXAMPLE = Path(__file__).parents[2] / "examples" / "calendar_claims.py"
WEEK = Path(__file__).parent / "week.ics"


def test_a_week_of_a_calendar_goes_by() -> None:
    with run_server(min_publish_interval=0) as server:
        rest = Rest(server)
        rest.online(10001)
        address = f"http://127.0.0.1:{server.port}"
        command = [sys.executable, EXAMPLE, WEEK, "10001", address, "--start", "2026-03-09T00:00:00", "--pace", "43200"]
        for _ in range(2):  # a second run changes nothing
            told = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout
        assert told.startswith("4 events are claims now")
        answer = rest.post("/changes", {"userIds": [10001]}).data
        seen: list[tuple[str, str | None]] = []
        while ("BUSY", "Review") not in seen or seen[-1][0] != "ONLINE":
            seen += [(entry["status"], entry.get("statusText")) for entry in answer["changes"]]
            asked = {"userIds": [10001], "cursor": answer["cursor"], "waitMs": 15_000}
            answer = rest.post("/changes", asked).data
            assert answer["changes"] or seen[-1][0] == "ONLINE", f"nothing came after {seen}"
        free = ("ONLINE", None)
        week = [free, ("BUSY", "Workshop"), free, ("BUSY", "周会"), ("BUSY", "1:1"), free, ("BUSY", "Review"), free]
        assert seen == week
