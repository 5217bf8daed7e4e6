"""Through which lens anybody sees anybody: the policy, and above it what holds whatever the policy says.

Services see everybody in full, and users themselves. Above a policy's lens lies what users say of their privacy. All
users are keys; a viewer of 0 is a service.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterable, Sequence
from typing import Final

from presence_server.application.ports import Engine, Visibility
from presence_server.application.privacy import LastSeen, Privacy
from presence_server.application.views import Views
from presence_server.domain.lenses import Lens, key_of, topic_of
from presence_server.domain.model import UserKey, UserPresence

REMEMBERED: Final = 100_000
"""Viewers of whom it is remembered when their sight last changed. All others are taken for the last one forgotten."""


class Sight:
    def __init__(
        self, visibility: Visibility, engine: Engine, views: Views, privacy: Privacy, is_reciprocal: bool = False
    ) -> None:
        """`is_reciprocal`: who does not show to somebody when they were last seen is not shown that by them."""
        self.policy = visibility
        self.privacy = privacy
        self.is_reciprocal = is_reciprocal
        self._engine = engine
        self._views = views
        self._changed_at: OrderedDict[UserKey, int] = OrderedDict()
        self._floor = 0
        self.on_note: Callable[[UserKey], None] = _nobody
        self._shown_again = 0
        self.is_open = True
        """Everybody sees everybody in full."""
        self.look_again()

    def look_again(self) -> None:
        """The policy or what users said may be another: see whether there are lenses."""
        self.is_open = self.policy.is_open and not len(self.privacy)
        self._views.use_lenses(not self.is_open)

    # -- lenses ----------------------------------------------------------------------------------------------------

    def learn(self, viewer: UserKey, keys: Sequence[UserKey], now: float, done: Callable[[float | None], None]) -> None:
        """Find out how `viewer` sees each of `keys`. See `Visibility.learn`."""
        if self.policy.is_open or not viewer:
            done(None)
        else:
            self.policy.learn(viewer, keys, now, done)

    def lens(self, viewer: UserKey, key: UserKey) -> Lens:
        """How `viewer` sees the user now."""
        if not viewer or viewer == key:
            return Lens.FULL
        lens = self.policy.lens(viewer, key)
        if len(self.privacy) and not (
            self._shows_time(key, viewer) and (not self.is_reciprocal or self._shows_time(viewer, key))
        ):
            lens = lens.without_time
        return lens

    def _shows_time(self, key: UserKey, viewer: UserKey) -> bool:
        said = self.privacy.of(key)
        if said is LastSeen.EVERYONE:
            return True
        return said is LastSeen.CONTACTS and self.policy.is_contact(viewer, key)

    def topics(self, viewer: UserKey, keys: Sequence[UserKey]) -> Sequence[UserKey]:
        """The topic under which `viewer` sees each of `keys`, in their order."""
        if self.is_open or not viewer:
            return keys
        lens = self.lens
        return [topic_of(key, lens(viewer, key)) for key in keys]

    # -- what changed ----------------------------------------------------------------------------------------------

    def note(self, viewer: UserKey) -> None:
        """The viewer sees more or less than before: no cursor from before this moment speaks for what is seen now."""
        self._engine.next_version()
        self._changed_at[viewer] = self._engine.seq
        self._changed_at.move_to_end(viewer)
        if len(self._changed_at) > REMEMBERED:
            self._floor = self._changed_at.popitem(last=False)[1]
            self.on_note(0)
        self.on_note(viewer)

    def note_shown_again(self) -> None:
        """What a user shows to others is another from now on."""
        self._shown_again += 1

    def viewers(self) -> list[UserKey]:
        """Of whom it is known when their sight last changed; 0 stands for all others."""
        return [0, *self._changed_at]

    def restore(self, viewer: UserKey, seq: int) -> None:
        """As `viewers` said before a restart."""
        if viewer:
            self._changed_at[viewer] = seq
        else:
            self._floor = max(self._floor, seq)

    def changed_at(self, viewer: UserKey) -> int:
        """The seq at which the viewer's sight last changed, or may have."""
        return self._changed_at.get(viewer, self._floor)

    def covers(self, viewer: UserKey, seq: int) -> bool:
        """Whether what was told up to `seq` was told through the lenses that hold now."""
        return not viewer or seq >= self.changed_at(viewer)

    def stamp(self, viewer: UserKey) -> tuple[int, int]:
        """Equal to what it was before if the viewer's lenses are the same."""
        return self.changed_at(viewer), self._shown_again

    @property
    def epoch(self) -> int:
        return self._views.epoch

    def told(self, topic: UserKey) -> UserPresence:
        """What is told of a user at once, since the lens is another. See `Views.told`."""
        return self._views.told(topic)

    def still(self, viewer: UserKey, presences: Iterable[UserPresence]) -> list[UserPresence]:
        """What may still be told of `presences`, which were read before `viewer`'s lenses changed."""
        if not viewer:
            return list(presences)
        restricted, lens = self._views.restricted, self.lens
        return [restricted(lens(viewer, key_of(each.user_id)), each) for each in presences]


def _nobody(_viewer: UserKey) -> None:
    """Nobody keeps it beside this."""
