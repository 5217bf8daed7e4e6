"""Sockets that systemd holds, and ports that are shared: a restart at which nobody is refused."""

from __future__ import annotations

import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from presence_server.listening import BindError, Inherited, activated, address_of, listen
from support.server import BASE, SCRIPT, Server, free_port, run_server

AS_SYSTEMD_DOES = """
import os, sys
for place, descriptor in enumerate(map(int, sys.argv[1].split(","))):
    os.dup2(descriptor, 3 + place)
os.environ |= {"LISTEN_FDS": str(place + 1), "LISTEN_PID": str(os.getpid()), "LISTEN_FDNAMES": "presence"}
os.execv(sys.argv[2], sys.argv[2:])
"""


def by_systemd(*sockets: socket.socket) -> tuple[str, ...]:
    """What starts a server with these sockets. They must be inheritable."""
    for one in sockets:
        one.set_inheritable(True)
    return sys.executable, "-c", AS_SYSTEMD_DOES, ",".join(str(one.fileno()) for one in sockets), str(SCRIPT)


@contextmanager
def held(port: int) -> Iterator[socket.socket]:
    """A socket as a unit of systemd holds it."""
    with socket.create_server(("127.0.0.1", port), backlog=1024) as listener:
        yield listener


@contextmanager
def started(
    command: tuple[str, ...], port: int, sockets: tuple[socket.socket, ...], **settings: Any
) -> Iterator[Server]:
    """`run_server`, with descriptors handed on."""
    made = subprocess.Popen

    def with_descriptors(*args: Any, **kwargs: Any) -> Any:
        return made(*args, **kwargs, pass_fds=[one.fileno() for one in sockets])

    subprocess.Popen = with_descriptors  # type: ignore[assignment, misc]
    try:
        running = run_server(command, port=port, **settings)
        with running as server:
            subprocess.Popen = made  # type: ignore[misc]
            yield server
    finally:
        subprocess.Popen = made  # type: ignore[misc]


class Asking:
    """Threads that ask for a user's status all the time, each time over a new connection."""

    def __init__(self, port: int, is_right: Callable[[bytes], bool]) -> None:
        self._port = port
        self._is_right = is_right
        self._is_over = threading.Event()
        self.answered = 0
        self.wrong: list[str] = []
        self._threads = [threading.Thread(target=self._run, daemon=True) for _ in range(3)]

    def _run(self) -> None:
        while not self._is_over.is_set():
            try:
                with socket.create_connection(("127.0.0.1", self._port), timeout=60) as connection:
                    connection.sendall(
                        f"GET {BASE}/status/1 HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n".encode()
                    )
                    answer = b""
                    while data := connection.recv(65536):
                        answer += data
                if not self._is_right(answer):
                    self.wrong.append(answer.decode())
                self.answered += 1
            except OSError as failure:
                self.wrong.append(repr(failure))

    def begin(self) -> None:
        for thread in self._threads:
            thread.start()

    def end(self) -> None:
        self._is_over.set()
        for thread in self._threads:
            thread.join(90)


def is_online(answer: bytes) -> bool:
    return b" 200 OK" in answer[:20] and b'"status":"ONLINE"' in answer


def test_a_restart_behind_sockets_of_systemd_refuses_nobody(tmp_path: Path) -> None:
    port = free_port()
    with held(port) as listener:
        command = by_systemd(listener)
        with started(command, port, (listener,), state=tmp_path / "state") as server:
            server.online(1)
            asking = Asking(port, is_online)
            asking.begin()
            try:
                while asking.answered < 10:
                    time.sleep(0.01)
                server.terminate()
                assert server.wait() == 0
                before = asking.answered
                with started(command, port, (listener,), state=tmp_path / "state") as again:
                    assert again.status_of(1) == "ONLINE"
                    asking.end()
            finally:
                asking.end()
            assert asking.wrong == []
            assert asking.answered > before


