"""The proxies that docs/operations.md shows how to set up, run as they stand there.

Only what differs from machine to machine is put into the blocks: names, ports, and where certificates lie.
"""

from __future__ import annotations

import re
import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from support.server import free_port
from support.tls import Authority

OPERATIONS = Path(__file__).parents[2] / "docs" / "operations.md"
NAMES = ("nginx", "caddy", "haproxy")
IDLE = "75s"
"""The idle time in the blocks."""


def block(language: str) -> str:
    """The only block of that language in docs/operations.md."""
    (text,) = re.findall(rf"^```{language}\n(.*?)^```", OPERATIONS.read_text("utf-8"), re.DOTALL | re.MULTILINE)
    return str(text)


@contextmanager
def run_block(name: str, server_port: int, folder: Path, authority: Authority, idle: str = IDLE) -> Iterator[str]:
    """The proxy `name` before the server, with TLS. Yields where it serves the server, as one gives it to an SDK."""
    port = free_port()
    pem = authority.files(folder)
    text = block(name).replace("127.0.0.1:8004", f"127.0.0.1:{server_port}").replace(IDLE, idle)
    command = MAKERS[name](text, port, pem, folder)
    log = folder / "proxy.log"
    with log.open("wb") as output:
        environ = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "HOME": str(folder), "XDG_DATA_HOME": str(folder)}
        process = subprocess.Popen(command, stdout=output, stderr=output, env=environ)
    try:
        _wait_open(process, port, log)
        yield f"https://localhost:{port}/presence"
    finally:
        process.terminate()
        try:
            process.wait(5)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _nginx(text: str, port: int, pem: Path, folder: Path) -> list[str]:
    text = text.replace("listen 443 ssl", f"listen 127.0.0.1:{port} ssl").replace("presence.example", "localhost")
    text = text.replace("/etc/ssl/presence.pem", str(pem)).replace("/etc/ssl/presence.key", str(pem))
    kinds = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    paths = "".join(f"{kind}_temp_path {folder}/{kind};\n" for kind in kinds)
    config = folder / "nginx.conf"
    config.write_text(
        f"daemon off; master_process off; pid {folder}/nginx.pid; error_log stderr;\n"
        f"events {{ }}\nhttp {{\naccess_log off;\n{paths}{text}}}\n",
        "utf-8",
    )
    return [_found("nginx"), "-c", str(config), "-p", str(folder)]


def _caddy(text: str, port: int, pem: Path, folder: Path) -> list[str]:
    text = text.replace("presence.example {", f"https://localhost:{port} {{\n    bind 127.0.0.1\n    tls {pem} {pem}")
    config = folder / "Caddyfile"
    config.write_text("{\n    admin off\n    auto_https disable_redirects\n}\n" + text, "utf-8")
    return [_found("caddy"), "run", "--config", str(config), "--adapter", "caddyfile"]


def _haproxy(text: str, port: int, pem: Path, folder: Path) -> list[str]:
    text = text.replace("bind :443", f"bind 127.0.0.1:{port}").replace("/etc/haproxy/presence.pem", str(pem))
    config = folder / "haproxy.cfg"
    config.write_text(text, "utf-8")
    return [_found("haproxy"), "-db", "-f", str(config)]


MAKERS: dict[str, Callable[[str, int, Path, Path], list[str]]] = {
    "nginx": _nginx,
    "caddy": _caddy,
    "haproxy": _haproxy,
}


def _found(name: str) -> str:
    path = shutil.which(name, path="/usr/sbin:/usr/bin:/usr/local/bin:/usr/local/sbin")
    assert path is not None, f"{name} is not installed; `.ci/run` installs it"
    return path


def _wait_open(process: subprocess.Popen[bytes], port: int, log: Path) -> None:
    """Until it listens; another process starts, so there is no clock to pass in."""
    give_up = time.monotonic() + 20
    while time.monotonic() < give_up:
        assert process.poll() is None, "the proxy ended:\n" + log.read_text("utf-8", "replace")
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.02)
    raise AssertionError("the proxy did not come up:\n" + log.read_text("utf-8", "replace"))
