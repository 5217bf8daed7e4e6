"""The application is asked who may see whom.

It is sent `{"viewer": 10001, "userIds": [10002, 10003]}`, 1,000 ids at most, and answers 200 with
`{"lenses": {"10002": "full", "10003": "coarse"}, "expiresIn": 60}`. Whoever it does not name is hidden. So is everybody
who was asked about while it fails or is silent: they are asked about again soon. What is known stands in `questions`.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any, Final

import httpx

from presence_server.application.keys import UserKeys
from presence_server.logs import get_logger
from presence_server.visibility.questions import Question, Questions

TIMEOUT: Final = 5.0
"""Seconds for a whole answer."""

MAX_ANSWER: Final = 262_144
MAX_ASKING: Final = 32
"""Questions on the wire at once; others wait for their turn."""

_log = get_logger(__name__)


class AskApplication(Questions):
    """Asks over HTTP. Belongs to one event loop from `start` to `stop`."""

    def __init__(self, url: str, keys: UserKeys, now: Callable[[], float]) -> None:
        super().__init__(keys, now)
        self._url = url
        self._client: httpx.AsyncClient | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._room = asyncio.Semaphore(MAX_ASKING)

    async def start(self) -> None:
        self._client = httpx.AsyncClient(timeout=TIMEOUT)

    async def stop(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._client is not None:
            await self._client.aclose()

    def can_send(self) -> bool:
        return self._client is not None

    def send(self, question: Question) -> None:
        task = asyncio.ensure_future(self._ask(question))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _ask(self, question: Question) -> None:
        try:
            async with self._room:
                answer = await self._answer(self.body_of(question))
        except (httpx.HTTPError, TimeoutError, ValueError, RecursionError) as failure:
            answer = failure
        try:
            self.answered(question, answer)
        except ValueError as refused:
            answer = refused
        if isinstance(answer, Exception):
            reason = str(answer) or type(answer).__name__
            _log.warning("the application does not say who may see whom", reason=reason)

    async def _answer(self, question: dict[str, Any]) -> Any:
        assert self._client is not None
        received = bytearray()
        async with asyncio.timeout(TIMEOUT), self._client.stream("POST", self._url, json=question) as answer:
            if answer.status_code != 200:
                raise ValueError(f"answered {answer.status_code}")
            async for chunk in answer.aiter_bytes():
                received += chunk
                if len(received) > MAX_ANSWER:
                    raise ValueError(f"answered more than {MAX_ANSWER} bytes")
        return json.loads(received)
