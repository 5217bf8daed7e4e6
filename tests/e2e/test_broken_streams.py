"""Standard streams that are closed, full, or read by nobody keep no server from starting, serving or ending."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Callable
from contextlib import ExitStack, suppress
from pathlib import Path

import pytest

from support.server import SCRIPT, Server, _wait_ready, free_port

PATIENCE = 20


def closed(_stack: ExitStack) -> str:
    return "&-"


def full(_stack: ExitStack) -> str:
    return "/dev/full"


def unread(stack: ExitStack) -> str:
    """A pipe that is full and that nobody reads."""
    reading, writing = os.pipe()
    stack.callback(os.close, reading)
    stack.callback(os.close, writing)
    os.set_blocking(writing, False)
    with suppress(BlockingIOError):
        while True:
            os.write(writing, b"x" * 4096)
    os.set_blocking(writing, True)
    os.set_inheritable(writing, True)
    return f"&{writing}"


def broken(stack: ExitStack) -> str:
    """A pipe whose reader is gone."""
    reading, writing = os.pipe()
    os.close(reading)
    stack.callback(os.close, writing)
    os.set_inheritable(writing, True)
    return f"&{writing}"


Target = Callable[[ExitStack], str]


KINDS = (closed, full, unread, broken)
PAIRS = [*zip(KINDS, KINDS, strict=True), (closed, unread), (unread, closed)]


@pytest.mark.parametrize(("out", "err"), PAIRS)
def test_it_starts_serves_and_ends(out: Target, err: Target) -> None:
    with ExitStack() as stack:
        port = free_port()
        redirected = f'exec "{SCRIPT}" --port {port} --log-level debug >{out(stack)} 2>{err(stack)}'
        process = subprocess.Popen(["bash", "-c", redirected], close_fds=False)
        try:
            server = Server(process, port, [])  # type: ignore[arg-type]
            _wait_ready(server)
            assert server.online(10001).status == 200
            process.send_signal(signal.SIGTERM)
            assert process.wait(PATIENCE) == 0
        finally:
            process.kill()
            process.wait()


@pytest.mark.parametrize("err", [closed, full])
def test_a_wrong_setting_is_told_by_the_code_alone(err: Target) -> None:
    with ExitStack() as stack:
        command = f'exec "{SCRIPT}" --port nonsense >&- 2>{err(stack)}'
        assert subprocess.run(["bash", "-c", command], timeout=PATIENCE, check=False).returncode == 2


def test_sockets_do_not_take_the_numbers_of_closed_streams() -> None:
    """What a library prints would be sent to a client."""
    port = free_port()
    process = subprocess.Popen(["bash", "-c", f'exec "{SCRIPT}" --port {port} <&- >&- 2>&-'])
    try:
        _wait_ready(Server(process, port, []))  # type: ignore[arg-type]
        for number in (0, 1, 2):
            assert Path(f"/proc/{process.pid}/fd/{number}").readlink() == Path("/dev/null")
    finally:
        process.kill()
        process.wait()
