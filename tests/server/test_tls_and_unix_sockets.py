"""TLS by the server itself, and a Unix socket for the proxy in front: over real sockets."""

from __future__ import annotations

import asyncio
import http.client
import json
import os
import shutil
import signal
import socket
import ssl
import stat
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from websockets.asyncio.client import ClientConnection, connect, unix_connect
from websockets.exceptions import ConnectionClosed

from presence_server.listening import BindError, listen_at
from support.server import BASE, SCRIPT, Server, run_server
from support.tls import Authority

OBSERVER = json.dumps({"type": "hello", "observer": True, "watch": [1]})


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("tls"))


@pytest.fixture(scope="module")
def server(authority: Authority) -> Iterator[Server]:
    certificate, key = authority.pair("127.0.0.1")
    with run_server(tls_cert=certificate, tls_key=key, header_timeout=1) as running:
        yield running


async def hear(connection: ClientConnection) -> Any:
    return json.loads(await asyncio.wait_for(connection.recv(), 20))


def serial(server: Server, trusted: ssl.SSLContext) -> int:
    with (
        socket.create_connection(("127.0.0.1", server.port), 20) as raw,
        trusted.wrap_socket(raw, server_hostname="127.0.0.1") as line,
    ):
        return int(dict(line.getpeercert() or {})["serialNumber"], 16)  # type: ignore[call-overload,no-any-return]


def test_both_transports_over_tls(server: Server, authority: Authority) -> None:
    async def story() -> None:
        async with connect(server.ws_url, ssl=authority.client(), proxy=None) as watcher:
            await watcher.send(OBSERVER)
            assert (await hear(watcher))["type"] == "welcome"
            assert (await hear(watcher))["type"] == "snapshot"
            assert (await asyncio.to_thread(server.online, 1)).status == 200
            assert (await hear(watcher))["changes"][0]["status"] == "ONLINE"
            batch = {"userIds": list(range(1, 1001)), "detail": True}
            assert len((await asyncio.to_thread(server.post, "/status/batch", batch)).data) == 1000
            await watcher.send('{"type":"bye"}')
            with pytest.raises(ConnectionClosed):
                await hear(watcher)
            assert watcher.close_code == 1000

    asyncio.run(story())


def test_a_refusal_reaches_its_client_and_the_connection_ends(server: Server, authority: Authority) -> None:
    async def story() -> None:
        async with connect(server.ws_url, ssl=authority.client(), proxy=None) as client:
            await client.send("rubbish")
            with pytest.raises(ConnectionClosed):
                await hear(client)
            assert client.close_code == 4400

    asyncio.run(story())


def test_a_watcher_that_reads_nothing_for_a_while_gets_all_of_it(server: Server, authority: Authority) -> None:
    async def story() -> None:
        async with connect(server.ws_url, ssl=authority.client(), proxy=None, max_queue=1) as client:
            await client.send(OBSERVER)
            assert (await hear(client))["type"] == "welcome"
            assert (await hear(client))["type"] == "snapshot"
            ids = list(range(1000, 2000))

            async def ask() -> None:
                for number in range(60):
                    await client.send(json.dumps({"type": "query", "id": number, "userIds": ids}))

            asking = asyncio.create_task(ask())
            answers = [await hear(client)]
            while len([one for one in answers if one["type"] == "statuses" and not one.get("more")]) < 60:
                answers.append(await hear(client))
            told = sum(len(one["statuses"]) for one in answers if one["type"] == "statuses")
            assert told == 60 * len(ids)
            await asking

    asyncio.run(story())


