"""What a program calls: requests with their checks, and the streams that it iterates.

`runner` runs the core, and turns its tickets into awaits. What the core tells goes to streams and log by `telling`.
"""

import asyncio
import random
import time
from collections.abc import AsyncIterator, Callable, Iterable
from datetime import UTC, datetime, timedelta
from types import TracebackType
from typing import Final

from msgspec import UNSET, UnsetType

from presence_client.actions import ConnectionState, Phase
from presence_client.attempts import Policy
from presence_client.changes import Change
from presence_client.client_view import ClientView
from presence_client.core import Core
from presence_client.errors import ConnectionClosed, NotConnected, UsageError
from presence_client.identity import Identity
from presence_client.links import LinkFactory
from presence_client.runner import Runner
from presence_client.streams import ChangeStream, Latest
from presence_client.telling import Telling
from presence_client.values import Time, Token, patience_of, seconds_of, status_message, token_of, user_ids_of
from presence_protocol import fields
from presence_protocol.close_codes import Advice
from presence_protocol.messages import (
    AnyServerMessage,
    Query,
    SelfView,
    SetStatus,
    StatusEntry,
    Statuses,
    StatusName,
)
from presence_protocol.user_ids import UserId

TIMEOUT: Final = 10.0
"""Seconds that a call waits, for a connection and for its reply."""


