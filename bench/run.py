"""`make bench`: runs scenarios one after another, shows how far it is, saves what they found.

    python bench/run.py                     all of them, five rounds each
    python bench/run.py graph rest          these alone
    python bench/run.py --quick             a smoke run: are results verified, not how fast is it

Each scenario is a module in `scenarios/`. Results go to `results/<scenario>.json`, the table of all to
`results/README.md`, plots beside it.
"""

from __future__ import annotations

import argparse
import importlib
import os
import subprocess
import sys
import time
import venv
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import report
from lab import BENCH, BUILD, RESULTS, Plan, Row, machine, save

SCENARIOS = (
    "idle",
    "broadcast",
    "graph",
    "growth",
    "celebrity",
    "storm",
    "churn",
    "rest",
    "memory",
    "pauses",
    "secured",
)
WIDTH = 24
"""Columns of the progress bar."""


class Progress:
    """A bar over the scenarios on a terminal, plain lines elsewhere."""

    def __init__(self, total: int) -> None:
        self._total = total
        self._done = 0
        self._name = ""
        self._began = time.monotonic()
        self._is_terminal = sys.stderr.isatty()

    def begin(self, name: str) -> None:
        self._name = name
        self._show("")

    def end(self) -> None:
        self._done += 1

    def say(self, what: str) -> None:
        if self._is_terminal:
            self._show(what)
        else:
            print(f"  {what}", file=sys.stderr, flush=True)

    def _show(self, what: str) -> None:
        filled = WIDTH * self._done // self._total
        bar = "#" * filled + "." * (WIDTH - filled)
        minutes = (time.monotonic() - self._began) / 60
        line = f"[{bar}] {self._done}/{self._total} {minutes:4.1f} min  {self._name} {what}"
        if self._is_terminal:
            print(f"\r\033[K{line[: os.get_terminal_size(2).columns - 1]}", end="", file=sys.stderr, flush=True)
        else:
            print(line, file=sys.stderr, flush=True)


def plot() -> None:
    """Draw with matplotlib, in an environment of its own: see `plots.py`."""
    python = BUILD / "plots" / "bin" / "python"
    if not python.exists():
        venv.create(BUILD / "plots", with_pip=True)
        install = ["-m", "pip", "install", "--quiet", "-r", BENCH / "requirements.txt"]
        subprocess.run([python, *install], check=True)
    subprocess.run([python, BENCH / "plots.py", RESULTS], check=True)


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="bench", description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("scenarios", nargs="*", metavar="scenario", help=", ".join(SCENARIOS))
    parser.add_argument("--quick", action="store_true", help="one small round of each, without peers; saves nothing")
    parser.add_argument("--rounds", type=int, default=5)
    given = parser.parse_args(arguments)
    names = given.scenarios or list(SCENARIOS)
    if unknown := set(names) - set(SCENARIOS):
        parser.error(f"no such scenario: {', '.join(sorted(unknown))}; there are {', '.join(SCENARIOS)}")
    progress = Progress(len(names))
    plan = Plan(1 if given.quick else given.rounds, given.quick, progress.say)
    print(", ".join(f"{name} {value}" for name, value in machine().items()), file=sys.stderr)
    rows: list[Row] = []
    for name in names:
        progress.begin(name)
        found = importlib.import_module(f"scenarios.{name}").run(plan)
        if not found:
            raise RuntimeError(f"{name} found nothing")
        if not given.quick:
            save(found, RESULTS / f"{name}.json")
        rows += found
        progress.end()
    progress.begin("done")
    print(file=sys.stderr)
    print(report.tables([asdict(row) for row in rows], SCENARIOS))
    if not given.quick:
        report.write(RESULTS, SCENARIOS)
        plot()
        print(f"written to {Path(os.path.relpath(RESULTS))}", file=sys.stderr)
    return 0


if __name__ == "__main__":
    sys.exit(main())
