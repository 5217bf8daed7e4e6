"""Long polls: what a WebSocket would have been pushed, and nothing left behind, whatever their end."""

import tracemalloc

import pytest

from application.kit import ANN, BOB, World
from presence_server.application.cursors import Cursor, digest_of
from presence_server.application.polls import Poll, PollAnswer
from presence_server.domain.model import Status


class Waiter:
    """Whoever made the request."""

    def __init__(self, world: World, users: list[int], cursor: str | None = None, may_wait: bool = True) -> None:
        self.answers: list[PollAnswer | None] = []
        self.waits = 0
        self._world = world
        self.poll: Poll = world.polls.open(
            None, list(dict.fromkeys(users)), cursor, may_wait, world.now, self.answers.append, self._on_wait
        )

    def _on_wait(self) -> None:
        self.waits += 1

    def close(self) -> PollAnswer | None:
        return self._world.polls.close(self.poll)


def seen(answer: PollAnswer | None) -> list[tuple[int, str]]:
    assert answer is not None
    return [(presence.user_id, presence.public.status.value) for presence in answer.changes]


def test_without_a_cursor_everything_is_told_at_once() -> None:
    world = World()
    world.online(ANN)
    waiter = Waiter(world, [BOB, ANN, BOB])
    (answer,) = waiter.answers
    assert seen(answer) == [(BOB, "OFFLINE"), (ANN, "ONLINE")]
    assert answer is not None
    assert not answer.resumed
    assert (waiter.waits, len(world.polls)) == (0, 0)
    assert waiter.close() is None


def test_with_a_cursor_it_waits_for_the_first_change_and_is_told_it_once() -> None:
    world = World()
    (first,) = Waiter(world, [ANN, BOB]).answers
    assert first is not None
    waiter = Waiter(world, [ANN, BOB], first.cursor)
    assert (waiter.answers, waiter.waits, len(world.polls)) == ([], 1, 1)
    world.online(ANN)
    world.flush()
    assert waiter.answers == [None]  # something may be there: close and see
    answer = waiter.close()
    assert seen(answer) == [(ANN, "ONLINE")]
    assert answer is not None
    assert answer.resumed
    again = Waiter(world, [ANN, BOB], answer.cursor, may_wait=False)
    assert [seen(given) for given in again.answers] == [[]]
    assert len(world.polls) == 0
    assert world.interest.statistics().edges == 0
    assert not world.follows.counts


def test_what_happened_between_two_polls_is_told_at_once() -> None:
    world = World()
    (first,) = Waiter(world, [ANN]).answers
    assert first is not None
    world.online(ANN)
    world.override(Status.BUSY, ANN)
    waiter = Waiter(world, [ANN], first.cursor)
    assert [seen(answer) for answer in waiter.answers] == [[(ANN, "BUSY")]]


def test_when_its_time_is_up_there_is_nothing_to_tell() -> None:
    world = World()
    (first,) = Waiter(world, [ANN]).answers
    assert first is not None
    waiter = Waiter(world, [ANN], first.cursor)
    assert seen(waiter.close()) == []
    assert world.interest.statistics().edges == 0


def test_a_drain_wakes_everybody() -> None:
    world = World()
    (first,) = Waiter(world, [ANN]).answers
    assert first is not None
    waiters = [Waiter(world, [ANN], first.cursor) for _ in range(3)]
    world.polls.wake_all()
    assert [waiter.answers for waiter in waiters] == [[None]] * 3


def test_what_was_forgotten_while_it_waited_makes_the_answer_a_full_one() -> None:
    world = World(max_remembered=1)
    world.online(ANN)
    (first,) = Waiter(world, [ANN]).answers
    assert first is not None
    waiter = Waiter(world, [ANN], first.cursor)
    for user_id in (ANN, BOB):
        world.online(user_id)
        world.offline(user_id)
    answer = waiter.close()
    assert answer is not None
    assert not answer.resumed
    assert seen(answer) == [(ANN, "OFFLINE")]


@pytest.mark.parametrize("well", [True, False])
def test_a_late_engine(well: bool) -> None:
    world = World(is_late=True)
    waiter = Waiter(world, [ANN], may_wait=False)
    assert waiter.answers == []
    world.late.answer_next(well)
    (answer,) = waiter.answers
    assert (answer is not None) is well
    assert waiter.close() is None
    assert not world.follows.counts


def test_a_client_that_is_gone_before_the_engine_answers_leaves_nothing() -> None:
    world = World(is_late=True)
    waiter = Waiter(world, [ANN])
    assert waiter.close() is None
    world.late.answer_next()
    assert len(world.polls) == 0
    assert not world.follows.counts


def test_what_was_told_is_not_told_again_while_a_fan_out_is_under_way() -> None:
    """The cursor of a connection stands still then; a poller would ask and be answered in a tight loop."""
    world = World(slice_writes=1)
    (first,) = Waiter(world, [ANN]).answers
    assert first is not None
    waiters = [Waiter(world, [ANN], first.cursor) for _ in range(3)]
    world.online(ANN)
    world.fanout.step(world.now)
    (woken,) = [waiter for waiter in waiters if waiter.answers]
    answer = woken.close()
    assert seen(answer) == [(ANN, "ONLINE")]
    assert answer is not None
    again = Waiter(world, [ANN], answer.cursor)
    assert again.answers == []
    world.override(Status.BUSY, ANN)
    assert seen(again.close()) == [(ANN, "BUSY")]


def test_a_poll_that_waits_has_no_copy_of_its_ids_beside_its_edges() -> None:
    world = World()
    first = 2**50
    users = 1_000

    def ask() -> Waiter:
        """With numbers of its own, as if they came in a body, and a cursor that covers them."""
        ids = [first + number for number in range(users)]
        return Waiter(world, ids, str(Cursor(world.engine.epoch, world.engine.seq, digest_of(ids))))

    kept = [ask()]
    tracemalloc.start()
    try:
        before, _ = tracemalloc.get_traced_memory()
        kept += [ask() for _ in range(50)]
        after, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert [waiter.waits for waiter in kept] == [1] * 51
    assert (after - before) / 50 / users < 30, "bytes an id; the edges are 16 and what arrays keep in reserve"
    answer = kept[3].close()
    assert answer is not None
    assert answer.resumed
    assert answer.cursor.endswith(digest_of(range(first, first + users)))
