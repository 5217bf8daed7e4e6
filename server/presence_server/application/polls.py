"""Long polls: what a WebSocket would have been pushed, for those who ask again and again.

A poll is served as a resume is, with a cursor that also carries a digest of its id set. If there is nothing to tell
it waits in the interest index like any watcher, and the first diff that would go to it wakes it. An engine may take
its time to look its users up; a poll that is closed before it did is no poll any more when it does.

A poll that waits has one copy of its ids: its edges in the interest index, 16 bytes an id. Lists of them, with the
numbers that are in them, were another 130 bytes an id, for a minute each.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

from presence_server.application.cursors import Cursor, digest_of, resumable_seq
from presence_server.application.entries import unknown
from presence_server.application.fanout import Fanout
from presence_server.application.ports import Engine
from presence_server.application.sight import Sight
from presence_server.domain.interest import Interest
from presence_server.domain.model import UserKey, UserPresence


class PollAnswer(NamedTuple):
    """`changes` merge into what the client holds if `resumed`, else they replace it."""

    changes: list[UserPresence]
    cursor: str
    resumed: bool


class Poll:
    """One request for changes, from its look-up to its answer. An outlet while it waits.

    `user_ids` is empty while it waits, unless some of them are not `visible`: the edges tell them.
    """

    __slots__ = (
        "cursor",
        "digest",
        "is_closed",
        "may_wait",
        "on_answer",
        "on_wait",
        "seq",
        "slot",
        "user_ids",
        "visible",
    )

    def __init__(
        self,
        user_ids: list[UserKey],
        visible: list[UserKey],
        cursor: str | None,
        may_wait: bool,
        on_answer: Callable[[PollAnswer | None], None],
        on_wait: Callable[[], None],
    ) -> None:
        self.user_ids = user_ids
        self.visible = visible
        self.digest = digest_of(user_ids)
        self.cursor = cursor
        self.may_wait = may_wait
        self.on_answer = on_answer
        self.on_wait = on_wait
        self.seq = 0
        self.slot: int | None = None
        self.is_closed = False

    behind = False

    def write(self, frame: bytes) -> None:
        """A change for it: the answer is made from the records, so the frame itself is of no use."""
        self.on_answer(None)


class Polls:
    def __init__(self, engine: Engine, interest: Interest, fanout: Fanout, sight: Sight) -> None:
        self._engine = engine
        self._interest = interest
        self._fanout = fanout
        self._sight = sight
        self._waiting: dict[Poll, None] = {}

    def open(
        self,
        viewer: UserKey | None,
        user_ids: list[UserKey],
        cursor: str | None,
        may_wait: bool,
        now: float,
        on_answer: Callable[[PollAnswer | None], None],
        on_wait: Callable[[], None],
    ) -> Poll:
        """Ask for changes of `user_ids`, which are keys and differ, since `cursor`.

        `on_answer` gets the answer, at once or later; None when there may be something: then call `close`, which
        gives the answer. It gets None as well when the engine cannot tell, and `close` then returns None. `on_wait`
        is called when the users are known and there is nothing to tell yet: from then on the poll waits.
        """
        visible = self._sight.seen(viewer, user_ids)
        poll = Poll(user_ids, visible, cursor, may_wait, on_answer, on_wait)
        self._engine.follow(visible, now, partial(self._known, poll))
        return poll

    def _known(self, poll: Poll, known: bool) -> None:
        if poll.is_closed or not known:
            self._engine.unfollow(poll.visible)
            poll.on_answer(None)
            return
        seq = resumable_seq(self._engine, poll.cursor, lambda: poll.digest)
        if seq is None:
            poll.on_answer(self._finish(poll, self._everything(poll), resumed=False))
            return
        poll.seq = seq
        changes = self._engine.changed_since(poll.visible, seq)
        if changes or not poll.may_wait:
            poll.on_answer(self._finish(poll, changes, resumed=True))
            return
        poll.slot = self._fanout.attach(poll, 0)
        self._interest.watch(poll.slot, poll.visible)
        if poll.visible is poll.user_ids:
            poll.user_ids = []
        poll.visible = []
        self._waiting[poll] = None
        poll.on_wait()

    def close(self, poll: Poll) -> PollAnswer | None:
        """End a poll that waits: it was woken, its time is up, or its client is gone. None: there is no answer."""
        poll.is_closed = True
        if poll.slot is None:
            return None
        poll.visible = self._interest.drop(poll.slot)
        poll.user_ids = poll.user_ids or poll.visible
        self._fanout.detach(poll.slot)
        poll.slot = None
        del self._waiting[poll]
        if not self._engine.floor <= poll.seq:
            return self._finish(poll, self._everything(poll), resumed=False)
        return self._finish(poll, self._engine.changed_since(poll.visible, poll.seq), resumed=True)

    def wake_all(self) -> None:
        """The server is draining: answer everybody now."""
        for poll in list(self._waiting):
            poll.on_answer(None)

    def _everything(self, poll: Poll) -> list[UserPresence]:
        if poll.visible is poll.user_ids:
            return list(map(self._engine.presence, poll.user_ids))
        visible = set(poll.visible)
        return [self._engine.presence(user_id) if user_id in visible else unknown(user_id) for user_id in poll.user_ids]

    def _finish(self, poll: Poll, changes: list[UserPresence], resumed: bool) -> PollAnswer:
        self._engine.unfollow(poll.visible)
        # The records are read here and now, all of them: what is settled for others does not matter.
        cursor = Cursor(self._engine.epoch, self._engine.seq, poll.digest)
        return PollAnswer(changes, str(cursor), resumed)

    def __len__(self) -> int:
        """How many polls wait."""
        return len(self._waiting)
