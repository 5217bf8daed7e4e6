"""Numbers of sessions, and of the connections that hold devices: no two are alike in a deployment of many nodes.

A number is that of the node, which whoever keeps the deployment together gives out anew at each start, and below it a
count. One node alone is number 0, so that its numbers are small: a device keeps two of them.
"""

from __future__ import annotations

from typing import Final

COUNT_BITS: Final = 40
"""A node that makes a million numbers in a second makes them for twelve days; at ten thousand, for three years."""


class Numbers:
    """Gives them, one after the other."""

    def __init__(self, node: int = 0) -> None:
        self.last = node << COUNT_BITS
        """The last one given. What outlives the process sets it, so that none is given twice."""

    def next(self) -> int:
        self.last += 1
        return self.last


def node_of(number: int) -> int:
    """The node that gave it."""
    return number >> COUNT_BITS
