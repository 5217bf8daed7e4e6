"""Who is told of each session's beginning and end."""

from __future__ import annotations

from typing import Protocol

from presence_server.application.sessions import Session


class Journal(Protocol):
    def began(self, session: Session, now: float) -> None:
        """It was welcomed."""

    def ended(self, session: Session, code: int, reason: str | None, now: float) -> None:
        """It is over, welcomed or not.

        `code`: as the client closed it (1005: without one), 1006 for a link that dropped, or as the server did.
        `reason`: why the server ended it; None if it did not.
        """


class NoJournal:
    def began(self, session: Session, now: float) -> None:
        """Nobody is told."""

    def ended(self, session: Session, code: int, reason: str | None, now: float) -> None:
        """Nobody is told."""
