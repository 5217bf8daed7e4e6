"""The life of the process: from its flags to its exit code."""

from __future__ import annotations

import asyncio
import json
import os
import pty
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

import pytest
import uvicorn
from websockets.exceptions import InvalidStatus

from presence_server import __version__
from presence_server.listening import listen, page_url
from presence_server.process import PresenceServer
from presence_server.settings import DECLARATIONS
from support.client import Client
from support.server import BASE, SCRIPT, Server, free_port, run_server

if TYPE_CHECKING:
    from presence_server.transports.gateway import Gateway

PATIENCE = 20.0
"""Seconds for a process to start or to end on a busy machine."""


def environment(**variables: str) -> dict[str, str]:
    """The process's own, without what would configure a server."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PRESENCE_")}
    return kept | variables


def run(*arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """The console script, expected to end by itself."""
    return subprocess.run(
        [str(SCRIPT), *arguments], capture_output=True, text=True, env=environment(**variables), timeout=PATIENCE
    )


class Outputs:
    """A server of which standard output and standard error are kept apart."""

    def __init__(self, folder: Path, *arguments: str) -> None:
        self.out, self.err = folder / "out", folder / "err"
        self.port = free_port()
        with self.out.open("w") as out, self.err.open("w") as err:
            self.process = subprocess.Popen(
                [str(SCRIPT), "--port", str(self.port), *arguments], stdout=out, stderr=err, env=environment()
            )

    def end(self) -> tuple[str, str]:
        """Let it start, ask it to end, and return both outputs."""
        try:
            wait_for(lambda: self.out.read_text().endswith("\n"))
            wait_for_start(self.port)
            self.process.send_signal(signal.SIGTERM)
            assert self.process.wait(PATIENCE) == 0
        finally:
            self.process.kill()
            self.process.wait()
        return self.out.read_text(), self.err.read_text()


def wait_for(holds: Callable[[], bool]) -> None:
    """Until `holds`: another process is at work, so there is no clock to pass in."""
    give_up = time.monotonic() + PATIENCE
    while not holds():
        assert time.monotonic() < give_up, "waited in vain"
        time.sleep(0.02)


def wait_for_start(port: int) -> None:
    """Until the server answers a request: listening alone begins before it can be told to end in peace."""
    with socket.create_connection(("127.0.0.1", port), PATIENCE) as asking:
        asking.sendall(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        assert asking.recv(100).startswith(b"HTTP/1.1 200")


# -- settings ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "variables", "line"),
    [
        (["--port", "x"], {}, "--port: must be a whole number, not 'x'"),
        ([], {"PRESENCE_PORT": "x"}, "PRESENCE_PORT: must be a whole number, not 'x'"),
        (["--grace-period=-1"], {}, "--grace-period: must be at least 0 seconds, not -1"),
        ([], {"PRESENCE_GRACE_PERIOD": "nan"}, "PRESENCE_GRACE_PERIOD: must be a finite number of seconds, not nan"),
        (["--grace", "1"], {}, "--grace: no such flag; did you mean --grace-period?"),
        (["--shards"], {}, "--shards: needs a value"),
        (["9000"], {}, "9000: not a flag; see presence-server --help"),
        (["--log-level", "loud"], {}, "--log-level: must be one of debug, info, warning, error, not 'loud'"),
        (
            ["--engine", "redis://u:hunter2@h"],
            {},
            "--engine: a network engine is not available yet; the only engine is memory",
        ),
        (
            ["--flush-interval", "2"],
            {"PRESENCE_MAX_FLUSH_INTERVAL": "1"},
            "--flush-interval: flush_interval (2 seconds) must not be greater than max_flush_interval (1 seconds)",
        ),
    ],
)
def test_a_wrong_setting_is_one_line_that_names_it_and_exit_2(
    arguments: list[str], variables: dict[str, str], line: str
) -> None:
    ended = run(*arguments, **variables)
    assert (ended.returncode, ended.stdout) == (2, "")
    assert ended.stderr == f"presence-server: {line}\n"


def test_help_tells_every_flag_and_version_the_version() -> None:
    helped = run("--help")
    assert (helped.returncode, helped.stderr) == (0, "")
    assert all(declaration.flag in helped.stdout for declaration in DECLARATIONS)
    versioned = run("--version")
    assert (versioned.returncode, versioned.stderr) == (0, "")
    assert versioned.stdout == f"presence-server {__version__}\n"


def test_python_m_is_the_same_program() -> None:
    command = [sys.executable, "-m", "presence_server", "--version"]
    ended = subprocess.run(command, capture_output=True, text=True, env=environment(), timeout=PATIENCE)
    assert (ended.returncode, ended.stdout) == (0, f"presence-server {__version__}\n")


# -- listening -----------------------------------------------------------------------------------------------------


def test_a_port_that_is_taken_is_one_line_and_exit_1() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        ended = run("--port", str(port))
    assert (ended.returncode, ended.stdout) == (1, "")
    assert ended.stderr == f"presence-server: cannot listen on 127.0.0.1:{port}: Address already in use\n"


def test_another_machines_address_is_one_line_and_exit_1() -> None:
    ended = run("--host", "192.0.2.1")  # TEST-NET-1 (RFC 5737): nobody's
    assert (ended.returncode, ended.stdout) == (1, "")
    assert ended.stderr == "presence-server: cannot listen on 192.0.2.1:8004: Cannot assign requested address\n"


def test_a_host_name_that_does_not_exist_is_one_line_and_exit_1() -> None:
    ended = run("--host", "nowhere.invalid")
    assert (ended.returncode, ended.stdout) == (1, "")
    assert ended.stderr.startswith("presence-server: cannot listen on nowhere.invalid:8004: ")
    assert ended.stderr.count("\n") == 1


def test_an_address_that_this_machine_lacks_is_no_reason_to_fail_where_the_name_has_another(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """`localhost` is ::1 as well in many a hosts file, also where there is no IPv6."""
    found = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (host, 0)) for host in ("192.0.2.1", "127.0.0.1")]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_args, **_options: found)
    (listener,) = listen("localhost", 0)
    with listener:
        assert listener.getsockname()[0] == "127.0.0.1"


def reached(listeners: list[socket.socket]) -> set[str]:
    """Of 127.0.0.1, 127.0.0.2 and ::1, those on which somebody listens at the listeners' port."""
    (port,) = {listener.getsockname()[1] for listener in listeners}
    answering = set()
    for address in ("127.0.0.1", "127.0.0.2", "::1"):
        with suppress(OSError), socket.create_connection((address, port), 5):
            answering.add(address)
    return answering


