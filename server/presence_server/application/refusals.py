"""The `error` messages that the application answers with."""

from typing import Final

from presence_protocol.errors import FieldError, InvalidMessage
from presence_protocol.messages import Detail, Error
from presence_server.application.allowances import TooMuch
from presence_server.application.principals import Denied

ERRORS_OF_DENIED: Final = {401: "unauthenticated", 403: "forbidden", 503: "unavailable"}

ERRORS_OF_LIMITS: Final = {429: "too_many_requests", 503: "unavailable"}


def invalid(failure: InvalidMessage) -> Error:
    """For a message of which something is wrong."""
    return _error(400, failure.error, str(failure), failure.details, failure.id)


def refusal(code: int, error: str, field: str, reason: str, id: int | None) -> Error:
    """For a message of which one field asks for what cannot be."""
    return _error(code, error, f"{field}: {reason}", [FieldError(field, reason)], id)


def unavailable(id: int | None) -> Error:
    """For what cannot be answered now, and may be later."""
    return Error(id=id, code=503, error="unavailable", message="not available now; try again later")


def too_much(over: TooMuch, id: int | None) -> Error:
    """For a message that is over a limit, and was not acted on: 429, or 503 if all together have too much."""
    error = refusal(over.code, ERRORS_OF_LIMITS[over.code], over.limit, over.reason, id)
    error.retry_after_ms = over.retry_after_ms
    return error


def denied(why: Denied, id: int | None) -> Error:
    """For a message that its sender may not send, or whose credentials are not taken."""
    return refusal(why.status, ERRORS_OF_DENIED[why.status], why.field, why.reason, id)


def replaced(reason: str) -> Error:
    """For a connection whose device has to give way to another of the user, and is closed with 4409 after it."""
    return Error(code=409, error="replaced", message=reason)


def _error(code: int, error: str, message: str, details: list[FieldError], id: int | None) -> Error:
    return Error(
        id=id,
        code=code,
        error=error,
        message=message,
        details=[Detail(field, reason) for field, reason in details],
    )
