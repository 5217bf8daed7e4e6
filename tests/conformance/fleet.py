"""Plays cases against a running server: every run on a connection of its own, many connections side by side.

**That pieces arrive apart** is left neither to chance nor to pauses. Nagle's algorithm is off, so that each piece goes
out as it is; then a message on one more connection is sent, and its reply awaited. The server serves sockets in the
order in which they became readable, so by then it has read the piece from each of the others. How many reads it made
is counted by the kernel, and a test holds the count to the number of pieces.
"""

from __future__ import annotations

import json
import socket
import struct
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, suppress
from itertools import accumulate, pairwise
from pathlib import Path
from typing import Any, Final, NamedTuple

import msgpack

from conformance.cases import CASES, Case
from conformance.frames import Echo, Expected, Pong, Refused, Reply
from support.raw import BINARY, CLOSE, PONG, TEXT, RawClient, frame, message, upgrade
from support.server import Server

WIDTH: Final = 150
"""Connections side by side."""

LONG: Final = 600
"""Bytes up to which a case is sent byte by byte throughout, and split at every boundary."""

EDGE: Final = 16
"""Of a longer case: so many bytes at either end of each frame are sent byte by byte ..."""

CHOP: Final = 997
"""... and what is between them in pieces of that many."""

FEW: Final = 24
"""Of a longer case: boundaries within the frames at which it is split; heads are split at each of theirs."""

PATIENCE: Final = 5.0
"""Seconds for what is still to come of a wave."""

BEFORE: Final = 98
AFTER: Final = 99
"""Ids of messages around a case. Each case is followed by one, answered if and only if the connection still stands."""

_ABORT: Final = struct.pack("ii", 1, 0)
"""SO_LINGER that makes of a close a reset, which leaves no TIME_WAIT behind."""


# -- ways of sending -------------------------------------------------------------------------------------------------


class Run(NamedTuple):
    case: Case
    pieces: list[bytes]
    expects: tuple[Expected, ...]


def encoded(case: Case) -> list[bytes]:
    return [sent.encode() for sent in case.sends]


def in_one_write(case: Case) -> Iterator[list[bytes]]:
    yield [b"".join(encoded(case))]


def among_others(case: Case) -> Iterator[list[bytes]]:
    """One write, with a message before it and one after it."""
    yield [b"".join((_message(case.codec, id=BEFORE), *encoded(case), _message(case.codec, id=AFTER)))]


def byte_by_byte(case: Case) -> Iterator[list[bytes]]:
    frames = encoded(case)
    is_short = sum(map(len, frames)) <= LONG
    pieces: list[bytes] = []
    for data in frames:
        inner = range(0) if is_short else range(EDGE, len(data) - EDGE)
        cuts = sorted({*range(len(data)), len(data)} - set(inner) | set(inner[::CHOP]))
        pieces += [data[start:end] for start, end in pairwise(cuts)]
    yield pieces


