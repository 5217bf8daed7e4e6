"""The real server, started by its console script on a free port, with intervals set short by settings."""

from __future__ import annotations

import json
import os
import random
import signal
import socket
import ssl
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

BASE = "/api/v1/presence"  # as documented, whatever the product says
SCRIPT = Path(sys.executable).parent / "presence-server"

# The system's own proxy settings must not come between a test and its server.
_opener = urllib.request.build_opener(
    urllib.request.ProxyHandler({}),
    # What a certificate says is for the tests over TLS to look at.
    urllib.request.HTTPSHandler(context=ssl._create_unverified_context()),
)


class Answer:
    """An HTTP answer: `status`, `headers`, and the body as `text` and `json`."""

    def __init__(self, status: int, headers: Any, body: bytes) -> None:
        self.status = status
        self.headers = headers
        self.text = body.decode()

    @property
    def json(self) -> Any:
        return json.loads(self.text)

    @property
    def data(self) -> Any:
        return self.json["data"]


class Server:
    def __init__(self, process: subprocess.Popen[str], port: int, log: list[str], is_tls: bool = False) -> None:
        self.is_tls = is_tls
        self.process = process
        self.port = port
        self.log = log
        """Lines on standard output and error so far."""

    @property
    def url(self) -> str:
        return f"{'https' if self.is_tls else 'http'}://127.0.0.1:{self.port}"

    @property
    def ws_url(self) -> str:
        return f"{'wss' if self.is_tls else 'ws'}://127.0.0.1:{self.port}{BASE}/ws"

    def request(self, method: str, path: str, body: Any = None, headers: dict[str, str] | None = None) -> Answer:
        """Make a request; `path` below `BASE` unless it starts at the root with `//`. `body`: bytes, or JSON data."""
        url = self.url + (path[1:] if path.startswith("//") else BASE + path)
        data = body if isinstance(body, bytes) or body is None else json.dumps(body).encode()
        asked = urllib.request.Request(url, data, method=method, headers={"Content-Type": "application/json"})
        for name, value in (headers or {}).items():
            asked.add_header(name, value)
        try:
            with _opener.open(asked, timeout=90) as answer:
                return Answer(answer.status, answer.headers, answer.read())
        except urllib.error.HTTPError as refused:
            return Answer(refused.code, refused.headers, refused.read())

    def post(self, path: str, body: Any = None) -> Answer:
        return self.request("POST", path, {} if body is None else body)

    def get(self, path: str) -> Answer:
        return self.request("GET", path)

    def online(self, user_id: int, device_id: str = "rest", platform: str = "WEB", **more: Any) -> Answer:
        return self.post("/online", {"userId": user_id, "deviceId": device_id, "platform": platform, **more})

    def status_of(self, user_id: int) -> str:
        status: str = self.get(f"/status/{user_id}").data["status"]
        return status

    def metric(self, name: str) -> float:
        for line in self.get("//metrics").text.splitlines():
            if line.startswith(f"{name} "):
                return float(line.split()[1])
        raise KeyError(name)

    def says(self, text: str, seconds: float = 60) -> bool:
        """Whether a line of its log says so, at once or soon: a thread reads what it writes."""
        give_up = time.monotonic() + seconds
        while not (found := any(text in line for line in self.log)) and time.monotonic() < give_up:
            time.sleep(0.01)
        return found

    def resident_kb(self) -> int:
        """Resident memory of the process (VmRSS)."""
        for line in Path(f"/proc/{self.process.pid}/status").read_text().splitlines():
            if line.startswith("VmRSS"):
                return int(line.split()[1])
        raise KeyError("VmRSS")

    def worked(self) -> float:
        """Seconds of processor time that the server's loop has had, exact to the microsecond.

        A budget in these holds on a busy machine: what others run meanwhile does not count.
        """
        return _schedule(self.process.pid)[0]

    def terminate(self) -> None:
        self.process.send_signal(signal.SIGTERM)

    def wait(self, seconds: float = 40) -> int:
        return self.process.wait(seconds)


def free_port() -> int:
    """A port that is free at every address, for servers that listen at all of them.

    It lies below those that the system gives to clients (32768 and up on Linux): a connection of another test might
    take one of these before the server does.
    """
    for port in (random.randrange(15_000, 32_000) for _ in range(1_000)):
        with socket.socket() as probe:
            try:
                probe.bind(("0.0.0.0", port))
            except OSError:
                continue  # taken
            return port
    raise AssertionError("no port is free")


