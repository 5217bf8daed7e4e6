"""Which web pages may use this server: the Origin policy, and CORS for REST.

A browser names the page that makes a request in the ``Origin`` header and cannot be talked out of it, so the header
tells a page of ours from a stranger's. Anything that is not a browser sends none, and is nobody's concern here: who
a client *is* is the authenticator's question.

The rules, the first that fits decides:

1. no Origin: allowed, unless ``Sec-Fetch-Site`` says that another site's page is behind it;
2. ``*`` is listed: allowed;
3. the Origin is listed: allowed. ``null`` (a file, a sandboxed frame) is allowed in no other way than by these two;
4. the Origin's host and port are those of the Host header: allowed, with or without a list, since the page at ``/``
   must always be able to reach the server it came from;
5. no list is given, the server is bound to loopback and the Origin is a loopback one: allowed, whatever its port
   (a front end under development runs on a port of its own);
6. all else is foreign, and so is whatever cannot be read.

One policy serves the WebSocket handshake and REST alike.

A browser asks beforehand (a *preflight*) whether a page may send what a form could not: a method beyond GET and POST, a
header of its own, a content type beyond those of forms and text. So what a form could send is not taken from a page at
all: else each page could post without asking. ``Sec-Fetch-*`` (W3C Fetch Metadata) tells even where the Origin is
missing: a foreign page may link to this server, and nothing else.
"""

from __future__ import annotations

import ipaddress
import re
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

FOREIGN_SITES: Final = frozenset(("cross-site", "same-site"))
"""What ``Sec-Fetch-Site`` says of a request that another origin's page has caused. A browser that does not know the
header sends none."""

READING: Final = frozenset(("GET", "HEAD", "OPTIONS"))
_WITH_BODY: Final = frozenset(("POST", "PUT", "PATCH"))

ANY: Final = "*"
OPAQUE: Final = "null"

_DEFAULT_PORTS: Final = {"http": 80, "https": 443}
_SCHEME: Final = r"[A-Za-z][A-Za-z0-9+.-]*"
_HOST_PORT: Final = r"(?P<host>\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._~-]+)(?::(?P<port>[0-9]{1,5}))?"
_ORIGIN: Final = re.compile(rf"(?P<scheme>{_SCHEME})://{_HOST_PORT}")
_AUTHORITY: Final = re.compile(_HOST_PORT)
# Field names separated by commas, as a browser asks for them; nothing else is echoed.
_FIELD_NAMES: Final = re.compile(rb"[A-Za-z0-9!#$%&'*+.^_`|~-]+(?:[ \t]*,[ \t]*[A-Za-z0-9!#$%&'*+.^_`|~-]+)*")


class Origin(NamedTuple):
    """An origin in its one spelling: scheme and host in lower case, the port explicit where the scheme has one."""

    scheme: str
    host: str
    port: int | None

    @property
    def is_loopback(self) -> bool:
        return is_loopback_host(self.host)


def parse_origin(text: str) -> Origin | None:
    """Read ``scheme://host[:port]``; None if it is anything else (a path, a user name, ``null``, garbage)."""
    match = _ORIGIN.fullmatch(text)
    if match is None:
        return None
    scheme = match["scheme"].lower()
    place = _place(match, _DEFAULT_PORTS.get(scheme))
    return None if place is None else Origin(scheme, *place)


def parse_host(text: str) -> str | None:
    """The host that a Host header names, in its one spelling and without the port; None if it cannot be read."""
    match = _AUTHORITY.fullmatch(text)
    place = None if match is None else _place(match, None)
    return None if place is None else place[0]


def is_loopback_host(host: str) -> bool:
    """Whether a host name or address (IPv6 with or without brackets) means this machine and no other."""
    name = host.lower()
    if name == "localhost" or name.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(name.removeprefix("[").removesuffix("]")).is_loopback
    except ValueError:
        return False


def _place(match: re.Match[str], default_port: int | None) -> tuple[str, int | None] | None:
    """Host and port of a match, normalised; None if the address or the port cannot exist."""
    host = match["host"].lower()
    if host.startswith("["):
        try:
            host = f"[{ipaddress.IPv6Address(host[1:-1]).compressed}]"
        except ValueError:
            return None
    port = default_port if match["port"] is None else int(match["port"])
    if port is not None and port > 65535:
        return None
    return host, port


class OriginPolicy:
    """Decides whether the page behind an Origin header may use the server. Pure, and never raises.

    ``allowed``: origins (``scheme://host[:port]``), ``null`` or ``*``; empty means the default of rules 4 and 5
    above. Entries that cannot be read match nothing (the settings refuse them before they come here).
    ``bound_to_loopback``: whether the server listens on a loopback address only.
    """

    __slots__ = ("_any", "_listed", "_loopback", "_opaque")

    def __init__(self, allowed: tuple[str, ...], bound_to_loopback: bool) -> None:
        self._any = ANY in allowed
        self._opaque = OPAQUE in allowed
        self._listed = frozenset(origin for entry in allowed if (origin := parse_origin(entry)) is not None)
        self._loopback = bound_to_loopback and not allowed

    def allows(self, origin: str | None, host: str | None, site: str | None = None) -> bool:
        """Whether a request with these headers may go on: Origin, Host, Sec-Fetch-Site. None: it is missing."""
        if self._any:
            return True
        if origin is None:
            return site not in FOREIGN_SITES
        if origin == OPAQUE:
            return self._opaque
        parsed = parse_origin(origin)
        if parsed is None:
            return False
        return parsed in self._listed or _is_same_host(parsed, host) or (self._loopback and parsed.is_loopback)

    def __repr__(self) -> str:
        listed = sorted(f"{scheme}://{host}:{port}" for scheme, host, port in self._listed)
        extra = [ANY] * self._any + [OPAQUE] * self._opaque
        return f"<OriginPolicy {', '.join(extra + listed) or 'same host'}{' or loopback' * self._loopback}>"


