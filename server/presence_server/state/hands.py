"""Who does what may take long: one thread, beside the event loop."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor

from presence_server.state.disk import Ended, Job


class ThreadHands:
    """`Hands` for an event loop. Belongs to the loop that is running when it is made."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._thread = ThreadPoolExecutor(1, "state")

    def submit(self, job: Job, ended: Ended) -> None:
        def done(future: Future[None]) -> None:
            failure = future.exception()
            if failure is not None and not isinstance(failure, OSError):
                raise failure  # a bug: the loop logs it
            ended(failure)

        self._thread.submit(job).add_done_callback(lambda future: self._call(done, future))

    def _call(self, done: Callable[[Future[None]], None], future: Future[None]) -> None:
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(done, future)

    def call_later(self, seconds: float, call: Callable[[], None]) -> None:
        if seconds > 0:
            self._loop.call_later(seconds, call)
        else:
            self._loop.call_soon(call)

    async def rest(self) -> None:
        """Wait for what is under way."""
        await self._loop.run_in_executor(self._thread, _nothing)
        await asyncio.sleep(0)  # for what is told of the last job

    async def close(self) -> None:
        """Wait for what is under way, and take nothing more on."""
        await self.rest()
        self._thread.shutdown()


def _nothing() -> None:
    """A job that is done once all before it are."""
