"""The user id that a token's claim holds: JSON's number, or digits in a string, as `sub` must be one (RFC 7519)."""

from __future__ import annotations

from typing import Any

from presence_protocol.limits import MAX_USER_ID


def user_id_of_claim(raw: Any) -> int:
    """Raises ValueError with the reason if it is no user id."""
    if isinstance(raw, str) and raw.isascii() and raw.isdigit() and raw[0] != "0" and len(raw) <= 16:
        raw = int(raw)
    if type(raw) is not int or not 1 <= raw <= MAX_USER_ID:
        raise ValueError(f"must be a user id: an integer from 1 to {MAX_USER_ID}")
    return raw
