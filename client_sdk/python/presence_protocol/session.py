"""The session's states and events: one table, without I/O, that serves both roles.

An event is the `type` of a message, `close` (a close frame was sent or received) or `lost` (the transport ended).
Each message type belongs to one direction, so the event alone says who caused it, and one table cannot let server
and client disagree. (h11 is the precedent, and also for drawing the documentation's diagram from the table.)

The table holds what a sender may do. What a sender may not do, yet a receiver has to live with, is marked:

REFUSED   the receiver stays where it is and answers with an `error`
IGNORED   the receiver stays where it is and drops the message: it was under way when the closing began

Whatever is not in the table is out of turn, and ends the connection with 4400. A `type` that nobody knows never
gets here: the codec answers it.

A server keeps nothing but the `State` of each connection, and calls `advance`; `Session` is the same for those who
would rather keep an object.
"""

from enum import Enum, IntEnum
from types import MappingProxyType
from typing import Final, NoReturn, get_args

from presence_protocol.errors import OutOfTurn, Refused
from presence_protocol.messages import AnyClientMessage, AnyServerMessage


class Role(IntEnum):
    """Which end of the connection one is."""

    CLIENT = 0
    SERVER = 1


class State(IntEnum):
    """Where a session is. Greater is later: a session never goes back."""

    OPEN = 0  # connected, no hello yet
    GREETED = 1  # hello went by, no welcome yet
    LIVE = 2
    CLOSING = 3  # a close frame or bye went by
    CLOSED = 4  # the transport ended


class Mark(Enum):
    """What a receiver does with a message that its sender was not allowed to send."""

    REFUSED = "refused"
    IGNORED = "ignored"


class _Events(dict[type, str]):
    """By class of message. A class that is a variant of another (see `variants`) is looked up once."""

    def __missing__(self, message: type) -> str:
        event = self[message] = self[message.__base__]  # type: ignore[index]
        return event


def _events(messages: object) -> _Events:
    return _Events({message: message.__struct_config__.tag for message in get_args(messages)})


_EVENT_OF: Final = _Events(_events(AnyClientMessage) | _events(AnyServerMessage))

CLIENT_EVENTS: Final = frozenset(_events(AnyClientMessage).values())
"""Events that only a client causes."""

SERVER_EVENTS: Final = frozenset(_events(AnyServerMessage).values())
"""Events that only a server causes."""

CLOSE: Final = "close"
LOST: Final = "lost"

REFUSALS: Final = MappingProxyType({"hello": "already_greeted"})
"""The stable error code that answers a REFUSED event."""

_END: Final[dict[str, State | Mark]] = {CLOSE: State.CLOSING, LOST: State.CLOSED}


def _all(events: frozenset[str] | set[str], then: State | Mark) -> dict[str, State | Mark]:
    return dict.fromkeys(sorted(events), then)


TABLE: Final[dict[State, dict[str, State | Mark]]] = {
    # A server that lets nobody in now says so, and when to come back, before it closes.
    State.OPEN: {"hello": State.GREETED, "error": State.OPEN, **_END},
    State.GREETED: {
        # A client may go on talking before it is welcomed.
        **_all(CLIENT_EVENTS, State.GREETED),
        "hello": Mark.REFUSED,
        "bye": State.CLOSING,
        "error": State.GREETED,
        "welcome": State.LIVE,
        **_END,
    },
    State.LIVE: {
        **_all(CLIENT_EVENTS | SERVER_EVENTS - {"welcome"}, State.LIVE),
        "hello": Mark.REFUSED,
        "bye": State.CLOSING,
        **_END,
    },
    State.CLOSING: {**_all(CLIENT_EVENTS | SERVER_EVENTS, Mark.IGNORED), **_END},
    # Closing what is closed already happens when both ends let go at once.
    State.CLOSED: {CLOSE: State.CLOSED, LOST: State.CLOSED},
}


