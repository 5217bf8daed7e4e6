"""Long polls on an engine that answers late, and answers that their clients do not take."""

from __future__ import annotations

from typing import Any, cast

import pytest

from application.kit import ANN, BOB, World
from presence_server.application.polls import Answer, Poll
from presence_server.domain.deadlines import Deadlines
from presence_server.transports.http1 import ANSWER_TIMEOUT, HttpConnection


class Asked:
    """A poll on a late engine, and what became of it."""

    def __init__(self, world: World, cursor: str | None = None, may_wait: bool = True) -> None:
        self.world = world
        self.answers: list[Answer | None] = []
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


# -- answers that are not taken --------------------------------------------------------------------------------------


class FakeTransport:
    def __init__(self, untaken: int) -> None:
        self.untaken = untaken
        self.is_aborted = False

    def get_write_buffer_size(self) -> int:
        return self.untaken

    def abort(self) -> None:
        self.is_aborted = True


class FakeDriver:
    """Stands for the gateway as well: nothing else of it is asked for here."""

    def __init__(self) -> None:
        self.driver = self
        self.deadlines: Deadlines[Any] = Deadlines()
        self.now = 0.0

    def set_timeout(self, timeout: Any, seconds: float) -> None:
        self.deadlines.set(timeout, self.now + seconds)

    def wait(self, seconds: float) -> None:
        self.now += seconds
        for timeout in self.deadlines.pop_due(self.now):
            timeout()


def answered(untaken: int) -> tuple[FakeDriver, FakeTransport]:
    driver, transport = FakeDriver(), FakeTransport(untaken)
    connection = HttpConnection.__new__(HttpConnection)
    connection.gateway = cast("Any", driver)
    connection.transport = cast("Any", transport)
    connection._expect_taken()
    return driver, transport


def test_an_answer_that_nobody_takes_is_given_up() -> None:
    driver, transport = answered(100_000)
    driver.wait(ANSWER_TIMEOUT - 1)
    assert not transport.is_aborted
    driver.wait(2)
    assert transport.is_aborted


def test_an_answer_that_is_taken_slowly_is_not() -> None:
    driver, transport = answered(100_000)
    for _ in range(5):
        transport.untaken -= 10_000
        driver.wait(ANSWER_TIMEOUT + 1)
    assert not transport.is_aborted
    transport.untaken = 0
    driver.wait(ANSWER_TIMEOUT + 1)
    assert len(driver.deadlines) == 0
    assert not transport.is_aborted


def test_an_answer_that_was_taken_at_once_sets_no_timer() -> None:
    driver, _ = answered(0)
    assert len(driver.deadlines) == 0
