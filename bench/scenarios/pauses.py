"""What the garbage collector does to latency: its longest pause, and its share of the time, while users arrive.

In fresh processes with all of the server loaded, a million users (10,000 in a smoke run) come online one after
another. The floor is Python's own setting; ours is that of `presence_server.garbage`.
"""

from __future__ import annotations

import json
import subprocess
import sys

from lab import SERVER_CORE, Plan, Row, WrongResult, in_rounds, on_core

PROGRAM = """
import gc, json, sys, time
import presence_server.app
from presence_server.domain.model import Platform
from presence_server.domain.shared import Lifetimes
from presence_server.domain.table import PresenceTable
from presence_server.domain.transitions import Connect
from presence_server.garbage import settle

users, is_settled = int(sys.argv[1]), sys.argv[2] == "ours"
if is_settled:
    settle()
pauses, began = [], 0.0

def watch(phase, info):
    global began
    if phase == "start":
        began = time.perf_counter()
    else:
        pauses.append(time.perf_counter() - began)

gc.callbacks.append(watch)
table = PresenceTable(Lifetimes())
first = time.perf_counter()
for user in range(1, users + 1):
    wanted = Connect(user, f"device-{user:029d}", Platform.WEB, user, user, None, None, None)
    table.apply(wanted, 1000.0, 1_900_000_000.0)
took = time.perf_counter() - first
found = {"longest pause ms": max(pauses, default=0.0) * 1e3, "collecting %": 100 * sum(pauses) / took}
print(json.dumps(found | {"users": table.statistics().online}))
"""


def run(plan: Plan) -> list[Row]:
    users = 10_000 if plan.is_quick else 1_000_000

    def measure(setting: str) -> dict[str, float]:
        command = on_core(SERVER_CORE, [sys.executable, "-c", PROGRAM, str(users), setting])
        found: dict[str, float] = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
        if found.pop("users") != users:
            raise WrongResult(f"not all of {users} users are online")
        return found

    case = f"{users:,} users arrive"
    floor = in_rounds(plan, "pauses, Python's own", lambda: measure("python"))
    ours = in_rounds(plan, "pauses, ours", lambda: measure("ours"))
    is_reached = None if plan.is_quick else ours["longest pause ms"].median <= 10
    return [
        Row("pauses", case, "presence-server", ours, "no pause over 10 ms", is_reached),
        Row("pauses", case, "Python's own setting", floor),
    ]
