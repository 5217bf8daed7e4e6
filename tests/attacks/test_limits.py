"""Who takes more than their share, over real sockets: what they are told, what a bystander's pings take meanwhile, and
what the server holds before, at worst and after. `pytest -s` prints it."""

from __future__ import annotations

import asyncio
import json
import time
import zlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any

import pytest

from attacks.bystander import AUTH, From, bearer, hello, told, watching
from presence_server.identity.service_keys import line_of, new_key, parse_scopes
from support.client import Client
from support.raw import FIN, RSV1, TEXT, RawClient, frame, message, upgrade
from support.server import BASE, Server, run_server

MB = 1024
"""Kilobytes."""

SMALL: dict[str, Any] = {
    **AUTH,
    "limit_burst": 1,
    "user_messages": 100,
    "user_watches": 2000,
    "user_statuses": 20,
    "user_queries": 2000,
    "user_polls": 3,
    "user_connections": 4,
    "address_connections": 0,
    "address_requests": 20,
    "max_watchers": 5,
    "grace_period": 1,
}


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with run_server(**SMALL) as running:
        yield running


def refused(server: Server, limit: str) -> float:
    return server.metric(f'presence_limit_refusals_total{{limit="{limit}"}}')


def check_429(answer: Any, limit: str) -> None:
    assert answer.status == 429
    assert answer.json["code"] == 429
    assert answer.data["error"] == "too_many_requests"
    assert [detail["field"] for detail in answer.data["details"]] == [limit]
    assert int(answer.headers["Retry-After"]) >= 1


# -- one user, over a WebSocket --------------------------------------------------------------------------------------

FLOODS = {
    "user_messages": {"type": "ping"},
    "user_watches": {"type": "watch", "userIds": list(range(1, 401))},
    "user_statuses": {"type": "status", "status": "BUSY"},
    "user_queries": {"type": "query", "userIds": list(range(1, 401))},
}


@pytest.mark.parametrize("limit", FLOODS)
def test_a_user_who_floods_is_told_and_then_closed(server: Server, limit: str) -> None:
    user = 100 + list(FLOODS).index(limit)
    before = refused(server, limit)
    blob = frame(TEXT, json.dumps(FLOODS[limit]).encode()) * 20
    with watching(server) as seen, ThreadPoolExecutor(1) as pool:
        for _ in range(10):
            with From(server) as attacker:
                attacker.send(upgrade() + hello(user))
                assert attacker.reply().status == 101
                sending = pool.submit(_send_until_closed, attacker, blob)
                messages, code = told(attacker)
                sending.result()
            assert code == 4529
            errors = [each for each in messages if each["type"] == "error"]
            assert errors
            assert all((each["code"], each["error"]) == (429, "too_many_requests") for each in errors)
            assert all(0 < each["retryAfterMs"] <= 1100 for each in errors)
            assert errors[0]["details"][0]["field"] == limit
    assert refused(server, limit) > before
    assert seen.worst - seen.before < 16 * MB


def _send_until_closed(client: RawClient, blob: bytes) -> None:
    with suppress(OSError):
        for _ in range(500):
            client.send(blob)


def test_the_same_user_is_held_to_it_on_the_next_connection_and_comes_back_in_time(server: Server) -> None:
    everybody = list(range(1, 2001))
    with From(server).online(200, watch=everybody), From(server) as second:
        second.send(upgrade() + hello(200, device="e", watch=everybody))
        assert second.reply().status == 101
        (error,), code = told(second)
        assert (error["code"], error["details"][0]["field"], code) == (429, "user_watches", 4529)
        time.sleep(error["retryAfterMs"] / 1000)  # another process's clock
    From(server).online(200, watch=everybody).socket.close()


