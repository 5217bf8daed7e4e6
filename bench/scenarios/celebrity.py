"""A celebrity among others: does a user whom everybody watches delay the changes of the rest?

15,000 connections watch one user, who changes once a second. 500 other users have 20 watchers each, drawn from the same
15,000, and change at 50/s together. What counts is how late the last watcher of a change of the others was, from the
moment of its sending, with the celebrity silent and with the celebrity changing; both in each round, on the same
connections. Every watcher must hold the last change of whom it watches.
"""

from __future__ import annotations

from generator import Generator, generating, was_bottleneck
from lab import Plan, Row, WrongResult, in_rounds, presence_server

NAME = "celebrity"
RATE = 50
MOST_GROWTH_MS = 20.0
"""The flush interval (10 ms) and 10 ms."""


def run(plan: Plan) -> list[Row]:
    watchers, others, each, seconds = (300, 10, 20, 1.0) if plan.is_quick else (15_000, 500, 20, 10.0)
    notes: list[str] = []
    # A flapping user is published once a second at most; here each change is to be delivered.
    with (
        presence_server("--min-publish-interval", "0") as (port, pid),
        generating("crowd", port, watchers, others, each) as crowd,
    ):
        crowd.hear()
        phase(crowd, pid, 0.5, 0, notes)  # unmeasured: the first change of all costs what later ones do not

        def both() -> dict[str, float]:
            silent = phase(crowd, pid, seconds, 0, notes)
            changing = phase(crowd, pid, seconds, 1, notes)
            return {f"silent {name}": value for name, value in silent.items()} | changing

        found = in_rounds(plan, NAME, both)
    silent = {name.removeprefix("silent "): found[name] for name in found if name.startswith("silent ")}
    changing = {name: spread for name, spread in found.items() if not name.startswith("silent ")}
    grown = changing["p99 ms"].median - silent["p99 ms"].median
    case = f"{watchers:,} watchers of one user; {others} others with {each} each change at {RATE}/s"
    return [
        Row(NAME, case, "celebrity silent", {name: silent[name] for name in silent if "celebrity" not in name}),
        Row(
            NAME,
            case,
            "celebrity changes 1/s",
            changing,
            target=f"p99 of the others grows by at most {MOST_GROWTH_MS:.0f} ms",
            is_reached=grown <= MOST_GROWTH_MS,
            notes=[f"p99 of the others grew by {grown:.1f} ms", *dict.fromkeys(notes)],
        ),
    ]


def phase(crowd: Generator, pid: int, seconds: float, celebrity_rate: float, notes: list[str]) -> dict[str, float]:
    """One stretch of changes.

    Raises:
        WrongResult: not everybody holds the last change of whom they watch.
    """
    result = crowd.measured(pid, f"{seconds} {RATE} {celebrity_rate}")
    if result["behind"]:
        raise WrongResult(f"{result['behind']} watched users are not up to date")
    notes += was_bottleneck(result)
    return {
        "p50 ms": result["p50_ms"],
        "p99 ms": result["p99_ms"],
        "max ms": result["max_ms"],
        "celebrity to the last watcher ms": result["celebrity_p50_ms"],
        "delivered per CPU second": result["delivered"] / result["cpu"],
        "server busy": result["cpu"] / seconds,
        "load busy": result["load_busy"],
    }
