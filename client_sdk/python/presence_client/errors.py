"""What can go wrong for whoever uses the SDK, and what to do about it.

PresenceError
+-- InvalidSetting        an argument or a variable cannot be right (a ValueError, too): nothing was sent
+-- UsageError            a call before start(), or from another thread or event loop (a RuntimeError, too)
+-- SignedOut             for token functions to raise: nobody is signed in, so the client stops
+-- NotConnected          there was no connection in time (a TimeoutError, too)
+-- RequestTimedOut       it was sent, and no reply came in time (a TimeoutError, too)
+-- ConnectionClosed      the connection ended before the reply, or the client stopped for good
+-- RequestFailed         the server answered with an error
+-- Unreachable           no HTTP answer: the server cannot be reached
+-- UnexpectedAnswer      an HTTP answer, but not one of a presence server

Arguments that cannot be right (a user id of 0, a text of 200 characters) are a ValueError, before anything is sent.
"""

from typing import Final

from presence_protocol.close_codes import Advice, CloseCode
from presence_protocol.messages import Detail

HINTS: Final = {
    CloseCode.MALFORMED: "the server did not understand this client, or a limit was exceeded; the reason says which",
    CloseCode.UNAUTHENTICATED: "pass a valid `token`, or a function that gets a new one",
    CloseCode.FORBIDDEN: "this token may not act for this user",
    CloseCode.REPLACED: "another device of the user took over, or one with this id: give each its own device_id",
    CloseCode.ENDED: "the back end ended this device; connect anew if the person comes back",
    CloseCode.TOO_MANY_DEVICES: "the user has too many devices: reuse device ids",
    CloseCode.TOO_LARGE: "a message was too large: watch or query fewer users at once",
    CloseCode.TOO_BIG: "a message was too large: watch or query fewer users at once",
}
"""By close code: what to do, where coming back unchanged would not help."""


class PresenceError(Exception):
    """Whatever the SDK raises, apart from a ValueError for wrong arguments."""


class InvalidSetting(PresenceError, ValueError):
    """An argument (`token`, `ssl`, ...) or a variable (`http_proxy`, ...) cannot be right. The text shows no secret.

    `name`: which one; empty where `reason`, which says what is wrong, names it.
    """

    def __init__(self, name: str, reason: str) -> None:
        super().__init__(name, reason)
        self.name = name
        self.reason = reason

    def __str__(self) -> str:
        return f"{self.name} {self.reason}".lstrip()


class UsageError(PresenceError, RuntimeError):
    """A call at the wrong time or from the wrong place; its text says what to do. Nothing was done or sent."""


class SignedOut(PresenceError):
    """For a token function to raise (or give None): nobody is signed in any more.

    The client says goodbye and stops: who waits gets `ConnectionClosed` with code 4401 and this `reason`.
    """

    def __init__(self, reason: str = "signed out") -> None:
        super().__init__(reason)
        self.reason = reason

    def __str__(self) -> str:
        return self.reason


class NotConnected(PresenceError, TimeoutError):
    """There was no connection within `seconds`. `reason`: why the last try failed, in words, or empty.

    `status`: of the HTTP answer that refused it, such as 404; None where there was none. `goes_on`: whether the client
    goes on trying; it does not where it was the start that failed.
    """

    def __init__(self, seconds: float, reason: str = "", status: int | None = None, *, goes_on: bool = True) -> None:
        super().__init__(seconds, reason, status)
        self.seconds = seconds
        self.reason = reason
        self.status = status
        self.goes_on = goes_on

    def __str__(self) -> str:
        why = f" (last try: {self.reason})" if self.reason else ""
        then = "is the server there, and its URL right?"
        if self.goes_on:
            then = "the client goes on trying: call again, or wait longer"
        return f"not connected within {self.seconds:g} s{why}; {then}"


class RequestTimedOut(PresenceError, TimeoutError):
    """The request was sent, and no reply came within `seconds`. Whether it was carried out is not known."""

    def __init__(self, seconds: float) -> None:
        super().__init__(seconds)
        self.seconds = seconds

    def __str__(self) -> str:
        return f"no reply within {self.seconds:g} s; it may have been carried out or not: ask again"


class ConnectionClosed(PresenceError):
    """The connection ended. `code` and `reason` of its close (1006: without one), and the code's `advice`.

    With the advice `reconnect` the client is coming back by itself, and only the request that raised this is lost.
    Otherwise the client has stopped for good. `was_sent`: the request was sent, and its reply never came: it may have
    been carried out. If False, it was not sent, and nothing was done.
    """

    def __init__(self, code: int, reason: str, advice: Advice, was_sent: bool = False) -> None:
        super().__init__(code, reason, advice, was_sent)
        self.code = code
        self.reason = reason
        self.advice = advice
        self.was_sent = was_sent

    def __str__(self) -> str:
        why = f": {self.reason}" if self.reason else ""
        if self.advice is Advice.RECONNECT:
            return f"the connection ended ({self.code}{why}) before the reply; it may have been carried out: ask again"
        sent = " before the reply; it may have been carried out" if self.was_sent else ""
        if self.code == CloseCode.NORMAL:
            return f"the client was closed{sent}; connect anew"
        hint = HINTS.get(self.code)  # type: ignore[call-overload]
        return f"the server closed for good ({self.code}{why}){sent}" + (f"; {hint}" if hint else "")


class RequestFailed(PresenceError):
    """The server answered with an error, and did nothing.

    `code` as HTTP has it (4xx would fail again unchanged, 5xx may be tried later), `error` a stable English code,
    `message` for people, `details` the wrong fields, `retry_after` the seconds to wait at least, or None.
    """

    def __init__(
        self, code: int, error: str, message: str, details: list[Detail] | None = None, retry_after: float | None = None
    ) -> None:
        super().__init__(code, error, message, details)
        self.code = code
        self.error = error
        self.message = message
        self.details = details or []
        self.retry_after = retry_after

    def __str__(self) -> str:
        reasons = "; ".join(f"{detail.field}: {detail.reason}" for detail in self.details) or self.message
        advice = "; try again later" if self.code >= 500 or self.code == 429 else ""
        return f"{self.code} {self.error}" + (f" ({reasons})" if reasons else "") + advice


class Unreachable(PresenceError):
    """No HTTP answer came from `url`; `reason` in words, such as `Connection refused`."""

    def __init__(self, url: str, reason: str) -> None:
        super().__init__(url, reason)
        self.url = url
        self.reason = reason

    def __str__(self) -> str:
        return f"cannot reach {self.url}: {self.reason}"


class UnexpectedAnswer(PresenceError):
    """`url` answered with HTTP `status`, but not as a presence server does. `phrase`: the status, or why, in words."""

    def __init__(self, url: str, status: int, phrase: str = "") -> None:
        super().__init__(url, status, phrase)
        self.url = url
        self.status = status
        self.phrase = phrase

    def __str__(self) -> str:
        if 300 <= self.status < 400:
            return f"{self.url} redirects: {self.status} {self.phrase}".rstrip()
        if self.status < 400:
            why = f": {self.phrase}" if self.phrase else ""
            return f"{self.url} answered, but not as a presence server does{why}"
        return f"{self.url} refused: {self.status} {self.phrase}".rstrip()
