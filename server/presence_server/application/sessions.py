"""One connection, as the hub sees it."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

from presence_protocol.codec import CODECS, Codec
from presence_protocol.messages import Unwatch, Watch
from presence_protocol.session import State
from presence_server.domain.model import UserKey

if TYPE_CHECKING:
    from presence_server.application.allowances import Purse
    from presence_server.application.clients import Client
    from presence_server.application.ports import Link, Peer
    from presence_server.application.principals import Principal


# An enum's member costs 50 ns to look up, ten times what a global does, and these are looked up with every message.
_GREETED: Final = State.GREETED
_CLOSING: Final = State.CLOSING
_NEVER: Final = float("-inf")


class Session:
    """A connection from its handshake to its end. Kept small: there is one for everybody who is online.

    `number` is unique in the deployment and serves as the holder of the device. `slot` stands for it in the interest
    index. A session that is `behind` gets no diffs and is not read from, until it was served what changed since
    `served`. It is so as well while it is answered piece by piece: `work` are answers that are still to be given, in
    their order, and `catching_up` is what is told of the meantime after them (see `slices`).
    """

    __slots__ = (
        "began",
        "behind",
        "blocked_since",
        "catching_up",
        "caught_up_at",
        "client",
        "codec_number",
        "device_id",
        "heard",
        "is_counted",
        "link",
        "lookup",
        "number",
        "peer",
        "pending",
        "pinged_at",
        "platform",
        "principal",
        "purse",
        "self_due",
        "served",
        "session_number",
        "sign_of_life",
        "slot",
        "state",
        "user_id",
        "viewer",
        "work",
    )

    def __init__(self, number: int, slot: int, codec_number: int, link: Link, peer: Peer, now: float) -> None:
        self.number = number
        self.slot = slot
        self.codec_number = codec_number
        self.link = link
        self.peer = peer
        self.principal: Principal | None = None  # until it has said hello
        self.is_counted = False  # among the connections of its purse
        self.purse: Purse | None = None  # what it pays from; None: it is held to no limit
        self.state = State.OPEN
        self.user_id: UserKey = 0  # an observer's stays 0
        self.viewer: UserKey = 0  # through whose eyes it sees; 0: a service's, which see everybody
        self.device_id = ""
        self.platform = ""
        self.client: Client | None = None  # what SDK it is of, once it holds its device
        self.session_number = number
        self.began = now
        self.heard = now
        self.sign_of_life = now  # other than being heard: that it could be written to again
        self.pinged_at = 0.0  # 0: no ping is unanswered
        self.behind = False
        self.blocked_since = 0.0
        self.caught_up_at = _NEVER
        self.served = 0
        self.self_due = False
        self.work: deque[Iterator[None]] | None = None
        self.catching_up: Iterator[None] | None = None
        self.lookup: object | None = None  # the `Lookup` that its next watches wait for
        self.pending: deque[tuple[Watch | Unwatch, float]] | None = None  # and when each arrived

    @property
    def codec(self) -> Codec:
        return CODECS[self.codec_number]

    @property
    def is_over(self) -> bool:
        return self.state >= _CLOSING

    @property
    def must_wait(self) -> bool:
        """Whether nothing more is to be read from it for now: it is being greeted, or cannot be written to."""
        return self.behind or self.state is _GREETED

    @property
    def can_go_on(self) -> bool:
        """Whether the next piece of an answer may be made."""
        return (self.work is not None or self.catching_up is not None) and not self.blocked_since

    def write(self, frame: bytes) -> None:
        self.link.write(frame)

    def __repr__(self) -> str:
        whose = f"{self.user_id}/{self.device_id}" if self.user_id else "observer"
        return f"<Session {self.number} {whose} {self.state.name}{' behind' if self.behind else ''}>"
