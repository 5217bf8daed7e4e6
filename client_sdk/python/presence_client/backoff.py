"""How long to wait before the next try. Pure: chance comes in as an argument.

Full jitter (anything from 0 up to a ceiling that doubles), since thousands of clients lose a server at the same
moment and must not come back at the same one.
"""

from typing import Final, NamedTuple

MAX_RETRY_AFTER: Final = 300.0
"""Seconds of Retry-After that are believed; a mistyped header must not keep a client away for a day."""


class Backoff(NamedTuple):
    """`base`: the ceiling of the first wait, in seconds; `cap`: the ceiling of all."""

    base: float = 1.0
    cap: float = 30.0

    def ceiling(self, attempt: int) -> float:
        """Seconds that try number `attempt` (0, 1, ...) waits at most."""
        return float(min(self.cap, self.base * 2 ** min(attempt, 30)))

    def delay(self, attempt: int, chance: float, retry_after: float | None = None) -> float:
        """Seconds to wait before try number `attempt`. `chance`: from 0 up to 1.

        `retry_after`, in seconds, is what a server asked for at least; the jitter comes on top.
        """
        least = 0.0 if retry_after is None else min(max(retry_after, 0.0), MAX_RETRY_AFTER)
        return least + chance * self.ceiling(attempt)
