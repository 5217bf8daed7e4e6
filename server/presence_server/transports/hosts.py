"""Which hosts requests may name, where an address is all that is asked for to be trusted.

A page of a stranger can have its own name point to 127.0.0.1 once it is loaded (*DNS rebinding*). To the browser it
then speaks to the server that it came from, so neither the Origin policy nor CORS is in its way; and its connection
comes from a machine that is trusted. Only the Host header tells, since a browser writes it and a page cannot: it
still has the stranger's name. An address in digits cannot be rebound. So requests may name `localhost`, an address
(a loopback one, where the server listens there alone) or what is listed, and are answered 421 (RFC 9110 section
15.5.20) else.

The hosts of the origins that are listed as allowed may be named as well: their pages may use the server anyway. A
request without a Host comes from no browser.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from ipaddress import ip_address
from typing import TYPE_CHECKING, Final

from presence_server.transports.origins import parse_host, parse_origin

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Receive, Scope, Send

REASON: Final = "must be localhost or an address in digits, or be listed in allowed_hosts"


class HostPolicy:
    """Decides whether a request may go on by the host that it names. Pure, and never raises.

    `listed`: hosts that may be named, and `origins`: pages that are allowed, whose hosts may be named as well.
    `bound_to_loopback`: whether the server listens there alone, so that no other address is its own. `is_off`: every
    host may be named, as where credentials are asked for.
    """

    def __init__(
        self, origins: Iterable[str], bound_to_loopback: bool, listed: Iterable[str] = (), is_off: bool = False
    ) -> None:
        parsed = map(parse_origin, origins)
        pages = frozenset(origin.host for origin in parsed if origin is not None)
        self._listed = pages | frozenset(host.lower() for host in listed)
        self._loopback_only = bound_to_loopback
        self._is_off = is_off
        self._allows = lru_cache(maxsize=1024)(self._judge)  # 3 us, for each request

    def allows(self, host: str | None) -> bool:
        """Whether a request with this Host header may go on; None stands for a missing header."""
        return self._is_off or host is None or self._allows(host)

    def _judge(self, host: str) -> bool:
        name = parse_host(host)
        if name is None:
            return False
        if name in self._listed or name == "localhost":
            return True
        try:
            address = ip_address(name.removeprefix("[").removesuffix("]"))
        except ValueError:
            return False  # a name is whatever a resolver says
        return address.is_loopback or not self._loopback_only

    def __repr__(self) -> str:
        kind = "any" if self._is_off else "loopback" if self._loopback_only else "addresses"
        return f"<HostPolicy {kind}{' and listed' * bool(self._listed)}>"


class HostMiddleware:
    """Answers with `refuse` what names a host that it may not. Pure ASGI; other scopes than http pass untouched."""

    def __init__(self, app: ASGIApp, policy: HostPolicy, refuse: ASGIApp) -> None:
        self._app = app
        self._policy = policy
        self._refuse = refuse

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            named = [value for name, value in scope["headers"] if name == b"host"]
            if named and not self._policy.allows(b", ".join(named).decode("latin-1")):
                await self._refuse(scope, receive, send)
                return
        await self._app(scope, receive, send)
