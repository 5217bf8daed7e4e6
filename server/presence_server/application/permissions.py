"""A permission changes while somebody watches: the edge moves to another lens, and the watcher is told at once.

The edge moves first, in the same run in which the policy changed. From then on nothing reaches the watcher under the
old topic: what waits for its slice is dropped (the session is served from its seq instead, through the new lens), and
whoever is in the middle of a change with very many watchers is taken out of it. Then the watcher is told what it may
see now, under a version newer than any it was told: OFFLINE if that is nothing.

**Who is not there.** A viewer who comes back with a cursor from before is sent everything anew (`Sight.covers`). So is
one whose connection ended before it was told.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Protocol, cast

from presence_server.application.catchup import CatchUp
from presence_server.application.cursors import Cursor
from presence_server.application.edges import Edges
from presence_server.application.entries import parts
from presence_server.application.fanout import Fanout
from presence_server.application.sessions import Session
from presence_server.application.sight import Sight
from presence_server.domain.deadlines import Deadlines
from presence_server.domain.model import UserKey, UserPresence


class Waiting(Protocol):
    """A long poll that waits."""

    slot: int | None
    viewer: UserKey

    def go_stale(self) -> None:
        """Answer with everything anew: what it may see is another."""
        ...


Outlet = Session | Waiting


class Permissions:
    def __init__(
        self,
        sight: Sight,
        edges: Edges,
        fanout: Fanout,
        catchup: CatchUp,
        sessions_of: Callable[[UserKey], Sequence[Session]],
        serve_again: Callable[[Session], None],
        part_bytes: int,
    ) -> None:
        """`sessions_of` gives those that hold a device of a user; `serve_again` catches a session up that was held."""
        self._sight = sight
        self._edges = edges
        self._fanout = fanout
        self._catchup = catchup
        self._sessions_of = sessions_of
        self._serve_again = serve_again
        self._part_bytes = part_bytes
        self._others: dict[UserKey, dict[Outlet, None]] = {}  # by viewer: observers and polls
        self._checks: Deadlines[UserKey] = Deadlines()
        self.due: dict[Session, dict[UserKey, None]] = {}
        """Who is still to be told about whom."""

    # -- who watches -----------------------------------------------------------------------------------------------

    def join(self, outlet: Outlet) -> None:
        """It sees through its viewer's eyes, and `sessions_of` does not give it."""
        if outlet.viewer:
            self._others.setdefault(outlet.viewer, {})[outlet] = None

    def leave(self, outlet: Outlet) -> None:
        others = self._others.get(outlet.viewer)
        if others is not None:
            others.pop(outlet, None)
            if not others:
                del self._others[outlet.viewer]

    def forget(self, session: Session) -> None:
        """The session ended."""
        self.leave(session)
        if self.due.pop(session, None):
            self._sight.note(session.viewer)  # it was not told: no cursor that it was given may say so

    def _outlets_of(self, viewer: UserKey) -> list[Outlet]:
        return [*self._sessions_of(viewer), *self._others.get(viewer, ())]

    # -- changes ---------------------------------------------------------------------------------------------------

    def changed(self, viewer: UserKey, keys: Iterable[UserKey]) -> None:
        """`viewer` sees the users otherwise from now on."""
        self._sight.note(viewer)
        for outlet in self._outlets_of(viewer):
            for key in keys if outlet.slot is not None and self._edges.count(outlet.slot) else ():
                self._move(outlet, key)

    def changed_altogether(self, viewer: UserKey) -> None:
        """`viewer` may see everybody otherwise from now on."""
        self._sight.note(viewer)
        for outlet in self._outlets_of(viewer):
            for key in self._edges.keys(outlet.slot) if outlet.slot is not None else ():
                self._move(outlet, key)

    def shown_otherwise(self, key: UserKey) -> None:
        """The user shows something else to others from now on. A Change of theirs tells it to those who come back."""
        self._sight.note_shown_again()
        for slot in self._edges.slots(key):
            outlet = self._fanout.outlet(slot)
            if outlet is not None:
                self._move(cast("Outlet", outlet), key)

    def _move(self, outlet: Outlet, key: UserKey) -> None:
        slot = outlet.slot
        before = None if slot is None else self._edges.move(slot, outlet.viewer, key)
        if before is None:
            return
        if isinstance(outlet, Session):
            self.due.setdefault(outlet, {})[key] = None
            self._hold(outlet, before)
        else:
            outlet.go_stale()

    def _hold(self, session: Session, topic: UserKey) -> None:
        """Nothing that was made under `topic`, or read before, goes to the session any more."""
        self._fanout.take_out(topic, session.slot)
        if session.behind:
            session.self_due |= self._fanout.skip(session.slot)
            if session.catching_up is not None:
                self._serve_again(session)
        elif self._fanout.is_waiting(session.slot):
            self._catchup.hold(session)
            self._serve_again(session)

    # -- telling ---------------------------------------------------------------------------------------------------

    def take(self, session: Session) -> list[tuple[list[UserPresence], str | None]]:
        """What is to be told to the session, in parts, each with its cursor; None: the one that holds then.

        A part that others follow claims nothing of what its viewer sees now: who is lost between them starts anew.
        """
        keys = list(self.due.pop(session, ()))
        gone = set(self._edges.missing(session.slot, keys))
        topics = self._sight.topics(session.viewer, [key for key in keys if key not in gone])
        if not topics:
            return []
        before = str(Cursor(self._sight.epoch, max(0, self._sight.changed_at(session.viewer) - 1)))
        cut = list(parts(map(self._sight.told, topics), self._part_bytes))
        return [(part, None if number == len(cut) else before) for number, part in enumerate(cut, 1)]

    # -- time ------------------------------------------------------------------------------------------------------

    def hold_for(self, viewer: UserKey, seconds: float | None, now: float) -> None:
        """What is known of the viewer's lenses holds for so many seconds: then ask again, if anybody still watches."""
        if seconds is not None:
            due = self._checks.of(viewer)
            self._checks.set(viewer, now + seconds if due is None else min(due, now + seconds))

    def sweep(self, now: float) -> None:
        self._sight.policy.sweep(now)
        if not len(self._checks):
            return
        for viewer in self._checks.pop_due(now):
            outlets = self._outlets_of(viewer)
            keys = dict.fromkeys(
                key for each in outlets if each.slot is not None for key in self._edges.keys(each.slot)
            )
            if keys:
                self._sight.learn(viewer, list(keys), now, partial(self._checked, viewer, now))

    def _checked(self, viewer: UserKey, now: float, seconds: float | None) -> None:
        self.hold_for(viewer, seconds, now)
