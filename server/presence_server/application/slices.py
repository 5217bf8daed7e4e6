"""Answers made piece by piece, so that no message keeps the loop from others for long.

An answer about many users is an iterator: each step does a piece of it, a millisecond at most. The session's link
takes the steps when it has its turn and its socket has room (`Hub.go_on`). What is brief, or one piece while nobody
else is busy, is done at once.

**What holds meanwhile.** The session is *behind*, as a slow one is: it is not read from, so that replies keep their
order, and no diff is written to it. The edges are there before the first step; each step reads the presences of its
piece and sends them, with nothing in between. Whatever changes after the answer began is told after it, when the
session is served from the seq that was settled when it began; and that seq is the answer's cursor. So no cursor is
given halfway that would claim those who are still to be told of, whatever becomes of the connection.

**What is kept.** The keys of those who were asked for, and one part: the next is made once the part before has gone out
to the socket. So a client that asks and does not read holds no more than that.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final

from presence_server.application.entries import parts
from presence_server.domain.model import UserKey, UserPresence

PIECE = 500
"""Users in one step: a millisecond at most."""

AT_ONCE = 32
"""Users about whom an answer is made at once, whoever else is busy: it costs no more than any other message."""

DONE: Final = object()
"""What `next(steps, DONE)` gives when there is no step left."""


def pieces(user_ids: list[UserKey]) -> Iterator[tuple[list[UserKey], bool]]:
    """Cut into what one step may do, and whether it is the last; at least one piece, even of nothing."""
    if len(user_ids) <= PIECE:
        yield user_ids, True
        return
    for start in range(0, len(user_ids), PIECE):
        yield user_ids[start : start + PIECE], start + PIECE >= len(user_ids)


def messages(
    presences: Iterable[UserPresence], is_last: bool, most_bytes: int
) -> list[tuple[list[UserPresence], bool]]:
    """One piece as what fits a message each, and whether more follows it."""
    cut = list(parts(presences, most_bytes))
    return [(part, not is_last or number < len(cut)) for number, part in enumerate(cut, 1)]
