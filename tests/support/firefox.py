"""A real Firefox, driven over WebDriver BiDi (https://w3c.github.io/webdriver-bidi/).

Playwright drives only a Firefox that it has patched itself. What these tests need of BiDi is six commands, so they are
sent as they are.
"""

from __future__ import annotations

import itertools
import json
import re
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from websockets.sync.client import ClientConnection, connect

FIREFOX = "firefox-esr"
START = 60.0
"""Seconds that Firefox may take to start, with its first profile on a busy machine."""

ANSWER = 30.0
"""Seconds that one command may take."""


class Firefox:
    """One session. A `context` is a tab, by BiDi's name."""

    def __init__(self, connection: ClientConnection) -> None:
        self._connection = connection
        self._ids = itertools.count(1)
        self.do("session.new", capabilities={})

    def do(self, method: str, **params: Any) -> Any:
        """Send a command; its result."""
        id = next(self._ids)
        self._connection.send(json.dumps({"id": id, "method": method, "params": params}))
        while True:
            answer = json.loads(self._connection.recv(timeout=ANSWER))
            if answer.get("id") == id:
                assert answer["type"] == "success", answer
                return answer["result"]

    def contexts(self) -> list[str]:
        return [each["context"] for each in self.do("browsingContext.getTree", maxDepth=0)["contexts"]]

    def evaluate(self, context: str, expression: str) -> Any:
        """The value of an expression, or of the promise that it gives, as JSON has it."""
        result = self.do(
            "script.evaluate",
            expression=f"Promise.resolve({expression}).then((value) => JSON.stringify(value ?? null))",
            target={"context": context},
            awaitPromise=True,
            userActivation=True,
        )
        assert result["type"] == "success", result["exceptionDetails"]["text"]
        return json.loads(result["result"]["value"])


@contextmanager
def firefox() -> Iterator[Firefox]:
    """Firefox without a window, with a profile of its own; nothing of it is left afterwards."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        log = Path(folder, "log")
        arguments = [
            "--headless",
            "--no-remote",
            "--remote-debugging-port=0",
            "--profile",
            str(Path(folder, "profile")),
        ]
        Path(folder, "profile").mkdir()
        with log.open("w") as out:
            process = subprocess.Popen([FIREFOX, *arguments], stdout=out, stderr=subprocess.STDOUT)
        try:
            with connect(f"{_url(log)}/session", proxy=None, max_size=None) as connection:
                yield Firefox(connection)
        finally:
            process.terminate()
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _url(log: Path) -> str:
    until = time.monotonic() + START
    while time.monotonic() < until:
        if found := re.search(r"WebDriver BiDi listening on (ws://\S+)", log.read_text("utf-8", "replace")):
            return found[1]
        time.sleep(0.1)
    raise AssertionError(f"Firefox did not start: {log.read_text('utf-8', 'replace')}")
