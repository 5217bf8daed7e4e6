"""HTTP to a presence server: one exchange, read from its envelope. The only place that knows the HTTP client."""

import asyncio
from collections.abc import Mapping
from typing import Any, Final, Protocol

import httpx
import msgspec

from presence_client.errors import InvalidSetting, UsageError
from presence_client.failures import epoch_of, seconds_of, words_of
from presence_client.http_exchange import HttpAnswer
from presence_client.redirects import MAX_REDIRECTS, redirect_of
from presence_client.route import USER_AGENT, Route
from presence_protocol.user_ids import told_in_json

KEEPALIVE: Final = 3.0
"""Seconds that an idle connection is kept: less than the 5 s after which servers commonly close theirs."""


SLACK: Final = 1.0
"""Seconds by which the limit of a whole exchange is longer than that of its parts, which know better what failed."""


_Pools = dict[tuple[bool, str], httpx.AsyncClient]


class _Envelope(msgspec.Struct):
    code: int
    message: str
    data: Any


_decode = msgspec.json.Decoder(_Envelope).decode
_encode = msgspec.json.Encoder(enc_hook=told_in_json).encode


class Exchanges(Protocol):
    """What makes requests: `Http`, or what stands in its place."""

    async def exchange(
        self, method: str, path: str, body: Mapping[str, Any] | None, seconds: float, token: str | None
    ) -> HttpAnswer:
        """Make a request to `path` below the base path, and wait `seconds` for its answer."""

    async def aclose(self) -> None:
        """Leave nothing behind."""


class Http:
    """A pool of connections by one route. Close it with `aclose`."""

    def __init__(self, route: Route) -> None:
        self.route = route
        # A connection belongs to its event loop: each has pools of its own, which are dropped when it has ended.
        self._pools: dict[asyncio.AbstractEventLoop, _Pools] = {}
        self._is_closed = False

    async def aclose(self) -> None:
        """Close all connections."""
        self._is_closed = True
        for client in self._pools.pop(asyncio.get_running_loop(), {}).values():
            await client.aclose()

    async def exchange(
        self, method: str, path: str, body: Mapping[str, Any] | None, seconds: float, token: str | None
    ) -> HttpAnswer:
        """Make a request and wait `seconds` for its answer. Never raises: what failed is in the answer.

        An answer that is no envelope has `data` None. A redirect is followed for GET (see `redirects`).

        Raises:
            UsageError: it was closed.
        """
        if self._is_closed:
            raise UsageError("it was closed: make another")
        try:
            # The HTTP client's own limit is for each read: whoever sends a byte now and then would hold it for ever.
            async with asyncio.timeout(seconds + SLACK):
                return await self._exchange(method, path, body, seconds, token)
        except TimeoutError:
            return HttpAnswer(0, reason="no answer in time")

    async def _exchange(
        self, method: str, path: str, body: Mapping[str, Any] | None, seconds: float, token: str | None
    ) -> HttpAnswer:
        headers = dict(self.route.headers)
        if token is not None:
            headers["authorization"] = f"Bearer {token}"
        content = None
        if body is not None:
            headers["content-type"] = "application/json"
            content = _encode(body)
        url = self.route.address.rest + path
        for _ in range(MAX_REDIRECTS):
            try:
                client = self._client_for(url)
                response = await client.request(method, url, content=content, headers=_raw(headers), timeout=seconds)
            except (httpx.HTTPError, httpx.InvalidURL, OSError, ValueError, RuntimeError, ImportError) as failure:
                return self._failed(url, failure)
            redirect = redirect_of(url, response.status_code, response.headers.get("Location"))
            if redirect is None:
                return _answer_of(response)
            if method != "GET" or not redirect.url:
                break
            url = redirect.url
            if not redirect.is_trusted:
                headers = {}
        return HttpAnswer(response.status_code, None, f"{response.reason_phrase}, {redirect}; use that URL")

    def _client_for(self, url: str) -> httpx.AsyncClient:
        """The pool for a URL's scheme and proxy: one, unless redirects lead elsewhere."""
        proxy = self.route.proxy_for(url)
        is_secure = url.startswith("https:") or (proxy is not None and proxy.is_secure)
        key = (is_secure, proxy.url if proxy else "")
        loop = asyncio.get_running_loop()
        if loop not in self._pools:
            self._pools = {each: pools for each, pools in self._pools.items() if not each.is_closed()}
        pools = self._pools.setdefault(loop, {})
        if key not in pools:
            tls = self.route.tls() if is_secure else None
            pools[key] = httpx.AsyncClient(
                headers={"user-agent": USER_AGENT},
                verify=tls or False,  # none is needed: a redirect to https is another pool's
                proxy=None if proxy is None else httpx.Proxy(proxy.url, ssl_context=tls if proxy.is_secure else None),
                trust_env=False,  # the route knows the proxies and the trust store
                limits=httpx.Limits(keepalive_expiry=KEEPALIVE),
            )
        return pools[key]

    def _failed(self, url: str, failure: Exception) -> HttpAnswer:
        if isinstance(failure, InvalidSetting):
            return HttpAnswer(0, reason=str(failure), was_reached=False)
        was_reached = not isinstance(failure, httpx.ConnectError | httpx.ConnectTimeout | httpx.ProxyError)
        reason = "no answer in time" if isinstance(failure, httpx.TimeoutException) else words_of(failure)
        proxy = self.route.proxy_for(url)
        if proxy is not None and not was_reached:
            reason = f"{reason} (by {proxy})"
        return HttpAnswer(0, reason=reason, was_reached=was_reached)


def _raw(headers: Mapping[str, str]) -> list[tuple[bytes, bytes]]:
    """In UTF-8, as the WebSocket's are; the HTTP client alone would take ASCII only."""
    return [(name.encode(), value.encode()) for name, value in headers.items()]


def _answer_of(response: httpx.Response) -> HttpAnswer:
    epoch = epoch_of(response.headers.get("Date"))
    retry_after = seconds_of(response.headers.get("Retry-After"), epoch)
    try:
        envelope = _decode(response.content)
    except (ValueError, RecursionError):
        return HttpAnswer(response.status_code, None, response.reason_phrase, retry_after, epoch=epoch)
    return HttpAnswer(response.status_code, envelope.data, envelope.message, retry_after, epoch=epoch)
