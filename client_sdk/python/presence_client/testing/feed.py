"""One page of `POST /changes` of the fake server: of some users, or of everybody."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, Protocol

from presence_client.testing.users import Happened, Users
from presence_protocol.feed import FeedDevice, FeedEntry
from presence_protocol.user_ids import UserId

PAGE: Final = 1_000


class HasUsers(Protocol):
    """The fake server, as a page needs it."""

    users: Users

    def cursor(self, seq: int | None = None) -> str: ...

    def seq_of(self, cursor: str | None) -> int | None: ...


def poll_page(world: HasUsers, watched: set[UserId], cursor: str | None) -> dict[str, Any]:
    """What changed of some users since `cursor`; everything, if it is not covered."""
    covered = world.seq_of(cursor)
    since = -1 if covered is None else covered
    changes = [entry for entry in world.users.entries(sorted(watched, key=str)) if entry.version > since]
    return {"changes": changes, "cursor": world.cursor(), "resumed": covered is not None}


def feed_page(world: HasUsers, asked: Mapping[str, Any]) -> dict[str, Any]:
    """What changed of everybody since the cursor of `asked`, in a part of its `limit`; else everybody present."""
    cursor, limit = asked.get("cursor"), asked.get("limit") or PAGE
    covered = world.seq_of(cursor)
    since, users = covered or 0, world.users
    gap = cursor is not None and covered is None
    changed = users.last_of_each(since)
    if asked.get("transitions") == "all" and covered is not None:
        gap = bool(users.happened) and since < users.seq and users.happened[0].entry.version > since + 1
        changed = changed if gap else [one for one in users.happened if one.entry.version > since]
    changed = [one for one in changed if covered is not None or one.entry.status != "OFFLINE" or one.entry.status_text]
    part, has_more = changed[:limit], len(changed) > limit
    page = {
        "changes": [_entry(one) for one in part],
        "cursor": world.cursor(part[-1].entry.version if has_more else None),
        "resumed": covered is not None,
    }
    return page | ({"gap": True} if gap else {}) | ({"more": True} if has_more else {})


def _entry(happened: Happened) -> FeedEntry:
    entry, device = happened.entry, happened.device
    return FeedEntry(
        entry.user_id,
        entry.status,
        entry.platforms,
        entry.version,
        happened.cause,
        happened.at,
        entry.status_text,
        entry.status_emoji,
        None if device is None else FeedDevice(device.device_id, device.platform),
    )
