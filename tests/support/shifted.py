"""A server on a machine whose clocks a test moves. Run as a script, with the server's own arguments.

The file named by `CLOCKS` says by how many seconds the calendar was set, and how many the machine slept.
"""

from __future__ import annotations

import os
import time
from pathlib import Path

_file = Path(os.environ["CLOCKS"])
_time = time.time


def moved() -> tuple[float, float]:
    set_by, slept = _file.read_text("ascii").split()
    return float(set_by), float(slept)


if __name__ == "__main__":
    time.time = lambda: _time() + sum(moved())

    from presence_server import clock
    from presence_server.__main__ import main

    lasting = clock.LASTING
    clock.LASTING = lambda: lasting() + moved()[1]
    main()
