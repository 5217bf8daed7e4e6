"""Which addresses a webhook may connect to: those of the public Internet, unless its entry says `allow_private`.

Whoever may name a receiver could otherwise have this server ask what only it can reach: a database beside it, or the
cloud's metadata at 169.254.169.254. The check is of addresses, after the name was resolved, and the connection goes to
the very address that was checked: a name that resolves to another address a moment later (DNS rebinding) gains nothing.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable, Iterable, Sequence
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address
from typing import Any, Final

import httpcore

Resolve = Callable[[str, int], Awaitable[Sequence[str]]]
"""The addresses of a host name, for a port; raises OSError if there are none."""

_NAT64: Final = IPv6Network("64:ff9b::/96")
"""RFC 6052: what stands in its last 32 bits is connected to, if the network has such a translator."""

_COMPATIBLE: Final = IPv6Network("::/96")
"""RFC 4291, section 2.5.5.1: the old way to write IPv4 in IPv6."""


class RefusedAddress(Exception):
    """None of a name's addresses may be connected to. Its text is the reason."""


def refusal(text: str) -> str | None:
    """Why an address may not be connected to, in one word or two; None: it is public.

    Addresses that hold an IPv4 address (mapped, 6to4, Teredo, NAT64) are judged by that as well.
    """
    address = ip_address(text.partition("%")[0])
    if isinstance(address, IPv6Address):
        for inner in _inner(address):
            if (reason := _refusal(inner)) is not None:
                return reason
        if address.ipv4_mapped is not None or address in _NAT64:
            return None  # all that counts is what it stands for
    return _refusal(address)


def _inner(address: IPv6Address) -> Iterable[IPv4Address]:
    if address.ipv4_mapped is not None:
        yield address.ipv4_mapped
    if address.sixtofour is not None:
        yield address.sixtofour
    if address.teredo is not None:
        yield from address.teredo
    if address in _NAT64 or (address in _COMPATIBLE and int(address) > 1):
        yield IPv4Address(int(address) & 0xFFFF_FFFF)


def _refusal(address: IPv4Address | IPv6Address) -> str | None:
    for is_so, word in (
        (address.is_unspecified, "unspecified"),
        (address.is_loopback, "loopback"),
        (address.is_link_local, "link-local"),
        (address.is_multicast, "multicast"),
        (address.is_private or getattr(address, "is_site_local", False), "private"),
        (address.is_reserved or not address.is_global, "not public"),
    ):
        if is_so:
            return word
    return None


async def resolve(host: str, port: int) -> Sequence[str]:
    """As the system resolves names, in its order."""
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    # a link-local IPv6 address means nothing without its zone
    return list(dict.fromkeys(f"{at[0]}%{at[3]}" if len(at) == 4 and at[3] else str(at[0]) for *_, at in found))


class CheckedBackend(httpcore.AsyncNetworkBackend):
    """Opens connections for httpcore: resolves, checks, and connects to an address that was checked."""

    def __init__(self, allow_private: bool, resolve: Resolve = resolve) -> None:
        self._allow_private = allow_private
        self._resolve = resolve
        self._network = httpcore.AnyIOBackend()

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ASYNC109 - httpcore names it so
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        """Raises httpcore.ConnectError or ConnectTimeout, or RefusedAddress."""
        try:
            async with asyncio.timeout(timeout):
                return await self._connect(host, port, local_address, socket_options)
        except TimeoutError:
            raise httpcore.ConnectTimeout(f"no connection within {timeout} s") from None

    async def _connect(
        self, host: str, port: int, local_address: str | None, socket_options: Iterable[Any] | None
    ) -> httpcore.AsyncNetworkStream:
        failed: Exception | None = None
        for address in await self._allowed(host, port):
            try:
                return await self._network.connect_tcp(address, port, None, local_address, socket_options)
            except httpcore.ConnectError as failure:
                failed = failure
        raise failed or httpcore.ConnectError("the name has no address")

    async def _allowed(self, host: str, port: int) -> Sequence[str]:
        try:
            found = await self._resolve(host, port)
        except (OSError, UnicodeError) as failure:
            reason = failure.strerror if isinstance(failure, OSError) else str(failure)
            raise httpcore.ConnectError(f"the name cannot be resolved: {reason}") from None
        if self._allow_private:
            return found
        allowed = [address for address in found if refusal(address) is None]
        if found and not allowed:
            reason = f"the host's address {found[0]} is {refusal(found[0])}; allow_private = true would allow it"
            raise RefusedAddress(reason)
        return allowed

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)
