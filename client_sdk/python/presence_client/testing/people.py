"""What the fake server answers back ends about everybody: kicks, devices, statistics, pages of who is there, reach."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, Final, Protocol

from presence_client.testing.explained import device_told
from presence_client.testing.users import Device, Users, time_of
from presence_protocol.errors import FieldError
from presence_protocol.fields import format_time
from presence_protocol.user_ids import UserId

THERE: Final = ("ONLINE", "AWAY", "BUSY")
MOST_ON_A_PAGE: Final = 1_000


class People(Protocol):
    """The fake server, as these answers need it."""

    users: Users

    @property
    def clients(self) -> list[tuple[UserId | None, str]]:
        """Of each connection the user, and what SDK it says it is."""
        ...

    def utc(self) -> float: ...

    def end_devices(self, user_id: UserId, devices: Sequence[Device], cause: str, reason: str) -> None: ...


def kick(world: People, user_id: UserId, raw: Mapping[str, Any]) -> dict[str, Any]:
    """The data of `POST /kick`; `raw` is its body, which was checked."""
    platform, device_id = raw.get("platform"), raw.get("deviceId")
    ended = [
        device
        for device in world.users.user(user_id).devices.values()
        if platform in (None, device.platform) and device_id in (None, device.device_id)
    ]
    world.end_devices(user_id, ended, "ended_by_backend", raw.get("reason") or "")
    return {"userId": user_id, "ended": len(ended)}


def devices(world: People, user_id: UserId) -> dict[str, Any]:
    """The data of `GET /users/{userId}/devices`."""
    now = world.utc()
    return {
        "userId": user_id,
        "devices": [device_told(device, now) for device in world.users.user(user_id).devices.values()],
    }


def statistics(world: People, platforms: Sequence[str]) -> dict[str, Any]:
    """The data of `GET /statistics`. Peaks are those of now."""
    users, now = world.users, world.utc()
    entries = users.entries(users.ids)
    there = [entry for entry in entries if entry.status != "OFFLINE"]
    lately = [one for one in users.happened if one.at > (now - 60) * 1000]
    was_there = [(one.before.status != "OFFLINE", one.entry.status != "OFFLINE") for one in lately]
    names = {(user_id, name) for user_id, name in world.clients if user_id is not None}
    hidden = [entry for entry in entries if entry.status == "OFFLINE" and users.user(entry.user_id).devices]
    at = format_time(int(now))
    return {
        "users": {status: sum(entry.status == status for entry in entries) for status in (*THERE, "OFFLINE")},
        "online": len(there),
        "platforms": {platform: sum(platform in entry.platforms for entry in there) for platform in platforms},
        "clients": dict(Counter(name for _, name in names)),
        "devices": sum(len(users.user(user_id).devices) for user_id in users.ids),
        "connections": len(world.clients),
        "joinsPerMinute": was_there.count((False, True)),
        "leavesPerMinute": was_there.count((True, False)),
        "peaks": {
            "day": at[:10],
            "users": {"count": len(there), "at": at},
            "connections": {"count": len(world.clients), "at": at},
        },
        "invisible": len(hidden),
    }


def page(world: People, query: Mapping[str, str], platforms: Sequence[str]) -> dict[str, Any] | list[FieldError]:
    """The data of `GET /online`, or what is wrong with the question."""
    limit, cursor = query.get("limit", "100"), query.get("cursor", "0")
    wrong = []
    if not limit.isdigit() or not 1 <= int(limit) <= MOST_ON_A_PAGE:
        wrong.append(FieldError("limit", f"must be an integer from 1 to {MOST_ON_A_PAGE}"))
    if query.get("status", "ONLINE") not in THERE:
        wrong.append(FieldError("status", f"must be one of {', '.join(THERE)}: who is OFFLINE is not there"))
    if query.get("platform", platforms[0]) not in platforms:
        wrong.append(FieldError("platform", f"must be one of {', '.join(platforms)}"))
    if not cursor.isdigit():
        wrong.append(FieldError("cursor", "is none of this server since its start; begin anew without it"))
    if wrong:
        return wrong
    # Users are never forgotten here, and keep the order in which they came.
    users, begins = world.users, int(cursor)
    found = [
        (place, entry)
        for place, entry in enumerate(users.entries(users.ids))
        if place >= begins
        and entry.status == query.get("status", entry.status)
        and entry.status != "OFFLINE"
        and ("platform" not in query or query["platform"] in entry.platforms)
    ]
    more = len(found) > int(limit)
    return {
        "users": [entry for _, entry in found[: int(limit)]],
        "cursor": str(found[int(limit)][0]) if more else None,
    }


def reach(world: People, user_ids: Sequence[UserId], platforms: Sequence[str]) -> list[dict[str, Any]]:
    """The data of `POST /reach`, as a service with the scope admin is told it."""
    return [_reached(world, user_id, platforms) for user_id in user_ids]


def _reached(world: People, user_id: UserId, platforms: Sequence[str]) -> dict[str, Any]:
    held = list(world.users.user(user_id).devices.values())
    active = [device for device in held if device.idle_since is None]
    used = {device.platform for device in active or held}
    since = world.users.entry(user_id).last_active_time
    if active:
        since = time_of(min(device.online_time for device in active))
    elif held:
        since = time_of(max(device.idle_since or 0 for device in held))
    return {
        "userId": user_id,
        "reach": "active" if active else "background" if held else "none",
        "platforms": [platform for platform in platforms if platform in used],
        "since": since,
    }
