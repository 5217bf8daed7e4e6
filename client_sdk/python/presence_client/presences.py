"""What a back end holds of everybody, folded from the feed: from webhooks, or from `PresenceApi.feed`. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from presence_protocol.feed import FeedEntry
from presence_protocol.user_ids import UserId


class Presences(Mapping[UserId, FeedEntry]):
    """Everybody who is not OFFLINE without a text, by user id. Who is not in it is OFFLINE.

    An entry that comes late or twice changes nothing. After a gap it holds nobody, until everybody present was told
    anew, in what is taken next. Of each user who was told since, a version is kept.
    """

    def __init__(self) -> None:
        self._entries: dict[UserId, FeedEntry] = {}
        self._versions: dict[UserId, int] = {}

    def take(self, changes: Iterable[FeedEntry], *, gap: bool = False) -> list[FeedEntry]:
        """Fold `changes` in. `gap`: what is held is void first. Returns those that were news."""
        if gap:
            self._entries, self._versions = {}, {}
        news = []
        for entry in changes:
            if entry.version <= self._versions.get(entry.user_id, -1):
                continue
            self._versions[entry.user_id] = entry.version
            news.append(entry)
            if entry.status == "OFFLINE" and not (entry.status_text or entry.status_emoji):
                self._entries.pop(entry.user_id, None)
            else:
                self._entries[entry.user_id] = entry
        return news

    def __getitem__(self, user_id: UserId) -> FeedEntry:
        return self._entries[user_id]

    def __iter__(self) -> Iterator[UserId]:
        return iter(self._entries)

    def __len__(self) -> int:
        return len(self._entries)

    def __repr__(self) -> str:
        return f"<Presences of {len(self)} users>"
