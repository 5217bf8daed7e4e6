"""Which hosts requests may name, where the server listens on loopback only.

A page of a stranger can have its own name point to 127.0.0.1 once it is loaded (*DNS rebinding*). To the browser it
then speaks to the server that it came from, so neither the Origin policy nor CORS is in its way; and its connection
comes from this machine, which is trusted. Only the Host header tells, since a browser writes it and a page cannot: it
still has the stranger's name. So a server that is bound to loopback answers requests to a loopback host alone, and
421 (RFC 9110 section 15.5.20) to others.

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

REASON: Final = "must be localhost or a loopback address, where this server listens"


class HostPolicy:
    """Decides whether a request may go on by the host that it names. Pure, and never raises.

    `origins`: those that are listed as allowed. `bound_to_loopback`: whether the server listens there alone; if not,
    every host may be named.
    """

    def __init__(self, origins: Iterable[str], bound_to_loopback: bool) -> None:
        parsed = map(parse_origin, origins)
        self._listed = frozenset(origin.host for origin in parsed if origin is not None)
        self._is_strict = bound_to_loopback
        self._allows = lru_cache(maxsize=1024)(self._judge)  # 3 us, for each request

    def allows(self, host: str | None) -> bool:
        """Whether a request with this Host header may go on; None stands for a missing header."""
        return not self._is_strict or host is None or self._allows(host)

    def _judge(self, host: str) -> bool:
        name = parse_host(host)
        return name is not None and (name in self._listed or _is_loopback(name))

    def __repr__(self) -> str:
        return f"<HostPolicy {'loopback' if self._is_strict else 'any'}{' and listed' * bool(self._listed)}>"


def _is_loopback(name: str) -> bool:
    """Whether it is a loopback address in digits, or `localhost`. Other names are whatever a resolver says."""
    try:
        return ip_address(name.removeprefix("[").removesuffix("]")).is_loopback
    except ValueError:
        return name == "localhost"


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
