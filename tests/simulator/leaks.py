"""Nobody is told more than they may know: each frame as it is written, each answer as it is given, all at rest."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Final

from presence_protocol.messages import (
    AnyServerMessage,
    Diff,
    SelfChanged,
    Snapshot,
    StatusEntry,
    Statuses,
    Welcome,
)
from presence_protocol.user_ids import UserId
from presence_server.application.entries import entry_of
from presence_server.application.sessions import Session
from presence_server.domain.model import Shown, UserPresence
from presence_server.transports.metrics import LIMITS
from simulator.failure import require
from simulator.permissions import Permissions
from support.frames import frames_of
from support.knowledge import Model, leak_in

if TYPE_CHECKING:
    from simulator.world import World

TEXT, BINARY = 1, 2  # opcodes of frames
OFFLINE: Final = "OFFLINE"


class Leaks:
    """In a run with `Permissions`. A viewer is a user's id; None or 0: a service, which may know everything."""

    def __init__(self, world: World, permissions: Permissions) -> None:
        self._world = world
        self._permissions = permissions
        self._frame = b""
        self._messages: list[AnyServerMessage] = []

    # -- what leaves ---------------------------------------------------------------------------------------------------

    def written(self, session: Session, frame: bytes) -> None:
        """`frame` goes out to the session, through the eyes that it has now."""
        for message in self._read(session.codec_number, frame):
            if isinstance(message, Snapshot | Statuses):
                self.entries(session.viewer, message.statuses)
            elif isinstance(message, Diff):
                self.entries(session.viewer, message.changes)
            elif isinstance(message, SelfChanged):
                require(message.view.user_id == session.user_id, "leak: the truth of another", session, message)
            elif isinstance(message, Welcome) and message.self_ is not None:
                require(message.self_.user_id == session.user_id, "leak: the truth of another", session, message)

    def _read(self, codec_number: int, frame: bytes) -> list[AnyServerMessage]:
        """Many are sent the same frame, one after the other."""
        if frame is not self._frame:
            codec = self._world.people.codecs[codec_number]
            self._frame = frame
            self._messages = [
                codec.decode_server(payload) for opcode, payload in frames_of(frame) if opcode in (TEXT, BINARY)
            ]
        return self._messages

    def entries(self, viewer: UserId | None, entries: Iterable[StatusEntry]) -> None:
        if viewer:
            for entry in entries:
                self._check(self._permissions.model, viewer, entry)

    def _check(self, model: Model, viewer: UserId, entry: StatusEntry) -> None:
        may = model.may_know(viewer, entry.user_id)
        found = leak_in(may, entry)
        require(found is None, f"leak: {found}", viewer, may, entry)

    def shown(self, viewer: UserId, shown: Shown) -> None:
        """A look-up, as it is answered."""
        entry = entry_of(shown.presence._replace(last_active=shown.last_active), self._world.people.keys)
        self.entries(viewer, (entry,))
        may = self._permissions.model.may_know(viewer, entry.user_id)
        require(not shown.devices or may in ("all", "untimed"), "leak: told of devices", viewer, may, shown)

    # -- what is kept --------------------------------------------------------------------------------------------------

    def statistics(self) -> None:
        """What is counted tells of no user: limits are counted by their names."""
        hub = self._world.hub
        foreign = set(hub.refused) - set(LIMITS)
        require(not foreign, "leak: statistics that name something else than a limit", foreign)
        counted = (*hub.statistics(), *self._world.interest.statistics(), *self._world.spy.statistics()[:6])
        require(all(isinstance(number, int | float) for number in counted), "leak: statistics", counted)

    # -- what is held --------------------------------------------------------------------------------------------------

    def claims(self, viewer: UserId, whose: object, entry: StatusEntry, presence: UserPresence) -> None:
        """The cursor of `viewer` stands for `entry`, and nothing about this user was told after it."""
        permissions = self._permissions
        if permissions.is_changing(viewer) or permissions.is_changing(entry.user_id):
            return
        kept = entry_of(presence, self._world.people.keys)
        self._same(
            permissions.model.may_know(viewer, entry.user_id), "a cursor claims what was not sent", whose, entry, kept
        )

    def at_rest(self, viewer: UserId, whose: object, entries: Mapping[UserId, StatusEntry]) -> None:
        """Everybody holds what they may know, and no more."""
        world, model = self._world, self._permissions.at_rest(viewer)
        for user_id, entry in entries.items():
            self._check(model, viewer, entry)
            kept = entry_of(world.table.presence(user_id), world.people.keys)
            may = model.may_know(viewer, user_id)
            self._same(may, "not converged", whose, entry, kept)
            if may == "all" and kept.version:
                require(entry.last_active_time == kept.last_active_time, "not converged", whose, entry, kept)

    def _same(self, may: str, kind: str, whose: object, entry: StatusEntry, kept: StatusEntry) -> None:
        if may == "nothing":
            require(entry.status == OFFLINE, kind, whose, may, entry)
        else:
            require(entry.status == kept.status, kind, whose, may, entry, kept)
        if may in ("all", "untimed"):
            told, known = ((each.platforms, each.status_text, each.status_emoji) for each in (entry, kept))
            require(told == known, kind, whose, may, entry, kept)
