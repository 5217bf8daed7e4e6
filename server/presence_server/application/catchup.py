"""Slow watchers: no queue, one integer.

A connection that cannot be written to is *behind*: it keeps the seq up to which it was served, gets nothing more,
and is not read from. When it drains it is served as a resume is: the watched users whose record has a greater seq,
in the order of their seqs, so that after each part the one integer says again how far it is.
"""

from __future__ import annotations

from typing import Final

from presence_protocol.messages import Diff, Snapshot
from presence_server.application.cursors import Cursor
from presence_server.application.entries import entry_of, parts
from presence_server.application.fanout import Fanout
from presence_server.application.keys import UserKeys
from presence_server.application.ports import Engine
from presence_server.application.sessions import Session
from presence_server.domain.interest import Interest

PAUSE: Final = 0.1
"""Seconds between two catch-ups of one connection: one that drains and fills in turn must not cost a scan each time."""


class CatchUp:
    """Serves the sessions that are behind."""

    def __init__(self, engine: Engine, interest: Interest, fanout: Fanout, keys: UserKeys) -> None:
        self._engine = engine
        self._interest = interest
        self._fanout = fanout
        self._keys = keys
        self._drained: dict[Session, None] = {}

    def block(self, session: Session, now: float) -> None:
        """The session's connection cannot take more for now."""
        if not session.behind:
            session.behind = True
            session.served = self._fanout.settled
            session.self_due |= self._fanout.skip(session.slot)
        if not session.blocked_since:
            session.blocked_since = now
        self._drained.pop(session, None)

    def drain(self, session: Session) -> None:
        """The session's connection can be written to again."""
        session.blocked_since = 0.0
        if session.behind:
            self._drained[session] = None

    def forget(self, session: Session) -> None:
        self._drained.pop(session, None)

    def sweep(self, now: float) -> list[Session]:
        """Serve whoever drained. Returns those who are not behind any more."""
        due = [session for session in self._drained if now - session.caught_up_at >= PAUSE]
        return [session for session in due if self.serve(session, now)]

    def serve(self, session: Session, now: float) -> bool:
        """Send what `session` missed, as long as there is room. Returns whether it has caught up."""
        session.caught_up_at = now
        # What waited for its slice meanwhile is among what is served here, or older than that.
        self._fanout.skip(session.slot)
        if session.served < self._engine.floor:
            self._send_everything(session)
        else:
            self._send_missed(session)
        if session.blocked_since or not session.link.has_room():
            return False  # blocked again, or its next sweep will tell
        session.behind = False
        self._drained.pop(session, None)
        return True

    def _send_missed(self, session: Session) -> None:
        missed = self._engine.changed_since(self._interest.watched(session.slot), session.served)
        for part in parts(missed):
            if not part or session.blocked_since or not session.link.has_room():
                return
            session.served = part[-1].seq
            cursor = str(Cursor(self._engine.epoch, session.served))
            changes = [entry_of(presence, self._keys) for presence in part]
            self._fanout.write_message(session.slot, session, Diff(changes=changes, cursor=cursor))

    def _send_everything(self, session: Session) -> None:
        """Something was forgotten since: only a full snapshot is sure to hold it."""
        session.served = self._fanout.settled
        cursor = str(Cursor(self._engine.epoch, session.served))
        pending: Snapshot | None = None
        for part in parts(map(self._engine.presence, self._interest.watched(session.slot))):
            if pending is not None:
                pending.more = True
                self._fanout.write_message(session.slot, session, pending)
            pending = Snapshot(statuses=[entry_of(presence, self._keys) for presence in part])
        if pending is not None:
            pending.cursor = cursor
            self._fanout.write_message(session.slot, session, pending)

    def __len__(self) -> int:
        """How many sessions drained and wait to be served."""
        return len(self._drained)
