"""What the client's loop needs of a link, whatever it runs over."""

from collections.abc import Callable
from typing import Protocol

from presence_client.attempts import End
from presence_client.conversation import Kind
from presence_protocol.messages import AnyClientMessage, AnyServerMessage


class Events(Protocol):
    """Where a link reports to."""

    def opened(self) -> None:
        """It is connected; hello may be sent."""

    def heard(self) -> None:
        """Something came that is no message."""

    def received(self, message: AnyServerMessage) -> None:
        """A message came."""


class Link(Protocol):
    """One connection. It is run once, in a task of its own; to cancel that task is to drop the connection."""

    async def run(self, events: Events) -> End:
        """Connect, report, and return how it ended. Nothing of it is left when it returns or raises."""

    def send(self, message: AnyClientMessage) -> None:
        """Send soon, in order. Never blocks; after the end it does nothing."""

    def close(self, code: int, reason: str) -> None:
        """Send what is still to be sent, then close with `code`; `run` returns when the other side agreed."""


LinkFactory = Callable[[Kind, str | None], Link]
"""Makes a link of this kind, which shows the token where its kind has a place for it."""
