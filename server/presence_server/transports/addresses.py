"""The addresses of a connection, as its transport tells them."""

from __future__ import annotations

import asyncio
from typing import Final

LOCAL: Final = ("127.0.0.1", 0)
"""What a client at the Unix socket counts as: a process of this machine, as one at loopback is."""


def peer_of(transport: asyncio.BaseTransport) -> tuple[str, int] | None:
    """Address and port of the client; None if it is gone already."""
    address = transport.get_extra_info("peername")
    if isinstance(address, tuple):
        return address[0], address[1]
    # A Unix socket's client has no name, or one that it chose.
    return LOCAL if server_of(transport) is None else None


def server_of(transport: asyncio.BaseTransport) -> tuple[str, int] | None:
    """Address and port that the client came to; None at a Unix socket."""
    address = transport.get_extra_info("sockname")
    return (address[0], address[1]) if isinstance(address, tuple) else None


def is_tls(transport: asyncio.BaseTransport) -> bool:
    return transport.get_extra_info("sslcontext") is not None
