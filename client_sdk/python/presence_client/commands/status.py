"""`presence-client status`: ask once, and print a line per user."""

from __future__ import annotations

from collections.abc import Sequence

from presence_client.api import PresenceApi
from presence_client.commands.console import say
from presence_client.commands.reach import Reach
from presence_client.commands.screen import Row, line_of
from presence_protocol.user_ids import UserId


async def run(reach: Reach, user_ids: Sequence[UserId]) -> int:
    """Returns the exit code.

    Raises:
        PresenceError: the server could not be asked, or refused.
    """
    async with PresenceApi(**reach._asdict()) as api:
        users = await api.statuses(user_ids)
    width = max(len(str(user.user_id)) for user in users)
    for user in users:
        say(line_of(Row.of(user), width))
    return 0
