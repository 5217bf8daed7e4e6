"""What a verified token says -> a principal.

The claim `presence` may hold `{"device": "...", "platforms": ["WEB"], "observe": true, "scopes": ["read"]}`. A token
with scopes is a service's, any other a user's. A claim of a wrong type refuses the token: to ignore a restriction that
was misspelt would widen it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final, NamedTuple

from presence_protocol.user_ids import UserId
from presence_server.application.principals import SCOPES, Denied, Principal

CLAIM: Final = "presence"
USER: Final = "user"
"""The name of each: their id says who it is, and a name of its own for each connection is 64 bytes."""
EXPIRED: Final = "the token has expired"
KNOWN: Final = frozenset(("device", "platforms", "observe", "scopes"))


class Rules(NamedTuple):
    """How claims are read. `leeway` is in seconds; `user_id` gives the id, or raises ValueError with the reason."""

    user_id: Callable[[Any], UserId]
    user_claim: str = "sub"
    leeway: float = 5.0


class _Wrong(Exception):
    """A claim cannot be taken."""


def principal_of(claims: Mapping[str, Any], rules: Rules, now: float) -> Principal | Denied:
    """Whom `claims` are about. `now` is in seconds since 1970. The signature was verified before."""
    try:
        expires, begins, issued = (_time(claims, name) for name in ("exp", "nbf", "iat"))
        if expires is not None:
            expires += rules.leeway  # for a connection that is open as for one that begins
            if now >= expires:
                raise _Wrong(EXPIRED)
        if any(time is not None and now < time - rules.leeway for time in (begins, issued)):
            raise _Wrong("the token is not valid yet")
        return _principal(claims, _restrictions(claims), rules, issued, expires)
    except _Wrong as reason:
        return Denied(401, str(reason))


def _principal(
    claims: Mapping[str, Any], limits: Mapping[str, Any], rules: Rules, issued: float | None, expires: float | None
) -> Principal:
    subject = claims.get(rules.user_claim)
    scopes = frozenset(_texts(limits, "scopes") or ())
    if scopes:
        if not scopes <= SCOPES:
            raise _Wrong(f"{CLAIM}.scopes must be some of {', '.join(sorted(SCOPES))}")
        return Principal(
            f"service {subject}"[:80],
            scopes=scopes,
            may_observe=True,
            issued_at=issued,
            expires_at=expires,
            leeway=0.0 if expires is None else rules.leeway,
        )
    if expires is None:
        raise _Wrong("a user's token must have exp")
    if subject is None:
        raise _Wrong(f"{rules.user_claim} is missing")
    try:
        user_id = rules.user_id(subject)
    except ValueError as reason:
        raise _Wrong(f"{rules.user_claim} {reason}") from None
    device = limits.get("device")
    if device is not None and not isinstance(device, str):
        raise _Wrong(f"{CLAIM}.device must be a string")
    observe = limits.get("observe", False)
    if not isinstance(observe, bool):
        raise _Wrong(f"{CLAIM}.observe must be true or false")
    platforms = _texts(limits, "platforms")
    return Principal(
        USER,
        user_id,
        device_id=device,
        platforms=None if platforms is None else frozenset(platforms),
        may_observe=observe,
        issued_at=issued,
        expires_at=expires,
        leeway=rules.leeway,
    )


def _restrictions(claims: Mapping[str, Any]) -> Mapping[str, Any]:
    limits = claims.get(CLAIM)
    if limits is None:
        return {}
    if not isinstance(limits, Mapping):
        raise _Wrong(f"{CLAIM} must be an object")
    return limits


def _texts(limits: Mapping[str, Any], name: str) -> list[str] | None:
    texts = limits.get(name)
    if texts is None:
        return None
    if not isinstance(texts, list) or not all(isinstance(text, str) for text in texts):
        raise _Wrong(f"{CLAIM}.{name} must be a list of strings")
    return texts


def _time(claims: Mapping[str, Any], name: str) -> float | None:
    """A NumericDate (RFC 7519, section 2): seconds since 1970, fractions allowed."""
    time = claims.get(name)
    if time is None:
        return None
    if isinstance(time, bool) or not isinstance(time, int | float) or not 0 <= time <= 1e11:
        raise _Wrong(f"{name} must be a time in seconds since 1970")
    return float(time)
