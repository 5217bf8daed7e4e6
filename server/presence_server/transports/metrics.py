"""What `/metrics` tells, one line a metric. `docs/operations.md` lists the same, held by a test.

Names follow Prometheus: base units, `_total` for what only grows. Labels are few, and their values are the server's
own: no client can make one up. All is counted where it happens and read only here, at the scrape.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from presence_server.application.allowances import Allowance
from presence_server.process_figures import process_figures
from presence_server.transports.exposition import Labels, Metric, Value
from presence_server.webhooks.delivery import State

if TYPE_CHECKING:
    from presence_server.transports.gateway import Gateway
    from presence_server.webhooks.deliveries import Standing


class Scrape:
    """What is read once for all metrics of one scrape."""

    def __init__(self, gateway: Gateway, version: str) -> None:
        self.gateway = gateway
        self.version = version
        self.hub = gateway.hub
        self.counts = gateway.counts
        self.engine: Mapping[str, Any] = gateway.hub.engine.statistics()._asdict()
        self.interest = gateway.hub.interest.statistics()
        self.sessions = gateway.hub.statistics()
        self.fanout = gateway.hub.fanout.statistics()

    def users(self) -> Mapping[Labels, float]:
        return {(status,): self.engine.get(status.lower(), 0) for status in ("ONLINE", "AWAY", "BUSY", "OFFLINE")}

    def people(self, index: int) -> int:
        """One of the figures of who is there."""
        return 0 if self.gateway.people is None else self.gateway.people.figures()[index]

    def by_platform(self) -> Mapping[Labels, float]:
        if self.gateway.people is None:
            return {}
        counted = self.gateway.people.by_platform(self.hub.limits.platforms)
        return {(platform,): users for platform, users in counted.items()}

    def peaks(self) -> Mapping[Labels, float]:
        peaks = self.gateway.census.peaks
        return {("connections",): peaks.connections.most, ("users",): peaks.users.most}

    def build(self) -> Mapping[Labels, float]:
        python = ".".join(map(str, sys.version_info[:3]))
        return {(self.version, python): 1}

    def by_protocol(self, name: str) -> Mapping[Labels, float]:
        return {
            ("http",): getattr(self.counts.http, name),
            ("websocket",): getattr(self.counts.websocket, name),
        }

    def refusals(self) -> Mapping[Labels, float]:
        found = dict.fromkeys(LIMITS, 0) | self.hub.refused
        found["max_watched"] += self.hub.watching.refused
        found["max_unsent"] += self.gateway.websockets.unsent.given_up
        found |= self.gateway.refused()
        return {(limit,): found[limit] for limit in sorted(found)}

    def limits(self) -> Mapping[Labels, float]:
        return {(limit,): most for limit, most in sorted(self.counts.limits.items())}

    def used(self) -> Mapping[Labels, float]:
        used = {
            "max_edges": self.interest.edges,
            "max_http_connections": self.gateway.http.places.taken,
            "max_connections": self.gateway.http.books.taken,
            "max_remembered": self.engine.get("remembered", 0),
            "max_unseen": self.engine.get("unseen", 0),
            "max_unsent": self.gateway.websockets.unsent.total,
        }
        return {(limit,): now for limit, now in used.items()}

    @cached_property
    def webhooks(self) -> tuple[Standing, ...]:
        webhooks = self.gateway.webhooks
        return () if webhooks is None else tuple(webhooks.standings())

    def of_webhooks(self, read: Callable[[Standing], float]) -> Mapping[Labels, float]:
        return {(one.webhook.name,): read(one) for one in self.webhooks}

    def webhook_batches(self) -> Mapping[Labels, float]:
        delivered: dict[Labels, float] = {(one.webhook.name, "delivered"): one.tally.batches for one in self.webhooks}
        return delivered | {(one.webhook.name, "failed"): one.tally.failures for one in self.webhooks}


LIMITS: Final = (
    "address_connections",
    "address_handshakes",
    "address_requests",
    "admission_lag",
    "body_timeout",
    "header_timeout",
    "hello_timeout",
    "max_batch",
    "max_connections",
    "max_devices",
    "max_edges",
    "max_header",
    "max_http_connections",
    "max_lag",
    "max_memory",
    "max_message",
    "max_remembered",
    "max_unseen",
    "max_unsent",
    "max_watched",
    "max_watchers",
    *(f"{kind}_{name}" for kind in ("service", "user") for name in Allowance._fields),
)
"""Settings that limit. Refusals are counted from 0 on, so that the first shows in a rate."""


class Declaration(NamedTuple):
    name: str
    kind: str
    help: str
    read: Callable[[Scrape], Value]
    labels: Labels = ()


def _gauge(name: str, help: str, read: Callable[[Scrape], Value], *labels: str) -> Declaration:
    return Declaration(name, "gauge", help, read, labels)


def _counter(name: str, help: str, read: Callable[[Scrape], Value], *labels: str) -> Declaration:
    return Declaration(name, "counter", help, read, labels)


def _histogram(name: str, help: str, read: Callable[[Scrape], Value]) -> Declaration:
    return Declaration(name, "histogram", help, read)


DECLARATIONS: Final = (
    _gauge("presence_build_info", "Always 1; its labels tell what runs.", Scrape.build, "version", "python"),
    _gauge("presence_draining", "1 while the server drains.", lambda it: it.hub.is_draining),
    # -- users
    _gauge("presence_users", "Users of whom something is known, by public status.", Scrape.users, "status"),
    _gauge("presence_online_users", "Users whose public status is not OFFLINE.", lambda it: it.people(0)),
    _gauge(
        "presence_users_by_platform",
        "Users whose public status is not OFFLINE, by platform: who is on two counts for both.",
        Scrape.by_platform,
        "platform",
    ),
    _gauge(
        "presence_users_by_sdk",
        "Users with a WebSocket, by the SDK that its hello names: who has two versions of one counts twice.",
        lambda it: {(sdk,): users for sdk, users in it.hub.roster.clients.by_sdk().items()},
        "sdk",
    ),
    _counter("presence_joins_total", "Users whose public status was OFFLINE, and is no more.", lambda it: it.people(2)),
    _counter("presence_leaves_total", "Users whose public status has become OFFLINE.", lambda it: it.people(3)),
    _gauge(
        "presence_peak_today",
        "The most users online, and connections of WebSockets, since midnight UTC.",
        Scrape.peaks,
        "of",
    ),
    _gauge("presence_devices", "Devices with a live session.", lambda it: it.engine.get("devices", 0)),
    _gauge(
        "presence_remembered_users",
        "Users without a device who were here.",
        lambda it: it.engine.get("remembered", 0),
    ),
    _gauge("presence_unseen_users", "Users with an override who never came.", lambda it: it.engine.get("unseen", 0)),
    _gauge("presence_watchers", "Connections and polls that watch somebody.", lambda it: it.interest.watchers),
    _gauge("presence_watched_users", "Users who are watched.", lambda it: it.interest.topics),
    _gauge("presence_watches", "Pairs of watcher and watched user.", lambda it: it.interest.edges),
    # -- connections
    _gauge("presence_connections", "Open connections of whatever kind.", lambda it: it.gateway.http.books.open),
    _counter(
        "presence_connections_opened_total",
        "Connections that were accepted, of whatever kind.",
        lambda it: it.gateway.http.books.opened,
    ),
    _gauge(
        "presence_websocket_connections",
        "Open WebSocket connections.",
        lambda it: len(it.gateway.websockets.connections),
    ),
    _gauge("presence_websocket_sessions", "WebSocket sessions.", lambda it: it.sessions.sessions),
    _gauge(
        "presence_slow_sessions",
        "Sessions that cannot be written to now, or are answered piece by piece, and are served later.",
        lambda it: it.sessions.behind,
    ),
    _gauge("presence_long_polls", "Long polls that wait.", lambda it: len(it.gateway.polls)),
    _gauge(
        "presence_reach_waits",
        "Requests for reach that wait for somebody to become active.",
        lambda it: 0 if it.gateway.reaches is None else len(it.gateway.reaches),
    ),
    _counter(
        "presence_websocket_handshakes_total",
        "WebSocket handshakes, by the HTTP status that answered them.",
        lambda it: {(str(status),): count for status, count in sorted(it.counts.handshakes.items())},
        "status",
    ),
    _counter(
        "presence_websocket_closes_total",
        "Sessions that ended, by close code (1006: the link dropped) and by who ended them: client or server.",
        lambda it: dict(sorted(it.gateway.http.journal.closes.items())),
        "code",
        "by",
    ),
    _counter("presence_websocket_messages_total", "Messages of WebSocket clients.", lambda it: it.sessions.messages),
    _counter(
        "presence_http_requests_total",
        "HTTP requests that were answered, by route, method and status.",
        lambda it: {
            (route, method, str(status)): count for (route, method, status), count in sorted(it.counts.requests.items())
        },
        "route",
        "method",
        "status",
    ),
    _counter(
        "presence_received_bytes_total",
        "Bytes read from sockets, before they are inflated.",
        lambda it: it.by_protocol("received"),
        "protocol",
    ),
    _counter(
        "presence_sent_bytes_total",
        "Bytes written to sockets, before TLS.",
        lambda it: it.by_protocol("sent"),
        "protocol",
    ),
    _counter("presence_writes_total", "Writes to sockets.", lambda it: it.by_protocol("writes"), "protocol"),
    # -- limits
    _counter(
        "presence_limit_refusals_total",
        "What was refused, closed or cut off for a limit, by the setting's name.",
        Scrape.refusals,
        "limit",
    ),
    _gauge("presence_limit", "What a limit is set to, by the setting's name.", Scrape.limits, "limit"),
    _gauge("presence_limit_used", "How much of a limit of the whole server is used.", Scrape.used, "limit"),
    _gauge("presence_unsent_bytes", "Bytes that wait in full sockets.", lambda it: it.gateway.websockets.unsent.total),
    # -- delivery
    _counter("presence_changes_total", "Changes of public state.", lambda it: it.sessions.changes),
    _gauge(
        "presence_held_changes",
        "Changes of flapping users that wait to be published.",
        lambda it: it.sessions.held_changes,
    ),
    _gauge("presence_pending_watches", "Watches that wait for the engine.", lambda it: it.sessions.lookups),
    _counter("presence_flushes_total", "Flushes of the fan-out.", lambda it: it.fanout.flushes),
    _counter("presence_deliveries_total", "Changes delivered to a watcher.", lambda it: it.fanout.deliveries),
    _counter("presence_delivery_writes_total", "Writes of diffs to connections.", lambda it: it.fanout.writes),
    _histogram(
        "presence_delivery_latency_seconds",
        "From a change to its last write to a watcher. What a flapping user's change was held for is not in it.",
        lambda it: it.hub.fanout.latency,
    ),
    _histogram(
        "presence_event_loop_lag_seconds",
        "By how much the event loop was late, looked at ten times a second.",
        lambda it: it.gateway.driver.lag,
    ),
    # -- webhooks
    _gauge(
        "presence_webhook_active",
        "1 if the last attempt was received, or there was none; 0 while it is repeated, and after the end.",
        lambda it: it.of_webhooks(lambda one: one.state is State.ACTIVE),
        "webhook",
    ),
    _gauge(
        "presence_webhook_lag_seconds",
        "For how long there has been something that was not received.",
        lambda it: it.of_webhooks(lambda one: one.lag),
        "webhook",
    ),
    _counter(
        "presence_webhook_batches_total",
        "Attempts to deliver a batch, by what came of it: delivered or failed.",
        Scrape.webhook_batches,
        "webhook",
        "outcome",
    ),
    _counter(
        "presence_webhook_changes_total",
        "Changes that were received.",
        lambda it: it.of_webhooks(lambda one: one.tally.changes),
        "webhook",
    ),
)

PROCESS: Final = {
    "process_cpu_seconds_total": ("counter", "User and system CPU time."),
    "process_open_fds": ("gauge", "Open file descriptors."),
    "process_max_fds": ("gauge", "File descriptors that may be open."),
    "process_virtual_memory_bytes": ("gauge", "Virtual memory."),
    "process_resident_memory_bytes": ("gauge", "Resident memory."),
    "process_start_time_seconds": ("gauge", "When the process began, in seconds since 1970."),
}
"""As every client library of Prometheus names them; those that the system tells."""


def collect(gateway: Gateway, version: str) -> Iterator[Metric]:
    """Every metric with its value now. Nothing is looked through for it: it costs the same with 15,000 sessions."""
    scrape = Scrape(gateway, version)
    for name, kind, help, read, labels in DECLARATIONS:
        yield Metric(name, kind, help, labels, read(scrape))
    figures = process_figures()
    for name, (kind, help) in PROCESS.items():
        if name in figures:
            yield Metric(name, kind, help, (), figures[name])
