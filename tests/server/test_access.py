"""Who is let in by default, and who sees whom."""

from __future__ import annotations

import pytest

from presence_server.access import Everyone, TrustNetworks
from presence_server.application.ports import Peer
from presence_server.identity.networks import Networks


@pytest.mark.parametrize("address", ["127.0.0.1", "127.8.8.8", "::1", "::ffff:127.0.0.1"])
def test_this_machine_may_speak_for_anybody(address: str) -> None:
    assert TrustNetworks().authenticate(Peer(address), None, 10001) is None
    assert TrustNetworks().authenticate(Peer(address), "any", None) is None


@pytest.mark.parametrize(
    "address",
    ["10.0.0.1", "192.0.2.7", "::ffff:192.0.2.7", "2001:db8::1", "0.0.0.0", "", "localhost", "127.0.0.1.x"],
)
def test_others_may_speak_for_nobody_and_are_told_why(address: str) -> None:
    denied = TrustNetworks().authenticate(Peer(address, "Bearer any"), "any", 10001)
    assert denied is not None
    assert denied.status == 401
    assert "no authenticator is configured" in denied.reason


def test_other_networks_may_be_trusted() -> None:
    wide = TrustNetworks(Networks(("10.0.0.0/8", "2001:db8::/32")))
    assert wide.authenticate(Peer("10.9.9.9"), None, 10001) is None
    assert wide.authenticate(Peer("2001:db8::7"), None, 10001) is None
    assert wide.authenticate(Peer("127.0.0.1"), None, 10001) is not None


@pytest.mark.parametrize("clients", [(), ("203.0.113.7",), ("127.0.0.1", "203.0.113.7")])
def test_whoever_stands_behind_a_proxy_is_not_this_machine(clients: tuple[str, ...]) -> None:
    denied = TrustNetworks().authenticate(Peer("127.0.0.1", clients=clients), "any", None)
    assert denied is not None
    assert denied.status == 401
    assert "proxy" in denied.reason


def test_a_proxy_vouches_for_one_who_is_trusted() -> None:
    assert TrustNetworks().authenticate(Peer("10.0.0.1", clients=("127.0.0.1",)), None, 10001) is None


def test_everybody_sees_everybody() -> None:
    assert Everyone().may_see(None, 10001)
    assert Everyone().may_see(10001, 10002)
