"""What the log tells of clients, as whoever runs the server reads it."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from presence_server.repeats import MOST_OF_A_KIND
from support.client import Client
from support.raw import RawClient, upgrade
from support.server import Server, run_server

Line = dict[str, Any]


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with run_server(log_level="debug", log_format="json", min_publish_interval=0, max_devices=2) as running:
        yield running


@pytest.fixture(scope="module")
def quiet() -> Iterator[Server]:
    """As it comes."""
    with run_server(log_format="json", min_publish_interval=0) as running:
        yield running


def lines(server: Server) -> list[Line]:
    return [json.loads(line) for line in list(server.log) if line.startswith("{")]


def line_of(server: Server, event: str, fits: Callable[[Line], bool] = lambda line: True) -> Line:
    """The first line of `event` that fits, once it is written."""
    give_up = time.monotonic() + 20
    while True:
        for line in lines(server):
            if line["event"] == event and fits(line):
                return {name: value for name, value in line.items() if name not in ("time", "logger")}
        assert time.monotonic() < give_up, (event, lines(server)[-5:])
        time.sleep(0.02)


def test_a_session_is_told_from_its_beginning_to_its_end_with_the_code_as_it_was(server: Server) -> None:
    async def story() -> str:
        client = await Client.hello(server, 10001, "phone", platform="IOS")
        session: str = client.heard[-1]["sessionId"]
        await client.close(1001)
        return session

    session = asyncio.run(story())
    about = {"session": session, "userId": 10001, "deviceId": "phone", "platform": "IOS", "address": "127.0.0.1"}
    began = line_of(server, "session began", lambda line: line["session"] == session)
    assert began == {"level": "debug", "event": "session began"} | about
    ended = line_of(server, "session ended", lambda line: line["session"] == session)
    assert 0 <= ended.pop("seconds") < 30
    assert ended == {"level": "debug", "event": "session ended"} | about | {"code": 1001, "by": "client"}
    assert not [line for line in lines(server) if line["event"] == "session closed" and line["session"] == session]


@pytest.mark.parametrize(("how", "code"), [("vanish", 1006), ("no code", 1005), ("bye", 1000)])
def test_ends_that_are_the_clients_are_told_as_such(server: Server, how: str, code: int) -> None:
    async def story() -> str:
        client = await Client.hello(server, 10002, how)
        session: str = client.heard[-1]["sessionId"]
        if how == "vanish":
            client.vanish()
            await client.connection.wait_closed()
        elif how == "bye":
            await client.send(type="bye")
            await client.closed()
        else:
            client.connection.transport.write(b"\x88\x80\0\0\0\0")
            await client.closed()
        return session

    session = asyncio.run(story())
    ended = line_of(server, "session ended", lambda line: line["session"] == session)
    assert (ended["code"], ended["by"]) == (code, "client")


def test_a_close_by_the_server_is_told_at_info_with_its_reason(server: Server) -> None:
    async def story() -> str:
        first = await Client.hello(server, 10003, "a")
        second = await Client.hello(server, 10003, "b")
        last = await Client.hello(server, 10003, "c")
        assert await first.closed() == 4411
        await last.close()
        await second.close()
        session: str = first.heard[0]["sessionId"]
        return session

    session = asyncio.run(story())
    closed = line_of(server, "session closed", lambda line: line["session"] == session)
    assert closed.pop("seconds") >= 0
    assert closed == {
        "level": "info",
        "event": "session closed",
        "session": session,
        "userId": 10003,
        "deviceId": "a",
        "platform": "WEB",
        "address": "127.0.0.1",
        "code": 4411,
        "reason": "too many devices",
    }
    ended = line_of(server, "session ended", lambda line: line["session"] == session)
    assert (ended["code"], ended["by"]) == (4411, "server")


def test_a_message_that_is_too_big_ends_by_the_server(server: Server) -> None:
    async def story() -> None:
        client = await Client.hello(server, 10004, "big")
        await client.connection.send("x" * 300_000)
        assert await client.closed() == 1009

    asyncio.run(story())
    closed = line_of(server, "session closed", lambda line: line.get("userId") == 10004)
    assert (closed["code"], closed["level"]) == (1009, "info")


def test_a_change_of_status_is_told_to_whoever_wants_to_know_all(server: Server) -> None:
    assert server.online(10005).status == 200
    changed = line_of(server, "status changed", lambda line: line["userId"] == 10005)
    assert changed == {
        "level": "debug",
        "event": "status changed",
        "userId": 10005,
        "before": "OFFLINE",
        "status": "ONLINE",
    }


def test_refused_requests_and_handshakes_are_told_with_status_and_reason(quiet: Server) -> None:
    assert quiet.get("/status/0?ticket=secret").status == 400
    refused = line_of(quiet, "request refused", lambda line: line["status"] == 400)
    assert refused == {
        "level": "info",
        "event": "request refused",
        "status": 400,
        "error": "invalid_request",
        "reason": "userId must be an integer from 1 to 9007199254740991",
        "method": "GET",
        "path": "/api/v1/presence/status/0",
        "address": "127.0.0.1",
    }
    assert quiet.get("//nothing").status == 404
    assert line_of(quiet, "request refused", lambda line: line["status"] == 404)["path"] == "/nothing"
    with RawClient(quiet) as raw:
        raw.send(upgrade({"Host": "elsewhere.example"}))
        assert raw.reply().status == 421
    handshake = line_of(quiet, "handshake refused")
    assert handshake.pop("reason").startswith("Host ")
    assert handshake == {
        "level": "info",
        "event": "handshake refused",
        "status": 421,
        "error": "misdirected_request",
        "address": "127.0.0.1",
    }


def test_at_info_nothing_is_told_of_whoever_is_served(quiet: Server) -> None:
    async def story() -> None:
        client = await Client.hello(quiet, 1)
        await client.ask(type="status", status="BUSY")
        await client.close()
        client = await Client.hello(quiet, 1)
        client.vanish()
        await client.connection.wait_closed()

    asyncio.run(story())
    assert quiet.online(2).status == 200
    assert quiet.get("//unknown").status == 404
    line_of(quiet, "request refused", lambda line: line["path"] == "/unknown")
    assert {line["event"] for line in lines(quiet)} <= {"started", "request refused", "handshake refused"}


def test_beyond_a_rate_the_rest_are_counted_and_one_code_hides_no_other(quiet: Server) -> None:
    for number in range(2 * MOST_OF_A_KIND):
        assert quiet.get(f"//n{number}").status == 404
    assert quiet.request("DELETE", "//openapi.json").status == 405
    line_of(quiet, "request refused", lambda line: line["status"] == 405)
    left = line_of(quiet, "request refused", lambda line: "left_out" in line)
    assert left["status"] == 404
    assert left["left_out"] >= MOST_OF_A_KIND
    written = [line for line in lines(quiet) if str(line.get("path", "")).startswith("/n")]
    assert len(written) <= MOST_OF_A_KIND
