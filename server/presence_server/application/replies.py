"""What whoever answers a session needs for it: to say something, and to end it. The hub is that."""

from __future__ import annotations

from typing import Protocol

from presence_protocol.close_codes import CloseCode
from presence_protocol.messages import AnyServerMessage
from presence_server.application.sessions import Session


class Replies(Protocol):
    """Both go into the turn."""

    def send(self, session: Session, message: AnyServerMessage) -> None:
        """Say it, unless the session is over."""
        ...

    def close(self, session: Session, code: CloseCode, reason: str, now: float) -> None:
        """Our own close: the session is over now, whatever its peer still sends."""
        ...
