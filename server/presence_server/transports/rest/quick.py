"""The three busiest calls of REST, as plain ASGI: a heartbeat, the status of one user, and that of many.

They are most of what a REST server is asked, and routing, request and response objects cost several times what the
answer does. So a request of the usual kind, all of which has arrived, is answered here with the bytes that its endpoint
in `rest.endpoints` would have answered with. Whatever is not of the usual kind goes the long way, and so does whatever
is not a plain success: nothing is refused here, and what was tried here and given up had no effect. Only an engine that
has everything at hand is asked here.

Measured (`bench/run.py rest`), in requests per CPU second, against a Starlette endpoint that only returns the same
bytes: 0.6, 0.6 and 0.2 of it through the endpoints; 0.9, 1.0 and 0.7 here. Answering in the HTTP parser's own
callback, without ASGI, was tried and is faster still, but has to take uvicorn's protocol apart.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from presence_protocol.paths import BASE_PATH
from presence_protocol.user_ids import UserId
from presence_server.application.ports import Peer, Wanted
from presence_server.application.principals import Denied, Principal
from presence_server.domain.model import Shown, Status
from presence_server.domain.transitions import Heartbeat, Transition
from presence_server.identity.networks import FORWARDING
from presence_server.transports.rest.bodies import BatchBody, DeviceBody
from presence_server.transports.rest.endpoints import Summary, heartbeat_answer, status_body
from presence_server.transports.rest.envelope import success_body

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Receive, Scope, Send

    from presence_server.transports.gateway import Gateway

QuickAnswer = Callable[[bytes], bytes | None]
"""The body of a request -> the body of its 200, or None: the long way."""

_UNUSUAL: Final = frozenset((b"origin", b"expect", b"content-encoding", *(name.encode() for name in FORWARDING)))
"""Headers that ask for something that is not done here."""

_NOBODY_YET: Final = Wanted()

_JSON: Final = frozenset((b"application/json", b"application/json; charset=utf-8", b"application/json;charset=utf-8"))
"""How most clients spell it; others are read the long way."""

_OWN_SITES: Final = frozenset((b"none", b"same-origin"))
"""Of a request that no page, or one of ours, has caused."""

_HEADERS: Final = [(b"cache-control", b"no-store"), (b"content-type", b"application/json"), (b"vary", b"Origin")]
"""As `envelope.success` and `CorsMiddleware` send them."""


class QuickAnswers:
    """ASGI around the whole application."""

    def __init__(self, app: ASGIApp, gateway: Gateway) -> None:
        self._app = app
        self._gateway = gateway
        self._is_at_once = gateway.hub.engine.answers_at_once
        self._keys = gateway.hub.keys
        self._interval_ms = 0
        self._beaten_body = b""
        self._bodies = gateway.bodies

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        answer = self._find(scope) if scope["type"] == "http" else None
        # uvicorn's request knows whether all of its body is here: nobody is waited for on the quick way.
        if answer is None or getattr(getattr(receive, "__self__", None), "more_body", True):
            await self._app(scope, receive, send)
            return
        message = await receive()
        try:
            is_whole = message["type"] == "http.request" and len(message["body"]) <= self._gateway.max_message
            body = answer(message["body"]) if is_whole else None
        except Exception:  # the long way will fail as well, and log it
            body = None
        if body is None:
            await self._app(scope, _again(message, receive), send)
            return
        headers = [*_HEADERS, (b"content-length", b"%d" % len(body))]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    def _find(self, scope: Scope) -> QuickAnswer | None:
        """What answers such a request; None: the long way."""
        path: str = scope["path"]
        if not self._is_at_once or not path.startswith(BASE_PATH) or scope["query_string"] or not scope["client"]:
            return None
        headers = dict(scope["headers"])
        if len(headers) != len(scope["headers"]) or not self._is_usual(headers):
            return None
        authorization = headers.get(b"authorization")
        peer = Peer(scope["client"][0], None if authorization is None else authorization.decode("latin-1"))
        rest = path[len(BASE_PATH) :]
        if scope["method"] == "POST":
            if rest == "/heartbeat":
                return partial(self._heartbeat, peer)
            if rest == "/status/batch":
                return partial(self._batch, peer)
        elif scope["method"] == "GET" and rest.startswith("/status/") and b"%" not in scope["raw_path"]:
            try:
                return partial(self._status, peer, self._gateway.user_ids.of_text(rest[8:]))
            except ValueError:
                return None
        return None

    def _is_usual(self, headers: Mapping[bytes, bytes]) -> bool:
        """Whether these (names in lower case) ask for nothing but an answer in JSON to JSON, from a host of ours."""
        if not _UNUSUAL.isdisjoint(headers) or headers.get(b"content-type", b"application/json") not in _JSON:
            return False
        if headers.get(b"sec-fetch-site", b"none") not in _OWN_SITES:
            return False
        host = headers.get(b"host")
        return host is None or self._gateway.entrance.hosts.allows(host.decode("latin-1"))

    def _heartbeat(self, peer: Peer, data: bytes) -> bytes | None:
        body = self._bodies.decode_valid(data, DeviceBody)
        if body is None or (who := self._who(peer)) is None or who.may_speak_for(body.user_id, body.device_id):
            return None
        if self._gateway.access.authentication.may_use_device(who, body.device_id):
            return None
        made: list[Transition | None] = []
        wanted = Heartbeat(self._keys.key(body.user_id), body.device_id, body.idle, body.busy)
        self._gateway.hub.submit(wanted, self._gateway.clock.now(), made.append)
        return self._beaten if made and made[0] is not None and made[0].device is not None else None

    @property
    def _beaten(self) -> bytes:
        """The answer to a heartbeat, worded when the interval changes."""
        if self._interval_ms != self._gateway.heartbeat_interval_ms:
            self._interval_ms = self._gateway.heartbeat_interval_ms
            self._beaten_body = success_body(*heartbeat_answer(self._interval_ms))
        return self._beaten_body

    def _status(self, peer: Peer, user_id: UserId, data: bytes) -> bytes | None:
        if data or (who := self._who(peer)) is None or who.may_watch() or not self._may_ask(who, 1):
            return None
        found: list[Sequence[Shown] | None] = []
        viewer = 0 if who.viewer is None else self._keys.key(who.viewer)
        self._gateway.hub.lookup(viewer, [self._keys.key(user_id)], self._gateway.clock.now(), found.append, True)
        return status_body(user_id, found[0][0]) if found and found[0] is not None else None

    def _batch(self, peer: Peer, data: bytes) -> bytes | None:
        """The hot loops: 20 us for a hundred users, a tenth of what asking and wording one by one costs."""
        hub = self._gateway.hub
        body = self._bodies.decode_valid(data, BatchBody)
        if (
            body is None
            or body.detail
            or len(body.user_ids) > hub.limits.max_batch
            or (who := self._who(peer)) is None
            or who.may_watch()
            or not self._may_ask(who, len(body.user_ids))
        ):
            return None
        if who.viewer is not None and not hub.sight.is_open:
            return None
        found: list[list[Status] | None] = []
        hub.engine.statuses(self._keys.keys(body.user_ids), self._gateway.clock.now(), found.append)
        if not found or found[0] is None:
            return None
        return success_body(list(map(Summary, body.user_ids, found[0])))  # 0.1 us each

    def _who(self, peer: Peer) -> Principal | None:
        """Who asks; None if that is nobody, or cannot be told at once."""
        made: list[Principal | Denied] = []
        self._gateway.hub.authenticate(peer, None, _NOBODY_YET, self._gateway.clock.now(), made.append)
        who = made[0] if made and isinstance(made[0], Principal) else None
        allowances = self._gateway.hub.allowances
        if who is None or allowances is None:
            return who
        # What is given up here is counted once more on the long way: an error costs twice.
        return None if allowances.purse(who).message(self._gateway.clock.now()) else who

    def _may_ask(self, who: Principal, ids: int) -> bool:
        """Whether `who` may ask about so many; refused is it on the long way."""
        allowances = self._gateway.hub.allowances
        return allowances is None or not allowances.purse(who).queries(ids, self._gateway.clock.now())


def _again(message: Any, receive: Receive) -> Receive:
    """`receive`, with `message` before all that is still to come."""
    kept = [message]

    async def receive_again() -> Any:
        return kept.pop() if kept else await receive()

    return receive_again
