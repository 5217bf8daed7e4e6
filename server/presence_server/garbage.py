"""Python's garbage collector, set for a process that holds millions of objects for long.

Left alone it looks at all of them again whenever their number has grown by a quarter: with a million users that is
half a second in which nobody is served, and a third of the time that it takes them to arrive. Nothing here relies
on it: what ends is let go of by its owners, without cycles, and `bench/leaks.py` shows that a hundred thousand
connections that vanish leave nothing. Cycles made by an exception or a library die young, where they are found.
"""

from __future__ import annotations

import gc
from typing import Final

THRESHOLDS: Final = (10_000, 1, 10_000)
"""Objects made and not freed until the young are looked at (1 ms); so many times more until the middle-aged are, 20,000
objects at most (5 ms; with 50,000 it was 8 to 20); so many of these until all are: practically never. Measured by
`bench/run.py pauses`."""


def settle() -> None:
    """Call once everything is loaded: none of it is ever looked at again."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(*THRESHOLDS)