def test_systemds_sockets_count_and_not_the_settings(tmp_path: Path) -> None:
    """Among them: a server that others can reach knows that they can."""
    port = free_port()
    with socket.create_server(("0.0.0.0", port)) as listener:
        command = by_systemd(listener)
        with started(command, port, (listener,), host="127.0.0.9") as server:
            assert server.get("/status/1").status == 200
            line = next(line for line in server.log if line.startswith("presence-server "))
            assert f" at http://127.0.0.1:{port}/ |" in line
            assert server.says("no credentials are asked for"), "it knows that others reach it"


def test_a_unix_socket_of_systemd(tmp_path: Path) -> None:
    path, port = tmp_path / "s", free_port()
    with held(port) as listener, socket.socket(socket.AF_UNIX) as local:
        local.bind(str(path))
        local.listen()
        sockets = (listener, local)
        with started(by_systemd(*sockets), port, sockets), socket.socket(socket.AF_UNIX) as client:
            client.connect(str(path))
            client.sendall(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
            assert client.recv(1000).startswith(b"HTTP/1.1 200")
        assert path.exists(), "it is systemd's"


@pytest.mark.parametrize(
    ("environ", "expected"),
    [
        ({}, []),
        ({"LISTEN_FDS": "1", "LISTEN_PID": "7"}, []),
        ({"LISTEN_FDS": "1"}, []),
        ({"LISTEN_FDS": "0", "LISTEN_PID": "1"}, []),
    ],
)
def test_variables_that_are_not_for_this_process(environ: dict[str, str], expected: list[Any]) -> None:
    assert activated(environ, 1) == expected


@pytest.mark.parametrize("count", ["", "x", "-1", "99999", "٣"])
def test_a_number_that_is_none(count: str) -> None:
    with pytest.raises(BindError, match="LISTEN_FDS must be a number"):
        activated({"LISTEN_FDS": count, "LISTEN_PID": "1"}, 1)


def test_a_descriptor_that_is_no_listening_socket() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
        ran = subprocess.run(
            by_systemd(other), capture_output=True, text=True, timeout=60, check=False, pass_fds=[other.fileno()]
        )
    assert (ran.returncode, ran.stderr) == (
        1,
        "presence-server: LISTEN_FDS: descriptor 3 is no stream socket that is listened on\n",
    )


# -- shared ports ------------------------------------------------------------------------------------------------------


def test_two_servers_share_a_port_that_both_say_may_be_shared() -> None:
    with run_server(reuse_port="on") as server, run_server(reuse_port="on", port=server.port) as other:
        while not any('"started"' in line for line in other.log):
            time.sleep(0.01)  # until then the first one answers
        for _ in range(20):
            assert server.get("/status/1").status == 200
        server.terminate()
        assert server.wait() == 0
        for _ in range(20):
            assert other.get("/status/1").status == 200


def test_a_port_is_not_shared_by_accident() -> None:
    with run_server() as server:
        ran = subprocess.run(
            [SCRIPT, "--port", str(server.port)], capture_output=True, text=True, timeout=60, check=False
        )
        assert ran.returncode == 1
        assert "Address already in use" in ran.stderr


# -- what is inherited -------------------------------------------------------------------------------------------------


def test_what_is_inherited_is_not_bound_again() -> None:
    before = listen("127.0.0.1,::1", 0)
    try:
        port = before[0].getsockname()[1]
        inherited = Inherited(before)
        after = listen("127.0.0.1,::1", port, inherited=inherited)
        assert [one.fileno() for one in after] == [one.fileno() for one in before]
        assert address_of(after) == ("127.0.0.1,::1", port)
        assert [one.fileno() for one in listen("::1,127.0.0.1", 0, inherited=Inherited(before))] == [
            one.fileno() for one in reversed(before)
        ]
    finally:
        for one in before:
            one.close()


def test_what_nobody_takes_is_closed_and_what_is_new_is_bound() -> None:
    (before,) = listen("127.0.0.1", 0)
    inherited = Inherited([before])
    (after,) = listen("127.0.0.2", 0, inherited=inherited)
    try:
        assert after.getsockname()[0] == "127.0.0.2"
        inherited.close()
        assert before.fileno() == -1
    finally:
        after.close()
