"""One attempt to hand a message to a receiver over HTTP.

Redirects are not followed: they would let whoever answers once choose where presence is sent. No more of an answer is
read than `MAX_ANSWER`: its status is all that counts. Proxies of the environment are not used: through one, no address
could be checked.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Final, NamedTuple

import httpcore

from presence_server import __version__
from presence_server.webhooks.addresses import CheckedBackend, RefusedAddress, Resolve, resolve
from presence_server.webhooks.file import Webhook

TIMEOUT: Final = 15.0
"""Seconds for a whole attempt; Standard Webhooks advises 15 to 30."""

CONNECT_TIMEOUT: Final = 5.0
"""Seconds to resolve the name and connect, of the above."""

MAX_ANSWER: Final = 65_536
"""Bytes of an answer that are read; then the connection is closed."""

IDLE: Final = 15.0
"""Seconds for which a connection is kept open for the next message."""

HEADERS: Final = {
    "User-Agent": f"presence-server/{__version__}",
    "Content-Type": "application/json",
    "Accept-Encoding": "identity",
}


class Outcome(NamedTuple):
    """What came of an attempt. `status` 0: no answer. `reason` is empty if the receiver has it."""

    status: int = 0
    reason: str = ""
    retry_after: str | None = None

    @property
    def is_received(self) -> bool:
        return not self.reason


class Posting:
    """The connection to one receiver: kept between messages, and made anew after whatever went wrong."""

    def __init__(
        self,
        webhook: Webhook,
        trust: Callable[[], ssl.SSLContext],
        timeout: float = TIMEOUT,
        resolve: Resolve = resolve,
    ) -> None:
        """`trust` gives the certificates that are believed; it is asked for https only."""
        self._webhook = webhook
        self._trust = trust
        self._timeout = timeout
        self._backend = CheckedBackend(webhook.allow_private, resolve)
        self._pool: httpcore.AsyncConnectionPool | None = None

    async def post(self, headers: Mapping[str, str], body: bytes) -> Outcome:
        try:
            async with asyncio.timeout(self._timeout):
                return await self._post(headers, body)
        except TimeoutError:
            outcome = Outcome(reason=f"did not answer within {self._timeout:g} seconds")
        except RefusedAddress as refused:
            outcome = Outcome(reason=str(refused))
        except (httpcore.NetworkError, httpcore.TimeoutException, httpcore.ProtocolError) as failure:
            outcome = Outcome(reason=_words(failure))
        except (OSError, ssl.SSLError, ValueError) as failure:
            outcome = Outcome(reason=_words(failure))
        # A connection of which nobody knows what state it is in is not used again.
        await self.close()
        return outcome

    async def _post(self, headers: Mapping[str, str], body: bytes) -> Outcome:
        if self._pool is None:
            self._pool = httpcore.AsyncConnectionPool(
                self._trust() if self._webhook.url.startswith("https") else None,
                max_connections=1,
                keepalive_expiry=IDLE,
                network_backend=self._backend,
            )
        left = dict.fromkeys(("read", "write", "pool"), self._timeout) | {"connect": CONNECT_TIMEOUT}
        written = [(name.encode(), value.encode()) for name, value in {**HEADERS, **headers}.items()]
        async with self._pool.stream(
            "POST", self._webhook.url, headers=written, content=body, extensions={"timeout": left}
        ) as answer:
            received = 0
            async for chunk in answer.aiter_stream():
                received += len(chunk)
                if received > MAX_ANSWER:
                    break  # to leave it unread closes the connection
            return _outcome(answer)

    async def close(self) -> None:
        pool, self._pool = self._pool, None
        if pool is not None:
            with suppress(Exception):
                await asyncio.wait_for(pool.aclose(), 1.0)


def _outcome(answer: httpcore.Response) -> Outcome:
    status = answer.status
    if 200 <= status < 300:
        return Outcome(status)
    found = [value for name, value in answer.headers if name.lower() == b"retry-after"]
    redirect = "; redirects are not followed" if 300 <= status < 400 else ""
    return Outcome(status, f"answered {status}{redirect}", found[0].decode("latin-1") if found else None)


def _words(failure: BaseException) -> str:
    """The innermost reason that says something, in one line, cut short."""
    said = [str(failure)]
    cause = failure.__cause__ or failure.__context__
    while cause is not None:
        said.append(str(cause))
        cause = cause.__cause__ or cause.__context__
    text = next((one for one in reversed(said) if one), type(failure).__name__)
    return " ".join(text.split())[:200]
