"""One page of `POST /changes` of the fake server: of some users, or of everybody."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from presence_client.testing.users import Users
from presence_protocol.user_ids import UserId


class HasUsers(Protocol):
    """The fake server, as a page needs it."""

    users: Users

    def cursor(self) -> str: ...

    def seq_of(self, cursor: str | None) -> int | None: ...


def feed_page(world: HasUsers, watched: set[UserId] | None, asked: Mapping[str, Any]) -> dict[str, Any]:
    """What changed since the cursor of `asked`; everything, if it is not covered. `watched` None: of everybody."""
    covered = world.seq_of(asked.get("cursor"))
    since = -1 if covered is None else covered
    if watched is None:
        changed = world.users.since(max(since, 0))
        changes = [entry for entry in changed if covered is not None or entry.status != "OFFLINE"]
    else:
        changes = [entry for entry in world.users.entries(sorted(watched, key=str)) if entry.version > since]
    return {"changes": changes, "cursor": world.cursor(), "resumed": covered is not None}
