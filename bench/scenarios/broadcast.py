"""One user's change to 5,000 watchers, one change at a time: what is a delivery?

The next change is sent when every watcher holds the one before. The figure is the server's CPU per delivery, against a
floor that is measured in turn with it on connections of its own: a C program that loops over send(), with frames of
our size. A round lasts about two seconds for each.
"""

from __future__ import annotations

from dataclasses import replace

from lab import Plan, Row, in_rounds
from peers import PEERS, Peer
from subjects import EVERYONE_WATCHES_THE_FIRST, PEER_FAILED, Loaded, floor, loaded, ours

NAME = "broadcast"
PEER_ROUNDS = 3
MOST_OF_FLOOR = 1.25
COST, OF_FLOOR, FLOOR_COST, LATE = "CPU us per delivery", "x floor", "floor's", "p50 ms to the last watcher"


def run(plan: Plan) -> list[Row]:
    watchers, seconds = (199, 0.3) if plan.is_quick else (5_000, 2.0)
    case = f"{watchers:,} watchers"
    with loaded(ours(), watchers + 1, EVERYONE_WATCHES_THE_FIRST) as us:
        probe = us.turns(3, watchers)
        size = round(probe["bytes"] / probe["frames"])
    with loaded(floor(size), watchers + 1, EVERYONE_WATCHES_THE_FIRST) as base:
        us_row, floor_row = against_floor(plan, case, ours(), base, watchers, seconds)
        rows = [us_row, floor_row]
        for peer in () if plan.is_quick else PEERS:
            peer_plan = replace(plan, rounds=min(plan.rounds, PEER_ROUNDS))
            try:
                rows.append(against_floor(peer_plan, case, peer, base, watchers, seconds)[0])
            except PEER_FAILED as error:
                rows.append(Row(NAME, case, peer.name, missing=str(error)))
    us_row.notes.append(f"frames of {size} bytes")
    us_row.target = f"<= {MOST_OF_FLOOR} x the floor's CPU, and less than each Python and Node peer's"
    # By the floor, which was measured in turn with each: the machine is not equally fast from minute to minute.
    others = [row.figures[OF_FLOOR].median for row in rows[2:] if row.figures and "uWebSockets" not in row.subject]
    mine = us_row.figures[OF_FLOOR].median
    us_row.is_reached = mine <= MOST_OF_FLOOR and all(mine < other for other in others)
    return rows


def against_floor(plan: Plan, case: str, subject: Peer, base: Loaded, watchers: int, seconds: float) -> tuple[Row, Row]:
    """The subject and the floor in turn. Returns their rows."""
    with loaded(subject, watchers + 1, EVERYONE_WATCHES_THE_FIRST) as it:
        changes = {one.name: enough(one, watchers, seconds) for one in (base, it)}

        def both() -> dict[str, float]:
            least = base.turns(changes[base.name], watchers)
            result = it.turns(changes[it.name], watchers)
            cost, floor_cost = (one["cpu"] / one["delivered"] * 1e6 for one in (result, least))
            return {COST: cost, OF_FLOOR: cost / floor_cost, FLOOR_COST: floor_cost, LATE: result["p50_ms"]}

        found = in_rounds(plan, f"{NAME}: {subject.name}", both)
        notes = it.notes
    return (
        Row(NAME, case, subject.name, {name: found[name] for name in (COST, OF_FLOOR, LATE)}, notes=notes),
        Row(NAME, case, base.name, {COST: found[FLOOR_COST]}, notes=base.notes),
    )


def enough(subject: Loaded, watchers: int, seconds: float) -> int:
    """How many changes take so long. Also the unmeasured first round."""
    result = subject.turns(3, watchers)
    return max(3, min(100, round(seconds / (result["seconds"] / 3))))
