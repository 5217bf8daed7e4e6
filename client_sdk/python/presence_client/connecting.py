"""`connect`: how a client is put together from what a program says."""

import ssl
from collections.abc import Iterable, Mapping
from typing import Literal

from presence_client.address import Address
from presence_client.attempts import Policy
from presence_client.backoff import Backoff
from presence_client.client import TIMEOUT, PresenceClient
from presence_client.conversation import Kind
from presence_client.http import Http
from presence_client.http_link import HttpLink
from presence_client.identity import CLIENT, Identity
from presence_client.links import Link
from presence_client.route import Route
from presence_client.values import Token
from presence_client.websocket_link import CODECS, WebSocketLink
from presence_protocol.codec import codecs_of
from presence_protocol.messages import StatusName
from presence_protocol.user_ids import IdKindName, UserId, kind_of

Transport = Literal["auto", "websocket", "rest"]


def connect(
    url: str,
    *,
    user_id: UserId | None = None,
    device_id: str | None = None,
    platform: str | None = None,
    observer: bool = False,
    token: Token | None = None,
    watch: Iterable[UserId] = (),
    status: StatusName | None = None,
    codec: Literal["msgpack", "json"] = "msgpack",
    transport: Transport = "auto",
    open_timeout: float = TIMEOUT,
    timeout: float = TIMEOUT,
    backoff: Backoff = Backoff(),  # noqa: B008 - immutable
    headers: Mapping[str, str] | None = None,
    ssl: ssl.SSLContext | None = None,
    user_ids: IdKindName = "number",
) -> PresenceClient:
    """A client for the server at `url`, to be used as `async with connect(...) as client`.

    Args:
        url: `https://example.org`, or `http`, `ws`, `wss`; a path before `/api/v1/presence` is kept.
        user_id: of the kind that `user_ids` says: 1 to 2**53-1 unless it says otherwise.
        device_id: one per device, the same after a restart: a newer connection of it replaces an older one.
        platform: `WEB`, `IOS`, `ANDROID` or `PC`, or what else the server takes.
        observer: only watches and asks; nobody sees it, and the three above are left out.
        token: credentials, or a function, async or not, that gets them: see `Token`.
        watch: users to watch from the start.
        status: to begin with, unless the device's session is one that goes on; never set again on a reconnect.
        codec: the encoding on the wire.
        transport: `auto` falls back to REST where WebSockets are blocked (three failures between TCP and welcome),
            and tries WebSocket again after one minute, then two, up to sixteen.
        open_timeout: seconds that entering waits for the first connection; 0: it does not, and connects meanwhile.
        timeout: seconds that a call waits for a connection and its reply, unless the call says otherwise.
        backoff: how long to wait between tries, with full jitter.
        headers: for the upgrade and for REST alike, such as `Authorization` for a gateway.
        ssl: for `https` and `wss` alone, in place of the system's trust store.
        user_ids: the kind of user ids that the server speaks: `number`, `int64` (1 to 2**63-1, `int` here; digits in a
            string are taken as well) or `string`. If the server speaks another, the client stops and says so.

    Proxies are taken from the environment as curl takes them (`http_proxy`, `https_proxy`, `all_proxy`, `no_proxy`),
    for WebSocket and REST alike, but not for this machine's own addresses.

    Raises:
        InvalidSetting: `url`, `token`, `headers`, `ssl` or one of the proxies cannot be right.
        ValueError: another argument is missing or cannot be right. Entering raises NotConnected and ConnectionClosed.
    """
    route = Route(Address.parse(url), headers, ssl)
    if codec not in CODECS:
        raise ValueError(f"codec must be one of {', '.join(CODECS)}")
    try:
        ids = kind_of(user_ids)
    except ValueError as failure:
        raise ValueError(f"user_ids {failure}") from None
    json = codecs_of(ids)[0]
    wire = json if codec == "json" else codecs_of(ids)[1]
    policies = {
        "auto": Policy(backoff),
        "websocket": Policy(backoff, fallback_after=None),
        "rest": Policy(backoff, fallback_after=0, upgrade=None),
    }
    if transport not in policies:
        raise ValueError(f"transport must be one of {', '.join(policies)}")

    def links(kind: Kind, shown: str | None) -> Link:
        if kind is Kind.REST:
            return HttpLink(Http(route), shown, ids)
        return WebSocketLink(route, wire, json, has_token=shown is not None)

    return PresenceClient(
        Identity(user_id, device_id, platform, observer, status, ids=ids, client=CLIENT),
        links,
        token=token,
        watch=watch,
        open_timeout=open_timeout,
        timeout=timeout,
        policy=policies[transport],
    )
