"""One webhook on a clock that only the test moves: what it sends when, and what it makes of each answer."""

from __future__ import annotations

from collections.abc import Callable
from math import inf
from random import Random
from typing import Any

import pytest

from presence_protocol.feed import FeedEntry
from presence_server.application.feed import EVERYTHING, FeedFilter, FeedPage
from presence_server.webhooks.delivery import (
    EMPTY_GAP_WAIT,
    FIRST_PAUSE,
    LONGEST_PAUSE,
    PATIENCE,
    Attempt,
    Delivery,
    State,
    seconds_of,
)
from presence_server.webhooks.file import Webhook
from presence_server.webhooks.ports import PositionsInMemory
from presence_server.webhooks.posting import Outcome
from support.receiver import SECRET

UTC = 1_762_700_400.0
"""Seconds since 1970 at the clock's 0."""

OK = Outcome(200)
DOWN = Outcome(reason="nobody is there")


class Table:
    """A feed of a few lines: users in the order of their last change. `before`: the epoch, so that it may restart."""

    def __init__(self) -> None:
        self.epoch = "a"
        self.seq = 0
        self.entries: dict[int, tuple[int, FeedEntry]] = {}
        self.waiting: list[Callable[[], None]] = []
        self.pages = 0
        self.least = 0
        """Users that a page looks at come from beyond this seq: the others are not to be told."""

    def change(self, user_id: int, status: str = "ONLINE") -> None:
        self.seq += 1
        self.entries.pop(user_id, None)
        self.entries[user_id] = self.seq, FeedEntry(user_id, status, [], self.seq, "connected", 0)
        waiting, self.waiting = self.waiting, []
        for callback in waiting:
            callback()

    def page(
        self, cursor: str | None, limit: int, filter: FeedFilter = EVERYTHING, *, sees_invisible: bool
    ) -> FeedPage:
        self.pages += 1
        epoch, _, seq = (cursor or "").partition(".")
        resumed = epoch == self.epoch
        begin = int(seq) if resumed else 0
        found = [(at, entry) for at, entry in self.entries.values() if at > begin]
        page = found[:limit]
        end = page[-1][0] if page else self.seq
        entries = [entry for at, entry in page if at > self.least and (resumed or entry.status != "OFFLINE")]
        gap = cursor is not None and not resumed
        return FeedPage(entries, f"{self.epoch}.{end}", resumed, gap, len(found) > limit)

    def wait(self, cursor: str, callback: Callable[[], None]) -> Callable[[], None]:
        if int(cursor.partition(".")[2]) < self.seq:
            callback()
        else:
            self.waiting.append(callback)
        return lambda: self.waiting.clear()


class World:
    """A webhook, its feed, and the time."""

    def __init__(self, *, position: str | None = "a.0", seed: int = 1, **fields: Any) -> None:
        self.now = 0.0
        self.table = Table()
        self.positions = PositionsInMemory()
        if position is not None:
            self.positions.set("crm", position)
        self.webhook = Webhook("crm", "https://crm.example.com/", (SECRET,), **{"batch_wait": 1.0, **fields})
        self.calls = 0
        self.delivery = Delivery(
            self.webhook, self.table, EVERYTHING, self.positions, Random(seed), lambda: self.on_change()
        )

    def on_change(self) -> None:
        self.calls += 1
        self.delivery.changed(self.now)

    @property
    def utc(self) -> float:
        return UTC + self.now

    def next(self) -> Attempt | None:
        return self.delivery.next(self.now, self.utc)

    def due(self) -> Attempt:
        """The next attempt, whenever it is due."""
        while True:
            attempt = self.next()
            if attempt is not None:
                return attempt
            assert self.delivery.wake_at < inf, "nothing is due, whatever time it gets"
            self.now = max(self.now, self.delivery.wake_at)

    def is_idle(self) -> bool:
        """Whether nothing is to be done until something changes."""
        while self.next() is None:
            if self.delivery.wake_at == inf:
                return True
            self.now = max(self.now, self.delivery.wake_at)
        return False

    def answer(self, attempt: Attempt, outcome: Outcome = OK) -> None:
        self.delivery.answered(attempt, outcome, self.now, self.utc)

    def deliver(self) -> list[tuple[int, str]]:
        attempt = self.due()
        self.answer(attempt)
        return told(attempt)


