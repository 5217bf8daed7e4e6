"""Some thousand connections that vanish leave nothing behind; `bench/leaks.py` makes it a hundred thousand."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

BENCH = Path(__file__).parents[2] / "bench" / "leaks.py"
CYCLES = 10_000


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="reads /proc")
def test_what_connections_took_is_given_back() -> None:
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("PRESENCE_", "COVERAGE_"))}
    ended = subprocess.run(
        [sys.executable, str(BENCH), str(CYCLES)], capture_output=True, text=True, env=environment, timeout=300
    )
    assert (ended.returncode, ended.stderr) == (0, ""), ended.stdout
    read = dict(
        re.findall(
            r"^(presence_[^ ]+|open files|resident memory, KB) +[0-9.e+]+ +([0-9.e+]+)$", ended.stdout, re.MULTILINE
        )
    )
    assert {"resident memory, KB", "open files", "presence_websocket_sessions", "presence_watches"} <= set(read)
