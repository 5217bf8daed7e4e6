"""A server whose collector is off, and that tells when asked (SIGUSR1) what only the collector would have found.

Run as a script, with the server's own arguments. The answer is a line of JSON on standard output: the number of
unreachable objects, and their types.
"""

from __future__ import annotations

import gc
import json
import os
import signal
import sys
from collections import Counter
from types import FrameType

from presence_server import app
from presence_server.__main__ import main


def settle() -> None:
    gc.collect()
    gc.freeze()
    gc.disable()


async def collect_never() -> None:
    """Only when asked."""


def tell(_signal: int, _frame: FrameType | None) -> None:
    gc.set_debug(gc.DEBUG_SAVEALL)
    found = gc.collect()
    gc.set_debug(0)
    types = Counter(f"{type(item).__module__}.{type(item).__qualname__}" for item in gc.garbage)
    gc.garbage.clear()
    gc.collect()  # what was kept to be counted is freed
    os.write(1, json.dumps({"unreachable": found, "types": types.most_common(20)}).encode() + b"\n")


if __name__ == "__main__":
    app.settle = settle
    app.collect_when_due = collect_never
    signal.signal(signal.SIGUSR1, tell)
    sys.argv[0] = "presence-server"
    main()