def _is_same_host(origin: Origin, host: str | None) -> bool:
    """A Host header has no scheme, so its default port is that of the Origin: behind a proxy that ends TLS the
    server itself cannot know."""
    match = _AUTHORITY.fullmatch(host or "")
    return match is not None and _place(match, _DEFAULT_PORTS.get(origin.scheme)) == (origin.host, origin.port)


class CorsMiddleware:
    """CORS by an `OriginPolicy`, as pure ASGI around the REST application.

    A preflight of an allowed origin is answered here with 204. A foreign origin gets ``refuse``'s answer (403) to
    a preflight, to every method that may change something, and to what its page embeds; its other GETs are served,
    but without the headers that would let a page read them. A body that a page may send without a preflight, by its
    content type, gets ``refuse_type``'s (415), whatever page it is of. Every answer says ``Vary: Origin``, so that no
    cache hands the answer of one origin to another. Cookies are not used, hence credentials are never allowed. Other
    scopes than http pass untouched.
    """

    METHODS: Final = b"GET, POST, PUT, PATCH, DELETE"
    MAX_AGE: Final = b"600"
    EXPOSED: Final = b"Retry-After"

    def __init__(self, app: ASGIApp, policy: OriginPolicy, refuse: ASGIApp, refuse_type: ASGIApp) -> None:
        self._app = app
        self._policy = policy
        self._refuse = refuse
        self._refuse_type = refuse_type

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        origin, site = _header(scope, b"origin"), _text(_header(scope, b"sec-fetch-site"))
        method = scope["method"]
        allowed = self._policy.allows(_text(origin), _text(_header(scope, b"host")), site)
        asked = _header(scope, b"access-control-request-method") if method == "OPTIONS" else None
        if allowed and origin is not None and asked is not None:
            await self._answer_preflight(scope, origin, send)
            return
        heard = _adding(send, origin if allowed else None)
        is_refused = not allowed and (asked is not None or method not in READING or _is_embedded(scope, site))
        if is_refused or (
            method not in READING and _text(_header(scope, b"sec-fetch-mode")) in ("navigate", "no-cors")
        ):
            await self._refuse(scope, receive, heard)
        elif method in _WITH_BODY and not (origin is None and site is None) and not _is_json(scope):
            await self._refuse_type(scope, receive, heard)
        else:
            await self._app(scope, receive, heard)

    async def _answer_preflight(self, scope: Scope, origin: bytes, send: Send) -> None:
        headers = [
            (b"access-control-allow-origin", origin),
            (b"access-control-allow-methods", self.METHODS),
            (b"access-control-max-age", self.MAX_AGE),
            (b"vary", b"Origin, Access-Control-Request-Method, Access-Control-Request-Headers"),
        ]
        names = _header(scope, b"access-control-request-headers")
        if names is not None and _FIELD_NAMES.fullmatch(names):
            headers.append((b"access-control-allow-headers", names))
        await send({"type": "http.response.start", "status": 204, "headers": headers})
        await send({"type": "http.response.body", "body": b""})


def _adding(send: Send, origin: bytes | None) -> Send:
    """``send`` that adds ``Vary`` to the answer's head, and what lets a page of ``origin`` read it."""

    async def send_with_cors(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = [*message.get("headers", ()), (b"vary", b"Origin")]
            if origin is not None:
                headers.append((b"access-control-allow-origin", origin))
                headers.append((b"access-control-expose-headers", CorsMiddleware.EXPOSED))
            message = {**message, "headers": headers}
        await send(message)

    return send_with_cors


def _header(scope: Scope, name: bytes) -> bytes | None:
    """The header's value; several are joined, and what no browser would send is then foreign by being unreadable."""
    values = [value for key, value in scope["headers"] if key == name]
    return b", ".join(values) if values else None


def _is_embedded(scope: Scope, site: str | None) -> bool:
    """Whether a foreign page wants it for itself: all but a link that somebody follows."""
    if site not in FOREIGN_SITES:
        return False
    return (_header(scope, b"sec-fetch-mode"), _header(scope, b"sec-fetch-dest")) != (b"navigate", b"document")


def _is_json(scope: Scope) -> bool:
    """Whether the content type is one that no page can send without a preflight, as `rest.bodies` reads it."""
    given = _header(scope, b"content-type")
    return given is not None and given.partition(b";")[0].strip().lower() == b"application/json"


def _text(value: bytes | None) -> str | None:
    return None if value is None else value.decode("latin-1")