class PresenceClient:
    """One device of one user, or an observer, and its view of others. Made by `connect`.

    Use it as an async context manager, or `start` and `aclose` it. In between it keeps itself connected; calls made
    while it is not wait for the connection, each up to its `timeout` (seconds). It belongs to the event loop that it
    was started in: calls from elsewhere raise `UsageError`, and nothing is done.
    """

    def __init__(
        self,
        identity: Identity,
        links: LinkFactory,
        *,
        token: Token | None = None,
        watch: Iterable[UserId] = (),
        open_timeout: float = TIMEOUT,
        timeout: float = TIMEOUT,
        policy: Policy = Policy(),  # noqa: B008 - immutable
        chance: Callable[[], float] = random.random,
    ) -> None:
        """For `connect`, whose arguments these are (durations in seconds), and for tests.

        `links` makes a link of the kind that the core asks for; `chance` gives numbers from 0 up to 1.
        """
        if callable(token):
            identity.has_tokens = True
        else:
            identity.token = None if token is None else token_of(token)
        self._identity = identity
        self._links_of = links
        self._ask_token = token if callable(token) else None
        self._first_watch = user_ids_of("watch", watch, identity.ids)
        self._open_timeout = patience_of("open_timeout", open_timeout)
        self._timeout = patience_of("timeout", timeout)
        self._policy = policy
        self._chance = chance
        self._runner: Runner | None = None
        self._telling = Telling()

    def __repr__(self) -> str:
        who = "observer" if self._identity.observer else f"{self._identity.user_id}/{self._identity.device_id}"
        return f"<PresenceClient {who} {self.state.phase.value}>"

    # -- its life ------------------------------------------------------------------------------------------------

    async def __aenter__(self) -> "PresenceClient":
        """Connect.

        Raises:
            NotConnected, ConnectionClosed, UsageError: as `start`.
        """
        return await self.start()

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """As `aclose`."""
        await self.aclose()

    async def start(self) -> "PresenceClient":
        """Connect, for those who cannot use `async with`. Returns the client; call `aclose` in the end.

        Raises:
            NotConnected: not within `open_timeout` seconds; the client is closed.
            ConnectionClosed: the server will not have this client.
            UsageError: it was started before.
        """
        if self._runner is not None:
            raise UsageError("a client is entered once, or started once; make another with connect()")
        loop = asyncio.get_running_loop()
        now = loop.time()
        self._core = Core(self._identity, now, self._chance, self._policy)
        self._view = ClientView(self._core, datetime.now(UTC) - timedelta(seconds=now))
        self._runner = Runner(self._core, loop, self._links_of, self._ask_token, self._telling.told)
        if self._first_watch:
            self._core.watch(self._first_watch)
        self._telling.begin(loop)
        self._runner.tell(lambda core, now: core.start(now))
        if self._open_timeout > 0:
            try:
                await self.wait_online(self._open_timeout)
            except BaseException as failure:
                if isinstance(failure, NotConnected):
                    failure.goes_on = False
                await self._runner.leave()
                raise
        return self

    async def aclose(self) -> None:
        """Say bye, so that others see the device go at once, and leave nothing behind. May be called again.

        Takes 4 s at most. Does nothing before `start`. In another event loop than the client's, after that has ended,
        there is nobody to say bye to, and the client is only marked as closed.

        Raises:
            UsageError: the client's event loop is another one, and still runs.
        """
        if self._runner is None:
            return
        if self._runner.loop.is_closed():
            self._runner.abandon()
        else:
            await self._started().leave()

    def reconnect_now(self) -> None:
        """Do not wait for the next try: make it now, such as when the network is back. Does nothing unless WAITING.

        Raises:
            UsageError: it is not started, or the caller runs in another thread or event loop.
            ConnectionClosed: the client has stopped.
        """
        runner = self._started()
        self._raise_if_closed()
        runner.tell(lambda core, now: core.reconnect_now(now))

    async def wait_online(self, timeout: float | None = None) -> None:  # noqa: ASYNC109 - the same as every call's
        """Wait until there is a connection, for at most `timeout` seconds (None: the client's own).

        Raises:
            NotConnected: not in time; the client goes on trying. Its `reason` and `status` say why not.
            ConnectionClosed: the client has stopped for good.
        """
        seconds = self._timeout if timeout is None else patience_of("timeout", timeout)
        self._started()
        try:
            async with asyncio.timeout(seconds):
                await self._telling.online.wait()
        except TimeoutError:
            raise NotConnected(seconds, self.state.reason, self.state.http_status or None) from None
        self._raise_if_closed()

    # -- what is known -------------------------------------------------------------------------------------------

    @property
    def state(self) -> ConnectionState:
        """The state of the connection, now: `phase`, `kind`, `retry_in`, `code`, `reason`."""
        return self._core.state if self._runner is not None else ConnectionState(Phase.CONNECTING)

    @property
    def view(self) -> ClientView:
        """What is known of the watched users: `client.view[10001].status`, `view.stale`, `view.stale_since`."""
        if self._runner is None:
            self._started()
        return self._view

    @property
    def self_view(self) -> SelfView | None:
        """The user's own truth as last told: status, override, all devices.

        None for an observer, before the first welcome, and over REST, which shows only what others see.
        """
        return None if self._runner is None else self._core.self_view

    def states(self) -> AsyncIterator[ConnectionState]:
        """The states of the connection, from the present one on, for a UI: `async for state in client.states()`.

        A consumer that falls behind sees the last state. Ends after the phase CLOSED.
        """
        self._check_loop()
        stream: Latest[ConnectionState] = Latest(self._check_loop)
        stream.put(self.state)
        self._telling.add_states(stream, self.state)
        return stream

    def self_views(self) -> AsyncIterator[SelfView]:
        """The user's own truth whenever it changes, from the present one on, if it is known: see `self_view`.

        A consumer that falls behind sees the last one. Ends when the client does.
        """
        self._check_loop()
        stream: Latest[SelfView] = Latest(self._check_loop)
        if self.self_view is not None:
            stream.put(self.self_view)
        self._telling.add_self_views(stream, self.state)
        return stream

    def changes(self, *, initial: bool = True) -> AsyncIterator[Change]:
        """Changes of the watched users: `async for change in client.changes()`.

        Begins with one for each user whose entry is held (`before` None), unless `initial` is False, so that
        whoever reads only this stream knows everything. A consumer that falls behind sees the last value of each
        user; at most one change per watched user waits. Ends when the client is left.

        Raises, from the iteration:
            ConnectionClosed: the client has stopped for good, by the server's word.
        """
        self._started()
        stream = ChangeStream(self._check_loop)
        if initial:
            for entry in self.view.values():
                stream.put(Change(None, entry))
        self._telling.add_changes(stream, self.state)
        return stream

    # -- requests ------------------------------------------------------------------------------------------------

    async def watch(self, user_ids: Iterable[UserId] | UserId, *, timeout: float | None = None) -> None:  # noqa: ASYNC109
        """Watch more users; returns when their entries are in `view`. The list is restored on each reconnect.

        Raises:
            ValueError: one of them is no user id.
            RequestFailed: the server refuses, such as `too_many_watched`; none of them is watched then.
            NotConnected, RequestTimedOut: not within `timeout` seconds; they stay in the list, and come. (They also
                stay when the call is cancelled.)
            ConnectionClosed: the client has stopped.
        """
        ids = user_ids_of("user_ids", user_ids, self._identity.ids)
        await self._call(lambda core, now: core.watch(ids), timeout)

    async def unwatch(self, user_ids: Iterable[UserId] | UserId, *, timeout: float | None = None) -> None:  # noqa: ASYNC109
        """Watch users no longer. Their entries leave `view` at once, connected or not; returns when it is confirmed.

        Raises:
            ValueError: one of them is no user id.
            RequestTimedOut: not confirmed within `timeout` seconds.
            ConnectionClosed: the client has stopped.
        """
        ids = user_ids_of("user_ids", user_ids, self._identity.ids)
        self._started()
        for stream in self._telling.change_streams:
            for user_id in ids:
                stream.forget(user_id)
        await self._call(lambda core, now: core.unwatch(ids), timeout)

    async def set_status(
        self,
        status: StatusName | UnsetType | None = UNSET,
        until: Time = UNSET,
        text: str | UnsetType | None = UNSET,
        *,
        emoji: str | UnsetType | None = UNSET,
        text_until: Time = UNSET,
        timeout: float | None = None,  # noqa: ASYNC109
    ) -> None:
        """Say what the user is, for all their devices. What is left out stays as it is, None clears it.

        `status`: `BUSY`, `AWAY`, `ONLINE`, or `OFFLINE`, which is invisible. It is the server's to keep, across
        disconnects, until `until` (a time, or a duration from now; at most a year ahead, rounded up to whole seconds).
        After `until` what was said before holds again, if that lasts longer. Said without `until` it takes the place of
        all that was said before, and ends when the server lets it lapse: `self_view.override.until` tells. `until`
        alone moves the end of the status that holds.

        `text` (at most 140 characters) and `emoji` (one emoji, or a short code like `:palm_tree:`) are shown to others
        whatever the status is, until `text_until` or until they are cleared.

        Raises:
            ValueError: an argument cannot be right.
            NotConnected: no connection within `timeout` seconds; nothing was sent, and nothing will be.
            ConnectionClosed: the connection ended before the reply: it may have been set or not. It is not repeated
                by itself, since it might undo what another device has done meanwhile. Or the client has stopped.
            RequestFailed: the server refuses, such as 403 for an observer. RequestTimedOut: no reply.
        """
        # Of this machine's clock nobody knows whether it is right: it is used only where the server told none.
        message = status_message(status, until, text, emoji, text_until, time.time())

        def ask(core: Core, now: float) -> int:
            ends = (now + end.total_seconds() if isinstance(end, timedelta) else None for end in (until, text_until))
            return core.request(message, *ends)

        await self._call(ask, timeout)

    async def clear_status(self, *, timeout: float | None = None) -> None:  # noqa: ASYNC109
        """Take back all that was said with `set_status`, the text included: the user's devices speak for themselves.

        Raises what `set_status` raises, ValueError apart.
        """
        message = SetStatus(status=None, status_text=None, status_emoji=None)
        await self._call(lambda core, now: core.request(message), timeout)

    async def activity(
        self,
        idle: bool,
        idle_for: float | timedelta = 0.0,
        *,
        busy: bool | None = None,
        timeout: float | None = None,  # noqa: ASYNC109
    ) -> None:
        """Say whether the person at this device is idle, and for how long already (seconds, at most 366 days).

        `busy`: whether the person is busy at this device, in a call or presenting; None leaves that as it is.
        Both are levels: they last until it is said otherwise. Said while not connected, it goes with the next hello.
        Returns when the server was told.

        Raises:
            ValueError: `idle_for` is out of range.
            NotConnected: no connection within `timeout` seconds; it still goes with the next hello.
            RequestFailed: 403 for an observer. RequestTimedOut: no reply. ConnectionClosed: the client has stopped.
        """
        if (reason := fields.boolean(idle)) is not None:
            raise ValueError(f"idle {reason}")
        if busy is not None and (reason := fields.boolean(busy)) is not None:
            raise ValueError(f"busy {reason}")
        seconds = seconds_of("idle_for", idle_for)
        await self._call(lambda core, now: core.activity(idle, seconds, now, busy), timeout)

    async def query(self, user_ids: Iterable[UserId] | UserId, *, timeout: float | None = None) -> list[StatusEntry]:  # noqa: ASYNC109
        """Ask once, without watching: entries in the order and with the repeats of `user_ids` (at most 1,000).

        Raises:
            ValueError: one of them is no user id.
            NotConnected, RequestTimedOut: no reply within `timeout` seconds.
            RequestFailed: the server refuses. ConnectionClosed: the client has stopped.
        """
        message = Query(user_ids=user_ids_of("user_ids", user_ids, self._identity.ids))
        reply = await self._call(lambda core, now: core.request(message), timeout)
        return reply.statuses if isinstance(reply, Statuses) else []

    async def _call(self, begin: Callable[[Core, float], int], timeout: float | None) -> AnyServerMessage | None:  # noqa: ASYNC109
        seconds = self._timeout if timeout is None else patience_of("timeout", timeout)
        return await self._started().call(begin, seconds)

    # -- parts ---------------------------------------------------------------------------------------------------

    def _started(self) -> Runner:
        """Whoever runs the core, for calls from the client's own event loop.

        Raises:
            UsageError: it is not started, or the caller runs elsewhere.
        """
        if self._runner is None:
            raise UsageError(
                "the client is not started: use it inside `async with connect(...) as client`, or start() it"
            )
        self._runner.check_loop()
        return self._runner

    def _check_loop(self) -> None:
        if self._runner is not None:
            self._runner.check_loop()

    def _raise_if_closed(self) -> None:
        if self.state.phase is Phase.CLOSED:
            raise ConnectionClosed(self.state.code, self.state.reason, Advice.STOP)
