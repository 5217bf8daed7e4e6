"""The feed over REST: `POST /changes` without `userIds`, and `GET /events`, for services that may read.

Each page is made in a turn of its own, so that a reader who has a million users to catch up with keeps nobody waiting.
A stream has no queue: the next page is made when the client has taken the one before, of what holds by then.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any, Final, NamedTuple
from urllib.parse import parse_qsl

from msgspec import Raw
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from presence_protocol.errors import FieldError
from presence_protocol.user_ids import STRING
from presence_server.application.feed import EVERYTHING, PAGE, Feed, FeedFilter, FeedPage
from presence_server.application.principals import ADMIN, Principal
from presence_server.domain.model import Status
from presence_server.transports.rest import bodies
from presence_server.transports.rest.desk import Desk, allow, route, unavailable, within
from presence_server.transports.rest.envelope import NOT_STORED, Refusal, encode, success

if TYPE_CHECKING:
    from starlette.types import Receive, Scope, Send

    from presence_server.transports.gateway import Gateway

COMMENT_EVERY: Final = 15.0
"""Seconds of silence after which a stream says that it is there."""

STREAMED: Final = 500
"""Entries that are written to a stream at once: 100 KB."""

_COMMENT: Final = b":\n\n"
_RETRY: Final = b"retry: 2000\n\n"
"""Milliseconds after which an EventSource comes back."""


class Reading(NamedTuple):
    """Who reads what: see `Feed.page`."""

    filter: FeedFilter
    sees_invisible: bool
    every: bool


class FeedApi:
    def __init__(self, gateway: Gateway, desk: Desk) -> None:
        self._gateway = gateway
        self._desk = desk

    def routes(self) -> list[Route]:
        return [route("/events", {"GET": self.events})]

    # -- POST /changes -----------------------------------------------------------------------------------------------

    async def changes(self, request: Request, who: Principal, body: bodies.ChangesBody) -> Response:
        """Everybody's changes since a cursor, in parts of `limit`; waits for the first of them."""
        allow(who.may_follow_everybody())
        feed = self._feed()
        reading = Reading(EVERYTHING, ADMIN in who.scopes, body.transitions == "all")
        with self._desk.poll(who):
            answer = await self._gather(request, feed, reading, body)
        self._desk.refuse_if_over(who)
        return success(answer)

    async def _gather(self, request: Request, feed: Feed, reading: Reading, body: bodies.ChangesBody) -> dict[str, Any]:
        clock = self._gateway.clock
        left, ends_at = body.limit or PAGE, clock.now() + (body.wait_ms or 0) / 1000
        gathered = _Gathered(body.cursor)
        waiter = _Waiter(request)
        try:
            while True:
                page = await self._page(feed, gathered.cursor, left - gathered.count, reading, gathered.add)
                if gathered.count >= left or waiter.is_gone:
                    break
                if page.more:
                    continue
                wait = ends_at - clock.now()
                if gathered.has_news or wait <= 0 or self._gateway.hub.is_draining:
                    break
                await waiter.wait(feed, page.cursor, wait)
        finally:
            waiter.close()
        return gathered.answer(page.more)

    # -- GET /events -------------------------------------------------------------------------------------------------

    async def events(self, request: Request) -> Response:
        """Everybody's changes as server-sent events (WHATWG HTML, section 9.2)."""
        who = await self._desk.who(request)
        allow(who.may_follow_everybody())
        self._desk.refuse_if_draining()
        feed = self._feed()
        asked = parse_qsl(request.scope["query_string"].decode("latin-1"), keep_blank_values=True)
        reading = self._reading(who, asked)
        given = dict(asked)
        cursor = request.headers.get("last-event-id") or given.get("cursor") or None
        return _Stream(self, feed, reading, cursor, who, self._connect(who), is_head=request.method == "HEAD")

    def _reading(self, who: Principal, asked: list[tuple[str, str]]) -> Reading:
        """Raises Refusal: 400, with each parameter that is wrong."""
        wrong: list[FieldError] = []
        platforms = [platform.value for platform in self._gateway.hub.limits.platforms]
        statuses = _listed(asked, "status", list(Status), wrong)
        chosen = _listed(asked, "platform", platforms, wrong)
        user_ids = self._user_ids(asked, wrong)
        transitions = dict(asked).get("transitions") or "last"
        if transitions not in ("all", "last"):
            wrong.append(FieldError("transitions", "must be all or last"))
        if wrong:
            raise Refusal(400, wrong)
        filter = FeedFilter(
            frozenset(map(Status, statuses)) or None, frozenset(chosen) or None, frozenset(user_ids) or None
        )
        return Reading(filter, ADMIN in who.scopes, transitions == "all")

    def _user_ids(self, asked: list[tuple[str, str]], wrong: list[FieldError]) -> list[Any]:
        found = []
        kind = self._gateway.user_ids
        # A comma may be a part of an id that is a string: such are named one by one.
        for text in _values(asked, "userIds", splits=kind is not STRING):
            try:
                found.append(kind.of_text(text))
            except ValueError as reason:
                wrong.append(FieldError("userIds", str(reason)))
                break
        return found

    async def stream(self, stream: _Stream, request: Request, write: Callable[[bytes], Any]) -> None:
        """Write events until the client is gone, its credentials are over, or the server drains."""
        feed, reading, cursor = stream.feed, stream.reading, stream.cursor
        waiter = _Waiter(request)
        await write(_RETRY)
        try:
            while not (waiter.is_gone or self._gateway.hub.is_draining):
                self._desk.refuse_if_over(stream.who)
                events = _Events()
                page = await self._page(feed, cursor, STREAMED, reading, events.add, with_cursors=True)
                cursor = page.cursor
                if events.text:
                    await write(bytes(events.text))
                if not page.more and not await waiter.wait(feed, cursor, COMMENT_EVERY):
                    await write(_COMMENT)
        finally:
            waiter.close()

    def _connect(self, who: Principal) -> Callable[[], None]:
        """One more connection of `who`, and what ends it. Raises Refusal: 429."""
        allowances = self._gateway.hub.allowances
        if allowances is None:
            return _nothing
        purse = allowances.purse(who)
        within(purse.connect())
        return purse.disconnect

    # -- both --------------------------------------------------------------------------------------------------------

    def _feed(self) -> Feed:
        """Raises Refusal: 503: the engine does not keep one."""
        if self._gateway.feed is None:
            raise unavailable()
        return self._gateway.feed

    async def _page(
        self,
        feed: Feed,
        cursor: str | None,
        limit: int,
        reading: Reading,
        take: Callable[[FeedPage], None],
        with_cursors: bool = False,
    ) -> FeedPage:
        """The next page, which `take` words; in a turn that is shared with all who ask for much."""
        pages: list[FeedPage] = []

        def steps() -> Iterator[None]:
            page = feed.page(
                cursor,
                limit,
                reading.filter,
                sees_invisible=reading.sees_invisible,
                every=reading.every,
                with_cursors=with_cursors,
            )
            take(page)
            pages.append(page)
            yield

        await self._gateway.shares.do(steps())
        return pages[0]


