"""Memory of the table and of the interest index, in-process, each measurement in a process of its own.

A million users with a device each, against a dict of dicts; ten million edges as 50,000 watchers of 200 users and as a
million watchers of 10, against sets both ways. Memory is what the resident set of the process grew by. The server's
structure and the plain one run at the same time on a core each, so operations per second are to be compared, not
to be taken as the most that is possible. Each process checks that what was put in is there.
"""

from __future__ import annotations

import json
import subprocess
import sys
from typing import NamedTuple

from lab import BENCH, LOAD_CORE, SERVER_CORE, Plan, Row, Spread, WrongResult, in_rounds, on_core

NAME = "memory"


class Case(NamedTuple):
    name: str
    ours: str
    plain: str
    sizes: tuple[int, ...]
    quick_sizes: tuple[int, ...]
    most_mb: float


SUBJECTS = {"table": "PresenceTable", "dicts": "dict of dicts", "interest": "Interest", "sets": "sets both ways"}
CASES = [
    Case("1 M users with one device", "table", "dicts", (1_000_000,), (20_000,), 480),
    Case("10 M edges, 50,000 watch 200", "interest", "sets", (50_000, 200), (1_000, 20), 250),
    Case("10 M edges, 1 M watch 10", "interest", "sets", (1_000_000, 10), (5_000, 10), 600),
]


def run(plan: Plan) -> list[Row]:
    rows = []
    for case in CASES:
        sizes = case.quick_sizes if plan.is_quick else case.sizes

        def both(case: Case = case, sizes: tuple[int, ...] = sizes) -> dict[str, float]:
            return side_by_side(case.ours, case.plain, sizes)

        found = in_rounds(plan, f"{NAME}, {case.name}", both)
        ours, plain = (figures_of(found, subject) for subject in (case.ours, case.plain))
        is_reached = None if plan.is_quick else ours["MB"].median <= case.most_mb
        ours["of the plain one's memory"] = found["ratio"]
        rows.append(Row(NAME, case.name, SUBJECTS[case.ours], ours, f"<= {case.most_mb:.0f} MB", is_reached))
        rows.append(Row(NAME, case.name, SUBJECTS[case.plain], plain))
    return rows


def figures_of(found: dict[str, Spread], subject: str) -> dict[str, Spread]:
    prefix = f"{subject}: "
    return {name.removeprefix(prefix): spread for name, spread in found.items() if name.startswith(prefix)}


def side_by_side(ours: str, plain: str, sizes: tuple[int, ...]) -> dict[str, float]:
    """Both at once, on a core each.

    Raises:
        WrongResult: one of them does not hold what was put in.
    """
    programs = {
        subject: subprocess.Popen(
            on_core(core, [sys.executable, BENCH / "load" / "footprint.py", subject, *map(str, sizes)]),
            stdout=subprocess.PIPE,
            text=True,
        )
        for subject, core in ((ours, SERVER_CORE), (plain, LOAD_CORE))
    }
    found = {}
    for subject, program in programs.items():
        printed, _ = program.communicate()
        if program.returncode:
            raise WrongResult(f"{subject} of {sizes} failed its checks")
        found |= {f"{subject}: {name}": value for name, value in json.loads(printed).items()}
    return found | {"ratio": found[f"{ours}: MB"] / max(found[f"{plain}: MB"], 0.001)}
