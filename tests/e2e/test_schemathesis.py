"""schemathesis against the running server: no 5xx, and no answer that the OpenAPI document does not tell of.

With each kind of principal: a service, a user, and nobody.
"""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import pytest

from server.identity.keys import SECRET, sign
from support.server import BASE, Server, run_server

CHECKS = "not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance"


def run(server: Server, folder: Path, *flags: str) -> None:
    ended = subprocess.run(
        [
            str(Path(sys.executable).parent / "schemathesis"),
            "run",
            f"{server.url}/openapi.json",
            f"--checks={CHECKS}",
            "--seed=1",
            f"--exclude-path={BASE}/events",
            *flags,
        ],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert ended.returncode == 0, ended.stdout[-6000:]
    paths = server.get("//openapi.json").json["paths"]
    # All but the document itself, which is what was asked for, and the stream: each request would wait for its end.
    assert f"{sum(map(len, paths.values())) - 2} selected" in ended.stdout, ended.stdout[:2000]


def test_nothing_but_documented_answers(tmp_path: Path) -> None:
    """Without credentials everybody here is a service."""
    with run_server() as server:
        run(server, tmp_path, "--max-examples=40", "--phases=examples,coverage,fuzzing")


@pytest.mark.slow
@pytest.mark.parametrize("who", ["a user", "nobody"])
def test_nothing_but_documented_answers_to(who: str, tmp_path: Path) -> None:
    token = sign({"sub": "10001", "exp": time.time() + 3_600})
    headers = ("-H", f"Authorization: Bearer {token}") if who == "a user" else ()
    with run_server(auth="jwt", jwt_key=SECRET, visibility="contacts") as server:
        run(server, tmp_path, "--max-examples=5", "--phases=examples,coverage", *headers)