def split_once(case: Case) -> Iterator[list[bytes]]:
    """In two pieces, at every boundary between two bytes; of a long case, at those near heads and some others."""
    frames = encoded(case)
    data = b"".join(frames)
    cuts = set(range(1, len(data)))
    if len(data) > LONG:
        starts = [0, *accumulate(map(len, frames))]
        near = starts[:2] + starts[-3:]  # of fifty fragments, these will do
        cuts &= {*range(1, len(data), len(data) // FEW), *(start + by for start in near for by in range(-2, EDGE))}
    for cut in sorted(cuts):
        yield [data[:cut], data[cut:]]


WAYS: Final = {
    "one write": in_one_write,
    "among others": among_others,
    "byte by byte": byte_by_byte,
    "split once": split_once,
}


def runs_of(way: str, cases: Iterable[Case] = CASES) -> list[Run]:
    first = (Reply(BEFORE),) if way == "among others" else ()
    return [Run(case, pieces, (*first, *case.expects)) for case in cases for pieces in WAYS[way](case)]


# -- what came back --------------------------------------------------------------------------------------------------


class Other(NamedTuple):
    """A frame that no case expects."""

    opcode: int
    payload: bytes

    def __str__(self) -> str:
        return f"opcode {self.opcode}: {self.payload[:80]!r}" if self.opcode >= 0 else self.payload.decode()


SILENCE: Final = Other(-1, b"and then nothing")


class Heard(NamedTuple):
    frames: tuple[Expected | Other, ...]
    has_ended: bool
    """The server ended the stream. False: it answered the message that followed the case."""

    def __str__(self) -> str:
        return f"{', '.join(map(str, self.frames)) or 'nothing'}; {'the end' if self.has_ended else 'still open'}"


def is_as_expected(run: Run, heard: Heard) -> bool:
    """Whether it is what the case expects. A pong may overtake replies to what came before its ping, no more."""
    if heard.has_ended != run.case.ends or len(heard.frames) != len(run.expects):
        return False
    (wanted, wanted_pongs), (found, found_pongs) = _sorted(run.expects), _sorted(heard.frames)
    return all(map(_fits, wanted, found)) and all(
        found_pong == wanted_pong and position <= latest
        for (latest, wanted_pong), (position, found_pong) in zip(wanted_pongs, found_pongs, strict=False)
    )


def _sorted(frames: Sequence[Expected | Other]) -> tuple[list[Expected | Other], list[tuple[int, Pong]]]:
    """All but pongs; and the pongs, with the number of the others before each."""
    others: list[Expected | Other] = []
    pongs: list[tuple[int, Pong]] = []
    for found in frames:
        if isinstance(found, Pong):
            pongs.append((len(others), found))
        else:
            others.append(found)
    return others, pongs


def _fits(wanted: Expected | Other, found: Expected | Other) -> bool:
    if isinstance(wanted, Refused) and isinstance(found, Echo):
        return int.from_bytes(found.payload[:2], "big") == wanted.code
    return type(wanted) is type(found) and wanted == found


# -- playing ---------------------------------------------------------------------------------------------------------


class Played(NamedTuple):
    heard: list[tuple[Run, Heard]]
    reads: int
    """Reads that the server made of pieces, as far as the kernel tells: those for everything else are taken off."""


def play(server: Server, runs: Sequence[Run]) -> Played:
    """Play each run; those with many pieces together, so that none has to wait for others."""
    ordered = sorted(runs, key=lambda run: len(run.pieces))
    heard: list[tuple[Run, Heard]] = []
    marks = 0
    with RawClient.observer(server) as marker:
        before = reads_of(server)
        for first in range(0, len(ordered), WIDTH):
            wave = ordered[first : first + WIDTH]
            heard += zip(wave, _play_wave(server, wave, marker), strict=True)
            marks += len(wave[-1].pieces)
        # Each connection was read at least once for its request and hello, and once for what followed the case.
        return Played(heard, reads_of(server) - before - marks - 2 * len(runs))


def reads_of(server: Server) -> int:
    """Reads that the server's process made so far; 0 where the system does not tell."""
    with suppress(OSError):
        for line in Path(f"/proc/{server.process.pid}/io").read_text().splitlines():
            if line.startswith("syscr:"):
                return int(line.split()[1])
    return 0


def _play_wave(server: Server, runs: Sequence[Run], marker: RawClient) -> list[Heard]:
    with ExitStack() as stack:
        clients = [stack.enter_context(_Client(server, run.case.codec)) for run in runs]
        for client in clients:
            client.wait_welcome()
        for number in range(len(runs[-1].pieces)):
            for client, run in zip(clients, runs, strict=True):
                if number < len(run.pieces):
                    client.send(run.pieces[number])
            marker.send(message(type="ping"))
            marker.message()
        for client in clients:
            client.send_after()
        return _hear(clients)


def _hear(clients: Sequence[_Client]) -> list[Heard]:
    """What each heard. Once one has waited in vain, the others' time is up as well."""
    heard: list[Heard] = []
    patience = PATIENCE
    for client in clients:
        heard.append(client.hear(patience))
        if SILENCE in heard[-1].frames:
            patience = 0.1
    return heard


class _Client:
    def __init__(self, server: Server, codec: str) -> None:
        self._codec = codec
        self._client = RawClient(server)
        self._client.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._client.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _ABORT)
        offer = upgrade({"Sec-WebSocket-Protocol": f"presence.v1.{codec}"})
        self._client.send(offer + _encode(codec, {"type": "hello", "observer": True}))

    def __enter__(self) -> _Client:
        return self

    def __exit__(self, *_: object) -> None:
        self._client.socket.close()

    def wait_welcome(self) -> None:
        assert self._client.reply().status == 101
        assert b"welcome" in self._client.frame()[1]

    def send(self, data: bytes) -> None:
        with suppress(ConnectionError):  # it may have refused what came before, and have closed
            self._client.send(data)

    def send_after(self) -> None:
        self.send(_message(self._codec, id=AFTER))

    def hear(self, seconds: float) -> Heard:
        """What came since the welcome, up to the reply to what followed the case, or the end of the stream."""
        self._client.socket.settimeout(seconds)
        frames: list[Expected | Other] = []
        try:
            while (found := _named(*self._client.frame())) != Reply(AFTER):
                frames.append(found)
        except ConnectionError:
            return Heard(tuple(frames), has_ended=True)
        except TimeoutError:
            frames.append(SILENCE)
        return Heard(tuple(frames), has_ended=False)


def _named(opcode: int, payload: bytes) -> Expected | Other:
    if opcode == PONG:
        return Pong(payload)
    if opcode == CLOSE:
        return Echo(payload)
    if opcode in (TEXT, BINARY):
        fields = json.loads(payload) if opcode == TEXT else msgpack.unpackb(payload)
        if fields.keys() == {"type", "id"} and fields["type"] == "pong":
            return Reply(fields["id"])
    return Other(opcode, payload)


def _message(codec: str, id: int) -> bytes:
    return _encode(codec, {"type": "ping", "id": id})


def _encode(codec: str, fields: dict[str, Any]) -> bytes:
    return message(**fields) if codec == "json" else frame(BINARY, msgpack.packb(fields))
