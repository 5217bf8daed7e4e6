"""What a store of presence or of interest costs, in a process of its own: memory, and time per operation.

Run as `footprint.py SUBJECT USERS [WATCHED]`; prints one JSON object. The subjects:

- `table`: the server's `PresenceTable`, with USERS connected users of one device each. Device ids have 36 characters.
- `dicts`: the same users as a dict of dicts, and no more operations than that.
- `interest`: the server's `Interest`, with USERS watchers who watch WATCHED of USERS users each.
- `sets`: the same edges as a set of watchers per user and a set of users per watcher.

Memory is what the resident set grew by. The store is checked against what was put in.
"""

from __future__ import annotations

import gc
import json
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

from presence_server.domain.claims import Word
from presence_server.domain.interest import Interest
from presence_server.domain.model import Platform, Status
from presence_server.domain.shared import Lifetimes
from presence_server.domain.table import PresenceTable
from presence_server.domain.transitions import Connect, Heartbeat, Online, Say

NOW = 1_900_000_000.0
RATE = 1_000
"""Clients that come in a second of the clock that is passed in."""
SAMPLE = 50_000
"""Users with whom each operation is timed."""


def resident_kb() -> int:
    status = Path("/proc/self/status").read_text()
    return int(status.partition("VmRSS:")[2].split()[0])


def per_second(step: Callable[[Any], object], over: Iterable[Any]) -> float:
    """Calls of `step` in a second."""
    given = list(over)
    began = time.perf_counter()
    for one in given:
        step(one)
    return len(given) / (time.perf_counter() - began)


def device_id(user: int) -> str:
    return f"device-{user:029d}"


def table(users: int) -> Iterator[tuple[str, float]]:
    table = PresenceTable(Lifetimes())
    before, began = resident_kb(), time.perf_counter()
    for user in range(1, users + 1):
        # Numbers and times are objects of their own for each, as they are when clients come one by one.
        number = users + user
        table.apply(Connect(user, device_id(user), Platform.WEB, number, number), user / RATE, NOW + user / RATE)
    yield "connects per second", users / (time.perf_counter() - began)
    yield "MB", (resident_kb() - before) * 1024 / 1e6
    assert table.statistics().online == table.statistics().devices == users
    sample = range(1, min(users, SAMPLE) + 1)
    later = users / RATE
    beats = [Heartbeat(user, device_id(user)) for user in sample]
    yield "heartbeats per second", per_second(lambda beat: table.apply(beat, later, NOW + later), beats)
    changes = [Say(user, Word(Status.BUSY)) for user in sample]
    yield "changes per second", per_second(lambda change: table.apply(change, later, NOW + later), changes)
    assert table.statistics().busy == len(sample)
    yield from sweeps(table, users, later)


def sweeps(table: PresenceTable, users: int, now: float) -> Iterator[tuple[str, float]]:
    """A sweep costs what expires: nothing due, and then some devices of REST clients."""
    began = time.perf_counter()
    for step in range(1000):
        assert not list(table.expire(now + step / 1000, NOW + now + step / 1000))
    yield "us per sweep with nothing due", (time.perf_counter() - began) / 1000 * 1e6
    due = min(users, SAMPLE)
    for user in range(users + 1, users + due + 1):
        table.apply(Online(user, device_id(user), Platform.WEB, user), now, NOW + now)
    began = time.perf_counter()
    ended = sum(1 for _ in table.expire(now + 100, NOW + now + 100))
    yield "us per device that expires", (time.perf_counter() - began) / due * 1e6
    assert ended == due
    assert table.statistics().devices == users


