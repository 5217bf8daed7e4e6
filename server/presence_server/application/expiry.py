"""Credentials that end: whom to tell beforehand, and whose connection to close.

When credentials end is a time of the calendar, and when to look is a time on the clock that only grows. So whoever is
due is looked at again by the calendar of that moment: the system's clock may have been set since.

Most tokens end in hours or days. Their sessions lie in sets, one for each minute of the calendar in which they end,
which costs some 45 bytes each; only those that end within `AHEAD` have a deadline of their own, which costs 125.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from presence_server.application.sessions import Session
from presence_server.domain.deadlines import Deadlines

NOTICE: Final = 30.0
"""Seconds before the end at which a client is told; or half of the token's life, where that is shorter. Who comes with
a token of which less is left is told after half of that.

The end that a client is told of is the token's own: it knows nothing of the leeway, which is no time to rely on."""

MINUTE: Final = 60.0

AHEAD: Final = 2
"""Minutes before that of the end in which a session gets a deadline: so many that the notice lies behind them."""


class Expiry:
    """The sessions whose principal ends. Costs nothing for all others."""

    def __init__(self) -> None:
        self._later: dict[int, set[Session]] = {}
        self._minute = 0
        """The last one of which all sessions have deadlines."""
        self._due: Deadlines[Session] = Deadlines()
        self._told: set[Session] = set()

    def follow(self, session: Session, now: float, utc: float) -> None:
        """The session has a principal. Of one that it had before `forget` was told."""
        principal = session.principal
        if principal is None or principal.expires_at is None:
            return
        minute = _minute_of(principal.expires_at - principal.leeway)
        if minute > max(self._minute, _minute_of(utc) + AHEAD):
            self._later.setdefault(minute, set()).add(session)
        else:
            self._set(session, now, utc)

    def _set(self, session: Session, now: float, utc: float) -> None:
        principal = session.principal
        assert principal is not None
        assert principal.expires_at is not None
        left = _left(principal.expires_at, principal.leeway, utc)
        issued = utc if principal.issued_at is None else principal.issued_at
        notice = min(NOTICE, (principal.expires_at - principal.leeway - issued) / 2)
        self._due.set(session, now + max(0.0, left - (notice if 0 < notice < left else left / 2)))

    def forget(self, session: Session) -> None:
        """The session ended, or its principal is about to be replaced."""
        principal = session.principal
        if principal is None or principal.expires_at is None:
            return
        minute = _minute_of(principal.expires_at - principal.leeway)
        later = self._later.get(minute)
        if later is not None and session in later:
            later.remove(session)
            if not later:
                del self._later[minute]
            return
        self._due.discard(session)
        self._told.discard(session)

    def sweep(self, now: float, utc: float) -> Iterator[tuple[Session, float]]:
        """Whose credentials end soon, each told once, and in how many seconds; 0: they have ended."""
        self._come_nearer(now, utc)
        for session in self._due.pop_due(now):
            principal = session.principal
            assert principal is not None
            assert principal.expires_at is not None
            until_refused = principal.expires_at - utc
            left = _left(principal.expires_at, principal.leeway, utc)
            if until_refused <= 0:
                self.forget(session)
                yield session, 0.0
            elif session in self._told or left > 2 * NOTICE:  # the system's clock was set back
                self._due.set(session, now + (until_refused if session in self._told else left - NOTICE))
            else:
                self._told.add(session)
                self._due.set(session, now + until_refused)
                yield session, left

    def _come_nearer(self, now: float, utc: float) -> None:
        """Those who end within the next minutes get deadlines."""
        minute = _minute_of(utc) + AHEAD
        if minute <= self._minute:
            return
        self._minute = minute
        for ends_in in [each for each in self._later if each <= minute]:
            for session in self._later.pop(ends_in):
                self._set(session, now, utc)

    @property
    def is_empty(self) -> bool:
        return not self._later and not len(self._due)


def _minute_of(utc: float) -> int:
    return int(utc // MINUTE)


def _left(expires_at: float, leeway: float, utc: float) -> float:
    """Seconds until the credentials end by their own word; once that has passed, until they are refused."""
    left = expires_at - leeway - utc
    return left if left > 0 else expires_at - utc
