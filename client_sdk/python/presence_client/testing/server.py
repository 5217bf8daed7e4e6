"""The fake server: the server's role of the protocol, and the verbs of a test."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime
from functools import partial
from types import TracebackType
from typing import Any, Literal

from presence_client.attempts import Policy
from presence_client.backoff import Backoff
from presence_client.client import PresenceClient
from presence_client.conversation import Kind
from presence_client.identity import Identity
from presence_client.links import Link
from presence_client.testing.users import Users, now
from presence_client.testing.wire import MemoryLink
from presence_client.values import Token
from presence_protocol import limits
from presence_protocol.close_codes import CloseCode, ends_device
from presence_protocol.codec import codecs_of
from presence_protocol.errors import OutOfTurn, Refused
from presence_protocol.fields import parse_time
from presence_protocol.messages import (
    Activity,
    AnyClientMessage,
    Auth,
    Bye,
    Diff,
    Error,
    Expiring,
    Hello,
    Limits,
    Ok,
    Override,
    Ping,
    Pong,
    Query,
    Reconnect,
    SelfChanged,
    SetStatus,
    Snapshot,
    StatusEntry,
    Statuses,
    StatusName,
    Unwatch,
    Watch,
    Welcome,
)
from presence_protocol.session import CLOSE, event_of
from presence_protocol.user_ids import IdKindName, UserId, kind_of

QUICK = Backoff(base=0.01, cap=0.05)
"""Tests need not wait for a second until a client comes back."""


class FakePresenceServer:
    """A presence server in memory. Use it as an async context manager, in the event loop of the test."""

    def __init__(
        self,
        *,
        grace_period: float = 0.0,
        ping_interval: float = 25.0,
        pong_timeout: float = 10.0,
        max_watched: int = limits.MAX_WATCHED,
        authenticate: Callable[[str | None, UserId | None], bool] | None = None,
        user_ids: IdKindName = "number",
    ) -> None:
        """`grace_period`, `ping_interval`, `pong_timeout` in seconds; 0 of the first: a lost link is OFFLINE at once.

        `authenticate(token, user_id)` says who is let in (`user_id` None: an observer); None: everybody is.
        `user_ids`: the kind of user ids that it speaks, as of `connect`.
        """
        self.ids = kind_of(user_ids)
        self.latency = 0.0
        """Seconds that each message takes from now on, either way."""
        self.is_deaf = False
        """Nothing arrives any more, either way, and nobody is told: half-open connections. They stay so when this is
        set back; new ones work."""
        self.refusal: tuple[int, float | None] | None = None
        """HTTP status and Retry-After (seconds) with which new connections are refused."""
        self.received: list[tuple[UserId | None, AnyClientMessage]] = []
        """Every message that came, with the user who sent it: None for an observer, and for each hello."""
        self._grace_period = grace_period
        self._limits = Limits(
            int(ping_interval * 1000), int(pong_timeout * 1000), max_watched, limits.MAX_MESSAGE, limits.MAX_BATCH
        )
        self._authenticate = authenticate
        self._users = Users()
        self._epoch = 1
        self._links: list[MemoryLink] = []
        self._timers: dict[object, asyncio.TimerHandle] = {}

    async def __aenter__(self) -> FakePresenceServer:
        """From now on clients may connect; leaving cuts all connections."""
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.cut()
        for timer in self._timers.values():
            timer.cancel()
        await asyncio.sleep(0)

    def connect(
        self,
        *,
        user_id: UserId | None = None,
        device_id: str | None = None,
        platform: str | None = None,
        observer: bool = False,
        token: Token | None = None,
        watch: Iterable[UserId] = (),
        status: StatusName | None = None,
        codec: Literal["msgpack", "json"] = "json",
        open_timeout: float = 5.0,
        timeout: float = 5.0,
        backoff: Backoff = QUICK,
    ) -> PresenceClient:
        """A real client of this server; arguments as of `presence_client.connect`, but the device may be left out.

        Raises:
            ValueError: an argument cannot be right.
        """

        def links(kind: Kind, token: str | None) -> Link:
            return MemoryLink(self, codecs_of(self.ids)[codec == "msgpack"])

        if not observer:
            device_id, platform = device_id or "device", platform or "WEB"
        return PresenceClient(
            Identity(user_id, device_id, platform, observer, status, ids=self.ids),
            links,
            token=token,
            watch=watch,
            open_timeout=open_timeout,
            timeout=timeout,
            policy=Policy(backoff, fallback_after=None),
        )

    # -- verbs -----------------------------------------------------------------------------------------------------

    def set(
        self,
        user_id: UserId,
        status: StatusName,
        platforms: Sequence[str] = ("WEB",),
        text: str | None = None,
        last_seen: str | None = None,
    ) -> None:
        """Let a user look like this for everybody, whatever their devices say, until `release`.

        With `last_seen` (such as `this_week`), as to those who may see the status only: no platforms, text or time.
        """
        if status == "OFFLINE" or last_seen is not None:
            platforms, text = (), None
        user_id = self.ids.parse(user_id)
        self._users.user(user_id).fixed = StatusEntry(
            user_id, status, list(platforms), None, 0, text, last_seen=last_seen
        )
        self._changed(user_id)

    def release(self, user_id: UserId) -> None:
        """Let a user's own devices speak for them again."""
        self._users.user(user_id).fixed = None
        self._changed(user_id)

    def entry(self, user_id: UserId) -> StatusEntry:
        """What others see of a user, now."""
        return self._users.entry(user_id)

    def watchers(self, user_id: UserId) -> int:
        """How many connections watch a user."""
        return sum(user_id in link.watched for link in self._links)

    @property
    def connections(self) -> int:
        """How many connections are open."""
        return len(self._links)

    def cut(self, user_id: UserId | None = None) -> None:
        """Drop the connections of one user, or all, without a close frame. The clients come back by themselves."""
        for link in self._of(user_id):
            link.cut()

    def close(self, code: int, reason: str = "", user_id: UserId | None = None) -> None:
        """Close the connections of one user, or all, with a code: see `presence_protocol.close_codes`."""
        for link in self._of(user_id):
            self._close(link, code, reason)

    def refuse(self, status: int = 503, retry_after: float | None = None) -> None:
        """Refuse new connections with an HTTP status, until `accept`. `retry_after`: seconds."""
        self.refusal = (status, retry_after)

    def accept(self) -> None:
        """Let new connections in again."""
        self.refusal = None

    def delay(self, seconds: float) -> None:
        """Let each message from now on take so many seconds, either way."""
        self.latency = seconds

    def drain(self, after: float = 0.0) -> None:
        """Ask every client to connect anew, `after` seconds from now, as a server does that is about to end."""
        for link in list(self._links):
            if link.session.state.name == "LIVE":
                self._tell(link, Reconnect(after_ms=int(after * 1000), reason="draining"))

    def expire(self, after: float = 0.0, user_id: int | None = None) -> None:
        """Tell the clients of one user, or all, that their token ends `after` seconds from now.

        Who has sent no new one (`auth`) that `authenticate` lets in by then is closed with 4401.
        """
        for link in self._of(user_id):
            if link.session.state.name == "LIVE":
                self._tell(link, Expiring(in_ms=int(after * 1000)))
                close = partial(self._close, link, CloseCode.UNAUTHENTICATED, "the token has expired")
                self._start_timer(link, after, close)

    def forget(self) -> None:
        """Let no cursor of before be covered any more, as after a restart: who comes back gets everything anew."""
        self._epoch += 1

    async def settle(self) -> None:
        """Wait until no message is under way."""
        quiet = 0
        while quiet < 5:
            await asyncio.sleep(0)
            busy = any(link.under_way for link in self._links)
            quiet = 0 if busy else quiet + 1
            if busy and self.latency:
                await asyncio.sleep(self.latency / 10)

    def _of(self, user_id: UserId | None) -> list[MemoryLink]:
        return [link for link in self._links if user_id is None or link.user_id == user_id]

    # -- connections: for the links ------------------------------------------------------------------------------

    def attach(self, link: MemoryLink) -> None:
        """A connection was accepted: for the links."""
        self._links.append(link)

    def detach(self, link: MemoryLink, code: int) -> None:
        """A connection ended, for the links; `code` is the client's."""
        self._stop_timer(link)
        if link in self._links:
            self._links.remove(link)
            self._leave(link, code)

    def receive(self, link: MemoryLink, message: AnyClientMessage) -> None:
        """A message came: for the links."""
        self.received.append((link.user_id, message))
        try:
            if not link.session.receive(event_of(message)):
                return
        except Refused as refused:
            self._refuse(link, message.id, 400, refused.error)
        except OutOfTurn as refused:
            self._close(link, CloseCode.MALFORMED, str(refused))
        else:
            self._handle(link, message)

    # -- messages --------------------------------------------------------------------------------------------------

    def _handle(self, link: MemoryLink, message: AnyClientMessage) -> None:
        match message:
            case Hello():
                self._greet(link, message)
            case Watch():
                self._watch(link, message)
            case Unwatch():
                link.watched.difference_update(message.user_ids)
                self._confirm(link, message.id)
            case Query():
                *earlier, last = _parts(self._users.entries(message.user_ids))
                for part in earlier:
                    self._tell(link, Statuses(id=message.id, statuses=part, more=True))
                self._tell(link, Statuses(id=message.id, statuses=last))
            case Ping():
                self._tell(link, Pong(id=message.id))
            case Bye():
                link.close_from_server(CloseCode.NORMAL, "bye")
                self._leave(link, CloseCode.NORMAL)
            case Auth():
                if self._authenticate is not None and not self._authenticate(message.token, link.user_id):
                    self._refuse(link, message.id, 401, "unauthenticated")
                else:
                    self._stop_timer(link)
                    self._confirm(link, message.id)
            case SetStatus() | Activity() if link.user_id is None:
                self._refuse(link, message.id, 403, "forbidden")
            case SetStatus():
                if self._users.user(link.user_id).hear(message) is not None:
                    self._refuse(link, message.id, 400, "invalid_request")
                else:
                    self._said(link.user_id)
                    self._confirm(link, message.id)
            case Activity():
                device = self._users.user(link.user_id).devices[link.device_id]
                device.idle = device.idle if message.idle is None else message.idle
                device.busy = device.busy if message.busy is None else message.busy
                self._changed(link.user_id)
                self._confirm(link, message.id)

    def _greet(self, link: MemoryLink, hello: Hello) -> None:
        if self._authenticate is not None and not self._authenticate(hello.token, hello.user_id):
            self._close(link, CloseCode.UNAUTHENTICATED, "the token is not valid")
            return
        continued = False
        if hello.user_id is not None:
            continued = self._arrive(link, hello)
        link.watched = set(hello.watch or ())
        resumed = hello.cursor is not None and hello.cursor.startswith(f"{self._epoch}.")
        self._tell(
            link,
            Welcome(
                id=hello.id,
                session_id=f"fake-{hello.user_id}",
                server_time=now(),
                continued=continued,
                resumed=resumed,
                user_ids=self.ids.name,
                self_=None if hello.user_id is None else self._users.self_view(hello.user_id),
                limits=self._limits,
            ),
        )
        if hello.watch is not None:
            since = int(hello.cursor.partition(".")[2]) if resumed and hello.cursor is not None else -1
            entries = self._users.entries(dict.fromkeys(hello.watch))
            self._snapshot(link, None, [entry for entry in entries if entry.version > since])

    def _arrive(self, link: MemoryLink, hello: Hello) -> bool:
        assert hello.user_id is not None
        assert hello.device_id is not None
        for other in self._of(hello.user_id):
            if other.device_id == hello.device_id:
                other.user_id = None  # its end is not the device's
                self._close(other, CloseCode.REPLACED, "replaced by a newer connection of this device")
        self._stop_timer((hello.user_id, hello.device_id))
        link.user_id, link.device_id = hello.user_id, hello.device_id
        continued = self._users.put_device(
            hello.user_id, hello.device_id, hello.platform or "WEB", hello.idle, hello.busy
        )
        if hello.status is not None and not continued:
            self._stop_timer(hello.user_id)
            self._users.user(hello.user_id).say(Override(hello.status))
        self._changed(hello.user_id, but=link)
        return continued

    def _leave(self, link: MemoryLink, code: int) -> None:
        """The device's end, now or after the grace period."""
        user_id, device_id = link.user_id, link.device_id
        if user_id is None:
            return
        link.user_id = None

        def end() -> None:
            self._users.user(user_id).devices.pop(device_id, None)
            self._changed(user_id)

        if ends_device(code) or self._grace_period <= 0:
            end()
        else:
            self._start_timer((user_id, device_id), self._grace_period, end)

    def _watch(self, link: MemoryLink, message: Watch) -> None:
        watched = link.watched | set(message.user_ids)
        if len(watched) > self._limits.max_watched:
            self._refuse(link, message.id, 400, "too_many_watched")
        else:
            link.watched = watched
            self._snapshot(link, message.id, self._users.entries(dict.fromkeys(message.user_ids)))

    def _snapshot(self, link: MemoryLink, id: int | None, entries: list[StatusEntry]) -> None:
        *earlier, last = _parts(entries)
        for part in earlier:
            self._tell(link, Snapshot(id=id, statuses=part, more=True))
        self._tell(link, Snapshot(id=id, statuses=last, cursor=self._cursor()))

    def _said(self, user_id: UserId) -> None:
        """What the user says is something else: see to its end, and tell."""
        user = self._users.user(user_id)
        of_status = None if user.override is None else user.override.until
        for timer, until, lapse in (
            (user_id, of_status, user.lapse),
            ((user_id, ""), user.text_until, user.lapse_text),
        ):
            self._stop_timer(timer)
            if until is not None:
                left = (parse_time(until) or 0) - datetime.now(UTC).timestamp()
                self._start_timer(timer, left, partial(self._lapse, user_id, lapse))
        self._changed(user_id)

    def _lapse(self, user_id: UserId, lapse: Callable[[], None]) -> None:
        lapse()
        self._said(user_id)

    # -- telling ---------------------------------------------------------------------------------------------------

    def _changed(self, user_id: UserId, but: MemoryLink | None = None) -> None:
        """Tell the user the truth (except on `but`, which is about to be welcomed), and watchers what they see."""
        truth = self._users.self_view(user_id)
        for link in self._of(user_id):
            if link is not but:
                self._tell(link, SelfChanged.of(truth))
        if (entry := self._users.update(user_id)) is not None:
            for link in [link for link in self._links if user_id in link.watched]:
                self._tell(link, Diff(changes=[entry], cursor=self._cursor()))

    def _tell(self, link: MemoryLink, message: Any) -> None:
        link.session.send(event_of(message))
        link.tell(message)

    def _confirm(self, link: MemoryLink, id: int | None) -> None:
        if id is not None:
            self._tell(link, Ok(id=id))

    def _refuse(self, link: MemoryLink, id: int | None, code: int, error: str) -> None:
        self._tell(link, Error(id=id, code=code, error=error, message=error.replace("_", " ")))

    def _close(self, link: MemoryLink, code: int, reason: str) -> None:
        link.watched = set()
        link.session.send(CLOSE)
        link.close_from_server(code, reason)
        self._leave(link, code)

    def _cursor(self) -> str:
        return f"{self._epoch}.{self._users.seq}"

    def _start_timer(self, key: object, seconds: float, then: Callable[[], None]) -> None:
        self._timers[key] = asyncio.get_running_loop().call_later(seconds, then)

    def _stop_timer(self, key: object) -> None:
        if (timer := self._timers.pop(key, None)) is not None:
            timer.cancel()


def _parts(entries: list[StatusEntry]) -> list[list[StatusEntry]]:
    """As the server cuts a long answer; at least one part."""
    size = limits.SNAPSHOT_PART
    return [entries[start : start + size] for start in range(0, len(entries), size)] or [[]]
