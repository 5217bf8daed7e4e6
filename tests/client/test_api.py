"""The REST endpoints for back ends, where servers, tokens and event loops are not as they should be."""

from __future__ import annotations

import asyncio
import gc
import warnings
from collections.abc import Awaitable

import pytest

from presence_client import PresenceApi, SignedOut, Unreachable, UsageError
from support.server import run_server


def play(story: Awaitable[None]) -> None:
    async def bounded() -> None:
        async with asyncio.timeout(20):
            await story

    asyncio.run(bounded())


def test_it_may_be_used_over_several_runs() -> None:
    with run_server() as server, warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)  # a run leaves a connection, which ends with its event loop
        api = PresenceApi(server.url)

        async def ask() -> None:
            for _ in range(2):
                assert (await api.status(1)).status == "OFFLINE"

        async def ask_and_close() -> None:
            await ask()
            await api.aclose()

        play(ask())
        play(ask())
        play(ask_and_close())
        with pytest.raises(UsageError, match="closed"):
            play(ask())
        gc.collect()


def test_a_token_that_never_settles_is_not_waited_for() -> None:
    async def token() -> str:
        await asyncio.Event().wait()
        return "t"

    async def story() -> None:
        async with PresenceApi("http://127.0.0.1:9", token=token, timeout=0.05) as api:
            with pytest.raises(Unreachable, match="no token in time"):
                await api.status(1)

    play(story())


def test_whoever_is_signed_out_asks_nothing() -> None:
    async def story() -> None:
        async with PresenceApi("http://127.0.0.1:9", token=lambda: None) as api:
            with pytest.raises(SignedOut):
                await api.status(1)

    play(story())


def test_an_answer_that_trickles_is_not_waited_for_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("presence_client.http.SLACK", 0.1)

    async def story() -> None:
        async def trickle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            try:
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")
                while not reader.at_eof():
                    writer.write(b" ")
                    await writer.drain()
                    await asyncio.sleep(0.02)
            except ConnectionError:
                pass
            finally:
                writer.close()

        async with await asyncio.start_server(trickle, "127.0.0.1", 0) as server:
            url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
            async with PresenceApi(url, timeout=0.2) as api, asyncio.timeout(5):
                with pytest.raises(Unreachable, match="no answer in time"):
                    await api.status(1)
            await asyncio.sleep(0.05)

    play(story())
