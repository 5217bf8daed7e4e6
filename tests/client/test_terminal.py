"""`presence-client watch` and `online`, and the demo: what a person sees, typed and signalled."""

from __future__ import annotations

import json
import os
import pty
import re
import select
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from presence_client.actions import ConnectionState, Phase
from presence_client.commands.online import self_line
from presence_client.commands.screen import Row, line_of, state_line
from presence_client.conversation import Kind
from presence_protocol.messages import Override, SelfDevice, SelfView
from support.server import Server, free_port, run_server

SCRIPT = Path(sys.executable).parent / "presence-client"


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with run_server(grace_period=0.5, min_publish_interval=0) as running:
        yield running


class Terminal:
    """A running command. `out` is what it wrote so far."""

    def __init__(self, process: subprocess.Popen[bytes], reader: int, writer: int) -> None:
        self.process = process
        self.out = ""
        self._reader = reader
        self._writer = writer

    def until(self, pattern: str, seconds: float = 10) -> re.Match[str]:
        """Read until this was written (after what was found before), and take it off."""
        give_up = time.monotonic() + seconds
        while (found := re.search(pattern, self.out)) is None:
            left = give_up - time.monotonic()
            assert left > 0, f"{pattern!r} did not come: {self.out!r}"
            if select.select([self._reader], [], [], left)[0]:
                self.out += os.read(self._reader, 65536).decode()
        self.out = self.out[found.end() :]
        return found

    def type(self, line: str) -> None:
        os.write(self._writer, f"{line}\n".encode())

    def leave(self, number: int = signal.SIGINT) -> int:
        self.process.send_signal(number)
        return self.process.wait(10)


def environment(**more: str) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.lower().endswith("_proxy")}
    return kept | {"TERM": "xterm"} | more


