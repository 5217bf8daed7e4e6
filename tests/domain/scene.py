"""A table with clocks that only the test moves, and short words for what can happen to a user."""

from __future__ import annotations

from collections import Counter
from itertools import count
from typing import Any, NamedTuple

from presence_server.domain.attendance import FIRST
from presence_server.domain.claims import Patch, Rules, Word, own_status
from presence_server.domain.logins import Logins
from presence_server.domain.model import Claim, Device, Platform, Source, Status, UserRecord
from presence_server.domain.shared import Lifetimes
from presence_server.domain.table import PresenceTable, TableStatistics
from presence_server.domain.transitions import (
    AnyTransition,
    ChangeClaim,
    Connect,
    Disconnect,
    EndClaims,
    Heartbeat,
    Leave,
    Offline,
    Online,
    Say,
    SetActivity,
    SetClaims,
    Transition,
)

START = 1_762_700_400  # 2025-11-09T15:00:00Z
BOOT = 5_000
"""What the clock of durations said at START. Whoever takes one of the clocks for the other is off by decades."""
ANN, BOB, EVE = 10001, 10002, 10003


class Link(NamedTuple):
    """A connection that took hold of a device, and what came of that."""

    user_id: int
    device_id: str
    holder: int
    made: Transition


class Scene:
    """Times are in seconds since START. `wait` sweeps as the server does, but never finer than it is asked to."""

    def __init__(
        self,
        *,
        grace: float = 10,
        rest: float = 75,
        away_after: float = 0,
        max_devices: int = 16,
        max_remembered: int = 1000,
        max_unseen: int = 1000,
        unseen: float = 86_400,
        shards: int = 4,
        rules: Rules | None = None,
        logins: Logins | None = None,
    ) -> None:
        lifetimes = Lifetimes(grace, rest, away_after, max_devices, unseen)
        self.table = PresenceTable(
            lifetimes,
            shards=shards,
            max_remembered=max_remembered,
            max_unseen=max_unseen,
            rules=rules,
            logins=logins,
        )
        self.now = float(BOOT)
        self.set_by = 0.0
        """Seconds by which somebody set the system's clock."""
        self._numbers = count(1)

    @property
    def utc(self) -> float:
        return START + self.now - BOOT + self.set_by

    def apply(self, transition: AnyTransition) -> Transition:
        return self.table.apply(transition, self.now, self.utc)

    def wait(self, seconds: float, *, sweep: bool = True) -> list[Transition]:
        self.now += seconds
        return [made for _, made in self.table.expire(self.now, self.utc)] if sweep else []

    # -- what can happen ---------------------------------------------------------------------------------------

    def connect(
        self,
        user_id: int = ANN,
        device_id: str = "web",
        platform: Platform = Platform.WEB,
        *,
        idle: bool | None = None,
        idle_for: float | None = None,
        status: Status | None = None,
    ) -> Link:
        number = next(self._numbers)
        wanted = Connect(user_id, device_id, platform, number, number, idle, idle_for, status)
        return Link(user_id, device_id, number, self.apply(wanted))

    def disconnect(self, link: Link) -> Transition:
        return self.apply(Disconnect(link.user_id, link.device_id, link.holder))

    def leave(self, link: Link) -> Transition:
        return self.apply(Leave(link.user_id, link.device_id, link.holder))

    def activity(
        self, link: Link, idle: bool | None = None, idle_for: float | None = None, busy: bool | None = None
    ) -> Transition:
        return self.apply(SetActivity(link.user_id, link.device_id, link.holder, idle, idle_for, busy))

    def ping(self, link: Link) -> Transition:
        return self.table.touch(link.user_id, link.device_id, link.holder, self.now, self.utc, spoke=False)

    def speak(self, link: Link) -> Transition:
        return self.table.touch(link.user_id, link.device_id, link.holder, self.now, self.utc, spoke=True)

    def online(
        self,
        user_id: int = ANN,
        device_id: str = "web",
        platform: Platform = Platform.WEB,
        idle: bool | None = None,
    ) -> Transition:
        return self.apply(Online(user_id, device_id, platform, next(self._numbers), idle))

    def heartbeat(self, user_id: int = ANN, device_id: str = "web", idle: bool | None = None) -> Transition:
        return self.apply(Heartbeat(user_id, device_id, idle))

    def offline(self, user_id: int = ANN, device_id: str = "web") -> Transition:
        return self.apply(Offline(user_id, device_id))

    def say(
        self, status: Status, user_id: int = ANN, *, until: float | None = None, text: str | None = None
    ) -> Transition:
        """All that the person says, said anew; `until` in seconds from START. The text has no end."""
        ends = None if until is None else START + int(until)
        return self.apply(Say(user_id, Word(status, ends, text, None, None)))

    def word(self, user_id: int = ANN, **said: Any) -> Transition:
        """Some of what a person says, as of `Word`; times in seconds from START."""
        times = {name: START + said[name] for name in ("until", "text_until") if said.get(name) is not None}
        return self.apply(Say(user_id, Word(**(said | times))))

    def put(self, source: Source, *claims: dict[str, Any], user_id: int = ANN) -> Transition:
        """Each as of `Claim`, with `begins` and `until` in seconds from START."""
        return self.apply(SetClaims(user_id, source, tuple(self.claim(source, **claim) for claim in claims)))

    def claim(self, source: Source, *, id: str = "", begins: int | None = None, until: int, **said: Any) -> Claim:
        since = int(self.utc) if begins is None else START + begins
        return Claim(source, id, since, START + until, is_planned=since > self.utc, **said)

    def patch(self, source: Source, id: str, user_id: int = ANN, **said: Any) -> Transition:
        times = {name: START + said[name] for name in ("begins", "until") if said.get(name) is not None}
        return self.apply(ChangeClaim(user_id, source, id, Patch(**(said | times))))

    def end(self, source: Source, id: str | None = None, user_id: int = ANN) -> Transition:
        return self.apply(EndClaims(user_id, source, id))

    def own(self, user_id: int = ANN) -> tuple[Status, float | None] | None:
        """The user's own word on their status that is in force: the status, and its end in seconds from START."""
        record = self.table.record(user_id)
        said = None if record is None else own_status(record.claims, self.utc)
        if said is None or said.status is None:
            return None
        return said.status, None if said.until is None else said.until - START

    def clear(self, user_id: int = ANN) -> Transition:
        return self.apply(Say(user_id, None))

    # -- what anybody sees ---------------------------------------------------------------------------------------

    def status(self, user_id: int = ANN) -> Status:
        return self.table.presence(user_id).public.status

    def platforms(self, user_id: int = ANN) -> tuple[Platform, ...]:
        return self.table.presence(user_id).public.platforms

    def version(self, user_id: int = ANN) -> int:
        return self.table.presence(user_id).version

    def last_active(self, user_id: int = ANN) -> int | None:
        """As REST shows it, in seconds since START."""
        shown = self.table.shown(user_id).last_active
        return None if shown is None else shown - START

    def told_active(self, user_id: int = ANN) -> int | None:
        """As the entry of the last version carries it, in seconds since START."""
        told = self.table.presence(user_id).last_active
        return None if told is None else told - START

    def devices(self, user_id: int = ANN) -> list[str]:
        return [device.device_id for device in self.table.shown(user_id).devices]

    def device(self, user_id: int = ANN, device_id: str = "web") -> Device:
        """The device as it is, shown or not."""
        record = self.table.record(user_id)
        found = None if record is None else record.find(device_id)
        assert found is not None, f"{user_id}/{device_id} is not online"
        return found


