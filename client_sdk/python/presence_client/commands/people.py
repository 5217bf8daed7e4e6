"""`presence-client devices`, `kick` and `statistics`: for back ends, with a service's key."""

from __future__ import annotations

import json
from collections.abc import Sequence

import msgspec

from presence_client.api import PresenceApi
from presence_client.commands.console import say
from presence_client.commands.explain import device_line
from presence_client.commands.reach import Reach
from presence_client.people import Statistics
from presence_protocol.user_ids import UserId


async def devices(reach: Reach, user_ids: Sequence[UserId]) -> int:
    """Print what each user is online with. Returns the exit code.

    Raises:
        PresenceError: the server could not be asked, or refused.
    """
    async with PresenceApi(**reach._asdict()) as api:
        for user_id in user_ids:
            found = await api.devices(user_id)
            say(f"{user_id}  {len(found)} device{'' if len(found) == 1 else 's'}")
            for device in found:
                say(f"  {device_line(device)}")
    return 0


async def kick(reach: Reach, user_id: UserId, platform: str | None, device_id: str | None, reason: str | None) -> int:
    """End a user's devices, and say how many. Returns the exit code. Raises what `devices` raises."""
    async with PresenceApi(**reach._asdict()) as api:
        ended = await api.kick(user_id, platform=platform, device_id=device_id, reason=reason)
    say(f"{user_id}  {ended} ended")
    return 0


async def statistics(reach: Reach, *, is_json: bool) -> int:
    """Print how many people are there. Returns the exit code. Raises what `devices` raises."""
    async with PresenceApi(**reach._asdict()) as api:
        found = await api.statistics()
    if is_json:
        say(json.dumps(msgspec.to_builtins(found), ensure_ascii=False))
    else:
        for line in lines_of(found):
            say(line)
    return 0


def lines_of(found: Statistics) -> list[str]:
    """The figures, a kind a line."""
    peaks = found.peaks
    lines = [
        ("online", str(found.online)),
        ("users", _listed(found.users)),
        ("platforms", _listed(found.platforms)),
        ("clients", _listed(found.clients)),
        ("devices", f"{found.devices}, WebSockets {found.connections}"),
        ("a minute", f"{found.joins_per_minute} joined, {found.leaves_per_minute} left"),
        ("peak today", f"{peaks.users.count} users at {peaks.users.at}"),
    ]
    if found.invisible is not None:
        lines.append(("invisible", str(found.invisible)))
    return [f"{name:<11} {told}" for name, told in lines]


def _listed(counts: dict[str, int]) -> str:
    return ", ".join(f"{name} {count}" for name, count in counts.items()) or "-"
