"""A load generator of `load/`, as a process on the load's core that is told what to do and answers in JSON."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from lab import LOAD_CORE, TICKS, WrongResult, compiled, cpu_seconds, on_core

BUSY = 0.9
"""The share of its core from which on a generator may have measured itself."""


class Generator:
    """Lines in, lines out."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process

    def tell(self, line: str = "") -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(line + "\n")
        self._process.stdin.flush()

    def hear(self) -> str:
        """The next line.

        Raises:
            WrongResult: the generator gave up; what it says of that is on the terminal.
        """
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise WrongResult(f"the load generator gave up: {self._process.args}")
        return line.strip()

    def result(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.hear())
        return found

    def measured(self, pid: int, line: str = "") -> dict[str, Any]:
        """What it answers to `line`, and as `cpu` the seconds that this cost the process `pid`, at least a tick."""
        before = cpu_seconds(pid)
        self.tell(line)
        result = self.result()
        result["cpu"] = max(cpu_seconds(pid) - before, 1 / TICKS)
        return result


@contextmanager
def generating(name: str, *arguments: object) -> Iterator[Generator]:
    """The generator made from `load/<name>.c`, from when it is ready until the block ends."""
    process = subprocess.Popen(
        on_core(LOAD_CORE, [compiled(name), *map(str, arguments)]),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        yield Generator(process)
    finally:
        process.kill()
        process.wait()


def was_bottleneck(result: Mapping[str, Any]) -> list[str]:
    """A note for the row, if the generator had no time to spare."""
    busy = result["load_busy"]
    return (
        [f"the load generator was busy for {busy:.0%} of its core: this may be its own limit"] if busy >= BUSY else []
    )
