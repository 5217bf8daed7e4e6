"""What claims cost that begin and end at once, and those that lie in the future.

    python bench/claims.py edges [CLAIMS] [WATCHERS] [WATCHED]    all claims begin in one second, and end in another
    python bench/claims.py future [N]                             N users with a device and one future claim each

In this process, without sockets: a write to one adds some 6 us for each frame. The calendar is moved by the script.
Neither saves anything: the figures are in docs/performance.md.
"""

from __future__ import annotations

import gc
import sys
import time
from random import Random

from lab import resident_kb

from presence_protocol.codec import CODECS
from presence_protocol.messages import Diff, Hello, Snapshot
from presence_server.app import build_gateway
from presence_server.application.ports import Peer
from presence_server.clock import SystemClock
from presence_server.domain.model import Claim, Platform, Source, Status
from presence_server.domain.transitions import Connect, SetClaims
from presence_server.settings import Settings
from presence_server.transports.websocket.frames import sent_frames

CALENDAR = Source("calendar", 40)
BEGINS, LASTS = 60, 60
"""Seconds from now, and for which each claim lasts."""


class MovedClock(SystemClock):
    moved = 0.0

    def utc(self) -> float:
        return time.time() + self.moved


class Watcher:
    """A link that takes everything, and knows when the last of it came."""

    def __init__(self) -> None:
        self.frames: list[bytes] = []
        self.written_at = 0.0

    def write(self, frame: bytes) -> None:
        self.frames.append(frame)
        self.written_at = time.process_time()

    def read_on(self) -> None:
        """The script goes on with each session by itself."""

    def has_room(self) -> bool:
        return True

    def shown(self, shown: dict[int, str]) -> None:
        """Fold what came."""
        for frames in self.frames:
            for _, payload in sent_frames(frames):
                message = CODECS[0].decode_server(payload)
                if isinstance(message, Snapshot | Diff):
                    entries = message.statuses if isinstance(message, Snapshot) else message.changes
                    shown.update((entry.user_id, entry.status) for entry in entries)
        self.frames = []


def edges(claims: int, watchers: int, watched: int) -> None:
    """CPU of both seconds, and how much of it had passed when a watcher was written to for the last time."""
    clock, random = MovedClock(), Random(1)
    gateway = build_gateway(Settings(), clock, random, watchers + claims)
    hub, fanout = gateway.hub, gateway.driver.fanout
    key = hub.keys.key
    planned = int(clock.utc()) + BEGINS
    for user_id in range(1, claims + 1):
        number = hub.engine.next_number()
        hub.submit(Connect(key(user_id), "d", Platform.WEB, number, number), clock.now(), _nothing)
        claim = Claim(CALENDAR, "", planned, planned + LASTS, Status.BUSY, "in a meeting", is_planned=True)
        hub.submit(SetClaims(key(user_id), CALENDAR, (claim,)), clock.now(), _nothing)
    links = [Watcher() for _ in range(watchers)]
    for link in links:
        session = hub.open(link, 0, Peer("127.0.0.1"), clock.now())  # type: ignore[arg-type]
        wanted = random.sample(range(1, claims + 1), watched)
        hub.handle(session, Hello(observer=True, watch=wanted), clock.now())
        while session.can_go_on:
            hub.go_on(session, clock.now())
    held: list[dict[int, str]] = [{} for _ in links]
    _fold(links, held, "ONLINE", watched)
    gc.collect()
    gc.freeze()
    for name, moved, status in (("begin", BEGINS, "BUSY"), ("end", BEGINS + LASTS, "ONLINE")):
        for _ in range(2):
            hub.sweep(clock.now())  # one after a while without any is skipped
        clock.moved = moved + 1.0
        began = time.process_time()
        hub.sweep(clock.now())
        swept = time.process_time() - began
        steps = longest = 0.0
        while (delay := fanout.delay(clock.now())) is not None:
            time.sleep(delay)
            step = time.process_time()
            fanout.step(clock.now())
            longest, steps = max(longest, time.process_time() - step), steps + 1
        took = time.process_time() - began
        late = sorted(link.written_at - began for link in links)
        _fold(links, held, status, watched)
        print(
            f"{claims:,} claims {name}, {watchers:,} watchers of {watched} each: {took:.2f} s of CPU"
            f" ({took / watchers / watched * 1e6:.2f} us a change told), sweep {swept * 1e3:.0f} ms,"
            f" {steps:.0f} steps, longest {longest * 1e3:.0f} ms;"
            f" last written after p50 {late[len(late) // 2]:.2f} s, p99 {late[len(late) * 99 // 100]:.2f} s of CPU;"
            " all hold the same"
        )


def _fold(links: list[Watcher], held: list[dict[int, str]], status: str, watched: int) -> None:
    for link, shown in zip(links, held, strict=True):
        link.shown(shown)
        if len(shown) != watched or set(shown.values()) != {status}:
            raise SystemExit(
                f"not converged: {len(shown)} of {watched} held, {set(shown.values())} instead of {status}"
            )


def future(count: int) -> None:
    clock = SystemClock()
    gateway = build_gateway(Settings(), clock, Random(1), 1_000)
    hub, key, planned = gateway.hub, gateway.hub.keys.key, int(clock.utc()) + 86_400
    gc.disable()
    empty = _resident()
    for user_id in range(1, count + 1):
        number = hub.engine.next_number()
        hub.submit(Connect(key(user_id), "d", Platform.WEB, number, number), clock.now(), _nothing)
    there = _resident()
    began = time.process_time()
    for user_id in range(1, count + 1):
        begins = planned + user_id % 86_400
        claim = Claim(CALENDAR, "", begins, begins + 3_600, Status.BUSY, is_planned=True)
        hub.submit(SetClaims(key(user_id), CALENDAR, (claim,)), clock.now(), _nothing)
    took = time.process_time() - began
    claimed = _resident()
    began = time.process_time()
    for _ in range(100):
        hub.sweep(clock.now())
    swept = (time.process_time() - began) / 100
    print(
        f"{count:,} users with a device: {(there - empty) / count:.0f} bytes each;"
        f" one future claim each: {(claimed - there) / count:.0f} bytes more, {took / count * 1e6:.1f} us to make;"
        f" a sweep while none is due: {swept * 1e6:.0f} us"
    )


def _resident() -> float:
    """Bytes."""
    return (resident_kb("self") or 0) * 1024  # type: ignore[arg-type]


def _nothing(_made: object) -> None:
    """Nobody waits for it."""


if __name__ == "__main__":
    command, *numbers = sys.argv[1:] or ["edges"]
    if command == "edges":
        edges(*map(int, numbers) if numbers else (1_000, 5_000, 200))
    else:
        future(*map(int, numbers) if numbers else (1_000_000,))