def test_connections_at_once_are_bounded_and_another_user_is_not_touched(server: Server) -> None:
    held = [From(server).online(300, device=f"d{number}") for number in range(4)]
    try:
        with From(server) as fifth:
            fifth.send(upgrade() + hello(300, device="d5"))
            assert fifth.reply().status == 101
            (error,), code = told(fifth)
            assert (error["code"], error["details"][0]["field"], code) == (429, "user_connections", 4529)
            assert error["retryAfterMs"] > 0
        From(server).online(301).socket.close()
    finally:
        for one in held:
            one.socket.close()


# -- one user, over REST ---------------------------------------------------------------------------------------------


def test_requests_and_ids_of_a_user_are_bounded_over_rest(server: Server) -> None:
    with watching(server):
        for user, limit, ask in (
            (400, "user_messages", ("GET", "/status/1", None)),
            (401, "user_queries", ("POST", "/status/batch", {"userIds": list(range(1, 901))})),
            (402, "user_watches", ("POST", "/changes", {"userIds": list(range(1, 901))})),
            (403, "user_statuses", ("PUT", "/status/403", {"status": "BUSY"})),
        ):
            with ThreadPoolExecutor(8) as pool:
                headers, times = bearer(user), 150 if limit == "user_messages" else 40
                answers = list(
                    pool.map(lambda _, ask=ask, headers=headers: server.request(*ask, headers), range(times))
                )
            assert {answer.status for answer in answers} == {200, 429}, limit
            for answer in answers:
                if answer.status == 429:
                    check_429(answer, limit)


def test_long_polls_at_once_are_bounded_and_given_back(server: Server) -> None:
    ask = ("POST", "/changes", {"userIds": [7], "waitMs": 0})
    cursor = server.request(*ask, bearer(500)).data["cursor"]
    waiting = {"userIds": [7], "waitMs": 1000, "cursor": cursor}
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: server.request("POST", "/changes", waiting, bearer(500)), range(8)))
    assert sorted(answer.status for answer in answers) == [200] * 3 + [429] * 5
    for answer in answers:
        if answer.status == 429:
            check_429(answer, "user_polls")
    assert server.request(*ask, bearer(500)).status == 200


def test_whoever_cannot_say_who_they_are_is_told_so_only_so_often(server: Server) -> None:
    with watching(server), ThreadPoolExecutor(8) as pool:
        forged = {"Authorization": "Bearer aaaa.bbbb.cccc"}
        for ask in (("GET", "/status/1", None, forged), ("GET", "/nowhere", None), ("GET", "//openapi.json", None)):
            answers = list(pool.map(lambda _, ask=ask: server.request(*ask), range(80)))
            over = [answer for answer in answers if answer.status == 429]
            assert over
            for answer in over:
                check_429(answer, "address_requests")
        # Whoever can is served from the same address all the same, and probes are.
        assert server.request("GET", "/status/1", None, bearer(600)).status == 200
        assert server.get("//healthz").status == 200


# -- addresses -------------------------------------------------------------------------------------------------------


