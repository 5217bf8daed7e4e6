"""A table that changes, and a real receiver that fails, stalls, answers late, doubles and dies for an hour.

The hour is virtual: the delivery has its time passed in. Only the messages themselves go over sockets.
"""

from __future__ import annotations

import asyncio
import time
from http.server import BaseHTTPRequestHandler
from math import inf
from random import Random
from typing import Any

import pytest

from application.engines import ManualClock
from presence_server.application.feed import EVERYTHING, Feed
from presence_server.application.keys import PLAIN
from presence_server.domain.claims import Word
from presence_server.domain.model import Platform, Status
from presence_server.domain.table import PresenceTable
from presence_server.domain.transitions import AnyTransition, Offline, Online, Say
from presence_server.engines.memory import MemoryEngine
from presence_server.webhooks import messages
from presence_server.webhooks.delivery import Delivery
from presence_server.webhooks.file import Webhook
from presence_server.webhooks.ports import PositionsInMemory
from presence_server.webhooks.posting import Posting
from support.receiver import SECRET, Delivered, Receiver, receiving, verified

USERS = range(1, 41)
STALL = 0.3
"""Seconds of real time that an attempt may take. On a busy machine a good answer may be late too: it comes again."""


class World:
    """A table with its feed, a webhook, and a clock for both."""

    def __init__(self, seed: int, receiver: Receiver, **fields: Any) -> None:
        self.random = Random(seed)
        self.clock = ManualClock()
        self.receiver = receiver
        self.epoch = 1
        self.positions = PositionsInMemory()
        self.fields: dict[str, Any] = {"batch_size": 7, "batch_wait": 0.5, "allow_private": True} | fields
        self.steps = 0
        self.restart()

    def restart(self) -> None:
        """A server that keeps no state: the table is empty, and its cursors are others."""
        self.epoch += 1
        self.table = PresenceTable(shards=4)
        self.engine = MemoryEngine(self.table, self.epoch, self.clock)
        self.feed = Feed(self.engine, PLAIN, lambda callback: callback())
        self.webhook = Webhook("crm", self.receiver.url, (SECRET,), **self.fields)
        self.delivery = Delivery(
            self.webhook,
            self.feed,
            EVERYTHING,
            self.positions,
            self.random,
            lambda: self.delivery.changed(self.clock.now()),
        )
        self.signers = messages.signers_of(self.webhook.secrets)

    def change(self) -> None:
        user, device = self.random.choice(USERS), self.random.choice("ab")
        transition: AnyTransition = self.random.choice(
            [
                Online(user, device, self.random.choice([Platform.WEB, Platform.IOS]), self.steps),
                Offline(user, device),
                Say(user, Word(self.random.choice([Status.BUSY, Status.AWAY, None]))),
            ]
        )
        self.steps += 1
        self.engine.submit(transition, self.clock.now(), lambda _made: None)

    async def drive(self, posting: Posting, seconds: float, changes: int) -> None:
        """Let `seconds` pass, with so many changes spread over them."""
        end = self.clock.now() + seconds
        moments = sorted(self.clock.now() + self.random.random() * seconds for _ in range(changes))
        while True:
            attempt = self.delivery.next(self.clock.now(), self.clock.utc())
            if attempt is not None:
                body = messages.body_of(attempt.changes, attempt.cursor, attempt.gap, attempt.made_at)
                # The library looks at the real time: of the virtual one only durations are of use here.
                headers = messages.headers_of(self.signers, attempt.message_id, body, attempt.made_at)
                outcome = await posting.post(headers, body)
                self.delivery.answered(attempt, outcome, self.clock.now(), self.clock.utc())
                continue
            due = min(self.delivery.wake_at, moments[0] if moments else inf)
            if due > end:
                break
            self.clock.time = max(self.clock.time, due)
            if moments and moments[0] <= self.clock.time:
                moments.pop(0)
                self.change()
        self.clock.time = max(self.clock.time, end)

    def statuses(self) -> dict[int, str]:
        """What the table says of those who are not OFFLINE."""
        found = {user: self.engine.presence(user).public.status.value for user in USERS}
        return {user: status for user, status in found.items() if status != "OFFLINE"}


