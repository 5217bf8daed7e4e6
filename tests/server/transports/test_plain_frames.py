"""Frames that are read without a parser: whoever reads them, everything that follows is the same."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise
from typing import Any
from unittest.mock import patch

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from websockets.frames import Frame, Opcode

from presence_server.transports.websocket import reading as websocket
from presence_server.transports.websocket.frames import plain_frame
from presence_server.transports.websocket.reading import BRIEF, CHUNK
from presence_server.transports.websocket.shares import TURN
from support.frames import frames_of
from support.raw import BINARY, CLOSE, CONTINUATION, FIN, PING, PONG, RSV1, TEXT, frame, message
from support.transport import Wire

LIMIT = 2048


def masked(opcode: Opcode, payload: bytes) -> bytes:
    return Frame(opcode, payload).serialize(mask=True)


@pytest.mark.parametrize("opcode", [Opcode.TEXT, Opcode.BINARY, Opcode.PING, Opcode.PONG])
@pytest.mark.parametrize("size", [0, 1, 3, 4, 125, 126, 127, 128, LIMIT])
def test_a_whole_frame_is_read_and_unmasked(opcode: Opcode, size: int) -> None:
    payload = bytes(index % 127 for index in range(size))
    if size < 126 or opcode < Opcode.CLOSE:
        assert plain_frame(masked(opcode, payload), LIMIT) == (opcode, payload)


OTHERS = {
    "text that is not UTF-8": frame(TEXT, b"\xff"),
    "nothing": b"",
    "not yet a head": b"\x81",
    "a mask cut short": frame(TEXT, b"")[:-1],
    "a payload cut short": frame(TEXT, b"{}")[:-1],
    "one and a half": frame(TEXT, b"{}") + b"\x81",
    "two": frame(TEXT, b"{}") * 2,
    "no mask": b"\x81\x06123456",
    "no mask, and as long as a length of 127 would be": b"\x81\x7f" + bytes(131),
    "not final": frame(TEXT, b"{}", head=0),
    "a continuation": frame(CONTINUATION, b"{}"),
    "a reserved bit": frame(TEXT, b"{}", head=FIN | RSV1),
    "an unknown opcode": frame(0x3, b"{}"),
    "a close frame": frame(CLOSE, b""),
    "a length in two bytes that fits one": b"\x81\xfe\x00\x02" + bytes(4) + b"{}",
    "a length in two bytes, not yet there": b"\x81\xfe\x00\x7e" + bytes(2),
    "a length in eight bytes": b"\x81\xff" + (2000).to_bytes(8, "big") + bytes(4) + bytes(2000),
    "a length in eight bytes, which in two would fit": b"\x81\xff\x00\x7e" + bytes(4) + bytes(126),
    "a ping of 126 bytes": frame(PING, bytes(126)),
    "a byte too many": frame(TEXT, bytes(LIMIT + 1)),
}


@pytest.mark.parametrize("case", OTHERS)
def test_whatever_is_unusual_is_left_to_a_parser(case: str) -> None:
    assert plain_frame(OTHERS[case], LIMIT) is None


# -- with and without ------------------------------------------------------------------------------------------------


BEGUN = frame(TEXT, b'{"type":"ping",', head=0)
DEFLATED = bytes.fromhex("aa562aa92c4855b2522ac8cc4b57d251ca4c51b2b2ac0500")  # {"type":"ping","id":9}
HELLO = message(type="hello", userId=1, deviceId="d", platform="WEB", watch=[2, 3])


class Life(Wire):
    """A connection that keeps how its session ended."""

    def __init__(self, compression: bool) -> None:
        offer = {"Sec-WebSocket-Extensions": "permessage-deflate"}
        super().__init__(offer, compression=compression, max_message=LIMIT, min_publish_interval=0)
        self.ends: list[int] = []
        lost = self.gateway.hub.lost

        def keep(session: Any, code: int, now: float, reason: str | None = None) -> Any:
            self.ends.append(code)
            return lost(session, code, now, reason)

        self.gateway.hub.lost = keep  # type: ignore[method-assign]

    def seen(self) -> tuple[Any, ...]:
        """All that can be told from outside."""
        truth = repr(self.gateway.hub.engine.truth(1))
        return self.transport.writes, self.ends, self.transport.is_reading, self.gateway.hub.statistics(), truth


@contextmanager
def parsers_only() -> Iterator[None]:
    with patch.object(websocket, "plain_frame", lambda data, most: None):
        yield


USUAL = [
    HELLO,
    message(type="ping", id=7),
    message(type="ping"),
    message(type="status", status="BUSY", statusText="in a meeting" * 10, id=1),
    message(type="status", status=None),
    message(type="activity", idle=True),
    message(type="watch", userIds=[4, 5], id=2),
    message(type="watch", userIds=["x"], id=3),
    message(type="query", userIds=[1], unknown="x" * 900, id=4),
    frame(PING, b""),
    frame(PING, b"x" * 125),
    frame(PONG, b""),
    frame(PONG, b"unasked"),
    BEGUN + frame(CONTINUATION, b'"id":8}'),
]
ODD = [
    message(type="bye"),
    BEGUN,
    frame(CONTINUATION, b'"id":8}'),
    frame(CONTINUATION, b"", head=0),
    frame(TEXT, b'{"type":"ping","x":"\xff"}'),
    frame(BINARY, b"\x80"),
    frame(TEXT, b""),
    frame(CLOSE, b""),
    frame(CLOSE, (1001).to_bytes(2, "big") + b"moving"),
    frame(TEXT, b" " * (LIMIT + 1)),
    frame(TEXT, DEFLATED, head=FIN | RSV1),
    frame(TEXT, DEFLATED[:5], head=RSV1) + frame(CONTINUATION, DEFLATED[5:]),
    *OTHERS.values(),
]
masks = st.sampled_from([bytes(4), b"\x01\x80\xff\x07"])


def with_mask(data: bytes, mask: bytes) -> bytes:
    """A plain frame of `support.raw`, whose mask is zeros, with this one; anything else as it is."""
    if plain_frame(data, LIMIT) is None:
        return data
    at = 8 if data[1] == 0xFE else 6
    return data[: at - 4] + mask + bytes(byte ^ mask[index % 4] for index, byte in enumerate(data[at:]))


streams = st.lists(st.builds(with_mask, st.sampled_from(USUAL * 10 + ODD), masks), min_size=3, max_size=12)
cuts = st.one_of(st.just(()), st.lists(st.integers(0, 4000), max_size=12).map(tuple))


def pieces(frames: list[bytes], cuts: tuple[int, ...]) -> list[bytes]:
    """One read for each frame; or the whole stream, cut at `cuts`."""
    if not cuts:
        return [one for one in frames if one]
    stream = b"".join(frames)
    at = sorted({0, len(stream), *(cut % (len(stream) + 1) for cut in cuts)})
    return [stream[start:end] for start, end in pairwise(at)]


@given(streams, cuts, st.booleans())
@example([message(type="bye"), message(type="ping", id=1)], (), False)
@example([BEGUN, message(type="ping", id=2), frame(CONTINUATION, b'"id":1}')], (), False)
@example([BEGUN, frame(PING, b"between"), frame(CONTINUATION, b'"id":1}')], (), False)
@example([b"\x81", message(type="ping", id=2)], (), False)
@example([frame(TEXT, b" " * 120)[:-1], message(type="ping", id=2)], (), False)
def test_with_and_without_a_parser_all_is_the_same(
    frames: list[bytes], cuts: tuple[int, ...], compression: bool
) -> None:
    plain, parsed = Life(compression), Life(compression)
    for piece in pieces([HELLO, *frames], cuts):
        plain.receive(piece)
        with parsers_only():
            parsed.receive(piece)
            parsed.settle()
        plain.settle()
        assert plain.seen() == parsed.seen()
    for life in (plain, parsed):
        life.connection.connection_lost(None)
    assert plain.seen() == parsed.seen()


# -- turns -----------------------------------------------------------------------------------------------------------


def test_an_idle_connection_takes_no_parser_for_a_message() -> None:
    wire = Wire()
    with patch.object(wire.gateway.websockets.parsers, "take", side_effect=AssertionError):
        for data in (HELLO, message(type="ping", id=1), frame(PING, b"?"), frame(PONG, b"")):
            wire.receive(data)
    assert [opcode for opcode, _ in frames_of(wire.transport.written)] == [TEXT, TEXT, TEXT, PONG]


def test_more_than_a_chunk_is_parsed_chunk_by_chunk() -> None:
    wire = Wire()
    wire.receive(HELLO)
    with patch.object(wire.gateway.websockets.parsers, "take", wraps=wire.gateway.websockets.parsers.take) as take:
        for size, taken in ((CHUNK - 8, 0), (CHUNK - 7, 1)):
            wire.receive(frame(TEXT, b'{"type":"ping"}'.ljust(size)))
            assert take.call_count == taken


def test_a_message_that_takes_long_ends_the_turn() -> None:
    """Else one who sends costly messages, each in a read of its own, would have them handled on end."""
    wire = Wire()
    wire.receive(HELLO)
    handle = wire.gateway.hub.handle

    def slowly(*arguments: Any) -> Any:
        wire.clock.time += TURN
        return handle(*arguments)

    with patch.object(wire.gateway.hub, "handle", slowly):
        wire.receive(message(type="ping", id=1, padding="x" * BRIEF))
        wire.receive(message(type="ping", id=2))
        assert b'"id":2' in wire.transport.written, "a brief one cannot take long"
        wire.receive(message(type="ping", id=3, padding="x" * BRIEF))
    assert b'"id":3' not in wire.transport.written
    wire.receive(message(type="ping", id=4))
    assert b'"id":4' not in wire.transport.written, "messages of one connection keep their order"
    assert not wire.transport.is_reading
    wire.turn()
    assert wire.transport.is_reading
    assert all(b'"id":%d' % id in wire.transport.written for id in (3, 4))


def test_who_must_wait_is_not_read_from() -> None:
    wire = Wire()
    wire.receive(HELLO)
    wire.connection.pause_writing()
    wire.receive(message(type="ping", id=3))
    wire.receive(message(type="ping", id=4))
    assert b'"id"' not in wire.transport.written
    assert not wire.transport.is_reading
    wire.connection.resume_writing()
    for _ in range(5):  # it is served what it missed by one of the next sweeps
        wire.clock.time += 0.1
        wire.gateway.hub.sweep(wire.clock.time)
    assert [b'"id":%d' % id in wire.transport.written for id in (3, 4)] == [True, True]
    assert wire.transport.is_reading
