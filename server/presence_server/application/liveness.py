"""Which connections are alive: one wheel sweeps them all, and none has a timer of its own.

The server pings every `ping_interval`; any frame counts as life of the link. A link is dead when a ping went
unanswered for `pong_timeout`, never from silence alone. While a connection is blocked it is not read from, so its
pongs cannot be seen: it may be blocked for `lag_limit`, but for no longer than a ping and its timeout after it last
gave a sign of life, so that the printed bound holds for a client that dies with a full socket as well.
"""

from __future__ import annotations

from collections.abc import Iterator
from enum import Enum
from typing import NamedTuple

from presence_protocol.session import State
from presence_server.application.sessions import Session
from presence_server.application.turn import Turn
from presence_server.domain.deadlines import Deadlines


class LinkFailure(Enum):
    HELLO_TIMEOUT = "hello timeout"
    TOO_SLOW = "too slow"
    DEAD = "dead"


class LinkTimes(NamedTuple):
    """Seconds."""

    hello_timeout: float = 10.0
    ping_interval: float = 25.0
    pong_timeout: float = 10.0
    lag_limit: float = 30.0


class Liveness:
    def __init__(self, times: LinkTimes, turn: Turn) -> None:
        self._times = times
        self._turn = turn
        self._wheel: Deadlines[Session] = Deadlines()

    def add(self, session: Session, now: float) -> None:
        """A new connection, which has yet to say hello."""
        self._wheel.set(session, now + self._times.hello_timeout)

    def start_pings(self, session: Session, now: float) -> None:
        """It said hello: from now on it is pinged."""
        session.sign_of_life = now  # it was not read from while the engine was asked
        self._wheel.set(session, now + self._times.ping_interval)

    def block(self, session: Session) -> None:
        if session.state is State.OPEN:
            return  # its hello is due as before
        silent_until = max(session.heard, session.sign_of_life) + self._times.ping_interval + self._times.pong_timeout
        self._wheel.set(session, min(session.blocked_since + self._times.lag_limit, silent_until))

    def unblock(self, session: Session, now: float) -> None:
        """It can be read from again. A pong that waited unread gets its full time to be seen."""
        if session.state is State.OPEN:
            return
        session.sign_of_life = now
        if session.pinged_at and session.heard < session.pinged_at:
            session.pinged_at = now
            self._wheel.set(session, now + self._times.pong_timeout)
        else:
            session.pinged_at = 0.0  # it has answered: nothing is asked of it until the next ping
            self._wheel.set(session, now + self._times.ping_interval)

    def discard(self, session: Session) -> None:
        self._wheel.discard(session)

    def sweep(self, now: float) -> Iterator[tuple[Session, LinkFailure]]:
        """Ping who is due, within an entry. Yields the sessions that are to end, and why."""
        for session in self._wheel.pop_due(now):
            failure = self._examine(session, now)
            if failure is not None:
                yield session, failure

    def _examine(self, session: Session, now: float) -> LinkFailure | None:
        if session.state is State.OPEN:
            return LinkFailure.HELLO_TIMEOUT
        if session.blocked_since:
            return LinkFailure.TOO_SLOW
        if session.state is State.GREETED:
            # It waits for the engine, and is not read from meanwhile: a pong could not be seen.
            self._wheel.set(session, now + self._times.ping_interval)
            return None
        if session.pinged_at and session.heard < session.pinged_at:
            return LinkFailure.DEAD
        if session.pinged_at:
            next_ping = session.pinged_at + self._times.ping_interval
            session.pinged_at = 0.0
            if next_ping > now:
                self._wheel.set(session, next_ping)
                return None
        session.pinged_at = now
        self._wheel.set(session, now + self._times.pong_timeout)
        # The wheel is set before: the ping may fill the socket, and then the time of who is blocked counts.
        self._turn.items.append((session.link, self._turn.ping_frame))
        return None

    def __len__(self) -> int:
        return len(self._wheel)
