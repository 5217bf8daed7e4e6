"""When credentials end, for a connection: at the moment at which they are refused elsewhere too."""

from __future__ import annotations

import pytest

from application.kit import ANN, World
from presence_protocol.messages import Auth, Expiring, Ok
from presence_server.application.expiry import Expiry
from presence_server.application.ports import Peer
from presence_server.application.principals import Principal
from presence_server.application.sessions import Session
from presence_server.identity.claims import Rules, principal_of
from support.who import ByTable

LEEWAY = 5.0
HOURS = 3 * 3600.0


def _world(exp: float, users: ByTable | None = None, **more: float) -> World:
    """Ann's token ends `exp` seconds from now by its own word. `more`: further times of it, from now as well."""
    users = users or ByTable({})
    world = World(authenticator=users)
    now = world.clock.utc()
    times = {name: now + seconds for name, seconds in ({"exp": exp} | more).items()}
    made = principal_of({"sub": str(ANN)} | times, Rules(int, leeway=LEEWAY), now)
    assert isinstance(made, Principal)
    users.known["ann"] = made
    return world


def test_a_token_within_its_leeway_holds_a_connection_until_the_leeway_is_over() -> None:
    world = _world(-2)
    ann = world.connect(ANN, token="ann")
    world.wait(2.5)
    assert ann.is_up
    world.wait(1)
    assert ann.link.closed == (4401, "the token has expired")


def test_who_is_connected_is_told_of_the_end_and_closed_once_the_leeway_is_over() -> None:
    world = _world(20)
    ann = world.connect(ANN, token="ann")
    world.wait(10.5)
    (told,) = ann.take(Expiring)
    assert 9_500 <= told.in_ms <= 10_000, "its own end: a client does not know of the leeway"
    world.wait(14)
    assert ann.is_up
    world.wait(1)
    assert ann.link.closed == (4401, "the token has expired")


def test_who_comes_late_with_a_long_token_is_told_thirty_seconds_before_its_end() -> None:
    world = _world(40, iat=-600)
    ann = world.connect(ANN, token="ann")
    world.wait(9)
    assert not ann.take(Expiring)
    world.wait(2)
    (told,) = ann.take(Expiring)
    assert 29_000 <= told.in_ms <= 30_000


def test_a_token_of_hours_is_told_of_and_closed_as_one_of_seconds_is() -> None:
    world = _world(HOURS)
    ann = world.connect(ANN, token="ann")
    world.wait(HOURS - 31)
    assert not ann.take(Expiring)
    world.wait(1.5)
    (told,) = ann.take(Expiring)
    assert 29_000 <= told.in_ms <= 30_000
    world.wait(30 + LEEWAY)
    assert ann.link.closed == (4401, "the token has expired")


@pytest.mark.parametrize("exp", [20.0, HOURS])
def test_a_new_token_moves_the_end(exp: float) -> None:
    users = ByTable({})
    world = _world(exp, users)
    ann = world.connect(ANN, token="ann")
    world.wait(1)
    users.known["new"] = users.known["ann"]._replace(expires_at=world.clock.utc() + 2 * HOURS)
    assert isinstance(ann.say(Auth(token="new", id=1))[0], Ok)
    world.wait(exp + 60)
    assert ann.is_up
    assert not ann.take(Expiring)
    world.wait(2 * HOURS - exp - 61)
    assert ann.is_up
    assert ann.take(Expiring)
    world.wait(2)
    assert ann.link.closed == (4401, "the token has expired")


@pytest.mark.parametrize("set_by", [HOURS - 100, -HOURS])
def test_the_end_is_the_calendars_when_the_system_clock_is_set(set_by: float) -> None:
    world = _world(HOURS)
    ann = world.connect(ANN, token="ann")
    world.wait(1)
    world.clock.set_by = set_by
    world.wait(HOURS - set_by - 32)
    assert not ann.take(Expiring)
    world.wait(2)
    assert ann.take(Expiring)
    world.wait(30 + LEEWAY)
    assert ann.link.closed == (4401, "the token has expired")


@pytest.mark.parametrize("exp", [20.0, HOURS])
def test_nothing_is_kept_of_who_left(exp: float) -> None:
    expiry = Expiry()
    session = Session(1, 1, 0, object(), Peer("127.0.0.1"), 0.0)  # type: ignore[arg-type]
    session.principal = Principal("user", ANN, expires_at=exp)
    for moment in (0.0, exp - 10):
        expiry.follow(session, moment, moment)
        list(expiry.sweep(moment, moment))
        assert not expiry.is_empty
        expiry.forget(session)
        assert expiry.is_empty


def test_the_token_is_not_kept_beside_the_connection_that_it_let_in() -> None:
    world = _world(HOURS)
    client = world.client().open()
    client.session.peer = Peer("127.0.0.1", "Bearer ann", None, "a ticket")
    client.hello(ANN, token="ann")
    assert client.is_up
    assert client.session.peer == Peer("127.0.0.1")
