"""REST of the fake server, without a socket: what `PresenceApi` asks, answered as docs/rest.md has it."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any, Final, Protocol
from urllib.parse import parse_qs, unquote, urlsplit

import msgspec
from msgspec import UNSET

from presence_client.http_exchange import HttpAnswer
from presence_client.testing import people
from presence_client.testing.claims import (
    MAX_CLAIMS,
    Stack,
    Wrong,
    counted,
    decide,
    held_of,
    next_edge,
    replaced,
    said,
    settled,
    taken_back,
)
from presence_client.testing.explained import explain, standing
from presence_client.testing.feed import feed_page, poll_page
from presence_client.testing.users import Device, User, Users, time_of, without_none
from presence_protocol import fields
from presence_protocol.close_codes import CloseCode
from presence_protocol.errors import FieldError
from presence_protocol.fields import Field, find_errors, format_time
from presence_protocol.limits import MAX_BATCH
from presence_protocol.messages import FIELDS, SetStatus
from presence_protocol.user_ids import IdKind, UserId, told_in_json

INTERVAL_MS: Final = 30_000
"""What a heartbeat is answered. The fake server ends no device for want of one."""

_CLAIM: Final = {
    "id": Field(fields.claim_id),
    "status": Field(fields.status),
    "statusText": Field(fields.status_text),
    "statusEmoji": Field(fields.status_emoji),
    "from": Field(fields.timestamp),
    "until": Field(fields.timestamp),
    "alone": Field(fields.boolean),
}
_STATUS: Final = {name: rule for name, rule in FIELDS["status"][1].items() if name != "id"}
_LEVELS: Final = {"idle": Field(fields.boolean), "busy": Field(fields.boolean)}
_CHANGES: Final = {
    "cursor": Field(fields.text),
    "waitMs": Field(fields.wait),
    "limit": Field(fields.integer(1, 10_000)),
    "transitions": Field(fields.one_of(("all", "last"))),
}
_ERRORS: Final = {
    400: "invalid_request",
    401: "unauthenticated",
    403: "forbidden",
    404: "not_found",
    405: "method_not_allowed",
    429: "too_many_requests",
    503: "unavailable",
}
_OF_CLOSE_CODE: Final = {CloseCode.UNAUTHENTICATED: 401, CloseCode.FORBIDDEN: 403, CloseCode.TOO_FAST: 429}


class World(Protocol):
    """The fake server, as REST needs it."""

    ids: IdKind
    users: Users
    refusal: tuple[int, float | None] | None
    latency: float
    is_deaf: bool

    def judged(self, token: str | None, user_id: UserId | None) -> int | None: ...

    def take_limit(self) -> float | None: ...

    def utc(self) -> float: ...

    def changed(self, user_id: UserId, cause: str, device: Device | None = None) -> None: ...

    def claimed(self, user_id: UserId, stack: Stack, cause: str) -> None: ...

    @property
    def clients(self) -> list[tuple[UserId | None, str]]: ...

    def sign_in(self, user_id: UserId, device_id: str, platform: str) -> None: ...

    def end_devices(self, user_id: UserId, devices: Sequence[Device], cause: str, reason: str) -> None: ...

    def farewell(self, user_id: UserId, device_id: str) -> tuple[str, str]: ...

    def remove_device(self, user_id: UserId, device_id: str, cause: str) -> None: ...

    def cursor(self, seq: int | None = None) -> str: ...

    def seq_of(self, cursor: str | None) -> int | None: ...

    async def wait_news(self, seconds: float) -> None: ...


class Refused(Exception):
    """Answered with an error. `details`: what is wrong."""

    def __init__(
        self, status: int, details: Sequence[FieldError | Wrong] = (), error: str = "", retry_after: float | None = None
    ) -> None:
        super().__init__(status)
        self.status, self.details, self.error, self.retry_after = status, details, error, retry_after


class FakeRest:
    """Answers in place of HTTP."""

    def __init__(self, world: World, platforms: Sequence[str]) -> None:
        self._world = world
        self._ids = world.ids
        self._of_users = {"userIds": Field(world.ids.refusal, required=True, nullable=False, each=True)}
        self._of_device = {
            "userId": Field(world.ids.refusal, required=True, nullable=False),
            "deviceId": Field(fields.device_id, required=True, nullable=False),
        } | _LEVELS
        self._platforms = tuple(platforms)
        self._of_kick = {
            "userId": Field(world.ids.refusal, required=True, nullable=False),
            "platform": Field(fields.one_of(tuple(platforms))),
            "deviceId": Field(fields.device_id),
            "reason": Field(fields.close_reason),
        }
        self._of_online = self._of_device | {"platform": Field(fields.one_of(tuple(platforms)), True, False)}

    async def aclose(self) -> None:
        """There is nothing to close."""

    async def exchange(
        self, method: str, path: str, body: Mapping[str, Any] | None, seconds: float, token: str | None
    ) -> HttpAnswer:
        """As of `presence_client.http.Http`."""
        await asyncio.sleep(self._world.latency)
        if self._world.is_deaf:
            await asyncio.sleep(seconds)
            return HttpAnswer(0, reason="no answer in time")
        raw = {} if body is None else msgspec.json.decode(msgspec.json.encode(body, enc_hook=told_in_json))
        epoch = int(self._world.utc())
        try:
            self._admit(token)
            told = await self._answer(method, path, raw)
        except Refused as refused:
            usual = _ERRORS.get(refused.status, "unavailable")
            details = [{"field": field, "reason": reason} for field, reason in refused.details]
            data = {"error": refused.error or usual, "details": details}
            return HttpAnswer(refused.status, data, usual.replace("_", " "), refused.retry_after, epoch=epoch)
        return HttpAnswer(200, msgspec.json.decode(msgspec.json.encode(told, enc_hook=told_in_json)), epoch=epoch)

    def _admit(self, token: str | None) -> None:
        if (refusal := self._world.refusal) is not None:
            status, retry_after = refusal
            raise Refused(_OF_CLOSE_CODE.get(status, 503) if status >= 4000 else status, retry_after=retry_after)  # type: ignore[call-overload]
        if (seconds := self._world.take_limit()) is not None:
            raise Refused(429, retry_after=seconds)
        if (code := self._world.judged(token, None)) is not None:
            raise Refused(_OF_CLOSE_CODE.get(code, 401))  # type: ignore[call-overload]

    async def _answer(self, method: str, path: str, raw: dict[str, Any]) -> Any:
        split = urlsplit(path)
        first, *rest = (unquote(part) for part in split.path.strip("/").split("/"))
        match method, first, rest:
            case "POST", "changes", []:
                return await self._changes(raw)
            case "POST", "claims", ["batch"]:
                return self._claim_many(raw)
            case "POST", "status", ["batch"]:
                return self._batch(raw)
            case "POST", "online" | "offline" | "heartbeat", []:
                return getattr(self, f"_{first}")(raw)
            case _, "status", [text]:
                return self._status(method, self._id(text), raw)
            case "GET", "explain", [text]:
                return explain(self._id(text), self._world.users)
            case "GET", "claims", [text]:
                return self._stack(self._id(text))
            case "PUT" | "PATCH" | "DELETE", "claims", [text, source]:
                (wanted,) = parse_qs(split.query).get("id", [None])
                return self._claim(method, self._id(text), source, raw, wanted)
            case "POST", "kick", []:
                _check(raw, self._of_kick)
                return people.kick(self._world, self._ids.parse(raw["userId"]), raw)
            case "GET", "users", [text, "devices"]:
                return people.devices(self._world, self._id(text))
            case "GET", "statistics", []:
                return people.statistics(self._world, self._platforms)
            case "GET", "online", []:
                return self._page({name: given[-1] for name, given in parse_qs(split.query).items()})
            case "POST", "reach", []:
                return await self._reach(raw)
            case _:
                raise Refused(404, [FieldError("path", "is not known here")])

    def _id(self, text: str) -> UserId:
        try:
            return self._ids.of_text(text)
        except ValueError as reason:
            raise Refused(400, [FieldError("userId", str(reason))]) from None

    def _ids_of(self, raw: dict[str, Any]) -> list[UserId]:
        _check(raw, self._of_users)
        if len(raw["userIds"]) > MAX_BATCH:
            raise Refused(400, [FieldError("userIds", f"must be at most {MAX_BATCH} ids")])
        return [self._ids.parse(user_id) for user_id in raw["userIds"]]

    def _record(self, user_id: UserId) -> User:
        return self._world.users.user(user_id)

    # -- the document's five -----------------------------------------------------------------------------------------

    def _online(self, raw: dict[str, Any]) -> Any:
        _check(raw, self._of_online)
        user_id, device_id = self._ids.parse(raw["userId"]), raw["deviceId"]
        users = self._world.users
        self._world.sign_in(user_id, device_id, raw["platform"])
        was_there = users.put_device(
            user_id, device_id, raw["platform"], raw.get("idle"), raw.get("busy"), holder="rest"
        )
        device = self._record(user_id).devices[device_id]
        self._world.changed(user_id, "resumed" if was_there else "connected", device)
        return self._summary(user_id)

    def _offline(self, raw: dict[str, Any]) -> None:
        _check(raw, self._of_device)
        self._world.remove_device(self._ids.parse(raw["userId"]), raw["deviceId"], "left")

    def _heartbeat(self, raw: dict[str, Any]) -> Any:
        _check(raw, self._of_device)
        user_id, idle, busy = self._ids.parse(raw["userId"]), raw.get("idle"), raw.get("busy")
        device = self._record(user_id).devices.get(raw["deviceId"])
        if device is None:
            error, reason = self._world.farewell(user_id, raw["deviceId"])
            raise Refused(404, [FieldError("deviceId", reason)], error)
        self._world.users.put_level(device, idle, busy)
        self._world.changed(user_id, "busy" if busy else "idle" if idle else "active", device)
        return {"nextHeartbeatInterval": INTERVAL_MS}

    def _batch(self, raw: dict[str, Any]) -> Any:
        user_ids = self._ids_of(raw)
        if raw.get("detail"):
            return [self._detail(user_id) for user_id in user_ids]
        return [{"userId": user_id, "status": self._world.users.entry(user_id).status} for user_id in user_ids]

    def _status(self, method: str, user_id: UserId, raw: dict[str, Any]) -> Any:
        stack, now, rules = self._record(user_id).stack, self._world.utc(), self._world.users.rules
        if method == "DELETE":
            self._world.claimed(user_id, taken_back(stack), "status_ended")
        elif method in ("PUT", "PATCH"):
            _check(raw, _STATUS)
            given = {name: raw[name] for name in _STATUS if name in raw}
            if not given:
                names = ", ".join(_STATUS)
                raise Refused(400, [FieldError("body", f"needs at least one of {names}")])
            if method == "PUT":
                given = dict.fromkeys(("status", "statusText", "statusEmoji")) | given
                if given.get("status") is None:
                    given.pop("until", None)
            message = msgspec.convert({"type": "status"} | given, SetStatus)
            made = said(stack, message, now, rules)
            if isinstance(made, Wrong):
                raise Refused(400, [made])
            clears = given.get("status", UNSET) is None
            self._world.claimed(user_id, made, "status_ended" if clears else "status_set")
        elif method != "GET":
            raise Refused(405)
        entry = self._world.users.entry(user_id)
        devices = [] if entry.status == "OFFLINE" else self._record(user_id).devices.values()
        told = [
            {"deviceId": each.device_id, "platform": each.platform, "onlineTime": format_time(each.online_time)}
            for each in devices
        ]
        return self._summary(user_id) | {"devices": told} | self._more(user_id)

    def _more(self, user_id: UserId) -> dict[str, Any]:
        entry = self._world.users.entry(user_id)
        more = {
            "statusText": entry.status_text,
            "statusEmoji": entry.status_emoji,
            "idleSince": entry.idle_since,
            "platformStatus": entry.platform_status,
        }
        return without_none(more)

    def _summary(self, user_id: UserId) -> dict[str, Any]:
        entry = self._world.users.entry(user_id)
        told = {"userId": user_id, "status": entry.status, "lastActiveTime": entry.last_active_time}
        return told | without_none({"lastSeen": entry.last_seen})

    def _detail(self, user_id: UserId) -> dict[str, Any]:
        entry = self._world.users.entry(user_id)
        return self._summary(user_id) | {"platforms": entry.platforms} | self._more(user_id)

    # -- everybody ---------------------------------------------------------------------------------------------------

    def _page(self, query: Mapping[str, str]) -> Any:
        told = people.page(self._world, query, self._platforms)
        if isinstance(told, list):
            raise Refused(400, told)
        return told

    async def _reach(self, raw: dict[str, Any]) -> Any:
        _check(raw, self._of_users | {"within": Field(fields.within)})
        user_ids = self._ids_of(raw)
        ends = asyncio.get_running_loop().time() + (raw.get("within") or 0)
        while True:
            told = people.reach(self._world, user_ids, self._platforms)
            left = ends - asyncio.get_running_loop().time()
            if left <= 0 or any(one["reach"] == "active" for one in told):
                return told
            await self._world.wait_news(left)

    # -- claims ------------------------------------------------------------------------------------------------------

    def _claim(self, method: str, user_id: UserId, source: str, raw: dict[str, Any], wanted: str | None) -> Any:
        self._check_source(source)
        stack, now, rules = self._record(user_id).stack, self._world.utc(), self._world.users.rules
        made: Stack | Wrong
        if method == "DELETE":
            made = tuple(one for one in stack if one.source != source or (wanted is not None and one.id != wanted))
        elif method == "PUT":
            made = replaced(stack, source, self._claims_of(raw, source))
        else:
            _check(raw, _CLAIM | {"id": Field(fields.claim_id, required=True, nullable=False)})
            held = next((one for one in stack if (one.source, one.id) == (source, raw["id"])), None)
            one = held_of(raw, source, now, rules, held)
            if isinstance(one, Wrong):
                raise Refused(400, [one])
            made = counted((one, *(each for each in stack if each is not held)))
        if isinstance(made, Wrong):
            raise Refused(400, [made])
        self._world.claimed(user_id, made, "claim_ended" if method == "DELETE" else "claim_began")
        return self._stack(user_id)

    def _claim_many(self, raw: dict[str, Any]) -> Any:
        user_ids, source = list(dict.fromkeys(self._ids_of(raw))), raw.get("source")
        self._check_source(source)
        claims = self._claims_of(raw, str(source))
        not_done = []
        for user_id in user_ids:
            made = replaced(self._record(user_id).stack, str(source), claims)
            if isinstance(made, Wrong):
                not_done.append({"userId": user_id, "field": made.field, "reason": made.reason})
            else:
                self._world.claimed(user_id, made, "claim_began")
        return {"users": len(user_ids) - len(not_done), "refused": not_done}

    def _check_source(self, source: object) -> None:
        sources = self._world.users.rules.sources
        if source not in sources:
            raise Refused(400, [FieldError("source", f"must be one of {', '.join(sources)}")])

    def _claims_of(self, raw: dict[str, Any], source: str) -> Any:
        given = raw.get("claims")
        if not isinstance(given, list):
            raise Refused(400, [FieldError("claims", "is required" if given is None else "must be a list")])
        if len(given) > MAX_CLAIMS:
            raise Refused(400, [FieldError("claims", f"must be at most {MAX_CLAIMS}")])
        claims, errors, first_with = [], [], dict[str, int]()
        for index, item in enumerate(given):
            found: list[Any] = find_errors(item, _CLAIM)
            if not found:
                claim = held_of(item, source, self._world.utc(), self._world.users.rules)
                if isinstance(claim, Wrong):
                    found = [claim]
                elif claim.id and (first := first_with.setdefault(claim.id, index)) != index:
                    found = [Wrong("id", f"must not be that of claims[{first}] as well")]
                else:
                    claims.append(claim)
            errors += [FieldError(f"claims[{index}].{field}", reason) for field, reason in found]
        if errors:
            raise Refused(400, errors[: fields.MAX_DETAILS])
        return claims

    def _stack(self, user_id: UserId) -> Any:
        user, now = self._record(user_id), self._world.utc()
        told = [
            without_none(
                {
                    "source": claim.source,
                    "weight": claim.weight,
                    "id": claim.id or None,
                    "status": claim.status,
                    "statusText": claim.text,
                    "statusEmoji": claim.emoji,
                    "from": format_time(claim.since),
                    "until": time_of(claim.until),
                    "alone": claim.alone or None,
                    "inForce": claim.is_in_force(now),
                }
            )
            for claim in user.stack
        ]
        verdict, left, at, coming = user.verdict(now), settled(user.stack, now), now, None
        devices = user.word()
        while coming is None and (edge := next_edge(left, at)) is not None:
            at, left = edge, settled(left, edge)
            after = decide(left, devices, at)
            coming = {"at": format_time(edge), **standing(after)} if after != verdict else None
        return {"userId": user_id, "claims": told, "now": standing(verdict), "next": coming}

    # -- following ---------------------------------------------------------------------------------------------------

    async def _changes(self, raw: dict[str, Any]) -> Any:
        _check(raw, _CHANGES)
        watched = None if raw.get("userIds") is None else set(self._ids_of(raw))
        wait = (raw.get("waitMs") or 0) / 1000
        deadline = asyncio.get_running_loop().time() + wait
        while True:
            world = self._world
            page = feed_page(world, raw) if watched is None else poll_page(world, watched, raw.get("cursor"))
            left = deadline - asyncio.get_running_loop().time()
            if page["changes"] or not page["resumed"] or left <= 0:
                return page
            await self._world.wait_news(left)


def _check(raw: Any, rules: Mapping[str, Field]) -> None:
    if errors := find_errors(raw, rules):
        raise Refused(400, errors)
