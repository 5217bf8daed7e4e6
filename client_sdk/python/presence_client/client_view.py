"""What a program sees of the watched users."""

from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta

from presence_client.core import Core
from presence_protocol.messages import StatusEntry
from presence_protocol.user_ids import UserId


class ClientView(Mapping[UserId, StatusEntry]):
    """What is known of the watched users: a read-only mapping from user id to entry, always the newest.

    An entry has `user_id`, `status`, `platforms`, `last_active_time` (UTC as in `2025-11-09T15:00:00Z`, or None),
    `version` and `status_text`. Users whose entry has not come yet are not in it (KeyError).
    """

    def __init__(self, core: Core, origin: datetime) -> None:
        self._core = core
        self._origin = origin

    def __getitem__(self, user_id: UserId) -> StatusEntry:
        return self._core.view.entries[user_id]

    def __iter__(self) -> Iterator[UserId]:
        return iter(list(self._core.view.entries))  # as of now: whoever awaits meanwhile is not disturbed

    def __len__(self) -> int:
        return len(self._core.view.entries)

    def __repr__(self) -> str:
        return f"<ClientView of {len(self)} users{f', stale since {self.stale_since}' if self.stale else ''}>"

    @property
    def watched(self) -> frozenset[UserId]:
        """The users asked for, whether their entries have come yet or not."""
        return frozenset(self._core.view.watched)

    @property
    def stale(self) -> bool:
        """Whether the entries may be out of date: there is no connection, or it has not caught up yet."""
        return self._core.view.stale_since is not None

    @property
    def stale_since(self) -> datetime | None:
        """Since when the entries may be out of date, in UTC; None while they are kept up to date."""
        since = self._core.view.stale_since
        return None if since is None else self._origin + timedelta(seconds=since)
