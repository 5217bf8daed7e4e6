"""What it costs to know who speaks and who may see whom: `--auth jwt` and `--visibility contacts`, beside neither.

Each connection comes with a token of its own, and sees everybody through the eyes of its user: `--strangers full`, so
that all are told the same as without. Both servers run in turns in one run. The figures with tokens are beside those of
the plain server in the same round: CPU for the same changes, the CPU of a connection up to its snapshot, and resident
memory of a connection that stays idle.
"""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import jwt
from lab import Plan, Row, cpu_seconds, free_port, in_rounds, raise_file_limit, resident_kb, serving
from peers import Peer
from subjects import crowd, loaded, ours

NAME = "secured"
MOST_CPU, MOST_BYTES = 1.05, 300.0
SECRET = "a secret of the bench that nobody else has to know"
PLAIN, SECURED = "presence-server", "with jwt and contacts"
ALL_AT_ONCE = ("--admission-lag", "0")
"""Nobody is let in slowly because the bench's machine is busy."""
FLAGS = ("--auth", "jwt", "--jwt-key", SECRET, "--visibility", "contacts", "--strangers", "full")
PAUSE = 1.0
"""Seconds for the server to finish what the last connections began."""


def run(plan: Plan) -> list[Row]:
    connections, watched, rate = (150, 20, 200) if plan.is_quick else (3_000, 100, 1_000)
    with tokens(connections):
        delivered = in_rounds(plan, f"{NAME}: graph", lambda: both(connections, watched, rate))
        idle = in_rounds(plan, f"{NAME}: idle", lambda: beside(connections))
    case = f"{connections:,} connections, {watched} watched each, {rate:,} changes/s"
    graph = Row(NAME, case, SECURED, delivered)
    graph.target = f"<= {MOST_CPU} x the CPU without"
    graph.is_reached = delivered["x CPU"].median <= MOST_CPU
    held = Row(NAME, f"{connections:,} idle connections", SECURED, idle)
    held.target = f"<= {MOST_BYTES:.0f} bytes more each"
    held.is_reached = idle["bytes more"].median <= MOST_BYTES
    return [graph, held]


@contextmanager
def tokens(count: int) -> Iterator[None]:
    """One for each user of the load: see `load/ws.h`."""
    ends = int(time.time()) + 86_400
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "tokens"
        signed = (jwt.encode({"sub": str(user), "exp": ends}, SECRET, "HS256") for user in range(1, count + 1))
        file.write_text("\n".join(signed) + "\n", "utf-8")
        os.environ["LOAD_TOKENS"] = str(file)
        try:
            yield
        finally:
            del os.environ["LOAD_TOKENS"]


def both(connections: int, watched: int, rate: int) -> dict[str, float]:
    """The same changes on both, in turns: CPU seconds, and those with tokens as a multiple."""
    with (
        loaded(ours(*ALL_AT_ONCE), connections, watched) as plain,
        loaded(ours(*ALL_AT_ONCE, *FLAGS), connections, watched) as secured,
    ):
        for server in (plain, secured):
            server.run(f"graph {rate} {rate}")  # unmeasured
        spent = {PLAIN: 0.0, SECURED: 0.0}
        for _ in range(3):
            for name, server in ((PLAIN, plain), (SECURED, secured)):
                spent[name] += server.run(f"graph {rate} {rate * 2}")["cpu"]
    return {"x CPU": spent[SECURED] / spent[PLAIN], "CPU s without": spent[PLAIN], "CPU s with": spent[SECURED]}


def beside(connections: int) -> dict[str, float]:
    """What a connection that nobody watches and that watches nobody costs on each."""
    plain, secured = (connect_all(subject, connections) for subject in (ours(*ALL_AT_ONCE), ours(*ALL_AT_ONCE, *FLAGS)))
    return {
        "bytes more": secured["bytes"] - plain["bytes"],
        "bytes without": plain["bytes"],
        "connect us without": plain["us"],
        "connect us with": secured["us"],
    }


def connect_all(subject: Peer, connections: int) -> dict[str, float]:
    raise_file_limit()
    port = free_port()
    with serving(subject.command(port, 0), port) as process, crowd(subject, port, 101, 0, number=2):
        time.sleep(PAUSE)
        memory, cpu = resident_kb(process.pid), cpu_seconds(process.pid)
        with crowd(subject, port, connections, 0):
            cpu = cpu_seconds(process.pid) - cpu
            time.sleep(PAUSE)
            held = resident_kb(process.pid) - memory
    return {"bytes": held * 1024 / connections, "us": cpu / connections * 1e6}
