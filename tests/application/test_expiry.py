"""When credentials end, for a connection: at the moment at which they are refused elsewhere too."""

from __future__ import annotations

from application.kit import ANN, World
from presence_protocol.messages import Expiring
from presence_server.application.principals import Principal
from presence_server.identity.claims import Rules, principal_of
from support.who import ByTable

LEEWAY = 5.0


def _world(exp: float, **more: float) -> World:
    """Ann's token ends `exp` seconds from now by its own word. `more`: further times of it, from now as well."""
    users = ByTable({})
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
