"""The opening handshake (RFC 6455 section 4.2): a request to upgrade in, the answer to it out.

**Nearly every request** that a browser, a phone or a library makes looks the same but for its key, and `usual` answers
it by itself: 10 us with all headers of a browser. **Whatever is unusual in any way**, and whatever is to be refused,
is left to the HTTP parser and websockets' `ServerProtocol`, of which the latter alone takes 49 us. The usual way must
never let in what the other would not.
"""

from __future__ import annotations

import re
from base64 import b64encode
from collections.abc import Mapping, Sequence
from functools import cache
from hashlib import sha1
from http import HTTPStatus
from typing import TYPE_CHECKING, Final, NamedTuple

from websockets.datastructures import Headers
from websockets.exceptions import NegotiationError
from websockets.http11 import Request, Response
from websockets.server import ServerProtocol
from websockets.typing import Subprotocol

from presence_protocol.close_codes import CloseCode
from presence_protocol.codec import CODECS
from presence_protocol.errors import FieldError
from presence_protocol.paths import WS_PATH
from presence_server.application.refusals import too_much
from presence_server.identity.networks import FORWARDING, NO_PROXY
from presence_server.transports.hosts import REASON
from presence_server.transports.rest.desk import ticket_of
from presence_server.transports.rest.envelope import Refusal, error_body, error_headers
from presence_server.transports.websocket.frames import FRAMERS, close_frame
from presence_server.transports.websocket.parsers import let_go

if TYPE_CHECKING:
    from presence_server.transports.entrance import Entrance
    from presence_server.transports.websocket.websockets import WebSockets

LONGEST: Final = 8 * 1024
"""Bytes of a usual head."""

HeaderLines = Sequence[tuple[bytes, bytes]]

_SUBPROTOCOLS: Final = {codec.subprotocol: number for number, codec in enumerate(CODECS)}


class Handshake(NamedTuple):
    """The answer, and of one that lets in: the number of the codec, whether to deflate, and who it may be.

    `forwarding`: the headers of proxies, by name; empty if there are none. `ticket`: as of `Peer`.
    """

    answer: bytes
    is_accepted: bool
    codec_number: int = 0
    authorization: str | None = None
    is_deflating: bool = False
    forwarding: Mapping[str, str] = NO_PROXY
    ticket: str | None = None
    status: int = 101


def checked(handshake: Handshake, address: str, entrance: Entrance) -> Handshake:
    """`handshake`, unless a limit of the client at `address` or of all is in the way.

    Whoever is over a limit of their own gets 429. Whoever comes while the server is busy is let in only to be told when
    to come back, and closed: a page is shown no answer to a handshake, but it is shown a message and a close code.
    """
    if not handshake.is_accepted:
        return handshake
    over = entrance.over_entering(address, handshake.forwarding)
    if over is None:
        return handshake
    if over.code == 429:
        refused = _refusal(over.code, over.limit, over.reason, {"Retry-After": over.retry_after})
        return Handshake(refused.serialize(), False)
    codec = CODECS[handshake.codec_number]
    told = FRAMERS[handshake.codec_number](codec.encode(too_much(over, None)))
    reason = f"{over.limit}: {over.reason}".encode()
    return Handshake(handshake.answer + told + close_frame(CloseCode.UNAVAILABLE, reason), False)


# -- the usual request -----------------------------------------------------------------------------------------------

_TOKEN: Final = r"[!#$%&'*+.^_`|~0-9A-Za-z-]+"
_HEADER: Final = rf"{_TOKEN}: ?[!-~](?:[ -~]*[!-~])?\r\n"
_KEY: Final = re.compile(r"[A-Za-z0-9+/]{21}[AQgw]==")  # 16 bytes in base64
_TOKENS: Final = re.compile(rf"{_TOKEN}(?:, {_TOKEN})*")
_HOST: Final = re.compile(r"[A-Za-z0-9._~%:\[\]-]+")
_CONNECTION: Final = {"upgrade", "keep-alive, upgrade"}
_UNUSUAL: Final = {"content-length", "transfer-encoding", "expect", "te", "trailer"}
_FORWARDING: Final = frozenset(FORWARDING)
_ACCEPTED: Final = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
_LISTS: Final = (b"sec-websocket-protocol", b"sec-websocket-extensions")
_SALT: Final = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"


