"""The fake server as a test has it: its settings, its clients, and the verbs that make things happen."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from types import TracebackType
from typing import Literal

from presence_client.api import PresenceApi
from presence_client.attempts import Policy
from presence_client.backoff import Backoff
from presence_client.client import PresenceClient
from presence_client.conversation import Kind
from presence_client.identity import CLIENT, Identity
from presence_client.links import Link
from presence_client.testing.claims import LIFETIMES, SOURCES, Rules
from presence_client.testing.conversations import Conversations, LoginPolicy
from presence_client.testing.people import kick
from presence_client.testing.rest import FakeRest
from presence_client.testing.users import Users
from presence_client.testing.wire import MemoryLink
from presence_client.values import Token
from presence_protocol import limits
from presence_protocol.close_codes import CloseCode
from presence_protocol.codec import codecs_of
from presence_protocol.fields import PLATFORMS
from presence_protocol.messages import (
    Expiring,
    Limits,
    Reconnect,
    StatusEntry,
    StatusName,
)
from presence_protocol.user_ids import IdKindName, UserId, kind_of

QUICK = Backoff(base=0.01, cap=0.05)
"""Tests need not wait for a second until a client comes back."""


class FakePresenceServer(Conversations):
    """A presence server in memory. Use it as an async context manager, in the event loop of the test."""

    def __init__(
        self,
        *,
        grace_period: float = 0.0,
        ping_interval: float = 25.0,
        pong_timeout: float = 10.0,
        max_watched: int = limits.MAX_WATCHED,
        authenticate: Callable[[str | None, UserId | None], bool | int] | None = None,
        user_ids: IdKindName = "number",
        sources: Mapping[str, int] = SOURCES,
        lifetimes: Mapping[str, int] = LIFETIMES,
        platforms: Sequence[str] = PLATFORMS,
        platform_status: bool = False,
        show_idle_since: bool = False,
        login_policy: LoginPolicy = "many",
    ) -> None:
        """`grace_period`, `ping_interval`, `pong_timeout` in seconds; 0 of the first: a lost link is OFFLINE at once.

        `authenticate(token, user_id)` says who is let in (`user_id` None: an observer, or a back end): True, False
        (4401), or a close code such as 4403; None: everybody is. `user_ids`: the kind of user ids that it speaks, as of
        `connect`. `sources`: the weights of who may claim; `lifetimes`: seconds after which what a person says ends by
        itself, by status (0: never); `platforms`: those that it takes. `platform_status`, `show_idle_since`: it tells
        `platformStatus` and `idleSince`. `login_policy`: which devices of a user may be online at once.
        """
        self._ahead = 0.0
        self._platforms = tuple(platforms)
        super().__init__(
            Users(
                self.utc,
                Rules(dict(sources), {**LIFETIMES, **lifetimes}),
                platforms=platforms,
                platform_status=platform_status,
                show_idle_since=show_idle_since,
            ),
            kind_of(user_ids),
            Limits(
                int(ping_interval * 1000), int(pong_timeout * 1000), max_watched, limits.MAX_MESSAGE, limits.MAX_BATCH
            ),
            grace_period,
            authenticate,
            login_policy,
        )

    def utc(self) -> float:
        """The server's calendar, in seconds since 1970."""
        return time.time() + self._ahead

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
            return MemoryLink(self, codecs_of(self.ids, self._platforms)[codec == "msgpack"])

        if not observer:
            device_id, platform = device_id or "device", platform or "WEB"
        return PresenceClient(
            Identity(user_id, device_id, platform, observer, status, ids=self.ids, client=CLIENT),
            links,
            token=token,
            watch=watch,
            open_timeout=open_timeout,
            timeout=timeout,
            policy=Policy(backoff, fallback_after=None),
        )

    def api(self, *, token: Token | None = None, timeout: float = 5.0) -> PresenceApi:
        """The REST calls of this server, for a back end's tests: the real `PresenceApi`, without a socket.

        `timeout`: seconds that an answer is waited for.
        """
        rest = FakeRest(self, self._platforms)
        return PresenceApi("http://fake", token=token, timeout=timeout, user_ids=self.ids.name, exchanges=rest)

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
        self.users.user(user_id).fixed = StatusEntry(
            user_id, status, list(platforms), None, 0, text, last_seen=last_seen
        )
        self.changed(user_id, "status_set")

    def release(self, user_id: UserId) -> None:
        """Let a user's own devices speak for them again."""
        self.users.user(user_id).fixed = None
        self.changed(user_id, "status_ended")

    def entry(self, user_id: UserId) -> StatusEntry:
        """What others see of a user, now."""
        return self.users.entry(user_id)

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

    def close(
        self, code: int, reason: str = "", user_id: UserId | None = None, retry_after: float | None = None
    ) -> None:
        """Close the connections of one user, or all, with a code: see `presence_protocol.close_codes`.

        `retry_after`: an `error` before it says after how many seconds to come back, as with 4503 and 4529.
        """
        for link in self._of(user_id):
            self.end(link, code, reason, retry_after)

    def kick(
        self,
        user_id: UserId,
        *,
        platform: str | None = None,
        device_id: str | None = None,
        reason: str = "",
    ) -> int:
        """End a user's devices with 4410, as a back end does: all, those on a platform, or one. How many that were."""
        asked = {"platform": platform, "deviceId": device_id, "reason": reason}
        ended: int = kick(self, self.ids.parse(user_id), asked)["ended"]
        return ended

    def refuse(self, status: int = 503, retry_after: float | None = None) -> None:
        """Refuse new connections with an HTTP status, until `accept`. `retry_after`: seconds.

        A close code from 4000 (4403, 4503, 4529) is told over the WebSocket, which is how a busy server does it, since
        a browser is shown no answer to a handshake. REST calls are refused as well, by the status that goes with it.
        """
        self.refusal = (status, retry_after)

    def limit(self, retry_after: float = 1.0, times: int = 1) -> None:
        """Answer the next messages or REST calls, so many `times`, with 429, and do nothing else with them.

        `retry_after`: seconds. What is no request is let pass: hello, ping, auth, bye.
        """
        self._to_limit = [retry_after] * times

    def advance(self, seconds: float) -> None:
        """Set the server's calendar ahead by so many seconds: claims and what people said begin and end at once.

        Connections, grace and tokens go by real time.
        """
        self._ahead += seconds
        for user_id in self.users.ids:
            self.settle_claims(user_id)

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

    def expire(self, after: float = 0.0, user_id: UserId | None = None) -> None:
        """Tell the clients of one user, or all, that their token ends `after` seconds from now.

        Who has sent no new one (`auth`) that `authenticate` lets in by then is closed with 4401.
        """
        for link in self._of(user_id):
            if link.session.state.name == "LIVE":
                self._tell(link, Expiring(in_ms=int(after * 1000)))
                close = partial(self.end, link, CloseCode.UNAUTHENTICATED, "the token has expired")
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
