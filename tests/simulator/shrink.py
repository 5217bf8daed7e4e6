"""Makes a failing trace short: actions are left out, in ever smaller chunks, as long as it still fails alike."""

from __future__ import annotations

import time

from simulator.run import MakeWorld, Outcome, simulate
from simulator.world import World


def shorten(outcome: Outcome, seconds: float, make_world: MakeWorld = World) -> list[int] | None:
    """The numbers of fewer actions that fail alike; None if leaving actions out makes no such run within `seconds`."""
    ends_at = time.monotonic() + seconds
    is_late = outcome.engine == "late"

    def fails(only: list[int]) -> bool:
        again = simulate(outcome.seed, None, is_late, only, make_world, sees=outcome.sees)
        return again.violation is not None and again.kind == outcome.kind

    kept = [action.number for action in outcome.actions]
    if seconds <= 0 or not fails(kept):
        return None
    chunk = max(1, len(kept) // 2)
    while time.monotonic() < ends_at:
        start = 0
        has_shrunk = False
        while start < len(kept) and time.monotonic() < ends_at:
            fewer = kept[:start] + kept[start + chunk :]
            if fails(fewer):
                kept, has_shrunk = fewer, True
            else:
                start += chunk
        if chunk == 1 and not has_shrunk:
            break
        chunk = max(1, chunk // 2)
    return kept
