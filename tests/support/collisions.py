"""Integers that were chosen so that a dict of CPython's has to pass over thousands of others to place each of them.

An integer is its own hash, and a dict of 2^bits slots looks at slot `hash`, then at `5 * slot + perturb + 1`, with 5
bits less of the hash in `perturb` each time (CPython, Objects/dictobject.c). Once those are used up every search goes
the same round. So the first integers take a stretch of that round, and those that are left are such that all they look
at on their way lies in the stretch.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice


def colliding(count: int) -> list[int]:
    """That many positive integers below 2^27, in the order in which they have to be put in."""
    bits = (count * 3 // 2).bit_length()  # a dict is filled up to two thirds
    mask = (1 << bits) - 1
    stretch: dict[int, None] = {}
    slot = 1
    while len(stretch) < 4 * count // 5:
        stretch[slot] = None
        slot = (5 * slot + 1) & mask
    return [*stretch, *islice(_inside(stretch, mask), count - len(stretch))]


def _inside(stretch: dict[int, None], mask: int) -> Iterator[int]:
    """Integers whose search stays within the stretch until it goes round."""
    for number in range(mask + 1, 1 << 27):
        slot, perturb = number & mask, number
        while slot in stretch and perturb:
            perturb >>= 5
            slot = (5 * slot + perturb + 1) & mask
        if slot in stretch:
            yield number
