"""Parsers are lent: whatever piece of a frame has arrived, giving one back must not lose or mix anything."""

import gc
import logging
import weakref

import pytest
from websockets.frames import Frame, Opcode

from presence_server.transports.websocket.parsers import MOST_KEPT, Parsers, is_between_frames, let_go

LOGGER = logging.getLogger("test")


def masked(opcode: Opcode, payload: bytes, fin: bool = True) -> bytes:
    return Frame(opcode, payload, fin).serialize(mask=True)


def read_in_pieces(parsers: Parsers, data: bytes, size: int) -> list[tuple[Opcode, bytes]]:
    """Feed `data` in pieces, as a connection does that gives its parser back whenever it may."""
    parser = None
    frames: list[tuple[Opcode, bytes]] = []
    for start in range(0, len(data), size):
        parser = parser or parsers.take()
        parser.receive_data(data[start : start + size])
        frames += [(frame.opcode, bytes(frame.data)) for frame in parser.events_received()]
        parser.data_to_send()
        if parsers.give_back(parser):
            parser = None
    assert parser is None, "between two frames nothing is kept"
    return frames


STREAM = (
    masked(Opcode.TEXT, b"one")
    + masked(Opcode.PING, b"")
    + masked(Opcode.BINARY, b"", fin=False)
    + masked(Opcode.PONG, b"between fragments")
    + masked(Opcode.CONT, b"x" * 300)
    + masked(Opcode.TEXT, b"y" * 70_000)
    + masked(Opcode.TEXT, b"")
)


@pytest.mark.parametrize("size", [1, 2, 3, 6, 7, 125, 4096, len(STREAM)])
def test_frames_come_out_whole_wherever_they_were_split(size: int) -> None:
    frames = read_in_pieces(Parsers(2**20, LOGGER), STREAM, size)
    assert [(opcode.name, len(payload)) for opcode, payload in frames] == [
        ("TEXT", 3),
        ("PING", 0),
        ("BINARY", 0),
        ("PONG", 17),
        ("CONT", 300),
        ("TEXT", 70_000),
        ("TEXT", 0),
    ]


def test_two_connections_that_share_parsers_do_not_mix() -> None:
    parsers = Parsers(2**20, LOGGER)
    one, other = parsers.take(), parsers.take()
    data = masked(Opcode.TEXT, b"mine")
    one.receive_data(data[:2])  # the head is consumed, nothing is buffered
    assert not one.reader.buffer
    assert not parsers.give_back(one)
    other.receive_data(masked(Opcode.TEXT, b"yours"))
    assert [bytes(frame.data) for frame in other.events_received()] == [b"yours"]
    assert parsers.give_back(other)
    assert parsers.take() is other
    one.receive_data(data[2:])
    assert [bytes(frame.data) for frame in one.events_received()] == [b"mine"]


def test_a_parser_that_failed_or_is_closing_is_not_lent_again() -> None:
    parsers = Parsers(100, LOGGER)
    failed, closing = parsers.take(), parsers.take()
    failed.receive_data(masked(Opcode.TEXT, b"x" * 101))
    closing.send_close(1000)
    assert not is_between_frames(failed)
    assert not is_between_frames(closing)


def test_no_more_are_kept_than_are_of_use() -> None:
    parsers = Parsers(100, LOGGER)
    lent = [parsers.take() for _ in range(MOST_KEPT + 10)]
    assert all(parsers.give_back(parser) for parser in lent)
    assert len({id(parsers.take()) for _ in range(MOST_KEPT + 10)} & {id(parser) for parser in lent}) == MOST_KEPT


@pytest.mark.parametrize("data", [masked(Opcode.TEXT, b"cut short")[:-3], b"\x83\x80\0\0\0\0"])
def test_one_that_was_let_go_of_is_freed_at_once(data: bytes) -> None:
    parser = Parsers(2**20, LOGGER).take()
    parser.receive_data(data)
    parser.events_received()
    is_freed = weakref.ref(parser)
    gc.disable()
    try:
        let_go(parser)
        del parser
        assert is_freed() is None
    finally:
        gc.enable()


def test_one_that_is_given_back_and_not_kept_is_freed_at_once() -> None:
    parsers = Parsers(2**20, LOGGER)
    lent = [parsers.take() for _ in range(MOST_KEPT + 1)]
    is_freed = weakref.ref(lent[-1])
    gc.disable()
    try:
        while lent:
            assert parsers.give_back(lent.pop(0))
        assert is_freed() is None
    finally:
        gc.enable()
