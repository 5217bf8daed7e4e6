"""What every REST endpoint needs: who asks, the body, and an engine's answer.

A late engine and a late authenticator are awaited here and nowhere else.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any, Final, TypeVar
from urllib.parse import parse_qsl, unquote_to_bytes
from uuid import uuid4

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from presence_protocol.errors import FieldError
from presence_protocol.paths import BASE_PATH
from presence_protocol.user_ids import UserId
from presence_server.application.allowances import TooMuch
from presence_server.application.ports import Peer, Wanted
from presence_server.application.principals import Denied, Principal
from presence_server.domain.model import Shown, UserKey
from presence_server.domain.transitions import AnyTransition, Transition
from presence_server.identity.networks import FORWARDING
from presence_server.logs import get_logger
from presence_server.transports.rest import bodies
from presence_server.transports.rest.envelope import Refusal, failure

if TYPE_CHECKING:
    from presence_server.transports.gateway import Gateway

_BASE: Final = BASE_PATH.encode() + b"/"

ENGINE_TIMEOUT: Final = 10.0
"""Seconds that a request waits for the engine."""

LOOKS: Final = 10
"""Looks at the same users for one request: another one where a permission changed before the answer was here."""

_log = get_logger(__name__)

T = TypeVar("T")
Endpoint = Callable[[Request], Awaitable[Response]]


class Desk:
    """Where requests are received."""

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway
        self._keys = gateway.hub.keys
        self._allowances = gateway.hub.allowances

    async def who(self, request: Request) -> Principal:
        """Who asks. Known before the body is read: what strangers send is not looked at.

        Raises:
            Refusal: 401 or 403; 503 if it cannot be told now.
        """
        address = request.client.host if request.client else ""
        headers, forwarding = request.headers, forwarding_of(request)
        clients = self._gateway.entrance.clients_of(address, forwarding)
        peer = Peer(address, headers.get("authorization"), clients, ticket_of(request.scope["query_string"]))

        def begin(now: float, done: Callable[[Principal | Denied | None], None]) -> None:
            self._gateway.hub.authenticate(peer, None, Wanted(), now, done)

        made: Principal | Denied = await self.ask(begin)
        if isinstance(made, Denied):
            if made.status == 401:
                within(self._gateway.entrance.over_asking(address, forwarding))
            raise refused(made)
        if self._allowances is not None:
            within(self._allowances.purse(made).message(self._gateway.clock.now()))
        return made

    def allow_device(self, who: Principal, user_id: UserId, device_id: str, platform: str | None = None) -> None:
        """Go on, if `who` may speak for this device. Raises Refusal: 401 or 403."""
        allow(
            who.may_speak_for(user_id, device_id, platform)
            or self._gateway.access.authentication.may_use_device(who, device_id)
        )

    def watches(self, who: Principal, ids: int) -> None:
        """Take so many ids to watch from the allowance of `who`. Raises Refusal: 429."""
        if self._allowances is not None:
            within(self._allowances.purse(who).watches(ids, self._gateway.clock.now()))

    def queries(self, who: Principal, ids: int) -> None:
        """Take so many ids to ask about. Raises Refusal: 429."""
        if self._allowances is not None:
            within(self._allowances.purse(who).queries(ids, self._gateway.clock.now()))

    def change(self, who: Principal) -> None:
        """Take a change of what others see. Raises Refusal: 429."""
        if self._allowances is not None:
            within(self._allowances.purse(who).status(self._gateway.clock.now()))

    @contextmanager
    def poll(self, who: Principal) -> Iterator[None]:
        """One more long poll of `who`, for as long as it lasts. Raises Refusal: 429."""
        if self._allowances is None:
            yield
            return
        purse = self._allowances.purse(who)
        within(purse.poll())
        try:
            yield
        finally:
            purse.end_poll()

    def user_id_of(self, request: Request) -> UserId:
        """The user id in the path, which is the segment after the endpoint's name.

        Raises:
            Refusal: 400: it is none. Of numbers: anything but plain ASCII digits without a leading zero, in range.
        """
        # status/10001, whatever path a proxy serves it below
        segment = request.scope["raw_path"].rpartition(_BASE)[2].split(b"/")[1]
        try:
            # What is not UTF-8 becomes surrogates, which no kind takes.
            return self._gateway.user_ids.of_text(unquote_to_bytes(segment).decode("utf-8", "surrogateescape"))
        except ValueError as reason:
            raise Refusal(400, [FieldError("userId", str(reason))]) from None

    def viewer_key(self, who: Principal) -> UserKey:
        """Through whose eyes it sees, as a key; 0: a service's, which see everybody."""
        return 0 if who.viewer is None else self._keys.key(who.viewer)

    async def body(self, request: Request, body_type: type[bodies.B]) -> bodies.B:
        return await self._gateway.bodies.read(request, body_type, self._gateway.max_message)

    async def raw(self, request: Request) -> dict[str, Any]:
        """The JSON object in the body, its fields as they come."""
        return await bodies.read_raw(request, self._gateway.max_message)

    def refuse_if_over(self, who: Principal) -> None:
        """Who was kept waiting may have been revoked, or have expired, meanwhile. Raises Refusal: 401."""
        if self._gateway.access.authentication.is_over(who, self._gateway.clock.utc()):
            raise refused(Denied(401, "the token has ended meanwhile"))

    def refuse_if_draining(self) -> None:
        if self._gateway.hub.is_draining:
            raise Refusal(503, [FieldError("server", "is draining; connect elsewhere")])

    def refuse_if_short(self) -> None:
        """Refuse what would take more memory, while there is too little. Raises Refusal: 503."""
        within(self._gateway.hub.ceilings.memory())

    def refuse_if_busy(self) -> None:
        """Refuse a new device while new clients are let in slowly. Raises Refusal: 503, with a time to come back."""
        self.refuse_if_short()
        if not self._gateway.admission.is_open:
            within(self._gateway.admission.take(self._gateway.clock.now()))

    async def submit(self, transition: AnyTransition) -> Transition:
        """What came of `transition`.

        Raises:
            Refusal: 503: the engine could not carry it out, or not in time.
        """

        def begin(now: float, done: Callable[[Transition | None], None]) -> None:
            self._gateway.hub.submit(transition, now, done)

        return await self.ask(begin)

    async def look_up(self, viewer: UserId | None, user_id: UserId) -> Shown:
        """What `viewer` (None: a service) may ask of `user_id`; both as clients write them."""
        who = 0 if viewer is None else self._keys.key(viewer)
        return (await self.look_up_all(who, [self._keys.key(user_id)], with_devices=True))[0]

    async def look_up_all(self, viewer: UserKey, keys: list[UserKey], with_devices: bool = False) -> list[Shown]:
        """What `viewer` may ask of each of `keys` at the moment at which this returns; all are keys."""
        hub = self._gateway.hub
        if not viewer:
            return await self.ask(partial(hub.lookup, viewer, keys, with_devices=with_devices))
        for _ in range(LOOKS):
            stamp = hub.sight.stamp(viewer)
            found: list[Shown] = await self.ask(partial(hub.lookup, viewer, keys, with_devices=with_devices))
            if hub.sight.stamp(viewer) == stamp:
                return found
        raise unavailable()

    async def ask(self, begin: Callable[[float, Callable[[T | None], None]], None]) -> T:
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
            raise unavailable()
        return answer


