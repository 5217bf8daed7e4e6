"""What a socket tells without being read from: whether something waits, and whether its client has left."""

from __future__ import annotations

import select
from asyncio import BaseTransport
from typing import Final

SAYS_NO_MORE: Final = getattr(select, "POLLRDHUP", 0)  # Linux
GONE: Final = select.POLLHUP | select.POLLERR


def what_is_said(transport: BaseTransport) -> int:
    """`SAYS_NO_MORE` and `GONE`, or those of them that hold. The end of a client shows past what it sent before."""
    poll = select.poll()
    poll.register(transport.get_extra_info("socket").fileno(), SAYS_NO_MORE)
    return next((events for _, events in poll.poll(0)), 0)


def has_unread(transport: BaseTransport | None) -> bool:
    """Whether something has arrived that the loop has not read yet."""
    found = None if transport is None else transport.get_extra_info("socket")
    if found is None or found.fileno() < 0:
        return False
    poll = select.poll()
    poll.register(found.fileno(), select.POLLIN)
    return bool(poll.poll(0))
