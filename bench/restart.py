"""Restarts under load: a swarm of clients through stops, kills and takeovers, at random moments while changes go on.

    python bench/restart.py [CLIENTS [WATCHED [ROUNDS [CHANGES A SECOND]]]]      10000 20 20 500

The rounds end by SIGTERM, by SIGKILL and by `--takeover`, in turn. It counts what must never be said (OFFLINE of who
is always back in time, a version that goes back; at a takeover, whoever is refused), who resumed, and how long it took
until the last one was back. Figures in docs/operations.md are of such a run.
"""

from __future__ import annotations

import asyncio
import resource
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from random import Random

from lab import PRESENCE_SERVER, Spread, cpu_seconds, free_port, raise_file_limit, wait_for_port

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
from support.swarm import Swarm

DRAIN = 2


async def rounds(clients: int, watched: int, count: int, changes: float) -> int:
    port, random = free_port(), Random()
    swarm = Swarm(port, clients, watched, moves=True)
    ends = ("SIGTERM", "SIGKILL", "takeover")
    found: dict[str, dict[str, list[float]]] = {end: {} for end in ends}
    with tempfile.TemporaryDirectory() as directory:
        flags = ["--port", str(port), "--state", directory, "--drain-timeout", str(DRAIN), "--limits", "off"]
        server = start([*PRESENCE_SERVER, *flags, "--return-period", "60"], port)
        await swarm.come()
        try:
            for number in range(count):
                end = ends[number % 3]
                stirring = asyncio.ensure_future(swarm.stirring(changes))
                await asyncio.sleep(random.uniform(1, 3))
                before = Counter(swarm.counts)
                command = [*PRESENCE_SERVER, *flags, "--return-period", "60"]
                began, waits = time.monotonic(), [0.0]
                if end == "takeover":
                    asking = asyncio.ensure_future(_ask(port, waits, swarm))
                    old, server = server, await asyncio.to_thread(start, [*command, "--takeover"], port)
                    ended = await asyncio.to_thread(_wait, old)
                    asking.cancel()
                else:
                    server.send_signal(getattr(signal, end))
                    ended = await asyncio.to_thread(_wait, server)
                    began = time.monotonic()
                    server = await asyncio.to_thread(start, command, port)
                stirring.cancel()
                await asyncio.sleep(0.2)
                await swarm.all_there(300)
                back = time.monotonic() - began
                new = Counter(swarm.counts) - before
                one = {
                    "s to end": ended,
                    "s until all were back": back,
                    "CPU s for that": cpu_seconds(server.pid),
                    "% continued": 100 * new["continued"] / clients,
                    "% resumed": 100 * new["resumed"] / clients,
                }
                if end == "takeover":
                    one["longest wait of who connected, s"] = max(waits)
                    if new["refused"]:
                        swarm.wrong(f"{new['refused']} were refused")
                print(
                    f"{number + 1} {end}", ", ".join(f"{name} {value:.2f}" for name, value in one.items()), flush=True
                )
                for name, value in one.items():
                    found[end].setdefault(name, []).append(value)
                await asyncio.sleep(1)
                if swarm.wrongs:
                    print("\n".join(swarm.wrongs))
        finally:
            server.kill()
            server.wait()
            await swarm.leave()
    for end, figures in ((end, figures) for end, figures in found.items() if figures):
        print(end, ", ".join(f"{name} {Spread.of(values):.1f}" for name, values in figures.items()))
    print(f"{clients} clients, {watched} watched each, {count} ends: said wrongly: {swarm.counts['wrong']}")
    return 1 if swarm.wrongs else 0


def start(command: list[str], port: int) -> subprocess.Popen[str]:
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, text=True)
    wait_for_port(port, process, 60)
    return process


async def _ask(port: int, waits: list[float], swarm: Swarm) -> None:
    """Connect and ask again and again: for how long each had to wait, and who was refused."""
    while True:
        began = time.monotonic()
        try:
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(b"GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n")
            if not (await reader.read()).startswith(b"HTTP/1.1 200"):
                swarm.counts["refused"] += 1
            writer.close()
        except OSError:
            swarm.counts["refused"] += 1
        waits.append(time.monotonic() - began)
        await asyncio.sleep(0.01)


def _wait(process: subprocess.Popen[str]) -> float:
    began = time.monotonic()
    process.wait()
    return time.monotonic() - began


if __name__ == "__main__":
    raise_file_limit()
    given = [int(number) for number in sys.argv[1:]]
    if given and given[0] + 200 > resource.getrlimit(resource.RLIMIT_NOFILE)[1]:
        print("the limit of open files is too low for so many", file=sys.stderr)
        sys.exit(2)
    sys.exit(asyncio.run(rounds(*given, *(10_000, 20, 20, 500)[len(given) :])))
