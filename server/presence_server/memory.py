"""How much memory the process has."""

from __future__ import annotations

import os
import resource
import sys
from pathlib import Path
from typing import Final

_STATM: Final = Path("/proc/self/statm")
_PAGE: Final = os.sysconf("SC_PAGE_SIZE") if hasattr(os, "sysconf") else 4096


def resident_memory() -> int:
    """Bytes that are resident now; without Linux's /proc, the most that ever were."""
    try:
        return int(_STATM.read_bytes().split()[1]) * _PAGE  # proc(5): size, resident, ... in pages; 10 us
    except (OSError, IndexError, ValueError):
        # kilobytes, but bytes on macOS (getrusage(2) of either)
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
