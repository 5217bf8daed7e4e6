"""Who may know what of whom: a model on one screen, which knows nothing of how the server does it."""

from __future__ import annotations

from presence_protocol.messages import StatusEntry
from presence_server.domain.lenses import Lens

SEES = {Lens.FULL: "all", Lens.COARSE: "status", Lens.HIDDEN: "nothing"}


class Model:
    """`strangers`: what they see where contacts decide; None: everybody sees everybody, or an application is asked."""

    def __init__(self, strangers: Lens | None, reciprocal: bool) -> None:
        self.strangers = strangers
        self.reciprocal = reciprocal
        self.lists: dict[int, dict[int, bool]] = {}
        """By owner: contacts, and whether it is mutual."""
        self.blocks: dict[int, set[int]] = {}
        self.privacy: dict[int, str] = {}
        self.answers: dict[tuple[int, int], Lens] | None = None
        """By viewer and user, where an application is asked: what it said last. Whoever is not here is hidden."""

    def is_contact(self, viewer: int, whom: int) -> bool:
        if self.answers is not None:
            return self.answers.get((viewer, whom)) is Lens.FULL
        known = viewer in self.lists.get(whom, {}) or self.lists.get(viewer, {}).get(whom, False)
        return self.strangers is not None and known

    def shows_time(self, whom: int, viewer: int) -> bool:
        said = self.privacy.get(whom, "everyone")
        return said == "everyone" or (said == "contacts" and self.is_contact(viewer, whom))

    def may_know(self, viewer: int, whom: int) -> str:
        """all, untimed (all but the last seen), status, bare (nothing but the status), or nothing."""
        if viewer == whom:
            return "all"
        if self.answers is not None:
            sees = SEES[self.answers.get((viewer, whom), Lens.HIDDEN)]
        elif self.strangers is None:
            sees = "all"
        elif viewer in self.blocks.get(whom, ()):
            return "nothing"
        elif self.is_contact(viewer, whom):
            sees = "all"
        else:
            sees = SEES[self.strangers]
        timed = self.shows_time(whom, viewer) and (not self.reciprocal or self.shows_time(viewer, whom))
        return sees if timed else {"all": "untimed", "status": "bare"}.get(sees, sees)


def leak_in(may: str, entry: StatusEntry) -> str | None:
    """What `entry` tells somebody who may know no more than `may`; None: nothing too much."""
    if may == "nothing" and entry.status != "OFFLINE":
        return "told of who is hidden"
    if may in ("nothing", "status", "bare") and (entry.platforms or entry.status_text is not None):
        return "told details"
    if may != "all" and entry.last_active_time is not None:
        return "told a time"
    if may in ("nothing", "untimed", "bare") and entry.last_seen is not None:
        return "told a rough time"  # who may know all may be told one, of an answer from before
    return None
