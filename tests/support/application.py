"""An issuer of keys, or the application that is asked about tokens: a real HTTP server that answers as it is told."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


class Application:
    """A source of keys, or the application that is asked: answers `body`, `delay` seconds late."""

    def __init__(self) -> None:
        self.status, self.body, self.delay = 200, b"{}", 0.0
        self.asked: list[bytes] = []
        self.over = threading.Event()

    def keys(self, *keys: dict[str, Any]) -> None:
        self.body = json.dumps({"keys": keys}).encode()


@contextmanager
def application() -> Iterator[tuple[Application, str]]:
    made = Application()

    class Handler(BaseHTTPRequestHandler):
        def answer(self) -> None:
            made.asked.append(self.rfile.read(int(self.headers.get("Content-Length") or 0)))
            made.over.wait(made.delay)
            with suppress(ConnectionError):
                self.send_response(made.status)
                self.send_header("Content-Length", str(len(made.body)))
                self.end_headers()
                self.wfile.write(made.body)

        do_GET = do_POST = answer  # noqa: N815

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield made, f"http://127.0.0.1:{server.server_address[1]}/"
        finally:
            made.over.set()
            server.shutdown()
            thread.join()
