"""Slow watchers: no queue, one integer.

A connection that cannot be written to is *behind*: it keeps the seq up to which it was served, gets nothing more,
and is not read from. When it drains it is served as a resume is: the watched users whose record has a greater seq,
in the order of their seqs, so that after each part the one integer says again how far it is. One that is answered piece
by piece is behind as well, and served likewise after its answer (see `slices`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final

from presence_protocol.messages import Diff, Snapshot
from presence_server.application.common import Common
from presence_server.application.cursors import Cursor
from presence_server.application.entries import entry_of, parts
from presence_server.application.fanout import Fanout
from presence_server.application.sessions import Session
from presence_server.application.sight import Sight
from presence_server.application.slices import messages, pieces
from presence_server.domain.interest import Interest
from presence_server.domain.lenses import key_of
from presence_server.domain.model import UserPresence

PAUSE: Final = 0.1
"""Seconds between two catch-ups of one connection: one that drains and fills in turn must not cost a scan each time."""


class CatchUp:
    """Serves the sessions that are behind."""

    def __init__(self, common: Common, interest: Interest, fanout: Fanout, sight: Sight) -> None:
        self._views = common.views
        self._interest = interest
        self._fanout = fanout
        self._turn = common.turn
        self._sight = sight
        self._keys = common.keys
        self._part_bytes = common.part_bytes
        self._unblocked: dict[Session, None] = {}
        self.behind = 0
        """Sessions that are behind."""
        self.before: Callable[[Session], bool] = _nothing
        """Called when a session is about to be served: what else it has missed is told first. Whether there was any."""

    def hold(self, session: Session) -> None:
        """Write no diffs to the session until it was served again."""
        if not session.behind:
            session.behind = True
            self.behind += 1
            session.served = self._fanout.settled
            session.self_due |= self._fanout.skip(session.slot)

    def block(self, session: Session, now: float) -> None:
        """The session's connection cannot take more for now."""
        self.hold(session)
        if not session.blocked_since:
            session.blocked_since = now
        session.catching_up = None  # from where it is by then
        self._unblocked.pop(session, None)

    def unblock(self, session: Session) -> None:
        """The session's connection can be written to again."""
        session.blocked_since = 0.0
        if session.behind and session.work is None:
            self._unblocked[session] = None

    def forget(self, session: Session) -> None:
        """It ended."""
        self.behind -= session.behind
        self._unblocked.pop(session, None)

    def take_due(self, now: float) -> list[Session]:
        """Those who are unblocked and may be served now."""
        due = [session for session in self._unblocked if now - session.caught_up_at >= PAUSE]
        for session in due:
            del self._unblocked[session]
        return due

    def has_lost_count(self, session: Session) -> bool:
        """Whether something was forgotten since: only a full snapshot is sure to hold it."""
        return session.served < self._views.floor

    def steps(self, session: Session, now: float) -> Iterator[None]:
        """Send what `session` missed, as long as there is room; it is behind no more once it was sent everything."""
        session.caught_up_at = now
        while not self.has_lost_count(session):
            # What waited for its slice meanwhile is among what is served here, or older than that.
            self._fanout.skip(session.slot)
            if self.before(session):
                yield
                continue
            missed = list(parts(self._missed(session), self._part_bytes))
            for part in missed:
                if not session.link.has_room():
                    break
                self._tell(session, part)
                if len(missed) == 1:
                    # All is said. If this fills the socket, the session is held anew, from what is settled then.
                    session.behind = False
                    self.behind -= 1
                    return
                yield
            if not session.link.has_room():
                break
        self._unblocked[session] = None  # one of the next sweeps will tell

    def _missed(self, session: Session) -> list[UserPresence]:
        return self._views.changed_since(self._interest.watched(session.slot), session.served)

    def _tell(self, session: Session, part: list[UserPresence]) -> None:
        if part:
            session.served = part[-1].seq
            cursor = str(Cursor(self._views.epoch, session.served))
            changes = [entry_of(presence, self._keys) for presence in part]
            self._turn.send(session, Diff(changes=changes, cursor=cursor))

    def everything(self, session: Session) -> Iterator[None]:
        """Send a full snapshot of all that `session` watches.

        Its cursor claims what is settled, which may be less than `floor`. What it missed from now on is more than that:
        all that was told before is read here.
        """
        seq = self._views.seq
        session.served = self._fanout.settled
        cursor = str(Cursor(self._views.epoch, session.served))
        viewer = session.viewer
        for piece, is_last in pieces([key_of(topic) for topic in self._interest.watched(session.slot)]):
            topics = self._sight.topics(viewer, piece)
            stamp = self._sight.stamp(viewer)
            for part, more in messages(map(self._views.presence, topics), is_last, self._part_bytes):
                if self._sight.stamp(viewer) != stamp:
                    part = self._sight.still(viewer, part)
                statuses = [entry_of(presence, self._keys) for presence in part]
                snapshot = Snapshot(statuses=statuses, more=more, cursor=None if more else cursor)
                self._turn.send(session, snapshot)
                if more:
                    yield
        session.served = max(session.served, seq)

    def __len__(self) -> int:
        """How many sessions are unblocked and wait to be served."""
        return len(self._unblocked)


def _nothing(_session: Session) -> bool:
    """There is nothing else."""
    return False
