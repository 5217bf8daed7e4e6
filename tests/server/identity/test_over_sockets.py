"""Credentials over real sockets: who speaks, for whom, until when, and what everybody else is told."""

from __future__ import annotations

import asyncio
import json
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from presence_server.identity.service_keys import line_of, new_key, parse_scopes
from server.identity.keys import SECRET, sign
from support.server import Answer, Server, run_server

READER, WRITER, ADMIN = (new_key(lambda size, byte=byte: bytes([byte]) * size) for byte in (1, 2, 3))


def token(user_id: int, seconds: float = 600, **more: Any) -> str:
    now = time.time()
    return sign({"sub": str(user_id), "iat": now, "exp": now + seconds} | more)


def bearer(text: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {text}"}


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("keys") / "keys"
    scopes = ((READER, "read"), (WRITER, "write"), (ADMIN, "admin"))
    path.write_text("\n".join(line_of(scope, key, parse_scopes(scope)) for key, scope in scopes), "utf-8")
    return path


@pytest.fixture(scope="module")
def server(keys: Path) -> Iterator[Server]:
    with run_server(auth="jwt", jwt_key=SECRET, service_keys=keys, grace_period=2) as running:
        yield running


class Client:
    def __init__(self, connection: ClientConnection) -> None:
        self.connection = connection

    async def say(self, **message: Any) -> None:
        await self.connection.send(json.dumps(message))

    async def hear(self) -> Any:
        return json.loads(await asyncio.wait_for(self.connection.recv(), 20))

    async def hear_of(self, kind: str) -> Any:
        while (message := await self.hear())["type"] != kind:
            pass
        return message

    async def closed(self) -> int | None:
        try:
            while True:
                await self.hear()
        except ConnectionClosed:
            return self.connection.close_code


async def hello(server: Server, user_id: int | None, given: str | None, query: str = "", **more: Any) -> Client:
    connection = await connect(server.ws_url + query, proxy=None)
    who = {"observer": True} if user_id is None else {"userId": user_id, "deviceId": "d", "platform": "WEB"}
    client = Client(connection)
    await client.say(type="hello", **who, **({} if given is None else {"token": given}), **more)
    return client


def device(user_id: int, device_id: str = "d", platform: str = "WEB") -> dict[str, Any]:
    return {"userId": user_id, "deviceId": device_id, "platform": platform}


def refused(answer: Answer, status: int, field: str) -> None:
    assert answer.status == status
    assert answer.data["details"][0]["field"] == field


# -- REST ------------------------------------------------------------------------------------------------------------


def test_a_user_speaks_for_themselves_only(server: Server) -> None:
    ann = bearer(token(1))
    assert server.request("POST", "/online", device(1), ann).status == 200
    assert server.request("POST", "/heartbeat", device(1), ann).status == 200
    assert server.request("GET", "/status/1", None, ann).data["status"] == "ONLINE"
    assert server.request("PUT", "/status/1", {"status": "BUSY"}, ann).status == 200
    for method, path, body in (
        ("POST", "/online", device(2)),
        ("POST", "/heartbeat", device(2)),
        ("POST", "/offline", device(2)),
        ("PUT", "/status/2", {"status": "BUSY"}),
        ("DELETE", "/status/2", None),
    ):
        refused(server.request(method, path, body, ann), 403, "userId")
    assert server.request("POST", "/offline", device(1), ann).status == 200


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("POST", "/online", device(1)),
        ("POST", "/heartbeat", device(1)),
        ("GET", "/status/1", None),
        ("POST", "/status/batch", {"userIds": [1]}),
        ("POST", "/changes", {"userIds": [1]}),
        ("POST", "/ticket", None),
        ("POST", "/revoke", {"userId": 1}),
        ("POST", "/online", {"nonsense": True}),
    ],
)
def test_nobody_may_do_nothing_not_even_from_this_machine(server: Server, method: str, path: str, body: Any) -> None:
    answer = server.request(method, path, body)
    refused(answer, 401, "Authorization")
    assert answer.headers["WWW-Authenticate"] == "Bearer"
    refused(server.request(method, path, body, bearer("rubbish")), 401, "Authorization")
    refused(server.request(method, path, body, bearer(token(1, -60))), 401, "Authorization")


def test_a_service_does_what_its_scopes_say(server: Server) -> None:
    batch = {"userIds": [7]}
    assert server.request("POST", "/online", device(7), bearer(WRITER)).status == 200
    assert server.request("POST", "/status/batch", batch, bearer(READER)).data == [{"userId": 7, "status": "ONLINE"}]
    refused(server.request("POST", "/online", device(7), bearer(READER)), 403, "Authorization")
    refused(server.request("GET", "/status/7", None, bearer(WRITER)), 403, "Authorization")
    refused(server.request("POST", "/revoke", {"userId": 7}, bearer(WRITER)), 403, "Authorization")
    assert server.request("POST", "/offline", device(7), bearer(WRITER)).status == 200


def test_a_token_may_be_bound_to_a_device_and_platforms(server: Server) -> None:
    bound = bearer(token(3, presence={"device": "phone", "platforms": ["IOS"]}))
    refused(server.request("POST", "/online", device(3, "tablet", "IOS"), bound), 403, "deviceId")
    refused(server.request("POST", "/online", device(3, "phone", "WEB"), bound), 403, "platform")
    assert server.request("POST", "/online", device(3, "phone", "IOS"), bound).status == 200


