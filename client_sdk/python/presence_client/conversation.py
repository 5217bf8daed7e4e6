"""One connection, as the client sees it: what was asked on it and not answered yet, and whether it is alive.

It is the client's role of the session in `presence_protocol`, for one connection from the wish for it to its end.
It decides nothing about others: which connection is the client's, and whether there is a next one, is the core's.
Pure: time comes in as an argument, in seconds of any clock that only goes forward.
"""

from collections.abc import Iterable
from enum import Enum
from typing import Final, NamedTuple

from presence_client.values import Level
from presence_protocol.fields import parse_time
from presence_protocol.messages import (
    AnyClientMessage,
    AnyServerMessage,
    Error,
    Limits,
    Ping,
    Snapshot,
    StatusEntry,
    Statuses,
    Watch,
    Welcome,
)
from presence_protocol.session import Role, Session, State, event_of
from presence_protocol.user_ids import UserId
from presence_protocol.view import View

TOKEN_TIMEOUT: Final = 30.0
"""Seconds that a token is waited for."""

WELCOME_TIMEOUT: Final = 15.0
"""Seconds from the wish to connect to the welcome: TCP, TLS, upgrade and a look-up of whom hello watches."""

RETIRE_TIMEOUT: Final = 5.0
"""Seconds that a connection which was replaced, or was told bye, may take for the replies that it still owes."""

PING_SLACK: Final = 1.0
"""Seconds beyond `pingInterval` before the client asks: the server's own ping may be that much late."""

STALL: Final = 1.0
"""Seconds; a timer that is later tells of a paused machine, whose sockets have yet to be read. It is believed once:
where timers are always late, a dead link must be found all the same."""


class Kind(Enum):
    """What a connection runs over."""

    WEBSOCKET = "websocket"
    REST = "rest"


class Asked(NamedTuple):
    """A request under way: the tickets of those who wait for it, and what was sent."""

    tickets: tuple[int, ...]
    message: AnyClientMessage


class Verdict(Enum):
    """What a connection's timer says."""

    FINE = "fine"
    ASK = "ask"  # send a ping
    TOO_LATE = "too late"  # the connection is to be given up


