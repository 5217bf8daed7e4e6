"""Does each module have the coverage that it had? Run after the tests, by `make test`: reads what they left behind.

A floor is a little less than what was measured, so that a busy machine does not fall below it. Raise one when tests
are added; to lower one is to say that code came without tests.
"""

from __future__ import annotations

import io
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import coverage

ROOT: Final = Path(__file__).parents[1]

FLOOR: Final = 80.0
"""Percent of lines and branches of every module that is not named below."""

FLOORS: Final[Mapping[str, float]] = {
    "presence_client/commands/keyboard.py": 75,  # a terminal of our own is needed for each key
    "presence_client/demo.py": 65,
    "presence_client/failures.py": 75,
    "presence_client/scripts.py": 75,
    "presence_server/__main__.py": 65,
    "presence_server/domain/order.py": 60,
    "presence_server/memory.py": 75,
    "presence_server/process_figures.py": 75,
    "presence_server/settings/claims.py": 70,
    "presence_server/transports/http/exchange.py": 75,
    "presence_server/transports/http/peeking.py": 60,
    "presence_server/visibility/ask.py": 75,
}


def beneath(covered: Mapping[str, float], floors: Mapping[str, float] = FLOORS) -> list[str]:
    """A line for each module with less coverage than its floor, and for each floor without a module."""
    told = [
        f"{module}: {percent:.1f} %, floor {floors.get(module, FLOOR):.0f} %"
        for module, percent in sorted(covered.items())
        if percent < floors.get(module, FLOOR)
    ]
    return told + [f"{module}: has a floor, and is not there" for module in sorted(floors.keys() - covered.keys())]


def measured() -> dict[str, float]:
    """Percent by module, from the coverage data in the project's folder."""
    data = coverage.Coverage(data_file=str(ROOT / ".coverage"), config_file=str(ROOT / "pyproject.toml"))
    data.load()
    found = {}
    for file in data.get_data().measured_files():
        if not (Path(file).is_relative_to(ROOT) and Path(file).exists()):
            continue  # what a test unpacked, and has thrown away since
        path = Path(file).relative_to(ROOT)
        module = "/".join(path.parts[path.parts.index("python") + 1 if "python" in path.parts else 1 :])
        found[module] = data.report(morfs=[file], file=io.StringIO())
    return found


def main() -> int:
    told = beneath(measured())
    for line in told:
        sys.stdout.write(f"coverage: {line}\n")
    return 1 if told else 0


if __name__ == "__main__":
    sys.exit(main())
