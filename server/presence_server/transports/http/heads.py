"""What the head of a request asks for: its target, its body, and whether it may be believed (RFC 9112, 9110).

The parser has taken the lines apart. What it lets pass and must not be let pass, or is not done here, is refused here
once for every kind of request, handshakes included.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Final, NamedTuple
from urllib.parse import unquote

import httptools

if TYPE_CHECKING:
    from presence_server.application.allowances import TooMuch

Headers = list[tuple[bytes, bytes]]
"""In their order, names in lower case."""

MAX_LINES: Final = 1000
"""Header lines of a request; ten times what a browser sends behind two proxies. A head of 15,000 lines takes 6 ms."""

CHUNKED: Final = -1
"""As the length of a body: it comes in chunks."""

OF_INTEREST: Final = frozenset(
    (b"host", b"content-length", b"transfer-encoding", b"expect", b"connection", b"proxy-connection", b"upgrade")
)

_PLAIN: Final = re.compile(rb"/[!-\"$&->@-~]*")  # a path without query, fragment or escapes
_HOST: Final = re.compile(rb"[A-Za-z0-9._~!$&'()*+,;=:\[\]%-]*")
_DIGITS: Final = re.compile(rb"[0-9]{1,18}")
_CODINGS: Final = re.compile(rb"\r\ntransfer-encoding:([^\r\n]*)(?=\r\n)", re.IGNORECASE)
_CODING: Final = ("Transfer-Encoding", "must be chunked: nothing else is read here")
_SLASH: Final = re.compile("%2f", re.IGNORECASE)  # one that is data, and divides nothing (RFC 3986 section 2.2)


class BadHead(Exception):
    """A request that is refused by its head.

    Fields: the HTTP `status`, the `field` at fault, the `reason`, and further `headers` of the answer.
    """

    def __init__(self, status: int, field: str, reason: str, headers: Iterable[tuple[str, str]] = ()) -> None:
        super().__init__(status, field, reason)
        self.status = status
        self.field = field
        self.reason = reason
        self.headers = headers


def over_limit(over: TooMuch) -> BadHead:
    """A request that a limit refuses."""
    return BadHead(over.code, over.limit, over.reason, [("Retry-After", over.retry_after)])


class Target(NamedTuple):
    """`host`: that of an absolute URI, which goes before the header's; None where there is none."""

    path: str
    raw_path: bytes
    query: bytes
    host: bytes | None = None

    def below(self, root: str) -> Target:
        """This target as it is called below `root`, the path at which a proxy serves this server.

        One that is not below it stays as it is: some proxies take the path off themselves.
        """
        if not self.path.startswith(f"{root}/"):
            return self
        raw = self.raw_path
        return self._replace(path=self.path[len(root) :], raw_path=raw.removeprefix(root.encode("ascii")))


class Wishes(NamedTuple):
    """`length`: bytes of the body, or CHUNKED. `is_websocket`: an upgrade to one is asked for, maybe among others."""

    length: int = 0
    expects_continue: bool = False
    is_websocket: bool = False


def read_target(method: bytes, url: bytes) -> Target:
    """The target of a request, in origin or absolute form, or the asterisk of OPTIONS (RFC 9112 section 3.2).

    Raises:
        BadHead: it is none of these.
    """
    if _PLAIN.fullmatch(url):
        return Target(url.decode("ascii"), url, b"")
    if url == b"*" and method == b"OPTIONS":
        return Target("*", url, b"")
    try:
        parsed = httptools.parse_url(url)
    except httptools.HttpParserInvalidURLError:
        parsed = None
    if parsed is None or method == b"CONNECT" or parsed.userinfo or not (parsed.schema or url[:1] == b"/"):
        raise BadHead(400, "request", "has a target that cannot be read; a path or an absolute URI is expected")
    host = None
    if parsed.schema:
        host = parsed.host if parsed.port is None else b"%b:%d" % (parsed.host, parsed.port)
        if b":" in parsed.host:
            host = host.replace(parsed.host, b"[%b]" % parsed.host, 1)
    raw = parsed.path or b"/"
    try:
        path = raw.decode("ascii")
    except UnicodeDecodeError:
        raise BadHead(400, "request", "has a target that is not ASCII") from None
    return Target(unquote(_SLASH.sub("%252F", path)) if "%" in path else path, raw, parsed.query or b"", host)


def read_wishes(version: str, special: Sequence[tuple[bytes, bytes]]) -> Wishes:
    """What the headers OF_INTEREST, in their order, say beside the target.

    Raises:
        BadHead: 400, 501 or 505.
    """
    if version != "1.1" and version != "1.0":
        raise BadHead(505, "request", f"is of HTTP/{version}; HTTP/1.1 is spoken here")
    hosts = length = 0
    expects, tokens, offered = False, b"", b""
    codings: list[bytes] = []
    for name, value in special:
        if name == b"host":
            hosts += 1
            if not _HOST.fullmatch(value):
                raise BadHead(400, "Host", "is not host[:port]")
        elif name == b"content-length":
            if not _DIGITS.fullmatch(value.strip()):
                raise BadHead(400, "Content-Length", "is not a number of bytes")
            length = int(value)
        elif name == b"transfer-encoding":
            codings.append(value.strip().lower())
        elif name == b"expect":
            expects = expects or value.strip().lower() == b"100-continue"
        elif name == b"upgrade":
            offered += b"," + value.lower()
        else:
            tokens += b"," + value.lower()
    if hosts != 1 and (hosts or version == "1.1"):
        raise BadHead(400, "Host", "must be given once" if hosts else "is missing")
    if codings:
        if codings != [b"chunked"]:
            raise BadHead(501, *_CODING)
        length = CHUNKED
    upgrades = bool(offered) and b"upgrade" in _elements(tokens) and b"websocket" in _elements(offered)
    return Wishes(length, expects and version == "1.1", upgrades)


def _elements(values: bytes) -> list[bytes]:
    return [element.strip() for element in values.split(b",")]


def why_unread(head: bytes) -> BadHead | None:
    """What to say of a head that the parser gave up on, and that did say what it wants; None: it is not HTTP.

    The parser minds first that a coding comes with a length, or after `chunked`, before anybody is told of it.
    """
    codings = [value.strip().lower() for value in _CODINGS.findall(head)]
    return BadHead(501, *_CODING) if any(coding not in (b"", b"chunked") for coding in codings) else None


def with_host(headers: Headers, host: bytes) -> Headers:
    """The same headers for a request whose target names the host itself: that one holds (RFC 9112 section 3.2.2)."""
    return [(name, host if name == b"host" else value) for name, value in headers]
