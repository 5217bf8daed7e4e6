"""Long polls on an engine that answers late."""

from __future__ import annotations

import pytest

from application.kit import ANN, BOB, World
from presence_server.application.polls import Poll, PollAnswer


class Asked:
    """A poll on a late engine, and what became of it."""

    def __init__(self, world: World, cursor: str | None = None, may_wait: bool = True) -> None:
        self.world = world
        self.answers: list[PollAnswer | None] = []
        self.waits = 0
        self.poll: Poll = world.polls.open(
            None, [ANN, BOB], cursor, may_wait, world.now, self.answers.append, self._count
        )

    def _count(self) -> None:
        self.waits += 1


@pytest.fixture
def world() -> World:
    return World(is_late=True)


def cursor_of(world: World) -> str:
    asked = Asked(world)
    world.late.answer_all()
    (answer,) = asked.answers
    assert answer is not None
    return answer.cursor


def test_a_poll_is_answered_when_the_engine_knows(world: World) -> None:
    asked = Asked(world)
    assert asked.answers == []
    world.late.answer_all()
    (answer,) = asked.answers
    assert answer is not None
    assert ([presence.user_id for presence in answer.changes], answer.resumed) == ([ANN, BOB], False)
    world.check_empty()


def test_a_poll_waits_only_from_when_its_users_are_known(world: World) -> None:
    asked = Asked(world, cursor_of(world))
    assert (asked.waits, len(world.polls)) == (0, 0)
    world.late.answer_all()
    assert (asked.waits, len(world.polls), asked.answers) == (1, 1, [])
    world.online(ANN)
    world.late.answer_all()
    world.flush()
    assert asked.answers == [None]
    answer = world.polls.close(asked.poll)
    assert answer is not None
    assert ([presence.user_id for presence in answer.changes], answer.resumed) == ([ANN], True)
    world.check_empty()


def test_a_poll_that_was_closed_before_the_engine_knew_leaves_nothing_behind(world: World) -> None:
    asked = Asked(world, cursor_of(world))
    assert world.polls.close(asked.poll) is None
    world.late.answer_all()
    assert asked.waits == 0
    world.check_empty()


def test_a_poll_whose_users_cannot_be_known_has_no_answer(world: World) -> None:
    asked = Asked(world, cursor_of(world))
    world.late.answer_next(well=False)
    assert asked.answers == [None]
    assert world.polls.close(asked.poll) is None
    world.check_empty()


def test_closing_twice_is_closing_once(world: World) -> None:
    asked = Asked(world, cursor_of(world))
    world.late.answer_all()
    assert world.polls.close(asked.poll) is not None
    assert world.polls.close(asked.poll) is None
    world.check_empty()