class Conversation:
    """A connection, numbered by the core. `view` is None until hello; `hello_ids` are whom hello watched.

    `said_idle`: what hello said of idleness, and since when it is so; `told` are the tickets of those who wait for it
    to be said.
    """

    def __init__(self, number: int, kind: Kind, now: float) -> None:
        self.number = number
        self.kind = kind
        self.session = Session(Role.CLIENT)
        self.view: View | None = None
        self.hello_ids: list[UserId] = []
        self.said_idle: Level | None = None
        self.told: set[int] = set()
        self.welcome: Welcome | None = None
        self.welcomed_at = 0.0
        self.has_token = False
        self.is_retiring = self.is_leaving = self.is_to_move = False
        self.retry_after: float | None = None
        """Seconds after which to come back or ask again, as the server's last message said; None: it was no refusal."""
        self.is_renewing = False
        """A new token is on its way, since the one there is ends soon."""
        self.asked: dict[int, Asked] = {}
        self._told: dict[int, list[StatusEntry]] = {}
        """What the parts of an answer to a query say so far, by its id."""
        self.due = now + TOKEN_TIMEOUT
        """When its timer is to be looked at: see `check`."""
        self._last_id = 0
        self._heard_at = now
        self._pings = 0  # since anything was heard

    def __repr__(self) -> str:
        return f"<Conversation {self.number} {self.kind.value} {self.session.state.name}>"

    @property
    def is_live(self) -> bool:
        return self.session.state is State.LIVE

    def connecting(self, now: float) -> None:
        """The token is there: from now on the peer is waited for."""
        self.has_token = True
        self.due = now + WELCOME_TIMEOUT

    def send(self, message: AnyClientMessage) -> AnyClientMessage:
        """Account for `message`, and give it back."""
        self.session.send(event_of(message))
        return message

    @property
    def is_greeted(self) -> bool:
        """Whether hello went by, and no welcome yet."""
        return self.session.state is State.GREETED

    def ask(self, message: AnyClientMessage, *tickets: int) -> AnyClientMessage:
        """Give `message` the next id, and remember who waits for its reply."""
        message.id = self.next_id
        self._last_id += 1
        self.asked[message.id] = Asked(tickets, message)
        return self.send(message)

    @property
    def next_id(self) -> int:
        """The id of the next request: 1, 2, ... on each connection."""
        return self._last_id + 1

    def forget(self, ticket: int) -> bool:
        """Nobody waits for this ticket any more. Returns whether a reply to it was awaited here."""
        was_asked = False
        for id, asked in self.asked.items():
            if ticket in asked.tickets:
                was_asked = True
                self.asked[id] = Asked(tuple(each for each in asked.tickets if each != ticket), asked.message)
        return was_asked

    def epoch_at(self, time: float) -> float | None:
        """What the server's clock says at `time`, in seconds since 1970; None: it has not told."""
        told = None if self.welcome is None else parse_time(self.welcome.server_time)
        return None if told is None else told + time - self.welcomed_at

    def heard(self, now: float) -> None:
        """Something came: a message, or a frame that is none."""
        self._heard_at = now
        if self.welcome is not None and not self.is_retiring:
            self._pings = 0
            self.due = now + self._seconds(self.welcome.limits.ping_interval) + PING_SLACK

    def receive(self, message: AnyServerMessage, now: float) -> Asked | None:
        """Account for what came. Returns the request that it answers, if it completes one.

        Raises:
            OutOfTurn: the server does not keep to the protocol.
        """
        self.session.receive(event_of(message))
        told = message.retry_after_ms if isinstance(message, Error) else None
        self.retry_after = None if told is None else max(told, 0) / 1000
        if isinstance(message, Welcome):
            self.welcome, self.welcomed_at = message, now
        self.heard(now)
        if message.id is None or (isinstance(message, Snapshot) and message.more):
            return None
        parts = self._told.pop(message.id, None)
        if isinstance(message, Statuses) and message.id in self.asked:
            # An answer in parts counts as one: the last has what all of them say.
            message.statuses = [*(parts or ()), *message.statuses]
            if message.more:
                self._told[message.id] = message.statuses
                return None
        return self.asked.pop(message.id, None)

    def retire(self, now: float) -> None:
        """Another connection took over. Watches that this one was asked are the other's from now on."""
        self.is_retiring = True
        self.asked = {id: asked for id, asked in self.asked.items() if not isinstance(asked.message, Watch)}
        self.due = now + RETIRE_TIMEOUT

    def leave(self, now: float) -> bool:
        """The client leaves. Returns whether somebody still waits for a reply; watches end with the client."""
        self.asked = {
            id: asked for id, asked in self.asked.items() if asked.tickets and not isinstance(asked.message, Watch)
        }
        self.is_retiring = self.is_leaving = True
        self.due = now + RETIRE_TIMEOUT
        return bool(self.asked)

    def check(self, now: float) -> Verdict:
        """Look at the timer. `ASK` counts as asked: the timer then waits for the answer."""
        late = now - self.due
        if late < 0:
            return Verdict.FINE
        if self.welcome is None or self.is_retiring:
            return Verdict.TOO_LATE
        if self._pings and (late < STALL or self._pings > 1):
            return Verdict.TOO_LATE
        self._pings += 1
        self.due = now + self._seconds(self.welcome.limits.pong_timeout)
        return Verdict.ASK

    def ping(self) -> AnyClientMessage:
        return self.send(Ping())

    @property
    def limits(self) -> Limits | None:
        return None if self.welcome is None else self.welcome.limits

    def take_asked(self) -> Iterable[Asked]:
        """Whatever will not be answered any more."""
        asked, self.asked = list(self.asked.values()), {}
        return asked

    @staticmethod
    def _seconds(milliseconds: int) -> float:
        return max(milliseconds, 0) / 1000