@cache
def usual_head(root_path: str) -> re.Pattern[bytes]:
    """What the head of a usual request looks like, with or without the path at which a proxy serves this server."""
    root = f"(?:{re.escape(root_path)})?" if root_path else ""
    return re.compile(rf"GET {root}{WS_PATH} HTTP/1\.1\r\n(?:{_HEADER}){{4,64}}\r\n".encode())


def usual(data: bytes, shared: WebSockets) -> tuple[Handshake, bytes] | None:
    """The answer to a usual request that is let in, and what follows it in `data`; None: ask the others."""
    entrance = shared.entrance
    end = data.find(b"\r\n\r\n", 0, LONGEST) + 4
    if end < 4 or not usual_head(entrance.root_path).fullmatch(data, 0, end):
        return None
    headers: dict[str, str] = {}
    for line in data[:end].decode().split("\r\n")[1:-2]:
        name, _, value = line.partition(":")
        headers[name.lower()] = value.strip(" ")
    if len(headers) != data.count(b"\r\n", 0, end) - 2 or not _UNUSUAL.isdisjoint(headers):
        return None  # a header that comes twice, or a body
    get = headers.get
    key, offered = get("sec-websocket-key", ""), get("sec-websocket-protocol")
    if (
        get("upgrade", "").lower() != "websocket"
        or get("connection", "").lower() not in _CONNECTION
        or get("sec-websocket-version") != "13"
        or not _KEY.fullmatch(key)
        or (shared.extensions and "sec-websocket-extensions" in headers)
        or not (_HOST.fullmatch(get("host", "")) and entrance.hosts.allows(get("host")))
        or not (entrance.origins.allows(get("origin"), get("host"), get("sec-fetch-site")) and entrance.lets_in())
    ):
        return None
    subprotocol = None
    if offered is not None:
        subprotocol = _chosen(offered.split(", ")) if _TOKENS.fullmatch(offered) else None
        if subprotocol is None:
            return None
    accept = b"Sec-WebSocket-Accept: %b\r\n" % b64encode(sha1(key.encode() + _SALT, usedforsecurity=False).digest())
    chosen = b"" if subprotocol is None else b"Sec-WebSocket-Protocol: %b\r\n" % subprotocol.encode()
    answer = b"%b%b%b\r\n" % (_ACCEPTED, accept, chosen)
    codec_number, authorization = _codec_number(subprotocol), get("authorization")
    forwarding: Mapping[str, str] = NO_PROXY
    if not _FORWARDING.isdisjoint(headers):
        forwarding = {name: headers[name] for name in FORWARDING if name in headers}
    return Handshake(answer, True, codec_number, authorization, forwarding=forwarding), data[end:]


# -- any request -----------------------------------------------------------------------------------------------------


def shake_hands(method: bytes, target: bytes, version: str, headers: HeaderLines, shared: WebSockets) -> Handshake:
    """Answer a request to upgrade to a WebSocket. Names in `headers` are in lower case.

    Whether there is a place for it is not asked here.
    """
    request = _request(method, target, version, headers)
    ws = ServerProtocol(extensions=shared.extensions, select_subprotocol=select_subprotocol, logger=shared.logger)
    response = _response(ws, request, shared.entrance)
    let_go(ws)
    if response.status_code != 101:
        return Handshake(response.serialize(), False, status=response.status_code)
    return Handshake(
        response.serialize(),
        True,
        _codec_number(ws.subprotocol),
        request.headers.get("Authorization"),
        bool(ws.extensions),
        {name: ", ".join(request.headers.get_all(name)) for name in FORWARDING if name in request.headers},
        ticket_of(request.path.partition("?")[2].encode()),
    )


