"""What back ends ask of everybody: how many are there, who, with what, and whether somebody is at a device now.

`PresenceApi` has these calls. They are for services with the scope `read`, `kick` with `write`. Times are UTC in whole
seconds, such as `2025-11-09T15:00:00Z`.
"""

from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Iterable, Mapping
from typing import Any, Final, Literal, TypeVar
from urllib.parse import urlencode

import msgspec

from presence_client.answers import ExplainedDevice
from presence_client.values import user_ids_of
from presence_protocol.limits import MAX_WAIT
from presence_protocol.messages import StatusEntry, StatusName, ToldUserId
from presence_protocol.user_ids import IdKind, UserId

PAGE: Final = 500
"""Users on one page, unless another number is wanted."""

Reach = Literal["active", "background", "none"]

T = TypeVar("T")


class Peak(msgspec.Struct, rename="camel", frozen=True):
    """The most there were, and when that was first so."""

    count: int
    at: str


class Peaks(msgspec.Struct, rename="camel", frozen=True):
    """Of one day of UTC, such as `2025-11-09`. `connections`: those of WebSockets."""

    day: str
    users: Peak
    connections: Peak


class Statistics(msgspec.Struct, rename="camel", frozen=True):
    """How many people are there: people, not connections.

    `users`: of whom something is known, by status; `online`: who are not OFFLINE. `platforms`, `clients` (the SDK, such
    as `presence-js/1.0.0`): a user counts once for each that they use. `invisible`: how many are there and OFFLINE to
    others; None unless the service has the scope `admin`.
    """

    users: dict[str, int]
    online: int
    platforms: dict[str, int]
    clients: dict[str, int]
    devices: int
    connections: int
    joins_per_minute: int
    leaves_per_minute: int
    peaks: Peaks
    invisible: int | None = None


class ReachedUser(msgspec.Struct, rename="camel", frozen=True):
    """How a user can be reached. `active`: a person is at a device now; `background`: there is a device, and nobody at
    it.

    `platforms` of the devices that make it so. `since`: when the longest of the active ones came online; since when the
    last of them is idle; when the user was last active, None if never known.
    """

    user_id: ToldUserId
    reach: Reach
    platforms: list[str]
    since: str | None


class _Kicked(msgspec.Struct, frozen=True):
    ended: int


class _Devices(msgspec.Struct, frozen=True):
    devices: list[ExplainedDevice]


class _Page(msgspec.Struct, frozen=True):
    users: list[StatusEntry]
    cursor: str | None


class PeopleCalls(ABC):
    """The calls, for `PresenceApi`, which says how one is asked."""

    _ids: IdKind

    @abstractmethod
    async def _ask(
        self, method: str, path: str, kind: type[T], body: Mapping[str, Any] | None = None, wait: float = 0.0
    ) -> T: ...

    @abstractmethod
    def _path_of(self, user_id: UserId, what: str = "status") -> str: ...

    async def kick(
        self, user_id: UserId, *, platform: str | None = None, device_id: str | None = None, reason: str | None = None
    ) -> int:
        """End a user's devices: all, those on a platform, or one. Returns how many that were.

        Their clients are told `reason` (at most 123 bytes of UTF-8) with the close code 4410, and do not come back by
        themselves. Needs the scope `write`.
        """
        given = {"platform": platform, "deviceId": device_id, "reason": reason}
        body = {"userId": user_ids_of("user_id", [user_id], self._ids)[0]}
        body |= {name: value for name, value in given.items() if value is not None}
        kicked: _Kicked = await self._ask("POST", "/kick", _Kicked, body)
        return kicked.ended

    async def devices(self, user_id: UserId) -> list[ExplainedDevice]:
        """All that a user is online with; none of who is invisible, unless the service has the scope `admin`."""
        found: _Devices = await self._ask("GET", f"{self._path_of(user_id, 'users')}/devices", _Devices)
        return found.devices

    async def statistics(self) -> Statistics:
        """How many people are there."""
        return await self._ask("GET", "/statistics", Statistics)

    async def online_users(
        self, *, status: StatusName | None = None, platform: str | None = None, page: int = PAGE
    ) -> AsyncIterator[StatusEntry]:
        """Everybody who is online, or those with a status, or on a platform. `page`: how many at once, up to 1,000.

        Whoever is online throughout is told once, whoever comes and goes meanwhile. Their order means nothing.
        """
        wanted = {"limit": page, "status": status, "platform": platform, "cursor": None}
        while True:
            query = urlencode({name: value for name, value in wanted.items() if value is not None})
            found: _Page = await self._ask("GET", f"/online?{query}", _Page)
            for entry in found.users:
                yield entry
            if found.cursor is None:
                return
            wanted["cursor"] = found.cursor

    async def reach(self, user_ids: Iterable[UserId], *, within: float = 0.0) -> list[ReachedUser]:
        """Push, or will they see it? How each of up to 1,000 users can be reached, in the order of `user_ids`.

        `within`: seconds (at most 60) to wait until one of them is active; the answer comes as soon as that is so.
        """
        if not 0 <= within * 1000 <= MAX_WAIT:
            raise ValueError(f"within must be from 0 to {MAX_WAIT // 1000} seconds")
        body: dict[str, Any] = {"userIds": user_ids_of("user_ids", user_ids, self._ids)}
        if within:
            body["within"] = within
        return await self._ask("POST", "/reach", list[ReachedUser], body, within)