def flags(settings: dict[str, Any]) -> list[str]:
    """Settings as flags: `grace_period=1` is `--grace-period 1`."""
    return [part for name, value in settings.items() for part in (f"--{name.replace('_', '-')}", str(value))]


@contextmanager
def run_server(
    command: Sequence[str] = (str(SCRIPT),), /, *, is_measured: bool = False, **settings: Any
) -> Iterator[Server]:
    """A server of its own, gone at the end. `command` starts it where that is not its console script.

    `is_measured`: what it costs is looked at, so that no coverage of it is taken. Nobody is turned away because the
    machine is busy, unless `admission_lag` is given.
    """
    port = settings.pop("port", None) or free_port()
    settings = {"admission_lag": 0} | settings
    process = subprocess.Popen(
        [*command, "--port", str(port), *flags(settings)],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env=_environment(is_measured),
    )
    log: list[str] = []
    reader = threading.Thread(target=_read, args=(process, log), daemon=True)
    reader.start()
    server = Server(process, port, log, "tls_cert" in settings)
    try:
        _wait_ready(server)
        yield server
    finally:
        _end(process)
        reader.join(5)
        if process.stdout is not None:
            process.stdout.close()


class Span:
    """The time since this was made, in seconds: `real`, and `fair`.

    The latter leaves out for how long the server or the test was ready to run and had no processor, so that an upper
    bound on it holds on a busy machine. (Where both waited at once, that is left out twice.)
    """

    def __init__(self, server: Server) -> None:
        self._processes = (server.process.pid, os.getpid())
        self._began, self._had_waited = time.monotonic(), self._waited()

    @property
    def real(self) -> float:
        return time.monotonic() - self._began

    @property
    def fair(self) -> float:
        return self.real - (self._waited() - self._had_waited)

    def _waited(self) -> float:
        return sum(_schedule(process)[1] for process in self._processes)


def _schedule(process: int) -> tuple[float, float]:
    """Seconds for which the main thread of a process has run, and has been ready to run but waited: see proc(5)."""
    ran, waited, _ = Path(f"/proc/{process}/schedstat").read_text().split()
    return int(ran) / 1e9, int(waited) / 1e9


class Servers:
    """One server for many tests, and a new one after a test that left something behind or broke it."""

    def __init__(self, **settings: Any) -> None:
        self._settings = settings
        self._running = ExitStack()
        self._server: Server | None = None

    @contextmanager
    def one(self, is_clean: Callable[[Server], bool]) -> Iterator[Server]:
        """The server, for one test. `is_clean` is asked after it."""
        if self._server is None:
            self._server = self._running.enter_context(run_server(**self._settings))
        server, self._server = self._server, None
        try:
            yield server
        finally:
            if is_clean(server):
                self._server = server
            else:
                self.close()

    def close(self) -> None:
        self._server = None
        self._running.close()


def _environment(is_measured: bool) -> dict[str, str]:
    left_out = ("PRESENCE_", "COVERAGE_") if is_measured else ("PRESENCE_",)
    return {name: value for name, value in os.environ.items() if not name.startswith(left_out)}


def _end(process: subprocess.Popen[str]) -> None:
    """At once; but where its coverage is taken it is told to end, twice, so that it writes that down."""
    if process.poll() is None and any(name.startswith("COVERAGE_") for name in os.environ):
        for seconds in (0.3, 10):
            process.terminate()
            with suppress(subprocess.TimeoutExpired):
                process.wait(seconds)
    process.kill()
    process.wait()


def _read(process: subprocess.Popen[str], log: list[str]) -> None:
    assert process.stdout is not None
    log.extend(line.rstrip("\n") for line in process.stdout)


def _wait_ready(server: Server) -> None:
    """Until it answers; another process starts, so there is no clock to pass in."""
    give_up = time.monotonic() + 90
    while time.monotonic() < give_up:
        if server.process.poll() is not None:
            raise AssertionError("the server ended:\n" + "\n".join(server.log))
        try:
            if server.request("GET", "//readyz").status == 200:
                return
        except (urllib.error.URLError, ConnectionError):
            time.sleep(0.02)
    raise AssertionError("the server did not come up")
