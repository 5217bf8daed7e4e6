"""HTTP to a presence server: one exchange, read from its envelope. The only place that knows the HTTP client."""

import ssl
from collections.abc import Mapping
from typing import Any, Final

import httpx
import msgspec

from presence_client.address import Address
from presence_client.rest_link import Answer
from presence_client.websocket_link import seconds_of, words_of

KEEPALIVE: Final = 3.0
"""Seconds that an idle connection is kept: less than the 5 s after which servers commonly close theirs."""


class _Envelope(msgspec.Struct):
    code: int
    message: str
    data: Any


_decode = msgspec.json.Decoder(_Envelope).decode
_encode = msgspec.json.Encoder().encode


class Http:
    """A pool of connections to one server. Close it with `aclose`."""

    def __init__(
        self, address: Address, headers: Mapping[str, str] | None = None, ssl_context: ssl.SSLContext | None = None
    ) -> None:
        self.address = address
        self._client = httpx.AsyncClient(
            base_url=address.rest,
            headers=dict(headers or {}),
            verify=True if ssl_context is None else ssl_context,
            trust_env=not address.is_local,
            limits=httpx.Limits(keepalive_expiry=KEEPALIVE),
        )

    async def aclose(self) -> None:
        """Close all connections."""
        await self._client.aclose()

    async def exchange(
        self, method: str, path: str, body: Mapping[str, Any] | None, seconds: float, token: str | None
    ) -> Answer:
        """Make a request and wait `seconds` for its answer. Never raises: what failed is in the answer.

        An answer that is no envelope has `data` None.
        """
        headers = {} if token is None else {"Authorization": f"Bearer {token}"}
        content = None
        if body is not None:
            headers["Content-Type"] = "application/json"
            content = _encode(body)
        try:
            response = await self._client.request(method, path, content=content, headers=headers, timeout=seconds)
        except (httpx.HTTPError, OSError) as failure:
            was_reached = not isinstance(failure, httpx.ConnectError | httpx.ConnectTimeout)
            reason = "no answer in time" if isinstance(failure, httpx.TimeoutException) else words_of(failure)
            return Answer(0, reason=reason, was_reached=was_reached)
        retry_after = seconds_of(response.headers.get("Retry-After"))
        try:
            envelope = _decode(response.content)
        except (ValueError, RecursionError):
            return Answer(response.status_code, None, response.reason_phrase, retry_after)
        return Answer(response.status_code, envelope.data, envelope.message, retry_after)
