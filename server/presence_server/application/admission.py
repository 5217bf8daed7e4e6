"""How many new clients are let in while the server is busy, so that those who are connected do not wait for them.

**When.** Others wait for as long as the loop is late, or a flush lasts. While both stay below a bound, everybody is let
in. Beyond it new clients are let in at a rate, which falls with each look that still finds it so (to seven tenths of
what was let in since the look before), and grows by a tenth with each that does not, until it means nothing any more.
`LEAST` a second are always let in: whatever makes the loop late then is not them. After a restart with state it is as
many as bring all back in time (`expect`).

The loop is seen to be late before it is measured: whoever asks when no look was taken for too long meets the rate at
once, and so does whoever comes after more than twice the bound's worth of others. So a wave that arrives in one turn of
the loop is cut where it begins to hurt.

**When to come back.** Each who is turned away takes the next free moment of a queue that exists in numbers alone: they
are as far apart as the rate is, and so spread by how many wait. The queue lets them in a little slower than the rate,
since others come as well.

Tried: a fixed pause drawn at random. With twenty thousand it was too short for most, who asked again and again.
"""

from __future__ import annotations

from typing import Final

from presence_server.application.allowances import TooMuch

ADMISSION: Final = "admission_lag"

LEAST: Final = 100.0
"""Clients a second that are let in whatever happens: a fortieth of what a core can do."""

MOST: Final = 5_000.0
"""Clients a second from which on nobody is turned away: more than a core can do."""

AT_ONCE: Final = 0.05
"""Seconds' worth of the rate that may come in one turn, once it is in force."""

EACH: Final = 0.000_25
"""Seconds of the loop that a new client costs from accept to welcome, most of it after it was let in."""

FALLS_TO: Final = 0.7
GROWS_BY: Final = 1.1
FADES_TO: Final = 0.8
"""What is left with each look of how many were let in a second lately."""

SHARE_OF_QUEUE: Final = 0.8
"""The share of the rate that is promised to those who were told when to come back."""

SHARE_OF_TIME: Final = 0.5
"""The share of the time that all who are expected have in which they are let in; the rest is for their tries."""

SOONEST: Final = 1.0
"""Seconds after which to come back at the least."""

LATEST: Final = 120.0
"""Seconds after which to come back at the most."""

LOOKS: Final = 0.1
"""Seconds between two looks."""


STRETCHES_BY: Final = 1.05
SHRINKS_BY: Final = 0.98
LONGEST: Final = 4.0
"""How many times the usual interval REST clients are asked for at most: a minute or two of 30 seconds."""


class Admission:
    def __init__(self, bound: float, now: float) -> None:
        """`bound`: seconds that the loop may be late, or a flush may last; 0: everybody is always let in."""
        self.bound = bound
        self.rate = MOST
        """Clients let in a second; `MOST`: all."""
        self.turned_away = 0
        self._stretch = 1.0
        self._tokens = 0.0
        self._filled_at = now
        self._looked_at = now
        self._admitted = 0
        self._lately = 0.0
        self._next_free = now
        self._least = LEAST
        self._expected_until = now

    def expect(self, clients: int, within: float, now: float) -> None:
        """So many were there before a restart, and have so many seconds to come back: the rate falls no lower than what
        brings all of them back in time, since whoever waits for longer would be shown as OFFLINE."""
        self._least = min(MOST, max(LEAST, clients / (within * SHARE_OF_TIME)))
        self._expected_until = now + within

    @property
    def is_open(self) -> bool:
        """Whether everybody is let in."""
        return self.rate >= MOST

    @property
    def waiting(self) -> float:
        """How many were told to come back later, and are not due yet; as of the last look."""
        return max(0.0, self._next_free - self._looked_at) * self.rate * SHARE_OF_QUEUE

    @property
    def stretch(self) -> float:
        """By how much longer than usual to wait for what can wait, in quarters: 1 while nothing is late."""
        return int(self._stretch * 4) / 4

    def take(self, now: float) -> TooMuch | None:
        """One more client. None: it is let in."""
        if not self.bound:
            return None
        if self.is_open:
            self._admitted += 1
            if not self._is_too_much(now):
                return None
            self._slow_down(now)
        self._fill(now)
        if self._tokens >= 1:
            self._tokens -= 1
            self._admitted += 1
            return None
        self.turned_away += 1
        return TooMuch(ADMISSION, self._moment(now))

    def look(self, now: float, late: float, flush: float) -> None:
        """The loop is so `late`, and the longest flush since the last look lasted so long. Some ten times a second."""
        elapsed, self._looked_at = max(LOOKS, now - self._looked_at), now
        # What they cost comes after they were let in: a hello, a watch list, a snapshot.
        admitted, self._admitted = max(self._admitted / elapsed, self._lately * FADES_TO), 0
        self._lately = admitted
        if not self.bound:
            return
        if now > self._expected_until:
            self._least = LEAST
        is_late = max(late, flush) > self.bound
        self._stretch = min(LONGEST, self._stretch * STRETCHES_BY) if is_late else max(1.0, self._stretch * SHRINKS_BY)
        if is_late:
            if admitted > self._least or not self.is_open:
                self._fill(now)
                self.rate = max(self._least, FALLS_TO * min(self.rate, max(admitted, self._least)))
        elif not self.is_open:
            self._fill(now)
            self.rate = min(MOST, self.rate * GROWS_BY)

    def _is_too_much(self, now: float) -> bool:
        """Whether those let in since the last look make the loop late: they have already, or what they cost will."""
        if self._admitted <= LEAST:
            return False
        return now - self._looked_at > LOOKS + self.bound or self._admitted * EACH > 2 * self.bound

    def _slow_down(self, now: float) -> None:
        elapsed = max(LOOKS, now - self._looked_at)
        self.rate = max(self._least, FALLS_TO * min(self.rate, self._admitted / elapsed))
        self._tokens, self._filled_at = 0.0, now

    def _fill(self, now: float) -> None:
        most = max(LEAST * LOOKS, self.rate * AT_ONCE)
        self._tokens = min(most, self._tokens + (now - self._filled_at) * self.rate)
        self._filled_at = now

    def _moment(self, now: float) -> float:
        """Seconds until the next free moment, which is taken."""
        self._next_free = max(self._next_free, now + SOONEST) + 1 / (self.rate * SHARE_OF_QUEUE)
        return min(LATEST, self._next_free - now)
