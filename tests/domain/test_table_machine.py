"""The table, its cursors and an interest set, in any order that Hypothesis can think of, against `domain.naive`.

Watchers hold what they were sent and nothing else: they fold full snapshots, resumed snapshots and diffs, come and
go, and must always hold what the table says. Time moves in quarters of a second, which are whole numbers of the
deadlines' resolution, so that what is due is due to the tick: neither early nor late.
"""

from __future__ import annotations

from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, initialize, invariant, rule

from domain.naive import Naive
from domain.scene import BOOT, START, check_statistics
from presence_server.domain.claims import Word
from presence_server.domain.interest import Interest
from presence_server.domain.model import (
    OFFLINE,
    Change,
    Claim,
    Platform,
    PublicState,
    Shown,
    Source,
    Status,
    UserPresence,
)
from presence_server.domain.shared import Lifetimes
from presence_server.domain.table import PresenceTable
from presence_server.domain.transitions import (
    AnyTransition,
    Connect,
    Disconnect,
    Heartbeat,
    Leave,
    Offline,
    Online,
    Say,
    SetActivity,
    SetClaims,
)

USERS = (1, 2, 3, 4)
MAX_REMEMBERED = 2
MAX_UNSEEN = 2
Held = tuple[int, PublicState]
"""What a watcher holds of one user: version and public state."""

users = st.sampled_from(USERS)
names = st.sampled_from(["web", "phone", "tablet"])
platforms = st.sampled_from([Platform.WEB, Platform.IOS])
maybe = st.sampled_from([None, False, True])
slots = st.integers(0, 2)
some_users = st.lists(users, max_size=4)


class Watcher:
    """A client: what it watches, what it holds, and how far it was served."""

    def __init__(self) -> None:
        self.ids: set[int] = set()
        self.view: dict[int, Held] = {}
        self.cursor = 0
        self.is_connected = True

    def replace(self, presences: list[UserPresence], cursor: int) -> None:
        for presence in presences:
            self.view[presence.user_id] = (presence.version, presence.public)
        self.cursor = cursor

    def merge(self, presences: list[UserPresence], cursor: int) -> None:
        fold(self.view, presences)
        self.cursor = cursor


def fold(view: dict[int, Held], presences: list[UserPresence]) -> None:
    for presence in presences:
        if presence.version > view.get(presence.user_id, (-1, OFFLINE))[0]:
            view[presence.user_id] = (presence.version, presence.public)


