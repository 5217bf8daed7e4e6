"""`make simulate`: runs seeds, and shortens the trace of one that fails."""

from __future__ import annotations

import argparse
import sys
import time
import traceback
from collections.abc import Sequence
from pathlib import Path
from random import SystemRandom

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from simulator.permissions import WAYS
from simulator.run import Outcome, simulate
from simulator.shrink import shorten

COMMAND = ".venv/bin/python tests/simulator/main.py"

MOST_SHOWN = 60
"""Actions that one can still read."""


def say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def replay_command(outcome: Outcome, steps: int, only: list[int] | None = None) -> str:
    command = f"{COMMAND} --seed {outcome.seed} --engine {outcome.engine} --sees {outcome.sees}"
    return f"{command} --only {','.join(map(str, only))}" if only is not None else f"{command} --steps {steps}"


def report(outcome: Outcome, steps: int, shorten_for: float) -> None:
    """Say what went wrong, how to see it again, and as few actions as will do."""
    say(f"seed {outcome.seed} on {outcome.engine} failed after {outcome.steps} steps: {outcome.violation}")
    if outcome.violation is not None and outcome.kind != "Violation":
        traceback.print_exception(outcome.violation, limit=-12)
    say(f"replay: {replay_command(outcome, steps)}")
    only = shorten(outcome, shorten_for)
    if only is not None:
        again = simulate(outcome.seed, None, outcome.engine == "late", only, sees=outcome.sees)
        say(f"shortened from {len(outcome.actions)} actions to {len(only)}: {again.violation}")
        if len(only) <= MOST_SHOWN:
            for action in again.actions:
                say(f"  {action}")
            say(f"replay: {replay_command(outcome, steps, only)}")


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="simulate", description=__doc__)
    parser.add_argument("--seed", type=int, help="the first seed; left out: a fresh one, which is printed")
    parser.add_argument("--seeds", type=int, default=1, help="how many seeds to run, one after another")
    parser.add_argument("--steps", type=int, default=20_000, help="steps of each run, before it comes to rest")
    parser.add_argument("--engine", choices=("memory", "late", "both"), default="both")
    parser.add_argument("--user-ids", choices=("number", "int64", "string"), default="number")
    parser.add_argument("--sees", choices=WAYS, help="who may see whom; left out: all of them, one seed after another")
    parser.add_argument("--only", help="numbers of the plan's actions: a shortened trace")
    parser.add_argument("--shorten", type=float, default=30.0, help="seconds to spend on shortening a failing trace")
    parser.add_argument("--stop-at", type=int, default=1, help="failures after which to stop")
    given = parser.parse_args(arguments)
    first = SystemRandom().randrange(10**9) if given.seed is None else given.seed
    only = None if given.only is None else [int(number) for number in given.only.split(",") if number]
    engines = ("memory", "late") if given.engine == "both" else (given.engine,)
    failures = total = 0
    began = time.perf_counter()
    for seed in range(first, first + given.seeds):
        for engine in engines:
            sees = given.sees or WAYS[seed % len(WAYS)]
            outcome = simulate(seed, given.steps, engine == "late", only, user_ids=given.user_ids, sees=sees)
            total += outcome.steps
            if outcome.violation is None:
                run = f"{outcome.steps} steps, {outcome.virtual:.0f} s of virtual time"
                say(f"seed {seed} on {engine}, {sees}: {run}: fine")
            else:
                report(outcome, given.steps, given.shorten if only is None else 0.0)
                failures += 1
                if failures >= given.stop_at:
                    return 1
    took = time.perf_counter() - began
    say(f"{total} steps in {took:.1f} s, {total / took:.0f} a second; {failures} failures")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
