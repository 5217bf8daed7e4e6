"""What back ends say of users: the endpoints under `/claims`."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any, Final

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from presence_protocol.errors import FieldError
from presence_protocol.fields import Field, find_errors, format_time
from presence_protocol.user_ids import STRING, UserId
from presence_server.application.entries import deciding
from presence_server.application.principals import ADMIN, WRITE, Denied, Principal
from presence_server.application.words import INVISIBLE_FORBIDDEN
from presence_server.domain.aggregate import Verdict, decide
from presence_server.domain.claims import is_in_force, next_edge, settled
from presence_server.domain.model import SELF, Claim, Source, Status, Truth
from presence_server.domain.transitions import AnyClaiming, ChangeClaim, EndClaims, SetClaims, Transition
from presence_server.transports.rest.claim_bodies import claims_of, patch_of
from presence_server.transports.rest.desk import (
    ENGINE_TIMEOUT,
    Desk,
    Endpoint,
    allow,
    refused,
    route,
    unavailable,
)
from presence_server.transports.rest.envelope import Refusal, success

if TYPE_CHECKING:
    from presence_server.transports.gateway import Gateway

NO_ROOM: Final = FieldError("userId", "never came, and no more claims are kept of users who did not: try again later")

_PIECE: Final = 20
"""Users of a batch whose claims are set in one turn: a fifth of a millisecond with a claim or two, a few with 64."""


class ClaimsApi:
    """The claims of one user, by source, and of many at once."""

    def __init__(self, gateway: Gateway, desk: Desk) -> None:
        self._gateway = gateway
        self._desk = desk
        self._keys = gateway.hub.keys

    def routes(self) -> list[Route]:
        # Among strings there is a user `batch`.
        many: dict[str, Endpoint] = {"POST": self.batch}
        if self._gateway.user_ids is STRING:
            many["GET"] = self.get
        by_source: dict[str, Endpoint] = {"PUT": self.put, "PATCH": self.patch, "DELETE": self.delete}
        return [
            route("/claims/batch", many),
            route("/claims/{user_id}", {"GET": self.get}),
            route("/claims/{user_id}/{source}", by_source),
        ]

    async def get(self, request: Request) -> Response:
        user_id = self._desk.user_id_of(request)
        who = await self._desk.who(request)
        if who.needs(ADMIN) is not None:
            allow(who.may_speak_for(user_id))
        return success(await self._stack(user_id))

    async def put(self, request: Request) -> Response:
        user_id, source, _ = await self._asked(request)
        claims = claims_of(await self._desk.raw(request), source, self._gateway.clock.utc())
        self._allow_statuses(source, (claim.status for claim in claims))
        return await self._claim(user_id, SetClaims(self._keys.key(user_id), source, claims))

    async def patch(self, request: Request) -> Response:
        user_id, source, _ = await self._asked(request)
        id, patch = patch_of(await self._desk.raw(request), self._gateway.clock.utc())
        self._allow_statuses(source, (patch.status,))
        return await self._claim(user_id, ChangeClaim(self._keys.key(user_id), source, id, patch))

    async def delete(self, request: Request) -> Response:
        user_id, source, _ = await self._asked(request)
        id = request.query_params.get("id")
        return await self._claim(user_id, EndClaims(self._keys.key(user_id), source, id))

    async def batch(self, request: Request) -> Response:
        """The same claims for many users, as `put` for each."""
        who = await self._desk.who(request)
        allow(who.needs(WRITE) if who.is_service else Denied(403, "must be a service", "Authorization"))
        raw = await self._desk.raw(request)
        most = self._gateway.hub.limits.max_batch
        users = {"userIds": Field(self._gateway.user_ids.refusal, required=True, nullable=False, each=True)}
        if errors := find_errors(raw, users):
            raise Refusal(400, errors)
        if len(raw["userIds"]) > most:
            raise Refusal(400, [FieldError("userIds", f"must be at most {most} ids")])
        source = self._source(raw.get("source"))
        claims = claims_of(raw, source, self._gateway.clock.utc())
        self._allow_statuses(source, (claim.status for claim in claims))
        self._desk.refuse_if_draining()
        self._desk.refuse_if_short()
        self._desk.change(who)
        user_ids = [self._gateway.user_ids.parse(user_id) for user_id in dict.fromkeys(raw["userIds"])]
        made = await self._claim_all([SetClaims(self._keys.key(user_id), source, claims) for user_id in user_ids])
        not_done = [
            {"userId": user_id, "field": error.field, "reason": error.reason}
            for user_id, one in zip(user_ids, made, strict=True)
            if (error := _error_of(one)) is not None
        ]
        return success({"users": len(user_ids) - len(not_done), "refused": not_done})

    # -- parts ---------------------------------------------------------------------------------------------------------

    async def _asked(self, request: Request) -> tuple[UserId, Source, Principal]:
        """Whose claims, of which source; by somebody who may write them."""
        user_id = self._desk.user_id_of(request)
        who = await self._desk.who(request)
        allow(who.may_speak_for(user_id))
        source = self._source(request.path_params["source"])
        if not who.is_service and source.name != SELF.name:
            raise refused(Denied(403, "must be self: users speak for themselves only", "source"))
        self._desk.refuse_if_draining()
        self._desk.refuse_if_short()
        self._desk.change(who)
        return user_id, source, who

    def _source(self, name: object) -> Source:
        source = self._gateway.sources.get(name) if isinstance(name, str) else None
        if source is None:
            raise Refusal(400, [FieldError("source", f"must be one of {', '.join(self._gateway.sources)}")])
        return source

    def _allow_statuses(self, source: Source, statuses: Any) -> None:
        if source.name == SELF.name and not self._gateway.hub.limits.allows_invisible and Status.OFFLINE in statuses:
            raise Refusal(403, [FieldError(*INVISIBLE_FORBIDDEN)])

    async def _claim(self, user_id: UserId, claiming: AnyClaiming) -> Response:
        if (error := _error_of(await self._desk.submit(claiming))) is not None:
            raise Refusal(503 if error is NO_ROOM else 400, [error])
        return success(await self._stack(user_id))

    async def _claim_all(self, claimings: list[SetClaims]) -> list[Transition | None]:
        """What came of each; in turns, since a thousand users with 64 claims each keep the loop for a while."""
        made: list[Transition | None] = [None] * len(claimings)
        waiting = set(range(len(claimings)))
        all_done = asyncio.get_running_loop().create_future()

        def done(index: int, one: Transition | None) -> None:
            made[index] = one
            waiting.discard(index)
            if not waiting and not all_done.done():
                all_done.set_result(None)

        def steps() -> Iterator[None]:
            for index, claiming in enumerate(claimings):
                now = self._gateway.clock.now()
                self._gateway.hub.submit(claiming, now, partial(done, index))
                if index % _PIECE == _PIECE - 1:
                    yield

        await self._gateway.shares.do(steps())
        if waiting:
            await asyncio.wait((all_done,), timeout=ENGINE_TIMEOUT)
        return made

    async def _stack(self, user_id: UserId) -> dict[str, Any]:
        """All claims of a user in the order of who wins, what wins now, and what wins next."""
        truth: Truth = await self._desk.ask(partial(self._gateway.hub.engine.reveal, self._keys.key(user_id)))
        return {
            "userId": user_id,
            "claims": [claim_view(claim, truth.utc) for claim in truth.claims],
            **winners(truth),
        }


def _error_of(made: Transition | None) -> FieldError | None:
    if made is None:
        return unavailable().details[0]
    if made.is_refused:
        return NO_ROOM
    return None if made.wrong is None else FieldError(*made.wrong)


# -- wording ---------------------------------------------------------------------------------------------------------


def claim_view(claim: Claim, utc: float) -> Mapping[str, Any]:
    """One claim as it is answered; what it does not say is left out."""
    said = {
        "source": claim.source.name,
        "weight": claim.source.weight,
        "id": claim.id or None,
        "status": claim.status,
        "statusText": claim.text,
        "statusEmoji": claim.emoji,
        "from": format_time(claim.since),
        "until": None if claim.until is None else format_time(claim.until),
        "alone": claim.alone or None,
    }
    return {name: value for name, value in said.items() if value is not None} | {
        "inForce": is_in_force(claim, utc),
    }


def winners(truth: Truth) -> Mapping[str, Any]:
    """What wins now, and what wins next and when; `next` is null if nothing that is known of changes that.

    Devices are taken to stay as they are.
    """
    at = truth.utc
    now = decide(truth.claims, truth.devices, at)
    left = settled(truth.claims, at)
    while (edge := next_edge(left, at)) is not None:
        at, left = edge, settled(left, edge)
        after = decide(left, truth.devices, at)
        if after != now:
            return {"now": _state(now), "next": {"at": format_time(edge), **_state(after)}}
    return {"now": _state(now), "next": None}


def _state(verdict: Verdict) -> dict[str, Any]:
    status, by, text_by, _ = verdict
    state: dict[str, Any] = {"status": status}
    if text_by is not None:
        texts = {"statusText": text_by.text, "statusEmoji": text_by.emoji}
        state |= {name: value for name, value in texts.items() if value is not None}
    state["statusBy"] = {"source": "devices"} if by is None else msgspec.to_builtins(deciding(by))
    state["textBy"] = None if text_by is None else msgspec.to_builtins(deciding(text_by))
    return state
