"""Keys that are fetched: cached, refetched for an unknown kid at most once in 10 s, kept when the source is down."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from presence_server.identity import jwks
from presence_server.identity.jwks import LEAST_PAUSE, MAX_BYTES, KeySet, fetch_of
from presence_server.identity.jwt_keys import VerifyingKey
from server.identity.keys import jwk


class Issuer:
    """Answers with its keys, and counts how often it is asked."""

    def __init__(self, *kids: str) -> None:
        self.kids = kids
        self.asked = 0
        self.now = 0.0
        self.is_down = False

    async def __call__(self) -> bytes:
        self.asked += 1
        await asyncio.sleep(0)
        if self.is_down:
            raise OSError("down")
        return json.dumps({"keys": [jwk("ec", kid=kid) for kid in self.kids]}).encode()


async def kids(keys: KeySet, kid: str | None) -> list[str | None] | None:
    found: asyncio.Future[tuple[VerifyingKey, ...] | None] = asyncio.get_running_loop().create_future()
    keys.find(kid, found.set_result)
    answer = await asyncio.wait_for(found, 5)
    return None if answer is None else [key.kid for key in answer]


def test_an_unknown_kid_is_asked_for_once_in_ten_seconds() -> None:
    async def run() -> None:
        issuer = Issuer("a")
        keys = KeySet(issuer, lambda: issuer.now, "issuer")
        await keys.refresh()
        assert await kids(keys, "a") == ["a"]
        assert await kids(keys, None) == ["a"]
        issuer.kids = ("a", "b")
        assert await kids(keys, "b") == ["b"]  # rotated right after the start
        assert issuer.asked == 2
        issuer.kids = ("a", "b", "c")
        assert [await kids(keys, "c") for _ in range(5)] == [[]] * 5  # just asked
        assert issuer.asked == 2
        issuer.now += LEAST_PAUSE
        assert await asyncio.gather(*(kids(keys, "c") for _ in range(50))) == [["c"]] * 50
        assert issuer.asked == 3
        assert [await kids(keys, f"made-up-{number}") for number in range(50)] == [[]] * 50
        assert issuer.asked == 3
        await keys.stop()

    asyncio.run(run())


def test_keys_are_kept_when_the_source_is_down() -> None:
    async def run() -> None:
        issuer = Issuer("a")
        keys = KeySet(issuer, lambda: issuer.now, "issuer")
        await keys.refresh()
        issuer.is_down = True
        issuer.now += 1_000
        await keys.refresh()
        assert await kids(keys, "a") == ["a"]
        issuer.now += 1_000
        assert await kids(keys, "b") == []

    asyncio.run(run())


def test_a_source_that_was_never_there_cannot_be_told() -> None:
    async def run() -> None:
        issuer = Issuer("a")
        issuer.is_down = True
        keys = KeySet(issuer, lambda: issuer.now, "issuer")
        await keys.refresh()
        assert await kids(keys, "a") is None
        issuer.is_down = False
        assert await kids(keys, "a") is None  # just asked
        issuer.now += LEAST_PAUSE
        assert await kids(keys, "a") == ["a"]

    asyncio.run(run())


def test_whoever_waits_is_answered_when_it_stops() -> None:
    async def run() -> None:
        async def never() -> bytes:
            await asyncio.Event().wait()
            return b""

        keys = KeySet(never, lambda: 0.0, "issuer")
        found: list[Any] = []
        keys.find("a", found.append)
        await asyncio.sleep(0)
        await keys.stop()
        assert found == [None]

    asyncio.run(run())


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        (b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % (MAX_BYTES + 9) + b"x" * (MAX_BYTES + 9), "larger"),
        (b"HTTP/1.1 302 Found\r\nLocation: /elsewhere\r\nContent-Length: 0\r\n\r\n", "answered 302"),
        (b"HTTP/1.1 500 Oh\r\nContent-Length: 0\r\n\r\n", "answered 500"),
    ],
)
def test_what_an_issuer_may_not_answer(answer: bytes, why: str) -> None:
    async def run() -> None:
        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            try:
                await reader.readuntil(b"\r\n\r\n")
                writer.write(answer)
                await writer.drain()
            except ConnectionError:
                pass  # the client has heard enough
            finally:
                writer.close()

        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        async with server:
            port = server.sockets[0].getsockname()[1]
            with pytest.raises(ValueError, match=why):
                await fetch_of(f"http://127.0.0.1:{port}/keys")()

    asyncio.run(run())


def test_a_file(tmp_path: Any) -> None:
    async def run() -> None:
        path = tmp_path / "keys.json"
        path.write_text(json.dumps({"keys": [jwk("ec", kid="a")]}), "utf-8")
        keys = KeySet(fetch_of(str(path)), lambda: 0.0, "file")
        await keys.refresh()
        assert await kids(keys, "a") == ["a"]
        path.write_text("x" * (jwks.MAX_BYTES + 1), "utf-8")
        await keys.refresh()
        assert await kids(keys, "a") == ["a"]

    asyncio.run(run())
