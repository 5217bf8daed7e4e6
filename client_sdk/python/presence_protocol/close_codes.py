"""Why a connection ended, and what its client should do about it.

The code's range says it (the idea is Centrifugo's): 4400-4499 do not come back unchanged, 4500-4599 and the
transport's own 1001, 1005, 1006, 1011-1015 come back with backoff. 4401 may be tried once more with a new token.

1006, 1014 and 1015 come over no wire: a client's own side makes them, of a link that dropped, a gateway that failed and
a TLS handshake that did.
"""

from enum import Enum, IntEnum


class CloseCode(IntEnum):
    """Close codes that either side sends or observes (RFC 6455 section 7.4, and the private 4000 range)."""

    NORMAL = 1000
    GOING_AWAY = 1001
    NO_STATUS = 1005
    ABNORMAL = 1006
    INVALID_PAYLOAD = 1007
    TOO_BIG = 1009
    INTERNAL_ERROR = 1011
    SERVICE_RESTART = 1012
    MALFORMED = 4400
    UNAUTHENTICATED = 4401
    FORBIDDEN = 4403
    REPLACED = 4409
    ENDED = 4410
    TOO_MANY_DEVICES = 4411
    TOO_LARGE = 4413
    UNAVAILABLE = 4503
    HELLO_TIMEOUT = 4504
    TOO_SLOW = 4508
    TOO_FAST = 4529


class Advice(Enum):
    """What a client does after a close."""

    RECONNECT = "reconnect"  # with backoff
    RENEW = "renew"  # ask for a new token, then try once
    STOP = "stop"  # do not come back unchanged


def advice(code: int) -> Advice:
    """What a client should do after `code`; codes that nobody defined stop, as 4400-4499 do."""
    if code == CloseCode.UNAUTHENTICATED:
        return Advice.RENEW
    if code in (1001, 1005, 1006) or 1011 <= code <= 1015 or 4500 <= code <= 4599:
        return Advice.RECONNECT
    return Advice.STOP


def ends_device(code: int) -> bool:
    """Whether a close received with `code` is the device's deliberate end, with no grace period.

    1005 stands for a close frame that was received without a code; a link that dropped without a frame is 1006.
    """
    return code in (
        CloseCode.NORMAL,
        CloseCode.NO_STATUS,
        CloseCode.FORBIDDEN,
        CloseCode.ENDED,
    )
