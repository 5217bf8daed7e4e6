"""schemathesis against the running server: no 5xx, and no answer that the OpenAPI document does not tell of."""

import subprocess
import sys
from pathlib import Path

from support.server import run_server

CHECKS = "not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance"


def test_nothing_but_documented_answers(tmp_path: Path) -> None:
    with run_server() as server:
        run = subprocess.run(
            [
                str(Path(sys.executable).parent / "schemathesis"),
                "run",
                f"{server.url}/openapi.json",
                f"--checks={CHECKS}",
                "--max-examples=40",
                "--seed=1",
                "--phases=examples,coverage,fuzzing",
            ],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=240,
            check=False,
        )
        assert run.returncode == 0, run.stdout[-6000:]
        paths = server.get("//openapi.json").json["paths"]
        # All but the document itself, which is what was asked for.
        assert f"{sum(map(len, paths.values())) - 1} selected" in run.stdout, run.stdout[:2000]
