"""What must hold of everything that leaves the server, and of everything that it keeps."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from presence_protocol.codec import Codec
from presence_protocol.fields import format_time, parse_time
from presence_protocol.messages import StatusEntry, Welcome
from presence_server.application.cursors import parse
from presence_server.application.entries import entry_of
from presence_server.application.keys import UserKeys
from presence_server.application.watching import MAX_PENDING
from presence_server.domain.aggregate import aggregate
from presence_server.domain.model import Shown, Status, UserPresence
from simulator.failure import require
from support.frames import frames_of

if TYPE_CHECKING:
    from simulator.world import World

OFFLINE = "OFFLINE"
TEXT, BINARY = 1, 2  # opcodes of frames
SLACK = 2.0
"""Seconds that a sweep may take to come, after whatever kept it."""
LONGEST_PAUSE = 0.25
"""Seconds that changes are gathered, at most."""


class Checker:
    def __init__(self, world: World) -> None:
        self._world = world
        self._last_seen: dict[int, int] = {}

    # -- what leaves ---------------------------------------------------------------------------------------------------

    def entry(self, viewer: int | None, entry: StatusEntry) -> None:
        """A version says the same to everybody, for ever; and of whom one may not see, nothing is ever said."""
        world = self._world
        sees_by_permission = viewer and world.permissions is not None  # looked at when it was written: see `leaks`
        if not sees_by_permission and not world.may_see(viewer, entry.user_id):
            require(not entry.version and entry.status == OFFLINE, "seen by who may not see", viewer, entry)
        if not entry.version:
            is_blank = entry.status == OFFLINE and not entry.platforms and entry.last_active_time is None
            require(is_blank and entry.status_text is None, "an unknown user shows something", entry)
            return
        if sees_by_permission:
            return
        known = world.spy.entries.setdefault((entry.user_id, entry.version), entry)
        if world.scenario.forgets and OFFLINE in (entry.status, known.status):
            return  # who was forgotten before it was told is OFFLINE without a time, under the version to be told
        require(known == entry, "one version, two stories", known, entry)
        is_bare = not entry.platforms and not entry.platform_status
        require(entry.status != OFFLINE or is_bare, "OFFLINE with platforms", entry)

    def greeting(self, codec: Codec, frame: bytes) -> bool:
        """A `welcome` that is written says what the calendar says. Returns whether `frame` holds one."""
        told = [codec.decode_server(payload) for opcode, payload in frames_of(frame) if opcode in (TEXT, BINARY)]
        welcomes = [message for message in told if isinstance(message, Welcome)]
        for welcome in welcomes:
            off = parse_time(welcome.server_time) - self._world.clock.calendar()
            require(abs(off) <= 1, "another time than the calendar's", welcome.server_time, off)
        return bool(welcomes)

    def untils(self) -> None:
        """No claim begins or ends later than its time by more than a few sweeps."""
        world = self._world
        if not world.clock.is_settled(SLACK) or world.loop.stalled_lately(SLACK) or world.may_be_away():
            return
        utc = world.clock.calendar()
        for shard in world.table._shards:
            for record in shard.users.values():
                edges = [c.since if c.is_planned and c.since > utc - SLACK else c.until for c in record.claims]
                times = [edge for edge in edges if edge is not None]
                require(all(utc < edge + SLACK for edge in times), "a claim outlived its until", record, times, utc)
                if all(abs(utc - edge) > SLACK for edge in times):
                    expected = aggregate(record.claims, record.devices, utc)
                    require(record.public == expected, "a claim's beginning or end was missed", record, expected)

    def shown(self, viewer: int | None, shown: Shown) -> None:
        """A look-up: as an entry, and beyond it what anybody may ask."""
        presence = shown.presence
        self.entry(viewer, entry_of(presence, self._world.people.keys))
        if presence.public.status is Status.OFFLINE:
            require(shown.last_active == presence.last_active, "invisible, and yet a time moved", shown)
            require(not shown.devices, "OFFLINE with devices", shown)
        if self._world.is_late or shown.last_active is None:
            return
        before = self._last_seen.get(presence.user_id, 0)
        require(shown.last_active >= before, "last seen moved back", shown, format_time(before))
        self._last_seen[presence.user_id] = 0 if self._world.scenario.forgets else shown.last_active

    def cursor(self, text: str, entries: Mapping[int, StatusEntry], whose: object) -> None:
        """Who came back with this cursor now would be told of everybody in `entries` of whom it holds something old."""
        world = self._world
        cursor = parse(text)
        require(cursor is not None and cursor.epoch == world.spy.epoch, "a cursor that is none", text)
        assert cursor is not None
        require(cursor.seq <= world.spy.seq, "a cursor from the future", text)
        if cursor.seq < world.spy.floor:
            return
        viewer = world.viewer_of(whose)
        if viewer and world.leaks is not None and not world.hub.sight.covers(viewer, cursor.seq):
            return
        held_back = world.held_back()
        for user_id, entry in entries.items():
            presence = world.known_presence(user_id)
            if presence is None or presence.seq > cursor.seq or user_id in held_back:
                continue
            if viewer and world.leaks is not None:
                world.leaks.claims(viewer, whose, entry, presence)
            elif entry.version or world.may_see(viewer, user_id):
                require(
                    is_same(entry, presence, self._world.people.keys),
                    "a cursor claims what was not sent",
                    whose,
                    text,
                    entry,
                    presence,
                )

    # -- what is kept --------------------------------------------------------------------------------------------------

    def structure(self) -> None:
        """The server's parts agree with each other, and none holds more than its share."""
        world = self._world
        hub, fanout, interest = world.hub, world.fanout, world.interest
        sessions = hub.roster
        require(not fanout._flushing or fanout.is_under_way, "flushing and not under way")
        if not fanout.is_under_way:
            require(not any(fanout._outlets.boxes), "an outbox outlived its flush")
        delay = fanout.delay(world.clock.now())
        require(delay is None or delay <= LONGEST_PAUSE, "a flush is put off", delay)
        watched = [interest.count(session.slot) for session in sessions]
        polls = [interest.count(poll.slot) for poll in world.polls._waiting if poll.slot is not None]
        statistics = interest.statistics()
        require(statistics.edges == sum(watched) + sum(polls), "edges that nobody watches", statistics)
        require(statistics.watchers == sum(map(bool, watched)) + sum(map(bool, polls)), "watchers", statistics)
        require(fanout.statistics().outlets == len(sessions) + len(polls), "outlets that nobody has")
        require(len(hub.liveness) <= len(sessions), "deadlines of sessions that are over")
        for session in sessions:
            require(len(session.pending or ()) <= MAX_PENDING, "too much waits", session)
            link = world.links[session.number]
            require(link.unsent_bytes <= world.scenario.most_unsent, "a slow watcher grows", link, link.unsent_bytes)
        self._follows()
        self._pacing()
        self._table()

    def _follows(self) -> None:
        world = self._world
        edges = world.interest.statistics().edges
        follows = sum(world.spy.follows.values())
        require(follows >= edges, "watched and not followed", follows, edges)
        require(follows == edges or world.is_late, "followed and not watched", follows, edges)

    def _pacing(self) -> None:
        pacing = self._world.hub.publishing.pacing
        require(len(pacing._held_version) == len(pacing), "held without a version")
        require(len(pacing) <= len(self._world.oracle.users), "more is held than there are users")

    def _table(self) -> None:
        table = self._world.table
        statistics = table.statistics()
        records = [record for shard in table._shards for record in shard.users.values()]
        by_status = dict.fromkeys(Status, 0)
        devices = 0
        for record in records:
            by_status[record.public.status] += 1
            devices += len(record.devices)
        recounted = (len(records), devices, *(by_status[s] for s in (Status.ONLINE, Status.AWAY, Status.BUSY)))
        require(recounted == statistics[:5], "statistics", recounted, statistics)
        require(statistics.remembered <= self._world.scenario.max_remembered, "too many remembered", statistics)
        require(statistics.deadlines <= devices + len(records), "deadlines", statistics)

    # -- in the end ----------------------------------------------------------------------------------------------------

    def converged(self, whose: object, entries: Mapping[int, StatusEntry], watched: Iterable[int]) -> None:
        """A watcher holds exactly what the engine says of everybody whom it watches."""
        world = self._world
        require(set(entries) == set(watched), "watched and not held", whose, set(entries) ^ set(watched))
        if world.leaks is not None and (viewer := world.viewer_of(whose)):
            world.leaks.at_rest(viewer, whose, entries)
            return
        for user_id, entry in entries.items():
            if not world.may_see(world.viewer_of(whose), user_id):
                require(not entry.version, "seen by who may not see", whose, entry)
                continue
            presence = world.known_presence(user_id)
            kept = world.table.presence(user_id)
            if presence is None:
                presence = kept
            require(presence.public == kept.public, "the replica differs", presence, kept)
            if world.is_late and world.permissions is not None and entry.version and presence.version:
                # Of whom nobody watches any more it is not known under which version it was told.
                presence = presence._replace(version=entry.version)
            require(is_same(entry, presence, self._world.people.keys), "not converged", whose, entry, presence)

    def empty(self) -> None:
        """Nobody is connected any more: nothing is kept of anybody's interest."""
        world = self._world
        require(world.interest.statistics() == (0, 0, 0), "interest is left", world.interest)
        require(not world.spy.follows, "follows are left", world.spy.follows)
        require(world.fanout.statistics().outlets == 0, "outlets are left")
        require(world.fanout.delay(world.clock.now()) is None, "changes are left")
        require(not any(world.hub.statistics()[:6]), "the hub keeps something", world.hub.statistics())
        require(len(world.hub.liveness) == len(world.polls) == 0, "somebody is still waited for")
        if world.hub.is_draining:
            return  # nothing expires any more: the process is about to end
        require(world.table.statistics().devices == 0, "devices are left", world.table)


def is_same(entry: StatusEntry, presence: UserPresence, keys: UserKeys) -> bool:
    """Whether a client that holds `entry` knows `presence`. Who was forgotten since stays OFFLINE at a version."""
    if presence.version:
        return entry == entry_of(presence, keys)
    return entry.status == OFFLINE
