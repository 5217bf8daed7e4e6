"""A new server takes the place of one that runs: nobody is refused, and nobody is seen to blink."""

from __future__ import annotations

import asyncio
import os
import socket
import subprocess
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import ExitStack, asynccontextmanager, contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from presence_client import connect
from presence_server.handover import wire
from presence_server.handover.taking import NotGiven, take
from presence_server.state.folder import Folder, Held
from support.client import Client
from support.receiver import entry_of, receiving
from support.server import BASE, SCRIPT, Server, free_port, run_server
from support.swarm import Swarm

WATCHER = 1
USERS = range(100, 130)


class Mover:
    """A raw client that does as it is told: on `reconnect` it connects again, with its cursor."""

    def __init__(self, server: Server, user_id: int, watch: list[int]) -> None:
        self._server = server
        self._hello: dict[str, Any] = {"userId": user_id, "deviceId": "d", "platform": "WEB", "watch": watch}
        self.welcomes: list[dict[str, Any]] = []
        self.told: list[dict[str, Any]] = []
        self.moves = 0
        self._client: Client

    async def connect(self) -> None:
        self._client = await Client.open(self._server)
        await self._client.send(type="hello", **self._hello)
        self.welcomes.append(await self._client.receive("welcome"))

    async def live(self) -> None:
        while True:
            message = await self._client.next()
            self.told += message.get("changes", message.get("statuses", ()))
            if "cursor" in message:
                self._hello["cursor"] = message["cursor"]
            if message["type"] == "reconnect":
                before = self._client
                await asyncio.sleep(message["afterMs"] / 1000)
                await self.connect()
                self.moves += 1
                await before.close(1001)

    async def close(self) -> None:
        with suppress(Exception):
            await self._client.close()


@asynccontextmanager
async def moving(*movers: Mover) -> AsyncIterator[None]:
    """They live meanwhile; what went wrong for one of them is raised at the end."""
    for mover in movers:
        await mover.connect()
    tasks = [asyncio.ensure_future(mover.live()) for mover in movers]
    try:
        yield
        for task in tasks:
            if task.done():
                task.result()
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await asyncio.gather(*(mover.close() for mover in movers))


