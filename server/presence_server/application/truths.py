"""What a user's own devices are told of them (`self`): once, however often it has changed meanwhile.

When changes are gathered, as nearly always when a truth has changed, it rides with the flush: one write for both.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final

from presence_protocol.messages import SelfChanged
from presence_protocol.session import State
from presence_server.application.entries import device_of, self_view_of
from presence_server.application.fanout import Fanout
from presence_server.application.keys import UserKeys
from presence_server.application.ports import Engine, TruthChanged
from presence_server.application.replies import Replies
from presence_server.application.roster import Roster
from presence_server.application.sessions import Session
from presence_server.domain.causes import Cause
from presence_server.domain.model import UserKey

_LIVE: Final = State.LIVE  # see `sessions`
_CAUSES: Final = {cause: cause.value for cause in Cause}  # to ask a member for its value takes 0.1 us


class Truths:
    def __init__(self, engine: Engine, roster: Roster, fanout: Fanout, replies: Replies, keys: UserKeys) -> None:
        self._engine = engine
        self._roster = roster
        self._fanout = fanout
        self._replies = replies
        self._keys = keys
        self.hear: Callable[[UserKey], None] | None = None
        """Told of each user whose truth has changed, while somebody waits for that."""
        self.due: dict[Session, TruthChanged | None] = {}
        """Who is to be told, and of which event the last was; None: that is not known any more."""

    def changed(self, event: TruthChanged) -> None:
        if self.hear is not None:
            self.hear(event.user_id)
        for session in self._roster.of(event.user_id):
            self.due[session] = event

    def caught_up(self, session: Session) -> None:
        """The session is behind no more: it may be told what it was not told meanwhile."""
        if session.self_due:
            session.self_due = False
            self.due[session] = None

    def tell(self) -> None:
        """Nothing is gathered that it could ride with."""
        for session, message in self._take():
            self._fanout.overtake(session.slot)
            self._replies.send(session, message)

    def ride(self) -> None:
        """A flush begins, and each changed truth with it."""
        for session, message in self._take():
            self._fanout.ride(session.slot, message)

    def _take(self) -> Iterator[tuple[Session, SelfChanged]]:
        """Who is to be told of their user's truth, which is due no more, and what it is now."""
        due, self.due = self.due, {}
        for session, event in due.items():
            if session.state is not _LIVE:
                continue  # it left, or `welcome` is still to come and will tell
            if session.behind:
                session.self_due = True
                continue
            view = self_view_of(self._engine.truth(session.user_id), self._keys)
            if event is not None and event.cause is not None:
                view.cause, view.device = _CAUSES[event.cause], device_of(event.by)
            yield session, SelfChanged.of(view)
