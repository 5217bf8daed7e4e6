"""Whatever happens, each reader of the feed holds in the end what the table says, and is told nothing out of order.

Readers differ in what they see (what watchers see, or the truth), in what they want (last states, or every transition),
in how often they read, and in how much at once; some are gone for long, some are told things twice.
"""

from __future__ import annotations

from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from domain.scene import BOOT, START
from presence_protocol.feed import FeedEntry
from presence_server.application.cursors import parse
from presence_server.application.feed import Feed
from presence_server.application.keys import PLAIN
from presence_server.domain.aggregate import aggregate
from presence_server.domain.causes import Cause
from presence_server.domain.claims import LEAVE, Word, own_status
from presence_server.domain.model import Change, Claim, Platform, PublicState, Source, Status
from presence_server.domain.shared import Lifetimes
from presence_server.domain.table import PresenceTable
from presence_server.domain.transitions import (
    Connect,
    Disconnect,
    Erase,
    Heartbeat,
    Leave,
    Online,
    Restate,
    Say,
    SetActivity,
    SetClaims,
)
from presence_server.engines.memory import MemoryEngine

USERS = st.integers(1, 6)
DEVICES = st.sampled_from(["a", "b"])
CALL = Source("call", 80)
OF_COMING_AND_GOING = {Cause.CONNECTED, Cause.LEFT, Cause.GRACE_OVER, Cause.HEARTBEAT_MISSED, Cause.ERASED}


class Times:
    def __init__(self) -> None:
        self.passed = 0.0

    def now(self) -> float:
        return BOOT + self.passed

    def utc(self) -> float:
        return START + self.passed


class Reader:
    """Folds what it is told by the rules of the documentation. `sees_truth`: with the scope admin."""

    def __init__(self, feed: Feed, sees_truth: bool, every: bool, limit: int) -> None:
        self.feed, self.sees_truth, self.every, self.limit = feed, sees_truth, every, limit
        self.cursor: str | None = None
        self.held: dict[Any, FeedEntry] = {}
        self.newest: dict[Any, int] = {}
        """The version told last of each, since it went on from a cursor that it had before."""
        self.told: list[FeedEntry] = []
        """What it did not know."""
        self.begun = 0
        self.complete_from: int | None = None
        """The version after which it was told each transition."""

    def read(self) -> bool:
        """One page. Returns whether there is more."""
        page = self.feed.page(self.cursor, self.limit, sees_invisible=self.sees_truth, every=self.every)
        assert len(page.entries) <= self.limit
        self.cursor = page.cursor
        at = parse(page.cursor)
        assert at is not None
        if page.gap or not page.resumed or "-" in at.digest:
            self.complete_from = at.seq
        if not page.resumed:
            self.begun = int(at.digest.partition("-")[2] or "0", 16)
        if not page.resumed:
            self.held.clear()
        for entry in page.entries:
            held = self.held.get(entry.user_id)
            assert entry.version >= self.newest.get(entry.user_id, 0), "out of order"
            self.newest[entry.user_id] = entry.version
            if held is None or entry.version > held.version:
                self.held[entry.user_id] = entry
                self.told.append(entry)
            elif entry.version == held.version:
                assert (entry.status, entry.cause) == (held.status, held.cause), "two states at one version"
        return page.more

    def read_all(self) -> None:
        for _ in range(10_000):
            if not self.read():
                return
        raise AssertionError("it never comes to an end")


