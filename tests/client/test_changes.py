"""The queue of one consumer: bounded by the number of users, and never a stale last value."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from presence_client.changes import Change, Conflated
from presence_protocol.messages import StatusEntry


def entry(user_id: int, version: int) -> StatusEntry:
    return StatusEntry(user_id, "ONLINE", [], None, version)


def test_the_last_of_each_user_in_the_order_of_the_first() -> None:
    queue = Conflated()
    queue.put(Change(None, entry(1, 1)))
    queue.put(Change(None, entry(2, 2)))
    queue.put(Change(entry(1, 1), entry(1, 3)))
    assert [queue.take(), queue.take()] == [Change(None, entry(1, 3)), Change(None, entry(2, 2))]
    with pytest.raises(KeyError):
        queue.take()


def test_who_is_forgotten_does_not_wait() -> None:
    queue = Conflated()
    queue.put(Change(None, entry(1, 1)))
    queue.forget(1)
    queue.forget(2)
    assert len(queue) == 0


@given(st.lists(st.one_of(st.integers(1, 4), st.none())))
def test_a_consumer_of_any_speed_sees_an_unbroken_chain_that_ends_with_the_truth(steps: list[int | None]) -> None:
    """A number: that user changes. None: the consumer takes one."""
    queue, truth, seen = Conflated(), dict[int, StatusEntry](), dict[int, StatusEntry]()

    def take() -> None:
        change = queue.take()
        assert change.before == seen.get(change.user_id)
        seen[change.user_id] = change.after

    for version, step in enumerate(steps):
        if step is not None:
            after = entry(step, version)
            queue.put(Change(truth.get(step), after))
            truth[step] = after
        elif len(queue):
            take()
        assert len(queue) <= 4
    while len(queue):
        take()
    assert seen == truth
