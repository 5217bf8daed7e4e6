"""What a case sends and what it expects, as data: readable, printable, and turned into bytes by a few lines."""

from __future__ import annotations

from itertools import pairwise
from typing import Any, Final, NamedTuple

from support.raw import BINARY, CLOSE, CONTINUATION, FIN, PING, PONG, TEXT

MASK: Final = bytes.fromhex("37fa213d")
"""RFC 6455 section 5.7 masks its example with this."""

NAMES: Final = {CONTINUATION: "more", TEXT: "text", BINARY: "binary", CLOSE: "close", PING: "ping", PONG: "pong"}


class Sent(NamedTuple):
    """A client's frame, right or wrong."""

    opcode: int
    payload: bytes = b""
    fin: bool = True
    rsv: int = 0
    """The three reserved bits: RSV1 is 4, RSV2 is 2, RSV3 is 1."""
    mask: bytes | None = MASK
    length_bytes: int | None = None
    """0, 2 or 8 beyond the seven bits; None: as few as will do."""
    claimed: int | None = None
    """The length that the head says, if it is not the payload's."""

    def encode(self) -> bytes:
        size = len(self.payload) if self.claimed is None else self.claimed
        extended = self.length_bytes
        if extended is None:
            extended = 0 if size < 126 else 2 if size < 65_536 else 8
        short = size if extended == 0 else 126 if extended == 2 else 127
        first = (FIN if self.fin else 0) | self.rsv << 4 | self.opcode
        second = short | (0 if self.mask is None else 0x80)
        return bytes((first, second)) + (size.to_bytes(extended, "big") if extended else b"") + self._masked()

    def _masked(self) -> bytes:
        if self.mask is None:
            return self.payload
        stream = self.mask * (len(self.payload) // 4 + 1)
        size = len(self.payload)
        masked = int.from_bytes(self.payload, "big") ^ int.from_bytes(stream[:size], "big")
        return self.mask + masked.to_bytes(size, "big")

    def __str__(self) -> str:
        name = NAMES.get(self.opcode, f"opcode {self.opcode}")
        if self.opcode == CLOSE and len(self.payload) >= 2:
            name = f"{name} {int.from_bytes(self.payload[:2], 'big')}"
        odd = [] if self.fin else ["not final"]
        odd += [f"RSV {self.rsv}"] if self.rsv else []
        odd += ["not masked"] if self.mask is None else []
        odd += [f"length in {self.length_bytes} bytes"] if self.length_bytes is not None else []
        odd += [f"says {self.claimed}"] if self.claimed is not None else []
        return f"{name} [{', '.join([str(len(self.payload)), *odd])}]"


def text(payload: bytes, **odd: Any) -> Sent:
    return Sent(TEXT, payload)._replace(**odd)


def binary(payload: bytes, **odd: Any) -> Sent:
    return Sent(BINARY, payload)._replace(**odd)


def more(payload: bytes, **odd: Any) -> Sent:
    """A continuation frame."""
    return Sent(CONTINUATION, payload)._replace(**odd)


def ping(payload: bytes = b"", **odd: Any) -> Sent:
    return Sent(PING, payload)._replace(**odd)


def pong(payload: bytes = b"", **odd: Any) -> Sent:
    return Sent(PONG, payload)._replace(**odd)


def close(code: int | None = None, reason: bytes = b"", **odd: Any) -> Sent:
    return Sent(CLOSE, b"" if code is None else code.to_bytes(2, "big") + reason)._replace(**odd)


def in_fragments(payload: bytes, *ends: int, opcode: int = TEXT) -> tuple[Sent, ...]:
    """One message in fragments that end at these positions, and at its end."""
    cuts = [0, *ends, len(payload)]
    pieces = [payload[start:end] for start, end in pairwise(cuts)]
    last = len(pieces) - 1
    return tuple(
        Sent(CONTINUATION if number else opcode, piece, fin=number == last) for number, piece in enumerate(pieces)
    )


# -- what comes back -------------------------------------------------------------------------------------------------


class Pong(NamedTuple):
    payload: bytes = b""

    def __str__(self) -> str:
        return f"pong [{len(self.payload)}]"


class Reply(NamedTuple):
    """The protocol's `pong` to the message with this id, which was therefore read."""

    id: int = 7

    def __str__(self) -> str:
        return "reply" if self.id == 7 else f"reply {self.id}"


class Echo(NamedTuple):
    """The client's own close frame, byte for byte, and the end of the stream."""

    payload: bytes = b""

    def __str__(self) -> str:
        return f"close {int.from_bytes(self.payload[:2], 'big')}" if self.payload else "close without a code"


class Refused(NamedTuple):
    """A close frame with this code, whatever its reason says, and the end of the stream."""

    code: int

    def __str__(self) -> str:
        return f"close {self.code}"


Expected = Pong | Reply | Echo | Refused


def is_end(expected: Expected) -> bool:
    return isinstance(expected, Echo | Refused)
