"""A diff of more than one message: only the last of them may claim the whole tick."""

import json

from presence_server.application.cursors import parse
from presence_server.application.fanout import Fanout
from presence_server.application.keys import PLAIN
from presence_server.application.turn import Turn
from presence_server.application.views import Views
from presence_server.domain.interest import Interest
from presence_server.domain.model import Change, Platform
from presence_server.domain.table import PresenceTable
from presence_server.domain.transitions import Online
from presence_server.engines.memory import MemoryEngine

NOW = 1_800_000_000.0


class Outlet:
    behind = False

    def __init__(self) -> None:
        self.frames: list[dict[str, object]] = []

    def write(self, frame: bytes) -> None:
        text, decoder, start = frame.decode(), json.JSONDecoder(), 0
        while start < len(text):
            message, start = decoder.raw_decode(text, start)
            self.frames.append(message)


class StoppedClock:
    def now(self) -> float:
        return NOW

    def utc(self) -> float:
        return NOW


def joined(*pieces: bytes) -> bytes:
    return b"".join(pieces)


def test_a_client_lost_between_two_parts_does_not_claim_the_later_one() -> None:
    engine, interest, outlet = MemoryEngine(PresenceTable(), 1, StoppedClock()), Interest(), Outlet()
    clock = StoppedClock()
    fanout = Fanout(Views(engine, clock, PLAIN), interest, clock, Turn((joined, joined), b"", lambda: None))
    slot = fanout.attach(outlet, 0)
    users = range(1, 1201)
    interest.watch(slot, users)
    engine.attach(
        lambda change, now: fanout.gather(change.user_id, change.version, now) if isinstance(change, Change) else None
    )
    for user_id in users:
        engine.submit(Online(user_id, "d", Platform.WEB, 1), NOW, lambda made: None)
    first_seq = engine.presence(1).seq
    fanout.step(NOW)
    while fanout.delay(NOW) == 0:
        fanout.step(NOW)

    cursors = [parse(str(frame["cursor"])) for frame in outlet.frames]
    assert [len(frame["changes"]) for frame in outlet.frames] == [500, 500, 200]  # type: ignore[arg-type]
    assert all(cursor is not None and cursor.seq < first_seq for cursor in cursors[:-1])
    assert cursors[-1] is not None
    assert cursors[-1].seq == engine.seq
