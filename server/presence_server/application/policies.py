"""The two policies of who may see whom that need nobody else: everyone, and contacts."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from presence_server.application.contacts import ContactBook, Pair
from presence_server.application.ports import Changed
from presence_server.domain.lenses import Lens
from presence_server.domain.model import UserKey


class Everyone:
    """Everybody may see everybody."""

    is_open = True

    def attach(self, changed: Changed) -> None:
        """Nothing ever changes."""

    def learn(self, viewer: UserKey, keys: Sequence[UserKey], now: float, done: Callable[[float | None], None]) -> None:
        done(None)

    def lens(self, viewer: UserKey, key: UserKey) -> Lens:
        return Lens.FULL

    def is_contact(self, viewer: UserKey, key: UserKey) -> bool:
        """Nobody says who is: what is for contacts is for nobody."""
        return False

    def sweep(self, now: float) -> None:
        """Nothing waits."""


class ByContacts:
    """Contacts see a user in full, whom the user has blocked does not at all, and strangers through one lens."""

    is_open = False

    def __init__(self, book: ContactBook, strangers: Lens) -> None:
        self.book = book
        self._strangers = strangers
        self._changed: Changed = _nobody

    def attach(self, changed: Changed) -> None:
        self._changed = changed

    def learn(self, viewer: UserKey, keys: Sequence[UserKey], now: float, done: Callable[[float | None], None]) -> None:
        done(None)

    def lens(self, viewer: UserKey, key: UserKey) -> Lens:
        # All three are always looked up, so that a blocked viewer waits as long as a stranger.
        is_contact = self.book.is_contact(viewer, key)
        if self.book.is_blocked(viewer, key):
            return Lens.HIDDEN
        return Lens.FULL if is_contact else self._strangers

    def is_contact(self, viewer: UserKey, key: UserKey) -> bool:
        return self.book.is_contact(viewer, key)

    def sweep(self, now: float) -> None:
        """Nothing waits."""

    def tell(self, pairs: Iterable[Pair]) -> None:
        """The lists changed, and it may matter to these pairs."""
        by_viewer: dict[UserKey, list[UserKey]] = {}
        for viewer, key in pairs:
            by_viewer.setdefault(viewer, []).append(key)
        for viewer, keys in by_viewer.items():
            self._changed(viewer, keys)


def _nobody(_viewer: UserKey, _keys: Sequence[UserKey]) -> None:
    """Before anybody is attached, nobody is told."""
