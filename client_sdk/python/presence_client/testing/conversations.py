"""The fake server's role of the protocol: connections, messages, and who is told of what."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Literal

from presence_client.backoff import Backoff
from presence_client.testing.claims import Stack, Wrong, next_edge, said
from presence_client.testing.users import Device, Users
from presence_client.testing.wire import MemoryLink
from presence_protocol import limits
from presence_protocol.close_codes import CloseCode, ends_device
from presence_protocol.errors import OutOfTurn, Refused
from presence_protocol.fields import format_time
from presence_protocol.messages import (
    Activity,
    AnyClientMessage,
    Auth,
    Bye,
    Detail,
    Diff,
    Error,
    Hello,
    Limits,
    Ok,
    Ping,
    Pong,
    Query,
    SelfChanged,
    SetStatus,
    Snapshot,
    StatusEntry,
    Statuses,
    Unwatch,
    Watch,
    Welcome,
)
from presence_protocol.session import CLOSE, event_of
from presence_protocol.user_ids import IdKind, UserId

LoginPolicy = Literal["many", "one", "one-per-platform"]

QUICK = Backoff(base=0.01, cap=0.05)
"""Tests need not wait for a second until a client comes back."""


class Conversations:
    """What the fake server knows, and its connections. `FakePresenceServer` adds the verbs of a test."""

    def __init__(
        self,
        users: Users,
        ids: IdKind,
        limits: Limits,
        grace_period: float,
        authenticate: Callable[[str | None, UserId | None], bool | int] | None,
        login_policy: LoginPolicy = "many",
    ) -> None:
        self.users = users
        self.ids = ids
        self.latency = 0.0
        """Seconds that each message takes from now on, either way."""
        self.is_deaf = False
        """Nothing arrives any more, either way, and nobody is told: half-open connections. They stay so when this is
        set back; new ones work."""
        self.refusal: tuple[int, float | None] | None = None
        """HTTP status or close code, and Retry-After (seconds), with which new connections are refused."""
        self.received: list[tuple[UserId | None, AnyClientMessage]] = []
        """Every message that came, with the user who sent it: None for an observer, and for each hello."""
        self._limits = limits
        self._grace_period = grace_period
        self._authenticate = authenticate
        self._login_policy = login_policy
        self._farewells: dict[tuple[UserId, str], tuple[str, str]] = {}
        self._to_limit: list[float] = []
        self._epoch = 1
        self._links: list[MemoryLink] = []
        self._timers: dict[object, asyncio.TimerHandle] = {}
        self._news: set[asyncio.Future[None]] = set()

    def take_limit(self) -> float | None:
        """For the links and REST: the seconds that the next request is told to wait; None: it may pass."""
        return self._to_limit.pop() if self._to_limit else None

    def _of(self, user_id: UserId | None) -> list[MemoryLink]:
        return [link for link in self._links if user_id is None or link.user_id == user_id]

    # -- connections: for the links ------------------------------------------------------------------------------

    def attach(self, link: MemoryLink) -> None:
        """A connection was accepted: for the links."""
        self._links.append(link)
        if self.refusal is not None and self.refusal[0] >= 4000:
            code, retry_after = self.refusal
            self.end(link, code, "refused", retry_after)

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
            self.end(link, CloseCode.MALFORMED, str(refused))
        else:
            is_request = not isinstance(message, Hello | Ping | Auth | Bye)
            if is_request and (seconds := self.take_limit()) is not None:
                self._refuse(link, message.id, 429, "too_many_requests", seconds)
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
                *earlier, last = _parts(self.users.entries(message.user_ids))
                for part in earlier:
                    self._tell(link, Statuses(id=message.id, statuses=part, more=True))
                self._tell(link, Statuses(id=message.id, statuses=last))
            case Ping():
                self._tell(link, Pong(id=message.id))
            case Bye():
                link.close_from_server(CloseCode.NORMAL, "bye")
                self._leave(link, CloseCode.NORMAL)
            case Auth():
                if (code := self.judged(message.token, link.user_id)) is not None:
                    of_http = 403 if code == CloseCode.FORBIDDEN else 401
                    self._refuse(link, message.id, of_http, "forbidden" if of_http == 403 else "unauthenticated")
                else:
                    self._stop_timer(link)
                    self._confirm(link, message.id)
            case SetStatus() | Activity() if link.user_id is None:
                self._refuse(link, message.id, 403, "forbidden")
            case SetStatus():
                users = self.users
                made = said(users.user(link.user_id).stack, message, self.users.clock(), users.rules)
                if isinstance(made, Wrong):
                    self._refuse(link, message.id, 400, "invalid_request", wrong=made)
                else:
                    self.claimed(link.user_id, made, "status_set")
                    self._confirm(link, message.id)
            case Activity():
                device = self.users.user(link.user_id).devices[link.device_id]
                self.users.put_level(device, message.idle, message.busy, (message.idle_for_ms or 0) / 1000)
                self.changed(link.user_id, level_cause(message.idle, message.busy), device)
                self._confirm(link, message.id)

    def judged(self, token: str | None, user_id: UserId | None) -> int | None:
        """The close code for who shows this token; None: they are let in."""
        found = True if self._authenticate is None else self._authenticate(token, user_id)
        return (None if found else int(CloseCode.UNAUTHENTICATED)) if isinstance(found, bool) else found

    def _greet(self, link: MemoryLink, hello: Hello) -> None:
        if (code := self.judged(hello.token, hello.user_id)) is not None:
            self.end(link, code, "the token is not valid" if code == CloseCode.UNAUTHENTICATED else "not allowed")
            return
        continued = False
        link.client = hello.client or "unknown"
        if hello.returning and (told := self._told_when_returning(hello)) is not None:
            error, reason = told
            if error == "device_replaced":
                self._tell(link, Error(code=409, error="replaced", message=reason))
            self.end(link, CloseCode.REPLACED if error == "device_replaced" else CloseCode.ENDED, reason)
            return
        if hello.user_id is not None:
            continued = self._arrive(link, hello)
        link.watched = set(hello.watch or ())
        covered = self.seq_of(hello.cursor)
        self._tell(
            link,
            Welcome(
                id=hello.id,
                session_id=f"fake-{hello.user_id}",
                server_time=format_time(int(self.users.clock())),
                continued=continued,
                resumed=covered is not None,
                user_ids=self.ids.name,
                self_=None if hello.user_id is None else self.users.self_view(hello.user_id),
                limits=self._limits,
            ),
        )
        if hello.watch is not None:
            since = -1 if covered is None else covered
            entries = self.users.entries(dict.fromkeys(hello.watch))
            self._snapshot(link, None, [entry for entry in entries if entry.version > since])

    def _arrive(self, link: MemoryLink, hello: Hello) -> bool:
        assert hello.user_id is not None
        assert hello.device_id is not None
        for other in self._of(hello.user_id):
            if other.device_id == hello.device_id:
                other.user_id = None  # its end is not the device's
                self.end(other, CloseCode.REPLACED, "replaced by a newer connection of this device")
        self.sign_in(hello.user_id, hello.device_id, hello.platform or "WEB")
        self._stop_timer((hello.user_id, hello.device_id))
        link.user_id, link.device_id = hello.user_id, hello.device_id
        continued = self.users.put_device(
            hello.user_id,
            hello.device_id,
            hello.platform or "WEB",
            hello.idle,
            hello.busy,
            idle_for=(hello.idle_for_ms or 0) / 1000,
        )
        user = self.users.user(hello.user_id)
        if hello.status is not None and not continued:
            made = said(user.stack, SetStatus(status=hello.status), self.users.clock(), self.users.rules)
            assert not isinstance(made, Wrong)
            user.stack = made
            self._wait_for_edge(hello.user_id)
        cause = "resumed" if continued else "connected"
        self.changed(hello.user_id, cause, user.devices[hello.device_id], but=link)
        return continued

    def _leave(self, link: MemoryLink, code: int) -> None:
        """The device's end, now or after the grace period."""
        user_id, device_id = link.user_id, link.device_id
        if user_id is None:
            return
        link.user_id = None

        if (device := self.users.user(user_id).devices.get(device_id)) is None:
            return
        if ends_device(code) or self._grace_period <= 0:
            gone = code == CloseCode.ENDED
            cause = "ended_by_backend" if gone else "left" if ends_device(code) else "grace_over"
            self.remove_device(user_id, device_id, cause)
        else:
            device.holder = "grace"
            end = partial(self.remove_device, user_id, device_id, "grace_over")
            self._start_timer((user_id, device_id), self._grace_period, end)

    def remove_device(self, user_id: UserId, device_id: str, cause: str) -> None:
        """A device's end; its connection's as well, with 4410. For REST and the links."""
        device = self.users.user(user_id).devices.pop(device_id, None)
        self._stop_timer((user_id, device_id))
        for link in self._of(user_id):
            if link.device_id == device_id:
                self.end(link, CloseCode.ENDED, "ended by the back end")
        self.changed(user_id, cause, device)

    # -- devices that are ended ------------------------------------------------------------------------------------

    @property
    def clients(self) -> list[tuple[UserId | None, str]]:
        """Of each connection the user, and what SDK it says it is. For REST."""
        return [(link.user_id, link.client) for link in self._links]

    def sign_in(self, user_id: UserId, device_id: str, platform: str) -> None:
        """A device comes, perhaps anew: by the login policy it ends others. For REST and the links."""
        devices = self.users.user(user_id).devices
        self._farewells.pop((user_id, device_id), None)
        here = devices.get(device_id)
        if here is None or here.platform != platform:
            reason = _signed_in(Device(device_id, platform, 0))
            self._end(user_id, self._rivals(user_id, device_id, platform), "replaced", reason)

    def end_devices(self, user_id: UserId, devices: Sequence[Device], cause: str, reason: str) -> None:
        """A back end ends devices. For REST."""
        self._end(user_id, devices, cause, reason)
        if devices:
            self.changed(user_id, cause, devices[0] if len(devices) == 1 else None)

    def farewell(self, user_id: UserId, device_id: str) -> tuple[str, str]:
        """What a heartbeat of a device is told that is not there: the stable code, and the reason. For REST."""
        usual = ("device_not_online", "is not online; call /online again")
        return self._farewells.get((user_id, device_id), usual)

    def _told_when_returning(self, hello: Hello) -> tuple[str, str] | None:
        """Why a client that comes back by itself may not, and the error that REST would be told; None: it may."""
        assert hello.user_id is not None
        assert hello.device_id is not None
        if hello.device_id in self.users.user(hello.user_id).devices:
            return None
        if (told := self._farewells.get((hello.user_id, hello.device_id))) is not None:
            return told
        rivals = self._rivals(hello.user_id, hello.device_id, hello.platform or "WEB")
        return ("device_replaced", _signed_in(rivals[-1])) if rivals else None

    def _rivals(self, user_id: UserId, device_id: str, platform: str) -> list[Device]:
        """Which devices of the user may not stand beside this one; the newest last."""
        if self._login_policy == "many":
            return []
        return [
            device
            for device in self.users.user(user_id).devices.values()
            if device.device_id != device_id and (self._login_policy == "one" or device.platform == platform)
        ]

    def _end(self, user_id: UserId, devices: Sequence[Device], cause: str, reason: str) -> None:
        is_replaced = cause == "replaced"
        for device in devices:
            key = user_id, device.device_id
            self.users.user(user_id).devices.pop(device.device_id)
            self._stop_timer(key)
            self._farewells[key] = (
                "device_replaced" if is_replaced else "device_ended",
                reason or "ended by the back end",
            )
            for link in [link for link in self._of(user_id) if link.device_id == device.device_id]:
                link.user_id = None  # its end is not the device's
                if is_replaced:
                    self._tell(link, Error(code=409, error="replaced", message=reason))
                code = CloseCode.REPLACED if is_replaced else CloseCode.ENDED
                self.end(link, code, reason or "ended by the back end")

    def _watch(self, link: MemoryLink, message: Watch) -> None:
        watched = link.watched | set(message.user_ids)
        if len(watched) > self._limits.max_watched:
            self._refuse(link, message.id, 400, "too_many_watched")
        else:
            link.watched = watched
            self._snapshot(link, message.id, self.users.entries(dict.fromkeys(message.user_ids)))

    def _snapshot(self, link: MemoryLink, id: int | None, entries: list[StatusEntry]) -> None:
        *earlier, last = _parts(entries)
        for part in earlier:
            self._tell(link, Snapshot(id=id, statuses=part, more=True))
        self._tell(link, Snapshot(id=id, statuses=last, cursor=self.cursor()))

    # -- what is said, and who is told -------------------------------------------------------------------------------

    def claimed(self, user_id: UserId, stack: Stack, cause: str) -> None:
        """What is said of a user is something else: see to its next end, and tell. For REST and the links."""
        self.users.user(user_id).stack = stack
        self._wait_for_edge(user_id)
        self.changed(user_id, cause)

    def _wait_for_edge(self, user_id: UserId) -> None:
        self._stop_timer(user_id)
        now = self.users.clock()
        if (edge := next_edge(self.users.user(user_id).stack, now)) is not None:
            self._start_timer(user_id, max(0.0, edge - now), partial(self.settle_claims, user_id))

    def settle_claims(self, user_id: UserId) -> None:
        """Something that is said of a user begins or ends about now."""
        before = self.users.user(user_id).stack
        self.users.settle(user_id)
        after = self.users.user(user_id).stack
        ended = [claim for claim in before if claim.until is not None and claim.until <= self.users.clock()]
        cause = "claim_began"
        if ended:
            cause = "status_ended" if ended[0].source == "self" else "claim_ended"
        if before != after:
            self.claimed(user_id, after, cause)
        else:
            self._wait_for_edge(user_id)  # a timer's clock is not quite the calendar's

    def changed(
        self, user_id: UserId, cause: str, device: Device | None = None, *, but: MemoryLink | None = None
    ) -> None:
        """Tell the user the truth (except on `but`, which is about to be welcomed), and watchers what they see."""
        truth = self.users.self_view(user_id)
        for link in self._of(user_id):
            if link is not but:
                self._tell(link, SelfChanged.of(truth))
        if (entry := self.users.update(user_id, cause, device)) is not None:
            for link in [link for link in self._links if user_id in link.watched]:
                self._tell(link, Diff(changes=[entry], cursor=self.cursor()))
            for waiting in self._news:
                if not waiting.done():
                    waiting.set_result(None)

    async def wait_news(self, seconds: float) -> None:
        """Until somebody changes, for `seconds` at most: for long polls."""
        waiting: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._news.add(waiting)
        try:
            await asyncio.wait((waiting,), timeout=seconds)
        finally:
            self._news.discard(waiting)

    def _tell(self, link: MemoryLink, message: Any) -> None:
        link.session.send(event_of(message))
        link.tell(message)

    def _confirm(self, link: MemoryLink, id: int | None) -> None:
        if id is not None:
            self._tell(link, Ok(id=id))

    def _refuse(
        self,
        link: MemoryLink,
        id: int | None,
        code: int,
        error: str,
        retry_after: float | None = None,
        wrong: Wrong | None = None,
    ) -> None:
        milliseconds = None if retry_after is None else int(retry_after * 1000)
        details = None if wrong is None else [Detail(*wrong)]
        message = error.replace("_", " ") if wrong is None else f"{wrong.field}: {wrong.reason}"
        self._tell(
            link, Error(id=id, code=code, error=error, message=message, details=details, retry_after_ms=milliseconds)
        )

    def end(self, link: MemoryLink, code: int, reason: str, retry_after: float | None = None) -> None:
        """Close a connection, and say before it when to come back, if that is said: for the links."""
        if retry_after is not None:
            of_http, error = (429, "too_many_requests") if code == CloseCode.TOO_FAST else (503, "unavailable")
            self._refuse(link, None, of_http, error, retry_after)
        link.watched = set()
        link.session.send(CLOSE)
        link.close_from_server(code, reason)
        self._leave(link, code)

    def cursor(self, seq: int | None = None) -> str:
        """As of `seq`; None: as of now."""
        return f"{self._epoch}.{self.users.seq if seq is None else seq}"

    def seq_of(self, cursor: str | None) -> int | None:
        """What a cursor covers; None: nothing that is known."""
        epoch, _, seq = (cursor or "").partition(".")
        return int(seq) if epoch == str(self._epoch) and seq.isdecimal() else None

    def _start_timer(self, key: object, seconds: float, then: Callable[[], None]) -> None:
        self._timers[key] = asyncio.get_running_loop().call_later(seconds, then)

    def _stop_timer(self, key: object) -> None:
        if (timer := self._timers.pop(key, None)) is not None:
            timer.cancel()


def _parts(entries: list[StatusEntry]) -> list[list[StatusEntry]]:
    """As the server cuts a long answer; at least one part."""
    size = limits.SNAPSHOT_PART
    return [entries[start : start + size] for start in range(0, len(entries), size)] or [[]]


def level_cause(idle: bool | None, busy: bool | None) -> str:
    """Why a device's word changes something."""
    return "busy" if busy else "idle" if idle else "active"


def _signed_in(device: Device) -> str:
    return f"signed in on another device: {device.platform}, {device.device_id}"