def test_a_token_in_a_url_is_refused(server: Server) -> None:
    for name in ("token", "access_token"):
        refused(server.request("GET", f"/status/1?{name}={token(1)}", None, bearer(token(1))), 400, name)


# -- WebSocket -------------------------------------------------------------------------------------------------------


def test_hello_says_who_it_is(server: Server) -> None:
    async def story() -> None:
        ann = await hello(server, 11, token(11), watch=[12])
        assert (await ann.hear())["type"] == "welcome"
        assert await (await hello(server, 12, token(11))).closed() == 4403
        assert await (await hello(server, 11, None)).closed() == 4401
        assert await (await hello(server, 11, token(11, -60))).closed() == 4401
        assert await (await hello(server, None, token(11))).closed() == 4403
        observer = await hello(server, None, token(11, presence={"observe": True}), watch=[11])
        assert (await observer.hear())["type"] == "welcome"
        assert (await observer.hear())["statuses"][0]["status"] == "ONLINE"
        service = await hello(server, 13, WRITER)
        assert (await service.hear())["type"] == "welcome"
        await service.say(type="watch", id=1, userIds=[11])
        assert (await service.hear_of("error"))["code"] == 403
        for client in (ann, observer, service):
            await client.connection.close()

    asyncio.run(story())


def test_a_ticket_opens_a_websocket_once(server: Server) -> None:
    answer = server.request("POST", "/ticket", None, bearer(token(21)))
    assert answer.data["expiresIn"] == 30
    ticket = answer.data["ticket"]

    async def story() -> None:
        bob = await hello(server, 21, None, f"?ticket={ticket}")
        assert (await bob.hear())["type"] == "welcome"
        assert await (await hello(server, 21, None, f"?ticket={ticket}")).closed() == 4401
        with pytest.raises(InvalidStatus) as refusal:
            await connect(f"{server.ws_url}?token={token(21)}", proxy=None)
        assert refusal.value.response.status_code == 400
        await bob.connection.close()

    asyncio.run(story())


def test_a_token_that_ends_is_told_of_renewed_in_band_and_closed_with_4401(server: Server) -> None:
    async def story() -> None:
        watcher = await hello(server, 32, token(32), watch=[31])
        await watcher.hear_of("snapshot")
        ann = await hello(server, 31, token(31, 3))
        await ann.hear_of("welcome")
        assert (await watcher.hear_of("diff"))["changes"][0]["status"] == "ONLINE"
        assert 0 < (await ann.hear_of("expiring"))["inMs"] <= 1_600
        await ann.say(type="auth", id=1, token=token(99))
        assert (await ann.hear_of("error"))["error"] == "forbidden"
        await ann.say(type="auth", id=2, token="rubbish")
        assert (await ann.hear_of("error"))["error"] == "unauthenticated"
        await ann.say(type="auth", id=3, token=token(31, 3))
        assert (await ann.hear_of("ok"))["id"] == 3
        assert await ann.closed() == 4401
        again = await hello(server, 31, token(31))
        assert (await again.hear_of("welcome"))["continued"] is True  # nobody saw it go
        await again.say(type="bye")
        assert (await watcher.hear_of("diff"))["changes"][0]["status"] == "OFFLINE"
        await watcher.connection.close()

    asyncio.run(story())


def test_revoking_ends_connections_and_refuses_older_tokens(server: Server) -> None:
    async def story() -> None:
        old = token(41)
        ann = await hello(server, 41, old)
        await ann.hear_of("welcome")
        answer = server.request("POST", "/revoke", {"userId": 41}, bearer(ADMIN))
        assert answer.data == {"userId": 41, "connections": 1}
        assert await ann.closed() == 4401
        assert server.request("GET", "/status/41", None, bearer(READER)).data["status"] == "OFFLINE"
        assert await (await hello(server, 41, old)).closed() == 4401
        refused(server.request("POST", "/online", device(41), bearer(old)), 401, "Authorization")
        newer = await hello(server, 41, token(41, iat=time.time() + 1.5))
        assert (await newer.hear())["type"] == "welcome"
        await newer.connection.close()

    asyncio.run(story())


def test_a_key_that_is_added_is_good_after_sighup(tmp_path: Path) -> None:
    path = tmp_path / "keys"
    path.write_text("", "utf-8")
    with run_server(service_keys=path, trusted_networks="10.0.0.0/8") as server:
        assert server.request("GET", "/status/1", None, bearer(READER)).status == 401
        path.write_text(line_of("crm", READER, parse_scopes("read")), "utf-8")
        server.process.send_signal(signal.SIGHUP)
        give_up = time.monotonic() + 20
        while server.request("GET", "/status/1", None, bearer(READER)).status != 200:
            assert time.monotonic() < give_up
            time.sleep(0.02)
        path.write_text("rubbish", "utf-8")
        server.process.send_signal(signal.SIGHUP)
        while not any("service keys not read anew" in line for line in server.log):
            assert time.monotonic() < give_up
            time.sleep(0.02)
        assert server.request("GET", "/status/1", None, bearer(READER)).status == 200
