"""What was read -> a table, and what is known of the run before."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final, NamedTuple

from presence_server.application.keys import UserKeys
from presence_server.application.ports import Clock
from presence_server.domain.model import Source, UserKey
from presence_server.domain.platforms import AnyPlatform
from presence_server.domain.stored import Times
from presence_server.domain.table import PresenceTable
from presence_server.domain.versions import COUNTER_BITS, EPOCH_2020
from presence_server.state.folder import Folder
from presence_server.state.form import Entries, Mark, Origin
from presence_server.state.keeper import with_gap
from presence_server.state.reading import read

NUMBERS_APART: Final = 1 << 20
"""By how much numbers of sessions go on after a restart: more than are given between two frames."""


UNKNOWN: Final = 10_000
"""Milliseconds by which versions of before may be ahead of the clock, where no file says so."""


class StateSettings(NamedTuple):
    """What a state depends on, or is read by. `boot`: the run of the machine; `sight`: see `Origin`.

    `keys_of` makes the keys of a multiplier; `multiplier` is for a state that begins."""

    user_ids: str
    platforms: Mapping[str, AnyPlatform]
    sources: Mapping[str, Source]
    return_period: float
    boot: str
    sight: str
    epoch: int
    multiplier: int
    keys_of: Callable[[int], UserKeys]


class Restored(NamedTuple):
    """`origin`: as the next file is to begin. `others`: entries of sections, by section and key.

    `changed`: users who are shown otherwise than when they were stored. `users`: how many there are.
    `ends_in`: seconds within which whoever does not come back is OFFLINE. `down`: seconds in which nobody was served.
    `moved`: see `domain.stored.Times`.
    `is_sight_same`: who sees what is decided as it was.
    """

    origin: Origin
    keys: UserKeys
    others: dict[tuple[str, Any], Any]
    changed: list[UserKey]
    users: int
    ends_in: float
    down: float
    moved: float
    is_sight_same: bool


class _Reader:
    def __init__(self, table: PresenceTable, settings: StateSettings) -> None:
        self._table = table
        self._settings = settings
        self.start_over()

    def begin(self, origin: Origin) -> None:
        self.keys = self._settings.keys_of(origin.multiplier)

    def start_over(self) -> None:
        self.restoring = self._table.restoring(self._settings.platforms, self._settings.sources)
        self.others: dict[tuple[str, Any], Any] = {}
        self.keys = self._settings.keys_of(self._settings.multiplier)

    def entries(self, entries: Entries) -> None:
        key, put = self.keys.key, self.restoring.put
        for user in entries.users:
            put(key(user.user_id), user)
        for user_id in entries.gone:
            self.restoring.drop(key(user_id))
        for section, name, value in entries.others:
            kept = section, tuple(name) if isinstance(name, list) else name
            if value is None:
                self.others.pop(kept, None)
            else:
                self.others[kept] = value


def restore(
    folder: Folder, table: PresenceTable, settings: StateSettings, clock: Clock, tell: Callable[[str], None]
) -> Restored:
    """Put what the folder holds into the empty `table`. Raises OSError: the directory cannot be read."""
    reader = _Reader(table, settings)
    found = read(folder, settings.user_ids, reader, reader.begin, tell)
    now, utc = clock.now(), clock.utc()
    if found.origin is None:
        last_session = 0
        if found.number:  # some were told what is not known here: what comes is newer
            ahead = max(found.mark.followed_to, int((utc - EPOCH_2020) * 1000) + UNKNOWN)
            table.versions.last = max(table.versions.last, ahead << COUNTER_BITS)
            last_session = found.mark.number + NUMBERS_APART
        return nothing(settings, clock, found.number, last_session)
    was, mark = found.origin, found.origin.mark
    is_same_run = bool(settings.boot) and settings.boot == was.boot and now >= mark.now
    down = now - mark.now if is_same_run else max(0.0, utc - mark.utc)
    times = Times(now, utc, 0.0 if is_same_run else now - down - mark.now, mark.utc, down)

    # Whatever was given out and lost is below the first version of now.
    lost_up_to = max(reader.restoring.last_seq, mark.seq, mark.followed_to << COUNTER_BITS)
    gaps, floor = with_gap(was.gaps, mark.seq, lost_up_to, mark.floor)
    table.versions.last = lost_up_to + 1
    table.forgotten_up_to(floor)
    origin = was._replace(
        number=found.number,
        begins=False,
        boot=settings.boot,
        sight=settings.sight,
        gaps=gaps,
        mark=mark._replace(now=now, utc=utc, seq=table.versions.last, floor=floor, number=mark.number + NUMBERS_APART),
    )
    users = len(reader.restoring)
    changed, ends = reader.restoring.finish(times, settings.return_period)
    return Restored(
        origin,
        reader.keys,
        reader.others,
        changed,
        users,
        max(0.0, ends - now),
        down,
        times.moved,
        was.sight == settings.sight,
    )


def nothing(settings: StateSettings, clock: Clock, number: int, last_session: int = 0) -> Restored:
    """There is no state, or none that can be used; its next file comes after that `number`."""
    mark = Mark(clock.now(), clock.utc(), number=last_session)
    origin = Origin(
        "",
        number,
        settings.epoch,
        settings.user_ids,
        settings.multiplier,
        settings.boot,
        settings.sight,
        (),
        0,
        True,
        mark,
    )
    return Restored(origin, settings.keys_of(settings.multiplier), {}, [], 0, 0.0, 0.0, 0.0, True)
