"""The REST endpoints, typed, for back ends and pollers: one method a call, nothing kept but HTTP connections.

    async with PresenceApi("http://127.0.0.1:8004") as api:
        await api.online(10001, "job-7", "PC")
        print(await api.statuses([10001, 10002]))

Every method raises `RequestFailed` (the server refuses, saying why), `Unreachable` (no answer) or `UnexpectedAnswer`
(an answer, but not a presence server's), all of them `PresenceError`, and ValueError for what cannot be right. Where
a token does, and what else the constructor takes, it is an `InvalidSetting`, which is both.
"""

import asyncio
import inspect
import ssl
import time
from collections.abc import Awaitable, Iterable, Mapping, Sequence
from datetime import timedelta
from types import TracebackType
from typing import Any, Final, Literal, TypeVar
from urllib.parse import quote

import msgspec
from msgspec import UNSET, UnsetType

from presence_client.address import Address
from presence_client.answers import (
    ChangeSet,
    Claimed,
    Claims,
    DeviceStatus,
    Explanation,
    Interval,
    Refusal,
    UserDetail,
    UserStatus,
    UserSummary,
    other_ids,
)
from presence_client.backoff import Backoff
from presence_client.claims import Claim, claims_body, patch_body
from presence_client.cursors import CursorStore, MemoryCursor
from presence_client.errors import RequestFailed, SignedOut, UnexpectedAnswer, Unreachable
from presence_client.feed import MOST, Feed, FeedAnswer
from presence_client.http import Exchanges, Http
from presence_client.http_exchange import HttpAnswer
from presence_client.people import PeopleCalls
from presence_client.route import Route
from presence_client.values import Time, Token, patience_of, status_message, token_of, user_ids_of
from presence_protocol.fields import PLATFORMS
from presence_protocol.limits import MAX_WAIT
from presence_protocol.messages import StatusName
from presence_protocol.user_ids import IdKindName, UserId, kind_of
from presence_protocol.variants import Variants

TIMEOUT: Final = 10.0
"""Seconds that an answer is waited for."""


T = TypeVar("T")


