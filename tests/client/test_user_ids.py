"""User ids of each kind through the SDK: on JSON, msgpack and REST alike, and a kind that is not the server's."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any, Literal

import pytest

from presence_client import ConnectionClosed, PresenceApi, UnexpectedAnswer, connect
from presence_client.testing import FakePresenceServer
from support.server import Server, run_server

IDS: dict[str, tuple[Any, Any]] = {"int64": (1, 2**63 - 1), "string": ("ann", "bob 用户")}
Kind = Literal["number", "int64", "string"]


@pytest.fixture(scope="module", params=IDS)
def server(request: pytest.FixtureRequest) -> Iterator[tuple[Kind, Server]]:
    with run_server(user_ids=request.param, grace_period=1) as running:
        yield request.param, running


@pytest.mark.parametrize(("codec", "transport"), [("json", "websocket"), ("msgpack", "websocket"), ("json", "rest")])
def test_the_same_users_on_every_way(
    server: tuple[Kind, Server], codec: Literal["json", "msgpack"], transport: Literal["websocket", "rest"]
) -> None:
    kind, running = server
    ann, bob = IDS[kind]

    async def meet() -> None:
        async with (
            connect(
                running.url, user_id=ann, device_id="a", platform="WEB", watch=[bob], codec=codec,
                transport=transport, user_ids=kind,
            ) as watcher,
            PresenceApi(running.url, user_ids=kind) as api,
        ):  # fmt: skip
            changes = watcher.changes()
            summary = await api.online(bob, f"{codec}{transport}", "PC")
            assert summary.user_id == bob
            async with asyncio.timeout(20):
                async for change in changes:
                    assert change.user_id == bob
                    if change.status == "ONLINE":
                        break
            assert watcher.view[bob].platforms == ["PC"]
            assert (await watcher.query(bob))[0].user_id == bob
            assert (await api.status(bob)).user_id == bob
            assert [user.user_id for user in await api.statuses([ann, bob])] == [ann, bob]
            assert [entry.user_id for entry in (await api.changes([bob])).changes] == [bob]
            await api.offline(bob, f"{codec}{transport}")

    asyncio.run(meet())


@pytest.mark.parametrize("codec", ["json", "msgpack"])
def test_a_client_of_another_kind_says_so_at_once(
    server: tuple[Kind, Server], codec: Literal["json", "msgpack"]
) -> None:
    kind, running = server

    async def observe() -> None:
        client = connect(running.url, observer=True, codec=codec)
        with pytest.raises(ConnectionClosed, match=f"this client's number: pass user_ids='{kind}'"):
            await client.start()

    async def be_there() -> None:
        client = connect(running.url, user_id=1, device_id="d", platform="WEB", codec=codec)
        with pytest.raises(ConnectionClosed, match=r"user_ids=|userId: must be"):
            await client.start()

    asyncio.run(observe())
    asyncio.run(be_there())


@pytest.mark.parametrize("who", [{"observer": True}, {"user_id": 1, "device_id": "r", "platform": "WEB"}])
def test_over_rest_as_well(server: tuple[Kind, Server], who: dict[str, Any]) -> None:
    async def be_there() -> None:
        client = connect(server[1].url, transport="rest", watch=[2], **who)
        with pytest.raises(ConnectionClosed, match=r"user_ids|userIds?(\[0\])?: must be"):
            await client.start()

    async def ask() -> None:
        async with PresenceApi(server[1].url) as api:
            with pytest.raises(UnexpectedAnswer, match="not of the kind number: pass user_ids"):
                await api.status(1)

    asyncio.run(be_there())
    asyncio.run(ask())


@pytest.mark.parametrize("codec", ["json", "msgpack"])
@pytest.mark.parametrize("kind", IDS)
def test_the_fake_server_speaks_every_kind(kind: Kind, codec: Literal["json", "msgpack"]) -> None:
    ann, bob = IDS[kind]

    async def meet() -> None:
        async with FakePresenceServer(user_ids=kind) as fake:
            fake.set(bob, "BUSY")
            async with fake.connect(user_id=ann, watch=[bob], codec=codec) as client:
                assert client.view[bob].status == "BUSY"
                assert client.view[bob].user_id == bob

    asyncio.run(meet())


@pytest.mark.parametrize(
    ("kind", "user_id", "reason"),
    [
        ("number", "ann", "user_id must be an integer from 1 to 9007199254740991"),
        ("int64", 2**63, "user_id must be an integer from 1 to 9223372036854775807, or its digits in a string"),
        ("int64", "007", "user_id must be an integer from 1 to 9223372036854775807, or its digits in a string"),
        ("string", 1, "user_id must be a string of 1 to 64 characters"),
        ("string", "a/b", r"user_id must not hold U\+002F, a slash"),
        ("uuid", 1, "user_ids must be one of number, int64, string"),
    ],
)
def test_what_is_no_id_is_refused_before_anything_is_sent(kind: Kind, user_id: Any, reason: str) -> None:
    with pytest.raises(ValueError, match=f"^{reason}$"):
        connect("http://127.0.0.1:9", user_id=user_id, device_id="d", platform="WEB", user_ids=kind)
