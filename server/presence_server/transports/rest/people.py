"""Endpoints about who may see whom, and about all that is kept of one user."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from presence_protocol.errors import FieldError
from presence_protocol.fields import format_time
from presence_protocol.user_ids import UserId
from presence_server.application import slices
from presence_server.application.contacts import MAX_LIST, Contacts, Members
from presence_server.application.entries import self_view_of
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


class PeopleApi:
    """`/contacts`, `/blocks`, `/privacy` and `/users`."""

    def __init__(self, gateway: Gateway, desk: Desk) -> None:
        self._gateway = gateway
        self._hub = gateway.hub
        self._desk = desk
        self._keys = gateway.hub.keys

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
        policy = self._by_contacts()
        body = await self._desk.body(request, bodies.ContactsBody)
        _check_length("userIds", len(body.user_ids))
        key = self._keys.key(user_id)
        with self._hub.entered():
            policy.tell(policy.book.set_contacts(key, body.user_ids, body.mutual is not False))
        return self._done(user_id, contacts=len(policy.book.contacts(key)))

    async def change_contacts(self, request: Request) -> Response:
        user_id = self._desk.user_id_of(request)
        allow((await self._desk.who(request)).needs(WRITE))
        policy = self._by_contacts()
        body = await self._desk.body(request, bodies.ContactsChangeBody)
        key, book = self._keys.key(user_id), policy.book
        wanted = book.with_changes(key, body.add or (), body.remove or (), body.mutual is not False)
        _check_length("add", len(wanted))
        with self._hub.entered():
            policy.tell(book.replace(key, wanted))
        return self._done(user_id, contacts=len(book.contacts(key)))

    async def set_blocks(self, request: Request) -> Response:
        """A back end's, or the user's own."""
        user_id = self._desk.user_id_of(request)
        allow((await self._desk.who(request)).may_speak_for(user_id))
        policy = self._by_contacts()
        body = await self._desk.body(request, bodies.BlocksBody)
        _check_length("userIds", len(body.user_ids))
        with self._hub.entered():
            policy.tell(policy.book.set_blocks(self._keys.key(user_id), body.user_ids))
        return self._done(user_id, blocks=len(policy.book.blocks(self._keys.key(user_id))))

    async def change_blocks(self, request: Request) -> Response:
        user_id = self._desk.user_id_of(request)
        allow((await self._desk.who(request)).may_speak_for(user_id))
        policy = self._by_contacts()
        body = await self._desk.body(request, bodies.BlocksChangeBody)
        key, book = self._keys.key(user_id), policy.book
        wanted = book.blocks_with_changes(key, body.add or (), body.remove or ())
        _check_length("add", len(wanted))
        with self._hub.entered():
            policy.tell(book.set_blocks(key, wanted))
        return self._done(user_id, blocks=len(book.blocks(key)))

    async def set_privacy(self, request: Request) -> Response:
        user_id = self._desk.user_id_of(request)
        allow((await self._desk.who(request)).may_speak_for(user_id))
        body = await self._desk.body(request, bodies.PrivacyBody)
        key, said = self._keys.key(user_id), LastSeen(body.last_seen)
        was_kept, effects = self._hub.set_last_seen(key, said, self._gateway.clock.now(), _forget)
        self._gateway.driver.perform(effects)
        if not was_kept:
            raise Refusal(503, [FieldError("userId", "no more settings are kept: try again later")])
        return success({"userId": user_id, "lastSeen": said.value})

    def _by_contacts(self) -> ByContacts:
        policy = self._hub.visibility
        if not isinstance(policy, ByContacts):
            reason = "must be contacts; whoever may see whom is not decided by contacts and blocks here"
            raise Refusal(409, [FieldError("visibility", reason)])
        return policy

    def _done(self, user_id: UserId, **counts: int) -> Response:
        self._gateway.driver.perform(self._hub.take())
        return success({"userId": user_id, **counts})

    # -- all that is kept --------------------------------------------------------------------------------------------

    async def erase(self, request: Request) -> Response:
        """Everything that is kept of a user goes, whatever came of it on the way."""
        user_id = self._desk.user_id_of(request)
        allow((await self._desk.who(request)).needs(ADMIN))
        key, connections = self._keys.key(user_id), 0

        def begin(now: float, done: Any) -> None:
            nonlocal connections
            connections, effects = self._hub.erase(key, now, done)
            self._gateway.driver.perform(effects)

        await self._gateway.turns.do(self._forget_lists(key))
        await self._desk.ask(begin)
        return success({"userId": user_id, "connections": connections})

    def _forget_lists(self, key: UserKey) -> Iterator[None]:
        """The user's own lists, and the user in those of others, a piece of them in each turn."""
        policy = self._hub.visibility
        if isinstance(policy, ByContacts):
            with self._hub.entered():
                policy.tell(policy.book.erase(key))
            owners = policy.book.owners()
            for start in range(0, len(owners), slices.PIECE):
                yield
                with self._hub.entered():
                    for owner in owners[start : start + slices.PIECE]:
                        policy.tell(policy.book.forget_in(owner, key))
            self._gateway.driver.perform(self._hub.take())
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
        return success(self._export_of(user_id, key, kept))

    def _told(self, members: Members) -> list[UserId]:
        """Ids as this server tells them."""
        return [self._keys.user_id(self._keys.key(member)) for member in members]

    def _export_of(self, user_id: UserId, key: UserKey, kept: Kept) -> dict[str, Any]:
        said = self_view_of(kept.truth, self._keys)
        policy = self._hub.visibility
        contacts, blocks = Contacts(), Contacts().one_way
        if isinstance(policy, ByContacts):
            contacts, blocks = policy.book.contacts(key), policy.book.blocks(key)
        return {
            "userId": user_id,
            "status": said.status,
            "version": kept.presence.version,
            "lastActiveTime": None if kept.last_active is None else format_time(kept.last_active),
            "claims": [claim_view(claim, kept.truth.utc) for claim in kept.truth.claims],
            "devices": said.devices,
            "privacy": {"lastSeen": self._hub.privacy.of(key).value},
            "contacts": {"mutual": self._told(contacts.mutual), "oneWay": self._told(contacts.one_way)},
            "blocks": self._told(blocks),
            "watching": [self._keys.user_id(watched) for watched in self._hub.watched_by(key)],
        }


def _check_length(field: str, length: int) -> None:
    if length > MAX_LIST:
        raise Refusal(400, [FieldError(field, f"must leave at most {MAX_LIST} ids in the list")])


def _forget(_made: Transition | None) -> None:
    """Watchers are told by the Change."""
