"""A social graph: 5,000 connections that each watch 200 of the 5,000 users, some of whom change at an even rate.

The figures are changes delivered per second of the server's CPU, and how late the last watcher of a change was, counted
from its sending. Every change is a real one, and every watcher must hold the last change of each user it watches.

The floor is a C program that makes as many writes of the same mean size to as many sockets in the same time: what is
above it is the server's own work. Writes are what costs most, so cost per change is a matter of changes per write.

uWebSockets and centrifuge gather changes as well: they run at the same rates, with the widest window that keeps p99
within 300 ms (at the lowest rate, where ours waits for nothing, without one). uWebSockets writes several messages of
one change each together; ours and centrifuge's messages hold several changes, and are one write each.

The others write each change to each watcher at once, as their users do; they run at the highest rate of `RATES` and
`LOW_RATES` at which p99 is within 300 ms, and are compared by what they deliver per CPU second there with what we
deliver at our best rate.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from lab import Plan, Row, Spread, in_rounds
from peers import PEERS, UWEBSOCKETS, Peer
from subjects import PEER_FAILED, Loaded, beside_floor, floor, loaded, ours, scaled

NAME = "graph"
PEER_ROUNDS = 3
RATES = (100, 2_500, 5_000, 9_000)
LOW_RATES = (1_000, 750, 500, 350, 250, 100, 50, 25)
WINDOWS = (250, 200, 150, 75)
"""Milliseconds."""

MOST_LATE = 300.0
PER_CPU, P50, P99, CHANGES_PER_MESSAGE = "M delivered per CPU s", "p50 ms", "p99 ms", "changes per message"
OF_FLOOR, BUSY, FLOOR_COST = "x floor's CPU", "server busy", "CPU us per write"
LEAST = {5_000: 1.8, 9_000: 3.0}
MOST_P99 = {100: 25.0, 5_000: MOST_LATE, 9_000: MOST_LATE}
LEAST_OF_UWEBSOCKETS, LEAST_OF_OTHERS = 1.5, 5.0


def run(plan: Plan) -> list[Row]:
    connections, watched, seconds = (200, 20, 1.0) if plan.is_quick else (5_000, 200, 5.0)
    rows = us_and_floor(plan, connections, watched, (100, 1_000) if plan.is_quick else RATES, seconds)
    if plan.is_quick:
        return rows
    us = {row.case: row for row in rows if row.subject == ours().name}
    peer_plan = replace(plan, rounds=min(plan.rounds, PEER_ROUNDS))
    peers: list[Row] = []
    for peer in PEERS:
        try:
            peers += (gathering if peer.gathers else writing_at_once)(peer_plan, peer, connections, watched)
        except PEER_FAILED as error:
            peers.append(Row(NAME, "all", peer.name, missing=str(error)))
    for row in peers:
        if row.subject == UWEBSOCKETS.name and row.case in us and row.figures:
            mine = us[row.case].figures
            mine["x uWebSockets"] = scaled(mine[PER_CPU], 1 / row.figures[PER_CPU].median)
    return [*rows, *peers, summary(list(us.values()), peers)]


def case_of(connections: int, watched: int, rate: int) -> str:
    return f"{connections:,} connections, {watched} watched each, {rate:,} changes/s"


def figures(result: dict[str, Any]) -> dict[str, float]:
    return {
        PER_CPU: result["delivered"] / result["cpu"] / 1e6,
        P50: result["p50_ms"],
        P99: result["p99_ms"],
        CHANGES_PER_MESSAGE: result["delivered"] / result["frames"],
        BUSY: result["cpu"] / result["seconds"],
        "load generator busy": result["load_busy"],
    }


# -- us and the floor ------------------------------------------------------------------------------------------------


def us_and_floor(plan: Plan, connections: int, watched: int, rates: tuple[int, ...], seconds: float) -> list[Row]:
    """Both at each rate, in turn, on connections that stay."""
    rows = []
    with loaded(ours(), connections, watched) as us, loaded(floor(), connections, 0) as base:
        us.run(f"graph {rates[0]} {rates[0]}")  # unmeasured
        for rate in rates:
            case = case_of(connections, watched, rate)
            us_row, floor_row = Row(NAME, case, us.name), Row(NAME, case, base.name)
            us.notes, base.notes = us_row.notes, floor_row.notes
            found = in_rounds(plan, f"{NAME}: {case}", lambda rate=rate: with_floor(us, base, rate, seconds))
            floor_row.figures = {FLOOR_COST: found.pop(FLOOR_COST)}
            us_row.figures = found
            judge(us_row, rate)
            rows += [us_row, floor_row]
    return rows


def with_floor(us: Loaded, base: Loaded, rate: int, seconds: float) -> dict[str, float]:
    result, least = beside_floor(us, base, rate, seconds)
    of_floor = {OF_FLOOR: result["cpu"] / least["cpu"], FLOOR_COST: least["cpu"] / least["frames"] * 1e6}
    return figures(result) | of_floor


def judge(row: Row, rate: int) -> None:
    targets, reached = [], []
    if rate in LEAST:
        targets.append(f">= {LEAST[rate]} M per CPU s")
        reached.append(row.figures[PER_CPU].median >= LEAST[rate])
    if rate in MOST_P99:
        targets.append(f"p99 <= {MOST_P99[rate]:.0f} ms")
        reached.append(row.figures[P99].median <= MOST_P99[rate])
    if targets:
        row.target, row.is_reached = ", ".join(targets), all(reached)


# -- peers -----------------------------------------------------------------------------------------------------------


def gathering(plan: Plan, peer: Peer, connections: int, watched: int) -> list[Row]:
    """A peer with a window of its own, at our rates; if it bears but the lowest, at one in between as well."""
    found: dict[int, Row] = {}
    for window in (0, *WINDOWS):
        rates = RATES[:1] if not window else [rate for rate in RATES[1:] if rate not in found]
        if rates:
            found |= within_limit(plan, peer, connections, watched, window, rates)
    if RATES[1] not in found:
        found |= within_limit(plan, peer, connections, watched, WINDOWS[0], LOW_RATES[:1])
    why = f"no window of {', '.join(map(str, WINDOWS))} ms keeps p99 within {MOST_LATE:.0f} ms"
    cases = sorted({*RATES, *found})
    return [found.get(rate) or Row(NAME, case_of(connections, watched, rate), peer.name, missing=why) for rate in cases]


def within_limit(
    plan: Plan, peer: Peer, connections: int, watched: int, window: int, rates: Sequence[int]
) -> dict[int, Row]:
    """Those of the rates, from the lowest on, that the peer bears with this window."""
    found: dict[int, Row] = {}
    with loaded(peer, connections, watched, window) as it:
        it.run("graph 100 100")  # unmeasured
        for rate in rates:
            if window and it.run(f"graph {rate} {rate}")["p99_ms"] > MOST_LATE:
                break
            found[rate] = measured(plan, it, connections, watched, rate)
            found[rate].notes.append(f"window {window} ms")
    return found


def writing_at_once(plan: Plan, peer: Peer, connections: int, watched: int) -> list[Row]:
    """A peer that writes each change to each watcher, at the highest rate that it bears."""
    with loaded(peer, connections, watched) as it:
        it.run("graph 100 100")  # unmeasured
        trial = it.run("graph 1000000 200")
        capacity = 200 / trial["seconds"]
        rates = [rate for rate in (*RATES[:0:-1], *LOW_RATES) if rate < capacity]
        for rate in rates or LOW_RATES[-1:]:
            trial = it.run(f"graph {rate} {rate * 2}")
            if trial["p99_ms"] <= MOST_LATE:
                break
        row = measured(plan, it, connections, watched, rate)
        row.notes.append(f"does not bear more: at once it does {capacity:.0f} changes/s")
        return [row]


def measured(plan: Plan, it: Loaded, connections: int, watched: int, rate: int) -> Row:
    case = case_of(connections, watched, rate)
    row = Row(NAME, case, it.name)
    it.notes = row.notes
    row.figures = in_rounds(
        plan, f"{NAME}: {it.name}, {rate:,}/s", lambda: figures(it.run(f"graph {rate} {max(50, rate * 3)}"))
    )
    return row


# -- all together ----------------------------------------------------------------------------------------------------


def best(rows: list[Row]) -> Spread | None:
    """The most delivered per CPU second among the rates at which p99 is within the limit."""
    within = [row.figures[PER_CPU] for row in rows if row.figures and row.figures[P99].median <= MOST_LATE]
    return max(within, key=lambda spread: spread.median, default=None)


def summary(us: list[Row], peers: list[Row]) -> Row:
    case = f"best rate of each with p99 <= {MOST_LATE:.0f} ms"
    mine = best(us)
    row = Row(NAME, case, us[0].subject)
    row.target = f">= {LEAST_OF_UWEBSOCKETS} x uWebSockets, >= {LEAST_OF_OTHERS:.0f} x each other peer"
    if not mine:
        row.is_reached = False
        row.notes.append("no rate of ours is within the limit")
        return row
    row.figures[PER_CPU] = mine
    row.is_reached = True
    for peer in PEERS:
        theirs = best([other for other in peers if other.subject == peer.name])
        if theirs:
            row.figures[f"x {peer.name}"] = scaled(mine, 1 / theirs.median)
            least = LEAST_OF_UWEBSOCKETS if peer is UWEBSOCKETS else LEAST_OF_OTHERS
            row.is_reached &= mine.median / theirs.median >= least
        elif not any(other.missing for other in peers if other.subject == peer.name):
            row.notes.append(f"{peer.name}: no rate is within the limit")
    return row