def _request(method: bytes, target: bytes, version: str, headers: HeaderLines) -> Request:
    """The request as websockets reads it. A list of nothing says nothing (RFC 9110 section 5.6.1).

    It asks for a WebSocket, maybe among other protocols, of which websockets bears none.
    """
    lines = Headers()
    for name, value in headers:
        if name == b"upgrade":
            continue
        if name not in _LISTS or value.strip(b" \t,"):
            lines[name.decode("ascii")] = value.decode("latin-1")
    lines["Upgrade"] = "websocket"
    return Request(target.decode("ascii"), lines, method.decode("ascii"), f"HTTP/{version}")


def _response(ws: ServerProtocol, request: Request, entrance: Entrance) -> Response:
    """101, or a refusal. What `ws` itself would answer is not for sending."""
    headers = request.headers
    if "Transfer-Encoding" in headers or headers.get("Content-Length", "0").strip(" 0"):
        return _refusal(400, "handshake", "is not a WebSocket handshake: it has a body")
    if not entrance.hosts.allows(_header(request, "Host")):
        return _refusal(421, "Host", REASON)
    path, _, query = request.path.partition("?")
    try:
        ticket_of(query.encode())
    except Refusal as refused:
        return _refusal(400, *refused.details[0])
    if path != WS_PATH:
        return _refusal(404, "path", f"the WebSocket is at {WS_PATH}")
    site = _header(request, "Sec-Fetch-Site")
    if not entrance.origins.allows(_header(request, "Origin"), _header(request, "Host"), site):
        return _refusal(403, "Origin", "is not allowed here")
    if not entrance.lets_in():
        return _refusal(503, "server", "is draining; connect elsewhere")
    versions = headers.get_all("Sec-WebSocket-Version")
    if request.method == "GET" and versions and versions != ["13"]:
        return _refusal(426, "Sec-WebSocket-Version", "must be 13")
    response = ws.accept(request)
    if response.status_code != 101:
        return _refusal(response.status_code, "handshake", str(ws.handshake_exc))
    return response


def _header(request: Request, name: str) -> str | None:
    """The only value of a header; one that is given twice is as good as garbage."""
    values = request.headers.get_all(name)
    return None if not values else ", ".join(values)


def _refusal(status: int, field: str, reason: str, extra: Mapping[str, str] = NO_PROXY) -> Response:
    """A refused handshake, with the REST endpoints' envelope."""
    body = error_body(status, [FieldError(field, reason)])
    headers = Headers({"Content-Type": "application/json", "Content-Length": str(len(body)), "Connection": "close"})
    if status == 405:
        headers["Allow"] = "GET"
    for name, value in (error_headers(status) | dict(extra)).items():
        headers[name] = value
    return Response(status, HTTPStatus(status).phrase, headers, body)


# -- subprotocols ----------------------------------------------------------------------------------------------------


def select_subprotocol(_protocol: ServerProtocol, offered: Sequence[Subprotocol]) -> Subprotocol | None:
    """The first of `offered` that we speak; None if nothing was offered.

    Raises:
        NegotiationError: only unknown ones were offered; the handshake is refused with 400.
    """
    chosen = _chosen(offered)
    if offered and chosen is None:
        raise NegotiationError(f"none of the offered subprotocols is known; known are {', '.join(_SUBPROTOCOLS)}")
    return None if chosen is None else Subprotocol(chosen)


def _chosen(offered: Sequence[str]) -> str | None:
    return next((subprotocol for subprotocol in offered if subprotocol in _SUBPROTOCOLS), None)


def _codec_number(subprotocol: str | None) -> int:
    """JSON's for whoever asked for nothing."""
    return 0 if subprotocol is None else _SUBPROTOCOLS[subprotocol]
