"""One-time tickets: what a browser may put into a URL, since it cannot set headers on a WebSocket.

URLs end up in logs, histories and referrers. A ticket that did is worth nothing: it was used, or it is 30 seconds old.
"""

from __future__ import annotations

from collections.abc import Callable, Set
from typing import Final

from presence_server.application.principals import Principal

TICKET_LIFE: Final = 30.0
"""Seconds that a ticket may be used in."""

MAX_TICKETS: Final = 100_000
"""Tickets that wait to be used; the oldest goes first. At 200 bytes each: 20 MB."""


class Tickets:
    def __init__(self, random_token: Callable[[], str]) -> None:
        """`random_token` gives text that nobody can guess, such as `secrets.token_urlsafe`."""
        self._random_token = random_token
        self._waiting: dict[str, tuple[Principal, float]] = {}

    def issue(self, principal: Principal, now: float) -> str:
        """A new ticket for `principal`. `now` is monotonic, in seconds."""
        self._drop_old(now)
        if len(self._waiting) >= MAX_TICKETS:
            del self._waiting[next(iter(self._waiting))]
        ticket = self._random_token()
        self._waiting[ticket] = principal, now + TICKET_LIFE
        return ticket

    def redeem(self, ticket: str, now: float) -> Principal | None:
        """Whom the ticket was given to, once. None: it is unknown, was used, or is too old."""
        found = self._waiting.pop(ticket, None)
        if found is None or found[1] <= now:
            return None
        return found[0]

    def forget(self, gone: Set[Principal]) -> None:
        """The keys of these are no longer good, and so are tickets that were given for them."""
        self._waiting = {ticket: given for ticket, given in self._waiting.items() if given[0] not in gone}

    def _drop_old(self, now: float) -> None:
        """They are in the order of their ends, since all live equally long."""
        while self._waiting:
            ticket, (_, ends) = next(iter(self._waiting.items()))
            if ends > now:
                return
            del self._waiting[ticket]

    def __len__(self) -> int:
        return len(self._waiting)
