"""The terminal tools where streams are closed, systems differ, and what is set is wrong."""

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
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from presence_client.__main__ import main
from presence_client.commands.keyboard import LONGEST, Lines
from presence_protocol import __version__
from support.server import Server, free_port, run_server
from support.tls import Authority, tls_before

SCRIPT = Path(sys.executable).parent / "presence-client"


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with run_server(min_publish_interval=0) as running:
        yield running


def environment(**more: str) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.lower().endswith("_proxy")}
    return kept | {"TERM": "xterm"} | more


def shell(command: str, **more: str) -> subprocess.CompletedProcess[str]:
    """A command line, in which `presence-client` is ours."""
    line = command.replace("presence-client", str(SCRIPT))
    return subprocess.run(["bash", "-c", line], capture_output=True, text=True, env=environment(**more), timeout=30)


def python(code: str, *arguments: str, typed: str = "") -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", code, *arguments]
    return subprocess.run(command, input=typed, capture_output=True, text=True, env=environment(), timeout=30)


@contextmanager
def running(*arguments: str, **how: Any) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(
        [str(SCRIPT), *arguments],
        env=environment(),
        text=True,
        stderr=subprocess.PIPE,
        **{"stdout": subprocess.PIPE} | how,
    )
    with process:
        try:
            yield process
        finally:
            process.kill()


@contextmanager
def silent_server() -> Iterator[tuple[str, socket.socket]]:
    """One that takes connections and says nothing. Yields its URL, and where it listens."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(20)
        yield f"http://127.0.0.1:{listener.getsockname()[1]}", listener


def wait_until(condition: Callable[[], bool]) -> None:
    """Another process gets there: nothing tells."""
    give_up = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < give_up
        time.sleep(0.02)


# --- other systems ---------------------------------------------------------------------------------------------------

# What the event loops of Windows do not have.
WINDOWS = """
import asyncio, sys
from presence_client.__main__ import main

def missing(self, *_):
    raise NotImplementedError

