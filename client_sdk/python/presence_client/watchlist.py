"""Whom a client watches, what its program was told of them, and who waits for their entries. Pure.

What is known of the users is the `View` of `presence_protocol`; this adds what callers see of it: changes from one
value to the next, and `await client.watch(ids)`, which returns when the entries are there.
"""

from collections.abc import Iterable

from presence_client.changes import Change
from presence_client.errors import PresenceError, RequestFailed
from presence_protocol.messages import Diff, Error, Snapshot, StatusEntry
from presence_protocol.user_ids import UserId
from presence_protocol.view import View, is_shown_alike


class _Waiter:
    def __init__(self, missing: set[UserId]) -> None:
        self.missing = missing
        self.last_refusal: RequestFailed | None = None


class Watchlist:
    """The watched users. Whoever waits for entries is known by a ticket."""

    def __init__(self, now: float) -> None:
        self.view = View(now)
        self._told: dict[UserId, StatusEntry] = {}
        self._waiters: dict[int, _Waiter] = {}

    def adopt(self, view: View) -> None:
        """Follow `view`, a fork of the present one that said hello."""
        view.succeed(self.view)
        self.view = view

    def fold(self, message: Snapshot | Diff) -> tuple[list[Change], list[int]]:
        """Fold a message. Returns what looks different now, and the tickets that wait no longer."""
        changed = self.view.receive(message)
        changes = []
        for entry in changed:
            before = self._told.get(entry.user_id)
            # A user whose entry was dropped and asked for again may look as before.
            if before is None or not is_shown_alike(before, entry):
                changes.append(Change(before, entry))
            self._told[entry.user_id] = entry
        if not self._waiters:
            return changes, []
        entries = message.statuses if isinstance(message, Snapshot) else message.changes
        return changes, self._came(entry.user_id for entry in [*entries, *changed] if self._holds(entry.user_id))

    def _holds(self, user_id: UserId) -> bool:
        return user_id in self.view.entries

    def unwatch(self, user_ids: Iterable[UserId]) -> list[int]:
        """Forget these, which were watched. Returns the tickets that wait no longer."""
        ids = list(user_ids)
        self.view.unwatch(ids)
        for user_id in ids:
            self._told.pop(user_id, None)
        return self._came(ids)

    def refused(self, error: Error, failure: RequestFailed) -> tuple[list[int], bool]:
        """A watch, or hello's own look-up, came to nothing.

        Users that the server cannot look up now (5xx, or 429) stay watched, and are to be asked for again. Others are
        watched no longer: returns the tickets of those who waited for them, and whether there is anybody to ask for.
        """
        before = set(self.view.watched)
        self.view.receive(error)
        withdrawn = before - self.view.watched
        if error.code >= 500 or error.code == 429:
            self.view.watched |= withdrawn
            for waiter in self._waiters.values():
                if waiter.missing & withdrawn:
                    waiter.last_refusal = failure
            return [], bool(withdrawn) or bool(error.id is None and self.view.left_out())
        refused = [ticket for ticket, waiter in self._waiters.items() if waiter.missing & withdrawn]
        for ticket in refused:
            del self._waiters[ticket]
        return refused, False

    def wait(self, ticket: int, user_ids: Iterable[UserId]) -> bool:
        """Let `ticket` wait for the entries of these; False if all of them are there."""
        missing = {user_id for user_id in user_ids if not self._holds(user_id)}
        if missing:
            self._waiters[ticket] = _Waiter(missing)
        return bool(missing)

    def give_up(self, ticket: int) -> PresenceError | None:
        """`ticket` waits no longer. Returns why it waited in vain, where the server said so."""
        waiter = self._waiters.pop(ticket, None)
        return None if waiter is None else waiter.last_refusal

    def take_waiters(self) -> list[int]:
        """The tickets that wait; none of them does any longer."""
        tickets = list(self._waiters)
        self._waiters = {}
        return tickets

    def _came(self, user_ids: Iterable[UserId]) -> list[int]:
        ids = set(user_ids)
        for waiter in self._waiters.values():
            waiter.missing -= ids
        done = [ticket for ticket, waiter in self._waiters.items() if not waiter.missing]
        for ticket in done:
            del self._waiters[ticket]
        return done