class Newcomers:
    """People who connect all the time, over WebSocket and over REST. Whoever is refused is an error."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self.came = 0
        self.is_over = False

    async def run(self) -> None:
        user_id = 10_000
        while not self.is_over:
            user_id += 1
            client = await Client.hello(self._server, user_id)
            await client.close()
            reader, writer = await asyncio.open_connection("127.0.0.1", self._server.port)
            writer.write(
                f"GET {BASE}/status/{USERS[0]} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n".encode()
            )
            answer = await reader.read()
            assert b" 200 OK" in answer.split(b"\r\n", 1)[0], answer
            assert b'"status":"ONLINE"' in answer
            writer.close()
            await writer.wait_closed()
            self.came += 2
            await asyncio.sleep(0.005)


@contextmanager
def taking_over(servers: ExitStack, server: Server, **settings: Any) -> Iterator[Server]:
    """A server that takes the place of `server`, which has ended when this yields."""
    after = servers.enter_context(run_server(port=server.port, takeover="on", **settings))
    assert server.wait() == 0
    yield after


async def in_thread(call: Any) -> Any:
    return await asyncio.get_running_loop().run_in_executor(None, call)


async def until(what: Callable[[], bool], seconds: float = 60) -> None:
    """Until it holds; another process does it, so there is no clock to pass in."""
    async with asyncio.timeout(seconds):
        while not what():  # noqa: ASYNC110 - there is nobody to set an event
            await asyncio.sleep(0.02)


def test_nobody_is_refused_and_nobody_blinks(tmp_path: Path) -> None:
    settings: dict[str, Any] = {"state": tmp_path / "state", "drain_timeout": 5}

    async def story(servers: ExitStack) -> None:
        server = servers.enter_context(run_server(**settings))
        movers = [Mover(server, user, []) for user in USERS]
        watcher = Mover(server, WATCHER, list(USERS))
        newcomers = Newcomers(server)
        async with moving(*movers, watcher):
            coming = asyncio.ensure_future(newcomers.run())
            try:
                for _ in range(2):
                    before = newcomers.came

                    def take_over(old: Server = server) -> Server:
                        with taking_over(servers, old, **settings) as new:
                            return new

                    server = await in_thread(take_over)
                    assert newcomers.came > before
                    await until(lambda: min(mover.moves for mover in (watcher, *movers)) > 0)
                    for mover in (watcher, *movers):
                        assert mover.moves == 1
                        assert mover.welcomes[-1]["continued"] is True
                        mover.moves = 0
                    assert watcher.welcomes[-1]["resumed"] is True
                # what happens now is told over the new connections
                await in_thread(lambda: server.request("PUT", f"/status/{USERS[3]}", {"status": "BUSY"}))
                await until(lambda: any(entry["status"] == "BUSY" for entry in watcher.told))
            finally:
                newcomers.is_over = True
                await coming
        assert {entry["status"] for entry in watcher.told} == {"ONLINE", "BUSY"}
        for mover in movers:
            assert {welcome["sessionId"] for welcome in mover.welcomes} == {mover.welcomes[0]["sessionId"]}

    with ExitStack() as servers:
        asyncio.run(story(servers))


def test_a_swarm_that_moves_again_and_again_is_told_nothing_wrong(tmp_path: Path) -> None:
    """Changes go on all the time: some fall into the middle of it, and some cursors are of its very last moment."""
    rounds, size = 3, 100
    settings: dict[str, Any] = {"state": tmp_path / "state", "limits": "off"}

    async def story(servers: ExitStack) -> Swarm:
        server = await in_thread(lambda: servers.enter_context(run_server(**settings)))
        swarm = Swarm(server.port, size, 20, moves=True)
        try:
            await swarm.come()
            stirring = asyncio.ensure_future(swarm.stirring(300))
            for number in range(1, rounds + 1):

                def take_over(old: Server = server) -> Server:
                    with taking_over(servers, old, **settings) as new:
                        return new

                server = await in_thread(take_over)
                await until(lambda number=number: swarm.counts["arrived"] == (number + 1) * size)  # type: ignore[misc]
                await swarm.all_there()
            stirring.cancel()
        finally:
            await swarm.leave()
        return swarm

    with ExitStack() as servers:
        swarm = asyncio.run(story(servers))
    assert swarm.wrongs == []
    assert swarm.counts["refused"] == 0
    assert swarm.counts["continued"] == rounds * size
    assert swarm.counts["resumed"] == rounds * size


def test_the_sdk_moves_by_itself(tmp_path: Path) -> None:
    settings: dict[str, Any] = {"state": tmp_path / "state"}

    async def story(servers: ExitStack) -> None:
        server = servers.enter_context(run_server(**settings))
        watcher = await Client.observe(server, [7])
        async with connect(server.url, user_id=7, device_id="d", platform="WEB") as client:
            await watcher.change_of(7, "ONLINE")

            def take_over() -> Server:
                with taking_over(servers, server, **settings) as new:
                    return new

            new = await in_thread(take_over)
            assert await in_thread(lambda: new.status_of(7)) == "ONLINE"
            await client.set_status("BUSY")
            assert await in_thread(lambda: new.status_of(7)) == "BUSY"
        assert await watcher.closed() == 1012
        assert all(entry["status"] != "OFFLINE" for message in watcher.heard for entry in message.get("changes", ()))

    with ExitStack() as servers:
        asyncio.run(story(servers))


def test_what_was_there_is_there(tmp_path: Path) -> None:
    """REST devices, claims, and the position of a webhook."""
    hooks = tmp_path / "hooks.toml"
    with receiving() as receiver, ExitStack() as servers:
        hooks.write_text(entry_of(receiver.url))
        settings: dict[str, Any] = {"state": tmp_path / "state", "webhooks": hooks}
        server = servers.enter_context(run_server(**settings))
        for user in (1, 2, 3):
            server.online(user)
        server.request("PUT", "/status/2", {"status": "BUSY", "statusText": "开会中"})
        receiver.wait(lambda: receiver.fold().statuses == {1: "ONLINE", 2: "BUSY", 3: "ONLINE"})
        with taking_over(servers, server, **settings) as new:
            assert new.get("/status/2").data["status"] == "BUSY"
            assert new.post("/heartbeat", {"userId": 1, "deviceId": "rest"}).status == 200
            new.post("/offline", {"userId": 3, "deviceId": "rest"})
            receiver.wait(lambda: receiver.fold().statuses == {1: "ONLINE", 2: "BUSY"})
            gaps = [one.json["data"]["gap"] for one in receiver.received]
            assert gaps == [True] + [False] * (len(gaps) - 1), "it goes on from its position"


def test_a_new_server_that_fails_leaves_the_old_one_where_it_was(tmp_path: Path) -> None:
    state = tmp_path / "state"
    with ExitStack() as servers:
        server = servers.enter_context(run_server(state=state))
        server.online(1)
        taking = take(state)
        assert taking is not None
        assert [one.getsockname()[1] for one in taking.sockets] == [server.port]
        taking.wait_released()
        folder = Folder(str(state))
        folder.open()  # nobody holds it
        folder.close()
        for one in taking.sockets:
            one.close()
        taking.close()  # it is killed, say
        assert server.status_of(1) == "ONLINE"
        server.online(2)
        assert server.says("this one goes on")
        with pytest.raises(Held):
            folder.open()
        # and it can still be taken over, with all that happened meanwhile
        with taking_over(servers, server, state=state) as new:
            assert [new.status_of(user) for user in (1, 2)] == ["ONLINE", "ONLINE"]


def test_an_old_server_that_is_killed_meanwhile_is_no_loss(tmp_path: Path) -> None:
    state = tmp_path / "state"
    with run_server(state=state) as server:
        server.online(1)
        taking = take(state)
        assert taking is not None
        taking.wait_released()
        server.process.kill()
        server.wait()
        taking.ready()
        for one in taking.sockets:
            one.close()
    with run_server(state=state) as server:
        assert server.status_of(1) == "ONLINE"


def test_with_nobody_there_it_starts_as_usual(tmp_path: Path) -> None:
    state = tmp_path / "state"
    with run_server(state=state, takeover="on") as server:
        server.online(1)
        while not any(b"rest" in journal.read_bytes() for journal in state.glob("journal-*")):
            time.sleep(0.01)  # it is written with the next flush
        server.process.kill()  # which leaves the Unix socket behind
        server.wait()
    assert (state / wire.NAME).exists()
    with run_server(state=state, takeover="on") as server:
        assert server.status_of(1) == "ONLINE"


def run_to_its_end(*flags: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([SCRIPT, *flags], capture_output=True, text=True, timeout=60, check=False)


def test_takeover_needs_state() -> None:
    ran = run_to_its_end("--takeover")
    assert (ran.returncode, ran.stderr) == (2, "presence-server: --takeover: needs state\n")


def test_without_takeover_the_second_on_a_directory_ends(tmp_path: Path) -> None:
    with run_server(state=tmp_path / "state") as server:
        ran = run_to_its_end("--port", str(free_port()), "--state", str(tmp_path / "state"))
        assert ran.returncode == 1
        assert "is in use by another process" in ran.stderr
        assert server.get("/status/1").status == 200


def test_whoever_says_something_else_gets_nothing(tmp_path: Path) -> None:
    state = tmp_path / "state"
    with run_server(state=state) as server:
        for said in (b"", b"rubbish\n", b'{"type": "give"}\n', b'{"type": "take", "version": 99}\n', b"x" * 100_000):
            with socket.socket(socket.AF_UNIX) as connection:
                connection.settimeout(30)
                connection.connect(str(state / wire.NAME))
                with suppress(OSError):
                    connection.sendall(said)
                    connection.shutdown(socket.SHUT_WR)
                data, descriptors, _, _ = socket.recv_fds(connection, 4096, 10)
                assert not descriptors
                assert data == b"" or b'"refused"' in data
        server.online(1)
        assert server.status_of(1) == "ONLINE"


def test_a_server_that_refuses_is_told_of(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wire, "TAKE", {"type": "take", "version": 99})
    with run_server(state=tmp_path / "state"), pytest.raises(NotGiven, match="it speaks version 1 of the takeover"):
        take(tmp_path / "state")


def test_only_the_same_user_is_spoken_to(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with run_server(state=tmp_path / "state") as server:
        other = os.geteuid() + 1
        monkeypatch.setattr(os, "geteuid", lambda: other)
        with pytest.raises(NotGiven, match="it is another user's"):
            take(tmp_path / "state")
        assert not any("takeover begins" in line for line in server.log)


def test_a_directory_with_a_long_name(tmp_path: Path) -> None:
    state = tmp_path / ("x" * 100) / "state"
    with ExitStack() as servers:
        server = servers.enter_context(run_server(state=state))
        server.online(1)
        with taking_over(servers, server, state=state) as new:
            assert new.status_of(1) == "ONLINE"
