"""For those who run it: is it alive, is it ready, how is it doing.

Counters are kept where they are counted and read only here, at the scrape.
"""

from __future__ import annotations

import resource
import sys
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from presence_server.transports.rest.envelope import NOT_STORED, error_headers

if TYPE_CHECKING:
    from presence_server.transports.gateway import Gateway


class Metric(NamedTuple):
    """One line of /metrics. `kind` is Prometheus's: gauge, or counter for what only grows."""

    name: str
    kind: str
    help: str
    value: float


GAUGES: Final = {
    "engine": {
        "users": "Users of whom something is known.",
        "devices": "Devices with a live session.",
        "online": "Users publicly ONLINE.",
        "away": "Users publicly AWAY.",
        "busy": "Users publicly BUSY.",
        "offline": "Remembered users publicly OFFLINE.",
        "remembered": "Users without a device who were here.",
        "unseen": "Users with an override who never came.",
    },
    "interest": {
        "watchers": "Connections and polls that watch somebody.",
        "topics": "Users who are watched.",
        "edges": "Pairs of watcher and watched user.",
    },
    "hub": {
        "sessions": "WebSocket sessions.",
        "behind": "Sessions that cannot be written to and are served later.",
        "held_changes": "Changes of flapping users that wait to be published.",
        "lookups": "Watches that wait for the engine.",
    },
    "gateway": {
        "connections": "WebSocket connections.",
        "polls": "Long polls that wait.",
        "open": "Connections of whatever kind, those that are being refused included.",
    },
}
COUNTERS: Final = {
    "hub": {"messages": "Messages handled.", "changes": "Changes of public state."},
    "fanout": {
        "flushes": "Flushes of the fan-out.",
        "deliveries": "Changes delivered to a watcher.",
        "writes": "Writes of diffs to connections.",
    },
}


PATHS: Final = frozenset(("/healthz", "/readyz", "/metrics"))
"""Answered also to those for whom there is no place: a full server must be seen to be alive."""


class Operations:
    def __init__(self, gateway: Gateway, version: str) -> None:
        self._gateway = gateway
        self._version = version

    def routes(self) -> list[Route]:
        return [
            Route("/healthz", self.healthz),
            Route("/readyz", self.readyz),
            Route("/metrics", self.metrics),
        ]

    async def healthz(self, _request: Request) -> Response:
        """200 while the process answers at all."""
        return _json(200, {"status": "ok", "version": self._version})

    async def readyz(self, _request: Request) -> Response:
        """200 while new connections are welcome; 503 when draining or full."""
        if self._gateway.hub.is_draining:
            return _json(503, {"status": "draining"})
        if not self._gateway.has_room():
            return _json(503, {"status": "full"})
        return _json(200, {"status": "ready"})

    async def metrics(self, _request: Request) -> Response:
        """Prometheus's text format, version 0.0.4."""
        lines: list[str] = []
        for metric in self.collect():
            lines.append(f"# HELP {metric.name} {metric.help}")
            lines.append(f"# TYPE {metric.name} {metric.kind}")
            lines.append(f"{metric.name} {metric.value:g}" if metric.value < 1e6 else f"{metric.name} {metric.value}")
        text = "\n".join(lines) + "\n"
        return Response(text, media_type="text/plain; version=0.0.4")

    def collect(self) -> list[Metric]:
        gateway = self._gateway
        parts: dict[str, dict[str, Any]] = {
            "engine": gateway.hub.engine.statistics()._asdict(),
            "interest": gateway.hub.interest.statistics()._asdict(),
            "hub": gateway.hub.statistics()._asdict(),
            "fanout": gateway.hub.fanout.statistics()._asdict(),
            "gateway": gateway.statistics()._asdict(),
        }
        metrics = [
            Metric(f"presence_{part}_{name}", "gauge", help, parts[part][name])
            for part, names in GAUGES.items()
            for name, help in names.items()
            if name in parts[part]
        ]
        metrics += [
            Metric(f"presence_{part}_{name}_total", "counter", help, parts[part][name])
            for part, names in COUNTERS.items()
            for name, help in names.items()
        ]
        usage = resource.getrusage(resource.RUSAGE_SELF)
        # ru_maxrss is kilobytes, but bytes on macOS (getrusage(2) of either).
        peak = usage.ru_maxrss * (1 if sys.platform == "darwin" else 1024)
        cpu = usage.ru_utime + usage.ru_stime
        metrics.append(Metric("process_cpu_seconds_total", "counter", "CPU time of this process.", cpu))
        metrics.append(Metric("process_peak_resident_memory_bytes", "gauge", "Peak resident memory.", peak))
        draining = Metric("presence_draining", "gauge", "1 while the server drains.", float(gateway.hub.is_draining))
        return [*metrics, draining]


def _json(status: int, body: dict[str, str]) -> Response:
    headers = NOT_STORED | error_headers(status)
    return Response(msgspec.json.encode(body), status_code=status, headers=headers, media_type="application/json")
