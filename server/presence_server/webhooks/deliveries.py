"""All webhooks at work: a task each, beside everything else, that sends what its `Delivery` says.

A receiver that is slow or dead holds up its own task and nothing more. The file is read anew on SIGHUP: entries that
are others than before go on from the position of their name, and those that had ended are tried again.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import cache
from math import inf
from random import Random
from typing import Final, NamedTuple

import httpx
from standardwebhooks.webhooks import Webhook as Signer

from presence_server.application.feed import FeedFilter
from presence_server.application.ports import Clock
from presence_server.logs import get_logger
from presence_server.webhooks import messages
from presence_server.webhooks.delivery import Attempt, Delivery, State, Tally
from presence_server.webhooks.file import Wanted, Webhook, WebhookFileError
from presence_server.webhooks.ports import Feed, Positions
from presence_server.webhooks.posting import Outcome, Posting

AFTER_BUG: Final = 60.0
"""Seconds after which a webhook goes on that ran into a bug of ours."""

_log = get_logger(__name__)


class Standing(NamedTuple):
    """Where one webhook stands. `lag` in seconds; `attempts`: failed ones in a row; times in seconds since 1970."""

    webhook: Webhook
    state: State
    position: str | None
    lag: float
    attempts: int
    next_attempt_in: float | None
    last_error: str
    last_error_at: float | None
    received_at: float | None
    tally: Tally


class _Running:
    """One webhook: its delivery, its connection, its task."""

    __slots__ = ("delivery", "posting", "signers", "task", "woken")

    def __init__(self, delivery: Delivery, posting: Posting, signers: tuple[Signer, ...], woken: asyncio.Event) -> None:
        self.delivery = delivery
        self.posting = posting
        self.signers = signers
        self.woken = woken
        self.task: asyncio.Task[None] | None = None


class Deliveries:
    """Belongs to one event loop from `start` to `stop`."""

    def __init__(
        self,
        read: Callable[[], tuple[Webhook, ...]],
        feed: Feed,
        filter_of: Callable[[Wanted], FeedFilter],
        positions: Positions,
        clock: Clock,
        random: Random,
        posting_of: Callable[[Webhook], Posting] | None = None,
    ) -> None:
        """`read` gives the webhooks of the file. Raises WebhookFileError, as it does."""
        self._read = read
        self._feed = feed
        self._filter_of = filter_of
        self._positions = positions
        self._clock = clock
        self._random = random
        trust = cache(_trust)
        self._posting_of = posting_of or (lambda webhook: Posting(webhook, trust))
        self._running: dict[str, _Running] = {}
        self._closing: set[asyncio.Task[None]] = set()
        self._webhooks = read()

    def __len__(self) -> int:
        return len(self._webhooks)

    def start(self) -> None:
        for webhook in self._webhooks:
            self._begin(webhook, None)
        if self._webhooks:
            _log.info("webhooks begin", webhooks=len(self._webhooks))

    async def stop(self) -> None:
        """What is under way is cut off: its position has not moved, so that it comes again."""
        for name in list(self._running):
            self._end(name)
        await asyncio.gather(*self._closing, return_exceptions=True)

    def _begin(self, webhook: Webhook, tally: Tally | None) -> None:
        woken = asyncio.Event()

        def on_change() -> None:
            delivery.changed(self._clock.now())
            woken.set()

        filter = self._filter_of(webhook.wanted)
        delivery = Delivery(webhook, self._feed, filter, self._positions, self._random, on_change, tally)
        signers = messages.signers_of(webhook.secrets)
        running = self._running[webhook.name] = _Running(delivery, self._posting_of(webhook), signers, woken)
        running.task = asyncio.ensure_future(self._run(running))

    def _end(self, name: str) -> None:
        running = self._running.pop(name)
        running.delivery.close()
        if running.task is not None:
            running.task.cancel()
            closing = asyncio.ensure_future(_closed(running))
            self._closing.add(closing)
            closing.add_done_callback(self._closing.discard)

    # -- one webhook ---------------------------------------------------------------------------------------------

    async def _run(self, running: _Running) -> None:
        while True:
            try:
                await self._step(running)
            except Exception as bug:
                _log.exception("webhook failed", bug, webhook=running.delivery.webhook.name)
                await asyncio.sleep(AFTER_BUG)

    async def _step(self, running: _Running) -> None:
        delivery, clock = running.delivery, self._clock
        attempt = delivery.next(clock.now(), clock.utc())
        if attempt is None:
            await _wait(running.woken, delivery.wake_at - clock.now())
            return
        outcome = await self._post(running, attempt)
        before = delivery.state
        delivery.answered(attempt, outcome, clock.now(), clock.utc())
        _tell(delivery, before, outcome)

    async def _post(self, running: _Running, attempt: Attempt) -> Outcome:
        body = messages.body_of(attempt.changes, attempt.cursor, attempt.gap, attempt.made_at)
        headers = messages.headers_of(running.signers, attempt.message_id, body, self._clock.utc())
        return await running.posting.post(headers, body)

    # -- what an operator asks for -------------------------------------------------------------------------------

    def reload(self) -> None:
        """Read the file anew. What cannot be read leaves the webhooks as they are, and is told in the log."""
        try:
            webhooks = self._read()
        except WebhookFileError as failure:
            _log.error("webhooks not read anew", reason=str(failure))
            return
        named = {webhook.name: webhook for webhook in webhooks}
        for name, running in list(self._running.items()):
            if name not in named:
                self._end(name)
                self._positions.set(name, None)
            elif running.delivery.webhook != named[name]:
                self._end(name)
                self._begin(named[name], running.delivery.tally)
            elif running.delivery.state is not State.ACTIVE:
                running.delivery.revive()
        for webhook in webhooks:
            if webhook.name not in self._running:
                self._begin(webhook, None)
        self._webhooks = webhooks
        _log.info("webhooks read anew", webhooks=len(webhooks))

    def replay(self, name: str, cursor: str | None) -> bool:
        """Send again what changed since `cursor`; None: everybody present. Whether there is such a webhook."""
        running = self._running.get(name)
        if running is None:
            return False
        running.delivery.replay(cursor)
        _log.info("webhook replays", webhook=name, cursor=cursor or "none")
        return True

    def standings(self) -> Iterator[Standing]:
        """Of each webhook, in the order of the file."""
        now = self._clock.now()
        for webhook in self._webhooks:
            if (running := self._running.get(webhook.name)) is None:
                continue
            it = running.delivery
            pause = None if it.state is not State.RETRYING or it.wake_at == inf else max(0.0, it.wake_at - now)
            yield Standing(
                webhook,
                it.state,
                it.position,
                it.lag(now),
                it.attempts,
                pause,
                it.last_error,
                it.last_error_at,
                it.received_at,
                it.tally,
            )


async def _wait(woken: asyncio.Event, seconds: float) -> None:
    """Until somebody calls, for `seconds` at most; a turn of the loop where that is nothing."""
    if seconds <= 0:
        await asyncio.sleep(0)
    else:
        with suppress(TimeoutError):
            # The clock of durations may run while a timer stands still (a suspended machine): look once a minute.
            await asyncio.wait_for(woken.wait(), min(seconds, 60.0))
    woken.clear()


async def _closed(running: _Running) -> None:
    if running.task is not None:
        await asyncio.gather(running.task, return_exceptions=True)
    await running.posting.close()


def _tell(delivery: Delivery, before: State, outcome: Outcome) -> None:
    """In the log, when a webhook begins to fail, works again, or ends; not each attempt."""
    now, name = delivery.state, delivery.webhook.name
    if now is State.ACTIVE and before is not State.ACTIVE:
        _log.info("webhook works again", webhook=name)
    elif now is State.RETRYING and before is State.ACTIVE:
        _log.warning("webhook fails", webhook=name, reason=outcome.reason)
    elif now is State.GONE:
        _log.error("webhook is gone", webhook=name, reason="answered 410: nothing is sent until SIGHUP or a replay")
    elif now is State.GIVEN_UP:
        _log.error("webhook is given up", webhook=name, reason=outcome.reason)
    else:
        _log.debug("webhook answered", webhook=name, status=outcome.status, reason=outcome.reason)


def _trust() -> ssl.SSLContext:
    """As httpx trusts: certifi's certificates, or those of SSL_CERT_FILE and SSL_CERT_DIR."""
    return httpx.create_ssl_context()
