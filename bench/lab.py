"""What every scenario needs: processes on cores of their own, what they cost, rounds, and results.

A server runs on core 0 and the load on core 1, each as a process; what it cost is read from `/proc`, so that the load
and the kernel's other work are not counted. Figures come from several rounds: the median, the lowest, the highest.
"""

from __future__ import annotations

import json
import os
import platform
import resource
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path

BENCH = Path(__file__).resolve().parent
ROOT = BENCH.parent
BUILD = BENCH / "build"
"""What is compiled, and the peers' environments; not in the repository."""
RESULTS = BENCH / "results"
SERVER_CORE, LOAD_CORE = 0, 1
TICKS = os.sysconf("SC_CLK_TCK")

PRESENCE_SERVER = (str(Path(sys.executable).parent / "presence-server"), "--log-level", "error")


@dataclass(frozen=True)
class Spread:
    """The median of several rounds, with the lowest and the highest."""

    median: float
    low: float
    high: float

    @classmethod
    def of(cls, values: Sequence[float]) -> Spread:
        return cls(statistics.median(values), min(values), max(values))

    def __format__(self, spec: str) -> str:
        return f"{self.median:{spec}} ({self.low:{spec}} to {self.high:{spec}})"


@dataclass
class Row:
    """One line of the table: a subject (us, a floor, a peer) in one case of a scenario.

    `figures` are named with their units, such as "KB per connection". `target` and `is_reached` are only for us.
    `missing` says why there are no figures, such as a peer that cannot be had.
    """

    scenario: str
    case: str
    subject: str
    figures: dict[str, Spread] = field(default_factory=dict)
    target: str = ""
    is_reached: bool | None = None
    missing: str = ""
    notes: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Plan:
    """How much to run. `is_quick` is a smoke run: it shows that results are verified, not how fast anything is."""

    rounds: int = 5
    is_quick: bool = False
    say: Callable[[str], None] = print


class WrongResult(Exception):
    """What was delivered is not what was to be delivered: there is no figure."""


# -- processes -------------------------------------------------------------------------------------------------------


def raise_file_limit() -> None:
    """Open files up to the system's hard limit: for this process and those that it starts."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def on_core(core: int, command: Sequence[str | Path]) -> list[str]:
    return ["taskset", "-c", str(core), *map(str, command)]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_for_port(port: int, process: subprocess.Popen[str], seconds: float = 20) -> None:
    """Until something listens on `port`.

    Raises:
        RuntimeError: the process ended, or took too long.
    """
    until = time.monotonic() + seconds
    while time.monotonic() < until and process.poll() is None:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.05)
    raise RuntimeError(f"nothing listens: {process.args}")


@contextmanager
def serving(
    command: Sequence[str | Path], port: int, env: Mapping[str, str] | None = None, cwd: Path | None = None
) -> Iterator[subprocess.Popen[str]]:
    """A server on its core, from when it listens until the block ends."""
    process = subprocess.Popen(
        on_core(SERVER_CORE, command),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        text=True,
        env=os.environ | dict(env or {}),
        cwd=cwd,
        start_new_session=True,
    )
    try:
        wait_for_port(port, process)
        yield process
    finally:
        os.killpg(process.pid, 9)
        process.wait()


@contextmanager
def presence_server(*flags: str) -> Iterator[tuple[int, int]]:
    """Our own server. Yields its port and process id."""
    port = free_port()
    with serving([*PRESENCE_SERVER, "--port", str(port), *flags], port) as process:
        yield port, process.pid


def cpu_seconds(pid: int) -> float:
    """CPU time of a process with all its threads, user and system."""
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def resident_kb(pid: int) -> int:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS"):
            return int(line.split()[1])
    raise KeyError("VmRSS")


def compiled(name: str) -> Path:
    """The program made from `load/<name>.c`, made anew when the source or one of the headers is newer."""
    source, program = BENCH / "load" / f"{name}.c", BUILD / name
    BUILD.mkdir(exist_ok=True)
    newest = max(path.stat().st_mtime for path in (source, *source.parent.glob("*.h")))
    if not program.exists() or program.stat().st_mtime < newest:
        subprocess.run(["cc", "-O2", "-Wall", "-o", program, source, "-lm"], check=True)
    return program


# -- rounds and results ----------------------------------------------------------------------------------------------


def in_rounds(plan: Plan, label: str, measure: Callable[[], Mapping[str, float]]) -> dict[str, Spread]:
    """Measure again and again; each figure's spread over the rounds."""
    rounds = []
    for number in range(plan.rounds):
        rounds.append(measure())
        shown = ", ".join(f"{name} {value:.3g}" for name, value in rounds[-1].items())
        plan.say(f"{label}: round {number + 1} of {plan.rounds}: {shown}")
    return {name: Spread.of([figures[name] for figures in rounds]) for name in rounds[0]}


def machine() -> dict[str, str]:
    """What the figures were measured on."""
    model = next(
        (
            line.split(":", 1)[1].strip()
            for line in Path("/proc/cpuinfo").read_text().splitlines()
            if "model name" in line
        ),
        platform.machine(),
    )
    return {
        "cpu": f"{os.cpu_count()} x {model}",
        "kernel": platform.release(),
        "python": platform.python_version(),
        "date": time.strftime("%Y-%m-%d"),
    }


def save(rows: Sequence[Row], path: Path) -> None:
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps({"machine": machine(), "rows": [asdict(row) for row in rows]}, indent=1) + "\n")