class _Gathered:
    """The pages that make one answer."""

    def __init__(self, cursor: str | None) -> None:
        self.cursor = cursor
        self.count = 0
        self._is_first = True
        self._resumed = self._gap = False
        self._worded: list[bytes] = []

    def add(self, page: FeedPage) -> None:
        if self._is_first or not page.resumed:
            self._is_first, self._resumed = False, page.resumed
            self._worded.clear()  # what was told before is void
            self.count = 0
        self._gap |= page.gap
        self.cursor = page.cursor
        self.count += len(page.entries)
        if page.entries:
            self._worded.append(encode(page.entries)[1:-1])

    @property
    def has_news(self) -> bool:
        return self.count > 0 or self._gap or not self._resumed

    def answer(self, more: bool) -> dict[str, Any]:
        changes = Raw(b"[%b]" % b",".join(self._worded))
        answer = {"changes": changes, "cursor": self.cursor, "resumed": self._resumed}
        if self._gap:
            answer["gap"] = True
        if more:
            answer["more"] = True
        return answer


class _Events:
    """A page as events. Each has the cursor that covers it and all before it."""

    def __init__(self) -> None:
        self.text = bytearray()

    def add(self, page: FeedPage) -> None:
        if page.gap:
            self.text += b"event: gap\ndata: %b\n\n" % encode({"resumed": page.resumed})
        for entry, cursor in zip(page.entries, page.cursors, strict=True):
            self.text += b"id: %b\nevent: change\ndata: %b\n\n" % (cursor.encode(), encode(entry))


class _Waiter:
    """Waits for something new, for as long as the client is there."""

    def __init__(self, request: Request) -> None:
        self._gone = asyncio.ensure_future(_disconnected(request))

    @property
    def is_gone(self) -> bool:
        return self._gone.done()

    async def wait(self, feed: Feed, cursor: str, seconds: float) -> bool:
        """Until there is something newer than `cursor`, or the client is gone. Returns whether either is so."""
        newer: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        cancel = feed.wait(cursor, partial(_settle, newer))
        try:
            await asyncio.wait((newer, self._gone), timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        finally:
            cancel()
        return newer.done() or self.is_gone

    def close(self) -> None:
        self._gone.cancel()


class _Stream(Response):
    """An answer that goes on. `write` waits while the client does not take what was written before."""

    media_type = "text/event-stream"

    def __init__(
        self,
        api: FeedApi,
        feed: Feed,
        reading: Reading,
        cursor: str | None,
        who: Principal,
        end: Callable[[], None],
        is_head: bool,
    ) -> None:
        super().__init__(headers={**NOT_STORED, "X-Accel-Buffering": "no"})
        del self.headers["content-length"]
        self.feed = feed
        self.reading = reading
        self.cursor = cursor
        self.who = who
        self._api = api
        self._end = end
        self._is_head = is_head

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def write(data: bytes) -> None:
            await send({"type": "http.response.body", "body": data, "more_body": True, "flush": True})

        try:
            await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
            if not self._is_head:
                with suppress(Refusal):  # its credentials are over
                    await self._api.stream(self, Request(scope, receive), write)
            await send({"type": "http.response.body", "body": b""})
        finally:
            self._end()


def _nothing() -> None:
    """Nobody counts."""


def _settle(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)


async def _disconnected(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass


def _values(asked: list[tuple[str, str]], name: str, splits: bool = True) -> list[str]:
    """What a parameter lists: several, separated by commas if it `splits`, or the parameter several times."""
    listed = [text.split(",") if splits else [text] for given, text in asked if given == name]
    return [value for values in listed for value in values if value]


def _listed(asked: list[tuple[str, str]], name: str, choices: list[str], wrong: list[FieldError]) -> list[str]:
    values = _values(asked, name)
    if any(value not in choices for value in values):
        wrong.append(FieldError(name, f"must be one of {', '.join(choices)}"))
        return []
    return values
