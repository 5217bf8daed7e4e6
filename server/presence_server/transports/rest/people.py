"""Endpoints about who may see whom, and about all that is kept of one user."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Sized
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar
from weakref import WeakValueDictionary

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from presence_protocol.errors import FieldError
from presence_protocol.fields import format_time
from presence_protocol.user_ids import UserId
from presence_server.application import slices
from presence_server.application.contacts import MAX_LIST, Contacts, Pair
from presence_server.application.entries import self_view_of
from presence_server.application.lists import NONE, Members, Steps, in_order
from presence_server.application.policies import ByContacts
from presence_server.application.principals import ADMIN, WRITE
from presence_server.application.privacy import LastSeen
from presence_server.domain.model import Kept, UserKey
from presence_server.domain.transitions import Transition
from presence_server.transports.rest import bodies
from presence_server.transports.rest.claims import claim_view
from presence_server.transports.rest.desk import Desk, allow, route
from presence_server.transports.rest.envelope import Refusal, success

if TYPE_CHECKING:
    from presence_server.transports.gateway import Gateway

L = TypeVar("L", bound=Sized)


class PeopleApi:
    """`/contacts`, `/blocks`, `/privacy` and `/users`."""

    def __init__(self, gateway: Gateway, desk: Desk) -> None:
        self._gateway = gateway
        self._hub = gateway.hub
        self._desk = desk
        self._keys = gateway.hub.keys
        self._changing: WeakValueDictionary[UserKey, asyncio.Lock] = WeakValueDictionary()

    def routes(self) -> list[Route]:
        return [
            route("/contacts/{user_id}", {"PUT": self.set_contacts, "PATCH": self.change_contacts}),
            route("/blocks/{user_id}", {"PUT": self.set_blocks, "PATCH": self.change_blocks}),
            route("/privacy/{user_id}", {"PUT": self.set_privacy}),
            route("/users/{user_id}", {"DELETE": self.erase}),
            route("/users/{user_id}/export", {"GET": self.export}),
        ]

    # -- who may see whom --------------------------------------------------------------------------------------------

    async def set_contacts(self, request: Request) -> Response:
        """A back end's: a user could make themselves anybody's contact."""
        user_id = self._desk.user_id_of(request)
        allow((await self._desk.who(request)).needs(WRITE))
        book = self._by_contacts().book
        body = await self._desk.body(request, bodies.ContactsBody)
        _check_length("userIds", len(body.user_ids))
        return await self._keep_contacts(user_id, book.contacts_of(body.user_ids, body.mutual is not False), "userIds")

    async def change_contacts(self, request: Request) -> Response:
        user_id = self._desk.user_id_of(request)
        allow((await self._desk.who(request)).needs(WRITE))
        book, key = self._by_contacts().book, self._keys.key(user_id)
        body = await self._desk.body(request, bodies.ContactsChangeBody)
        wanted = book.contacts_with(key, body.add or (), body.remove or (), body.mutual is not False)
        return await self._keep_contacts(user_id, wanted, "add")

    async def set_blocks(self, request: Request) -> Response:
        """A back end's, or the user's own."""
        user_id = self._desk.user_id_of(request)
        allow((await self._desk.who(request)).may_speak_for(user_id))
        self._by_contacts()
        body = await self._desk.body(request, bodies.BlocksBody)
        _check_length("userIds", len(body.user_ids))
        return await self._keep_blocks(user_id, in_order(body.user_ids), "userIds")

    async def change_blocks(self, request: Request) -> Response:
        user_id = self._desk.user_id_of(request)
        allow((await self._desk.who(request)).may_speak_for(user_id))
        book, key = self._by_contacts().book, self._keys.key(user_id)
        body = await self._desk.body(request, bodies.BlocksChangeBody)
        return await self._keep_blocks(user_id, book.blocks_with(key, body.add or (), body.remove or ()), "add")

    async def _keep_contacts(self, user_id: UserId, wanted: Steps[Contacts], field: str) -> Response:
        book, key = self._by_contacts().book, self._keys.key(user_id)
        await self._change(key, wanted, partial(book.replace_in_steps, key), field)
        return success({"userId": user_id, "contacts": len(book.contacts(key))})

    async def _keep_blocks(self, user_id: UserId, wanted: Steps[Members], field: str) -> Response:
        book, key = self._by_contacts().book, self._keys.key(user_id)
        await self._change(key, wanted, partial(book.block_in_steps, key), field)
        return success({"userId": user_id, "blocks": len(book.blocks(key))})

    async def _change(
        self, key: UserKey, wanted: Steps[L], replace: Callable[[L], Iterator[list[Pair]]], field: str
    ) -> None:
        """Make the user's lists what is wanted, in as many turns as that takes, and tell whom it concerns.

        One change of a user's lists goes after the other. Raises Refusal: 400: a list would be too long.
        """

        def steps() -> Iterator[None]:
            lists = yield from wanted
            _check_length(field, len(lists))
            yield from self._told(replace(lists))

        async with self._lists_of(key):
            await self._gateway.shares.do(steps())

    def _lists_of(self, key: UserKey) -> asyncio.Lock:
        """Held by whoever changes the user's lists."""
        lock = self._changing.get(key)
        if lock is None:
            lock = self._changing[key] = asyncio.Lock()
        return lock

    def _told(self, changes: Iterator[list[Pair]]) -> Iterator[None]:
        """After each change whoever may see more or less is told, before anything else happens."""
        policy = self._by_contacts()
        for pairs in changes:
            with self._hub.turn:
                policy.tell(pairs)
            yield

    async def set_privacy(self, request: Request) -> Response:
        user_id = self._desk.user_id_of(request)
        allow((await self._desk.who(request)).may_speak_for(user_id))
        body = await self._desk.body(request, bodies.PrivacyBody)
        key, said = self._keys.key(user_id), LastSeen(body.last_seen)
        was_kept = self._hub.permissions.set_last_seen(key, said, self._gateway.clock.now(), _forget)
        if not was_kept:
            raise Refusal(503, [FieldError("userId", "no more settings are kept: try again later")])
        return success({"userId": user_id, "lastSeen": said.value})

    def _by_contacts(self) -> ByContacts:
        policy = self._hub.visibility
        if not isinstance(policy, ByContacts):
            reason = "must be contacts; whoever may see whom is not decided by contacts and blocks here"
            raise Refusal(409, [FieldError("visibility", reason)])
        return policy

    # -- all that is kept --------------------------------------------------------------------------------------------

    async def erase(self, request: Request) -> Response:
        """Everything that is kept of a user goes, whatever came of it on the way."""
        user_id = self._desk.user_id_of(request)
        allow((await self._desk.who(request)).needs(ADMIN))
        key, connections = self._keys.key(user_id), 0

        def begin(now: float, done: Any) -> None:
            nonlocal connections
            connections = self._hub.dismissals.erase(key, now, done)

        async with self._lists_of(key):
            await self._gateway.shares.do(self._forget_lists(key))
        await self._desk.ask(begin)
        return success({"userId": user_id, "connections": connections})

    def _forget_lists(self, key: UserKey) -> Iterator[None]:
        """The user's own lists, and the user in those of others, a piece of them in each turn."""
        policy = self._hub.visibility
        if isinstance(policy, ByContacts):
            book = policy.book
            yield from self._told(book.erase_in_steps(key))
            for number, owner in enumerate(book.owners()):
                if pairs := book.forget_in(owner, key):
                    yield from self._told(iter((pairs,)))
                elif number % slices.PIECE == 0:
                    yield
        forget = getattr(policy, "forget", None)
        if forget is not None:
            forget(key)

    async def export(self, request: Request) -> Response:
        user_id = self._desk.user_id_of(request)
        allow((await self._desk.who(request)).needs(ADMIN))
        key = self._keys.key(user_id)

        def begin(now: float, done: Any) -> None:
            self._hub.engine.export(key, now, done)

        kept: Kept = await self._desk.ask(begin)
        contacts, blocks = Contacts(), NONE
        if isinstance(self._hub.visibility, ByContacts):
            book = self._hub.visibility.book
            contacts, blocks = book.contacts(key), book.blocks(key)
        lists: list[list[UserId]] = [[], [], [], []]

        def steps() -> Iterator[None]:
            for worded, members in zip(lists, (*contacts, blocks, self._watched_by(key)), strict=True):
                keys = members if worded is lists[-1] else self._keys.keys(members)
                for start in range(0, len(keys), slices.PIECE):
                    worded += map(self._keys.user_id, keys[start : start + slices.PIECE])
                    yield

        await self._gateway.shares.do(steps())
        return success(self._export_of(user_id, key, kept, *lists))

    def _watched_by(self, key: UserKey) -> list[UserKey]:
        """Whom the connections of a user watch; all are keys."""
        edges = self._hub.edges
        return list(dict.fromkeys(each for session in self._hub.roster.of(key) for each in edges.keys(session.slot)))

    def _export_of(
        self,
        user_id: UserId,
        key: UserKey,
        kept: Kept,
        one_way: list[UserId],
        mutual: list[UserId],
        blocks: list[UserId],
        watching: list[UserId],
    ) -> dict[str, Any]:
        said = self_view_of(kept.truth, self._keys)
        return {
            "userId": user_id,
            "status": said.status,
            "version": kept.presence.version,
            "lastActiveTime": None if kept.last_active is None else format_time(kept.last_active),
            "claims": [claim_view(claim, kept.truth.utc) for claim in kept.truth.claims],
            "devices": said.devices,
            "privacy": {"lastSeen": self._hub.sight.privacy.of(key).value},
            "contacts": {"mutual": mutual, "oneWay": one_way},
            "blocks": blocks,
            "watching": watching,
        }


def _check_length(field: str, length: int) -> None:
    if length > MAX_LIST:
        raise Refusal(400, [FieldError(field, f"must leave at most {MAX_LIST} ids in the list")])


def _forget(_made: Transition | None) -> None:
    """Watchers are told by the Change."""