def misbehaving(random: Random, receiver: Receiver, stalls: int) -> Any:
    """Answers as receivers do on a bad day. Few stalls, since each costs real time."""
    left = {"stalls": stalls}

    def behave(delivered: Delivered, _handler: BaseHTTPRequestHandler) -> int | None:
        way = random.choice(["yes", "yes", "500", "503", "302", "drops", "doubles", "late", "stalls"])
        if way == "stalls" and left["stalls"]:
            left["stalls"] -= 1
            receiver.over.wait(STALL * 2)
            return None
        if way == "late":
            receiver.over.wait(0.01)
        if way == "doubles":  # it has it, and its answer is lost
            receiver.received.append(delivered)
            return None
        if way == "drops":
            return None
        return {"500": 500, "503": 503, "302": 302}.get(way, 200)

    return behave


@pytest.mark.parametrize("seed", range(4))
def test_after_quiet_the_receiver_holds_what_the_table_does(seed: int) -> None:
    with receiving() as receiver:
        world = World(seed, receiver)
        good = receiver.behave

        async def run() -> None:
            posting = Posting(world.webhook, no_trust, STALL)
            try:
                receiver.behave = misbehaving(Random(seed), receiver, stalls=2)
                await world.drive(posting, 600, 120)
                receiver.behave = lambda _delivered, _handler: None  # dead for an hour
                await world.drive(posting, 3600, 200)
                assert world.delivery.lag(world.clock.now()) > 3000
                receiver.behave = misbehaving(Random(seed + 1), receiver, stalls=1)
                await world.drive(posting, 600, 60)
                receiver.behave = good
                await world.drive(posting, 900, 0)
            finally:
                await posting.close()

        asyncio.run(run())
        fold = receiver.fold()
        assert fold.statuses == world.statuses()
        assert fold.statuses, "somebody is there at the end, else it proves nothing"
        assert fold.out_of_order == []
        assert world.delivery.lag(world.clock.now()) == 0


def test_an_hours_outage_is_one_batch_of_each_users_last_state() -> None:
    with receiving() as receiver:
        world = World(7, receiver, batch_size=500)

        async def run() -> None:
            posting = Posting(world.webhook, no_trust, 30.0)
            try:
                await world.drive(posting, 60, 50)
                good, receiver.behave = receiver.behave, lambda _delivered, _handler: 503
                await world.drive(posting, 3600, 2000)
                receiver.behave = good
                receiver.received.clear()
                await world.drive(posting, 600, 0)
            finally:
                await posting.close()

        asyncio.run(run())
        assert len(receiver.received) == 1
        users = [entry["userId"] for entry in receiver.received[0].changes]
        assert len(users) == len(set(users)) == len(USERS)
        assert len(receiver.asked) < 100, "it is not asked all the time"


def test_a_restart_without_state_leaves_no_ghosts() -> None:
    with receiving() as receiver:
        world = World(3, receiver)

        async def run() -> None:
            posting = Posting(world.webhook, no_trust, 30.0)
            try:
                await world.drive(posting, 60, 80)
                assert receiver.fold().statuses == world.statuses() != {}
                world.restart()
                await world.drive(posting, 5, 3)
                assert receiver.fold().statuses == world.statuses()
                world.restart()
                await world.drive(posting, 60, 0)
                assert receiver.fold().statuses == world.statuses() == {}
            finally:
                await posting.close()

        asyncio.run(run())


def test_each_message_is_signed_by_each_secret() -> None:
    with receiving() as receiver:
        world = World(1, receiver)
        world.clock.set_by = time.time() - world.clock.utc()

        async def run() -> None:
            posting = Posting(world.webhook, no_trust, 30.0)
            try:
                await world.drive(posting, 2, 5)
            finally:
                await posting.close()

        asyncio.run(run())
        assert receiver.received
        for delivered in receiver.received:
            assert verified(delivered)["type"] == "presence.changes"


def no_trust() -> Any:
    raise AssertionError("certificates are looked at for https only")
