"""What a connection costs that says hello and then stays silent: resident memory of the server.

It is the growth of the server's resident memory from 100 connections, which bring in what is loaded on first use, to so
many more, divided by their number; once when nobody is watched, once with 100 watched users each. The kernel's socket
buffers are not part of a process's resident memory. The floor is a C program that keeps nothing but a file descriptor.
"""

from __future__ import annotations

import time
from dataclasses import replace

from lab import Plan, Row, free_port, in_rounds, raise_file_limit, resident_kb, serving
from peers import NODE_WS, PEERS, STARLETTE, UWEBSOCKETS, Peer
from subjects import PEER_FAILED, crowd, floor, ours, scaled

NAME = "idle"
PEER_ROUNDS = 3
WARM_UP = 100
PAUSE = 0.5
"""Seconds for the server to finish what the last connections began."""

MOST_IDLE, MOST_WATCHING, SHARE_OF_STARLETTE = 4.0, 7.0, 1 / 6
KB, OF_STARLETTE = "KB per connection", "x Starlette"


def run(plan: Plan) -> list[Row]:
    rows = []
    for connections in (200,) if plan.is_quick else (5_000, 15_000):
        for watched in (0, 20 if plan.is_quick else 100):
            case = f"{connections:,} connections, " + (f"{watched} watched users each" if watched else "nobody watched")
            subjects: list[Peer] = [ours()]
            if plan.is_quick:
                subjects += [] if watched else [floor()]
            elif connections == 5_000:
                subjects += [floor(), *PEERS] if not watched else [compressed(), *PEERS]
            elif not watched:
                subjects += [STARLETTE, NODE_WS, UWEBSOCKETS]
            rows += compared(plan, case, subjects, connections, watched)
    return rows


def compressed() -> Peer:
    """Our server, and clients who agree on compression with it."""
    return replace(ours("--compression", "on"), name="presence-server, compression on", dialect="deflate")


def compared(plan: Plan, case: str, subjects: list[Peer], connections: int, watched: int) -> list[Row]:
    rows = []
    for subject in subjects:
        is_peer = subject in PEERS
        rounds = replace(plan, rounds=min(plan.rounds, PEER_ROUNDS)) if is_peer else plan
        row = Row(NAME, case, subject.name)
        try:
            subject.install()
            row.figures = in_rounds(
                rounds,
                f"{NAME}: {subject.name}, {case}",
                lambda subject=subject: {KB: kb_per_connection(subject, connections, watched)},
            )
        except PEER_FAILED as error:
            if not is_peer:
                raise
            row.missing = str(error)
        rows.append(row)
    us, starlette = rows[0], next((row for row in rows if row.subject == STARLETTE.name and row.figures), None)
    if starlette:
        us.figures[OF_STARLETTE] = scaled(us.figures[KB], 1 / starlette.figures[KB].median)
    most = MOST_WATCHING if watched else MOST_IDLE
    us.target = f"<= {most:.0f} KB" + (f" and <= 1/6 of {STARLETTE.name}'s" if starlette and not watched else "")
    us.is_reached = us.figures[KB].median <= most and (
        watched > 0 or not starlette or us.figures[OF_STARLETTE].median <= SHARE_OF_STARLETTE
    )
    return rows


def kb_per_connection(subject: Peer, connections: int, watched: int) -> float:
    raise_file_limit()
    port = free_port()
    with (
        serving(subject.command(port, 0), port) as process,
        crowd(subject, port, WARM_UP + 1, watched, number=2),
    ):
        time.sleep(PAUSE)
        before = resident_kb(process.pid)
        with crowd(subject, port, connections, watched):
            time.sleep(PAUSE)
            return (resident_kb(process.pid) - before) / connections