def told(attempt: Attempt) -> list[tuple[int, str]]:
    return [(int(entry.user_id), entry.status) for entry in attempt.changes]


def test_without_a_position_it_begins_with_everybody_present_and_says_so() -> None:
    world = World(position=None)
    world.table.change(1)
    world.table.change(2, "OFFLINE")
    world.table.change(3)
    attempt = world.due()
    assert (told(attempt), attempt.gap, attempt.cursor) == ([(1, "ONLINE"), (3, "ONLINE")], True, "a.3")
    world.answer(attempt)
    world.table.change(2)
    attempt = world.due()
    assert (told(attempt), attempt.gap) == ([(2, "ONLINE")], False)


def test_with_one_it_goes_on_from_there() -> None:
    world = World(position="a.1")
    world.table.change(1)
    world.table.change(2)
    attempt = world.due()
    assert (told(attempt), attempt.gap) == ([(2, "ONLINE")], False)


def test_a_gap_is_told_on_its_first_page_alone() -> None:
    world = World(position="b.7", batch_size=2)
    for user in range(1, 6):
        world.table.change(user)
    seen = []
    for _ in range(3):
        attempt = world.due()
        seen.append((told(attempt), attempt.gap))
        world.answer(attempt)
    assert [gap for _, gap in seen] == [True, False, False]
    assert [user for users, _ in seen for user, _ in users] == [1, 2, 3, 4, 5]


def test_a_gap_with_nobody_there_waits_for_a_change_and_is_told_all_the_same() -> None:
    world = World(position=None)
    assert world.next() is None
    world.now = 3.0
    world.table.change(1)
    attempt = world.due()
    assert (world.now, told(attempt), attempt.gap) == (4.0, [(1, "ONLINE")], True)

    world = World(position=None)
    attempt = world.due()
    assert (world.now, told(attempt), attempt.gap) == (EMPTY_GAP_WAIT, [], True)
    assert world.positions.get("crm") is None, "the gap is not told yet"
    world.answer(attempt)
    assert world.positions.get("crm") == "a.0"
    assert world.is_idle()


def test_a_gap_that_is_not_received_stays_one() -> None:
    world = World(position="b.9")
    world.table.change(1)
    attempt = world.due()
    world.answer(attempt, DOWN)
    world.table.change(2)
    attempt = world.due()
    assert (told(attempt), attempt.gap) == ([(1, "ONLINE"), (2, "ONLINE")], True)
    assert world.positions.get("crm") == "b.9"


def test_pages_without_anything_to_tell_are_passed_over() -> None:
    world = World(position=None, batch_size=2)
    for user in range(1, 8):
        world.table.change(user)
    world.table.least = 6  # the filter takes the last alone
    attempt = world.due()
    assert (told(attempt), attempt.gap, world.now) == ([(7, "ONLINE")], True, 0.0)
    world.answer(attempt)
    world.table.least = 100
    world.table.change(8)
    assert world.is_idle()
    assert world.positions.get("crm") == "a.8", "what is not for it need not be looked at again"


def test_changes_are_gathered_and_conflated() -> None:
    world = World(batch_wait=2.0)
    assert world.is_idle()
    world.now = 10.0
    world.table.change(1)
    world.now = 11.0
    world.table.change(2)
    world.table.change(1, "BUSY")
    assert world.next() is None
    assert world.deliver() == [(2, "ONLINE"), (1, "BUSY")]
    assert world.now == 12.0
    # The next batch is begun as long after this one began, not after it was received.
    world.table.change(3)
    world.now = 13.0
    assert world.deliver() == [(3, "ONLINE")]
    assert world.now == 14.0
    assert world.is_idle()


def test_full_batches_follow_each_other_at_once() -> None:
    world = World(batch_size=3, batch_wait=60.0)
    for user in range(7):
        world.table.change(user)
    assert [len(world.deliver()) for _ in range(3)] == [3, 3, 1]
    assert world.now == 0.0
    assert world.delivery.tally.batches == 3
    assert world.delivery.tally.changes == 7


def test_one_attempt_is_under_way_at_most() -> None:
    world = World()
    world.table.change(1)
    attempt = world.due()
    world.table.change(2)
    world.now = 100.0
    assert world.next() is None
    world.answer(attempt)
    assert told(world.due()) == [(2, "ONLINE")]


