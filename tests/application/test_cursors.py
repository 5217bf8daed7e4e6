"""Cursors: covered if and only if the epoch is ours and floor <= seq <= current."""

import pytest

from application.kit import ANN, BOB, World
from presence_server.application.cursors import Cursor, digest_of, parse, resumable_seq


@pytest.mark.parametrize("cursor", [Cursor(1, 2), Cursor(2**48 - 1, 2**53 - 1, digest_of([1]))])
def test_what_was_given_is_read_back(cursor: Cursor) -> None:
    assert parse(str(cursor)) == cursor
    assert len(str(cursor)) < 50


@pytest.mark.parametrize(
    "text", ["", ".", "1", "1.", "x.1", "1.x", "-1.1", "1.1.", "01.1", "1.1 ", "１.1", "1_0.1", "1" * 500]
)
def test_what_was_never_given_is_no_cursor(text: str) -> None:
    assert parse(text) is None


def test_a_digest_is_of_a_set() -> None:
    assert digest_of([3, 1, 2, 1]) == digest_of([1, 2, 3])
    assert digest_of([1, 2]) != digest_of([12])
    assert digest_of([]) != digest_of([1])


def test_what_is_covered() -> None:
    world = World(max_remembered=1)
    world.online(ANN)
    epoch, now = world.engine.epoch, world.engine.seq

    def covered(cursor: Cursor, users: tuple[int, ...] = (ANN,)) -> bool:
        return resumable_seq(world.engine, str(cursor), lambda: digest_of(users)) == cursor.seq

    assert covered(Cursor(epoch, now))
    assert covered(Cursor(epoch, 0))
    assert not covered(Cursor(epoch, now + 1))  # from the future
    assert not covered(Cursor(epoch + 1, now))  # another process's
    assert covered(Cursor(epoch, now, digest_of([ANN])))
    assert not covered(Cursor(epoch, now, digest_of([ANN, BOB])))
    assert resumable_seq(world.engine, None, lambda: digest_of([ANN])) is None
    world.offline(ANN)
    world.online(BOB)
    world.offline(BOB)  # one too many to remember: ANN is forgotten
    assert world.engine.floor > now
    assert not covered(Cursor(epoch, now))
    assert covered(Cursor(epoch, world.engine.floor))