async def first_of(seconds: float, *futures: asyncio.Future[Any]) -> None:
    """Until the first of `futures` is done, for `seconds` at most."""
    await asyncio.wait(futures, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)


async def disconnected(request: Request) -> None:
    """Until the client is gone."""
    while (await request.receive())["type"] != "http.disconnect":
        pass


def allow(denied: Denied | None) -> None:
    """Go on, unless the principal was denied it. Raises Refusal."""
    if denied is not None:
        raise refused(denied)


def refused(denied: Denied) -> Refusal:
    return Refusal(denied.status, [FieldError(denied.field, denied.reason)])


def within(over: TooMuch | None) -> None:
    """Go on, unless a limit is in the way. Raises Refusal: 429, or 503 where all together have too much."""
    if over is not None:
        raise refused_by(over)


def refused_by(over: TooMuch) -> Refusal:
    details, headers = [FieldError(over.limit, over.reason)], {"Retry-After": over.retry_after}
    return Refusal(429, details, headers=headers) if over.code == 429 else Refusal(503, details, headers=headers)


def forwarding_of(request: Request) -> dict[str, str]:
    """The headers of proxies, by name."""
    headers = request.headers
    return {name: ", ".join(headers.getlist(name)) for name in FORWARDING if name in headers}


def ticket_of(query: bytes) -> str | None:
    """The one-time ticket in a query; None if there is none.

    Raises:
        Refusal: 400: the query holds a token. It would be logged wherever the URL is.
    """
    if not query:
        return None
    given = dict(parse_qsl(query.decode("latin-1")))
    for name in ("token", "access_token", "jwt", "authorization"):
        if name in given:
            reason = "must not stand in a URL, where it is logged; ask POST /ticket for a ticket"
            raise Refusal(400, [FieldError(name, reason)])
    return given.get("ticket")


def route(path: str, by_method: dict[str, Endpoint]) -> Route:
    allowed = [*by_method, "HEAD"] if "GET" in by_method else list(by_method)

    async def endpoint(request: Request) -> Response:
        method = "GET" if request.method == "HEAD" and "GET" in by_method else request.method
        try:
            handler = by_method.get(method)
            if handler is None:
                raise not_allowed(", ".join(allowed))
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


def unavailable() -> Refusal:
    return Refusal(503, [FieldError("server", "cannot tell now")])


def options(methods: str) -> Response:
    """What may be asked of a path, for whoever asks just that (RFC 9110 section 9.3.7)."""
    return Response(status_code=204, headers={"Allow": f"{methods}, OPTIONS"})


def not_allowed(methods: str) -> Refusal:
    reason = f"must be one of {methods}" if "," in methods else f"must be {methods}"
    return Refusal(405, [FieldError("method", reason)], headers={"Allow": methods})


def _internal_error(request: Request, bug: Exception) -> Response:
    """A bug of ours: logged with its traceback, answered without."""
    number = uuid4().hex
    _log.exception("request failed", bug, request=number, method=request.method, path=request.url.path)
    reference = FieldError("request", f"failed; it is logged as {number}")
    return failure(Refusal(500, [reference]))
