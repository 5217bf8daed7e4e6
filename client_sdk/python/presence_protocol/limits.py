"""The numbers that both sides of the protocol hold to."""

from typing import Final

MAX_USER_ID: Final = 2**53 - 1
"""Greatest user id: a JavaScript number must hold it exactly (ECMA-262, Number.MAX_SAFE_INTEGER)."""

MAX_DEVICE_ID: Final = 128
"""Longest device id, in characters."""

MAX_STATUS_TEXT: Final = 140
"""Longest status text, in characters."""

MAX_STATUS_EMOJI: Final = 32
"""Bytes of UTF-8 of a status emoji: a family with skin tones, or the flag of Scotland, has 28."""

MAX_CLAIM_ID: Final = 255
"""Longest id of a claim, in characters: room for the UIDs of calendars."""

MAX_REASON: Final = 123
"""Bytes of UTF-8 of the reason in a close frame (RFC 6455 section 5.5)."""

MAX_WATCHED: Final = 5_000
"""Users that one connection may watch unless the server says otherwise in `welcome`."""

MAX_BATCH: Final = 1_000
"""Ids in one query unless the server says otherwise in `welcome`."""

MAX_MESSAGE: Final = 256 * 1024
"""Bytes of one message, or of one REST body, unless the server says otherwise in `welcome`."""

MAX_IDLE_FOR: Final = 366 * 86_400_000
"""Longest `idleForMs`, in milliseconds: a leap year. Longer ones are a client's broken clock."""

MAX_UNTIL_AHEAD: Final = 366 * 86_400
"""How far ahead of now `until`, `textUntil` and `from` may lie, in seconds: a year, leap day included."""

MAX_WAIT: Final = 60_000
"""Longest `waitMs` of a long poll, in milliseconds."""

SNAPSHOT_PART: Final = 500
"""Statuses in one snapshot message, and changes in one diff; a longer answer comes in parts."""

SUBPROTOCOL_JSON: Final = "presence.v1.json"
SUBPROTOCOL_MSGPACK: Final = "presence.v1.msgpack"