class TableMachine(RuleBasedStateMachine):
    links = Bundle("links")

    @initialize(away_after=st.sampled_from([0.0, 5.0]), grace=st.sampled_from([0.0, 3.0]))
    def start(self, away_after: float, grace: float) -> None:
        lifetimes = Lifetimes(grace=grace, rest=8.0, away_after=away_after, max_devices=2)
        self.table = PresenceTable(lifetimes, shards=2, max_remembered=MAX_REMEMBERED, max_unseen=MAX_UNSEEN)
        self.naive = Naive(lifetimes, MAX_UNSEEN)
        self.interest = Interest()
        self.now = float(BOOT)
        self.set_by = 0.0
        self.latest = 0.0
        self.number = 0
        self.watchers = [Watcher() for _ in range(3)]
        # users whose changes are held back, and the last change that was
        self.pacing: dict[int, Change | None] = {}
        # what somebody who watches everybody was handed, and held at each cursor so far
        self.handed: dict[int, Held] = {}
        self.history: dict[int, dict[int, Held]] = {}
        self.versions: dict[int, int] = {}
        self.hidden: dict[int, Shown] = {}

    @property
    def utc(self) -> float:
        utc = START + self.now - BOOT + self.set_by
        self.latest = max(self.latest, utc)
        return utc

    # -- what happens to users -----------------------------------------------------------------------------------

    @rule(
        target=links,
        user_id=users,
        name=names,
        platform=platforms,
        idle=maybe,
        idle_for=st.sampled_from([None, 0.0, 4.0]),
        status=st.sampled_from([None, None, Status.BUSY, Status.OFFLINE]),
    )
    def connect(
        self,
        user_id: int,
        name: str,
        platform: Platform,
        idle: bool | None,
        idle_for: float | None,
        status: Status | None,
    ) -> tuple[int, str, int]:
        self.number += 1
        self._apply(Connect(user_id, name, platform, self.number, self.number, idle, idle_for, status))
        return user_id, name, self.number

    @rule(user_id=users, name=names, platform=platforms, idle=maybe)
    def online(self, user_id: int, name: str, platform: Platform, idle: bool | None) -> None:
        self.number += 1
        self._apply(Online(user_id, name, platform, self.number, idle))

    @rule(user_id=users, name=names, idle=maybe)
    def heartbeat(self, user_id: int, name: str, idle: bool | None) -> None:
        known = name in self.naive.devices_of(user_id)
        made = self._apply(Heartbeat(user_id, name, idle))
        assert (made.device is not None) is known

    @rule(user_id=users, name=names)
    def offline(self, user_id: int, name: str) -> None:
        self._apply(Offline(user_id, name))
        assert name not in self.naive.devices_of(user_id)

    @rule(link=links)
    def disconnect(self, link: tuple[int, str, int]) -> None:
        self._apply(Disconnect(*link))

    @rule(link=links)
    def leave(self, link: tuple[int, str, int]) -> None:
        self._apply(Leave(*link))

    @rule(link=links, idle=st.booleans(), idle_for=st.sampled_from([None, 2.0]))
    def say_activity(self, link: tuple[int, str, int], idle: bool, idle_for: float | None) -> None:
        self._apply(SetActivity(*link, idle, idle_for))

    @rule(link=links, busy=st.booleans())
    def say_busy(self, link: tuple[int, str, int], busy: bool) -> None:
        self._apply(SetActivity(*link, busy=busy))

    @rule(link=links, spoke=st.booleans())
    def touch(self, link: tuple[int, str, int], spoke: bool) -> None:
        self.naive.touch(link[:2], link[2], self.now, self.utc, spoke)
        self._conclude({link[0]: [self.table.touch(*link, self.now, self.utc, spoke).change]})

    @rule(
        user_id=users,
        status=st.sampled_from(Status),
        until=st.one_of(st.none(), st.integers(1, 12)),
        text=st.sampled_from([None, None, "lunch"]),
        text_ends=st.booleans(),
    )
    def say_status(self, user_id: int, status: Status, until: int | None, text: str | None, text_ends: bool) -> None:
        ends = None if until is None else int(self.utc) + until
        self._apply(Say(user_id, Word(status, ends, text, text_until=ends if text_ends and text else None)))

    @rule(
        user_id=users,
        source=st.sampled_from([Source("call", 80), Source("calendar", 40), Source("bot", 50)]),
        claims=st.lists(
            st.tuples(
                st.sampled_from(["a", "b", ""]),
                st.sampled_from([None, -3, 1, 5]),
                st.integers(1, 12),
                st.sampled_from([None, *Status]),
                st.sampled_from([None, "in a meeting"]),
                st.booleans(),
            ),
            max_size=3,
        ),
    )
    def claim(self, user_id: int, source: Source, claims: list[Any]) -> None:
        now = int(self.utc)
        made = tuple(
            Claim(
                source,
                id,
                now + (begins or 0),
                now + max(until, (begins or 0) + 1),  # what is over before it begins is refused
                status,
                text if status else "elsewhere",
                is_planned=begins is not None and begins > 0,
                alone=alone,
            )
            for id, begins, until, status, text, alone in claims
        )
        self._apply(SetClaims(user_id, source, made))

    @rule(user_id=users)
    def clear_status(self, user_id: int) -> None:
        self._apply(Say(user_id, None))

    @rule(quarters=st.integers(1, 40), sweep=st.sampled_from([True, True, True, False]))
    def wait(self, quarters: int, sweep: bool) -> None:
        self.now += quarters / 4
        if sweep:
            self.sweep()

    @rule(step=st.sampled_from([-3600, -3, 3, 3600, 86_400]))
    def set_the_clock(self, step: int) -> None:
        """Ahead or back: nothing that lasts ends any sooner or later, and no time of a user moves back."""
        self.set_by += step

    @rule(early=st.booleans())
    def wait_for_what_is_due_next(self, early: bool) -> None:
        """Right up to the tick, or to the one before it."""
        ends = [self.now + end - self.utc for end in self.naive.ends.values()]
        due = min([*self.naive.deadlines.values(), *ends], default=self.now)
        self.now = max(self.now, due - (0.25 if early else 0))
        self.sweep()

    def sweep(self) -> None:
        changes: dict[int, list[Change | None]] = {}
        for record in self.table._shared.fading:
            if not self.table.is_kept(record):
                self.naive.fade(record.user_id)
        for user_id, made in self.table.expire(self.now, self.utc):
            changes.setdefault(user_id, []).append(made.change)
        self.naive.sweep(self.now, self.utc)
        self._conclude(changes, swept=True)

    # -- what happens to watchers ----------------------------------------------------------------------------------

    @rule(slot=slots, ids=some_users)
    def watch(self, slot: int, ids: list[int]) -> None:
        watcher = self.watchers[slot]
        watcher.ids |= set(ids)
        if watcher.is_connected:
            self.interest.watch(slot, ids)
            watcher.replace([self.table.presence(user_id) for user_id in ids], self.table.seq)
        else:
            watcher.view = {}  # its cursor would not speak for the new ids: it comes back with none
            watcher.cursor = -1

    @rule(slot=slots, ids=some_users)
    def unwatch(self, slot: int, ids: list[int]) -> None:
        watcher = self.watchers[slot]
        self.interest.unwatch(slot, ids)
        watcher.ids -= set(ids)
        for user_id in ids:
            watcher.view.pop(user_id, None)

    @rule(slot=slots)
    def vanish(self, slot: int) -> None:
        self.watchers[slot].is_connected = False
        self.interest.drop(slot)

    @rule(slot=slots)
    def resume(self, slot: int) -> None:
        watcher = self.watchers[slot]
        watcher.is_connected = True
        self.interest.watch(slot, watcher.ids)
        if self.table.floor <= watcher.cursor <= self.table.seq:
            watcher.merge(self.table.changed_since(watcher.ids, watcher.cursor), self.table.seq)
        else:
            watcher.replace([self.table.presence(user_id) for user_id in watcher.ids], self.table.seq)

    @rule(user_id=users)
    def hold_back(self, user_id: int) -> None:
        """From now on `user_id` flaps: changes are published late."""
        self.pacing.setdefault(user_id, None)

    @rule(user_id=users)
    def publish(self, user_id: int) -> None:
        change = self.pacing.pop(user_id, None)
        if change is not None:
            self.table.restamp(user_id, self.utc)
            self._hand_out(change)

    # -- what comes of it ------------------------------------------------------------------------------------------

    def _apply(self, transition: AnyTransition) -> Any:
        is_refused = isinstance(transition, Say | SetClaims) and not self.naive.has_room_for(transition)
        made = self.table.apply(transition, self.now, self.utc)
        assert made.is_refused is is_refused
        continued, evicted = self.naive.apply(transition, self.now, self.utc)
        assert (made.continued, made.evicted) == (continued, evicted)
        if made.cause is not None:
            assert made.cause in self.naive.why[transition.user_id]
        if made.change is not None and made.change.by is not None:
            assert made.change.by.device_id == getattr(transition, "device_id", None)
        self._conclude({transition.user_id: [made.change]})
        return made

    def _conclude(self, changes: dict[int, list[Change | None]], swept: bool = False) -> None:
        before = {user_id: held[1] for user_id, held in self._as_told().items()}
        for user_id, of_user in changes.items():
            made = [change for change in of_user if change is not None]
            chain = [before.get(user_id, OFFLINE)]
            for change in made:
                assert change.before == chain[-1]
                assert change.before != change.after, "a Change that is none"
                assert change.cause in self.naive.why[user_id], "caused by something else"
                chain.append(change.after)
            assert chain[-1] == self.naive.public(user_id)
            for change in made:
                if user_id in self.pacing:
                    self.pacing[user_id] = change
                else:
                    self._hand_out(change)
        for user_id in USERS:
            if self.table.record(user_id) is None:
                self._was_forgotten(user_id, swept)

    def _as_told(self) -> dict[int, Held]:
        late = {u: (change.version, change.after) for u, change in self.pacing.items() if change is not None}
        return self.handed | late

    def _was_forgotten(self, user_id: int, swept: bool) -> None:
        assert not self.naive.devices_of(user_id), "forgotten in spite of a device"
        # In the middle of a sweep there may have been less room than at its end.
        if not swept and (self.versions.get(user_id) or self.naive.claims_of(user_id).said):
            statistics = self.table.statistics()
            if self.naive.has_come(user_id):
                assert statistics.remembered == MAX_REMEMBERED, "forgotten although there was room"
            elif self.versions.get(user_id):
                assert statistics.strangers == MAX_UNSEEN, "a stranger forgotten although there was room"
        self.versions.pop(user_id, None)
        self.hidden.pop(user_id, None)
        self.naive.reconcile(user_id)

    def _hand_out(self, change: Change) -> None:
        presence = self.table.presence(change.user_id)
        if presence.version < change.version:  # forgotten since, so it was OFFLINE
            presence = UserPresence(change.user_id, OFFLINE, None, change.version, change.version)
        fold(self.handed, [presence])
        for slot in self.interest.watchers(change.user_id):
            held, _ = self.watchers[slot].view[change.user_id]
            assert presence.version >= held, "a version went back"
            self.watchers[slot].merge([presence], self.table.seq)

    # -- what always holds -----------------------------------------------------------------------------------------

    @invariant()
    def the_table_says_what_the_rules_say(self) -> None:
        for user_id in USERS:
            shown = self.table.shown(user_id)
            public = self.naive.public(user_id)
            assert shown.presence.public == public
            assert shown.last_active == self.naive.shown_active(user_id)
            if public.status is Status.OFFLINE:
                assert shown.presence.last_active == shown.last_active
                assert shown.devices == ()
            else:
                told, live = shown.presence.last_active or 0, shown.last_active or 0
                assert told <= live <= self.latest
                assert (live > 0) or not shown.devices
                names = [device.device_id for device in shown.devices]
                assert names == list(self.naive.devices_of(user_id)), "no false OFFLINE, and no ghost"

    @invariant()
    def versions_never_go_back(self) -> None:
        for user_id in USERS:
            record = self.table.record(user_id)
            if record is not None:
                assert self.versions.get(user_id, 0) <= record.version <= record.seq <= self.table.seq
                self.versions[user_id] = record.version

    @invariant()
    def whoever_is_invisible_does_not_stir(self) -> None:
        for user_id in USERS:
            if not self.naive.is_invisible(user_id):
                self.hidden.pop(user_id, None)
            else:
                # A Change made before the user hid may still be published, under a later seq.
                shown = self.table.shown(user_id)
                # And a text shows whatever the status is.
                state = shown.presence.public._replace(text=None)
                shown = shown._replace(presence=shown.presence._replace(public=state, seq=0, version=0))
                assert shown == self.hidden.setdefault(user_id, shown)

    @invariant()
    def statistics_add_up(self) -> None:
        statistics = check_statistics(self.table, list(USERS))
        assert statistics.remembered <= MAX_REMEMBERED
        assert max(statistics.unseen, statistics.strangers) <= MAX_UNSEEN
        assert statistics.deadlines == len(self.naive.deadlines) + len(self.naive.ends)
        edges = sum(len(watcher.ids) for watcher in self.watchers if watcher.is_connected)
        assert self.interest.statistics().edges == edges

    @invariant()
    def watchers_hold_what_the_table_says(self) -> None:
        for watcher in self.watchers:
            if watcher.is_connected:
                assert watcher.view.keys() == watcher.ids
                self._check_held(watcher.view, watcher.ids)

    @invariant()
    def no_covered_cursor_ever_misses_a_change(self) -> None:
        self.history[self.table.seq] = dict(self.handed)
        for cursor, held in self.history.items():
            if self.table.floor <= cursor <= self.table.seq:
                view = {user_id: held.get(user_id, (0, OFFLINE)) for user_id in USERS}
                fold(view, self.table.changed_since(USERS, cursor))
                self._check_held(view, set(USERS))

    def _check_held(self, view: dict[int, Held], user_ids: set[int]) -> None:
        for user_id in user_ids:
            version, public = view[user_id]
            presence = self.table.presence(user_id)
            if self.pacing.get(user_id) is None:
                assert public == presence.public
                assert version == presence.version or presence.version == 0


TestTableMachine = TableMachine.TestCase
TestTableMachine.settings = settings(
    max_examples=300, stateful_step_count=50, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
