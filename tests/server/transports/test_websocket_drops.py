"""Links that drop by the thousand, at once: what each takes is done in turns."""

import pytest

from support.raw import message
from support.transport import Wire


class Busy:
    """Somebody who has used up this turn of the loop."""

    def take_turn(self, now: float, ends_at: float) -> bool:
        return False


def greeted(number: int, first: Wire | None = None) -> Wire:
    wire = Wire() if first is None else first.another()
    wire.receive(message(type="hello", userId=number, deviceId="d", platform="WEB"))
    return wire


@pytest.mark.parametrize("is_reset", [False, True])
def test_a_link_that_drops_while_others_use_the_turn_ends_in_its_own(is_reset: bool) -> None:
    wire = greeted(1)
    hub, gateway = wire.gateway.hub, wire.gateway
    assert hub.statistics().sessions == 1
    wire.settle()
    gateway.shares.charge(Busy(), 1.0)
    if not is_reset:
        wire.connection.eof_received()
    wire.connection.connection_lost(None)
    assert hub.statistics().sessions == 1
    assert gateway.websockets.connections == set()
    wire.settle()
    assert hub.statistics().sessions == 0
    assert hub.engine.truth(hub.keys.key(1)).devices  # in grace, as after any link that drops


def test_while_nobody_else_is_busy_it_ends_at_once() -> None:
    wire = greeted(1)
    wire.settle()
    wire.connection.eof_received()
    assert wire.gateway.hub.statistics().sessions == 0


def test_a_device_that_is_back_before_its_old_link_has_ended_stays() -> None:
    old = greeted(1)
    hub = old.gateway.hub
    old.settle()
    old.gateway.shares.charge(Busy(), 1.0)
    old.connection.eof_received()
    new = greeted(1, old)
    old.settle()
    assert hub.statistics().sessions == 1
    assert not new.transport.is_aborted
    assert hub.engine.presence(hub.keys.key(1)).public.status.value == "ONLINE"
