"""A permission changes while somebody watches: the edge moves to another lens, and the watcher is told at once.

The edge moves first, in the same run in which the policy changed. From then on nothing reaches the watcher under the
old topic: what waits for its slice is dropped (the session is served from its seq instead, through the new lens), and
whoever is in the middle of a change with very many watchers is taken out of it. Then the watcher is told what it may
see now, under a version newer than any it was told: OFFLINE if that is nothing.

**Who is not there.** A viewer who comes back with a cursor from before is sent everything anew (`Sight.covers`). So is
one whose connection ended before it was told.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import partial
from typing import Protocol, cast

from presence_protocol.messages import Diff
from presence_protocol.session import State
from presence_server.application.answering import Answering
from presence_server.application.catchup import CatchUp
from presence_server.application.common import Common
from presence_server.application.cursors import Cursor
from presence_server.application.edges import Edges
from presence_server.application.entries import entry_of, parts
from presence_server.application.fanout import Fanout
from presence_server.application.ports import Done, unheard
from presence_server.application.privacy import LastSeen
from presence_server.application.replies import Replies
from presence_server.application.roster import Roster
from presence_server.application.sessions import Session
from presence_server.application.sight import Sight
from presence_server.domain.deadlines import Deadlines
from presence_server.domain.model import UserKey, UserPresence
from presence_server.domain.transitions import Restate


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
        common: Common,
        sight: Sight,
        edges: Edges,
        fanout: Fanout,
        catchup: CatchUp,
        roster: Roster,
        answering: Answering,
        replies: Replies,
    ) -> None:
        self._engine = common.engine
        self._sight = sight
        self._edges = edges
        self._fanout = fanout
        self._catchup = catchup
        self._roster = roster
        self._answering = answering
        self._replies = replies
        self._turn = common.turn
        self._keys = common.keys
        self._part_bytes = common.part_bytes
        self._others: dict[UserKey, dict[Outlet, None]] = {}  # by viewer: observers and polls
        self._checks: Deadlines[UserKey] = Deadlines()
        self.due: dict[Session, dict[UserKey, None]] = {}
        """Who is still to be told about whom."""
        catchup.before = self.tell
        sight.policy.attach(self.changed)

    # -- who watches -----------------------------------------------------------------------------------------------

    def join(self, outlet: Outlet) -> None:
        """It sees through its viewer's eyes, and holds no device of that user."""
        if outlet.viewer:
            self._others.setdefault(outlet.viewer, {})[outlet] = None

    def leave(self, outlet: Outlet) -> None:
        others = self._others.get(outlet.viewer) if self._others else None
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
        return [*self._roster.of(viewer), *self._others.get(viewer, ())]

    # -- changes ---------------------------------------------------------------------------------------------------

    def changed(self, viewer: UserKey, keys: Sequence[UserKey]) -> None:
        """The policy's word that `viewer` sees the users otherwise from now on."""
        self._changed(viewer, keys)
        if self._sight.is_reciprocal:
            for key in keys:
                if (
                    self.last_seen(key) is LastSeen.CONTACTS
                ):  # to whom they show has changed, and so what they are shown
                    self._changed(key, (viewer,))
        self._turn.note()

    def _changed(self, viewer: UserKey, keys: Iterable[UserKey]) -> None:
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

    def last_seen(self, key: UserKey) -> LastSeen:
        """What the user has said of who is told when they were last seen."""
        return self._sight.privacy.of(key)

    def erase_last_seen(self, user_id: UserKey) -> None:
        """The user is being erased: see `erased`."""
        self._sight.privacy.erase(user_id)

    def erased(self, user_id: UserKey, is_done: bool, now: float) -> None:
        """The engine has forgotten the user, or has not. What they had said of their last seen goes with it."""
        if self._sight.privacy.erased(user_id) and is_done:
            self.set_last_seen(user_id, LastSeen.EVERYONE, now, unheard)

    def set_last_seen(self, user_id: UserKey, said: LastSeen, now: float, done: Done) -> bool:
        """A user says who is told when they were last seen. Whether there was room to keep it. An entry of its own."""
        sight = self._sight
        with self._turn:
            was_kept = sight.privacy.set(user_id, said)
            if was_kept:
                if len(sight.privacy):
                    sight.look_again()
                self.shown_otherwise(user_id)
                if sight.is_reciprocal:
                    self.changed_altogether(user_id)
                sight.look_again()
                self._engine.submit(Restate(user_id), now, done)
            return was_kept

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
                self._answering.serve_again(session)
        elif self._fanout.is_waiting(session.slot):
            self._catchup.hold(session)
            self._answering.serve_again(session)

    # -- telling ---------------------------------------------------------------------------------------------------

    def tell_all(self) -> None:
        """An entry ends: tell everybody who is due, and can be told now."""
        for session in list(self.due):
            if session.state is State.LIVE and not session.behind:
                self.tell(session)

    def tell(self, session: Session) -> bool:
        """Tell the session what it may see since a permission changed. Whether there was anything to tell."""
        if session not in self.due:
            return False
        told = False
        for part, cursor in self.take(session):
            if cursor is None:
                seq = session.served if session.behind else self._fanout.settled
                cursor = str(Cursor(self._sight.epoch, seq))
            changes = [entry_of(presence, self._keys) for presence in part]
            self._replies.send(session, Diff(changes=changes, cursor=cursor))
            told = True
        return told

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
