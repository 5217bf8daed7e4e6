"""Long polls: what a WebSocket would have been pushed, for those who ask again and again.

A poll is served as a resume is, with a cursor that also carries a digest of its id set. If there is nothing to tell
it waits in the interest index like any watcher, and the first diff that would go to it wakes it. An engine may take
its time to look its users up; a poll that is closed before it did is no poll any more when it does.

Who may be seen is decided when its edges are added, and again when it is answered: if a permission has changed while
it waited, it is answered at once, with everything anew.

A poll that waits has one copy of its ids: its edges in the interest index, 16 bytes an id. Lists of them, with the
numbers that are in them, were another 130 bytes an id, for a minute each.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

from presence_server.application.cursors import Cursor, digest_of, resumable_seq
from presence_server.application.edges import Edges
from presence_server.application.fanout import Fanout
from presence_server.application.permissions import Permissions
from presence_server.application.sight import Sight
from presence_server.application.views import Views
from presence_server.domain.model import UserKey, UserPresence


class PollAnswer(NamedTuple):
    """`changes` merge into what the client holds if `resumed`, else they replace it. `stamp`: see `Sight.stamp`."""

    changes: list[UserPresence]
    cursor: str
    resumed: bool
    stamp: tuple[int, int]


class Poll:
    """One request for changes, from its look-up to its answer. An outlet while it waits.

    `user_ids` is empty while it waits: the edges tell them.
    """

    __slots__ = (
        "cursor",
        "digest",
        "is_closed",
        "is_stale",
        "may_wait",
        "on_answer",
        "on_wait",
        "seq",
        "slot",
        "user_ids",
        "viewer",
    )

    def __init__(
        self,
        viewer: UserKey,
        user_ids: list[UserKey],
        cursor: str | None,
        may_wait: bool,
        on_answer: Callable[[PollAnswer | None], None],
        on_wait: Callable[[], None],
    ) -> None:
        self.viewer = viewer
        self.user_ids = user_ids
        self.digest = digest_of(user_ids)
        self.cursor = cursor
        self.may_wait = may_wait
        self.on_answer = on_answer
        self.on_wait = on_wait
        self.seq = 0
        self.slot: int | None = None
        self.is_closed = False
        self.is_stale = False

    behind = False

    def write(self, frame: bytes) -> None:
        """A change for it: the answer is made from the records, so the frame itself is of no use."""
        self.on_answer(None)

    def go_stale(self) -> None:
        """What it may see is another: it is answered now, with everything anew."""
        self.is_stale = True
        self.on_answer(None)


class Polls:
    def __init__(self, views: Views, fanout: Fanout, sight: Sight, edges: Edges, permissions: Permissions) -> None:
        self._views = views
        self._fanout = fanout
        self._sight = sight
        self._edges = edges
        self._permissions = permissions
        self._waiting: dict[Poll, None] = {}

    def open(
        self,
        viewer: UserKey,
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
        poll = Poll(viewer, user_ids, cursor, may_wait, on_answer, on_wait)
        self._sight.learn(viewer, user_ids, now, partial(self._learned, poll, now))
        return poll

    def _learned(self, poll: Poll, now: float, seconds: float | None) -> None:
        if poll.is_closed:
            poll.on_answer(None)
            return
        self._views.follow(poll.user_ids, now, partial(self._known, poll, now, seconds))

    def _known(self, poll: Poll, asked_at: float, seconds: float | None, known: bool) -> None:
        if poll.is_closed or not known:
            self._views.unfollow(poll.user_ids)
            poll.on_answer(None)
            return
        seq = resumable_seq(self._views, poll.cursor, lambda: poll.digest)
        if seq is None or not self._sight.covers(poll.viewer, seq):
            poll.on_answer(self._finish(poll, self._everything(poll), resumed=False))
            return
        poll.seq = seq
        changes = self._views.changed_since(self._sight.topics(poll.viewer, poll.user_ids), seq)
        if changes or not poll.may_wait:
            poll.on_answer(self._finish(poll, changes, resumed=True))
            return
        poll.slot = self._fanout.attach(poll, 0)
        self._edges.add(poll.slot, poll.viewer, poll.user_ids)
        poll.user_ids = []
        self._waiting[poll] = None
        self._permissions.hold_for(poll.viewer, seconds, asked_at)  # as in `Watching`
        if not self._sight.policy.is_open or self._sight.is_reciprocal:
            self._permissions.join(poll)
        poll.on_wait()

    def close(self, poll: Poll) -> PollAnswer | None:
        """End a poll that waits: it was woken, its time is up, or its client is gone. None: there is no answer."""
        poll.is_closed = True
        if poll.slot is None:
            return None
        poll.user_ids = self._edges.drop(poll.slot)
        self._permissions.leave(poll)
        self._fanout.detach(poll.slot)
        poll.slot = None
        del self._waiting[poll]
        if poll.is_stale or not self._views.floor <= poll.seq:
            return self._finish(poll, self._everything(poll), resumed=False)
        topics = self._sight.topics(poll.viewer, poll.user_ids)
        return self._finish(poll, self._views.changed_since(topics, poll.seq), resumed=True)

    def wake_all(self) -> None:
        """The server is draining: answer everybody now."""
        for poll in list(self._waiting):
            poll.on_answer(None)

    def _everything(self, poll: Poll) -> list[UserPresence]:
        return list(map(self._views.presence, self._sight.topics(poll.viewer, poll.user_ids)))

    def _finish(self, poll: Poll, changes: list[UserPresence], resumed: bool) -> PollAnswer:
        self._views.unfollow(poll.user_ids)
        # The records are read here and now, all of them: what is settled for others does not matter.
        cursor = Cursor(self._views.epoch, self._views.seq, poll.digest)
        return PollAnswer(changes, str(cursor), resumed, self._sight.stamp(poll.viewer))

    def __len__(self) -> int:
        """How many polls wait."""
        return len(self._waiting)