@contextmanager
def piped(*arguments: str, **more: str) -> Iterator[Terminal]:
    with subprocess.Popen(
        [str(SCRIPT), *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env=environment(**more),
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            yield Terminal(process, process.stdout.fileno(), process.stdin.fileno())
        finally:
            process.kill()


@contextmanager
def on_a_terminal(*arguments: str, **more: str) -> Iterator[Terminal]:
    ours, theirs = pty.openpty()
    try:
        with subprocess.Popen(
            [str(SCRIPT), *arguments], stdin=theirs, stdout=theirs, stderr=theirs, env=environment(**more)
        ) as process:
            try:
                yield Terminal(process, ours, ours)
            finally:
                process.kill()
    finally:
        os.close(ours)
        os.close(theirs)


# --- online ----------------------------------------------------------------------------------------------------------


def test_online_stays_and_does_what_is_typed(server: Server) -> None:
    with piped("online", "--user", "10", "--device", "laptop", "--url", server.url) as terminal:
        terminal.until(r"10 on laptop; type a\(way\)")
        terminal.until("online over websocket")
        terminal.until("10 is ONLINE( until .*)?; devices: laptop")
        for typed, told, status in [
            ("busy in a meeting", r"10 is BUSY \(in a meeting\) until .*; devices: laptop", "BUSY"),
            ("a", "10 is AWAY( until .*)?; devices: laptop", "AWAY"),
            ("invisible", "10 is invisible.*; devices: laptop", "OFFLINE"),
            ("o", "10 is ONLINE( until .*)?; devices: laptop", "ONLINE"),
            ("idle", "10 is ONLINE( until .*)?; devices: laptop idle", "ONLINE"),
            ("back", "10 is AWAY( until .*)?; devices: laptop idle", "AWAY"),
            ("active", "10 is ONLINE( until .*)?; devices: laptop", "ONLINE"),
        ]:
            terminal.type(typed)
            terminal.until(told)
            assert server.status_of(10) == status, typed
        terminal.type("dance")
        terminal.until("'dance' is nothing to do; type")
        terminal.type(f"busy {'x' * 141}")
        terminal.until("busy: text must be a string of at most 140")
        terminal.type("q")
        terminal.until("left\n")
        assert terminal.process.wait(5) == 0
    assert server.status_of(10) == "OFFLINE"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_ctrl_c_leaves_with_a_goodbye(server: Server, number: int) -> None:
    with on_a_terminal("online", "--user", "11", "--device", "laptop", "--url", server.url) as terminal:
        terminal.until("11 is ONLINE")
        assert terminal.leave(number) == 0
        terminal.until("left")
    assert server.status_of(11) == "OFFLINE"


def test_online_shows_how_its_connection_fares() -> None:
    port = free_port()
    with piped("online", "--user", "12", "--device", "d", "--url", f"http://127.0.0.1:{port}") as terminal:
        terminal.until(r"waiting \d+\.\d s to connect again: Connection refused")
        with run_server(port=port, drain_timeout=0.2) as server:
            terminal.until(
                "online over websocket", 60
            )  # the backoff may be at its greatest, where the server was slow to start
            server.terminate()
            terminal.until(r"waiting \d+\.\d s to connect again: the server is ending")
            server.wait()
        assert terminal.leave() == 0


def test_another_window_of_the_same_device_takes_over(server: Server) -> None:
    with piped("online", "--user", "13", "--device", "d", "--url", server.url) as first:
        first.until("13 is ONLINE")
        with piped("online", "--user", "13", "--device", "d", "--url", server.url) as second:
            second.until("13 is ONLINE")
            first.until(r"presence-client: the server closed for good \(4409: .*give each its own device_id")
            assert first.process.wait(5) == 1
            assert second.leave() == 0


def test_without_input_it_stays(server: Server) -> None:
    with piped("online", "--user", "14", "--device", "d", PRESENCE_URL=server.url) as terminal:
        terminal.until("14 is ONLINE")
        assert terminal.process.stdin is not None
        terminal.process.stdin.close()
        with pytest.raises(subprocess.TimeoutExpired):
            terminal.process.wait(0.3)
        assert server.status_of(14) == "ONLINE"
        assert terminal.leave() == 0


# --- watch -----------------------------------------------------------------------------------------------------------


def test_watch_writes_a_line_per_change(server: Server) -> None:
    with piped("watch", "20", "21", "--url", server.url) as terminal:
        terminal.until("watching over websocket")
        terminal.until(r"\d\d:\d\d:\d\d  20  OFFLINE  -        never seen\n")
        server.online(21, "d", "IOS")
        terminal.until(r"21  ONLINE   IOS      last active 20\S+Z\n")
        server.request("PUT", "/status/21", {"status": "BUSY", "statusText": "lunch"})
        terminal.until(r"21  BUSY     IOS      last active 20\S+Z  lunch\n")
        assert terminal.leave() == 0
    server.post("/offline", {"userId": 21, "deviceId": "d"})


def test_watch_writes_json(server: Server) -> None:
    with piped("watch", "22", "--json", "--url", server.url) as terminal:
        line = terminal.until(r"\{.*\}\n")[0]
        assert json.loads(line) == {
            "userId": 22, "status": "OFFLINE", "platforms": [], "lastActiveTime": None, "version": 0,
        }  # fmt: skip
        server.online(22, "d", "PC")
        assert json.loads(terminal.until(r"\{.*\}\n")[0])["status"] == "ONLINE"
    server.post("/offline", {"userId": 22, "deviceId": "d"})


def test_watch_draws_a_table_on_a_terminal(server: Server) -> None:
    with on_a_terminal("watch", "23", "24", "--url", server.url) as terminal:
        terminal.until(r"watching over websocket.*\r\n.*23  .*OFFLINE.*\r\n.*24  .*OFFLINE.*\r\n")
        server.online(24, "d", "ANDROID")
        terminal.until(r"\x1b\[3A.*watching.*\r\n.*23  .*OFFLINE.*\r\n.*24  \x1b\[32mONLINE \x1b\[0m  ANDROID.*\r\n")
        assert terminal.leave() == 0
    with on_a_terminal("watch", "24", "--url", server.url, NO_COLOR="1") as terminal:
        terminal.until(r"24  ONLINE   ANDROID  last active")
    server.post("/offline", {"userId": 24, "deviceId": "d"})


def test_watch_says_when_its_table_is_out_of_date() -> None:
    with run_server(drain_timeout=0.2) as server, on_a_terminal("watch", "25", "--url", server.url) as terminal:
        terminal.until("OFFLINE")
        server.terminate()
        terminal.until(r"waiting \d+\.\d s to connect again: .* \(as of \d\d:\d\d:\d\d\)")


def test_who_has_read_enough_closes_the_pipe(server: Server) -> None:
    code = f"{SCRIPT} watch {' '.join(map(str, range(1, 400)))} --json --url {server.url} | head -n 1"
    ended = subprocess.run(code, shell=True, capture_output=True, text=True, env=environment(), timeout=20)
    assert ended.stdout.count("\n") == 1
    assert "Traceback" not in ended.stderr


# --- words -----------------------------------------------------------------------------------------------------------


def test_what_others_say_cannot_move_the_cursor() -> None:
    assert "\x1b" not in line_of(Row(1, "BUSY", [], None, "\x1b[2J"))
    assert line_of(Row(1, "BUSY", ["\x1b[2J"], None, "\x1b[2J"), is_coloured=True).count("\x1b") == 2


def test_what_others_say_is_shown_as_they_write_it() -> None:
    for text in (
        "\U0001f469\u200d\U0001f4bb coding",
        "\u0645\u06cc\u200c\u0631\u0648\u0645",
        "\u4f1a\u8bae\u300018:00",
    ):
        assert text in line_of(Row(1, "BUSY", [], None, text))
    assert line_of(Row(1, "BUSY", [], None, "a\u202eb")).endswith("a?b")


def test_a_reason_that_is_longer_than_a_line_is_read_whole() -> None:
    url = f"https://127.0.0.1:{free_port()}/{'path-' * 12}"
    with on_a_terminal("watch", "26", "--url", url, COLUMNS="60") as terminal:
        terminal.until(r"waiting \S+ s to connect again: Connection refused\x1b\[K\r\n\x1b\[\?7l\r26  \.\.\.")
        terminal.until(r"\x1b\[4A\r")  # three rows of it, and one user
        assert terminal.leave() == 0


@pytest.mark.parametrize(
    ("state", "words"),
    [
        (ConnectionState(Phase.CONNECTING), "connecting"),
        (ConnectionState(Phase.ONLINE, Kind.REST), "online over rest"),
        (ConnectionState(Phase.WAITING, None, 1.25, 1006, "HTTP 502"), "waiting 1.2 s to connect again: HTTP 502"),
        (ConnectionState(Phase.CLOSED, None, None, 4403, "no"), "closed: no"),
    ],
)
def test_a_state_in_words(state: ConnectionState, words: str) -> None:
    assert state_line(state) == words


def test_a_users_own_truth_in_words() -> None:
    device = SelfDevice("phone", "IOS", "2025-11-09T15:00:00Z", True)
    override = Override("BUSY", "2025-11-09T16:00:00Z")
    assert self_line(SelfView(5, "BUSY", override, [device], "lunch")) == (
        "5 is BUSY (lunch) until 2025-11-09T16:00:00Z; devices: phone idle"
    )
    assert self_line(SelfView(5, "OFFLINE", None, [])) == "5 is OFFLINE; devices: none"


# --- demo ------------------------------------------------------------------------------------------------------------


def test_the_demo_plays_and_can_be_interrupted() -> None:
    with subprocess.Popen(
        [sys.executable, "-m", "presence_client.demo"],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env=environment(),
    ) as process:
        assert process.stdout is not None
        terminal = Terminal(process, process.stdout.fileno(), -1)
        terminal.until("a server at http://127.0.0.1:")
        terminal.until(r"\* ann opens her browser")
        terminal.until(r"ann   ONLINE  WEB\n")
        terminal.until(r"bob   ONLINE  IOS,PC\n")
        assert terminal.leave() == 0
        assert "Traceback" not in terminal.out
