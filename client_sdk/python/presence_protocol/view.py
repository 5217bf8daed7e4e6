"""What a watcher knows: snapshots and diffs folded.

Two pure rules do it. A full snapshot replaces what is held of its users; a diff, and the snapshot that answers a
resumed hello, merge by greater version. `View` keeps, beside the entries, what those rules depend on: who is
watched, what was asked and is not answered yet, and the cursor.

A cursor speaks for every user whose entry is held, and for nobody else. Hence the three things that `View` is
careful about:

- While the snapshot that answers hello is incomplete, cursors are not taken: some of the entries may be older.
- A user who was asked for and not yet answered has no entry, and gets none from a diff: that one was on its way
  for an earlier watch of the same user, whose withdrawal is on its way, too.
- Only users with an entry go into a hello with a cursor; the others are watched after the welcome.

Each part of a snapshot is folded as it comes, not when the last has come: a diff between two parts may be newer
than the first of them.
"""

from collections.abc import Collection, Container, Iterable

from presence_protocol.messages import AnyServerMessage, Diff, Error, Snapshot, StatusEntry, Welcome
from presence_protocol.user_ids import UserId

Entries = dict[UserId, StatusEntry]


def unknown(user_id: UserId) -> StatusEntry:
    """The entry of a user of whom nothing is known."""
    return StatusEntry(user_id=user_id, status="OFFLINE", platforms=[], last_active_time=None, version=0)


def is_shown_alike(one: StatusEntry, other: StatusEntry) -> bool:
    """Whether two entries of one user differ in nothing but their version."""
    return (
        one.status == other.status
        and one.platforms == other.platforms
        and one.status_text == other.status_text
        and one.platform_status == other.platform_status
        and one.status_emoji == other.status_emoji
        and one.idle_since == other.idle_since
        and one.last_active_time == other.last_active_time
        and one.last_seen == other.last_seen
    )


def apply_snapshot(
    view: Entries, statuses: Iterable[StatusEntry], asked: Collection[UserId] | None
) -> list[StatusEntry]:
    """Replace what `view` holds of the users asked for; versions may go back.

    With `asked`, entries of other users are ignored, and users that the snapshot does not name become unknown.
    With None, the snapshot speaks for the users that it names.

    Returns the entries that changed what is shown, in the order of the snapshot.
    """
    if asked is None:
        named = {entry.user_id: entry for entry in statuses}
    else:
        ids = set(asked)
        # Nobody else's ids are put into a dict: a hostile server could choose them so that they collide.
        named = {entry.user_id: entry for entry in statuses if entry.user_id in ids}
        named |= {user_id: unknown(user_id) for user_id in asked if user_id not in named}
    return [entry for entry in named.values() if _put(view, entry)]


def apply_diff(view: Entries, changes: Iterable[StatusEntry], watched: Container[UserId]) -> list[StatusEntry]:
    """Merge by greater version: equal and smaller ones change nothing. Entries of users not watched are ignored.

    Returns the entries that changed what is shown.
    """
    changed = []
    for entry in changes:
        if entry.user_id not in watched:
            continue
        held = view.get(entry.user_id)
        if (held is None or held.version < entry.version) and _put(view, entry):
            changed.append(entry)
    return changed


def _put(view: Entries, entry: StatusEntry) -> bool:
    held = view.get(entry.user_id)
    view[entry.user_id] = entry
    return held is None or not is_shown_alike(held, entry)


