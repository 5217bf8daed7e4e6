"""Who is at the other end, and what they may do: decided once for a connection or a request, asked ever after.

A *principal* is a user, who acts for themselves, or a service, which acts for whom it likes as far as its scopes go.
Nobody is not a principal: whoever is not let in gets a `Denied`.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from presence_protocol.user_ids import UserId

READ: Final = "read"
"""See everybody."""
WRITE: Final = "write"
"""Speak for anybody."""
ADMIN: Final = "admin"
"""Revoke, erase, explain."""

SCOPES: Final = frozenset((READ, WRITE, ADMIN))


class Denied(NamedTuple):
    """Not let in.

    `status` is 401 (not known who it is: a new token may help), 403 (known, and not allowed) or 503 (cannot be told
    now: come back). `field` names what the reason is about.
    """

    status: int
    reason: str
    field: str = "Authorization"


class Principal(NamedTuple):
    """A user if `user_id` is set, else a service, which `name` tells from others.

    `device_id` binds a user to one device and `platforms` to some platforms; None leaves them free. `issued_at` and
    `expires_at` are in seconds since 1970, None where the credentials do not say. From `expires_at` on they are
    refused, on every path; its last `leeway` seconds are what the clocks of issuer and server may differ by.
    """

    name: str
    user_id: UserId | None = None
    scopes: frozenset[str] = frozenset()
    device_id: str | None = None
    platforms: frozenset[str] | None = None
    may_observe: bool = False
    issued_at: float | None = None
    expires_at: float | None = None
    leeway: float = 0.0

    @property
    def is_service(self) -> bool:
        return self.user_id is None

    @property
    def viewer(self) -> UserId | None:
        """Through whose eyes it sees; None: a service's, which see everybody."""
        return self.user_id

    def may_speak_for(
        self, user_id: UserId, device_id: str | None = None, platform: str | None = None
    ) -> Denied | None:
        """Whether it may act as `user_id`, on that device and platform where they are known. None lets it."""
        if self.is_service:
            return self.needs(WRITE)
        if user_id != self.user_id:
            return Denied(403, f"must be the user of the token, {self.user_id}", "userId")
        if self.device_id is not None and device_id is not None and device_id != self.device_id:
            return Denied(403, "must be the device of the token", "deviceId")
        if self.platforms is not None and platform is not None and platform not in self.platforms:
            return Denied(403, f"must be one of the token's: {', '.join(sorted(self.platforms))}", "platform")
        return None

    def may_watch(self) -> Denied | None:
        """Whether it may ask about others and watch them, over REST or on a connection with a user."""
        return self.needs(READ) if self.is_service else None

    def may_follow_everybody(self) -> Denied | None:
        """Whether it may read the feed: services that may read, or know everything. None lets it."""
        if not self.is_service:
            return Denied(403, "only services may ask about everybody; name the users", "userIds")
        return None if ADMIN in self.scopes else self.needs(READ)

    def may_be_observer(self) -> Denied | None:
        """Whether it may connect without a user."""
        if self.is_service:
            return self.needs(READ)
        return None if self.may_observe else Denied(403, "the token does not allow it", "observer")

    def needs(self, scope: str) -> Denied | None:
        """Whether it has `scope`. None lets it."""
        return None if scope in self.scopes else Denied(403, f"needs the scope {scope}")


def trusted(name: str) -> Principal:
    """A service that may do everything."""
    return Principal(name, scopes=SCOPES, may_observe=True)
