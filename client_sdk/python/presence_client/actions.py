"""What the core asks of whoever runs it, and what it tells.

The core is told events by method calls, and puts these into a list: see `presence_client.core`. Links are numbered;
a number is used once. Of a link that was given up (`Close`) the core wants to hear nothing more, and ignores it.
"""

from enum import Enum
from typing import Final, NamedTuple

from presence_client.changes import Change
from presence_client.conversation import Kind
from presence_client.errors import PresenceError
from presence_protocol.close_codes import CloseCode
from presence_protocol.messages import AnyClientMessage, AnyServerMessage, SelfView


class Phase(Enum):
    """Where a client is, in the words of a UI."""

    CONNECTING = "connecting"
    ONLINE = "online"
    WAITING = "waiting"  # until the next try
    CLOSED = "closed"  # for good


class Problem(Enum):
    """What an application can tell its user of a connection that ended."""

    SIGNED_OUT = "signed_out"  # 4401: a new token is needed
    FORBIDDEN = "forbidden"  # 4403: the token does not allow it
    REPLACED = "replaced"  # 4409: by a newer connection of this device
    ENDED = "ended"  # 4410: the device was ended elsewhere
    TOO_MANY_DEVICES = "too_many_devices"  # 4411
    UNAVAILABLE = "unavailable"  # 4503: it comes back by itself
    TOO_FAST = "too_fast"  # 4529: it asked for too much, and comes back by itself


PROBLEMS: Final[dict[int, Problem]] = {
    CloseCode.UNAUTHENTICATED: Problem.SIGNED_OUT,
    CloseCode.FORBIDDEN: Problem.FORBIDDEN,
    CloseCode.REPLACED: Problem.REPLACED,
    CloseCode.ENDED: Problem.ENDED,
    CloseCode.TOO_MANY_DEVICES: Problem.TOO_MANY_DEVICES,
    CloseCode.UNAVAILABLE: Problem.UNAVAILABLE,
    CloseCode.TOO_FAST: Problem.TOO_FAST,
}
"""By close code."""


class ConnectionState(NamedTuple):
    """The state of the connection, for a UI.

    `kind`: what it runs over, None while there is none. `retry_in`: WAITING, seconds from this state's beginning to
    the next try. `code`, `reason`: how the last connection ended, or why there was none; 0 and empty at first.
    `http_status`: of the answer that refused the last one; 0 where there was none.
    """

    phase: Phase
    kind: Kind | None = None
    retry_in: float | None = None
    code: int = 0
    reason: str = ""
    http_status: int = 0

    @property
    def problem(self) -> Problem | None:
        """Why there is no connection, for a person; None while ONLINE, and if there is nothing more to say."""
        return None if self.phase is Phase.ONLINE else PROBLEMS.get(self.code)


# -- what is to be done ----------------------------------------------------------------------------------------------


class AskToken(NamedTuple):
    """Get a token for this link, which may be live already, then tell `token` or `token_failed`."""

    link: int


class Open(NamedTuple):
    """Connect; then tell `opened`, or `lost`. Over WebSocket the token goes into hello and is not needed here."""

    link: int
    kind: Kind
    token: str | None


class Send(NamedTuple):
    link: int
    message: AnyClientMessage


class Close(NamedTuple):
    """Close the link with this code; 1006: drop it; 1000: the server closes it, in answer to a bye."""

    link: int
    code: int
    reason: str


# -- what is told ----------------------------------------------------------------------------------------------------


class Settled(NamedTuple):
    """A request is done: its reply (None where there is none to show), or its error."""

    ticket: int
    reply: AnyServerMessage | None
    error: PresenceError | None = None


class Changed(NamedTuple):
    changes: list[Change]


class Became(NamedTuple):
    state: ConnectionState


class SelfTold(NamedTuple):
    self_view: SelfView


Action = AskToken | Open | Send | Close | Settled | Changed | Became | SelfTold
