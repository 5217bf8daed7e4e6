"""The state of one server, from its start to its end: held, restored, kept.

For a successor of the same machine, `close` is the handing over: what is in the directory then is everything, and
nobody holds it any more.
"""

from __future__ import annotations

import gc
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Final

from presence_server.application.ports import Clock
from presence_server.domain.model import UserKey
from presence_server.domain.numbers import Numbers
from presence_server.domain.table import PresenceTable
from presence_server.logs import get_logger
from presence_server.state.disk import FolderDisk, Hands
from presence_server.state.engine import LastingEngine, nobody
from presence_server.state.folder import Folder
from presence_server.state.keeper import Keeper
from presence_server.state.restoring import Restored, StateSettings, nothing, restore
from presence_server.state.sections import HeldSection, PositionsSection, sections_of

if TYPE_CHECKING:
    from presence_server.application.hub import Hub
    from presence_server.identity.revocations import Revocations

_BOOT_ID: Final = Path("/proc/sys/kernel/random/boot_id")

_log = get_logger(__name__)


def boot_id() -> str:
    """Names the run of this machine: see proc_sys_kernel(5). Empty where there is no such thing."""
    with suppress(OSError):
        return _BOOT_ID.read_text("ascii").strip()
    return ""


class State:
    """The directory is held from here on. Raises `Held`: another process has it."""

    def __init__(
        self, path: str, clock: Clock, hands: Hands, syncs_all: bool = False, tell: Callable[[str], None] | None = None
    ) -> None:
        self._clock = clock
        self._folder = Folder(path)
        with suppress(OSError):  # it is said when it is written, once
            self._folder.open()
        self._hands = hands
        self._tell = tell or _warn
        self._disk = FolderDisk(self._folder, hands, syncs_all, self._failed)
        self._keeper: Keeper | None = None
        self._numbers = Numbers()
        self._engine: LastingEngine | None = None
        self._finished: Keeper | None = None
        self.restored: Restored | None = None
        self.positions = PositionsSection()

    def restore(self, table: PresenceTable, settings: StateSettings) -> Restored:
        """Put what there is into the empty `table`."""
        gc.disable()  # all of it stays: to look at it again and again would take longer than to make it
        try:
            made = restore(self._folder, table, settings, self._clock, self._tell)
        except OSError:  # was said when it was opened, or is said when it is written
            made = nothing(settings, self._clock, 0)
        finally:
            gc.enable()
        self.restored = made
        if made.users:
            _log.info("state restored", users=made.users, changed=len(made.changed), down=round(made.down, 1))
        return made

    def engine(self, table: PresenceTable, infers: bool) -> LastingEngine:
        assert self.restored is not None
        origin = self.restored.origin
        told = self._lived, self._erased
        made = LastingEngine(table, origin.epoch, self._clock, origin.gaps, infers, *told)
        made.numbers.last = origin.mark.number
        self._numbers = made.numbers
        self._engine = made
        return made

    def keep(self, hub: Hub, table: PresenceTable, revocations: Revocations) -> None:
        """Give the sections what was theirs, and from now on write whatever changes. Before anybody is served."""
        restored = self.restored
        assert restored is not None
        held = HeldSection(hub.publishing.pacing, hub.keys)
        sections = sections_of(hub.sight, revocations, table.farewells, hub.keys, self.positions, held, restored.moved)
        by_name = {section.name: section for section in sections}
        for (name, key), value in restored.others.items():
            try:
                if name in by_name:
                    by_name[name].restore(key, value)
            except (ValueError, TypeError, LookupError):
                _log.warning("an entry of state cannot be understood", section=name)
        hub.sight.look_again()
        if not restored.is_sight_same:
            hub.sight.restore(0, table.seq)  # what was told before was told by other rules
        self._keeper = Keeper(
            restored.origin,
            table,
            hub.keys.user_id,
            sections,
            self._disk,
            self._clock,
            lambda: self._numbers.last,
            self._call_later,
            self._tell,
        )
        tell_selves = hub.fanout.before_flush

        def before_flush() -> None:
            if self._keeper is not None:
                self._keeper.before_telling()
            tell_selves()

        hub.fanout.before_flush = before_flush
        self._mark_with(self._keeper.mark)
        for key in restored.changed:
            self._keeper.mark(key)
        restored.others.clear()
        self._keeper.begin()
        now = self._clock.now()
        for key in held.restored:
            hub.engine.restamp(key, now)

    def _call_later(self, seconds: float, call: Callable[[], None]) -> None:
        def unless_over() -> None:
            if self._keeper is not None:
                call()

        self._hands.call_later(seconds, unless_over)

    def _mark_with(self, mark: Callable[[UserKey], None]) -> None:
        if self._engine is not None:
            self._engine.mark = mark

    def _lived(self, now: float, utc: float) -> None:
        if self._keeper is not None:
            self._keeper.lived(now, utc)

    def _erased(self) -> None:
        if self._keeper is not None:
            self._keeper.erased()

    def _failed(self, reason: str) -> None:
        if self._keeper is not None:
            self._keeper.failed(reason)

    def finish(self) -> None:
        """Hand over all that there is to write. Nothing is written that happens later."""
        if self._keeper is not None:
            self._keeper.finish()
            self._finished, self._keeper = self._keeper, None
            self._mark_with(nobody)

    def take_back(self) -> None:
        """After `close`: whoever has held the directory meanwhile is gone. What it has written is written over."""
        self._keeper, self._finished = self._finished, None
        if self._keeper is not None:
            self._mark_with(self._keeper.mark)
            self._disk.reopen()
            self._keeper.begin()

    def close(self) -> None:
        """After `finish`, and once no hand is at work any more: all is on the disk, and nobody holds the directory."""
        self._disk.close()
        self._folder.close()


def _warn(line: str) -> None:
    _log.warning(line)


def sight_of(*settings: object) -> str:
    """Names the settings by which it is decided who sees what."""
    return "/".join(map(str, settings))
