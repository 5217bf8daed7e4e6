"""The REST endpoints of the API document, and what stands beside them.

Each endpoint decodes its body, hands the hub one transition or question, and words the answer. A late engine is
awaited here and nowhere else.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from functools import partial
from typing import TYPE_CHECKING, Any, Final, TypeVar

from msgspec import Raw, Struct
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from presence_protocol.errors import FieldError
from presence_protocol.fields import format_time
from presence_protocol.user_ids import STRING, UserId
from presence_server.application import slices
from presence_server.application.entries import entry_of, platform_status_of
from presence_server.application.polls import PollAnswer, Polls
from presence_server.application.words import INVISIBLE_FORBIDDEN, check_word, word_of
from presence_server.domain.causes import Cause
from presence_server.domain.claims import LEAVE, Word
from presence_server.domain.model import DeviceView, Shown, Status, UserKey
from presence_server.domain.transitions import Heartbeat, Offline, Online, Say
from presence_server.logs import get_logger
from presence_server.transports.rest import bodies
from presence_server.transports.rest.claims import NO_ROOM
from presence_server.transports.rest.crowd import PresentApi
from presence_server.transports.rest.desk import (
    ENGINE_TIMEOUT,
    Desk,
    allow,
    disconnected,
    first_of,
    not_allowed,
    options,
    route,
    unavailable,
    within,
)
from presence_server.transports.rest.envelope import Refusal, encode, failure, success, success_body
from presence_server.transports.rest.feed import FeedApi

if TYPE_CHECKING:
    from presence_server.transports.gateway import Gateway

_log = get_logger(__name__)

T = TypeVar("T")
Endpoint = Callable[[Request], Awaitable[Response]]

FAREWELLS: Final = {
    Cause.REPLACED: ("device_replaced", "was replaced by another device of the user"),
    Cause.ENDED_BY_BACKEND: ("device_ended", "was ended by the back end"),
}
"""What a heartbeat of a device is answered that was ended lately: the stable code, and the reason if none was given."""


class RestApi:
    """The endpoints under `BASE_PATH`."""

    def __init__(self, gateway: Gateway, desk: Desk, feed: FeedApi) -> None:
        self._gateway = gateway
        self._desk = desk
        self._feed = feed
        self._keys = gateway.hub.keys
        self._present = PresentApi(gateway, desk)

    def routes(self) -> list[Route]:
        """One route a path, so that a wrong method is told all that would be right."""
        one: dict[str, Endpoint] = {
            "GET": self.status,
            "PUT": self.put_status,
            "PATCH": self.patch_status,
            "DELETE": self.clear_status,
        }
        # Among strings there is a user `batch`.
        many = {"POST": self.batch} | (one if self._gateway.user_ids is STRING else {})
        return [
            route("/online", {"GET": self._present.online, "POST": self.online}),
            route("/offline", {"POST": self.offline}),
            route("/heartbeat", {"POST": self.heartbeat}),
            route("/changes", {"POST": self.changes}),
            route("/status/batch", many),
            route("/status/{user_id}", one),
            route("/ws", {"GET": _upgrade_required}),
        ]

    # -- the document's five -----------------------------------------------------------------------------------------

    async def online(self, request: Request) -> Response:
        who = await self._desk.who(request)
        body = await self._desk.body(request, bodies.OnlineBody)
        self._desk.allow_device(who, body.user_id, body.device_id, body.platform)
        self._desk.refuse_if_draining()
        self._desk.refuse_if_busy()
        self._desk.change(who)
        number = self._gateway.hub.engine.next_number()
        platform = self._gateway.hub.limits.platforms(body.platform)
        wanted = Online(self._keys.key(body.user_id), body.device_id, platform, number, body.idle, body.busy)
        if (await self._desk.submit(wanted)).is_full:
            self._gateway.hub.refused["max_devices"] += 1
            reason = "is one too many: the user has as many devices as one may have"
            raise Refusal(409, [FieldError("deviceId", reason)], "too_many_devices")
        shown = await self._desk.look_up(body.user_id, body.user_id)
        return success(_summary_of(body.user_id, shown), "上线成功")

    async def offline(self, request: Request) -> Response:
        who = await self._desk.who(request)
        body = await self._desk.body(request, bodies.DeviceBody)
        self._desk.allow_device(who, body.user_id, body.device_id)
        self._desk.change(who)
        await self._desk.submit(Offline(self._keys.key(body.user_id), body.device_id))
        return success(None, "下线成功")

    async def heartbeat(self, request: Request) -> Response:
        who = await self._desk.who(request)
        body = await self._desk.body(request, bodies.DeviceBody)
        self._desk.allow_device(who, body.user_id, body.device_id)
        made = await self._desk.submit(Heartbeat(self._keys.key(body.user_id), body.device_id, body.idle, body.busy))
        if made.farewell is not None:
            cause, reason = made.farewell
            error, usual = FAREWELLS[cause]
            raise Refusal(404, [FieldError("deviceId", reason or usual)], error)
        if made.device is None:
            reason = "is not online; call /online again"
            raise Refusal(404, [FieldError("deviceId", reason)], "device_not_online")
        return success(*heartbeat_answer(self._gateway.heartbeat_interval_ms))

    async def status(self, request: Request) -> Response:
        user_id = self._desk.user_id_of(request)
        who = await self._desk.who(request)
        allow(who.may_watch())
        self._desk.queries(who, 1)
        return success(_status_of(user_id, await self._desk.look_up(who.viewer, user_id)))

    async def batch(self, request: Request) -> Response:
        who = await self._desk.who(request)
        allow(who.may_watch())
        body = await self._desk.body(request, bodies.BatchBody)
        most = self._gateway.hub.limits.max_batch
        if len(body.user_ids) > most:
            self._gateway.hub.refused["max_batch"] += 1
            raise Refusal(400, [FieldError("userIds", f"must be at most {most} ids")])
        self._desk.queries(who, len(body.user_ids))
        viewer, keys = self._desk.viewer_key(who), self._keys.keys(body.user_ids)
        found = await self._desk.look_up_all(viewer, keys)
        if body.detail:
            sight = self._gateway.hub.sight
            stamp = sight.stamp(viewer)
            worded = await self._in_turns(lambda each: _detail_of(*each), list(zip(body.user_ids, found, strict=True)))
            if sight.stamp(viewer) != stamp:
                found = await self._desk.look_up_all(viewer, keys)  # a permission has changed while it was worded
                worded = Raw(encode(list(map(_detail_of, body.user_ids, found))))
            return success(worded)
        return success(list(map(Summary, body.user_ids, [shown.presence.public.status for shown in found])))

    # -- beyond the document -----------------------------------------------------------------------------------------

    async def put_status(self, request: Request) -> Response:
        """What the person says of themselves, in place of all they said; what is left out is cleared."""
        user_id, word = await self._said(request)
        status, until, *text = (None if each is LEAVE else each for each in word)
        if status is None and text[:2] == [None, None]:
            reason = "is required, or a statusText or statusEmoji; DELETE clears all of them"
            raise Refusal(400, [FieldError("status", reason)])
        if status is None and until is not None:
            raise Refusal(400, [FieldError("until", "means nothing without a status")])
        return await self._say(user_id, Word(status, LEAVE if status is None else until, *text))  # type: ignore[arg-type]

    async def patch_status(self, request: Request) -> Response:
        """What the person says of themselves; what is left out stays as it is."""
        return await self._say(*await self._said(request))

    async def clear_status(self, request: Request) -> Response:
        user_id = self._desk.user_id_of(request)
        who = await self._desk.who(request)
        allow(who.may_speak_for(user_id))
        self._desk.refuse_if_draining()
        self._desk.change(who)
        return await self._say(user_id, None)

    async def _said(self, request: Request) -> tuple[UserId, Word]:
        user_id = self._desk.user_id_of(request)
        who = await self._desk.who(request)
        allow(who.may_speak_for(user_id))
        word = word_of(await self._desk.body(request, bodies.StatusBody))
        self._desk.refuse_if_draining()
        if (wrong := check_word(word, self._gateway.clock.utc())) is not None:
            raise Refusal(400, [FieldError(*wrong)])
        if word.status is Status.OFFLINE and not self._gateway.hub.limits.allows_invisible:
            raise Refusal(403, [FieldError(*INVISIBLE_FORBIDDEN)])
        self._desk.refuse_if_short()
        self._desk.change(who)
        return user_id, word

    async def _say(self, user_id: UserId, word: Word | None) -> Response:
        made = await self._desk.submit(Say(self._keys.key(user_id), word))
        if made.is_refused:
            self._gateway.hub.refused["max_unseen"] += 1
            raise Refusal(503, [NO_ROOM])
        if made.wrong is not None:
            raise Refusal(400, [FieldError(*made.wrong)])
        return success(_status_of(user_id, await self._desk.look_up(user_id, user_id)))

    async def changes(self, request: Request) -> Response:
        who = await self._desk.who(request)
        allow(who.may_follow_everybody() if who.is_service else who.may_watch())
        # What waits does not hold the body: its ids are in the index by then, and nowhere else.
        body = await self._desk.body(request, bodies.ChangesBody)
        if body.user_ids is None:
            return await self._feed.changes(request, who, body)
        allow(who.may_watch())
        _only_of_everybody(body)
        self._desk.watches(who, len(body.user_ids))
        viewer, sight = self._desk.viewer_key(who), self._gateway.hub.sight
        with self._desk.poll(who):
            polling, wait = self._begin_poll(viewer, body.user_ids, body)
            del body
            answer = await self._end_poll(request, polling, wait)
        self._desk.refuse_if_over(who)
        if answer is None:
            raise unavailable()
        word = partial(entry_of, keys=self._keys)
        changes = await self._in_turns(word, answer.changes)
        if sight.stamp(viewer) != answer.stamp:  # a permission has changed while it was worded
            changes = Raw(encode(list(map(word, sight.still(viewer, answer.changes)))))
        return success(
            {
                "changes": changes,
                "cursor": answer.cursor,
                "resumed": answer.resumed,
            }
        )

    async def _in_turns(self, word: Callable[[T], Any], found: list[T]) -> Raw:
        """What `word` says of each of `found`, as a list in JSON: thousands of them would keep the loop from others."""
        worded: list[bytes] = []

        def steps() -> Iterator[None]:
            for start in range(0, len(found), slices.PIECE):
                piece = list(map(word, found[start : start + slices.PIECE]))
                worded.append(encode(piece)[1:-1])
                yield

        await self._gateway.shares.do(steps())
        return Raw(b"[%b]" % b",".join(worded))

    def _begin_poll(self, viewer: UserKey, user_ids: list[UserId], body: bodies.ChangesBody) -> tuple[_Polling, float]:
        """The poll, and for how many seconds it may wait.

        Raises:
            Refusal: too many are asked for.
        """
        most = self._gateway.hub.limits.max_watched
        keys = self._keys.distinct(user_ids, most)
        if keys is None:
            self._gateway.hub.refused["max_watched"] += 1
            raise Refusal(400, [FieldError("userIds", f"must be at most {most} different ids")])
        wait = (body.wait_ms or 0) / 1000
        if wait > 0:
            within(self._gateway.hub.ceilings.edges(self._gateway.hub.interest, keys))
        may_wait = wait > 0 and not self._gateway.hub.is_draining
        return _Polling(self._gateway.polls, viewer, keys, body.cursor, may_wait, self._gateway.clock.now()), wait

    async def _end_poll(self, request: Request, polling: _Polling, wait: float) -> PollAnswer | None:
        """Wait for an answer, for `wait` seconds, or until the client is gone."""
        answered, waits = polling.answered, polling.waits
        late: PollAnswer | None = None
        if not answered.done():
            gone = asyncio.ensure_future(disconnected(request))
            try:
                if not waits.done():
                    await first_of(ENGINE_TIMEOUT, answered, gone, waits)
                if waits.done():
                    await first_of(wait, answered, gone)
            finally:
                gone.cancel()
                late = polling.close()
        return (answered.result() if answered.done() else None) or late


class _Polling:
    """A long poll, and the futures that tell of it: that it waits, and its answer."""

    def __init__(
        self, polls: Polls, viewer: UserKey, keys: list[UserKey], cursor: str | None, may_wait: bool, now: float
    ) -> None:
        loop = asyncio.get_running_loop()
        self.answered: asyncio.Future[PollAnswer | None] = loop.create_future()
        self.waits: asyncio.Future[None] = loop.create_future()
        self._polls = polls
        # Neither callback holds this object, which holds the poll: nothing is left to the collector.
        on_answer, on_wait = partial(_answer, self.answered), partial(self.waits.set_result, None)
        self._poll = polls.open(viewer, keys, cursor, may_wait, now, on_answer, on_wait)

    def close(self) -> PollAnswer | None:
        return self._polls.close(self._poll)


def _answer(answered: asyncio.Future[PollAnswer | None], given: PollAnswer | None) -> None:
    if not answered.done():
        answered.set_result(given)


def _only_of_everybody(body: bodies.ChangesBody) -> None:
    """Raises Refusal: 400: it asks of some users what can be asked of everybody only."""
    given = {"limit": body.limit, "transitions": body.transitions}
    wrong = [FieldError(name, "means nothing with userIds") for name, value in given.items() if value is not None]
    if wrong:
        raise Refusal(400, wrong)


async def _upgrade_required(_request: Request) -> Response:
    raise Refusal(426, [FieldError("Upgrade", "must be websocket")])


# -- wording ---------------------------------------------------------------------------------------------------------


def _time(seconds: int | None) -> str | None:
    return None if seconds is None else format_time(seconds)


def _summary_of(user_id: UserId, shown: Shown) -> dict[str, Any]:
    return {
        "userId": user_id,
        "status": shown.presence.public.status.value,
        "lastActiveTime": _time(shown.last_active),
    } | ({} if shown.presence.last_seen is None else {"lastSeen": shown.presence.last_seen})


def _status_of(user_id: UserId, shown: Shown) -> dict[str, Any]:
    status = _summary_of(user_id, shown) | {"devices": [_device_of(device) for device in shown.devices]}
    return status | _more_of(shown)


def _more_of(shown: Shown) -> dict[str, Any]:
    """What is only there where there is something to tell."""
    public = shown.presence.public
    more = {
        "statusText": public.text,
        "statusEmoji": public.emoji,
        "idleSince": _time(public.idle_since),
        "platformStatus": platform_status_of(public),
    }
    return {name: value for name, value in more.items() if value is not None}


def heartbeat_answer(interval_ms: int) -> tuple[dict[str, int], str]:
    """The data and the message that answer a heartbeat."""
    return {"nextHeartbeatInterval": interval_ms}, "心跳成功"


class Summary(Struct, rename="camel", gc=False):
    """One user in the answer about many."""

    user_id: UserId
    status: Status


def status_body(user_id: UserId, shown: Shown) -> bytes:
    """The whole body that tells of one user."""
    return success_body(_status_of(user_id, shown))


def _device_of(device: DeviceView) -> dict[str, Any]:
    return {
        "deviceId": device.device_id,
        "platform": device.platform.value,
        "onlineTime": format_time(device.online_time),
    }


def _detail_of(user_id: UserId, shown: Shown) -> dict[str, Any]:
    platforms = [platform.value for platform in shown.presence.public.platforms]
    return _summary_of(user_id, shown) | {"platforms": platforms} | _more_of(shown)


async def on_http_exception(request: Request, raised: Exception) -> Response:
    """What Starlette itself refuses (an unknown path, a wrong method at the root), in the envelope."""
    assert isinstance(raised, HTTPException)
    if request.method == "OPTIONS" and (raised.status_code == 405 or request.scope["path"] == "*"):
        return options((raised.headers or {}).get("Allow", "GET, HEAD, POST, PUT, PATCH, DELETE"))
    if raised.status_code == 405:
        return failure(not_allowed((raised.headers or {}).get("Allow", "GET")))
    return failure(Refusal(404, [FieldError("path", "is not known here; see /openapi.json")]))
