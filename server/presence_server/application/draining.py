"""The server is about to end: its clients are asked to connect elsewhere, each at a moment of its own."""

from __future__ import annotations

from random import Random

from presence_protocol.messages import Reconnect
from presence_protocol.session import State
from presence_server.application.replies import Replies
from presence_server.application.roster import Roster
from presence_server.application.sessions import Session


class Draining:
    def __init__(self, roster: Roster, replies: Replies, random: Random) -> None:
        self.is_on = False
        self._roster = roster
        self._replies = replies
        self._random = random
        self._spread = 0.0

    def begin(self, spread: float) -> None:
        """Ask everybody, spread over `spread` seconds; and from now on whoever is welcomed."""
        self.is_on = True
        self._spread = spread
        for session in self._roster:
            if session.state is State.LIVE:
                self.ask(session)

    def ask(self, session: Session) -> None:
        after = int(self._random.uniform(0, self._spread) * 1000)
        self._replies.send(session, Reconnect(after_ms=after, reason="draining"))
