"""One bound of unsent bytes over all connections: who holds most goes first, and no more go than have to."""

from collections.abc import Callable

from presence_protocol.close_codes import CloseCode
from presence_server.transports.websocket.unsent import Unsent
from support.raw import TEXT, frame
from support.transport import Wire


class Full:
    def __init__(self, unsent: Unsent, size: int) -> None:
        self.is_there = True
        unsent.put(self, size)

    def give_up(self) -> None:
        self.is_there = False


def test_above_the_bound_those_who_hold_most_go_at_the_end_of_the_turn() -> None:
    later: list[Callable[[], None]] = []
    unsent = Unsent(1000, later.append)
    holders = [Full(unsent, size) for size in (100, 400, 300, 150)]
    assert not later
    assert unsent.total == 950
    unsent.put(holders[0], 200)
    assert all(holder.is_there for holder in holders), "somebody is in the middle of writing"
    (relieve,) = later
    relieve()
    assert [holder.is_there for holder in holders] == [True, False, True, True]
    assert (unsent.total, len(unsent), unsent.given_up) == (650, 3, 1)


def test_what_has_gone_out_by_then_counts_no_more() -> None:
    later: list[Callable[[], None]] = []
    unsent = Unsent(1000, later.append)
    first, second = Full(unsent, 600), Full(unsent, 600)
    unsent.discard(first)
    later.pop()()
    assert first.is_there
    assert second.is_there
    unsent.discard(second)
    assert (unsent.total, len(unsent)) == (0, 0)


def test_a_connection_whose_socket_is_full_is_in_the_books_until_it_drains_or_ends() -> None:
    wire = Wire()
    wire.receive(frame(TEXT, b'{"type":"hello","observer":true}'))
    unsent = wire.gateway.websockets.unsent
    assert len(unsent) == 0
    wire.transport.get_write_buffer_size = lambda: 5000  # type: ignore[method-assign]
    wire.receive(frame(TEXT, b'{"type":"ping"}'))
    assert (unsent.total, len(unsent)) == (5000, 1)
    wire.connection.resume_writing()
    assert (unsent.total, len(unsent)) == (0, 0)
    wire.receive(frame(TEXT, b'{"type":"ping"}'))
    wire.connection.give_up()
    assert wire.transport.is_aborted
    assert int(CloseCode.TOO_SLOW).to_bytes(2, "big") in wire.transport.written
    assert wire.gateway.hub.statistics().sessions == 0
    wire.connection.connection_lost(None)
    assert (unsent.total, len(unsent)) == (0, 0)
