"""`presence-client status`: ask once, and print a line per user."""

from __future__ import annotations

from collections.abc import Sequence

from presence_client.api import PresenceApi
from presence_client.commands.screen import Row, line_of, say


async def run(url: str, token: str | None, user_ids: Sequence[int]) -> int:
    """Returns the exit code.

    Raises:
        PresenceError: the server could not be asked, or refused.
    """
    async with PresenceApi(url, token=token) as api:
        users = await api.statuses(user_ids)
    width = max(len(str(user.user_id)) for user in users)
    for user in users:
        say(line_of(Row.of(user), width))
    return 0