asyncio.SelectorEventLoop.add_signal_handler = asyncio.SelectorEventLoop.remove_signal_handler = missing
asyncio.SelectorEventLoop.add_reader = asyncio.SelectorEventLoop.remove_reader = missing
main(sys.argv[1:])
"""


def test_they_run_where_loops_have_neither_signals_nor_readers(server: Server) -> None:
    asked = python(WINDOWS, "status", "1", "--url", server.url)
    assert (asked.returncode, asked.stdout, asked.stderr) == (0, "1  OFFLINE  -        never seen\n", "")
    stayed = python(WINDOWS, "online", "--user", "2", "--device", "d", "--url", server.url, typed="busy 会议\nq\n")
    assert (stayed.returncode, stayed.stderr) == (0, "")
    assert "2 is BUSY (会议) until " in stayed.stdout
    assert stayed.stdout.endswith("left\n")


def test_ctrl_c_leaves_there_too(server: Server) -> None:
    command = [sys.executable, "-c", WINDOWS, "online", "--user", "3", "--device", "d", "--url", server.url]
    with subprocess.Popen(
        command, env=environment(), text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        assert any("3 is ONLINE" in line for line in process.stdout)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=10)
        assert (process.returncode, err) == (0, "")
        assert "left" in out
    assert server.status_of(3) == "OFFLINE"


@pytest.mark.parametrize("encoding", ["cp1252", "ascii", "gbk", "utf-8"])
def test_a_console_shows_the_letters_that_it_has(server: Server, encoding: str) -> None:
    server.online(4)
    server.request("PUT", "/status/4", {"status": "BUSY", "statusText": "é会议😀"})
    command = [str(SCRIPT), "status", "4", "--url", server.url]
    asked = subprocess.run(command, capture_output=True, env=environment(PYTHONIOENCODING=encoding), timeout=30)
    assert (asked.returncode, asked.stderr) == (0, b"")
    assert asked.stdout.rstrip().endswith("é会议😀".encode(encoding, errors="replace"))


def test_json_is_whole_whatever_the_console(server: Server) -> None:
    server.online(5)
    server.request("PUT", "/status/5", {"status": "BUSY", "statusText": "é会议😀"})
    for encoding in ("cp1252", "utf-8"):
        line = shell(f"presence-client watch 5 --json --url {server.url} | head -1", PYTHONIOENCODING=encoding).stdout
        assert json.loads(line)["statusText"] == "é会议😀"


# --- streams ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("closed", [">&-", "<&-", "2>&-", ">&- 2>&-", "<&- >&- 2>&-"])
def test_closed_streams_are_no_failure(server: Server, closed: str) -> None:
    asked = shell(f"presence-client status 1 --url {server.url} {closed}")
    assert (asked.returncode, asked.stderr) == (0, "")
    assert asked.stdout == ("" if ">&-" in closed.replace("2>&-", "") else "1  OFFLINE  -        never seen\n")


@pytest.mark.parametrize("command", ["watch 6", "online --user 6 --device d"])
@pytest.mark.parametrize("closed", [">&-", "<&- >&- 2>&-"])
def test_whoever_stays_stays_with_closed_streams(server: Server, command: str, closed: str) -> None:
    before = server.metric("presence_websocket_connections")
    line = f"exec {SCRIPT} {command} --url {server.url} {closed}"
    with subprocess.Popen(["bash", "-c", line], env=environment(), stderr=subprocess.PIPE, text=True) as process:
        try:
            wait_until(lambda: server.metric("presence_websocket_connections") > before)
            process.terminate()
            _, err = process.communicate(timeout=10)
            assert (process.returncode, "Traceback" in err) == (0, False)
        finally:
            process.kill()


def test_a_full_disk_is_told(server: Server) -> None:
    asked = shell(f"presence-client status 1 --url {server.url} > /dev/full")
    assert (asked.returncode, asked.stderr) == (1, "presence-client: cannot write: No space left on device\n")


def test_who_reads_no_more_ends_watch_at_once(server: Server) -> None:
    """Not at the next change, which may be hours away."""
    began = time.monotonic()
    ended = shell(f"presence-client watch 7 --json --url {server.url} | head -1; echo ${{PIPESTATUS[0]}}")
    assert ended.stdout.endswith("}\n0\n")
    assert "Traceback" not in ended.stderr
    assert time.monotonic() - began < 10


def test_input_from_a_file_is_done_to_its_end(server: Server, tmp_path: Path) -> None:
    typed = tmp_path / "typed"
    typed.write_bytes(b"busy \xff\xfe\nquit")
    ended = shell(f"presence-client online --user 8 --device d --url {server.url} < {typed}")
    assert (ended.returncode, ended.stderr) == (0, "")
    assert "busy: done" in ended.stdout


def test_a_terminal_whose_window_is_closed_is_left_with_a_goodbye(server: Server) -> None:
    ours, theirs = pty.openpty()
    arguments = ("online", "--user", "9", "--device", "d", "--url", server.url)
    with running(*arguments, stdin=theirs, stdout=theirs, start_new_session=True) as process:
        seen = ""
        while "9 is ONLINE" not in seen:
            seen += os.read(ours, 65536).decode()
        os.close(theirs)
        os.close(ours)
        process.send_signal(signal.SIGHUP)
        assert process.wait(10) == 0
        assert process.stderr is not None
        assert process.stderr.read() == ""
    assert server.status_of(9) == "OFFLINE"


def test_a_long_line_does_not_fill_the_memory() -> None:
    async def story() -> None:
        typed = Lines()
        for _ in range(1000):
            typed.feed(b"x" * 65536)
        typed.feed(b"y\nq\r\n")
        typed.feed(b"rest")
        typed.feed(b"")
        got = [typed.queue.get_nowait() for _ in range(typed.queue.qsize())]
        assert [len(got[0] or ""), *got[1:]] == [LONGEST, "q\r", "rest", None]

    asyncio.run(story())


# --- leaving ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_status_that_is_interrupted_was_not_done(number: int, code: int) -> None:
    with silent_server() as (url, listener), running("status", "1", "--url", url) as process:
        with listener.accept()[0]:
            process.send_signal(number)
            out, err = process.communicate(timeout=10)
        assert (process.returncode, out, err) == (code, "", "")


@pytest.mark.parametrize("command", [("watch", "1"), ("online", "--user", "1", "--device", "d")])
def test_a_server_that_says_nothing_does_not_hold_up_ctrl_c(command: tuple[str, ...]) -> None:
    with silent_server() as (url, listener), running(*command, "--url", url, stdin=subprocess.DEVNULL) as process:
        with listener.accept()[0]:
            process.send_signal(signal.SIGINT)
            _, err = process.communicate(timeout=10)
        assert (process.returncode, "Traceback" in err) == (0, False)


def test_a_dead_server_is_told_in_one_voice_and_does_not_hold_up_ctrl_c() -> None:
    url = f"http://127.0.0.1:{free_port()}"
    with running("watch", "1", "--url", url) as process:
        assert process.stderr is not None
        lines = [process.stderr.readline() for _ in range(4)]  # over more than the SDK's own notice takes
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=10)
        assert (process.returncode, out, err) == (0, "", "")
    assert all(re.search(r"waiting \S+ s to connect again: Connection refused$", line) for line in lines), lines


# --- what is set -----------------------------------------------------------------------------------------------------


def test_the_version() -> None:
    told = shell("presence-client --version")
    assert (told.returncode, told.stdout, told.stderr) == (0, f"presence-client {__version__}\n", "")


@pytest.mark.parametrize(
    ("arguments", "more", "told"),
    [
        ("--url zz", {}, "--url: 'zz' is not a server's URL, such as http://127.0.0.1:8004"),
        ("", {"PRESENCE_URL": "http://me:SECRET@h:x"}, "PRESENCE_URL: 'http://h:x' is not a server's URL, such as"),
        ("", {"PRESENCE_TOKEN": "SECRET\nSECRET"}, "PRESENCE_TOKEN: token cannot go into a header: character 7 is"),
        ("--token-file /nope", {}, "--token-file: cannot read /nope: No such file or directory"),
        ("--token-file /", {}, "--token-file: cannot read /: Is a directory"),
        ("--token-file /dev/null", {}, "--token-file: /dev/null: token is empty"),
        ("--ca /nope --url https://h", {}, "--ca: cannot read /nope: No such file or directory"),
        ("--ca /dev/null --url https://h", {}, "--ca: /dev/null holds no certificate in PEM form"),
        ("--ca x --url http://h", {}, "--ca: is for https; http://h is not reached over TLS"),
        ("--insecure --url http://h", {}, "--insecure: is for https; http://h is not reached over TLS"),
        ("--insecure --ca x", {}, "argument --ca: not allowed with argument --insecure"),
        (
            "--url http://h",
            {"http_proxy": "ftp://me:SECRET@p"},
            "http_proxy has the scheme ftp; it must be one of http",
        ),
    ],
)
def test_what_makes_no_sense_is_one_line(
    arguments: str, more: dict[str, str], told: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, value in more.items():
        monkeypatch.setenv(name, value)
    for command in ("status 1", "watch 1", "online --user 1 --device d"):
        with pytest.raises(SystemExit) as ended:
            main([*command.split(), *arguments.split()])
        out, err = capsys.readouterr()
        assert (ended.value.code, out) == (2, "")
        assert err.startswith(f"presence-client: {told}")
        assert err.count("\n") == 1
        assert "SECRET" not in err


def test_a_token_is_read_from_a_file(tmp_path: Path) -> None:
    heads: list[str] = []

    def answer(listener: socket.socket) -> None:
        connection, _ = listener.accept()
        with connection:
            heads.append(connection.recv(65536).decode())
            connection.sendall(b"HTTP/1.1 401 No\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")

    token = tmp_path / "token"
    token.write_text("from-the-file\n")
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(10)
        thread = threading.Thread(target=lambda: (answer(listener), answer(listener)))
        thread.start()
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        ended = shell(f"presence-client status 1 --token-file {token} --url {url}", PRESENCE_TOKEN="not-this-one")
        thread.join(15)
    assert ended.returncode == 1
    assert [("Bearer from-the-file\r\n" in head, "not-this" in head) for head in heads] == [(True, False)] * 2


def test_whom_to_trust(server: Server, tmp_path: Path) -> None:
    authority = Authority(tmp_path)

    async def ask(*arguments: str) -> tuple[int | None, str]:
        process = await asyncio.create_subprocess_exec(
            SCRIPT, "status", "1", *arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment()
        )
        out, err = await process.communicate()
        return process.returncode, (out + err).decode()

    async def story() -> None:
        async with tls_before(server.port, authority.server()) as port:
            url = ("--url", f"https://localhost:{port}")
            code, told = await ask(*url)
            assert code == 1
            assert told.startswith(f"presence-client: cannot reach {url[1]}: the certificate is not trusted: ")
            assert await ask(*url, "--ca", str(authority.file)) == (0, "1  OFFLINE  -        never seen\n")
            assert await ask(*url, "--insecure") == (0, "1  OFFLINE  -        never seen\n")

    asyncio.run(story())
