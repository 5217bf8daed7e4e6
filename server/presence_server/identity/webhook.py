"""The application is asked who a token belongs to.

It is sent `{"token", "address", "userId"?, "deviceId"?}` and answers 200 with `{"userId": 10001, "expiresIn": 300}`
and optionally `device`, `platforms`, `observe`, `scopes` as in a token's claim `presence`; or 401 or 403, which is a
no. Anything else, and silence, is "come back later": never a yes.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from hashlib import sha256
from typing import Any, Final

import httpx

from presence_protocol.user_ids import Snowflake, UserId
from presence_server.application.principals import Denied, Principal
from presence_server.identity.claims import CLAIM, KNOWN, Rules, principal_of
from presence_server.identity.jwks import PLAIN
from presence_server.logs import get_logger

TIMEOUT: Final = 5.0
"""Seconds for a whole answer."""

MAX_ANSWER: Final = 65_536
MAX_LIFE: Final = 86_400.0
"""Seconds that an answer is believed, whatever it says."""

REMEMBERED: Final = 10_000
"""Answers that are remembered; the oldest goes first."""

MAX_ASKING: Final = 100
"""Questions under way at once; more tokens are told to come back."""

_log = get_logger(__name__)

Done = Callable[[Principal | Denied], None]

_UNAVAILABLE: Final = Denied(503, "it cannot be told now whose token it is")


class AskApplication:
    """Belongs to one event loop from `start` to `stop`."""

    def __init__(self, url: str, rules: Rules) -> None:
        self._url = url
        self._rules = rules
        self._client: httpx.AsyncClient | None = None
        self._asking: dict[bytes, tuple[asyncio.Task[None], list[Done]]] = {}
        self._remembered: dict[bytes, tuple[Principal, float]] = {}

    async def start(self) -> None:
        self._client = httpx.AsyncClient(timeout=TIMEOUT)

    async def stop(self) -> None:
        asking = [task for task, _ in self._asking.values()]
        for task in asking:
            task.cancel()
        await asyncio.gather(*asking, return_exceptions=True)
        if self._client is not None:
            await self._client.aclose()

    def verify(
        self, token: str, address: str, user_id: UserId | None, device_id: str | None, now: float, done: Done
    ) -> None:
        """Tell `done` whose token it is. `now` is in seconds since 1970. Questions about one token are asked once."""
        name = sha256(token.encode("utf-8", "surrogatepass")).digest()
        known = self._remembered.get(name)
        if known is not None:
            if known[1] > now:
                done(known[0])
                return
            del self._remembered[name]
        if name in self._asking:
            self._asking[name][1].append(done)
        elif len(self._asking) >= MAX_ASKING:
            done(_UNAVAILABLE)
        else:
            told = str(user_id) if type(user_id) is Snowflake else user_id
            question = {"token": token, "address": address, "userId": told, "deviceId": device_id}
            asked = {field: value for field, value in question.items() if value is not None}
            self._asking[name] = asyncio.create_task(self._ask(name, asked, now)), [done]

    async def _ask(self, name: bytes, question: dict[str, Any], now: float) -> None:
        made: Principal | Denied = _UNAVAILABLE
        try:
            made = self._principal(await self._answer(question), now)
        except (httpx.HTTPError, TimeoutError, ValueError, RecursionError) as failure:
            _log.warning("the application cannot be asked", reason=(str(failure) or type(failure).__name__)[:200])
        finally:
            _, waiting = self._asking.pop(name)
            if isinstance(made, Principal) and made.expires_at is not None:
                if len(self._remembered) >= REMEMBERED:
                    del self._remembered[next(iter(self._remembered))]
                self._remembered[name] = made, made.expires_at
            for done in waiting:
                done(made)

    async def _answer(self, question: dict[str, Any]) -> Any:
        assert self._client is not None
        received = bytearray()
        async with (
            asyncio.timeout(TIMEOUT),
            self._client.stream("POST", self._url, json=question, headers=PLAIN) as answer,
        ):
            if answer.status_code in (401, 403):
                return answer.status_code
            if answer.status_code != 200:
                raise ValueError(f"answered {answer.status_code}")
            async for chunk in answer.aiter_raw():
                received += chunk
                if len(received) > MAX_ANSWER:
                    raise ValueError(f"answered more than {MAX_ANSWER} bytes")
        return json.loads(received)

    def _principal(self, answer: Any, now: float) -> Principal | Denied:
        """The answer in the words of a token, so that one place reads both."""
        if answer in (401, 403):
            return Denied(answer, "the application says no")
        if not isinstance(answer, dict):
            raise ValueError("answered what is no object")
        life = answer.get("expiresIn")
        if isinstance(life, bool) or not isinstance(life, int | float) or life <= 0:
            raise ValueError("expiresIn must be a number of seconds")
        limits = {field: answer[field] for field in KNOWN if answer.get(field) is not None}
        claims = {"exp": now + min(life, MAX_LIFE), "iat": now, "sub": answer.get("userId"), CLAIM: limits}
        made = principal_of(claims, self._rules._replace(user_claim="sub", leeway=0.0), now)
        if isinstance(made, Denied):
            raise ValueError(f"answered what cannot be taken: {made.reason}")
        return made
