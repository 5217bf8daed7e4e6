"""Whose address is trusted, and whose word about addresses.

A request that went through a proxy comes from the proxy's address. What the client's own is stands in a header that
anybody may write; only what a trusted proxy added is believed. Where several headers tell an address, all of them
count: a proxy overwrites the one that it knows, and passes on what a client wrote into the other.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Final

Network = IPv4Network | IPv6Network
Address = IPv4Address | IPv6Address

LOOPBACK: Final = ("127.0.0.0/8", "::1/128")

FORWARDING: Final = ("forwarded", "x-forwarded-for", "x-real-ip", "via")
"""Headers (in lower case) that say that a request went through a proxy."""

NO_PROXY: Final[Mapping[str, str]] = {}
"""The headers of a request that says of no proxy."""

_FOR: Final = re.compile(r'(?:^|[;,\s])for\s*=\s*("(?:[^"\\]|\\.)*"|[^;,\s]*)', re.IGNORECASE)
_PORT: Final = re.compile(r":\d{1,5}$")


def parse_network(text: str) -> Network:
    """A network such as `10.0.0.0/8`, or one address.

    Raises:
        ValueError: with the reason alone.
    """
    try:
        return ip_network(text.strip())
    except ValueError as reason:
        words = str(reason)
        if "host bits set" in words:
            loose = ip_network(text.strip(), strict=False)
            raise ValueError(f"has bits beyond its prefix; did you mean {loose}?") from None
        raise ValueError("must be an address or a network, such as 10.0.0.0/8") from None


class Networks:
    """A set of networks. To ask for the same address again costs a look into a cache."""

    def __init__(self, networks: Iterable[str]) -> None:
        """Raises ValueError for what is no network."""
        self._networks = tuple(map(parse_network, networks))
        self.holds = lru_cache(maxsize=4096)(self._holds)  # 4 us each, for each request

    def _holds(self, address: str) -> bool:
        """Whether `address` is in one of the networks; False for what is no address."""
        ip = parse_address(address)
        return ip is not None and any(ip in network for network in self._networks)

    def __bool__(self) -> bool:
        return bool(self._networks)


def parse_address(text: str) -> Address | None:
    """IPv4, IPv6, or IPv4 in IPv6 as IPv4; None for what is no address. A zone (`%eth0`) is no part of it."""
    try:
        ip = ip_address(text.partition("%")[0])
    except ValueError:
        return None
    return getattr(ip, "ipv4_mapped", None) or ip


def is_forwarded(headers: Mapping[str, str]) -> bool:
    """Whether the request says that it went through a proxy."""
    return any(name in headers for name in FORWARDING)


def clients_of(peer: str, headers: Mapping[str, str], proxies: Networks) -> tuple[str, ...] | None:
    """The addresses that the client may have: each must be trusted for the client to be. Empty: it cannot be told.

    None: the request says of no proxy, so that `peer`, the address of the TCP connection, is the client's. `headers`
    are asked for names in lower case, and have repeated ones joined by commas.
    """
    if not headers or not is_forwarded(headers):
        return None
    if not proxies.holds(peer):
        return ()
    chains = [
        [_bare(value) for value in _FOR.findall(headers.get("forwarded", ""))],
        [_bare(value) for value in headers.get("x-forwarded-for", "").split(",") if value.strip()],
        [_bare(value) for value in headers.get("x-real-ip", "").split(",") if value.strip()],
    ]
    return tuple(_last_stranger(chain, proxies) for chain in chains if chain)


def _last_stranger(chain: list[str], proxies: Networks) -> str:
    """From the right: the first address that no trusted proxy has, or the leftmost."""
    for address in reversed(chain):
        if not proxies.holds(address):
            return address
    return chain[0]


def _bare(value: str) -> str:
    """An address without quotes, brackets and port: RFC 7239, section 6."""
    text = value.strip().strip('"').strip()
    if text.startswith("["):
        return text[1:].partition("]")[0]
    return _PORT.sub("", text) if text.count(":") == 1 else text