def dicts(users: int) -> Iterator[tuple[str, float]]:
    store: dict[int, dict[str, Any]] = {}

    def connect(user: int) -> None:
        now = NOW + user / RATE
        number = users + user
        device = {"platform": "WEB", "session": number, "online": int(now), "heard": now, "idle": False}
        store[user] = {"status": "ONLINE", "version": user, "active": now, "devices": {device_id(user): device}}

    before, began = resident_kb(), time.perf_counter()
    for user in range(1, users + 1):
        connect(user)
    yield "connects per second", users / (time.perf_counter() - began)
    yield "MB", (resident_kb() - before) * 1024 / 1e6
    assert len(store) == users
    sample = range(1, min(users, SAMPLE) + 1)
    beats = [(user, device_id(user)) for user in sample]

    def beat(of: tuple[int, str]) -> None:
        store[of[0]]["devices"][of[1]]["heard"] = NOW

    def change(user: int) -> None:
        store[user]["status"] = "BUSY"
        store[user]["version"] += 1

    yield "heartbeats per second", per_second(beat, beats)
    yield "changes per second", per_second(change, sample)


def watched_by(watcher: int, users: int, watched: int) -> list[int]:
    """Whom `watcher` watches: spread over all, each once, and the same for every subject."""
    return [1 + (watcher * 7919 + place * 104_729) % users for place in range(watched)]


def interest(users: int, watched: int) -> Iterator[tuple[str, float]]:
    edges = Interest()
    before, spent = resident_kb(), 0.0
    for watcher in range(users):
        chosen = watched_by(watcher, users, watched)
        began = time.perf_counter()
        edges.watch(watcher, chosen)
        spent += time.perf_counter() - began
    yield "watches per second", users * watched / spent
    yield "MB", (resident_kb() - before) * 1024 / 1e6
    assert edges.statistics().edges == users * watched
    assert set(edges.watched(7)) == set(watched_by(7, users, watched))
    assert 7 in edges.watchers(watched_by(7, users, watched)[-1])
    sample = [(watcher, watched_by(watcher, users, watched)) for watcher in range(0, users, max(1, users // 500))]
    yield "unwatches per second", watched * per_second(lambda one: edges.unwatch(*one), sample)
    assert edges.statistics().edges == (users - len(sample)) * watched
    # One id at a time is another matter: it has to be found in the watcher's list.
    single = [(watcher + 1, watched_by(watcher + 1, users, watched)[:1]) for watcher, _ in sample[:-1]]
    yield "unwatches of one id per second", per_second(lambda one: edges.unwatch(*one), single)


def sets(users: int, watched: int) -> Iterator[tuple[str, float]]:
    watchers: dict[int, set[int]] = {}
    watching: dict[int, set[int]] = {}

    def watch(watcher: int, chosen: list[int]) -> None:
        watching.setdefault(watcher, set()).update(chosen)
        for user in chosen:
            watchers.setdefault(user, set()).add(watcher)

    def unwatch(watcher: int, chosen: list[int]) -> None:
        watching[watcher].difference_update(chosen)
        for user in chosen:
            watchers[user].discard(watcher)

    before, spent = resident_kb(), 0.0
    for watcher in range(users):
        chosen = watched_by(watcher, users, watched)
        began = time.perf_counter()
        watch(watcher, chosen)
        spent += time.perf_counter() - began
    yield "watches per second", users * watched / spent
    yield "MB", (resident_kb() - before) * 1024 / 1e6
    assert sum(map(len, watchers.values())) == users * watched
    sample = [(watcher, watched_by(watcher, users, watched)) for watcher in range(0, users, max(1, users // 500))]
    yield "unwatches per second", watched * per_second(lambda one: unwatch(*one), sample)
    single = [(watcher + 1, watched_by(watcher + 1, users, watched)[:1]) for watcher, _ in sample[:-1]]
    yield "unwatches of one id per second", per_second(lambda one: unwatch(*one), single)


SUBJECTS: dict[str, Callable[..., Iterator[tuple[str, float]]]] = {
    "table": table,
    "dicts": dicts,
    "interest": interest,
    "sets": sets,
}


def main() -> None:
    subject, sizes = sys.argv[1], map(int, sys.argv[2:])
    gc.disable()  # as a server does that has no cycles to find: it would only add time to what is timed
    print(json.dumps(dict(SUBJECTS[subject](*sizes))))


if __name__ == "__main__":
    main()