class PresenceApi(PeopleCalls):
    """The endpoints of one server, over connections that are kept. Use it as an async context manager."""

    def __init__(
        self,
        url: str,
        *,
        token: Token | None = None,
        timeout: float = TIMEOUT,
        headers: Mapping[str, str] | None = None,
        ssl: ssl.SSLContext | None = None,
        user_ids: IdKindName = "number",
        exchanges: Exchanges | None = None,
    ) -> None:
        """`token`: a bearer token, or a function that gets one: asked first, and once more after a 401.

        `timeout`: seconds that each answer is waited for. `url`, `headers`, `ssl`, `user_ids`: as of `connect`.
        `exchanges`: what answers in place of HTTP, such as the fake server of `presence_client.testing`.

        Raises:
            InvalidSetting: `url`, `token`, `headers`, `ssl` or the proxies in the environment cannot be right.
        """
        self._ids = kind_of(user_ids)
        self._variants = Variants(self._ids, PLATFORMS)
        address = Address.parse(url)
        self._url = address.given
        self._http: Exchanges = exchanges or Http(Route(address, headers, ssl))
        self._token = token_of(token) if isinstance(token, str) else token
        self._last_token: str | None = None
        self._timeout = patience_of("timeout", timeout)
        self._clock: tuple[float, float] | None = None  # what the server's clock said, and when by the monotonic one

    async def __aenter__(self) -> "PresenceApi":
        """Nothing is sent yet; leaving closes all connections."""
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Close all connections. Devices stay online until their heartbeats are missed, or `offline`."""
        await self._http.aclose()

    # -- the document's five -----------------------------------------------------------------------------------------

    async def online(
        self,
        user_id: UserId,
        device_id: str,
        platform: str,
        *,
        idle: bool | None = None,
        busy: bool | None = None,
    ) -> UserSummary:
        """Bring a device online; call `heartbeat` from now on, or it is offline after 2.5 heartbeat intervals.

        `idle`: whether the person is; `busy`: whether they are busy at this device, in a call or presenting. None
        leaves it as it was.
        """
        body = {"userId": self._id_of(user_id), "deviceId": device_id, "platform": platform}
        return await self._ask("POST", "/online", UserSummary, _with_levels(body, idle, busy))

    async def offline(self, user_id: UserId, device_id: str) -> None:
        """End a device, whatever holds it, its WebSocket included. No error if it is not online."""
        await self._ask("POST", "/offline", type(None), {"userId": self._id_of(user_id), "deviceId": device_id})

    async def status(self, user_id: UserId) -> UserStatus:
        """The public status of one user, with their devices. An unknown user is OFFLINE."""
        return await self._ask("GET", self._path_of(user_id), UserStatus)

    async def explain(self, user_id: UserId) -> Explanation:
        """Why a user is shown as they are: with the user's own token, or a service's with the scope `admin`."""
        return await self._ask("GET", self._path_of(user_id, "explain"), Explanation)

    async def statuses(self, user_ids: Iterable[UserId]) -> list[UserDetail]:
        """The public status of several users, in the order and with the repeats of `user_ids`; at most 1,000."""
        body = {"userIds": user_ids_of("user_ids", user_ids, self._ids), "detail": True}
        return await self._ask("POST", "/status/batch", list[UserDetail], body)

    async def heartbeat(
        self, user_id: UserId, device_id: str, *, idle: bool | None = None, busy: bool | None = None
    ) -> float:
        """Keep a device online. Returns the seconds until the next heartbeat is due.

        Raises:
            RequestFailed: 404 `device_not_online`: call `online` again.
        """
        body = _with_levels({"userId": self._id_of(user_id), "deviceId": device_id}, idle, busy)
        answer: Interval = await self._ask("POST", "/heartbeat", Interval, body)
        return answer.next_heartbeat_interval / 1000

    # -- beyond the document -----------------------------------------------------------------------------------------

    async def set_status(
        self,
        user_id: UserId,
        status: StatusName | UnsetType | None = UNSET,
        until: Time = UNSET,
        text: str | UnsetType | None = UNSET,
        *,
        emoji: str | UnsetType | None = UNSET,
        text_until: Time = UNSET,
    ) -> UserStatus:
        """Say what a user is; what is left out stays as it is, None clears it. As `PresenceClient.set_status`."""
        now = await self._server_time(user_id, until, text_until)
        said = msgspec.to_builtins(status_message(status, until, text, emoji, text_until, now))
        del said["type"]
        return await self._ask("PATCH", self._path_of(user_id), UserStatus, said)

    async def clear_status(self, user_id: UserId) -> UserStatus:
        """Take back all that the user said of themselves, the text included."""
        return await self._ask("DELETE", self._path_of(user_id), UserStatus)

    # -- what back ends claim ----------------------------------------------------------------------------------------

    async def claims(self, user_id: UserId) -> Claims:
        """All that is claimed of a user, what wins now, and what wins next."""
        return await self._ask("GET", self._path_of(user_id, "claims"), Claims)

    async def set_claims(self, user_id: UserId, source: str, claims: Iterable[Claim]) -> Claims:
        """Replace all claims of one source, such as a calendar's, weeks ahead: saying the same again changes nothing.

        Returns what holds then. At most 64 claims a user. `source`: one of the operator's (`--sources`).

        Raises:
            ValueError: a claim cannot be right.
            RequestFailed: the server refuses: an unknown source (the reason lists those there are), an end in the past.
        """
        claims = list(claims)
        now = await self._server_time(user_id, *(each for claim in claims for each in claim.lasts))
        body = {"claims": claims_body(claims, now)}
        return await self._ask("PUT", self._claims_path(user_id, source), Claims, body)

    async def change_claim(
        self,
        user_id: UserId,
        source: str,
        id: str,
        *,
        status: StatusName | UnsetType | None = UNSET,
        text: str | UnsetType | None = UNSET,
        emoji: str | UnsetType | None = UNSET,
        begins: Time = UNSET,
        until: Time = UNSET,
        alone: bool | UnsetType = UNSET,
    ) -> Claims:
        """Add the claim `id` of a source, or change it: what is left out stays as it is, None clears it.

        Raises what `set_claims` raises.
        """
        now = await self._server_time(user_id, begins, until)
        said = {"status": status, "text": text, "emoji": emoji, "begins": begins, "until": until, "alone": alone}
        return await self._ask("PATCH", self._claims_path(user_id, source), Claims, patch_body(id, said, now))

    async def end_claims(self, user_id: UserId, source: str, id: str | None = None) -> Claims:
        """End the claim `id` of a source; None: all of them. No error if there is none."""
        path = self._claims_path(user_id, source)
        return await self._ask("DELETE", path if id is None else f"{path}?id={quote(id, safe='')}", Claims)

    async def set_claims_of_many(self, user_ids: Iterable[UserId], source: str, claims: Iterable[Claim]) -> Claimed:
        """As `set_claims`, the same claims for up to 1,000 users: a company holiday. Says for whom it was not done."""
        ids, claims = user_ids_of("user_ids", user_ids, self._ids), list(claims)
        now = time.time()
        if ids:
            now = await self._server_time(ids[0], *(each for claim in claims for each in claim.lasts))
        body = {"source": source, "userIds": ids, "claims": claims_body(claims, now)}
        return await self._ask("POST", "/claims/batch", Claimed, body)

    # -- following ---------------------------------------------------------------------------------------------------

    async def changes(self, user_ids: Iterable[UserId], cursor: str | None = None, *, wait: float = 0.0) -> ChangeSet:
        """What changed of these users since `cursor` (None: everything), waiting up to `wait` seconds for something.

        `wait`: 0 to 60. Nothing is missed between two calls; several changes of a user are told as one.
        """
        if not 0 <= wait * 1000 <= MAX_WAIT:
            raise ValueError(f"wait must be from 0 to {MAX_WAIT // 1000} seconds")
        body: dict[str, Any] = {"userIds": user_ids_of("user_ids", user_ids, self._ids), "waitMs": int(wait * 1000)}
        if cursor is not None:
            body["cursor"] = cursor
        return await self._ask("POST", "/changes", ChangeSet, body, wait)

    def feed(
        self,
        cursors: CursorStore | None = None,
        *,
        wait: float = 25.0,
        limit: int = 1_000,
        transitions: Literal["last", "all"] = "last",
        backoff: Backoff = Backoff(),  # noqa: B008 - immutable
    ) -> Feed:
        """Everybody's changes, from the cursor that `cursors` holds, without an end: `async for entry in api.feed()`.

        For services with the scope `read` (or `admin`, which sees who is invisible). Begins with everybody present if
        there is no cursor. Goes on by itself after an outage, of either side: see `presence_client.feed`.

        `cursors`: None: the place is kept in memory (`MemoryCursor`). `wait`: seconds that each request waits for
        something, 0 to 60. `limit`: entries of a batch, 1 to 10,000. `transitions`: `last` tells the last state of
        whoever changed, `all` every transition that the server still holds. `backoff`: between tries.

        Raises:
            ValueError: an argument cannot be right.
        """
        if not 0 <= wait * 1000 <= MAX_WAIT:
            raise ValueError(f"wait must be from 0 to {MAX_WAIT // 1000} seconds")
        if not 1 <= limit <= MOST:
            raise ValueError(f"limit must be from 1 to {MOST}")
        if transitions not in ("last", "all"):
            raise ValueError("transitions must be last or all")
        body: dict[str, Any] = {"waitMs": int(wait * 1000), "limit": limit, "transitions": transitions}

        async def ask(cursor: str | None) -> FeedAnswer:
            asked = body if cursor is None else body | {"cursor": cursor}
            return await self._ask("POST", "/changes", FeedAnswer, asked, wait)

        return Feed(ask, cursors or MemoryCursor(), self._ids, backoff)

    # -- parts -------------------------------------------------------------------------------------------------------

    async def _ask(
        self, method: str, path: str, kind: type[T], body: Mapping[str, Any] | None = None, wait: float = 0.0
    ) -> T:
        answer = await self._exchange(method, path, body, wait)
        if answer.status == 401 and callable(self._token):
            self._last_token = None
            answer = await self._exchange(method, path, body, wait)
        if answer.status != 200:
            raise self._failure_of(answer)
        try:
            return msgspec.convert(answer.data, self._variants.of_hint(kind))  # type: ignore[no-any-return]
        except msgspec.ValidationError:
            raise UnexpectedAnswer(self._url, 200, other_ids(answer.data, self._ids)) from None

    async def _exchange(self, method: str, path: str, body: Mapping[str, Any] | None, wait: float) -> HttpAnswer:
        if self._last_token is None and self._token is not None:
            asked = self._token() if callable(self._token) else self._token
            given = await self._in_time(asked) if inspect.isawaitable(asked) else asked
            if given is None:
                raise SignedOut
            self._last_token = token_of(given)
        answer = await self._http.exchange(method, path, body, self._timeout + wait, self._last_token)
        if answer.epoch is not None:
            self._clock = (answer.epoch, time.monotonic())
        return answer

    async def _in_time(self, asked: Awaitable[str | None]) -> str | None:
        try:
            async with asyncio.timeout(self._timeout) as limit:
                return await asked
        except TimeoutError:
            if not limit.expired():
                raise  # the token function's own
            raise Unreachable(self._url, "no token in time") from None

    def _path_of(self, user_id: UserId, what: str = "status") -> str:
        return f"/{what}/{quote(str(self._id_of(user_id)), safe='')}"

    def _claims_path(self, user_id: UserId, source: str) -> str:
        return f"{self._path_of(user_id, 'claims')}/{quote(source, safe='')}"

    def _id_of(self, user_id: UserId) -> UserId:
        """Raises ValueError if it is none."""
        return user_ids_of("user_id", [user_id], self._ids)[0]

    async def _server_time(self, user_id: UserId, *ends: Time) -> float:
        """What a duration counts from, in seconds since 1970: the server's time, since this machine's may be wrong."""
        if self._clock is None and any(isinstance(end, timedelta) for end in ends):
            await self._exchange("GET", self._path_of(user_id), None, 0.0)  # for its Date
        if self._clock is None:
            return time.time()
        epoch, then = self._clock
        return epoch + time.monotonic() - then

    def _failure_of(self, answer: HttpAnswer) -> Exception:
        url = self._url
        if answer.status == 0:
            return Unreachable(url, answer.reason)
        try:
            refusal = msgspec.convert(answer.data, Refusal)
        except msgspec.ValidationError:
            return UnexpectedAnswer(url, answer.status, answer.reason)
        return RequestFailed(answer.status, refusal.error, answer.reason, refusal.details, answer.retry_after)


def _with_levels(body: dict[str, Any], idle: bool | None, busy: bool | None) -> dict[str, Any]:
    return body | {name: level for name, level in (("idle", idle), ("busy", busy)) if level is not None}


__all__: Sequence[str] = (
    "ChangeSet",
    "Claim",
    "Claimed",
    "Claims",
    "DeviceStatus",
    "Explanation",
    "PresenceApi",
    "UserDetail",
    "UserStatus",
    "UserSummary",
)
