"""Lists of user ids in ascending order, each once; and what is done with long ones, piece by piece.

Members are kept as ids, in order; numbers in arrays: 8 bytes each, where a set takes 60. Clients choose ids, so none is
hashed here.

A list may hold 10,000 ids, and whatever walks through one would keep the loop from others: it is a generator whose
steps take less than a millisecond each. `finish` does all of them at once.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Generator, Iterable, Iterator, Sequence
from itertools import groupby
from typing import Any, Final, TypeVar

from presence_protocol.user_ids import UserId

Members = Sequence[UserId]
"""Ids in ascending order, each once."""

NONE: Final[Members] = ()

PIECE: Final = 200
"""Ids of one list in one step: what comes of a change for those who watch costs 2 us and more an id."""

_RUN: Final = 2_000
"""Ids that are sorted in one step."""

T = TypeVar("T")
Steps = Generator[None, None, T]


def finish(steps: Generator[Any, None, T]) -> T:
    """Do all steps, here and now. Returns what they come to."""
    while True:
        try:
            next(steps)
        except StopIteration as end:
            return end.value  # type: ignore[no-any-return]


def holds(members: Members, user_id: UserId) -> bool:
    place = bisect_left(members, user_id)
    return place < len(members) and members[place] == user_id


def in_order(user_ids: Sequence[UserId]) -> Steps[Members]:
    """`user_ids` as a list: sorted, without repeats."""
    found: list[UserId] = []
    for start in range(0, len(user_ids), _RUN):
        found += sorted(user_ids[start : start + _RUN])
        yield
    found.sort()  # runs are merged: a tenth of what it takes to sort
    distinct = [user_id for user_id, _ in groupby(found)]
    yield
    return packed(distinct)


def without(members: Members, others: Members) -> Steps[Members]:
    """Those of `members` that `others` does not hold. It takes as long as `others` are many."""
    left: list[UserId] = []
    place = 0
    for number, other in enumerate(others if members else NONE):
        if number % PIECE == PIECE - 1:
            yield
        found = bisect_left(members, other, place)
        left += members[place:found]
        place = found + (found < len(members) and members[found] == other)
    if not place:
        return members
    left += members[place:]
    return packed(left)


def cut(members: Members, user_id: UserId) -> Members:
    """`members` without one id, which it holds."""
    place = bisect_left(members, user_id)
    return _joined(members[:place], members[place + 1 :])


def stages(before: Iterable[Members], after: Iterable[Members]) -> Iterator[tuple[list[Members], list[UserId]]]:
    """The way from the lists `before` to those `after`, a piece at a time, by ascending ids.

    With each stage the lists as they are then, and the ids that changed. An id changes in all lists at once, so nobody
    is in between.
    """
    first, last = list(before), list(after)
    half = len(first)
    lists = [*first, *last]
    places = [0] * len(lists)
    while True:
        bounds = [each[at + PIECE - 1] for each, at in zip(lists, places, strict=True) if at + PIECE <= len(each)]
        if bounds:
            bound = min(bounds)
            ends = [bisect_right(each, bound, at) for each, at in zip(lists, places, strict=True)]
        else:
            ends = list(map(len, lists))
        pieces = [each[at:end] for each, at, end in zip(lists, places, ends, strict=True)]
        changed: list[UserId] = []
        for old, new in zip(pieces[:half], pieces[half:], strict=True):
            changed += [user_id for user_id in old if not holds(new, user_id)]
            changed += [user_id for user_id in new if not holds(old, user_id)]
        made = [
            _joined(new[: ends[half + at]], old[ends[at] :])
            for at, (old, new) in enumerate(zip(first, last, strict=True))
        ]
        yield made, [user_id for user_id, _ in groupby(sorted(changed))]
        if not bounds:
            return
        places = ends


def _joined(head: Members, tail: Members) -> Members:
    """Both are pieces of lists of one kind; an empty list is of any."""
    if not head or not tail:
        return head or tail
    return head + tail  # type: ignore[operator,no-any-return]


def packed(found: list[UserId]) -> Members:
    """Numbers take 8 bytes each."""
    numbers: list[Any] = found
    return array("q", numbers) if numbers and isinstance(numbers[0], int) else tuple(found)
