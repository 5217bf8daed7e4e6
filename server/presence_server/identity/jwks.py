"""Keys that are fetched from the issuer: cached, refreshed in the background, kept while the issuer is down.

Nobody waits for a refresh but a token whose `kid` is not known yet, and for those the issuer is asked at most once in
ten seconds, however many come: else whoever makes up a `kid` would make us flood the issuer. What is fetched at the
start and in the background does not count: an issuer may rotate its keys a moment later.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Final

import httpx

from presence_server.identity.jwt_keys import UnusableKey, VerifyingKey, keys_of_set
from presence_server.logs import get_logger

REFRESH: Final = 300.0
"""Seconds between two refreshes in the background."""

LEAST_PAUSE: Final = 10.0
"""Seconds between two fetches for a `kid` that is not known."""

MAX_BYTES: Final = 1_048_576
"""Of a key set. Issuers with a hundred keys have 100 KB."""

TIMEOUT: Final = 5.0
"""Seconds for a whole fetch."""

MAX_WAITING: Final = 1_000
"""Tokens that may wait for one fetch; more are told to come back."""

PLAIN: Final = {"Accept-Encoding": "identity"}
"""Not compressed: 64 KB on the wire could become 64 MB here before a bound was looked at."""

_log = get_logger(__name__)

Fetch = Callable[[], Awaitable[bytes]]
Found = Callable[[tuple[VerifyingKey, ...] | None], None]


class KeySet:
    """The keys of one source. Belongs to one event loop from `start` to `stop`."""

    def __init__(self, fetch: Fetch, clock: Callable[[], float], name: str) -> None:
        """`clock` is monotonic, in seconds; `name` says in logs what is fetched, without credentials."""
        self.on_change: Callable[[], None] = _nobody_asks
        """Called when the keys are others than before: a key that is gone must verify nothing any more."""
        self._source = b""
        self._is_to_repeat = False
        self._fetch = fetch
        self._clock = clock
        self._name = name
        self._keys: tuple[VerifyingKey, ...] = ()
        self._asked_at = float("-inf")
        self._waiting: list[Found] = []
        self._fetching: asyncio.Task[None] | None = None
        self._refreshing: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Fetch once, and from then on in the background. A source that is down now may be there later."""
        await self.refresh()
        self._refreshing = asyncio.create_task(self._refresh_for_ever())

    async def stop(self) -> None:
        for task in (self._refreshing, self._fetching):
            if task is not None:
                task.cancel()
                await asyncio.gather(task, return_exceptions=True)
        self._answer(None)

    def find(self, kid: str | None, done: Found) -> None:
        """The keys that a token with `kid` may be verified with, at once or after a fetch.

        `done` gets none of them where the source does not know `kid`, and None where it cannot be told now.
        """
        found = self._named(kid)
        if found:
            done(found)
        elif self._clock() - self._asked_at < LEAST_PAUSE and self._fetching is None:
            done(() if self._keys else None)
        elif len(self._waiting) >= MAX_WAITING:
            done(None)
        else:
            self._waiting.append(lambda keys: done(None if keys is None else self._named(kid)))
            if self._fetching is None:
                self._asked_at = self._clock()
                self._fetching = asyncio.create_task(self._fetch_for_waiting())

    def _named(self, kid: str | None) -> tuple[VerifyingKey, ...]:
        """Without a `kid` every key may be the one; a key without one may be anybody's."""
        return tuple(key for key in self._keys if kid is None or key.kid is None or key.kid == kid)

    async def _fetch_for_waiting(self) -> None:
        try:
            await self.refresh()
        finally:
            self._fetching = None
            self._answer(self._keys or None)
        if self._is_to_repeat:
            self._is_to_repeat = False
            self.refresh_soon()

    def _answer(self, keys: tuple[VerifyingKey, ...] | None) -> None:
        waiting, self._waiting = self._waiting, []
        for done in waiting:
            done(keys)

    async def _refresh_for_ever(self) -> None:
        while True:
            # A source that has never answered is asked sooner.
            await asyncio.sleep(REFRESH if self._keys else LEAST_PAUSE)
            await self.refresh()

    def refresh_soon(self) -> None:
        """Fetch once more, in the background: the operator says that the keys are others."""
        if self._fetching is None:
            self._fetching = asyncio.create_task(self._fetch_for_waiting())
        else:
            self._is_to_repeat = True  # what is being fetched may be of before

    async def refresh(self) -> None:
        """Fetch the keys. What was there stays where the source is down or says what cannot be used."""
        try:
            source = await self._fetch()
            self._keys = keys_of_set(json.loads(source))
            if source != self._source:
                self._source = source
                self.on_change()
        except (OSError, ValueError, RecursionError, UnusableKey, httpx.HTTPError) as failure:
            reason = str(failure) or type(failure).__name__
            _log.warning("keys not fetched", source=self._name, reason=reason[:200], kept=len(self._keys))


def _nobody_asks() -> None:
    pass


def fetch_of(source: str) -> Fetch:
    """How `source` is fetched: a URL, or a file."""
    if source.startswith(("http://", "https://")):
        return _FromUrl(source)
    return _FromFile(Path(source.removeprefix("@")))


class _FromFile:
    def __init__(self, path: Path) -> None:
        self._path = path

    async def __call__(self) -> bytes:
        data = self._path.read_bytes()
        if len(data) > MAX_BYTES:
            raise ValueError(f"is larger than {MAX_BYTES} bytes")
        return data


class _FromUrl:
    def __init__(self, url: str) -> None:
        self._url = url

    async def __call__(self) -> bytes:
        """Redirects are not followed: they would let whoever answers once choose whom we believe."""
        received = bytearray()
        async with (
            asyncio.timeout(TIMEOUT),
            httpx.AsyncClient(timeout=TIMEOUT) as client,
            client.stream("GET", self._url, headers=PLAIN) as answer,
        ):
            if answer.status_code != 200:
                raise ValueError(f"answered {answer.status_code}")
            async for chunk in answer.aiter_raw():
                received += chunk
                if len(received) > MAX_BYTES:
                    raise ValueError(f"is larger than {MAX_BYTES} bytes")
        return bytes(received)
