"""What can be wrong with what a peer sent.

ProtocolError
+-- MalformedMessage     the frame cannot be decoded into a message: the connection ends with 4400
+-- OutOfTurn            the message is known but not allowed in this state of the session: 4400
|   +-- Refused          the same, but mild enough to be answered with `error`: the session goes on
+-- InvalidMessage       the message was read but something in it is wrong: answered with `error`
"""

from typing import NamedTuple


class FieldError(NamedTuple):
    """One wrong field: its path, such as `userIds[3]`, and the reason, in words for its sender."""

    field: str
    reason: str


class ProtocolError(Exception):
    """The peer did something that the protocol does not allow."""


class MalformedMessage(ProtocolError):
    """Bytes that are not one message: not JSON or msgpack, or not a map."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class OutOfTurn(ProtocolError):
    """A message that the session's present state does not allow."""

    def __init__(self, event: str, state: str) -> None:
        super().__init__(f"{event} is not allowed while the session is {state}")
        self.event = event
        self.state = state


class Refused(OutOfTurn):
    """A message out of turn that does no harm. `error` is the stable code for the answer."""

    def __init__(self, event: str, state: str, error: str) -> None:
        super().__init__(event, state)
        self.error = error


class InvalidMessage(ProtocolError):
    """A map that is not a valid message.

    `id` is the message's own where it could be read, else None. `error` is the stable code for the answer.
    """

    def __init__(self, error: str, details: list[FieldError], id: int | None = None) -> None:
        super().__init__(error, details, id)
        self.error = error
        self.details = details
        self.id = id

    def __str__(self) -> str:
        return "; ".join(f"{field}: {reason}" for field, reason in self.details) or self.error
