"""A storm: everybody drops and comes back at once. What does a cursor save, and do others notice?

5,000 connections with 200 watched users each lose their links and reconnect at once, as after the restart of a proxy:
in turn with their cursors, which makes the server send only what changed meanwhile, and without, which makes it send
all 200 entries. Both are counted whole: accept, handshake, hello, welcome, snapshot. The presence server's own part,
from hello to snapshot, is measured a third time, with everybody connected already and all hellos sent within a
millisecond or two, as no real network would bring them. 20 other connections stay, change their status while the rest
is away, and send a ping every 50 ms. Whoever returned must hold the right state.
"""

from __future__ import annotations

from generator import Generator, generating, was_bottleneck
from lab import Plan, Row, WrongResult, in_rounds, presence_server

NAME = "storm"
LEAST_PER_CPU_SECOND = 3_000
MOST_PING_MS = 250.0
SUBJECTS = {
    "hello": "with cursors, from hello to snapshot",
    "cursor": "with cursors, from connect to snapshot",
    "full": "full snapshots, from connect to snapshot",
}


def run(plan: Plan) -> list[Row]:
    connections, watched, stayers, changed = (150, 40, 20, 10) if plan.is_quick else (5_000, 200, 20, 10)
    notes: dict[str, list[str]] = {"hello": [], "cursor": [], "full": []}
    # Grace longer than everybody's way back, however slow: who is gone for good is another scenario.
    with (
        presence_server("--grace-period", "60") as (port, pid),
        generating("storm", port, connections, watched, stayers, changed) as clients,
    ):
        clients.hear()
        storm(clients, pid, "cursor", [])  # unmeasured

        def all_ways() -> dict[str, float]:
            return {
                f"{how}: {name}": value for how in notes for name, value in storm(clients, pid, how, notes[how]).items()
            }

        found = in_rounds(plan, NAME, all_ways)
    figures = {
        how: {name.removeprefix(f"{how}: "): spread for name, spread in found.items() if name.startswith(how)}
        for how in notes
    }
    per_second = figures["hello"]["resumed per CPU second"].median
    ping = figures["cursor"]["ping p99 ms"].median
    case = f"{connections:,} reconnect at once, {watched} watched users each"
    rows = [
        Row(NAME, case, subject, figures[how], notes=list(dict.fromkeys(notes[how])))
        for how, subject in SUBJECTS.items()
    ]
    rows[0].target = f">= {LEAST_PER_CPU_SECOND:,} per CPU second"
    rows[0].is_reached = per_second >= LEAST_PER_CPU_SECOND
    rows[1].target = f"p99 of others' pings <= {MOST_PING_MS:.0f} ms"
    rows[1].is_reached = ping <= MOST_PING_MS
    return rows


def storm(clients: Generator, pid: int, how: str, notes: list[str]) -> dict[str, float]:
    """All drop, and all come back.

    Raises:
        WrongResult: somebody did not come back within `PATIENCE` of load/storm.c, was told something else than what
            changed, or got no pong.
    """
    clients.tell(how)
    clients.hear()
    if how == "hello":
        clients.tell()
        clients.hear()
    result = clients.measured(pid)
    if result["missing"] or result["wrong"] or result["unanswered"]:
        ways = ", ".join(f"{result[way]} {way}" for way in ("afresh", "short", "lapsed", "stale"))
        raise WrongResult(
            f"{how}: {result['missing']} are not back after {result['seconds']:.0f} s, {result['wrong']} hold the wrong"
            f" state ({ways}), {result['unanswered']} pings unanswered"
        )
    notes += was_bottleneck(result)
    return {
        "resumed per CPU second": result["resumed"] / result["cpu"],
        "seconds until all are back": result["seconds"],
        "entries per client": result["entries"] / result["resumed"],
        "KB sent per client": result["bytes"] / result["resumed"] / 1000,
        "ping p50 ms": result["ping_p50_ms"],
        "ping p99 ms": result["ping_p99_ms"],
        "ping max ms": result["ping_max_ms"],
        "load busy": result["load_busy"],
    }
