"""The application is asked: once for a token, for as long as it says, and silence is never a yes."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from presence_server.application.principals import Denied, Principal
from presence_server.identity import webhook
from presence_server.identity.claims import Rules
from presence_server.identity.webhook import AskApplication

NOW = 1_700_000_000.0


def user_id(raw: Any) -> int:
    if type(raw) is not int:
        raise ValueError("must be an integer")
    return raw


class Application:
    def __init__(self, status: int, answer: Any) -> None:
        self.status = status
        self.answer = answer
        self.asked: list[dict[str, Any]] = []

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = await reader.readuntil(b"\r\n\r\n")
            length = int(head.lower().partition(b"content-length:")[2].split(b"\r\n")[0])
            self.asked.append(json.loads(await reader.readexactly(length)))
            body = self.answer if isinstance(self.answer, bytes) else json.dumps(self.answer).encode()
            writer.write(b"HTTP/1.1 %d X\r\nContent-Length: %d\r\nConnection: close\r\n\r\n" % (self.status, len(body)))
            writer.write(body)
            await writer.drain()
        except ConnectionError:
            pass  # the server has heard enough
        finally:
            writer.close()


def ask(application: Application, use: Callable[[Callable[..., Awaitable[Any]]], Awaitable[None]]) -> None:
    async def run() -> None:
        server = await asyncio.start_server(application.serve, "127.0.0.1", 0)
        async with server:
            asker = AskApplication(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/who", Rules(user_id))
            await asker.start()

            async def verify(token: str, now: float = NOW) -> Principal | Denied:
                made: asyncio.Future[Principal | Denied] = asyncio.get_running_loop().create_future()
                asker.verify(token, "9.9.9.9", 1, "d", now, made.set_result)
                return await asyncio.wait_for(made, 10)

            try:
                await use(verify)
            finally:
                await asker.stop()

    asyncio.run(run())


def test_it_is_asked_once_for_as_long_as_it_says() -> None:
    application = Application(200, {"userId": 1, "expiresIn": 60, "device": "d"})

    async def use(verify: Callable[..., Awaitable[Any]]) -> None:
        made = await asyncio.gather(*(verify("t") for _ in range(20)))
        assert {one.user_id for one in made} == {1}
        assert (made[0].device_id, made[0].expires_at) == ("d", NOW + 60)
        await verify("t", NOW + 59)
        assert len(application.asked) == 1
        await verify("t", NOW + 60)
        assert len(application.asked) == 2

    ask(application, use)
    assert application.asked[0] == {"token": "t", "address": "9.9.9.9", "userId": 1, "deviceId": "d"}


@pytest.mark.parametrize("status", [401, 403])
def test_a_no_is_a_no(status: int) -> None:
    async def use(verify: Callable[..., Awaitable[Any]]) -> None:
        assert (await verify("t")).status == status

    ask(Application(status, {}), use)


@pytest.mark.parametrize(
    ("status", "answer"),
    [
        (500, {}),
        (302, {}),
        (204, b""),
        (200, b"yes"),
        (200, True),
        (200, {"userId": 1}),
        (200, {"userId": 1, "expiresIn": True}),
        (200, {"userId": "1", "expiresIn": 60}),
        (200, {"expiresIn": 60}),
        (200, {"userId": 1, "expiresIn": 60, "platforms": "IOS"}),
        (200, b"[" * (webhook.MAX_ANSWER + 1)),
        (200, b"[" * 50_000),
    ],
)
def test_what_it_should_not_answer_is_no_yes(status: int, answer: Any) -> None:
    async def use(verify: Callable[..., Awaitable[Any]]) -> None:
        made = await verify("t")
        assert isinstance(made, Denied)
        assert made.status == 503

    ask(Application(status, answer), use)


def test_nobody_there_is_no_yes() -> None:
    async def run() -> None:
        server = await asyncio.start_server(lambda _reader, _writer: None, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        server.close()
        await server.wait_closed()
        asker = AskApplication(f"http://127.0.0.1:{port}/", Rules(user_id))
        await asker.start()
        made: asyncio.Future[Principal | Denied] = asyncio.get_running_loop().create_future()
        asker.verify("t", "9.9.9.9", None, None, NOW, made.set_result)
        assert (await asyncio.wait_for(made, 10))[0] == 503
        await asker.stop()

    asyncio.run(run())