class View:
    """One watcher's view over any number of connections. It sends nothing; it is told what was sent and received.

    It follows one connection at a time: from `hello()` on, what an older one still receives is not for it.

    `entries` is for reading. `stale_since` is the time since when they may be out of date, None while they are kept
    up to date; a view starts out stale. Times are in whatever unit the caller passes in.

    Every `watch` must have an `id`, used for no other message of the same connection.
    """

    def __init__(self, now: float) -> None:
        self.entries: Entries = {}
        self.watched: set[UserId] = set()
        self.cursor: str | None = None
        self.stale_since: float | None = now
        self._awaited: dict[UserId, int] = {}  # user -> the id of the watch that will be answered with an entry
        self._hello_open = False  # hello's snapshot is still to come, or to be completed
        self._hello_asked: dict[UserId, None] = {}  # its users that no part has named yet, in order
        self._is_resumed = False

    def __repr__(self) -> str:
        freshness = "fresh" if self.stale_since is None else f"stale since {self.stale_since}"
        return f"<View of {len(self.watched)}, {len(self._awaited)} awaited, {freshness}>"

    def hello(self) -> tuple[list[UserId], str | None]:
        """What to put into a hello: `watch`, and the `cursor` that speaks for these users (None: none does)."""
        if self.cursor is None or not self.entries:
            self.cursor = None
            self._hello_asked = dict.fromkeys(_in_order(self.watched))
        else:
            self._hello_asked = dict.fromkeys(_in_order(self.entries))
        self._hello_open = True
        self._is_resumed = False
        self._awaited = {}
        return list(self._hello_asked), self.cursor

    def left_out(self) -> list[UserId]:
        """Watched users whom the last hello left out, or whose look-up failed: `watch` them after the welcome."""
        return _in_order(self.watched.difference(self._hello_asked, self._awaited, self.entries))

    def fork(self) -> "View":
        """A copy for a connection that is to replace the present one, which this view goes on following.

        Say `hello` with the copy, and `succeed` when it takes over.
        """
        copy = View(0.0)
        copy.entries = dict(self.entries)
        copy.watched = set(self.watched)
        copy.cursor = self.cursor
        copy.stale_since = self.stale_since
        return copy

    def succeed(self, former: "View") -> None:
        """This copy's connection takes over from that of `former`; to be called before its welcome is received.

        What `former` learned since is at least as new as the cursor that was said in hello, so it is taken over, but
        only of users named there: for the others, this connection's cursors will not speak. Whoever has no entry
        is not waited for either: a resumed snapshot may not name them.
        """
        self.watched = set(former.watched)
        comes = self.watched if self.cursor is None else former.entries.keys()
        self._hello_asked = {user_id: None for user_id in self._hello_asked if user_id in comes}
        self.entries = {user_id: entry for user_id, entry in former.entries.items() if user_id in self._hello_asked}
        self.stale_since = former.stale_since

    def watch(self, user_ids: Iterable[UserId], id: int | None = None) -> list[UserId]:
        """`watch` is about to be sent with this `id`; without one: it cannot be, and the next hello will ask.

        Returns those of the users whom nobody asked for yet: what to send, if any.
        """
        wanted = [user_id for user_id in dict.fromkeys(user_ids) if not self._is_asked(user_id)]
        self.watched.update(wanted)
        if id is not None:
            self._awaited.update(dict.fromkeys(wanted, id))
        return wanted

    def _is_asked(self, user_id: UserId) -> bool:
        return user_id in self.entries or user_id in self._awaited or user_id in self._hello_asked

    def unwatch(self, user_ids: Iterable[UserId]) -> None:
        """`unwatch` was sent, or could not be."""
        gone = set(user_ids)
        self.watched -= gone
        for user_id in gone:
            self.entries.pop(user_id, None)
            self._awaited.pop(user_id, None)
            self._hello_asked.pop(user_id, None)

    def receive(self, message: AnyServerMessage) -> list[StatusEntry]:
        """Fold a message. Returns the entries that changed what is shown; messages of other kinds change nothing."""
        match message:
            case Welcome():
                self._welcomed(message)
            case Snapshot():
                return self._fold_snapshot(message)
            case Diff(changes=changes, cursor=cursor):
                if not self._hello_open:
                    self.cursor = cursor
                return apply_diff(self.entries, changes, self.entries.keys())
            case Error():
                self._refused(message)
        return []

    def lost(self, now: float) -> None:
        """The connection ended. The entries stay, stale from now on unless they were already."""
        if self.stale_since is None:
            self.stale_since = now
        self._awaited = {}
        self._hello_open = False
        self._hello_asked = {}

    def _welcomed(self, welcome: Welcome) -> None:
        self._is_resumed = welcome.resumed
        if not welcome.resumed:
            self.cursor = None
        if not self._hello_asked:
            self._caught_up()

    def _caught_up(self) -> None:
        self._hello_open = False
        self._hello_asked = {}
        self.stale_since = None

    def _fold_snapshot(self, part: Snapshot) -> list[StatusEntry]:
        if part.id is None and self._hello_open:
            changed = self._fold_hello_part(part)
            if not part.more:
                self._caught_up()
        else:
            changed = self._fold_watch_part(part)
        if part.cursor is not None and not self._hello_open:
            self.cursor = part.cursor
        return changed

    def _fold_hello_part(self, part: Snapshot) -> list[StatusEntry]:
        asked = self._hello_asked
        if self._is_resumed:
            return apply_diff(self.entries, part.statuses, asked)
        named = [entry.user_id for entry in part.statuses if entry.user_id in asked]
        changed = apply_snapshot(self.entries, part.statuses, named)
        for user_id in named:
            asked.pop(user_id, None)
        if not part.more:
            changed += apply_snapshot(self.entries, (), list(asked))
        return changed

    def _fold_watch_part(self, part: Snapshot) -> list[StatusEntry]:
        statuses = [
            entry
            for entry in part.statuses
            if entry.user_id in self.watched and self._awaited.get(entry.user_id, part.id) == part.id
        ]
        for entry in statuses:
            self._awaited.pop(entry.user_id, None)
        changed = apply_snapshot(self.entries, statuses, None)
        if part.id is not None and not part.more:
            changed += apply_snapshot(self.entries, (), self._withdraw(part.id))
        return changed

    def _withdraw(self, id: int) -> list[UserId]:
        """Stop waiting for what the request was to answer; returns the users in question."""
        users = [user_id for user_id, request in self._awaited.items() if request == id]
        for user_id in users:
            del self._awaited[user_id]
        return users

    def _refused(self, error: Error) -> None:
        """A watch was refused: its users are not watched. Hello's look-up took too long: they are left out."""
        if error.id is not None:
            self.watched.difference_update(self._withdraw(error.id))
        elif self._hello_open and error.error in ("unavailable", "too_many_requests"):
            for user_id in self._hello_asked:
                self.entries.pop(user_id, None)
            self._caught_up()


def _in_order(user_ids: Iterable[UserId]) -> list[UserId]:
    """Always the same order, which says nothing. Ids of one client are of one kind."""
    return sorted(user_ids)
