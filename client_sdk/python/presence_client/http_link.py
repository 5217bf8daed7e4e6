"""A link over REST: carries out what `RestLink` decides."""

import asyncio

from presence_client.attempts import End
from presence_client.http import Http
from presence_client.http_exchange import Call, Cancel
from presence_client.links import Events
from presence_client.rest_link import RestLink
from presence_protocol.close_codes import CloseCode
from presence_protocol.messages import AnyClientMessage
from presence_protocol.user_ids import NUMBER, IdKind


class HttpLink:
    """One connection made of requests over `http`, which is closed with it."""

    def __init__(self, http: Http, token: str | None, ids: IdKind = NUMBER) -> None:
        self._http = http
        self._token = token
        self._link = RestLink(ids)
        self._loop = asyncio.get_running_loop()
        self._requests: dict[int, asyncio.Task[None]] = {}
        self._ended: asyncio.Future[End] = self._loop.create_future()
        self._wake = asyncio.Event()
        self._events: Events | None = None

    def send(self, message: AnyClientMessage) -> None:
        self._link.send(message, self._loop.time())
        # Not from within: what is reported may lead to the next message.
        self._wake.set()

    def close(self, code: int, reason: str) -> None:
        if code != CloseCode.NORMAL:  # after a bye its answer is waited for
            self._link.stop()
            self._finish(End(code, reason))

    async def run(self, events: Events) -> End:
        self._events = events
        try:
            events.opened()
            while not self._ended.done():
                self._perform(events)
                await self._sleep()
                self._link.tick(self._loop.time())
            return self._ended.result()
        finally:
            requests = list(self._requests.values())
            for request in requests:
                request.cancel()
            await asyncio.gather(*requests, return_exceptions=True)
            await self._http.aclose()

    async def _sleep(self) -> None:
        """Until there is something to do."""
        deadline = self._link.deadline()
        try:
            async with asyncio.timeout_at(deadline):
                await self._wake.wait()
        except TimeoutError:
            pass
        self._wake.clear()

    def _perform(self, events: Events) -> None:
        while actions := self._link.take():
            for action in actions:
                match action:
                    case Call():
                        self._requests[action.number] = asyncio.create_task(self._request(action))
                    case Cancel(number):
                        if (request := self._requests.get(number)) is not None:
                            request.cancel()
                    case End():
                        self._finish(action)
                    case message:
                        events.received(message)

    async def _request(self, call: Call) -> None:
        try:
            answer = await self._http.exchange(call.method, call.path, call.body, call.timeout, self._token)
            self._link.answered(call.number, answer, self._loop.time())
        finally:
            self._requests.pop(call.number, None)
            self._wake.set()

    def _finish(self, end: End) -> None:
        if not self._ended.done():
            self._ended.set_result(end)
        self._wake.set()
