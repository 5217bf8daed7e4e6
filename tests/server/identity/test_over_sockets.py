"""Credentials over real sockets: who speaks, for whom, until when, and what everybody else is told."""

from __future__ import annotations

import asyncio
import json
import signal
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import jwt
import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from presence_server.identity.service_keys import line_of, new_key, parse_scopes
from server.identity.keys import SECRET, jwk, private_key, public_pem, sign
from support.application import application
from support.server import Answer, Server, run_server

READER, WRITER, ADMIN = (new_key(lambda size, byte=byte: bytes([byte]) * size) for byte in (1, 2, 3))

LEEWAY = 5
"""Seconds that a token is good for beyond its `exp`, as `--jwt-leeway` is without a setting."""


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


def wait_until(is_so: Callable[[], bool], seconds: float = 20) -> None:
    give_up = time.monotonic() + seconds
    while not is_so():
        assert time.monotonic() < give_up
        time.sleep(0.02)


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
    await client.say(type="hello", **(who | ({} if given is None else {"token": given}) | more))
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


def test_a_token_within_its_leeway_is_good_on_every_path_until_the_leeway_is_over(server: Server) -> None:
    async def story() -> None:
        past_its_end = token(33, 2 - LEEWAY)
        ends = time.time() + 2
        ann = await hello(server, 33, past_its_end)
        await ann.hear_of("welcome")
        assert server.request("GET", "/status/33", None, bearer(past_its_end)).status == 200
        bob = await hello(server, 34, token(34))
        await bob.hear_of("welcome")
        await bob.say(type="auth", id=1, token=token(34, 2 - LEEWAY))
        assert (await bob.hear_of("ok"))["id"] == 1
        for client in (ann, bob):
            assert await client.closed() == 4401
            assert time.time() >= ends

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


def test_revoking_a_device_ends_it_and_leaves_the_others(server: Server) -> None:
    async def story() -> None:
        old, bound = token(42), token(42, presence={"device": "phone", "observe": True})
        phone, laptop = await hello(server, 42, old, deviceId="phone"), await hello(server, 42, old, deviceId="laptop")
        observer = await hello(server, None, bound)
        for client in (phone, laptop, observer):
            await client.hear_of("welcome")
        answer = server.request("POST", "/revoke", {"userId": 42, "deviceId": "phone"}, bearer(ADMIN))
        assert answer.data == {"userId": 42, "connections": 2}
        assert [await phone.closed(), await observer.closed()] == [4401, 4401]
        assert await (await hello(server, 42, old, deviceId="phone")).closed() == 4401
        for path in ("/online", "/heartbeat", "/offline"):
            refused(server.request("POST", path, device(42, "phone"), bearer(old)), 401, "Authorization")
            assert server.request("POST", path, device(42, "tablet"), bearer(old)).status == 200
        await laptop.say(type="ping", id=1)
        assert (await laptop.hear_of("pong"))["id"] == 1
        newer = await hello(server, 42, token(42, iat=time.time() + 1.5), deviceId="phone")
        assert (await newer.hear())["type"] == "welcome"
        await newer.connection.close()
        await laptop.connection.close()

    asyncio.run(story())


def test_a_ticket_says_how_long_it_is_good(server: Server) -> None:
    def expires_in(given: str) -> int:
        answer: int = server.request("POST", "/ticket", None, bearer(given)).data["expiresIn"]
        return answer

    assert expires_in(token(43, 3600)) == expires_in(ADMIN) == 30
    assert 1 <= expires_in(token(43, 10 - LEEWAY)) <= 10


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


# -- several at once -------------------------------------------------------------------------------------------------


def ticket_of(server: Server, given: str) -> str:
    made: str = server.request("POST", "/ticket", None, bearer(given)).data["ticket"]
    return made


def test_the_ticket_is_whose_it_was_given_to_on_both_transports(server: Server) -> None:
    bound = token(51, presence={"device": "phone", "platforms": ["IOS"], "observe": False})
    on_rest, phone = f"/online?ticket={ticket_of(server, bound)}", device(51, "phone", "IOS")
    refused(server.request("POST", f"/online?ticket={ticket_of(server, bound)}", device(52)), 403, "userId")
    refused(server.request("POST", f"/online?ticket={ticket_of(server, bound)}", device(51)), 403, "deviceId")
    refused(server.request("POST", f"/online?ticket={ticket_of(server, bound)}", device(51, "phone")), 403, "platform")
    assert server.request("POST", on_rest, phone).status == 200
    refused(server.request("POST", on_rest, phone), 401, "ticket")

    async def story() -> None:
        for who in (52, 51, None):  # another user, another device, nobody
            assert await (await hello(server, who, None, f"?ticket={ticket_of(server, bound)}")).closed() == 4403

    asyncio.run(story())


def test_a_ticket_gives_no_further_ticket(server: Server) -> None:
    refused(server.request("POST", f"/ticket?ticket={ticket_of(server, WRITER)}"), 403, "ticket")