def test_an_idle_webhook_asks_nothing() -> None:
    world = World()
    assert world.is_idle()
    pages = world.table.pages
    world.now = 1e6
    assert world.next() is None
    assert world.delivery.wake_at == inf
    assert world.table.pages == pages


# -- failures ----------------------------------------------------------------------------------------------------------


def test_pauses_double_up_to_five_minutes_with_half_of_them_by_chance() -> None:
    world = World()
    world.table.change(1)
    pauses = []
    for _ in range(14):
        world.answer(world.due(), DOWN)
        pauses.append(world.delivery.wake_at - world.now)
    longest = [min(LONGEST_PAUSE, FIRST_PAUSE * 2**step) for step in range(14)]
    assert all(most / 2 <= pause <= most for pause, most in zip(pauses, longest, strict=True))
    assert len(set(pauses[-4:])) == 4
    assert world.delivery.state is State.RETRYING
    assert world.delivery.attempts == 14
    assert world.delivery.last_error == "nobody is there"


def test_two_that_fail_at_once_do_not_come_back_at_once() -> None:
    one, other = World(seed=1), World(seed=2)
    for world in (one, other):
        world.table.change(1)
        world.answer(world.due(), DOWN)
    assert one.delivery.wake_at != other.delivery.wake_at


def test_an_outage_sends_the_last_state_of_each_and_costs_a_position() -> None:
    world = World(batch_size=100)
    world.table.change(1)
    world.answer(world.due(), DOWN)
    for step in range(10_000):
        world.now += 1.0
        world.table.change(step % 50, "BUSY" if step % 3 else "ONLINE")
        if (attempt := world.next()) is not None:
            world.answer(attempt, DOWN)
    attempt = world.due()
    assert len(attempt.changes) == 50
    assert {entry.user_id: entry.status for entry in attempt.changes} == {
        user: entry.status for user, (_, entry) in world.table.entries.items()
    }
    world.answer(attempt)
    assert world.is_idle()
    assert world.delivery.state is State.ACTIVE
    assert world.delivery.attempts == 0


def test_the_same_message_has_the_same_id_and_another_has_another() -> None:
    world = World()
    world.table.change(1)
    first = world.due()
    world.answer(first, DOWN)
    again = world.due()
    assert again.began > first.began
    assert (again.message_id, again.made_at) == (first.message_id, first.made_at)
    world.answer(again, DOWN)
    world.table.change(2)
    other = world.due()
    assert other.message_id != first.message_id
    world.answer(other)
    world.table.change(3)
    assert world.due().message_id not in (first.message_id, other.message_id)


def test_what_was_lost_on_the_way_back_comes_again() -> None:
    world = World()
    world.table.change(1)
    attempt = world.due()
    world.answer(attempt, Outcome(reason="did not answer within 15 seconds"))
    assert told(world.due()) == [(1, "ONLINE")]


@pytest.mark.parametrize("status", [429, 500, 503, 404, 302])
def test_retry_after_is_obeyed(status: int) -> None:
    world = World()
    world.table.change(1)
    world.answer(world.due(), Outcome(status, f"answered {status}", "120"))
    assert 120 <= world.delivery.wake_at - world.now <= 132
    world.now = 100.0
    world.table.change(2)
    assert world.next() is None, "a change is no reason to come earlier"


def test_retry_after_0_is_no_hot_loop() -> None:
    world = World()
    world.table.change(1)
    for _ in range(5):
        world.answer(world.due(), Outcome(503, "answered 503", "0"))
        assert world.delivery.wake_at - world.now >= FIRST_PAUSE


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("120", 120.0),
        (" 7 ", 7.0),
        ("Sun, 09 Nov 2025 15:02:00 GMT", 120.0),
        ("Sun, 09 Nov 2025 14:00:00 GMT", 0.0),
        ("soon", None),
        ("", None),
        ("-5", None),
        ("1e9", None),
        ("9" * 5000, 9_999_999_999.0),
        ("Sun, 09 Nov 99999 15:02:00 GMT", None),
    ],
)
def test_what_retry_after_may_say(text: str, seconds: float | None) -> None:
    assert seconds_of(text, UTC) == seconds


def test_410_ends_it() -> None:
    world = World()
    world.table.change(1)
    world.answer(world.due(), Outcome(410, "answered 410", "1"))
    assert world.delivery.state is State.GONE
    world.table.change(2)
    world.now = 1e6
    assert world.next() is None
    assert world.delivery.wake_at == inf
    assert world.delivery.lag(world.now) == 1e6
    assert world.positions.get("crm") == "a.0", "its position is kept"