def test_old_tls_and_plain_http_are_refused(server: Server, authority: Authority) -> None:
    old = authority.client()
    with pytest.warns(DeprecationWarning, match="TLSv1_1"):
        old.maximum_version = ssl.TLSVersion.TLSv1_1
    with pytest.raises((ssl.SSLError, ConnectionError)):
        serial(server, old)
    with socket.create_connection(("127.0.0.1", server.port), 20) as plain:
        plain.sendall(b"GET /readyz HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
        assert not plain.recv(4096).startswith(b"HTTP/1.1 200")


def test_who_never_ends_the_handshake_is_hung_up_on(server: Server) -> None:
    with socket.create_connection(("127.0.0.1", server.port), 20) as silent:
        assert silent.recv(1) == b""


def test_a_new_certificate_is_served_after_sighup_and_nobody_is_dropped(authority: Authority, tmp_path: Path) -> None:
    certificate, key = tmp_path / "certificate", tmp_path / "key"

    def put(name: str) -> None:
        for source, place in zip(authority.pair(name), (certificate, key), strict=True):
            shutil.copy(source, place)

    put("127.0.0.1")
    with run_server(tls_cert=certificate, tls_key=key) as server:

        def reload(said: str) -> None:
            before = sum(said in line for line in server.log)
            server.process.send_signal(signal.SIGHUP)
            give_up = time.monotonic() + 20
            while sum(said in line for line in server.log) == before:
                assert time.monotonic() < give_up
                time.sleep(0.02)

        async def story() -> None:
            async with connect(server.ws_url, ssl=authority.client(), proxy=None) as client:
                await client.send(OBSERVER)
                first = await asyncio.to_thread(serial, server, authority.client())
                put("127.0.0.1")
                await asyncio.to_thread(reload, "certificate read anew")
                second = await asyncio.to_thread(serial, server, authority.client())
                assert second != first
                shutil.copy(authority.pair("127.0.0.1")[1], key)  # of another certificate
                await asyncio.to_thread(reload, "certificate not read anew")
                assert await asyncio.to_thread(serial, server, authority.client()) == second
                await client.send('{"type":"ping","id":1}')
                while (message := await hear(client))["type"] != "pong":
                    pass
                assert message["id"] == 1

        asyncio.run(story())


def test_a_pair_that_does_not_fit_ends_the_start_with_one_line(authority: Authority) -> None:
    certificate, _ = authority.pair("127.0.0.1")
    _, other = authority.pair("127.0.0.1")
    command = [str(SCRIPT), "--port", "0", "--tls-cert", str(certificate), "--tls-key", str(other)]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert ended.returncode == 2
    assert ended.stderr == f"presence-server: tls_cert: {certificate} and {other}: the key is not the certificate's\n"


# -- Unix sockets ----------------------------------------------------------------------------------------------------


class Unix(http.client.HTTPConnection):
    def __init__(self, path: Path) -> None:
        super().__init__("localhost", timeout=20)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(20)
        self.sock.connect(str(self._path))


def status(path: Path, headers: dict[str, str]) -> int:
    connection = Unix(path)
    try:
        connection.request("GET", f"{BASE}/status/1", headers=headers)
        return connection.getresponse().status
    finally:
        connection.close()


def test_a_unix_socket_serves_both_transports_and_is_gone_at_the_end(tmp_path: Path) -> None:
    path = tmp_path / "presence.sock"
    with run_server(uds=path, trusted_proxies="127.0.0.1", drain_timeout=0) as server:
        assert stat.S_ISSOCK(path.stat().st_mode)
        assert status(path, {}) == 200  # a process of this machine
        assert status(path, {"X-Forwarded-For": "127.0.0.1"}) == 200
        assert status(path, {"X-Forwarded-For": "9.9.9.9"}) == 401

        async def story() -> None:
            async with unix_connect(str(path), f"ws://localhost{BASE}/ws") as client:
                await client.send(OBSERVER)
                assert (await hear(client))["type"] == "welcome"

        asyncio.run(story())
        assert server.get("/status/1").status == 200  # and the port as well
        server.terminate()
        assert server.wait() == 0
        assert not path.exists()


def test_without_a_trusted_proxy_a_forwarded_request_is_nobody(tmp_path: Path) -> None:
    path = tmp_path / "presence.sock"
    with run_server(uds=path):
        assert status(path, {"X-Forwarded-For": "127.0.0.1"}) == 401


def test_only_a_socket_that_nobody_listens_on_is_replaced(tmp_path: Path) -> None:
    path = tmp_path / "presence.sock"
    first = listen_at(str(path))
    with pytest.raises(BindError, match="Address already in use"):
        listen_at(str(path))
    first.close()
    second = listen_at(str(path))
    second.close()
    os.unlink(path)
    path.write_text("precious")
    with pytest.raises(BindError, match="no socket"):
        listen_at(str(path))
    assert path.read_text() == "precious"
    with pytest.raises(BindError, match="No such file"):
        listen_at(str(tmp_path / "nowhere" / "presence.sock"))
