"""What the feed costs: CPU for each change, without sockets.

Run as `python bench/feed.py`. Changes come as 10,000 a second would, with a wake of the readers every 50 ms.
Each line is the best of four rounds, in microseconds a change: nobody has ever asked for the feed; somebody has, and
reads no more; three readers, one as each way in words it (REST, server-sent events, WebSocket); the same for three who
want every transition.

`python bench/feed.py --beside DIR` measures what a change costs while nobody reads, in this tree and in that
of DIR, in turns and in processes of their own, and prints the ratio of the best. DIR may be of any version.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path
from random import Random
from typing import Any

from presence_server.clock import SystemClock
from presence_server.domain.model import Platform, Status
from presence_server.domain.table import PresenceTable
from presence_server.domain.transitions import Connect, Leave, Say, SetActivity
from presence_server.engines.memory import MemoryEngine

USERS = 20_000
BATCH = 500
"""Changes between two wakes: 50 ms of 10,000 a second."""
ROUNDS = 4
TURNS = 9
"""Of each tree."""


def filled() -> Any:
    """An engine with everybody online."""
    engine = MemoryEngine(PresenceTable(max_remembered=USERS), 1, SystemClock())
    for user_id in range(1, USERS + 1):
        engine.submit(Connect(user_id, f"device-{user_id}", Platform.WEB, user_id, user_id), 0.0, _done)
    return engine


def _done(_made: object) -> None:
    """Nobody waits."""


def changing(engine: Any) -> Iterator[None]:
    """Change after change: each user once, then each once more, by status, idleness and device."""
    from presence_server.domain.claims import Word

    busy, submit = Word(Status.BUSY), engine.submit
    order = list(range(1, USERS + 1))
    Random(1).shuffle(order)  # records lie far apart, as they do where people come and go
    while True:
        for make in (
            lambda user_id: Say(user_id, busy),
            lambda user_id: Say(user_id, None),
            lambda user_id: SetActivity(user_id, f"device-{user_id}", user_id, True),
            lambda user_id: SetActivity(user_id, f"device-{user_id}", user_id, False),
            lambda user_id: Leave(user_id, f"device-{user_id}", user_id),
            lambda user_id: Connect(user_id, f"device-{user_id}", Platform.WEB, user_id, user_id),
        ):
            for user_id in order:
                submit(make(user_id), 1.0, _done)
                yield


def measure(readers: list[Callable[[], None]], engine: Any) -> float:
    """Microseconds a change, of which making it up is a part."""
    best, change, changes = float("inf"), changing(engine), 6 * USERS
    for _ in range(ROUNDS):
        began = time.process_time()
        for _ in range(changes // BATCH):
            for _ in islice(change, BATCH):
                pass
            for read in readers:
                read()
        best = min(best, time.process_time() - began)
    return best / changes * 1e6


def three(engine: Any, every: bool) -> list[Callable[[], None]]:
    """A reader for each way in, which has walked already."""
    from presence_protocol.codec import CODECS
    from presence_protocol.feed import FeedDiff
    from presence_server.application.feed import Feed, FeedPage
    from presence_server.application.keys import PLAIN
    from presence_server.transports.rest.envelope import encode
    from presence_server.transports.rest.feed import _Events
    from presence_server.transports.websocket.frames import FRAMERS

    feed = Feed(engine, PLAIN, lambda callback: callback())

    def rest(page: FeedPage) -> bytes:
        return encode(page.entries)

    def events(page: FeedPage) -> bytes:
        worded = _Events()
        worded.add(page)
        return bytes(worded.text)

    def socket(page: FeedPage) -> bytes:
        return FRAMERS[0](CODECS[0].encode(FeedDiff(page.entries, page.cursor, page.resumed, page.gap, page.more)))

    def reader(word: Callable[[FeedPage], bytes], limit: int) -> Callable[[], None]:
        cursor: str | None = None

        def read() -> None:
            nonlocal cursor
            more = True
            while more:
                page = feed.page(cursor, limit, sees_invisible=False, every=every, with_cursors=word is events)
                word(page)
                cursor, more = page.cursor, page.more

        read()
        return read

    return [reader(rest, 1000), reader(events, 500), reader(socket, 60)]


def beside(directory: str) -> None:
    here = Path(__file__).parents[1]
    best: dict[Path, float] = {}
    for _ in range(TURNS):
        for tree in (Path(directory).resolve(), here):
            path = os.pathsep.join([str(tree / "server"), str(tree / "client_sdk/python")])
            command = [sys.executable, __file__, "--bare"]
            said = subprocess.run(
                command, env=os.environ | {"PYTHONPATH": path}, capture_output=True, text=True, check=True
            )
            best[tree] = min(best.get(tree, float("inf")), float(said.stdout))
    there = best[Path(directory).resolve()]
    print(f"nobody reads: {best[here]:.2f} us here, {there:.2f} us there: {best[here] / there:.3f} x")


def main() -> None:
    if "--bare" in sys.argv:
        print(measure([], filled()))
    elif "--beside" in sys.argv:
        beside(sys.argv[sys.argv.index("--beside") + 1])
    else:
        engine = filled()
        print(f"nobody has asked     {measure([], engine):6.2f} us")
        readers = three(engine, every=False)
        print(f"nobody reads         {measure([], engine):6.2f} us")
        print(f"three readers        {measure(readers, engine):6.2f} us")
        print(f"three, every change  {measure(three(engine, every=True), engine):6.2f} us")


if __name__ == "__main__":
    main()