def test_after_24_hours_it_is_given_up_and_its_position_kept() -> None:
    world = World()
    world.table.change(1)
    attempts = 0
    while world.delivery.state is not State.GIVEN_UP:
        world.answer(world.due(), DOWN)
        attempts += 1
    assert PATIENCE - LONGEST_PAUSE <= world.now <= PATIENCE
    assert 280 < attempts < 600
    assert world.next() is None
    assert world.delivery.wake_at == inf
    world.delivery.revive()
    assert told(world.due()) == [(1, "ONLINE")]


def test_a_success_begins_the_24_hours_anew() -> None:
    world = World()
    for _ in range(3):
        world.table.change(1)
        while world.now % PATIENCE < PATIENCE * 0.8:
            world.answer(world.due(), DOWN)
        world.answer(world.due())
        world.now = (world.now // PATIENCE + 1) * PATIENCE
    assert world.delivery.state is State.ACTIVE


@pytest.mark.parametrize("end", [Outcome(410, "answered 410"), DOWN])
def test_it_is_revived_from_where_it_stands(end: Outcome) -> None:
    world = World()
    world.table.change(1)
    world.answer(world.due(), end)
    world.table.change(2)
    calls = world.calls
    world.delivery.revive()
    assert world.calls > calls, "whoever drives it must look"
    assert world.deliver() == [(1, "ONLINE"), (2, "ONLINE")]
    assert world.delivery.state is State.ACTIVE


def test_what_fails_while_nothing_is_left_to_tell_is_no_dead_end() -> None:
    """It failed, and then the filter leaves nothing: the next change must be sent."""
    world = World()
    world.table.change(1)
    world.answer(world.due(), DOWN)
    world.table.least = 1
    assert world.is_idle()
    world.table.change(2)
    assert world.deliver() == [(2, "ONLINE")]


# -- lag and replay ----------------------------------------------------------------------------------------------------


def test_lag_is_for_how_long_something_was_not_received() -> None:
    world = World(batch_wait=0.0)
    assert world.is_idle()
    world.now = 50.0
    assert world.delivery.lag(world.now) == 0
    world.table.change(1)
    world.now = 53.0
    assert world.delivery.lag(world.now) == 3
    attempt = world.due()
    world.now = 60.0
    world.answer(attempt, DOWN)
    world.now = 70.0
    assert world.delivery.lag(world.now) == 20
    world.deliver()
    assert world.delivery.lag(world.now) == 0


def test_a_replay_sends_again_and_what_is_under_way_does_not_move_it() -> None:
    world = World()
    for user in (1, 2, 3):
        world.table.change(user)
    world.deliver()
    world.table.change(4)
    under_way = world.due()
    world.delivery.replay("a.1")
    world.answer(under_way)
    assert world.positions.get("crm") == "a.1"
    assert world.deliver() == [(2, "ONLINE"), (3, "ONLINE"), (4, "ONLINE")]
    assert world.positions.get("crm") == "a.4"


def test_a_replay_without_a_cursor_begins_with_everybody_present() -> None:
    world = World()
    for user in (1, 2):
        world.table.change(user)
    world.deliver()
    world.table.change(1, "OFFLINE")
    world.deliver()
    world.delivery.replay(None)
    attempt = world.due()
    assert (told(attempt), attempt.gap) == ([(2, "ONLINE")], True)


def test_the_same_message_replayed_has_another_id() -> None:
    """Else a receiver that drops ids it has seen would drop what it was asked to be sent again."""
    world = World()
    world.table.change(1)
    first = world.due()
    world.answer(first)
    world.delivery.replay("a.0")
    assert world.due().message_id != first.message_id


def test_a_restart_of_the_server_without_state_is_a_gap() -> None:
    world = World()
    world.table.change(1)
    world.deliver()
    world.table.epoch, world.table.entries, world.table.seq = "b", {}, 0
    world.table.change(2)
    attempt = world.due()
    assert (told(attempt), attempt.gap) == ([(2, "ONLINE")], True)


def test_closing_waits_for_nothing() -> None:
    world = World()
    assert world.is_idle()
    assert world.table.waiting
    world.delivery.close()
    assert not world.table.waiting
