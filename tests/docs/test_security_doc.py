"""docs/security.md: its tour is played against a real server, and every threat names a test that is there."""

from __future__ import annotations

import ast
import os
import re
import shlex
import subprocess
from pathlib import Path

from docs.test_readme import masked
from support.server import SCRIPT, run_server

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "security.md").read_text("utf-8")
THREATS = re.search(r"^## Threats\n(.*)", PAGE, re.DOTALL | re.MULTILINE)
TOUR = re.search(r"^## A tour\n(.*?)^## ", PAGE, re.DOTALL | re.MULTILINE)


def names_in(path: Path) -> set[str]:
    return {node.name for node in ast.walk(ast.parse(path.read_text("utf-8"))) if isinstance(node, ast.FunctionDef)}


def test_every_threat_names_a_test_that_is_there() -> None:
    assert THREATS is not None
    rows = [line.strip("|").split("|") for line in THREATS[1].splitlines() if line.startswith("|")][2:]
    assert len(rows) >= 25
    for who, does, _, tests in rows:
        named = re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", tests)
        assert named, f"{who}: {does}"
        assert [name for path, name in named if name not in names_in(ROOT / path)] == []


def test_every_command_of_the_tour_does_what_is_shown(tmp_path: Path) -> None:
    assert TOUR is not None
    tour = re.findall(r"^```(\w+)\n(.*?)^```$", TOUR[1], re.DOTALL | re.MULTILINE)
    began = next(index for index, (language, _) in enumerate(tour) if language == "server")
    environ = {name: value for name, value in os.environ.items() if not name.lower().endswith("_proxy")}
    environ["PATH"] = f"{SCRIPT.parent}:{environ['PATH']}"

    def play(blocks: list[tuple[str, str]], port: int) -> None:
        for (language, command), (kind, shown) in zip(blocks[::2], blocks[1::2], strict=True):
            assert language == "sh"
            script = command.replace("127.0.0.1:8004", f"127.0.0.1:{port}")
            ended = subprocess.run(
                ["bash", "-euo", "pipefail", "-c", script],
                cwd=tmp_path,
                env=environ,
                capture_output=True,
                text=True,
                timeout=60,
            )
            assert ended.returncode == 0, ended.stderr
            assert masked(kind, ended.stdout) == masked(kind, shown)

    play(tour[:began], 8004)
    program, *flags = shlex.split(tour[began][1])
    assert program == "presence-server"
    named = {flag[2:].replace("-", "_"): value for flag, value in zip(flags[::2], flags[1::2], strict=True)}
    settings = {
        "auth": named.pop("auth"),
        "jwt_key": "@" + str(tmp_path / named.pop("jwt_key")[1:]),
        "service_keys": tmp_path / named.pop("service_keys"),
        "visibility": named.pop("visibility"),
    }
    assert not named
    with run_server(**settings) as server:
        play(tour[began + 1 :], server.port)
