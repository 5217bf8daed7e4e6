"""A change of one watched user, and a queue that keeps only the last one of each. Pure."""

from typing import NamedTuple

from presence_protocol.messages import StatusEntry
from presence_protocol.user_ids import UserId


class Change(NamedTuple):
    """A watched user looks different. `before`: as last told, None the first time; `after`: as of now."""

    before: StatusEntry | None
    after: StatusEntry

    @property
    def user_id(self) -> UserId:
        """Whose change it is."""
        return self.after.user_id

    @property
    def status(self) -> str:
        """`ONLINE`, `AWAY`, `BUSY` or `OFFLINE`, as of now."""
        return self.after.status

    @property
    def platforms(self) -> list[str]:
        """Of the user's devices, as of now; none when OFFLINE."""
        return self.after.platforms

    @property
    def text(self) -> str | None:
        """What the user says beside their status, as of now; None for nothing."""
        return self.after.status_text

    @property
    def emoji(self) -> str | None:
        """The emoji beside it, as of now; None for none."""
        return self.after.status_emoji


class Conflated:
    """Changes that wait for one consumer: the last of each user, in the order in which users first changed.

    So it never holds more than one change per watched user, however slow the consumer is. `before` of what is taken
    is what this consumer was last given.
    """

    def __init__(self) -> None:
        self._waiting: dict[UserId, Change] = {}

    def __len__(self) -> int:
        return len(self._waiting)

    def put(self, change: Change) -> None:
        """Take the place of a change of the same user that still waits."""
        waiting = self._waiting.get(change.user_id)
        self._waiting[change.user_id] = change if waiting is None else Change(waiting.before, change.after)

    def take(self) -> Change:
        """The next change.

        Raises:
            KeyError: none waits.
        """
        for user_id in self._waiting:
            return self._waiting.pop(user_id)
        raise KeyError("no change waits")

    def forget(self, user_id: UserId) -> None:
        """The user is watched no longer."""
        self._waiting.pop(user_id, None)