def test_a_ticket_ends_with_its_token(server: Server) -> None:
    given = token(53, 1 - LEEWAY)
    ticket = ticket_of(server, given)
    wait_until(lambda: server.request("GET", "/status/1", None, bearer(token(53))).status == 200)
    ends = time.time() + 1
    wait_until(lambda: time.time() > ends)
    refused(server.request("GET", f"/status/1?ticket={ticket}"), 401, "ticket")


def test_of_several_credentials_the_ticket_counts_then_the_hello_then_the_header(server: Server) -> None:
    async def story() -> None:
        async def reaches(user_id: int, ticket: str | None, said: str | None, header: str) -> bool:
            query = "" if ticket is None else f"?ticket={ticket_of(server, ticket)}"
            connection = await connect(server.ws_url + query, proxy=None, additional_headers=bearer(header))
            client = Client(connection)
            more = {} if said is None else {"token": said}
            await client.say(type="hello", userId=user_id, deviceId="d", platform="WEB", **more)
            try:
                return bool((await client.hear())["type"] == "welcome")
            except ConnectionClosed:
                assert connection.close_code == 4403
                return False
            finally:
                await connection.close()

        a, b, c = token(61), token(62), token(63)
        assert [await reaches(who, a, b, c) for who in (61, 62, 63)] == [True, False, False]
        assert [await reaches(who, None, b, c) for who in (61, 62, 63)] == [False, True, False]
        assert [await reaches(who, None, None, c) for who in (61, 62, 63)] == [False, False, True]

    asyncio.run(story())


def test_a_new_token_may_not_widen_what_the_connection_is(server: Server) -> None:
    async def story() -> None:
        observer = await hello(server, None, token(64, presence={"observe": True}))
        assert (await observer.hear())["type"] == "welcome"
        await observer.say(type="auth", id=1, token=token(64))
        assert (await observer.hear_of("error"))["error"] == "forbidden"
        await observer.say(type="auth", id=2, token=READER)
        assert (await observer.hear_of("error"))["error"] == "forbidden"
        await observer.say(type="auth", id=3, token=token(64, presence={"observe": True}))
        assert (await observer.hear_of("ok"))["id"] == 3
        await observer.connection.close()

    asyncio.run(story())


def test_sub_may_be_a_number(server: Server) -> None:
    claims = json.dumps({"sub": 65, "exp": int(time.time()) + 60}).encode()  # PyJWT's encode lets none pass
    numbered = jwt.PyJWS().encode(claims, SECRET, "HS256", headers={"typ": "JWT"})
    assert server.request("POST", "/online", device(65), bearer(numbered)).status == 200


# -- where keys come from --------------------------------------------------------------------------------------------


def signed(user_id: int, number: int, kid: str | None = None) -> str:
    claims = {"sub": str(user_id), "exp": time.time() + 600}
    return sign(claims, private_key("ec", number), "ES256", **({} if kid is None else {"kid": kid}))


def status(server: Server, given: str) -> int:
    return server.request("GET", "/status/1", None, bearer(given)).status


def test_keys_are_rotated_by_kid_with_sighup(tmp_path: Path) -> None:
    paths = tmp_path / "one", tmp_path / "two"
    for number, path in enumerate(paths):
        path.write_text(public_pem("ec", number), "utf-8")
    with run_server(auth="jwt", jwt_key=f"one=@{paths[0]},two=@{paths[1]}") as server:
        assert [status(server, signed(1, number, kid)) for number, kid in ((0, "one"), (1, "two"), (0, "two"))] == [
            200,
            200,
            401,
        ]
        old = signed(1, 0, "one")
        assert status(server, old) == 200
        paths[0].write_text(public_pem("ec", 2), "utf-8")
        server.process.send_signal(signal.SIGHUP)
        wait_until(lambda: status(server, signed(1, 2, "one")) == 200)
        assert status(server, old) == 401  # also of what was verified before
        paths[0].write_text("-----BEGIN PUBLIC KEY-----", "utf-8")
        server.process.send_signal(signal.SIGHUP)
        wait_until(lambda: any("keys of tokens not read anew" in line for line in server.log))
        assert status(server, signed(1, 2, "one")) == 200


def test_an_issuer_that_rotates_is_slow_huge_and_down() -> None:
    with application() as (issuer, url):
        issuer.keys(jwk("ec", 0, kid="one"))
        with run_server(auth="jwt", jwks=url) as server:
            first = signed(1, 0, "one")
            assert status(server, first) == 200
            for answer in (b"x" * 10_000_000, b"rubbish", b'{"keys":[]}'):
                issuer.body = answer
                asked = len(issuer.asked)
                server.process.send_signal(signal.SIGHUP)
                wait_until(lambda asked=asked: len(issuer.asked) > asked)
                assert status(server, first) == 200
            wait_until(lambda: sum("keys not fetched" in line for line in server.log) >= 3)
            assert server.resident_kb() < 150_000
            # Whoever makes up a kid is told so, and the issuer is left in peace.
            asked = len(issuer.asked)
            assert {status(server, signed(1, 1, f"made-up-{number}")) for number in range(20)} == {401}
            assert len(issuer.asked) <= asked + 1
            issuer.keys(jwk("ec", 1, kid="two"))
            server.process.send_signal(signal.SIGHUP)
            wait_until(lambda: status(server, signed(1, 1, "two")) == 200)
            assert status(server, first) == 401  # its key is gone, though it was verified once


