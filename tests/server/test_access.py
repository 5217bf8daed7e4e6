"""Who is let in by default, and who sees whom."""

from __future__ import annotations

import pytest

from presence_server.access import Everyone, TrustOnLoopback, is_loopback
from presence_server.application.ports import Peer


@pytest.mark.parametrize("address", ["127.0.0.1", "127.8.8.8", "::1", "::ffff:127.0.0.1"])
def test_this_machine_may_speak_for_anybody(address: str) -> None:
    assert is_loopback(address)
    assert TrustOnLoopback().authenticate(Peer(address), None, 10001) is None
    assert TrustOnLoopback().authenticate(Peer(address), "any", None) is None


@pytest.mark.parametrize(
    "address",
    ["10.0.0.1", "192.0.2.7", "::ffff:192.0.2.7", "2001:db8::1", "0.0.0.0", "", "localhost", "127.0.0.1.x"],
)
def test_others_may_speak_for_nobody_and_are_told_why(address: str) -> None:
    assert not is_loopback(address)
    denied = TrustOnLoopback().authenticate(Peer(address, "Bearer any"), "any", 10001)
    assert denied is not None
    assert denied.status == 401
    assert "no authenticator is configured" in denied.reason


def test_whoever_stands_behind_a_proxy_on_this_machine_is_not_this_machine() -> None:
    denied = TrustOnLoopback().authenticate(Peer("127.0.0.1", is_forwarded=True), "any", None)
    assert denied is not None
    assert denied.status == 401
    assert "proxy" in denied.reason


def test_everybody_sees_everybody() -> None:
    assert Everyone().may_see(None, 10001)
    assert Everyone().may_see(10001, 10002)