def has_ipv6() -> bool:
    with suppress(OSError), socket.create_server(("::1", 0), family=socket.AF_INET6):
        return True
    return False


@pytest.mark.parametrize(
    ("host", "addresses"),
    [
        ("127.0.0.1", {"127.0.0.1"}),
        ("127.0.0.1,127.0.0.2", {"127.0.0.1", "127.0.0.2"}),
        ("127.0.0.1, 127.0.0.1", {"127.0.0.1"}),
        ("0.0.0.0", {"127.0.0.1", "127.0.0.2"}),
        ("::", {"127.0.0.1", "127.0.0.2", "::1"}),
        ("::, 0.0.0.0", {"127.0.0.1", "127.0.0.2", "::1"}),
    ],
)
def test_it_listens_on_every_address_that_is_asked_for(host: str, addresses: set[str]) -> None:
    listeners = listen(host, 0)
    try:
        assert reached(listeners) == (addresses if has_ipv6() else addresses - {"::1"})
    finally:
        for listener in listeners:
            listener.close()


@pytest.mark.parametrize("host", ["::,127.0.0.1", "127.0.0.1,::", "::1,::", "0.0.0.0,127.0.0.1", "127.0.0.1,0.0.0.0"])
def test_an_address_beside_every_address_is_among_them(host: str) -> None:
    listeners = listen(host, 0)
    try:
        assert reached(listeners) >= {"127.0.0.1", "127.0.0.2"}
    finally:
        for listener in listeners:
            listener.close()


def test_port_0_is_a_port_that_is_free_at_every_address(monkeypatch: pytest.MonkeyPatch) -> None:
    """The system looks for a free port at the first address alone; another process may have it at the second."""
    bind = socket.socket.bind
    taken: list[socket.socket] = []

    def somebody_is_faster(self: socket.socket, address: Any) -> None:
        if self.family == socket.AF_INET and address[0] == "127.0.0.2" and len(taken) < 3:
            taken.append(socket.socket())
            bind(taken[-1], address)
            taken[-1].listen()
        bind(self, address)

    monkeypatch.setattr(socket.socket, "bind", somebody_is_faster)
    listeners: list[socket.socket] = []
    try:
        listeners = listen("127.0.0.1,127.0.0.2", 0)
        assert reached(listeners) == {"127.0.0.1", "127.0.0.2"}
        assert len(taken) == 3
    finally:
        for one in (*listeners, *taken):
            one.close()


