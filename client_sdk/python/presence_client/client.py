"""The client on asyncio: it runs the core, and turns its tickets into awaits and its news into streams.

Why asyncio and not anyio: the `websockets` client speaks asyncio only, so nothing would be gained. There is no task
of the client's own: each link has one, and one timer stands for the core's deadline.
"""

import asyncio
import inspect
import logging
import random
import ssl
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from types import TracebackType
from typing import Final, Literal, TypeVar
from weakref import WeakSet

from presence_client.actions import (
    Action,
    AskToken,
    Became,
    Changed,
    Close,
    ConnectionState,
    Open,
    Phase,
    SelfTold,
    Send,
    Settled,
)
from presence_client.address import Address
from presence_client.attempts import End, Policy
from presence_client.backoff import Backoff
from presence_client.changes import Change
from presence_client.conversation import Kind
from presence_client.core import Core
from presence_client.errors import ConnectionClosed, NotConnected, PresenceError
from presence_client.http import Http
from presence_client.http_link import HttpLink
from presence_client.identity import Identity
from presence_client.links import Link, LinkFactory
from presence_client.route import Route
from presence_client.streams import ChangeStream, Latest
from presence_client.values import Token, seconds_of, token_of, until_of, user_ids_of
from presence_client.websocket_link import CODECS, WebSocketLink
from presence_protocol import fields
from presence_protocol.close_codes import Advice, CloseCode
from presence_protocol.messages import (
    AnyServerMessage,
    PlatformName,
    Query,
    SelfView,
    SetStatus,
    StatusEntry,
    Statuses,
    StatusName,
)

TIMEOUT: Final = 10.0
"""Seconds that a call waits, for a connection and for its reply."""

LEAVE_TIMEOUT: Final = 3.0
"""Seconds that a goodbye may take."""

Transport = Literal["auto", "websocket", "rest"]

T = TypeVar("T")

_log = logging.getLogger("presence_client")


class ClientView(Mapping[int, StatusEntry]):
    """What is known of the watched users: a read-only mapping from user id to entry, always the newest.

    An entry has `user_id`, `status`, `platforms`, `last_active_time` (UTC as in `2025-11-09T15:00:00Z`, or None),
    `version` and `status_text`. Users whose entry has not come yet are not in it (KeyError).
    """

    def __init__(self, core: Core, origin: datetime) -> None:
        self._core = core
        self._origin = origin

    def __getitem__(self, user_id: int) -> StatusEntry:
        return self._core.view.entries[user_id]

    def __iter__(self) -> Iterator[int]:
        return iter(self._core.view.entries)

    def __len__(self) -> int:
        return len(self._core.view.entries)

    def __repr__(self) -> str:
        return f"<ClientView of {len(self)} users{f', stale since {self.stale_since}' if self.stale else ''}>"

    @property
    def watched(self) -> frozenset[int]:
        """The users asked for, whether their entries have come yet or not."""
        return frozenset(self._core.view.watched)

    @property
    def stale(self) -> bool:
        """Whether the entries may be out of date: there is no connection, or it has not caught up yet."""
        return self._core.view.stale_since is not None

    @property
    def stale_since(self) -> datetime | None:
        """Since when the entries may be out of date, in UTC; None while they are kept up to date."""
        since = self._core.view.stale_since
        return None if since is None else self._origin + timedelta(seconds=since)


class _Events:
    """What one link reports, handed to the core with the link's number."""

    def __init__(self, client: "PresenceClient", number: int) -> None:
        self._client = client
        self._number = number

    def opened(self) -> None:
        _log.debug("= link %d open", self._number)
        self._client._tell(lambda core, now: core.opened(self._number, now))

    def heard(self) -> None:
        self._client._tell(lambda core, now: core.heard(self._number, now))

    def received(self, message: AnyServerMessage) -> None:
        _log.debug("< link %d %s", self._number, type(message).__name__)
        self._client._tell(lambda core, now: core.received(self._number, message, now))


