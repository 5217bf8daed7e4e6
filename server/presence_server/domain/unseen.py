"""The users of whom only claims are known: they were made before the users ever came.

They have no last seen time, and most were never told of to anybody. But whoever may make claims may name any number of
ids. So they have a place of their own, where they cannot push out anybody who
was here; an end, since most will never come; and a limit at which one more is refused. To forget the oldest instead was
rejected: it would unmask somebody who is invisible, and tell nobody.
"""

from collections import OrderedDict

from presence_server.domain.model import UserKey, UserRecord


class Unseen:
    """At most `limit` records, each for `lifetime` seconds from the last time that a claim was made."""

    def __init__(self, limit: int, lifetime: float) -> None:
        self._limit = limit
        self._lifetime = lifetime
        self._since: OrderedDict[UserKey, tuple[float, UserRecord]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._since)

    def __contains__(self, user_id: UserKey) -> bool:
        return user_id in self._since

    @property
    def is_full(self) -> bool:
        return len(self._since) >= self._limit

    def keep(self, record: UserRecord, now: float) -> None:
        """Keep `record` from now on, whether or not it was kept before."""
        self._since[record.user_id] = (now, record)
        self._since.move_to_end(record.user_id)

    def since(self, user_id: UserKey) -> float | None:
        """Since when it is kept; None if it is not."""
        held = self._since.get(user_id)
        return None if held is None else held[0]

    def discard(self, user_id: UserKey) -> None:
        self._since.pop(user_id, None)

    def pop_due(self, now: float) -> list[UserRecord]:
        """Take out those whose time is over by `now`."""
        due = []
        for since, record in self._since.values():
            if since + self._lifetime > now:
                break
            due.append(record)
        for record in due:
            del self._since[record.user_id]
        return due