def test_host_may_be_given_more_than_once() -> None:
    ended = run("--host", "127.0.0.1", "--host", "nowhere.invalid")
    assert (ended.returncode, ended.stdout) == (1, "")
    assert ended.stderr.startswith("presence-server: cannot listen on nowhere.invalid:8004: ")


@pytest.mark.parametrize(
    ("host", "url"),
    [
        ("127.0.0.1", "http://127.0.0.1:80/"),
        ("::1", "http://[::1]:80/"),
        ("0.0.0.0", "http://127.0.0.1:80/"),
        ("::", "http://[::1]:80/"),
        ("presence.example", "http://presence.example:80/"),
    ],
)
def test_the_link_leads_to_where_it_listens(host: str, url: str) -> None:
    """Not to `localhost`, which may be the other IP's."""
    assert page_url(host, 80) == url


def test_it_can_be_started_again_at_once_on_the_port_of_before() -> None:
    """Connections of before linger in TIME_WAIT; they are no reason to fail."""

    async def hold() -> None:
        client = await Client.hello(server, 1)
        server.terminate()
        assert await client.closed() == 1012

    with run_server(drain_timeout=0.2) as server:
        asyncio.run(hold())
        assert server.wait() == 0
    with run_server(port=server.port) as again:
        assert again.get("//readyz").status == 200


# -- what it says --------------------------------------------------------------------------------------------------


def test_the_start_line_has_the_link_the_limits_and_both_ghost_bounds(tmp_path: Path) -> None:
    server = Outputs(
        tmp_path,
        *("--ping-interval", "5", "--pong-timeout", "2.5", "--grace-period", "1", "--heartbeat-interval", "4"),
        *("--max-connections", "100", "--max-watched", "7", "--max-devices", "3"),
        *("--max-batch", "11", "--max-message", "2048"),
    )
    out, _ = server.end()
    assert out == (
        f"presence-server {__version__} at http://127.0.0.1:{server.port}/ | "
        "a dead link shows as OFFLINE within 10.5 s (WebSocket) or 12 s (REST) | "
        "up to 100 connections, 7 watched users each, 3 devices per user, 11 users per query, 2048 bytes per message\n"
    )


def test_port_0_takes_a_free_one_and_the_link_tells_which(tmp_path: Path) -> None:
    server = Outputs(tmp_path, "--port", "0")
    try:
        wait_for(lambda: server.out.read_text().endswith("\n"))
        found = re.search(r"http://127\.0\.0\.1:([1-9]\d*)/", server.out.read_text())
        assert found is not None
        wait_for_start(int(found[1]))
    finally:
        server.process.kill()
        server.process.wait()


def test_logs_are_json_where_there_is_no_terminal(tmp_path: Path) -> None:
    _, err = Outputs(tmp_path).end()
    events = [json.loads(line) for line in err.splitlines()]
    assert [event["event"] for event in events] == ["started", "draining", "drained", "ended"]
    assert all({"time", "level", "logger"} <= event.keys() for event in events)


def test_logs_are_human_when_asked_for(tmp_path: Path) -> None:
    _, err = Outputs(tmp_path, "--log-format", "human").end()
    assert [line.split()[1:3] for line in err.splitlines()] == [
        ["INFO", "started"],
        ["INFO", "draining"],
        ["INFO", "drained"],
        ["INFO", "ended"],
    ]


def test_logs_are_human_on_a_terminal() -> None:
    ours, theirs = pty.openpty()
    try:
        process = subprocess.Popen(
            [str(SCRIPT), "--port", "0"], stdout=subprocess.DEVNULL, stderr=theirs, env=environment()
        )
        try:
            line = os.read(ours, 1000).decode()
        finally:
            process.kill()
            process.wait()
    finally:
        os.close(ours)
        os.close(theirs)
    assert re.match(r"\d{4}-\d\d-\d\dT[\d:.]+Z INFO    started url=http://127\.0\.0\.1:\d+/", line)