def test_one_address_that_connects_again_and_again_is_refused_and_others_come_in() -> None:
    with run_server(**AUTH, address_connections=50, limit_burst=1) as server:
        with watching(server) as seen:
            statuses = [_status_of_a_connection(server) for _ in range(400)]
            assert set(statuses) <= {101, 429}
            assert statuses.count(429) > 200
            From(server, "127.0.0.3").online(5).socket.close()
        assert seen.worst - seen.before < 16 * MB
        with From(server, "127.0.0.3") as other:
            other.send(b"GET /metrics HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
            reply = other.reply()
            assert b'presence_limit_refusals_total{limit="address_connections"}' in reply.body


def _status_of_a_connection(server: Server) -> int:
    with From(server) as client:
        client.send(upgrade())
        reply = client.reply()
        if reply.status == 429:
            assert "retry-after: " in reply.head.lower()
            assert reply.json["data"]["details"][0]["field"] == "address_connections"
        return reply.status


def test_a_refusal_arrives_whatever_was_sent() -> None:
    with run_server(**AUTH, address_connections=1, limit_burst=1) as server:
        body = b"x" * 200_000
        head = f"POST {BASE}/online HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(body)}\r\n\r\n".encode()
        for _ in range(3):
            with From(server) as client:
                client.send(head + body)
                assert client.reply().status == 429


@pytest.mark.parametrize(
    ("same", "other"), [("192.0.2.1", "192.0.2.2"), ("2001:db8:0:1::{}", "2001:db8:0:2::1")], ids=["IPv4", "IPv6 /64"]
)
def test_behind_a_trusted_proxy_its_clients_are_counted_and_not_the_proxy(same: str, other: str) -> None:
    with run_server(
        **AUTH, trusted_proxies="127.0.0.0/8", address_connections=20, address_handshakes=10, limit_burst=1
    ) as server:

        def shake_hands(address: str) -> Any:
            with From(server) as client:
                client.send(upgrade({"X-Forwarded-For": address}))
                return client.reply()

        replies = [shake_hands(same.format(number)) for number in range(1, 60)]
        over = [reply for reply in replies if reply.status == 429]
        assert len(over) > 20
        assert over[0].json["data"]["details"][0]["field"] == "address_handshakes"
        assert "retry-after: " in over[0].head.lower()
        assert shake_hands(other).status == 101


def test_a_header_of_a_stranger_opens_no_new_bucket() -> None:
    with run_server(**AUTH, address_handshakes=10, limit_burst=1) as server:
        statuses = []
        for number in range(60):
            with From(server) as client:
                client.send(upgrade({"X-Forwarded-For": f"192.0.2.{number}"}))
                statuses.append(client.reply().status)
        assert statuses.count(429) > 20


# -- what all together have ------------------------------------------------------------------------------------------


def test_plain_http_connections_are_bounded_and_websockets_come_in() -> None:
    with run_server(**AUTH, max_http_connections=5) as server:
        ask = f"GET {BASE}/status/1 HTTP/1.1\r\nHost: localhost\r\nAuthorization: {bearer(1)['Authorization']}\r\n\r\n"
        held = [From(server) for _ in range(6)]
        try:
            for client in held:
                client.send(ask.encode())
            replies = [client.reply() for client in held]
            assert [reply.status for reply in replies] == [200] * 5 + [503]
            assert replies[-1].json["data"]["details"][0]["field"] == "max_http_connections"
            assert "retry-after: " in replies[-1].head.lower()
            From(server).online(1).socket.close()
            assert server.get("//healthz").status == 200
        finally:
            for client in held:
                client.socket.close()
        assert server.request("GET", "/status/1", None, bearer(1)).status == 200


def test_watchers_of_one_user_are_bounded(server: Server) -> None:
    held = [From(server).online(700 + number, watch=[77]) for number in range(5)]
    try:
        with From(server).online(706) as sixth:
            sixth.send(message(type="watch", userIds=[77], id=1))
            error = sixth.message()
            assert (error["code"], error["id"], error["details"][0]["field"]) == (429, 1, "max_watchers")
            assert error["retryAfterMs"] > 0
    finally:
        for one in held:
            one.socket.close()


def test_edges_are_bounded() -> None:
    with run_server(**AUTH, max_edges=1000) as server, watching(server) as seen:
        with From(server).online(1, watch=list(range(1, 1001))) as first, From(server).online(2) as second:
            assert first.message()["type"] == "snapshot"
            for number in range(20):
                second.send(message(type="watch", userIds=list(range(1, 1001)), id=number))
                error = second.message()
                assert (error["code"], error["details"][0]["field"]) == (503, "max_edges")
                assert error["retryAfterMs"] > 0
        assert seen.worst - seen.before < 16 * MB


def test_short_of_memory_who_is_there_stays_and_nobody_new_is_taken_on() -> None:
    with run_server(**AUTH) as probe:
        resident = probe.resident_kb() * 1024
    with run_server(**AUTH, max_memory=resident + 12 * MB * 1024) as server, watching(server, 0.2) as seen:
        with From(server).online(1) as member:
            number, held = 1, []
            while True:  # until it is refused: each holds as much as it may
                held.append(client := From(server))
                client.send(upgrade() + hello(1000 + number, watch=list(range(number * 5000, number * 5000 + 5000))))
                assert client.reply().status == 101
                first = client.message()
                if first["type"] == "error":
                    break
                number += 1
                assert number < 500
            assert (first["code"], first["details"][0]["field"]) == (503, "max_memory")
            assert first["retryAfterMs"] > 0
            assert told(client)[1] == 4503
            refusal = server.request("POST", "/online", {"userId": 2, "deviceId": "d", "platform": "WEB"}, bearer(2))
            assert refusal.status == 503
            assert int(refusal.headers["Retry-After"]) >= 1
            member.send(message(type="ping"))
            assert member.message()["type"] == "pong"
            for client in held:
                client.socket.close()
        assert seen.worst * 1024 < resident + 40 * MB * 1024


def test_a_deflated_bomb_is_bounded_by_what_it_inflates_to() -> None:
    with run_server(**AUTH, compression="on", user_messages=0) as server, watching(server) as seen:
        deflate = zlib.compressobj(9, zlib.DEFLATED, -15)
        bomb = deflate.compress(b" " * 200_000_000) + deflate.flush(zlib.Z_SYNC_FLUSH)
        blob = frame(TEXT, bomb[:-4], FIN | RSV1)
        assert len(blob) < 262_144
        for _ in range(20):
            with From(server) as attacker:
                attacker.send(upgrade({"Sec-WebSocket-Extensions": "permessage-deflate"}))
                assert attacker.reply().status == 101
                attacker.send(hello(1))
                attacker.message()
                _send_until_closed_once(attacker, blob)
                assert attacker.close_code() == 1009
        assert seen.worst - seen.before < 16 * MB


def _send_until_closed_once(client: RawClient, blob: bytes) -> None:
    with suppress(OSError):
        client.send(blob)


# -- who is meant ----------------------------------------------------------------------------------------------------


def test_services_have_their_own_limits(tmp_path: Any) -> None:
    key = new_key(lambda size: b"k" * size)
    (tmp_path / "keys").write_text(line_of("back", key, parse_scopes("read,write")), "utf-8")
    settings = {**AUTH, "service_keys": tmp_path / "keys", "user_messages": 5, "limit_burst": 1}
    with run_server(**settings) as server:
        asked = {"Authorization": f"Bearer {key}"}
        assert {server.request("GET", "/status/1", None, asked).status for _ in range(50)} == {200}
    with run_server(**settings | {"service_messages": 5}) as server:
        over = [server.request("GET", "/status/1", None, asked) for _ in range(50)]
        check_429(next(answer for answer in over if answer.status == 429), "service_messages")


def test_by_default_nothing_is_limited_on_loopback_without_credentials_and_what_is_asked_for_is() -> None:
    async def flood(server: Server) -> dict[str, int]:
        client = await Client.hello(server, 1)
        kinds: dict[str, int] = {}
        for _ in range(30):
            for _ in range(500):
                await client.send(type="ping")
            for _ in range(500):
                kind = (await client.next())["type"]
                kinds[kind] = kinds.get(kind, 0) + 1
        await client.close()
        return kinds

    with run_server() as server:
        assert asyncio.run(flood(server)) == {"pong": 15_000}
    with run_server(service_messages=100) as server, RawClient.observer(server) as client:
        client.send(message(type="ping") * 1500)
        assert client.close_code() == 4529


def test_metrics_name_limits_and_nobody(server: Server) -> None:
    lines = [line for line in server.get("//metrics").text.splitlines() if "presence_limit_refusals_total" in line]
    assert len([line for line in lines if line.startswith("#")]) == 2
    labels = {line.partition('"')[2].partition('"')[0] for line in lines if not line.startswith("#")}
    assert {"user_messages", "service_messages", "address_requests", "max_memory", "admission_lag"} <= labels
    assert not any(character.isdigit() for label in labels for character in label)
