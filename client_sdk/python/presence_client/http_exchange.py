"""Requests and their answers as values, for a connection that is made of HTTP requests.

Whoever makes the requests (`http_link`) knows `Call`, `Cancel` and `HttpAnswer`. What an answer means to the connection
is said here as well, since it does not depend on what was asked for.
"""

from collections.abc import Iterable
from typing import Any, Final, NamedTuple

import msgspec

from presence_client.answers import other_ids
from presence_client.attempts import End
from presence_protocol.close_codes import CloseCode
from presence_protocol.messages import Detail, SetStatus, StatusEntry
from presence_protocol.user_ids import IdKind


class Call(NamedTuple):
    """Make this request. `path` is below the base path; `timeout` in seconds."""

    number: int
    method: str
    path: str
    body: dict[str, Any] | None
    timeout: float


class Cancel(NamedTuple):
    """Nobody is interested in that request's answer any more."""

    number: int


class HttpAnswer(NamedTuple):
    """What came of a request. `status` 0: nothing, `reason` says why. `data`: that of the envelope, or None.

    `was_reached` is False when not even TCP came about. `retry_after`: seconds, if the server said so. `epoch`: the
    server's time in seconds since 1970, as its `Date` has it; None where there is none.
    """

    status: int
    data: Any = None
    reason: str = ""
    retry_after: float | None = None
    was_reached: bool = True
    epoch: int | None = None


class PolledChanges(msgspec.Struct, rename="camel"):
    """The data of an answer of `/changes`."""

    changes: list[StatusEntry]
    cursor: str
    resumed: bool


def status_body(message: SetStatus) -> dict[str, Any]:
    """What is said of the user, as the body of a request: what is left out stays as it is."""
    body: dict[str, Any] = msgspec.to_builtins(message)
    return {name: value for name, value in body.items() if name not in ("type", "id")}


CODES: Final = {
    400: CloseCode.MALFORMED,
    401: CloseCode.UNAUTHENTICATED,
    403: CloseCode.FORBIDDEN,
    429: CloseCode.TOO_FAST,
    503: CloseCode.UNAVAILABLE,
}
"""By HTTP status: the close code that says the same over a WebSocket."""

GONE: Final = ("device_not_online", "device_replaced", "device_ended")
"""What a heartbeat is answered of a device that is not there."""

ENDINGS: Final = {
    "device_replaced": CloseCode.REPLACED,
    "device_ended": CloseCode.ENDED,
    "too_many_devices": CloseCode.TOO_MANY_DEVICES,
}
"""By stable code: the close code that tells a WebSocket the same, and that it must not come back by itself."""


def error_of(answer: HttpAnswer) -> str:
    """The stable code in the envelope of a refusal."""
    error = answer.data.get("error") if isinstance(answer.data, dict) else None
    return error if isinstance(error, str) else "unavailable" if answer.status >= 500 else "refused"


def details_of(answer: HttpAnswer) -> list[Detail]:
    raw: Iterable[Any] = answer.data.get("details", ()) if isinstance(answer.data, dict) else ()
    try:
        return msgspec.convert(raw, list[Detail])
    except msgspec.ValidationError:
        return []


def end_of(answer: HttpAnswer) -> End:
    """How a connection ends whose own request failed."""
    code = CODES.get(answer.status, CloseCode.ABNORMAL)
    reason = answer.reason
    if code == CloseCode.MALFORMED and (details := details_of(answer)):
        reason = f"{details[0].field}: {details[0].reason}"
    elif code == CloseCode.ABNORMAL and answer.status:
        reason = f"HTTP {answer.status} {answer.reason}".rstrip()
    return End(code, reason, answer.retry_after, answer.was_reached, answer.status)


def end_of_strange(answer: HttpAnswer, ids: IdKind) -> End:
    """How a connection ends that was answered 200, and not as a server of these `ids` answers."""
    if reason := other_ids(answer.data, ids):
        return End(CloseCode.MALFORMED, reason)
    return End(CloseCode.ABNORMAL, "an answer, but not as a presence server answers")