@pytest.mark.parametrize(
    ("name", "value", "meant"),
    [
        ("PRESENCE_GRACE_PERIODS", "1", "PRESENCE_GRACE_PERIOD"),
        ("PYTHONHASHSEED", "0", "unset: clients could choose what collides"),
    ],
)
def test_a_variable_that_is_a_mistake_is_warned_of(name: str, value: str, meant: str) -> None:
    process = subprocess.Popen(
        [str(SCRIPT), "--port", "0"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        env=environment(**{name: value}),
    )
    with process:
        assert process.stderr is not None
        warned = json.loads(process.stderr.readline())
        process.kill()
    assert (warned["level"], warned["name"], warned["meant"]) == ("warning", name, meant)


def test_no_token_gets_into_the_logs() -> None:
    """Neither that of a hello nor that of a header, however odd the message, at the chattiest level."""
    secret = "s3cr3t-t0k3n"

    async def talk() -> None:
        client = await Client.open(server, additional_headers={"Authorization": f"Bearer {secret}"})
        await client.send(type="hello", userId=1, deviceId="d", platform="WEB", token=secret)
        await client.receive("welcome")
        await client.close()
        refused = await Client.open(server)
        await refused.send(type="hello", userId=0, deviceId="d", platform="WEB", token=secret)
        assert await refused.closed() == 4400
        broken = await Client.open(server)
        await broken.connection.send(f'{{"type":"hello","token":"{secret}"')
        assert await broken.closed() == 4400

    with run_server(log_level="debug") as server:
        asyncio.run(talk())
        server.request("GET", "/status/1", headers={"Authorization": f"Bearer {secret}", "Cookie": f"a={secret}"})
        server.request("GET", f"/status/x?token={secret}", headers={"Authorization": f"Bearer {secret}"})
        server.terminate()
        assert server.wait() == 0
        wait_for(lambda: any('"ended"' in line for line in server.log))
    log = "\n".join(server.log)
    assert "session began" in log
    assert secret not in log


# -- the end -------------------------------------------------------------------------------------------------------


def end_of(server: Server, story: Callable[[], Awaitable[None]], drain_timeout: float) -> float:
    """Play `story`, which tells the server to end at some time; the seconds from its beginning to exit code 0."""
    began = time.monotonic()
    asyncio.run(asyncio.wait_for(story(), drain_timeout + PATIENCE))
    assert server.wait() == 0
    return time.monotonic() - began


async def in_thread(call: Callable[..., Any], *arguments: Any) -> Any:
    """What would block the loop on which the test's own clients live."""
    return await asyncio.to_thread(call, *arguments)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_without_connections_it_ends_quickly_with_exit_code_0(number: int) -> None:
    with run_server(drain_timeout=60) as server:
        server.process.send_signal(number)
        assert server.wait(PATIENCE) == 0


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_the_drain(number: int) -> None:
    """While one client stays to the end, everything that a draining server owes to everybody else."""
    drain = 4.0

    async def story() -> None:
        stays = await Client.hello(server, 1)
        leaves = await Client.hello(server, 2)
        observer = await Client.observe(server, [2, 3])
        await observer.receive("snapshot")
        server.online(3)
        await observer.change_of(3, "ONLINE")
        unspoken = await Client.open(server)
        cursor = server.post("/changes", {"userIds": [2]}).data["cursor"]
        question = {"userIds": [2], "cursor": cursor, "waitMs": 60_000}
        poll = asyncio.ensure_future(in_thread(server.post, "/changes", question))
        await in_thread(wait_for, lambda: server.metric("presence_long_polls") == 1)

        server.process.send_signal(number)
        signalled = time.monotonic()
        for client in (stays, leaves, observer):
            told = await client.receive("reconnect")
            assert told["reason"] == "draining"
            assert 0 <= told["afterMs"] <= drain * 1000
        assert (await poll).data["changes"] == []
        assert time.monotonic() - signalled < 2

        not_ready = server.get("//readyz")
        assert (not_ready.status, not_ready.json) == (503, {"status": "draining"})
        assert server.get("//healthz").status == 200
        with pytest.raises(InvalidStatus) as refused:
            await Client.open(server)
        assert refused.value.response.status_code == 503
        assert int(refused.value.response.headers["Retry-After"]) > 0
        await unspoken.send(type="hello", userId=4, deviceId="d", platform="WEB")
        assert await unspoken.closed() == 4503

        for method, path, body in [
            ("POST", "/online", {"userId": 4, "deviceId": "d", "platform": "WEB"}),
            ("PUT", "/status/1", {"status": "BUSY"}),
            ("DELETE", "/status/1", None),
        ]:
            answer = server.request(method, path, body)
            assert (answer.status, answer.data["error"]) == (503, "unavailable"), path
            assert int(answer.headers["Retry-After"]) > 0
        assert server.post("/heartbeat", {"userId": 3, "deviceId": "rest"}).status == 200
        assert server.status_of(1) == "ONLINE"
        assert server.post("/status/batch", {"userIds": [1]}).data == [{"userId": 1, "status": "ONLINE"}]
        assert server.post("/changes", {"userIds": [2], "waitMs": 60_000}).data["resumed"] is False
        assert server.post("/offline", {"userId": 3, "deviceId": "rest"}).status == 200
        await observer.change_of(3, "OFFLINE")
        assert (await stays.ask(type="query", userIds=[1]))["statuses"][0]["status"] == "ONLINE"

        await leaves.close(1001)
        assert await observer.hears_nothing(1.0), "the grace period is much shorter than that"
        assert server.status_of(2) == "ONLINE"

        assert await stays.closed(drain) == 1012
        assert await observer.closed() == 1012
        assert drain - 2.5 < time.monotonic() - signalled < drain

    with run_server(drain_timeout=drain, grace_period=0.2) as server:
        end_of(server, story, drain)


def test_it_ends_within_the_drain_timeout_whatever_is_still_open() -> None:
    """A client that reads nothing, a request whose body never comes, a connection without a request."""
    drain = 3.0

    async def story() -> None:
        client = await Client.hello(server, 1)
        client.connection.transport.pause_reading()
        address = ("127.0.0.1", server.port)
        with socket.create_connection(address) as half, socket.create_connection(address) as silent:
            fields = "Host: localhost\r\nContent-Type: application/json\r\nContent-Length: 99"
            half.sendall(f"POST {BASE}/online HTTP/1.1\r\n{fields}\r\n\r\n{{".encode())
            server.get("//healthz")
            server.terminate()
            signalled = time.monotonic()
            assert await in_thread(server.wait) == 0
            assert time.monotonic() - signalled < drain
            del silent
        client.vanish()

    with run_server(drain_timeout=drain) as server:
        end_of(server, story, drain)


def test_it_ends_as_soon_as_the_last_client_has_left() -> None:
    async def story() -> None:
        client = await Client.hello(server, 1)
        server.terminate()
        await client.receive("reconnect")
        await client.close(1001)

    with run_server(drain_timeout=60) as server:
        assert end_of(server, story, 60) < 10


def test_without_any_drain_clients_still_learn_that_they_should_come_back() -> None:
    async def story() -> None:
        client = await Client.hello(server, 1)
        server.terminate()
        assert await client.closed() == 1012

    with run_server(drain_timeout=0) as server:
        assert end_of(server, story, 0) < 5


@pytest.mark.parametrize("second", [signal.SIGTERM, signal.SIGINT])
def test_the_second_signal_ends_it_at_once(second: int) -> None:
    async def story() -> None:
        client = await Client.hello(server, 1)
        server.terminate()
        await client.receive("reconnect")
        server.process.send_signal(second)
        signalled = time.monotonic()
        assert await client.closed() in (1006, 1012)
        await in_thread(server.wait)
        assert time.monotonic() - signalled < 3

    with run_server(drain_timeout=60) as server:
        end_of(server, story, 60)


def test_a_drain_that_fails_ends_the_process_all_the_same(caplog: pytest.LogCaptureFixture) -> None:
    class Broken:
        access = SimpleNamespace(reload=lambda: None)

        @property
        def connections(self) -> set[object]:
            raise RuntimeError("a bug")

    class ToldAtOnce(PresenceServer):
        async def startup(self, sockets: list[Any] | None = None) -> None:
            await super().startup(sockets)
            self.handle_exit(signal.SIGTERM, None)

    async def no_app(_scope: object, _receive: object, _send: object) -> None:
        """Nobody asks."""

    async def story() -> None:
        with socket.create_server(("127.0.0.1", 0)) as listener:
            config = uvicorn.Config(no_app, lifespan="off", log_config=None)
            server = ToldAtOnce(config, cast("Gateway", Broken()), drain_timeout=60)
            await asyncio.wait_for(server.serve(sockets=[listener]), PATIENCE)

    asyncio.run(story())
    assert "drain failed" in caplog.text