def check_people(table: PresenceTable, records: list[UserRecord]) -> None:
    """The same for who is there."""
    there = [record for record in records if record.public.status is not Status.OFFLINE]
    figures = table.people.figures()
    assert figures.there == len(there) == figures.joined - figures.left
    hidden = [record for record in records if record.devices and record.public.status is Status.OFFLINE]
    assert figures.invisible == len(hidden)
    for platform, users in table.people.by_platform(Platform).items():
        assert users == sum(platform in record.public.platforms for record in there)
    page = table.people.page(FIRST, 1000)
    assert page.next is None
    assert {presence.user_id for presence in page.users} == {record.user_id for record in there}


def check_statistics(table: PresenceTable, user_ids: list[int]) -> TableStatistics:
    """Count anew what the table counts as it goes; `user_ids` are all that it may know."""
    records = [record for user_id in user_ids if (record := table.record(user_id)) is not None]
    by_status = Counter(record.public.status for record in records)
    statistics = table.statistics()
    assert statistics.users == len(records)
    assert statistics.devices == sum(len(record.devices) for record in records)
    fading = sum(not table.is_kept(record) for record in table._shared.fading)
    away = statistics.remembered + statistics.unseen + statistics.strangers + fading
    assert away == sum(not record.devices for record in records)
    shown = (statistics.online, statistics.away, statistics.busy, statistics.offline)
    assert shown == tuple(by_status[s] for s in (Status.ONLINE, Status.AWAY, Status.BUSY, Status.OFFLINE))
    check_people(table, records)
    assert statistics.floor == table.floor <= statistics.version == table.seq
    return statistics