def _next_states(role: Role) -> tuple[dict[str, State], ...]:
    """The table as `role` sees it: by state, then by event; without what it has to refuse or may not send."""
    received = SERVER_EVENTS if role is Role.CLIENT else CLIENT_EVENTS
    return tuple(
        {
            event: state if then is Mark.IGNORED else State(then)
            for event, then in TABLE[state].items()
            if isinstance(then, State) or (then is Mark.IGNORED and event in received)
        }
        for state in State
    )


_NEXT: Final = (_next_states(Role.CLIENT), _next_states(Role.SERVER))


def advance(role: Role, state: State, event: str) -> State:
    """The state after `event`, seen from `role`: its own messages are sent, the other's are received.

    A message that is received while CLOSING leaves the state as it is, and is to be dropped.

    Raises:
        Refused: received, but to be answered with an error; the state stays.
        OutOfTurn: received: close with 4400. Sent: a bug of ours; nothing may be sent.
    """
    try:
        return _NEXT[role][state][event]
    except KeyError:
        _refuse(role, state, event)


def _refuse(role: Role, state: State, event: str) -> NoReturn:
    received = CLIENT_EVENTS if role is Role.SERVER else SERVER_EVENTS
    if event in received and TABLE[state].get(event) is Mark.REFUSED:
        raise Refused(event, state.name, REFUSALS[event])
    raise OutOfTurn(event, state.name)


def event_of(message: AnyClientMessage | AnyServerMessage) -> str:
    """The event that `message` is: its `type` on the wire."""
    return _EVENT_OF[type(message)]


class Session:
    """One end of one connection.

    >>> session = Session(Role.CLIENT)
    >>> session.send("hello")
    >>> session.receive("welcome")
    True
    >>> session
    <Session CLIENT LIVE>
    """

    __slots__ = ("role", "state")

    def __init__(self, role: Role) -> None:
        self.role = role
        self.state = State.OPEN

    def __repr__(self) -> str:
        return f"<Session {self.role.name} {self.state.name}>"

    def send(self, event: str) -> None:
        """Account for what is about to be sent.

        Raises:
            OutOfTurn: it must not be sent now, or never by this role.
        """
        if event == LOST or event in (CLIENT_EVENTS if self.role is Role.SERVER else SERVER_EVENTS):
            raise OutOfTurn(event, self.state.name)
        self.state = advance(self.role, self.state, event)

    def receive(self, event: str) -> bool:
        """Account for what was received: True if it is to be acted on, False if it came too late and is dropped.

        Raises:
            Refused: answer it with an `error`; the session goes on.
            OutOfTurn: close the connection with 4400.
        """
        if event in (CLIENT_EVENTS if self.role is Role.CLIENT else SERVER_EVENTS):
            raise OutOfTurn(event, self.state.name)
        mark = TABLE[self.state].get(event)
        self.state = advance(self.role, self.state, event)
        return mark is not Mark.IGNORED


def mermaid() -> str:
    """The table as a Mermaid state diagram, for `docs/protocol.md`."""
    lines = ["stateDiagram-v2", "    [*] --> OPEN"]
    for state, row in TABLE.items():
        edges: dict[tuple[State, str], list[str]] = {}
        for event, then in row.items():
            next_state = then if isinstance(then, State) else state
            edges.setdefault((next_state, _label(event, then)), []).append(event)
        for (next_state, label), events in edges.items():
            lines.append(f"    {state.name} --> {next_state.name} : {label.format(', '.join(events))}")
    return "\n".join([*lines, "    CLOSED --> [*]"])


def _label(event: str, then: State | Mark) -> str:
    """What to write beside an edge. Without a colon, at which Mermaid would end it."""
    if then is Mark.IGNORED:
        return "any message received is ignored"
    if then is Mark.REFUSED:
        return "client sends {}, answered with an error"
    if event in CLIENT_EVENTS:
        return "client sends {}"
    return "server sends {}" if event in SERVER_EVENTS else "{}"
