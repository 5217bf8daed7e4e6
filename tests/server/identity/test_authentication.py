"""Credentials -> a principal: which are asked first, and what each says to strangers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from presence_protocol.user_ids import NUMBER
from presence_server.application.ports import Peer, Wanted
from presence_server.application.principals import SCOPES, Denied, Principal
from presence_server.identity.authentication import Authentication, ByToken, bearer
from presence_server.identity.claims import Rules
from presence_server.identity.jwt_keys import key_of
from presence_server.identity.revocations import Revocations
from presence_server.identity.service_keys import ServiceKeys, line_of, new_key, parse_scopes
from presence_server.identity.tickets import TICKET_LIFE, Tickets
from presence_server.identity.tokens import TokenVerifier
from server.identity.keys import NOW, SECRET, claims, sign
from support.who import trusting

STRANGER = Peer("203.0.113.7")
KEY = new_key(lambda size: b"\x07" * size)


def ask(
    door: Authentication, peer: Peer, token: str | None = None, now: float = 0.0, utc: float = NOW
) -> Principal | Denied:
    made: list[Any] = []
    door.authenticate(peer, token, Wanted(), now, utc, made.append)
    (answer,) = made
    assert isinstance(answer, Principal | Denied)
    return answer


@pytest.fixture
def door(tmp_path: Path) -> Authentication:
    (tmp_path / "keys").write_text(line_of("crm", KEY, parse_scopes("read")), "utf-8")
    verifier = TokenVerifier((key_of(SECRET),), None, Rules(NUMBER.of_claim))
    return Authentication(ByToken(verifier), Tickets(lambda: "t1"), Revocations(), ServiceKeys(tmp_path / "keys"))


@pytest.mark.parametrize("address", ["127.0.0.1", "127.8.8.8", "::1", "::ffff:127.0.0.1"])
def test_this_machine_may_do_everything(address: str) -> None:
    made = ask(trusting(), Peer(address), "any")
    assert isinstance(made, Principal)
    assert made.scopes == SCOPES
    assert made.may_speak_for(10001) is None


@pytest.mark.parametrize(
    "address",
    ["10.0.0.1", "192.0.2.7", "::ffff:192.0.2.7", "2001:db8::1", "0.0.0.0", "", "localhost", "127.0.0.1.x"],
)
def test_others_are_nobody_and_are_told_why(address: str) -> None:
    made = ask(trusting(), Peer(address, "Bearer any"))
    assert isinstance(made, Denied)
    assert made.status == 401
    assert "no authenticator is configured" in made.reason


def test_other_networks_may_be_trusted() -> None:
    wide = trusting("10.0.0.0/8", "2001:db8::/32")
    assert isinstance(ask(wide, Peer("10.9.9.9")), Principal)
    assert isinstance(ask(wide, Peer("2001:db8::7")), Principal)
    assert isinstance(ask(wide, Peer("127.0.0.1")), Denied)


@pytest.mark.parametrize("clients", [(), ("203.0.113.7",), ("127.0.0.1", "203.0.113.7")])
def test_whoever_stands_behind_a_proxy_is_not_this_machine(clients: tuple[str, ...]) -> None:
    made = ask(trusting(), Peer("127.0.0.1", clients=clients))
    assert isinstance(made, Denied)
    assert "proxy" in made.reason
    assert isinstance(ask(trusting(), Peer("10.0.0.1", clients=("127.0.0.1",))), Principal)


def test_a_token_from_the_hello_or_from_the_header(door: Authentication) -> None:
    token = sign(claims())
    for made in (ask(door, STRANGER, token), ask(door, STRANGER._replace(authorization=f"bearer {token}"))):
        assert isinstance(made, Principal)
        assert made.user_id == 10001
    assert ask(door, Peer("127.0.0.1")) == Denied(401, "a token is needed")


def test_a_service_key_beside_tokens(door: Authentication) -> None:
    made = ask(door, STRANGER._replace(authorization=f"Bearer {KEY}"))
    assert isinstance(made, Principal)
    assert made.is_service
    assert ask(door, STRANGER, KEY[:-1] + "0") == Denied(401, "the key is not known")
    assert isinstance(ask(trusting(), STRANGER, KEY), Denied)


def test_a_ticket_is_good_once_and_not_for_ever(door: Authentication) -> None:
    made = ask(door, STRANGER, sign(claims()))
    assert isinstance(made, Principal)
    ticket = door.tickets.issue(made, 0.0)
    assert ask(door, STRANGER._replace(ticket=ticket), now=1.0) == made
    assert isinstance(ask(door, STRANGER._replace(ticket=ticket), now=1.0), Denied)
    ticket = door.tickets.issue(made, 0.0)
    assert isinstance(ask(door, STRANGER._replace(ticket=ticket), now=TICKET_LIFE), Denied)


def test_a_revoked_token_is_refused_on_every_way(door: Authentication) -> None:
    token = sign(claims())
    made = ask(door, STRANGER, token)
    assert isinstance(made, Principal)
    ticket = door.tickets.issue(made, 0.0)
    door.revocations.add(10001, None, NOW + 1, NOW)
    assert ask(door, STRANGER, token) == Denied(401, "the token was revoked")
    assert ask(door, STRANGER._replace(ticket=ticket)) == Denied(401, "the token was revoked")
    assert isinstance(ask(door, STRANGER, sign(claims(iat=NOW + 1))), Principal)


@pytest.mark.parametrize(
    ("header", "token"),
    [
        (None, None),
        ("", None),
        ("Bearer", None),
        ("Bearer  ", None),
        ("Basic abc", None),
        ("bearer  abc ", "abc"),
        ("Bearerabc", None),
    ],
)
def test_the_token_of_a_header(header: str | None, token: str | None) -> None:
    assert bearer(header) == token
