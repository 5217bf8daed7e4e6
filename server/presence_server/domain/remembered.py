"""The users who were here, have no device now, and of whom something is still known: bounded, oldest forgotten first.

Last seen times and overrides do not push each other out: whichever of the two has more than half of the room gives
way. An override is worth more, since to forget it unmasks an invisible user at their next connect, but if all of them
went last, whoever sets enough of them would end everybody's last seen, and all resumes with it.
"""

from collections import OrderedDict

from presence_server.domain.model import UserKey, UserRecord


class Remembered:
    """At most `limit` records, in the order in which anything last happened to them."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._plain: OrderedDict[UserKey, UserRecord] = OrderedDict()
        self._overridden: OrderedDict[UserKey, UserRecord] = OrderedDict()

    def __len__(self) -> int:
        return len(self._plain) + len(self._overridden)

    def add(self, record: UserRecord) -> UserRecord | None:
        """Remember `record` as the newest. Returns the one to forget in its place, if the limit was reached."""
        self.discard(record.user_id)
        kept = self._plain if record.override is None else self._overridden
        kept[record.user_id] = record
        if len(self) <= self._limit:
            return None
        # Of an odd limit, the one more is an override's.
        fullest = self._overridden if len(self._overridden) > (self._limit + 1) // 2 else self._plain
        _, oldest = fullest.popitem(last=False)
        return oldest

    def discard(self, user_id: UserKey) -> None:
        if self._plain.pop(user_id, None) is None:
            self._overridden.pop(user_id, None)
