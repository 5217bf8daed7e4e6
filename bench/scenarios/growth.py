"""The graph as it grows: 1,250 to 10,000 connections, 200 watched users each, 0.2 changes a second per user.

What a delivered change costs the server should not grow with the number of connections. Beside it stands the floor's
cost of as many writes of the same size to as many sockets, since the kernel's own cost may grow with their number.
"""

from __future__ import annotations

from lab import Plan, Row, in_rounds
from subjects import Loaded, beside_floor, floor, loaded, ours

NAME = "growth"
CHANGES_PER_USER = 0.2
MOST_GROWTH = 1.2
COST, OF_FLOOR, FLOOR_COST = "CPU us per delivered change", "x floor's CPU", "CPU us per write"


def run(plan: Plan) -> list[Row]:
    sizes, watched, seconds = ((100, 200), 20, 1.0) if plan.is_quick else ((1_250, 2_500, 5_000, 10_000), 200, 4.0)
    rows: list[Row] = []
    for connections in sizes:
        rate = max(20.0, connections * CHANGES_PER_USER)
        case = f"{connections:,} connections, {rate:,.0f} changes/s"
        with loaded(ours(), connections, watched) as us, loaded(floor(), connections, 0) as base:
            us.run(f"graph {rate} {round(rate)}")  # unmeasured
            found = in_rounds(
                plan, f"{NAME}: {case}", lambda us=us, base=base, rate=rate: both(us, base, rate, seconds)
            )
            floor_cost = found.pop(FLOOR_COST)
            rows += [
                Row(NAME, case, us.name, found, notes=us.notes),
                Row(NAME, case, base.name, {FLOOR_COST: floor_cost}, notes=base.notes),
            ]
    mine = [row for row in rows if row.subject == ours().name]
    for row in mine[1:]:
        row.target = f"at most {MOST_GROWTH} x the cost with {sizes[0]:,} connections"
        row.is_reached = row.figures[COST].median <= MOST_GROWTH * mine[0].figures[COST].median
    return rows


def both(us: Loaded, base: Loaded, rate: float, seconds: float) -> dict[str, float]:
    result, least = beside_floor(us, base, rate, seconds)
    return {
        COST: result["cpu"] / result["delivered"] * 1e6,
        "p99 ms": result["p99_ms"],
        "changes per write": result["delivered"] / result["frames"],
        OF_FLOOR: result["cpu"] / least["cpu"],
        FLOOR_COST: least["cpu"] / least["frames"] * 1e6,
    }