def test_an_issuer_that_was_never_there_is_come_back_later() -> None:
    with application() as (issuer, url):
        issuer.status = 500
        with run_server(auth="jwt", jwks=url) as server:
            answer = server.request("GET", "/status/1", None, bearer(signed(1, 0, "one")))
            assert answer.status == 503

            async def story() -> None:
                assert await (await hello(server, 1, signed(1, 0, "one"))).closed() == 4503

            asyncio.run(story())


# -- the application is asked ----------------------------------------------------------------------------------------


def test_the_application_is_asked_and_never_taken_for_a_yes_when_it_is_silent() -> None:
    with application() as (app, url), run_server(auth="webhook", auth_url=url) as server:
        app.body = json.dumps({"userId": 71, "expiresIn": 60}).encode()

        async def story() -> None:
            ann = await hello(server, 71, "opaque")
            assert (await ann.hear())["type"] == "welcome"
            assert json.loads(app.asked[0]) == {
                "token": "opaque",
                "address": "127.0.0.1",
                "userId": 71,
                "deviceId": "d",
            }
            assert await (await hello(server, 72, "opaque")).closed() == 4403
            assert len(app.asked) == 1  # it is remembered
            app.status = 403
            assert await (await hello(server, 71, "other")).closed() == 4403
            app.status = 500
            assert await (await hello(server, 71, "third")).closed() == 4503
            app.status, app.delay = 200, 60.0
            assert await (await hello(server, 71, "slow")).closed() == 4503
            await ann.connection.close()

        asyncio.run(story())
        app.delay, app.status = 0.0, 500
        answer = server.request("GET", "/status/1", None, bearer("fourth"))
        assert answer.status == 503
        assert server.request("GET", "/status/1", None, bearer("opaque")).status == 200


# -- what is said loudly ---------------------------------------------------------------------------------------------


def test_no_credentials_on_a_public_address_is_said_once_and_loudly() -> None:
    with run_server(host="0.0.0.0") as server:
        wait_until(lambda: any('"started"' in line for line in server.log))
        assert server.says("no credentials are asked for")
        assert sum("no credentials are asked for" in line for line in server.log) == 1
    with run_server(host="0.0.0.0", auth="jwt", jwt_key=SECRET) as server:
        wait_until(lambda: any('"started"' in line for line in server.log))
        assert not any("no credentials are asked for" in line for line in server.log)


def test_a_short_secret_is_said_loudly() -> None:
    with run_server(auth="jwt", jwt_key="hunter2") as server:
        wait_until(lambda: any("a secret of tokens is short" in line for line in server.log))
        assert not any("hunter2" in line for line in server.log)


# -- who was let in, and would not be now ----------------------------------------------------------------------------


def test_a_key_that_is_taken_away_ends_its_connections_and_tickets(tmp_path: Path) -> None:
    path = tmp_path / "keys"
    path.write_text("\n".join(line_of(name, key, parse_scopes("read")) for name, key in (("a", READER), ("b", WRITER))))
    with run_server(auth="jwt", jwt_key=SECRET, service_keys=path) as server:

        async def story() -> None:
            gone, stays = await hello(server, None, READER), await hello(server, None, WRITER)
            assert (await gone.hear())["type"] == (await stays.hear())["type"] == "welcome"
            ticket = await asyncio.to_thread(ticket_of, server, READER)
            path.write_text(line_of("b", WRITER, parse_scopes("read")))
            server.process.send_signal(signal.SIGHUP)
            assert await gone.closed() == 4401
            assert await (await hello(server, None, None, f"?ticket={ticket}")).closed() == 4401
            await stays.say(type="ping", id=1)
            assert (await stays.hear_of("pong"))["id"] == 1
            await stays.connection.close()

        asyncio.run(story())


def test_a_poll_that_waited_beyond_its_token_tells_nothing(server: Server) -> None:
    ids = {"userIds": [81]}
    given = token(82)
    cursor = server.request("POST", "/changes", ids, bearer(given)).data["cursor"]
    answers: list[Answer] = []

    def poll(waiter: str) -> None:
        answers.append(server.request("POST", "/changes", ids | {"cursor": cursor, "waitMs": 20_000}, bearer(waiter)))

    revoked, expired = token(82), token(83, 1 - LEEWAY)
    threads = [threading.Thread(target=poll, args=(one,)) for one in (revoked, expired)]
    for thread in threads:
        thread.start()
    wait_until(lambda: server.metric("presence_long_polls") >= 2)
    server.request("POST", "/revoke", {"userId": 82}, bearer(ADMIN))
    ends = time.time() + 1.5
    wait_until(lambda: time.time() > ends)
    assert server.request("POST", "/online", device(81), bearer(WRITER)).status == 200
    for thread in threads:
        thread.join(30)
    assert [answer.status for answer in answers] == [401, 401]
