"""An engine as watchers see it: asked by topics, each of which has a lens (see `domain.lenses`).

Whatever is told of others is read here, at the moment at which it is worded. So nothing can be told past a lens, and a
permission that was withdrawn holds for whatever is worded after it.

While everybody may see everybody there is no lens but the full one, a topic is a key, and the engine itself answers:
its own methods stand in the place of these.

**Versions.** What is not shown in full is worded under a version of its own, taken at that moment. The version of a
Change tells to the millisecond when it was made, which is what such a lens keeps back.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Protocol

from presence_protocol.messages import StatusEntry
from presence_server.application.entries import entry_of
from presence_server.application.keys import UserKeys
from presence_server.application.ports import Clock, Engine
from presence_server.domain.lenses import Lens, is_full, key_of, lens_of, through
from presence_server.domain.model import OFFLINE, Topic, UserKey, UserPresence


class EntrySource(Protocol):
    """What there is to tell under each topic, and in which order it was handed out."""

    @property
    def epoch(self) -> int: ...

    @property
    def seq(self) -> int:
        """The last one given."""
        ...

    def seq_of(self, topic: Topic) -> int:
        """Under which seq it was told last."""
        ...

    def entry(self, topic: Topic, version: int) -> StatusEntry:
        """What is to be told under the topic now, of which `version` was announced: that one, or a newer."""
        ...


class Views:
    """What of an engine those use who tell others: by topic. The fan-out's `EntrySource`."""

    def __init__(self, engine: Engine, clock: Clock, keys: UserKeys) -> None:
        self._engine = engine
        self._clock = clock
        self._keys = keys
        self.epoch = engine.epoch
        self.presence: Callable[[Topic], UserPresence] = engine.presence
        """The public state under a topic of a user who is followed."""
        self.changed_since: Callable[[Iterable[Topic], int], list[UserPresence]] = engine.changed_since
        """What was told under the topics after a seq, in the order of the seqs."""

    def use_lenses(self, use: bool) -> None:
        """From now on there may be topics of all lenses; or of the full one only."""
        self.presence = self._presence if use else self._engine.presence
        self.changed_since = self._changed_since if use else self._engine.changed_since

    @property
    def seq(self) -> int:
        return self._engine.seq

    @property
    def floor(self) -> int:
        return self._engine.floor

    @property
    def gaps(self) -> Sequence[tuple[int, int]]:
        return self._engine.gaps

    def seq_of(self, topic: Topic) -> int:
        """Under which seq it was told last."""
        return self.presence(topic).seq

    def entry(self, topic: Topic, version: int) -> StatusEntry:
        """What is to be told under the topic now, of which `version` was announced."""
        presence = self.presence(topic)
        if presence.version < version:
            # Forgotten since it changed: what is forgotten was OFFLINE.
            presence = UserPresence(topic, OFFLINE, None, version, version)
        return entry_of(presence, self._keys)

    def follow(self, keys: Sequence[UserKey], now: float, done: Callable[[bool], None]) -> None:
        """Follow users, through whatever lens: which one may change, and hidden must take as long as unknown."""
        self._engine.follow(keys, now, done)

    def unfollow(self, keys: Iterable[UserKey]) -> None:
        self._engine.unfollow(keys)

    def _presence(self, topic: Topic) -> UserPresence:
        if is_full(topic):
            return self._engine.presence(topic)
        return self._word(topic, lens_of(topic))

    def _word(self, topic: Topic, lens: Lens) -> UserPresence:
        if lens is Lens.HIDDEN:
            return UserPresence(topic, OFFLINE, None, 0, 0)
        presence = self._engine.presence(key_of(topic))
        return self._reworded(presence, topic) if presence.version else presence._replace(user_id=topic)

    def told(self, topic: Topic) -> UserPresence:
        """What is told of a user whose lens is another from now on: newer than whatever was told before."""
        return self._presence(topic)._replace(version=self._engine.next_version())

    def restricted(self, lens: Lens, presence: UserPresence) -> UserPresence:
        """What is left of `presence`, which was read before, where `lens` holds by now."""
        return through(lens, presence, self._clock.utc())

    def _changed_since(self, topics: Iterable[Topic], seq: int) -> list[UserPresence]:
        lenses: dict[UserKey, Topic] = {}
        for topic in topics:
            if lens_of(topic) is not Lens.HIDDEN:
                lenses[key_of(topic)] = topic
        changed = self._engine.changed_since(lenses, seq)
        return [
            presence if is_full(topic := lenses[presence.user_id]) else self._reworded(presence, topic)
            for presence in changed
        ]

    def _reworded(self, presence: UserPresence, topic: Topic) -> UserPresence:
        seen = through(lens_of(topic), presence, self._clock.utc())
        return seen._replace(version=self._engine.next_version())
