"""What `--state` costs: the CPU of the social graph with and without it, and the files of many users.

    python bench/state.py graph [ROUNDS]       the same load on both, in turn: CPU and p99
    python bench/state.py users [N]            N users with a device each: a snapshot, a journal, a start

Neither saves anything: the figures are in docs/operations.md.
"""

from __future__ import annotations

import gc
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from random import Random

from lab import Spread, resident_kb
from scenarios.graph import BUSY, P99, PER_CPU, figures
from subjects import loaded, ours

from presence_server.app import build_gateway
from presence_server.clock import SystemClock
from presence_server.domain.model import Platform
from presence_server.domain.transitions import Connect
from presence_server.settings import Settings
from presence_server.state.disk import Ended, Job
from presence_server.state.life import State

RATES = (100, 2_500, 5_000, 9_000)


def graph(rounds: int) -> None:
    """5,000 connections that each watch 200; both servers take turns, so that what else runs hits both."""
    for rate in RATES:
        found: dict[str, list[dict[str, float]]] = {"without": [], "with": []}
        for _ in range(rounds):
            for name, many in found.items():
                with tempfile.TemporaryDirectory() as directory:
                    flags = ("--state", directory) if name == "with" else ()
                    with loaded(ours("--admission-lag", "0", *flags), 5_000, 200) as it:
                        it.run(f"graph {rate} {rate}")  # unmeasured
                        many.append(figures(it.run(f"graph {rate} {rate * 4}")))
        spreads = {
            name: {figure: Spread.of([one[figure] for one in many]) for figure in (PER_CPU, BUSY, P99)}
            for name, many in found.items()
        }
        more = spreads["without"][PER_CPU].median / spreads["with"][PER_CPU].median - 1
        print(f"{rate} changes/s: {more:+.1%} CPU a delivery")
        for name, spread in spreads.items():
            print(f"  {name:8}", ", ".join(f"{figure} {one:.3g}" for figure, one in spread.items()), flush=True)


class Hands:
    """Does each job when it is handed over; and calls when `turn` is called."""

    def __init__(self) -> None:
        self.due: list[Callable[[], None]] = []
        self.jobs = 0.0

    def submit(self, job: Job, ended: Ended) -> None:
        began = time.thread_time()
        job()
        self.jobs += time.thread_time() - began
        ended(None)

    def call_later(self, seconds: float, call: Callable[[], None]) -> None:
        self.due.append(call)


def users(count: int) -> None:
    """In this process, with the disk's jobs counted apart: a server's thread does these."""
    with tempfile.TemporaryDirectory() as directory:
        gc.disable()
        hands = Hands()
        gateway, state = _server(directory, hands)
        engine, key = gateway.hub.engine, gateway.hub.keys.key
        for user_id in range(1, count + 1):
            number = gateway.hub.engine.next_number()
            engine.submit(Connect(key(user_id), f"device-{user_id}", Platform.WEB, number, number), 1.0, _nothing)
        print(f"{count:,} users, resident {resident_kb('self') / 1024:.0f} MB")  # type: ignore[arg-type]
        _steps("journal of all of them", hands, lambda: not state._keeper._marked)  # type: ignore[union-attr]
        state._keeper._begin_files()  # type: ignore[union-attr]
        hands.due.append(state._step)
        _steps("snapshot", hands, lambda: state._keeper._snapshot is None)  # type: ignore[union-attr]
        for file in sorted(Path(directory).iterdir()):
            size = file.stat().st_size
            print(f"  {file.name}: {size / 1e6:.1f} MB, {size / count:.0f} bytes a user")
        state.finish()
        state.close()
        del gateway, engine, state
        began = time.thread_time()
        gateway, state = _server(directory, Hands())
        print(f"a start from it: {time.thread_time() - began:.1f} s")
        assert gateway.hub.engine.statistics()._asdict()["devices"] == count
        state.close()


def _server(directory: str, hands: Hands):  # type: ignore[no-untyped-def]
    clock = SystemClock()
    state = State(directory, clock, hands)
    return build_gateway(Settings(state=directory), clock, Random(), 1_000, state), state


def _steps(name: str, hands: Hands, is_done: Callable[[], bool]) -> None:
    longest = total = 0.0
    steps = 0
    while not is_done():
        due, hands.due = hands.due, []
        for call in due:
            hands.jobs, began = 0.0, time.thread_time()
            call()
            took = time.thread_time() - began - hands.jobs
            longest, total, steps = max(longest, took), total + took, steps + 1
    print(f"  {name}: {steps} steps, {total:.2f} s of the loop, longest {longest * 1000:.1f} ms")


def _nothing(_made: object) -> None:
    """Nobody waits for it."""


if __name__ == "__main__":
    command, *numbers = sys.argv[1:] or ["users"]
    if command == "graph":
        graph(*map(int, numbers) if numbers else (3,))
    else:
        users(*map(int, numbers) if numbers else (1_000_000,))
