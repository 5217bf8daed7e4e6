"""What the transports count: each where it happens, as plain integers (see `application.tallies`)."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from typing import Final

from presence_server.application.tallies import Traffic

OTHER: Final = "other"
"""The route of a path, and the method, that is none of ours: clients choose both."""

METHODS: Final = {name: name for name in ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")}


class Routes:
    """The name of a path's route: `/status/{user_id}` for `/status/10001`. There are as many as the server has."""

    def __init__(self, templates: Iterable[str] = ()) -> None:
        self._exact: dict[str, str] = {}
        self._prefixes: dict[str, str] = {}
        self._deep: list[tuple[str, re.Pattern[str], str]] = []
        for template in templates:
            prefix, brace, rest = template.partition("{")
            if (brace and not rest.endswith("}")) or "{" in rest:
                pattern = re.sub(r"\\{\w+\\}", "[^/]+", re.escape(template))
                self._deep.append((prefix, re.compile(pattern), template))
            else:
                (self._prefixes if brace else self._exact)[prefix] = template

    def name(self, path: str) -> str:
        found = self._exact.get(path)
        if found is None:
            # What a parameter stands for is one segment.
            found = self._prefixes.get(path[: path.rfind("/") + 1])
        if found is None:
            for prefix, pattern, template in self._deep:
                if path.startswith(prefix) and pattern.fullmatch(path):
                    return template
        return found or OTHER


class Counts:
    def __init__(self, websocket: Traffic | None = None) -> None:
        self.routes = Routes()
        self.limits: dict[str, float] = {}
        """What each limit is set to, by the setting's name."""
        self.requests: Counter[tuple[str, str, int]] = Counter()
        """By route, method and status."""
        self.handshakes: Counter[int] = Counter({101: 0})
        """By the status that answered them."""
        self.http = Traffic()
        self.websocket = websocket or Traffic()

    def request(self, path: str, method: str, status: int) -> None:
        """A request for `path` was answered."""
        self.requests[self.routes.name(path), METHODS.get(method, OTHER), status] += 1
