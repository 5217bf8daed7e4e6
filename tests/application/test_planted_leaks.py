"""The leak suite finds what it is there to find: each of these leaks, planted in the product, within so many stories.

The number beside a leak is its budget: stories of at most forty steps, on whichever engine is named. Leaks of a slice
under way are too seldom for it, and are planted in `test_permissions`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import pytest
from hypothesis import HealthCheck, Phase, seed, settings
from hypothesis.stateful import RuleBasedStateMachine, run_state_machine_as_test

from application.test_who_may_know import LateLeaks, Leaks
from presence_server.application import lookups
from presence_server.application.contacts import ContactBook
from presence_server.application.edges import Edges
from presence_server.application.permissions import Permissions
from presence_server.application.sight import Sight
from presence_server.domain.lenses import Lens
from presence_server.domain.model import Shown, UserPresence

Patch = pytest.MonkeyPatch


def a_resume_of_a_withdrawn_edge(patch: Patch) -> None:
    patch.setattr(Sight, "covers", lambda self, viewer, seq: True)


def withdrawn_and_never_told(patch: Patch) -> None:
    def take(self: Permissions, session: Any) -> list[Any]:
        self.due.pop(session)
        return []

    patch.setattr(Permissions, "take", take)


def an_edge_that_stays(patch: Patch) -> None:
    patch.setattr(Edges, "move", lambda self, slot, viewer, key: None)


def a_look_up_past_the_lens(patch: Patch) -> None:
    def unchanged(lens: Lens, shown: Shown, utc: float) -> Shown:
        return shown

    patch.setattr(lookups, "shown_through", unchanged)


def an_answer_that_was_read_before(patch: Patch) -> None:
    def as_it_was(self: Sight, viewer: int, presences: list[UserPresence]) -> list[UserPresence]:
        return list(presences)

    patch.setattr(Sight, "still", as_it_was)


def the_eyes_of_another_viewer(patch: Patch) -> None:
    """Whoever comes is shown what the first who asked about a user may see."""
    lens, first = Sight.lens, {}

    def shared(self: Sight, viewer: Any, key: Any) -> Lens:
        return first.setdefault((id(self), key), lens(self, viewer, key))

    patch.setattr(Sight, "lens", shared)


def a_block_that_lists_beat(patch: Patch) -> None:
    patch.setattr(ContactBook, "is_blocked", lambda self, viewer, key: False)


PLANTED: Final[tuple[tuple[Callable[[Patch], None], type[RuleBasedStateMachine], int], ...]] = (
    (a_resume_of_a_withdrawn_edge, LateLeaks, 600),
    (withdrawn_and_never_told, Leaks, 300),
    (an_edge_that_stays, Leaks, 300),
    (a_look_up_past_the_lens, Leaks, 300),
    (an_answer_that_was_read_before, Leaks, 1_000),
    (the_eyes_of_another_viewer, Leaks, 300),
    (a_block_that_lists_beat, Leaks, 300),
)


@pytest.mark.parametrize(("plant", "machine", "stories"), PLANTED, ids=[each[0].__name__ for each in PLANTED])
def test_a_planted_leak_is_found(
    plant: Callable[[Patch], None], machine: type[RuleBasedStateMachine], stories: int, monkeypatch: Patch
) -> None:
    plant(monkeypatch)
    within = settings(
        max_examples=stories,
        stateful_step_count=40,
        deadline=None,
        suppress_health_check=list(HealthCheck),
        phases=[Phase.generate],
        database=None,
        print_blob=False,
    )
    with pytest.raises(AssertionError):
        run_state_machine_as_test(seed(7)(machine), settings=within)
