"""Runs the browser SDK's own tests, which are written in its language, with `node --test`."""

import shutil
import subprocess
from pathlib import Path

import pytest

TESTS = sorted((Path(__file__).parents[1] / "node" / "js").glob("*.test.mjs"))


@pytest.mark.parametrize("path", TESTS, ids=lambda path: path.name.removesuffix(".test.mjs"))
def test_browser_sdk(path: Path) -> None:
    node = shutil.which("node")
    assert node, "the browser SDK's tests need Node.js 20 or later"
    ran = subprocess.run(
        [node, "--test", "--test-reporter=spec", path], capture_output=True, text=True, timeout=120, check=False
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr


def test_there_are_tests() -> None:
    assert len(TESTS) >= 5
