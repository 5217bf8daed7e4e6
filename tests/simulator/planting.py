"""What a planted bug is, and what of the product each planted leak changes.

The simulator is to find all of them: see `test_planted_bugs`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Final

import pytest

from presence_protocol.messages import SelfChanged
from presence_server.application import lookups
from presence_server.application.contacts import ContactBook
from presence_server.application.edges import Edges
from presence_server.application.entries import self_view_of
from presence_server.application.fanout import Fanout
from presence_server.application.hub import Hub
from presence_server.application.permissions import Permissions
from presence_server.application.sessions import Session
from presence_server.application.sight import Sight
from presence_server.application.truths import Truths
from presence_server.domain.model import UserKey

Patch = pytest.MonkeyPatch


@dataclass(frozen=True)
class Bug:
    name: str
    plant: Callable[[Patch], None]
    within: int
    """Steps of all seeds together, runs to rest included, in which it must have been found."""
    kinds: tuple[str, ...]
    """What it is found as."""
    engine: str = "memory"
    sees: str = "everyone"


def a_diff_that_is_left_where_it_waits(patch: Patch) -> None:
    """The edge moves, and what was made for it under the old lens goes out all the same."""
    patch.setattr(Permissions, "_hold", lambda self, session, topic: None)


def one_of_very_many_who_is_not_taken_out(patch: Patch) -> None:
    patch.setattr(Fanout, "take_out", lambda self, topic, slot: None)


def a_resume_of_a_withdrawn_edge(patch: Patch) -> None:
    patch.setattr(Sight, "covers", lambda self, viewer, seq: True)


def a_cursor_of_another_viewer(patch: Patch) -> None:
    """Whether a cursor is good is remembered by the cursor, whosever it is."""
    covers, asked = Sight.covers, {}

    def covers_for_all(self: Sight, viewer: Any, seq: int) -> bool:
        return asked.setdefault((id(self), seq), covers(self, viewer, seq)) if viewer else True

    patch.setattr(Sight, "covers", covers_for_all)


def the_truth_of_another(patch: Patch) -> None:
    """A `self` goes to whoever is due with it, each with the truth that was read first."""

    def take(self: Truths) -> Iterator[tuple[Session, SelfChanged]]:
        due, self.due = self.due, {}
        live = [session for session in due if session.state.name == "LIVE" and not session.behind]
        for session in live:
            yield session, SelfChanged.of(self_view_of(self._engine.truth(live[0].user_id), self._keys))

    patch.setattr(Truths, "_take", take)


def statistics_by_user(patch: Patch) -> None:
    end = Hub._end

    def counted(self: Hub, session: Session, code: int, now: float, reason: str | None) -> None:
        end(self, session, code, now, reason)
        self.refused[f"closed {session.user_id}"] += 1

    patch.setattr(Hub, "_end", counted)


def an_answer_that_is_believed_for_ever(patch: Patch) -> None:
    patch.setattr(Permissions, "hold_for", lambda self, viewer, seconds, now: None)


def an_edge_that_stays(patch: Patch) -> None:
    patch.setattr(Edges, "move", lambda self, slot, viewer, key: None)


def a_look_up_past_the_lens(patch: Patch) -> None:
    patch.setattr(lookups, "shown_through", lambda lens, shown, utc: shown)


def a_block_that_lists_beat(patch: Patch) -> None:
    patch.setattr(ContactBook, "is_blocked", lambda self, viewer, key: False)


def told_before_it_is_kept(patch: Patch) -> None:
    """A step of a long list tells whom it concerns while the list is still as it was."""
    replace = ContactBook.replace_in_steps

    def late(self: ContactBook, key: UserKey, after: Any) -> Iterator[list[Any]]:
        before = self.contacts(key)
        for pairs in replace(self, key, after):
            kept, self._contacts[key] = self.contacts(key), before
            yield pairs
            self._contacts[key] = kept

    patch.setattr(ContactBook, "replace_in_steps", late)


LEAK: Final = ("leak", "not converged", "a cursor claims")
"""Told too much; or holding, in the end or by a cursor, what may not be known any more."""

LEAKS: Final = (
    Bug("a diff that waits for its slice", a_diff_that_is_left_where_it_waits, 400_000, LEAK, sees="contacts"),
    Bug("not taken out of very many", one_of_very_many_who_is_not_taken_out, 800_000, LEAK, sees="contacts"),
    Bug("a resume of a withdrawn edge", a_resume_of_a_withdrawn_edge, 100_000, LEAK, sees="contacts"),
    Bug("a cursor of another viewer", a_cursor_of_another_viewer, 100_000, LEAK, sees="contacts"),
    Bug("the truth of another", the_truth_of_another, 100_000, ("leak: the truth",), sees="contacts"),
    Bug("statistics by user", statistics_by_user, 20_000, ("leak: statistics",), sees="contacts"),
    Bug("an answer believed for ever", an_answer_that_is_believed_for_ever, 50_000, LEAK, sees="ask"),
    Bug("an edge that stays", an_edge_that_stays, 50_000, LEAK, sees="contacts"),
    Bug("a look-up past the lens", a_look_up_past_the_lens, 50_000, LEAK, sees="contacts"),
    Bug("a block that lists beat", a_block_that_lists_beat, 50_000, LEAK, sees="contacts"),
    Bug("told before it is kept", told_before_it_is_kept, 50_000, LEAK, sees="contacts"),
)
