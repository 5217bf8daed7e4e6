"""Churn: clients come, say hello, say bye and go, 1,000 a second. What does one such cycle cost?

Against a Starlette WebSocket endpoint on uvicorn (uvloop, websockets-sansio) that accepts, receives the hello, sends a
welcome of the same size, receives the bye and closes, and knows nothing of presence. Both are measured in each round.
A cycle is whole when the welcome had its size, the close frame said 1000, and the connection ended.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from generator import generating, was_bottleneck
from lab import BENCH, Plan, Row, WrongResult, free_port, in_rounds, presence_server, serving

NAME = "churn"
MOST_OF_STARLETTE = 0.7


def run(plan: Plan) -> list[Row]:
    rate, seconds = (100, 0.5) if plan.is_quick else (1_000, 6.0)
    notes: dict[str, list[str]] = {"presence-server": [], "starlette": []}
    starlette_port = free_port()
    with tempfile.TemporaryDirectory() as folder, presence_server() as (port, pid):
        size = first_welcome(port)
        welcome = Path(folder) / "welcome.json"
        welcome.write_text('{"type":"welcome","x":"' + "x" * (size - 25) + '"}')
        command = [sys.executable, BENCH / "load" / "asgi.py", str(starlette_port), "websocket", welcome]
        with serving(command, starlette_port) as starlette:

            def both() -> dict[str, float]:
                # Our welcomes differ by a character or two: they number their sessions.
                ours = churn(port, pid, rate, seconds, 0, notes["presence-server"])
                theirs = churn(starlette_port, starlette.pid, rate, seconds, size, notes["starlette"])
                ratio = ours["CPU us per cycle"] / max(theirs["CPU us per cycle"], 1)
                return named("presence-server", ours) | named("starlette", theirs) | {"ratio": ratio}

            found = in_rounds(plan, NAME, both)
    figures = {
        subject: {name.removeprefix(f"{subject}: "): spread for name, spread in found.items() if subject in name}
        for subject in notes
    }
    case = f"{rate:,} connects, hellos and byes a second"
    return [
        Row(
            NAME,
            case,
            "presence-server",
            figures["presence-server"] | {"CPU of Starlette's": found["ratio"]},
            target=f"CPU per cycle <= {MOST_OF_STARLETTE} x Starlette's",
            is_reached=found["ratio"].median <= MOST_OF_STARLETTE,
            notes=list(dict.fromkeys(notes["presence-server"])),
        ),
        Row(
            NAME,
            case,
            "Starlette endpoint on uvicorn",
            figures["starlette"],
            notes=list(dict.fromkeys(notes["starlette"])),
        ),
    ]


def named(subject: str, figures: dict[str, float]) -> dict[str, float]:
    return {f"{subject}: {name}": value for name, value in figures.items()}


def first_welcome(port: int) -> int:
    """Bytes of a welcome to a client of this scenario."""
    with generating("churn", port, 1, 0, 0) as clients:
        return int(clients.hear().split()[1])


def churn(port: int, pid: int, rate: int, seconds: float, size: int, notes: list[str]) -> dict[str, float]:
    """Cycles at `rate`.

    Raises:
        WrongResult: not all of them were whole.
    """
    with generating("churn", port, rate, seconds, size) as clients:
        clients.hear()
        result = clients.measured(pid)
    if result["wrong"] or result["unfinished"]:
        raise WrongResult(f"{result['wrong']} cycles were not as they should be, {result['unfinished']} had no end")
    notes += was_bottleneck(result)
    return {
        "CPU us per cycle": result["cpu"] / result["cycles"] * 1e6,
        "cycle p50 ms": result["p50_ms"],
        "cycle p99 ms": result["p99_ms"],
        "server busy": result["cpu"] / result["seconds"],
        "load busy": result["load_busy"],
    }
