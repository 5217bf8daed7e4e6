"""The users who were here, have no device now, and of whom something is still known: bounded, oldest forgotten first.

Last seen times and claims do not push each other out: whichever of the two has more than half of the room gives
way. A claim is worth more, since to forget it unmasks an invisible user at their next connect, but if all of them
went last, whoever makes enough of them would end everybody's last seen, and all resumes with it.
"""

from collections import OrderedDict

from presence_server.domain.model import UserKey, UserRecord


class Remembered:
    """At most `limit` records, in the order in which anything last happened to them."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._plain: OrderedDict[UserKey, UserRecord] = OrderedDict()
        self._claimed: OrderedDict[UserKey, UserRecord] = OrderedDict()

    def __len__(self) -> int:
        return len(self._plain) + len(self._claimed)

    def __contains__(self, user_id: UserKey) -> bool:
        return user_id in self._plain or user_id in self._claimed

    def add(self, record: UserRecord) -> UserRecord | None:
        """Remember `record` as the newest. Returns the one to forget in its place, if the limit was reached."""
        self.discard(record.user_id)
        kept = self._plain if not record.claims else self._claimed
        kept[record.user_id] = record
        if len(self) <= self._limit:
            return None
        # Of an odd limit, the one more is one with claims.
        fullest = self._claimed if len(self._claimed) > (self._limit + 1) // 2 else self._plain
        _, oldest = fullest.popitem(last=False)
        return oldest

    def discard(self, user_id: UserKey) -> None:
        if self._plain.pop(user_id, None) is None:
            self._claimed.pop(user_id, None)
