"""What whoever starts a server sees of its state: in the start line, in the log, and by the exit code."""

from __future__ import annotations

import subprocess
from pathlib import Path

from support.server import SCRIPT, Server, run_server


def start_line(server: Server) -> str:
    return next(line for line in server.log if line.startswith("presence-server "))


def test_a_second_process_says_in_a_line_that_the_directory_is_in_use(tmp_path: Path) -> None:
    with run_server(state=tmp_path / "state"):
        second = subprocess.run(
            [SCRIPT, "--port", "0", "--state", tmp_path / "state"], capture_output=True, text=True, timeout=60
        )
    assert second.returncode == 1
    assert second.stdout == ""
    (line,) = second.stderr.splitlines()
    assert f"state {tmp_path / 'state'} is in use by another process" in line


def test_the_start_line_tells_the_bound_of_who_does_not_come_back(tmp_path: Path) -> None:
    with run_server(state=tmp_path, return_period=7, grace_period=3) as server:
        assert " 9 s (0 users restored)" in start_line(server)
        server.online(1)
    with run_server(state=tmp_path, return_period=7, grace_period=20) as server:
        assert "22 s (1 users restored)" in start_line(server)
    with run_server() as server:
        assert "restart" not in start_line(server)


def test_a_damaged_file_is_named_in_a_line_and_stops_nobody(tmp_path: Path) -> None:
    with run_server(state=tmp_path) as server:
        server.online(1)
    damaged = sorted(file for file in tmp_path.iterdir() if file.is_file())
    for file in damaged:
        file.write_bytes(file.read_bytes()[:-1] + b"?")
    with run_server(state=tmp_path) as server:
        assert server.status_of(1) in ("ONLINE", "OFFLINE")
        named = [line for line in server.log if ".damaged" in line]
        assert named
        assert not any("Traceback" in line for line in server.log)
    assert list(tmp_path.glob("*.damaged"))


def test_a_directory_that_cannot_be_is_told_and_stops_nobody(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_text("precious")
    with run_server(state=path) as server:
        server.online(1)
        assert server.status_of(1) == "ONLINE"
        assert server.says("state is not written")
        assert sum("state is not written" in line for line in server.log) == 1
    assert path.read_text() == "precious"


def test_what_was_answered_survives_a_kill_in_the_same_moment(tmp_path: Path) -> None:
    for fsync in ("off", "on"):
        path = tmp_path / fsync
        with run_server(state=path, fsync=fsync) as server:  # it ends by SIGKILL
            server.online(1)
        with run_server(state=path, fsync=fsync) as server:
            assert server.status_of(1) == "ONLINE"
            assert server.get("/status/1").data["devices"][0]["deviceId"] == "rest"
