"""One webhook: where it stands, and what it does next. Pure: time and chance are passed in, nothing is sent here.

    next(now)      -> an Attempt to make now, or None: ask again at `wake_at`, or when `on_change` was called
    answered(...)  <- what came of it

Nothing is queued. What is kept is a position, a cursor of the feed: an attempt is made of what changed since, a user's
last state each, so that a receiver that is down for a day costs what one that is up does. The position moves when a
batch was received, and only then: a batch whose answer was lost comes again.

At most one attempt is under way. A failed one is repeated after a pause that doubles from a second to five minutes,
half of it by chance, or after what `Retry-After` asks for; for 24 hours, then the webhook is *given up*. 410 says that
the receiver is *gone*. Either ends the attempts until `revive` or `replay`; the position stays.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from email.utils import parsedate_to_datetime
from enum import StrEnum
from math import inf
from random import Random
from typing import Final, NamedTuple

from presence_protocol.feed import FeedEntry
from presence_server.application.feed import FeedFilter, FeedPage
from presence_server.application.principals import ADMIN
from presence_server.webhooks import messages
from presence_server.webhooks.file import Webhook
from presence_server.webhooks.ports import Feed, Positions
from presence_server.webhooks.posting import Outcome

FIRST_PAUSE: Final = 1.0
LONGEST_PAUSE: Final = 300.0
"""Seconds. Five minutes: as long does a receiver that is back wait for what it missed, at most."""

PATIENCE: Final = 86_400.0
"""Seconds of failure after which a webhook is given up."""

EMPTY_GAP_WAIT: Final = 30.0
"""Seconds for which a gap waits for a change to come along: after a restart without state, people are just coming back.
Then it is told although nobody is there, so that the receiver forgets those who were."""

GONE: Final = 410


class State(StrEnum):
    """`active`: the last attempt was received, or there was none. `retrying`: it was not. The others have ended."""

    ACTIVE = "active"
    RETRYING = "retrying"
    GIVEN_UP = "given_up"
    GONE = "gone"


class Attempt(NamedTuple):
    """One batch, to be sent now. `made_at` (seconds since 1970): when this very message was made first."""

    message_id: str
    made_at: float
    changes: Sequence[FeedEntry]
    cursor: str
    gap: bool
    """What the receiver holds is void: everybody present follows."""
    is_last: bool
    """Whether nothing else had changed when it was made."""
    began: float


class Tally:
    """Counted since the process began."""

    __slots__ = ("batches", "changes", "failures")

    def __init__(self) -> None:
        self.batches = self.changes = self.failures = 0


class Delivery:
    def __init__(
        self,
        webhook: Webhook,
        feed: Feed,
        filter: FeedFilter,
        positions: Positions,
        random: Random,
        on_change: Callable[[], None],
        tally: Tally | None = None,
    ) -> None:
        """`on_change` is called when there may be something to send: `next` is worth asking."""
        self.webhook = webhook
        self.tally = tally or Tally()
        self.state = State.ACTIVE
        self.position = positions.get(webhook.name)
        self.wake_at = -inf
        self.last_error = ""
        self.last_error_at: float | None = None
        self.received_at: float | None = None
        """When a batch was received last, in seconds since 1970."""
        self.attempts = 0
        """Failed attempts in a row."""
        self._feed = feed
        self._filter = filter
        self._positions = positions
        self._random = random
        self._on_change = on_change
        self._cancel: Callable[[], None] | None = None
        self._under_way: Attempt | None = None
        self._message: tuple[bytes, str, float] | None = None  # digest, id, made at
        self._behind_since: float | None = None
        self._failing_since: float | None = None
        self._has_gap = False
        """Something was not told, and the receiver does not know yet. Meanwhile the position is not kept."""
        self._gap_since = 0.0

    # -- what to do ----------------------------------------------------------------------------------------------

    def next(self, now: float, utc: float) -> Attempt | None:
        """The attempt to make now. None: none, before `wake_at` or `on_change`. Whoever gets one calls `answered`."""
        if self._under_way is not None or self.has_ended or now < self.wake_at:
            return None
        size, is_admin = self.webhook.batch_size, self.webhook.scope == ADMIN
        page = self._feed.page(self.position, size, self._filter, sees_invisible=is_admin)
        if (page.gap or not page.resumed) and not self._has_gap:
            self._has_gap, self._gap_since = True, now
        if not page.entries and (page.more or not self._has_gap or now < self._gap_since + EMPTY_GAP_WAIT):
            self._go_on(page, now)
            return None
        if self._behind_since is None:
            self._behind_since = now
        digest = messages.digest_of(page.entries, page.cursor, self._has_gap)
        if self._message is None or self._message[0] != digest:
            self._message = digest, f"msg_{self._random.getrandbits(128):032x}", utc
        _, message_id, made_at = self._message
        self._under_way = Attempt(message_id, made_at, page.entries, page.cursor, self._has_gap, not page.more, now)
        return self._under_way

    def _go_on(self, page: FeedPage, now: float) -> None:
        """There is nothing to send on this page."""
        if page.cursor != self.position:
            self._move(page.cursor)
        if page.more:
            self.wake_at = now
            return
        self.wake_at = self._gap_since + EMPTY_GAP_WAIT if self._has_gap else inf
        self._behind_since = None
        if self._cancel is None:
            self._cancel = _nothing  # `wait` may call at once
            cancel = self._feed.wait(page.cursor, self._changed)
            if self._cancel is _nothing:
                self._cancel = cancel

    def _changed(self) -> None:
        self._cancel = None
        self._on_change()

    def close(self) -> None:
        """Nothing is waited for any more."""
        if self._cancel is not None:
            self._cancel()
            self._cancel = None

    def changed(self, now: float) -> None:
        """What `on_change` told of happened at `now`: it is sent with what follows within `batch_wait`."""
        if self._behind_since is None:
            self._behind_since = now
        if self._under_way is None and (self.state is State.ACTIVE or (self.wake_at == inf and not self.has_ended)):
            self.wake_at = min(self.wake_at, now + self.webhook.batch_wait)

    # -- what came of it -----------------------------------------------------------------------------------------

    def answered(self, attempt: Attempt, outcome: Outcome, now: float, utc: float) -> None:
        if attempt is not self._under_way:
            return  # it was made from a position that is not this webhook's any more
        self._under_way = None
        if outcome.is_received:
            self._received(attempt, now, utc)
        else:
            self._failed(outcome, now, utc)

    def _received(self, attempt: Attempt, now: float, utc: float) -> None:
        self.tally.batches += 1
        self.tally.changes += len(attempt.changes)
        self.state, self.attempts, self.received_at = State.ACTIVE, 0, utc
        self._failing_since = self._message = None
        self._has_gap = False
        self._move(attempt.cursor)
        if attempt.is_last:
            self._behind_since = None
            self.wake_at = max(now, attempt.began + self.webhook.batch_wait)
        else:
            self.wake_at = now

    def _failed(self, outcome: Outcome, now: float, utc: float) -> None:
        self.tally.failures += 1
        self.attempts += 1
        self.last_error, self.last_error_at = outcome.reason, utc
        if self._failing_since is None:
            self._failing_since = now
        pause = self._pause(outcome.retry_after, utc)
        if outcome.status == GONE:
            self.state, self.wake_at = State.GONE, inf
        elif now + pause - self._failing_since > PATIENCE:
            self.state, self.wake_at = State.GIVEN_UP, inf
        else:
            self.state, self.wake_at = State.RETRYING, now + pause

    def _pause(self, retry_after: str | None, utc: float) -> float:
        """Seconds until the next attempt. By chance, so that many who failed at once do not come back at once."""
        asked = None if retry_after is None else seconds_of(retry_after, utc)
        if asked is not None:
            return max(asked, FIRST_PAUSE) * (1 + self._random.random() / 10)
        longest = min(LONGEST_PAUSE, FIRST_PAUSE * 2.0 ** min(self.attempts - 1, 30))
        return longest * (1 + self._random.random()) / 2

    def _move(self, cursor: str) -> None:
        self.position = cursor
        if not self._has_gap:
            self._positions.set(self.webhook.name, cursor)

    # -- what an operator asks for -------------------------------------------------------------------------------

    @property
    def has_ended(self) -> bool:
        return self.state in (State.GONE, State.GIVEN_UP)

    def lag(self, now: float) -> float:
        """For how many seconds there has been something that was not received; 0: there is nothing."""
        return 0.0 if self._behind_since is None else max(0.0, now - self._behind_since)

    def revive(self) -> None:
        """Try again now, from where it stands."""
        self.attempts, self._failing_since = 0, None
        self.wake_at = -inf
        if self.state is not State.ACTIVE:
            self.state = State.RETRYING
        self._on_change()

    def replay(self, cursor: str | None) -> None:
        """Send again what changed since `cursor`; None: begin with everybody present. What is under way counts not."""
        self._under_way = self._message = None
        self._has_gap = False
        self.position = cursor
        self._positions.set(self.webhook.name, cursor)
        self.revive()


def seconds_of(retry_after: str, utc: float) -> float | None:
    """Seconds from `utc` on that `Retry-After` asks for (RFC 9110, section 10.2.3); None: it says nothing."""
    text = retry_after.strip()
    if text.isascii() and text.isdigit():
        return float(text[:10])
    try:
        return max(0.0, parsedate_to_datetime(text).timestamp() - utc)
    except (ValueError, TypeError, OverflowError):
        return None


def _nothing() -> None:
    """There is nothing to cancel."""
