"""Whose address is trusted, and whose word about addresses."""

from __future__ import annotations

import pytest

from presence_server.identity.networks import LOOPBACK, Networks, clients_of

PROXIES = Networks(("10.0.0.0/8", "::1/128"))


@pytest.mark.parametrize(
    ("address", "held"),
    [
        ("127.0.0.1", True),
        ("127.9.9.9", True),
        ("::1", True),
        ("::ffff:127.0.0.1", True),
        ("128.0.0.1", False),
        ("::2", False),
        ("fe80::1%eth0", False),
        ("", False),
        ("localhost", False),
        ("127.0.0.1:80", False),
    ],
)
def test_loopback(address: str, held: bool) -> None:
    assert Networks(LOOPBACK).holds(address) is held


@pytest.mark.parametrize("wrong", ["", "10.0.0.0/33", "ten", "10.0.0.1/8", "10.0.0.0/8 11.0.0.0/8"])
def test_what_is_no_network_is_refused(wrong: str) -> None:
    with pytest.raises(ValueError, match=r"must be an address or a network|did you mean 10\.0\.0\.0/8"):
        Networks((wrong,))


@pytest.mark.parametrize(
    ("peer", "headers", "clients"),
    [
        ("9.9.9.9", {}, None),
        # nobody vouches for what a stranger writes
        ("9.9.9.9", {"x-forwarded-for": "127.0.0.1"}, ()),
        ("127.0.0.1", {"via": "1.1 nginx"}, ()),
        ("127.0.0.1", {"x-real-ip": "127.0.0.1"}, ()),
        # a trusted proxy does
        ("10.0.0.1", {"x-forwarded-for": "8.8.8.8"}, ("8.8.8.8",)),
        ("::1", {"x-forwarded-for": "8.8.8.8"}, ("8.8.8.8",)),
        # what was there before the proxy came is the client's own invention
        ("10.0.0.1", {"x-forwarded-for": "127.0.0.1, 8.8.8.8"}, ("8.8.8.8",)),
        ("10.0.0.1", {"x-forwarded-for": "127.0.0.1, 8.8.8.8, 10.0.0.2"}, ("8.8.8.8",)),
        ("10.0.0.1", {"x-forwarded-for": "10.0.0.3, 10.0.0.2"}, ("10.0.0.3",)),
        ("10.0.0.1", {"forwarded": 'for="[2001:db8::1]:4711";proto=http'}, ("2001:db8::1",)),
        ("10.0.0.1", {"forwarded": "for=8.8.8.8:99, for=10.0.0.2"}, ("8.8.8.8",)),
        ("10.0.0.1", {"forwarded": "For=unknown"}, ("unknown",)),
        ("10.0.0.1", {"x-real-ip": "8.8.8.8"}, ("8.8.8.8",)),
        # the one that the proxy does not know is the client's: both must be trusted
        ("10.0.0.1", {"forwarded": "for=127.0.0.1", "x-forwarded-for": "8.8.8.8"}, ("127.0.0.1", "8.8.8.8")),
        # it went through a proxy, and nobody says from where
        ("10.0.0.1", {"via": "1.1 proxy"}, ()),
    ],
)
def test_where_a_client_is(peer: str, headers: dict[str, str], clients: tuple[str, ...] | None) -> None:
    assert clients_of(peer, headers, PROXIES) == clients
