"""A receiver of webhooks: a real HTTP server, and what it makes of what it is sent."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from standardwebhooks.webhooks import Webhook

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
OTHER_SECRET = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD"


class Delivered:
    """One request as it came."""

    def __init__(self, headers: dict[str, str], body: bytes) -> None:
        self.headers = headers
        self.body = body

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def changes(self) -> list[dict[str, Any]]:
        changes: list[dict[str, Any]] = self.json["data"]["changes"]
        return changes


class Fold:
    """What a back end holds that does as docs/rest.md says: of each user the greatest version, anew after a gap."""

    def __init__(self) -> None:
        self.users: dict[Any, dict[str, Any]] = {}
        self.out_of_order: list[dict[str, Any]] = []

    def take(self, data: dict[str, Any]) -> None:
        if data["gap"]:
            self.users.clear()
        for entry in data["changes"]:
            held = self.users.get(entry["userId"])
            if held is not None and entry["version"] < held["version"]:
                self.out_of_order.append(entry)
            else:
                self.users[entry["userId"]] = entry

    @property
    def statuses(self) -> dict[Any, str]:
        """Of those who are not OFFLINE."""
        return {user: entry["status"] for user, entry in self.users.items() if entry["status"] != "OFFLINE"}


Behave = Callable[[Delivered, BaseHTTPRequestHandler], int | None]
"""The status to answer with; None: nothing is answered, the connection is closed."""


class Receiver:
    """`behave` says how a request is answered; whatever is answered with 2xx counts as received."""

    def __init__(self) -> None:
        self.behave: Behave = lambda _delivered, _handler: 200
        self.answer_headers: dict[str, str] = {}
        self.answer_body = b""
        self.asked: list[Delivered] = []
        self.received: list[Delivered] = []
        self.at_once = 0
        self.most_at_once = 0
        self.over = threading.Event()
        """Set at the end: whoever stalls stops."""
        self._lock = threading.Condition()
        self.url = ""

    def enter(self, delivered: Delivered) -> None:
        with self._lock:
            self.asked.append(delivered)
            self.at_once += 1
            self.most_at_once = max(self.most_at_once, self.at_once)
            self._lock.notify_all()

    def leave(self, delivered: Delivered, status: int | None) -> None:
        with self._lock:
            self.at_once -= 1
            if status is not None and 200 <= status < 300:
                self.received.append(delivered)
            self._lock.notify_all()

    def wait(self, what: Callable[[], bool], seconds: float = 60) -> None:
        """Until `what` holds of what came; a process of its own sends it, so that there is no clock to pass in."""
        give_up = time.monotonic() + seconds
        with self._lock:
            while not what():
                left = give_up - time.monotonic()
                assert left > 0, f"it did not come to that: {[one.json for one in self.asked[-3:]]}"
                self._lock.wait(min(left, 0.2))

    def fold(self) -> Fold:
        fold = Fold()
        for delivered in list(self.received):
            fold.take(delivered.json["data"])
        return fold


def verified(delivered: Delivered, secret: str = SECRET) -> Any:
    """The body, once the library has found the signature right. Raises WebhookVerificationError."""
    return Webhook(secret).verify(delivered.body, delivered.headers)


@contextmanager
def receiving() -> Iterator[Receiver]:
    made = Receiver()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            delivered = Delivered({name.lower(): value for name, value in self.headers.items()}, body)
            made.enter(delivered)
            status: int | None = None
            try:
                status = made.behave(delivered, self)
            finally:
                made.leave(delivered, status)
            if status is None:
                self.close_connection = True
                return
            with suppress(ConnectionError):
                self.send_response(status)
                for name, value in made.answer_headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(made.answer_body)))
                self.end_headers()
                self.wfile.write(made.answer_body)

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        thread.start()
        made.url = f"http://127.0.0.1:{server.server_address[1]}/hook"
        try:
            yield made
        finally:
            made.over.set()
            server.shutdown()
            thread.join()


def entry_of(url: str, name: str = "crm", **fields: Any) -> str:
    """A table of the file of --webhooks."""
    fields = {"name": name, "url": url, "secrets": [SECRET], "allow_private": True, "batch_wait": 0.05} | fields
    lines = [f"{key} = {_toml(value)}" for key, value in fields.items()]
    return "\n".join(["[[webhook]]", *lines, ""])


def _toml(value: Any) -> str:
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{key} = {_toml(one)}" for key, one in value.items()) + " }"
    return json.dumps(value)
