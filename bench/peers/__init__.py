"""The peers: other servers that do what ours does, written as their own documentation shows and tuned as ours is.

Each is a short program in a folder of its language. The versions are pinned in files beside them, and are installed
into environments under `bench/build/` when a peer is first used; the product needs none of them.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from lab import BUILD

HERE = Path(__file__).resolve().parent


class PeerUnavailable(Exception):
    """A peer cannot be had here; the text says why."""


@dataclass(frozen=True)
class Peer:
    """How to get a peer, how to run it, and how to speak to it.

    `gathers`: whether it can hold changes back to write several at once; `command` is then given the window in ms.
    """

    name: str
    dialect: str
    install: Callable[[], None]
    command: Callable[[int, int], list[str]]
    gathers: bool = False


def _run(command: Sequence[str | Path], folder: Path) -> None:
    try:
        done = subprocess.run([*map(str, command)], cwd=folder, capture_output=True, text=True, timeout=600)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise PeerUnavailable(f"{command[0]}: {error}") from error
    if done.returncode:
        last = (done.stderr or done.stdout).strip().splitlines()[-1:] or ["no output"]
        raise PeerUnavailable(f"{Path(command[0]).name} failed: {last[0]}")


def _is_made(result: Path, *sources: Path) -> bool:
    return result.exists() and all(result.stat().st_mtime >= source.stat().st_mtime for source in sources)


def _python(group: str, script: str) -> tuple[Callable[[], None], Callable[[int, int], list[str]]]:
    wanted, home = HERE / "python" / f"{group}.txt", BUILD / "peers" / group

    def install() -> None:
        if _is_made(home / "made", wanted):
            return
        _run([sys.executable, "-m", "venv", "--clear", home], HERE)
        _run([home / "bin" / "pip", "install", "--quiet", "--no-deps", "--requirement", wanted], HERE)
        (home / "made").touch()

    def command(port: int, window: int) -> list[str]:
        return [str(home / "bin" / "python"), str(HERE / "python" / f"{script}_peer.py"), str(port), str(window)]

    return install, command


def _node(script: str) -> tuple[Callable[[], None], Callable[[int, int], list[str]]]:
    wanted, home = HERE / "node" / "package-lock.json", BUILD / "peers" / "node"

    def install() -> None:
        if _is_made(home / "made", wanted):
            return
        home.mkdir(parents=True, exist_ok=True)
        for name in ("package.json", "package-lock.json"):
            shutil.copy(HERE / "node" / name, home)
        _run(["npm", "ci", "--no-audit", "--no-fund", "--silent"], home)
        (home / "made").touch()

    def command(port: int, window: int) -> list[str]:
        # NODE_PATH, since the modules are not beside the script
        return ["env", f"NODE_PATH={home / 'node_modules'}", "node", str(HERE / "node" / f"{script}.js"), str(port)]

    return install, command


def _go() -> tuple[Callable[[], None], Callable[[int, int], list[str]]]:
    source, program = HERE / "centrifuge", BUILD / "peers" / "centrifuge"

    def install() -> None:
        if not _is_made(program, source / "main.go", source / "go.sum"):
            program.parent.mkdir(parents=True, exist_ok=True)
            _run(["go", "build", "-o", program, "."], source)

    def command(port: int, window: int) -> list[str]:
        return [str(program), str(port), str(window)]

    return install, command


STARLETTE = Peer("Starlette on uvicorn", "raw", *_python("asgi", "starlette"))
PICOWS = Peer("picows", "raw", *_python("picows", "picows"))
NODE_WS = Peer("Node ws", "raw", *_node("ws"))
UWEBSOCKETS = Peer("uWebSockets (socketify)", "raw", *_python("uwebsockets", "uwebsockets"), gathers=True)
SOCKETIO = Peer("socket.io", "socketio", *_node("socketio"))
PYTHON_SOCKETIO = Peer("python-socketio", "socketio", *_python("asgi", "socketio"))
CENTRIFUGE = Peer("centrifuge", "centrifuge", *_go(), gathers=True)

PEERS = (STARLETTE, PICOWS, NODE_WS, UWEBSOCKETS, SOCKETIO, PYTHON_SOCKETIO, CENTRIFUGE)