class FeedMachine(RuleBasedStateMachine):
    @initialize(max_remembered=st.sampled_from([2, 1000]), window=st.sampled_from([3, 1000]), before=st.booleans())
    def start(self, max_remembered: int, window: int, before: bool) -> None:
        self.times = Times()
        table = PresenceTable(Lifetimes(away_after=30, max_devices=3), shards=3, max_remembered=max_remembered)
        self.engine = MemoryEngine(table, 7, self.times)
        self.changes: list[Change] = []
        self.engine.attach(lambda event, now: self.changes.append(event) if isinstance(event, Change) else None)
        self.feed = Feed(self.engine, PLAIN, lambda callback: callback(), window)
        self.readers: list[Reader] = []
        self.holders: dict[tuple[int, str], int] = {}
        self.last = 0
        if before:
            self.come(1, False, False, 2)

    @rule(index=st.integers(0, 3), truth=st.booleans(), every=st.booleans(), limit=st.sampled_from([1, 2, 500]))
    def come(self, index: int, truth: bool, every: bool, limit: int) -> None:
        """A new reader, perhaps in the place of another."""
        reader = Reader(self.feed, truth, every, limit)
        if index < len(self.readers):
            self.readers[index] = reader
        else:
            self.readers.append(reader)

    @rule(index=st.integers(0, 3), times=st.integers(1, 3))
    def read(self, index: int, times: int) -> None:
        for reader in self.readers[index : index + 1]:
            for _ in range(times):
                reader.read()

    @rule(
        index=st.integers(0, 3), cursor=st.sampled_from(["", "7.0.f", "7.ffffffffffffff.f", "8.1.f", "7.1.f-zz", "x"])
    )
    def lose_the_cursor(self, index: int, cursor: str) -> None:
        for reader in self.readers[index : index + 1]:
            reader.cursor = cursor
            reader.newest.clear()

    # -- what happens ------------------------------------------------------------------------------------------------

    def submit(self, transition: Any) -> None:
        self.engine.submit(transition, self.times.now(), lambda made: None)

    @rule(user_id=USERS, device_id=DEVICES, platform=st.sampled_from([Platform.WEB, Platform.IOS]))
    def connect(self, user_id: int, device_id: str, platform: Platform) -> None:
        self.last += 1
        self.holders[user_id, device_id] = self.last
        self.submit(Connect(user_id, device_id, platform, self.last, self.last))

    @rule(user_id=USERS, device_id=DEVICES, leaves=st.booleans())
    def end(self, user_id: int, device_id: str, leaves: bool) -> None:
        holder = self.holders.pop((user_id, device_id), 0)
        self.submit((Leave if leaves else Disconnect)(user_id, device_id, holder))

    @rule(user_id=USERS, device_id=DEVICES, idle=st.booleans())
    def stir(self, user_id: int, device_id: str, idle: bool) -> None:
        self.submit(SetActivity(user_id, device_id, self.holders.get((user_id, device_id), 0), idle))

    @rule(user_id=USERS, idle=st.none() | st.booleans())
    def rest(self, user_id: int, idle: bool | None) -> None:
        self.last += 1
        self.submit(Online(user_id, "rest", Platform.PC, self.last))
        self.submit(Heartbeat(user_id, "rest", idle))

    @rule(
        user_id=USERS,
        status=st.sampled_from([None, *Status, Status.OFFLINE, LEAVE]),
        lasts=st.sampled_from([None, 5]),
        text=st.sampled_from([LEAVE, None, "lunch"]),
    )
    def say(self, user_id: int, status: Any, lasts: int | None, text: Any) -> None:
        until = LEAVE if lasts is None or status in (None, LEAVE) else int(self.times.utc()) + lasts
        self.submit(Say(user_id, Word(status, until, text)))

    @rule(user_id=USERS, status=st.sampled_from([None, Status.BUSY, Status.ONLINE]), alone=st.booleans())
    def claim(self, user_id: int, status: Status | None, alone: bool) -> None:
        now = int(self.times.utc())
        claims = () if status is None else (Claim(CALL, "c", now + 2, now + 7, status, is_planned=True, alone=alone),)
        self.submit(SetClaims(user_id, CALL, claims))

    @rule(user_id=USERS)
    def erase(self, user_id: int) -> None:
        self.submit(Erase(user_id))

    @rule(user_id=USERS)
    def tell_again(self, user_id: int) -> None:
        self.submit(Restate(user_id))
        self.engine.restamp(user_id, self.times.now())

    @rule(seconds=st.sampled_from([0.3, 3, 11, 80]))
    def wait(self, seconds: float) -> None:
        self.times.passed += seconds
        self.engine.sweep(self.times.now())

    # -- what must be so ---------------------------------------------------------------------------------------------

    def truth(self, user_id: int) -> PublicState:
        """What the user would be without having said OFFLINE."""
        record = self.engine._table.record(user_id)
        if record is None:
            return PublicState(Status.OFFLINE)
        own = own_status(record.claims, self.times.utc())
        if own is None or own.status is not Status.OFFLINE:
            return record.public
        claims = [claim for claim in record.claims if claim.source.name != "self" or claim.status is None]
        return aggregate(claims, record.devices, self.times.utc())

    def teardown(self) -> None:
        if not hasattr(self, "engine"):
            return
        self.engine.sweep(self.times.now())  # what is due has happened
        for reader in self.readers:
            reader.read_all()
            for user_id in range(1, 7):
                held = reader.held.get(user_id)
                state = self.truth(user_id) if reader.sees_truth else self.engine.presence(user_id).public
                shown = (
                    ("OFFLINE", [], None, None)
                    if held is None
                    else (held.status, held.platforms, held.status_text, held.status_emoji)
                )
                assert shown == (state.status, [each.value for each in state.platforms], state.text, state.emoji)
                if held is not None and not reader.sees_truth:
                    assert not held.invisible
                    assert held.version in (self.engine.presence(user_id).version, *(c.version for c in self.changes))
            if reader.every and not reader.sees_truth:
                self.was_told_each(reader)
            cursor, told = reader.cursor, len(reader.told)
            assert not reader.read()
            assert len(reader.told) == told
            assert cursor is not None

    def was_told_each(self, reader: Reader) -> None:
        """Each transition since it came, or since the last gap, in its order."""
        assert reader.complete_from is not None
        since = max(reader.complete_from, reader.begun)
        made = [change.version for change in self.changes if change.version > since]
        assert [entry.version for entry in reader.told if entry.version > since] == made

    @invariant()
    def whoever_sees_what_watchers_see_is_told_of_changes_alone(self) -> None:
        if not hasattr(self, "changes"):
            return
        made = {(change.user_id, change.version): change for change in self.changes}
        for reader in self.readers:
            if not reader.sees_truth:
                for entry in reader.told:
                    change = made[entry.user_id, entry.version]  # type: ignore[index]
                    assert entry.status == change.after.status
                    shows, showed = (each.status is not Status.OFFLINE for each in (change.after, change.before))
                    own_word = change.cause in (Cause.STATUS_SET, Cause.STATUS_ENDED)
                    if shows is showed:
                        assert entry.cause == change.cause
                    else:  # it may not be told who is invisible
                        assert entry.cause not in ("status_set", "status_ended", "idle", "active", "busy", "resumed")
                        assert own_word or entry.cause == change.cause or change.cause not in OF_COMING_AND_GOING
                        assert entry.device is not None or "claim" in entry.cause or entry.cause == "erased"


TestFeedMachine = FeedMachine.TestCase
TestFeedMachine.settings = settings(max_examples=80, stateful_step_count=50, deadline=None)