class PresenceClient:
    """One device of one user, or an observer, and its view of others. Made by `connect`.

    Use it as an async context manager. Inside, it keeps itself connected; calls made while it is not wait for the
    connection, each up to its `timeout` (seconds).
    """

    def __init__(
        self,
        identity: Identity,
        links: LinkFactory,
        *,
        token: Token | None = None,
        watch: Iterable[int] = (),
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
        self._first_watch = user_ids_of("watch", watch)
        self._open_timeout = open_timeout
        self._timeout = timeout
        self._policy = policy
        self._chance = chance
        self._links: dict[int, Link] = {}
        self._tasks: dict[int, asyncio.Task[None]] = {}
        self._tickets: dict[int, asyncio.Future[AnyServerMessage | None]] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._online = asyncio.Event()
        self._change_streams: WeakSet[ChangeStream] = WeakSet()
        self._state_streams: WeakSet[Latest[ConnectionState]] = WeakSet()
        self._self_streams: WeakSet[Latest[SelfView]] = WeakSet()
        self._is_performing = False
        self._loop: asyncio.AbstractEventLoop | None = None

    def __repr__(self) -> str:
        who = "observer" if self._identity.observer else f"{self._identity.user_id}/{self._identity.device_id}"
        return f"<PresenceClient {who} {self.state.phase.value}>"

    # -- its life ------------------------------------------------------------------------------------------------

    async def __aenter__(self) -> "PresenceClient":
        """Connect.

        Raises:
            NotConnected: not within `open_timeout` seconds.
            ConnectionClosed: the server will not have this client.
        """
        if self._loop is not None:
            raise RuntimeError("a client is entered once; make another with connect()")
        self._loop = asyncio.get_running_loop()
        now = self._loop.time()
        self._core = Core(self._identity, now, self._chance, self._policy)
        self._view = ClientView(self._core, datetime.now(UTC) - timedelta(seconds=now))
        if self._first_watch:
            self._core.watch(self._first_watch)
        self._tell(lambda core, now: core.start(now))
        if self._open_timeout > 0:
            try:
                await self.wait_online(self._open_timeout)
            except BaseException:
                await self._leave()
                raise
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Say bye, so that others see the device go at once, and leave nothing behind."""
        await self._leave()

    async def _leave(self) -> None:
        self._tell(lambda core, now: core.leave(now))
        try:
            if tasks := list(self._tasks.values()):
                await asyncio.wait(tasks, timeout=LEAVE_TIMEOUT)
        finally:
            # Also when cancelled while saying goodbye: tasks that are cancelled drop their links at once.
            tasks = list(self._tasks.values())
            for task in tasks:
                task.cancel()
            if self._timer is not None:
                self._timer.cancel()
            if tasks:
                await asyncio.gather(*tasks, return_exceptions=True)

    async def wait_online(self, timeout: float | None = None) -> None:  # noqa: ASYNC109 - the same as every call's
        """Wait until there is a connection, for at most `timeout` seconds (None: the client's own).

        Raises:
            NotConnected: not in time; the client goes on trying.
            ConnectionClosed: the client has stopped for good.
        """
        seconds = self._timeout if timeout is None else timeout
        try:
            async with asyncio.timeout(seconds):
                await self._online.wait()
        except TimeoutError:
            raise NotConnected(seconds, self.state.reason) from None
        self._raise_if_closed()

    # -- what is known -------------------------------------------------------------------------------------------

    @property
    def state(self) -> ConnectionState:
        """The state of the connection, now: `phase`, `kind`, `retry_in`, `code`, `reason`."""
        return self._core.state if self._loop is not None else ConnectionState(Phase.CONNECTING)

    @property
    def view(self) -> ClientView:
        """What is known of the watched users: `client.view[10001].status`, `view.stale`, `view.stale_since`."""
        self._running()
        return self._view

    @property
    def self_view(self) -> SelfView | None:
        """The user's own truth as last told: status, override, all devices.

        None for an observer, before the first welcome, and over REST, which shows only what others see.
        """
        self._running()
        return self._core.self_view

    def states(self) -> AsyncIterator[ConnectionState]:
        """The states of the connection, from the present one on, for a UI: `async for state in client.states()`.

        A consumer that falls behind sees the last state. Ends after the phase CLOSED.
        """
        stream: Latest[ConnectionState] = Latest()
        stream.put(self.state)
        self._enlist(stream, self._state_streams)
        return stream

    def self_views(self) -> AsyncIterator[SelfView]:
        """The user's own truth whenever it changes, from the present one on, if it is known: see `self_view`.

        A consumer that falls behind sees the last one. Ends when the client does.
        """
        stream: Latest[SelfView] = Latest()
        if self.self_view is not None:
            stream.put(self.self_view)
        self._enlist(stream, self._self_streams)
        return stream

    def changes(self, *, initial: bool = True) -> AsyncIterator[Change]:
        """Changes of the watched users: `async for change in client.changes()`.

        Begins with one for each user whose entry is held (`before` None), unless `initial` is False, so that
        whoever reads only this stream knows everything. A consumer that falls behind sees the last value of each
        user; at most one change per watched user waits. Ends when the client is left.

        Raises, from the iteration:
            ConnectionClosed: the client has stopped for good, by the server's word.
        """
        stream = ChangeStream()
        if initial:
            for entry in self.view.values():
                stream.put(Change(None, entry))
        if self.state.phase is Phase.CLOSED:
            stream.finish(self._end_of_streams())
        self._change_streams.add(stream)
        return stream

    # -- requests ------------------------------------------------------------------------------------------------

    async def watch(self, user_ids: Iterable[int] | int, *, timeout: float | None = None) -> None:  # noqa: ASYNC109
        """Watch more users; returns when their entries are in `view`. The list is restored on each reconnect.

        Raises:
            ValueError: one of them is no user id.
            RequestFailed: the server refuses, such as `too_many_watched`; none of them is watched then.
            NotConnected, RequestTimedOut: not within `timeout` seconds; they stay in the list, and come.
            ConnectionClosed: the client has stopped.
        """
        ids = user_ids_of("user_ids", user_ids)
        await self._call(lambda core, now: core.watch(ids), timeout)

    async def unwatch(self, user_ids: Iterable[int] | int, *, timeout: float | None = None) -> None:  # noqa: ASYNC109
        """Watch users no longer. Their entries leave `view` at once, connected or not; returns when it is confirmed.

        Raises:
            ValueError: one of them is no user id.
            RequestTimedOut: not confirmed within `timeout` seconds.
            ConnectionClosed: the client has stopped.
        """
        ids = user_ids_of("user_ids", user_ids)
        for stream in self._change_streams:
            for user_id in ids:
                stream.forget(user_id)
        await self._call(lambda core, now: core.unwatch(ids), timeout)

    async def set_status(
        self,
        status: StatusName,
        until: datetime | timedelta | str | None = None,
        text: str | None = None,
        *,
        timeout: float | None = None,  # noqa: ASYNC109
    ) -> None:
        """Set the user's status, for all their devices: `BUSY`, `AWAY`, `ONLINE`, or `OFFLINE`, which is invisible.

        It is the server's to keep, across disconnects, until `until` (a time, or a duration from now; at most a year
        ahead, whole seconds) or until `clear_status`. `text` is shown beside it: at most 140 characters.

        Raises:
            ValueError: an argument cannot be right.
            NotConnected: no connection within `timeout` seconds; nothing was sent, and nothing will be.
            ConnectionClosed: the connection ended before the reply: it may have been set or not. It is not repeated
                by itself, since it might undo what another device has done meanwhile. Or the client has stopped.
            RequestFailed: the server refuses, such as 403 for an observer. RequestTimedOut: no reply.
        """
        if (reason := fields.status(status)) is not None:
            raise ValueError(f"status {reason}")
        if text is not None and (reason := fields.status_text(text)) is not None:
            raise ValueError(f"text {reason}")
        message = SetStatus(status=status, until=until_of(until), status_text=text or None)
        await self._call(lambda core, now: core.request(message), timeout)

    async def clear_status(self, *, timeout: float | None = None) -> None:  # noqa: ASYNC109
        """Let the user's devices speak for themselves again. Raises what `set_status` raises, ValueError apart."""
        await self._call(lambda core, now: core.request(SetStatus(status=None)), timeout)

    async def activity(
        self,
        idle: bool,
        idle_for: float | timedelta = 0.0,
        *,
        timeout: float | None = None,  # noqa: ASYNC109
    ) -> None:
        """Say whether the person at this device is idle, and for how long already (seconds, at most 366 days).

        It is a level: it lasts until it is said otherwise. Said while not connected, it goes with the next hello.

        Raises:
            ValueError: `idle_for` is out of range.
            RequestFailed: 403 for an observer. RequestTimedOut: no reply. ConnectionClosed: the client has stopped.
        """
        seconds = seconds_of("idle_for", idle_for)
        await self._call(lambda core, now: core.activity(idle, seconds, now), timeout)

    async def query(self, user_ids: Iterable[int] | int, *, timeout: float | None = None) -> list[StatusEntry]:  # noqa: ASYNC109
        """Ask once, without watching: entries in the order and with the repeats of `user_ids` (at most 1,000).

        Raises:
            ValueError: one of them is no user id.
            NotConnected, RequestTimedOut: no reply within `timeout` seconds.
            RequestFailed: the server refuses. ConnectionClosed: the client has stopped.
        """
        message = Query(user_ids=user_ids_of("user_ids", user_ids))
        reply = await self._call(lambda core, now: core.request(message), timeout)
        return reply.statuses if isinstance(reply, Statuses) else []

    async def _call(self, begin: Callable[[Core, float], int], timeout: float | None) -> AnyServerMessage | None:  # noqa: ASYNC109
        seconds = self._timeout if timeout is None else timeout
        loop = self._running()
        future: asyncio.Future[AnyServerMessage | None] = loop.create_future()
        ticket = begin(self._core, loop.time())
        self._tickets[ticket] = future
        self._perform()
        try:
            async with asyncio.timeout(seconds) as limit:
                return await future
        except TimeoutError:
            if not limit.expired():  # one of ours, which is a TimeoutError, too
                raise
            raise self._core.give_up(ticket, seconds) from None
        except asyncio.CancelledError:
            self._core.give_up(ticket, seconds)
            raise
        finally:
            self._tickets.pop(ticket, None)

    # -- running the core ----------------------------------------------------------------------------------------

    def _running(self) -> asyncio.AbstractEventLoop:
        if self._loop is None:
            raise RuntimeError("use the client inside `async with connect(...) as client`")
        return self._loop

    def _tell(self, event: Callable[[Core, float], None]) -> None:
        event(self._core, self._running().time())
        self._perform()

    def _perform(self) -> None:
        if self._is_performing:
            return  # a link reports from within what it was asked: its actions come after those under way
        self._is_performing = True
        try:
            while actions := self._core.take():
                for action in actions:
                    self._do(action)
        finally:
            self._is_performing = False
        self._arm()

    def _arm(self) -> None:
        """One timer; one that fires too early arms itself anew, which is cheaper than to move it with each frame."""
        loop = self._running()
        deadline = self._core.deadline()
        if self._timer is not None and (deadline is None or self._timer.when() > deadline):
            self._timer.cancel()
            self._timer = None
        if self._timer is None and deadline is not None:
            self._timer = loop.call_at(deadline, self._on_timer)

    def _on_timer(self) -> None:
        self._timer = None
        self._tell(lambda core, now: core.tick(now))

    def _do(self, action: Action) -> None:
        match action:
            case AskToken(link):
                self._spawn(link, self._get_token(link))
            case Open(link, kind, token):
                self._links[link] = self._links_of(kind, token)
                self._spawn(link, self._run(link))
            case Send(link, message):
                _log.debug("> link %d %s", link, type(message).__name__)
                self._links[link].send(message)
            case Close(link, code, reason):
                _log.debug("x link %d %d %s", link, code, reason)
                if code == CloseCode.ABNORMAL or link not in self._links:
                    self._drop(link)
                else:
                    self._links[link].close(code, reason)
            case Settled(ticket, reply, error):
                self._settle(ticket, reply, error)
            case Changed(changes):
                for change in changes:
                    for changed in self._change_streams:
                        changed.put(change)
            case Became(state):
                self._become(state)
            case SelfTold(self_view):
                for stream in self._self_streams:
                    stream.put(self_view)

    def _spawn(self, link: int, work: Coroutine[None, None, None]) -> None:
        task = self._running().create_task(work)
        self._tasks[link] = task
        task.add_done_callback(lambda done: self._done(link, done))

    def _done(self, link: int, task: "asyncio.Task[None]") -> None:
        if self._tasks.get(link) is task:
            del self._tasks[link]
            self._links.pop(link, None)
        if not task.cancelled() and (bug := task.exception()) is not None:
            _log.error("! link %d", link, exc_info=bug)
            self._tell(lambda core, now: core.lost(link, End(CloseCode.ABNORMAL, f"a bug: {bug!r}"), now))

    def _drop(self, link: int) -> None:
        if (task := self._tasks.get(link)) is not None:
            task.cancel()

    async def _get_token(self, link: int) -> None:
        assert self._ask_token is not None
        try:
            asked = self._ask_token()
            token = token_of(await asked if inspect.isawaitable(asked) else asked)
        except Exception as failure:
            reason = str(failure) or type(failure).__name__
            self._tell(lambda core, now: core.token_failed(link, reason, now))
        else:
            self._tell(lambda core, now: core.token(link, token, now))

    async def _run(self, link: int) -> None:
        end = await self._links[link].run(_Events(self, link))
        _log.debug("x link %d ended %d %s", link, end.code, end.reason)
        self._tell(lambda core, now: core.lost(link, end, now))

    # -- telling -------------------------------------------------------------------------------------------------

    def _settle(self, ticket: int, reply: AnyServerMessage | None, error: PresenceError | None) -> None:
        future = self._tickets.get(ticket)
        if future is None or future.done():
            return
        if error is None:
            future.set_result(reply)
        else:
            future.set_exception(error)

    def _become(self, state: ConnectionState) -> None:
        _log.debug("= %s %s", state.phase.value, state.reason)
        if state.phase in (Phase.ONLINE, Phase.CLOSED):
            self._online.set()
        else:
            self._online.clear()
        for states in self._state_streams:
            states.put(state)
        if state.phase is Phase.CLOSED:
            for states in self._state_streams:
                states.finish()
            for selves in self._self_streams:
                selves.finish()
            for changes in self._change_streams:
                changes.finish(self._end_of_streams())

    def _enlist(self, stream: Latest[T], streams: WeakSet[Latest[T]]) -> None:
        if self.state.phase is Phase.CLOSED:
            stream.finish()
        streams.add(stream)

    def _end_of_streams(self) -> ConnectionClosed | None:
        """What the streams of changes end with; None: just so, since the program left."""
        if self.state.code == CloseCode.NORMAL:
            return None
        return ConnectionClosed(self.state.code, self.state.reason, Advice.STOP)

    def _raise_if_closed(self) -> None:
        if self.state.phase is Phase.CLOSED:
            raise ConnectionClosed(self.state.code, self.state.reason, Advice.STOP)


def connect(
    url: str,
    *,
    user_id: int | None = None,
    device_id: str | None = None,
    platform: PlatformName | None = None,
    observer: bool = False,
    token: Token | None = None,
    watch: Iterable[int] = (),
    status: StatusName | None = None,
    codec: Literal["msgpack", "json"] = "msgpack",
    transport: Transport = "auto",
    open_timeout: float = TIMEOUT,
    timeout: float = TIMEOUT,
    backoff: Backoff = Backoff(),  # noqa: B008 - immutable
    headers: Mapping[str, str] | None = None,
    ssl: ssl.SSLContext | None = None,
) -> PresenceClient:
    """A client for the server at `url`, to be used as `async with connect(...) as client`.

    Args:
        url: `https://example.org`, or `http`, `ws`, `wss`; a path before `/api/v1/presence` is kept.
        user_id: 1 to 2**53-1.
        device_id: one per device, the same after a restart: a newer connection of it replaces an older one.
        platform: `WEB`, `IOS`, `ANDROID` or `PC`.
        observer: only watches and asks; nobody sees it, and the three above are left out.
        token: credentials, or a function, async or not, that gets them: see `Token`.
        watch: users to watch from the start.
        status: to begin with, unless the device's session is one that goes on; never set again on a reconnect.
        codec: the encoding on the wire.
        transport: `auto` falls back to REST where WebSockets are blocked (three failures between TCP and welcome),
            and tries WebSocket again after one minute, then two, up to sixteen.
        open_timeout: seconds that entering waits for the first connection; 0: it does not, and connects meanwhile.
        timeout: seconds that a call waits for a connection and its reply, unless the call says otherwise.
        backoff: how long to wait between tries, with full jitter.
        headers: for the upgrade and for REST alike, such as `Authorization` for a gateway.
        ssl: for `https` and `wss` alone, in place of the system's trust store.

    Proxies are taken from the environment as curl takes them (`http_proxy`, `https_proxy`, `all_proxy`, `no_proxy`),
    for WebSocket and REST alike, but not for this machine's own addresses.

    Raises:
        InvalidSetting: `url`, `token`, `headers`, `ssl` or one of the proxies cannot be right.
        ValueError: another argument is missing or cannot be right. Entering raises NotConnected and ConnectionClosed.
    """
    route = Route(Address.parse(url), headers, ssl)
    if codec not in CODECS:
        raise ValueError(f"codec must be one of {', '.join(CODECS)}")
    policies = {
        "auto": Policy(backoff),
        "websocket": Policy(backoff, fallback_after=None),
        "rest": Policy(backoff, fallback_after=0, upgrade=None),
    }
    if transport not in policies:
        raise ValueError(f"transport must be one of {', '.join(policies)}")

    def links(kind: Kind, shown: str | None) -> Link:
        if kind is Kind.REST:
            return HttpLink(Http(route), shown)
        return WebSocketLink(route, CODECS[codec], has_token=shown is not None)

    return PresenceClient(
        Identity(user_id, device_id, platform, observer, status),
        links,
        token=token,
        watch=watch,
        open_timeout=open_timeout,
        timeout=timeout,
        policy=policies[transport],
    )
