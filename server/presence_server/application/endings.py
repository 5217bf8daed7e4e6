"""Why the server ends a session: the close code, and the reason in words."""

from typing import Final

from presence_protocol.close_codes import CloseCode
from presence_server.application.liveness import LinkFailure
from presence_server.domain.causes import Cause

LOSS_CODES: Final = {
    Cause.REPLACED: (CloseCode.REPLACED, "replaced by a newer connection of this device"),
    Cause.ENDED_BY_BACKEND: (CloseCode.ENDED, "ended by the back end"),
    Cause.TOO_MANY_DEVICES: (CloseCode.TOO_MANY_DEVICES, "too many devices"),
}
"""For a connection that lost its device to something else than its own end."""

LEAVING_CAUSES: Final[dict[int, Cause]] = {
    CloseCode.FORBIDDEN: Cause.NOT_ALLOWED,
    CloseCode.ENDED: Cause.ENDED_BY_BACKEND,
}
"""Why a device ends with its connection, by the close code; any other that ends one is a goodbye."""

FAILURE_CODES: Final = {
    LinkFailure.HELLO_TIMEOUT: (CloseCode.HELLO_TIMEOUT, "no hello in time"),
    LinkFailure.TOO_SLOW: (CloseCode.TOO_SLOW, "too slow to read what is sent"),
}
"""For a connection that the wheel found wanting; one that is dead is dropped without a word."""

FAILURE_LIMITS: Final = {LinkFailure.HELLO_TIMEOUT: "hello_timeout", LinkFailure.TOO_SLOW: "max_lag"}
"""The settings whose limit it was."""

DEAD_REASON: Final = "a ping was not answered"
"""Of one that is dropped without a word: only the log tells it."""
