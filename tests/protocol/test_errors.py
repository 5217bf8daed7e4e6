"""What an error tells the one who reads it."""

import pytest

from presence_protocol.errors import (
    FieldError,
    InvalidMessage,
    MalformedMessage,
    OutOfTurn,
    ProtocolError,
    Refused,
)


def test_out_of_turn_names_event_and_state() -> None:
    error = OutOfTurn("watch", "OPEN")
    assert str(error) == "watch is not allowed while the session is OPEN"
    assert (error.event, error.state) == ("watch", "OPEN")


def test_refused_is_the_mild_kind_of_out_of_turn() -> None:
    error = Refused("hello", "LIVE", "already_greeted")
    assert isinstance(error, OutOfTurn)
    assert error.error == "already_greeted"
    assert str(error) == "hello is not allowed while the session is LIVE"


def test_malformed_gives_its_reason() -> None:
    error = MalformedMessage("not json: truncated")
    assert str(error) == error.reason == "not json: truncated"


def test_invalid_lists_every_field() -> None:
    error = InvalidMessage("invalid_request", [FieldError("userId", "is required"), FieldError("idle", "is odd")], 3)
    assert str(error) == "userId: is required; idle: is odd"
    assert (error.error, error.id) == ("invalid_request", 3)


def test_invalid_without_details_still_says_something() -> None:
    assert str(InvalidMessage("unknown_type", [])) == "unknown_type"


@pytest.mark.parametrize(
    "error", [MalformedMessage("x"), OutOfTurn("x", "LIVE"), Refused("x", "LIVE", "y"), InvalidMessage("x", [])]
)
def test_one_except_clause_catches_them_all(error: Exception) -> None:
    assert isinstance(error, ProtocolError)
