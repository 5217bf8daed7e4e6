"""The REST endpoints of the API document, and what stands beside them.

Each endpoint decodes its body, hands the hub one transition or question, and words the answer. A late engine is
awaited here and nowhere else.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial
from typing import TYPE_CHECKING, Any, Final, TypeVar
from uuid import uuid4

from msgspec import Struct
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from presence_protocol.errors import FieldError
from presence_protocol.fields import format_time, parse_time
from presence_protocol.limits import MAX_USER_ID
from presence_server.application.conversation import check_until
from presence_server.application.entries import entry_of
from presence_server.application.polls import Answer, Polls
from presence_server.application.ports import Peer
from presence_server.domain.model import Device, Override, Platform, Shown, Status
from presence_server.domain.transitions import AnyTransition, Heartbeat, Offline, Online, SetOverride, Transition
from presence_server.identity.networks import FORWARDING
from presence_server.logs import get_logger
from presence_server.transports import bodies
from presence_server.transports.envelope import Refusal, failure, success, success_body

if TYPE_CHECKING:
    from presence_server.transports.gateway import Gateway

BASE_PATH: Final = "/api/v1/presence"

ENGINE_TIMEOUT: Final = 10.0
"""Seconds that a request waits for the engine."""

_log = get_logger(__name__)

T = TypeVar("T")
Endpoint = Callable[[Request], Awaitable[Response]]


class RestApi:
    """The endpoints under `BASE_PATH`."""

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway
        self._keys = gateway.hub.keys

    def routes(self) -> list[Route]:
        """One route a path, so that a wrong method is told all that would be right."""
        return [
            _route("/online", {"POST": self.online}),
            _route("/offline", {"POST": self.offline}),
            _route("/heartbeat", {"POST": self.heartbeat}),
            _route("/changes", {"POST": self.changes}),
            _route("/status/batch", {"POST": self.batch}),
            _route("/status/{user_id}", {"GET": self.status, "PUT": self.set_override, "DELETE": self.clear_override}),
            _route("/ws", {"GET": _upgrade_required}),
        ]

    # -- the document's five -----------------------------------------------------------------------------------------

    async def online(self, request: Request) -> Response:
        body = await self._body(request, bodies.OnlineBody)
        self._let_in(request, body.user_id)
        self._refuse_if_draining()
        number = self._gateway.hub.next_number()
        wanted = Online(self._keys.key(body.user_id), body.device_id, Platform(body.platform), number, body.idle)
        await self._submit(wanted)
        shown = await self._look_up(body.user_id, body.user_id)
        return success(_summary_of(body.user_id, shown), "上线成功")

    async def offline(self, request: Request) -> Response:
        body = await self._body(request, bodies.DeviceBody)
        self._let_in(request, body.user_id)
        await self._submit(Offline(self._keys.key(body.user_id), body.device_id))
        return success(None, "下线成功")

    async def heartbeat(self, request: Request) -> Response:
        body = await self._body(request, bodies.DeviceBody)
        self._let_in(request, body.user_id)
        made = await self._submit(Heartbeat(self._keys.key(body.user_id), body.device_id, body.idle))
        if made.device is None:
            reason = "is not online; call /online again"
            raise Refusal(404, [FieldError("deviceId", reason)], "device_not_online")
        return success(*heartbeat_answer(self._gateway.heartbeat_interval_ms))

    async def status(self, request: Request) -> Response:
        user_id = _user_id(request)
        self._let_in(request, None)
        return success(_status_of(user_id, await self._look_up(None, user_id)))

    async def batch(self, request: Request) -> Response:
        body = await self._body(request, bodies.BatchBody)
        self._let_in(request, None)
        most = self._gateway.hub.limits.max_batch
        if len(body.user_ids) > most:
            raise Refusal(400, [FieldError("userIds", f"must be at most {most} ids")])
        found: list[Shown] = await self._ask(partial(self._gateway.hub.lookup, None, self._keys.keys(body.user_ids)))
        if body.detail:
            return success([_detail_of(user_id, shown) for user_id, shown in zip(body.user_ids, found, strict=True)])
        return success(list(map(Summary, body.user_ids, [shown.presence.public.status for shown in found])))

    # -- beyond the document -----------------------------------------------------------------------------------------

    async def set_override(self, request: Request) -> Response:
        user_id = _user_id(request)
        body = await self._body(request, bodies.OverrideBody)
        self._let_in(request, user_id)
        self._refuse_if_draining()
        until = None if body.until is None else parse_time(body.until)
        if until is not None and (reason := check_until(until, self._gateway.clock.utc())) is not None:
            raise Refusal(400, [FieldError("until", reason)])
        override = Override(Status(body.status), until, body.status_text or None)
        made = await self._submit(SetOverride(self._keys.key(user_id), override))
        if made.is_refused:
            reason = "never came, and no more overrides are kept of users who did not: try again later"
            raise Refusal(503, [FieldError("userId", reason)])
        return success(_status_of(user_id, await self._look_up(user_id, user_id)))

    async def clear_override(self, request: Request) -> Response:
        user_id = _user_id(request)
        self._let_in(request, user_id)
        self._refuse_if_draining()
        await self._submit(SetOverride(self._keys.key(user_id), None))
        return success(_status_of(user_id, await self._look_up(user_id, user_id)))

    async def changes(self, request: Request) -> Response:
        # What waits does not hold the body: its ids are in the index by then, and nowhere else.
        polling, wait = self._begin_poll(request, await self._body(request, bodies.ChangesBody))
        answer = await self._end_poll(request, polling, wait)
        if answer is None:
            raise _unavailable()
        return success(
            {
                "changes": [entry_of(presence, self._keys) for presence in answer.changes],
                "cursor": answer.cursor,
                "resumed": answer.resumed,
            }
        )

    def _begin_poll(self, request: Request, body: bodies.ChangesBody) -> tuple[_Polling, float]:
        """The poll, and for how many seconds it may wait.

        Raises:
            Refusal: who asks is not let in, or asks for too many.
        """
        self._let_in(request, None)
        most = self._gateway.hub.limits.max_watched
        keys = self._keys.distinct(body.user_ids, most)
        if keys is None:
            raise Refusal(400, [FieldError("userIds", f"must be at most {most} different ids")])
        wait = (body.wait_ms or 0) / 1000
        may_wait = wait > 0 and not self._gateway.hub.is_draining
        return _Polling(self._gateway.polls, keys, body.cursor, may_wait, self._gateway.clock.now()), wait

    async def _end_poll(self, request: Request, polling: _Polling, wait: float) -> Answer | None:
        """Wait for an answer, for `wait` seconds, or until the client is gone."""
        answered, waits = polling.answered, polling.waits
        late: Answer | None = None
        if not answered.done():
            gone = asyncio.ensure_future(_disconnected(request))
            try:
                if not waits.done():
                    await _first(ENGINE_TIMEOUT, answered, gone, waits)
                if waits.done():
                    await _first(wait, answered, gone)
            finally:
                gone.cancel()
                late = polling.close()
        return (answered.result() if answered.done() else None) or late

    # -- parts -------------------------------------------------------------------------------------------------------

    async def _body(self, request: Request, body_type: type[bodies.B]) -> bodies.B:
        return await bodies.read(request, body_type, self._gateway.max_message)

    def _let_in(self, request: Request, user_id: int | None) -> None:
        """Authenticate whoever asks, as `user_id` or as nobody in particular.

        Raises:
            Refusal: 401 or 403.
        """
        address = request.client.host if request.client else ""
        authorization = request.headers.get("authorization")
        token = authorization[7:].strip() if authorization and authorization[:7].lower() == "bearer " else None
        forwarding = {name: ", ".join(request.headers.getlist(name)) for name in FORWARDING if name in request.headers}
        peer = Peer(address, authorization, self._gateway.clients_of(address, forwarding))
        denied = self._gateway.hub.authenticate(peer, token, user_id)
        if denied is not None:
            raise Refusal(denied.status, [FieldError("Authorization", denied.reason)])

    def _refuse_if_draining(self) -> None:
        if self._gateway.hub.is_draining:
            raise Refusal(503, [FieldError("server", "is draining; connect elsewhere")])

    async def _submit(self, transition: AnyTransition) -> Transition:
        """What came of `transition`.

        Raises:
            Refusal: 503: the engine could not carry it out, or not in time.
        """

        def begin(now: float, done: Callable[[Transition | None], None]) -> None:
            self._gateway.driver.perform(self._gateway.hub.submit(transition, now, done))

        return await self._ask(begin)

    async def _look_up(self, viewer: int | None, user_id: int) -> Shown:
        """What `viewer` may ask of `user_id`; both as clients write them."""
        who = None if viewer is None else self._keys.key(viewer)
        found: list[Shown] = await self._ask(partial(self._gateway.hub.lookup, who, [self._keys.key(user_id)]))
        return found[0]

    async def _ask(self, begin: Callable[[float, Callable[[T | None], None]], None]) -> T:
        """Call `begin(now, done)` and wait for `done`, without a turn of the loop where the answer is at hand."""
        answers: list[T | None] = []
        waiting: asyncio.Future[None] | None = None

        def done(answer: T | None) -> None:
            answers.append(answer)
            if waiting is not None and not waiting.done():
                waiting.set_result(None)

        begin(self._gateway.clock.now(), done)
        if not answers:
            waiting = asyncio.get_running_loop().create_future()
            try:
                await asyncio.wait_for(waiting, ENGINE_TIMEOUT)
            except TimeoutError:
                answers.append(None)
        answer = answers[0]
        if answer is None:
            raise _unavailable()
        return answer


class _Polling:
    """A long poll, and the futures that tell of it: that it waits, and its answer."""

    def __init__(self, polls: Polls, keys: list[int], cursor: str | None, may_wait: bool, now: float) -> None:
        loop = asyncio.get_running_loop()
        self.answered: asyncio.Future[Answer | None] = loop.create_future()
        self.waits: asyncio.Future[None] = loop.create_future()
        self._polls = polls
        self._poll = polls.open(None, keys, cursor, may_wait, now, self._answer, partial(self.waits.set_result, None))

    def _answer(self, given: Answer | None) -> None:
        if not self.answered.done():
            self.answered.set_result(given)

    def close(self) -> Answer | None:
        return self._polls.close(self._poll)


async def _first(seconds: float, *futures: asyncio.Future[Any]) -> None:
    """Until the first of `futures` is done, for `seconds` at most."""
    await asyncio.wait(futures, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)


async def _disconnected(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass


async def _upgrade_required(_request: Request) -> Response:
    raise Refusal(426, [FieldError("Upgrade", "must be websocket")])


def _user_id(request: Request) -> int:
    """The user id in the path.

    Raises:
        Refusal: 400: anything but plain ASCII digits without a leading zero, or out of range.
    """
    text = request.path_params["user_id"]
    if text.isascii() and text.isdigit() and text[0] != "0" and len(text) <= 16 and int(text) <= MAX_USER_ID:
        return int(text)
    raise Refusal(400, [FieldError("userId", f"must be an integer from 1 to {MAX_USER_ID}")])


def _route(path: str, by_method: dict[str, Endpoint]) -> Route:
    allowed = [*by_method, "HEAD"] if "GET" in by_method else list(by_method)

    async def endpoint(request: Request) -> Response:
        method = "GET" if request.method == "HEAD" and "GET" in by_method else request.method
        try:
            handler = by_method.get(method)
            if handler is None:
                raise _not_allowed(", ".join(allowed))
            return await handler(request)
        except Refusal as refusal:
            return failure(refusal)
        except Exception as bug:
            return _internal_error(request, bug)

    # Without `methods` the route takes all of them.
    return Route(BASE_PATH + path, _Endpoint(endpoint))


class _Endpoint:
    """An ASGI app around a function: Starlette gives a function only the methods that it is told."""

    def __init__(self, function: Endpoint) -> None:
        self._function = function

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        response = await self._function(Request(scope, receive))
        await response(scope, receive, send)


# -- wording ---------------------------------------------------------------------------------------------------------


def _time(seconds: int | None) -> str | None:
    return None if seconds is None else format_time(seconds)


def _summary_of(user_id: int, shown: Shown) -> dict[str, Any]:
    return {
        "userId": user_id,
        "status": shown.presence.public.status.value,
        "lastActiveTime": _time(shown.last_active),
    }


def _status_of(user_id: int, shown: Shown) -> dict[str, Any]:
    return _summary_of(user_id, shown) | {"devices": [_device_of(device) for device in shown.devices]}


def heartbeat_answer(interval_ms: int) -> tuple[dict[str, int], str]:
    """The data and the message that answer a heartbeat."""
    return {"nextHeartbeatInterval": interval_ms}, "心跳成功"


class Summary(Struct, rename="camel", gc=False):
    """One user in the answer about many."""

    user_id: int
    status: Status


def status_body(user_id: int, shown: Shown) -> bytes:
    """The whole body that tells of one user."""
    return success_body(_status_of(user_id, shown))


def _device_of(device: Device) -> dict[str, Any]:
    return {
        "deviceId": device.device_id,
        "platform": device.platform.value,
        "onlineTime": format_time(device.online_time),
    }


def _detail_of(user_id: int, shown: Shown) -> dict[str, Any]:
    public = shown.presence.public
    detail = _summary_of(user_id, shown) | {"platforms": [platform.value for platform in public.platforms]}
    return detail if public.text is None else detail | {"statusText": public.text}


async def on_http_exception(request: Request, raised: Exception) -> Response:
    """What Starlette itself refuses (an unknown path, a wrong method at the root), in the envelope."""
    assert isinstance(raised, HTTPException)
    if request.method == "OPTIONS" and (raised.status_code == 405 or request.scope["path"] == "*"):
        return _options((raised.headers or {}).get("Allow", "GET, HEAD, POST, PUT, DELETE"))
    if raised.status_code == 405:
        return failure(_not_allowed((raised.headers or {}).get("Allow", "GET")))
    return failure(Refusal(404, [FieldError("path", "is not known here; see /openapi.json")]))


def _unavailable() -> Refusal:
    return Refusal(503, [FieldError("server", "cannot tell now")])


def _options(methods: str) -> Response:
    """What may be asked of a path, for whoever asks just that (RFC 9110 section 9.3.7)."""
    return Response(status_code=204, headers={"Allow": f"{methods}, OPTIONS"})


def _not_allowed(methods: str) -> Refusal:
    reason = f"must be one of {methods}" if "," in methods else f"must be {methods}"
    return Refusal(405, [FieldError("method", reason)], headers={"Allow": methods})


def _internal_error(request: Request, bug: Exception) -> Response:
    """A bug of ours: logged with its traceback, answered without."""
    number = uuid4().hex
    _log.exception("request failed", bug, request=number, method=request.method, path=request.url.path)
    reference = FieldError("request", f"failed; it is logged as {number}")
    return failure(Refusal(500, [reference]))
