"""Tokens that were verified, by their digests: an elliptic signature costs more than a request does.

A token is remembered once it comes a second time: a REST client sends the same one with every request, a connection
sends its own once. So idle connections cost nothing here (an entry has 100 bytes), and a crowd that connects does not
push out those who ask again and again. What came once is a number in a table of fixed size, where a later one may
take its place: it is verified once more then. Caches call that a doorkeeper (Einziger, Friedman and Manes, "TinyLFU",
2017, section 3.4.2).
"""

from __future__ import annotations

from array import array
from hashlib import sha256
from typing import Final

from presence_server.application.principals import Principal

REMEMBERED: Final = 10_000
"""Tokens that are remembered: 2 MB with their principals."""

SLOTS: Final = 1 << 14
"""Tokens that are known to have come once: 64 KB."""


class Verified:
    def __init__(self) -> None:
        self._principals: dict[bytes, Principal] = {}
        self._once = _empty()

    def find(self, digest: bytes) -> Principal | None:
        """Whose token it is, if it is remembered."""
        return self._principals.get(digest)

    def add(self, digest: bytes, principal: Principal) -> None:
        """It was verified just now. Of many, the one remembered longest ago is forgotten."""
        slot, mark = int.from_bytes(digest[:4]) % SLOTS, int.from_bytes(digest[4:8])
        if self._once[slot] != mark:
            self._once[slot] = mark
            return
        if len(self._principals) >= REMEMBERED:
            del self._principals[next(iter(self._principals))]
        self._principals[digest] = principal

    def clear(self) -> None:
        self._principals.clear()
        self._once = _empty()

    def __len__(self) -> int:
        return len(self._principals)


def digest_of(token: str) -> bytes:
    return sha256(token.encode("utf-8", "surrogatepass")).digest()


def _empty() -> array[int]:
    return array("I", bytes(array("I").itemsize * SLOTS))
