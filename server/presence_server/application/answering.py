"""What a session is being answered piece by piece, and what it missed meanwhile: see `slices` and `catchup`.

The session's link takes the steps, one after the other, when it has its turn of the loop and its socket has room.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator

from presence_server.application import slices
from presence_server.application.catchup import CatchUp
from presence_server.application.ports import Clock
from presence_server.application.sessions import Session
from presence_server.application.slices import DONE
from presence_server.application.truths import Truths
from presence_server.application.turn import Turn


class Answering:
    def __init__(
        self, catchup: CatchUp, truths: Truths, turn: Turn, clock: Clock, has_time: Callable[[], bool] | None = None
    ) -> None:
        """`has_time`: whether a piece of an answer may be made now; whoever else is busy goes first. None: always."""
        self._catchup = catchup
        self._truths = truths
        self._turn = turn
        self._clock = clock
        self.has_time = has_time or _always

    def is_at_once(self, size: int) -> bool:
        """Whether an answer about so many users may be made here and now."""
        return size <= slices.AT_ONCE or (size <= slices.PIECE and self.has_time())

    def begin(self, session: Session, steps: Iterator[None]) -> None:
        """Do `steps` for the session, one at a time, after those that were begun before."""
        if session.is_over:
            return
        self._catchup.before(session)  # no cursor of the answer may claim it before
        if session.work is None:
            session.work = deque()
            session.catching_up = None
            self._catchup.hold(session)
            self._turn.read_on(session)
        session.work.append(steps)

    def go_on(self, session: Session, now: float) -> None:
        """Do the next step."""
        work, catching_up = session.work, session.catching_up
        if not session.can_go_on:
            return
        if work is not None:
            if next(work[0], DONE) is DONE:
                work.popleft()
                if not work and session.work is work:
                    session.work = None
                    self._serve(session, now)
        elif catching_up is not None and next(catching_up, DONE) is DONE and session.catching_up is catching_up:
            session.catching_up = None
            if not session.behind:
                self._truths.caught_up(session)
                self._turn.read_on(session)

    def catch_up(self, now: float) -> None:
        """Begin to serve those who are behind, and may be served now."""
        for session in self._catchup.take_due(now):
            self._serve(session, now)
            self._turn.read_on(session)

    def serve_again(self, session: Session) -> None:
        """The session was held, or is being caught up: begin anew, from where it is."""
        if not session.blocked_since and session.work is None:
            self._serve(session, self._clock.now())
            self._turn.read_on(session)

    def _serve(self, session: Session, now: float) -> None:
        """Begin to tell the session what it missed while it was behind."""
        if self._catchup.has_lost_count(session):
            session.work = deque((self._catchup.everything(session),))
        else:
            session.catching_up = self._catchup.steps(session, now)

    def forget(self, session: Session) -> None:
        """It ended."""
        self._catchup.forget(session)
        session.work = session.catching_up = None


def _always() -> bool:
    """Nobody else is busy."""
    return True
