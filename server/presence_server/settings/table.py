"""All settings of one server. A `Settings` that exists is a valid one.

Every value is within its bounds, and no two of them contradict each other or make one of the service's promises a lie.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, fields
from typing import Any, Final

from presence_protocol.limits import MAX_BATCH, MAX_MESSAGE, MAX_WATCHED
from presence_protocol.user_ids import KINDS
from presence_server.domain.logins import MANY, OLDEST, ON_FULL, ONE_PER_CLASS, POLICIES
from presence_server.domain.platforms import USUAL, check_names
from presence_server.identity.networks import LOOPBACK
from presence_server.settings.checks import (
    check_allowed_host,
    check_engine,
    check_host,
    check_networks,
    check_origin,
    check_root_path,
)
from presence_server.settings.claims import parse_lifetimes, parse_sources
from presence_server.settings.classes import DEFAULT_CLASSES, parse_classes
from presence_server.settings.declaration import (
    Declaration,
    SettingsError,
    count,
    number,
    seconds,
    switch,
    text,
)
from presence_server.transports.origins import is_loopback_host

# Bytes of the path of a Unix socket (sun_path of sockaddr_un, with the zero at its end): unix(7).
LONGEST_PATH: Final = 107
# A REST device lives for this many heartbeat intervals: one lost heartbeat is forgiven, two are not.
REST_LIFETIME_FACTOR: Final = 2.5
# What the ghost bounds allow for sweeps and batching, and how much of it batching may use up; more is added on top.
GHOST_SLACK: Final = 2.0
MAX_BATCHING_DELAY: Final = 1.5
# Descriptors that are not connections: listeners, logs, the loop's own, and a few to refuse connections with.
RESERVED_FILES: Final = 64
# Where the system sets no open-file limit: the usual ceiling of Linux (fs.nr_open).
UNLIMITED_FILES: Final = 1_048_576


@dataclass(frozen=True, slots=True)
class Settings:
    """All settings of one server; times in seconds. Raises SettingsError on values that cannot be."""

    host: str = text(
        "127.0.0.1", "address or host name to listen on; several: separated by commas, or --host again", repeats=True
    )
    port: int = count(8004, "port to listen on; 0 takes any free one", least=0, most=65535)
    reuse_port: bool = switch(False, "others may listen there as well that say so: a new server beside the old one")
    uds: str = text("", "path of a Unix socket to listen on as well, for a proxy in front", empty="none")
    tls_cert: str = text("", "PEM file of the certificate and its chain; with tls_key: serves TLS only", empty="none")
    tls_key: str = text("", "PEM file of the certificate's key, without a passphrase", empty="none")
    grace_period: float = seconds(10.0, "between the unclean end of a link and OFFLINE", least=0.0)
    ping_interval: float = seconds(25.0, "between the server's WebSocket pings")
    pong_timeout: float = seconds(10.0, "for the answer to a ping")
    hello_timeout: float = seconds(10.0, "for the first message of a WebSocket")
    header_timeout: float = seconds(0.0, "for the head of an HTTP request; 0 is hello_timeout", least=0.0)
    body_timeout: float = seconds(0.0, "for the body of an HTTP request; 0 is hello_timeout", least=0.0)
    keep_alive_timeout: float = seconds(75.0, "between two HTTP requests on one connection")
    answer_timeout: float = seconds(30.0, "without progress, for a client to take an HTTP answer")
    heartbeat_interval: float = seconds(30.0, "what /heartbeat asks REST clients for; they live 2.5 of these")
    away_after: float = seconds(0.0, "no message but pings for that long shows as AWAY; 0 is off", least=0.0)
    flush_interval: float = seconds(0.01, "what batching may delay a change on a quiet server", least=0.0)
    max_flush_interval: float = seconds(0.25, "what batching may delay a change on a busy server", least=0.0)
    min_publish_interval: float = seconds(1.0, "between changes of one flapping user, after 5; 0 is off", least=0.0)
    max_lag: float = seconds(30.0, "a watcher that takes nothing for that long is closed with 4508")
    max_remembered: int = count(1_000_000, "offline users who were here, whose last seen and claims are kept")
    max_unseen: int = count(100_000, "users who never came, of whom claims are kept; more are refused")
    unseen_for: float = seconds(86_400.0, "for which is kept what users said who never came")
    sources: str = text(
        "call=80,self=50,calendar=40,hours=10",
        "who may claim what a user is, and how much each weighs; of what is in force, the heaviest shows",
    )
    lifetimes: str = text(
        "BUSY=86400,AWAY=604800,ONLINE=604800,OFFLINE=0",
        "seconds after which a status lapses that was set without an end; 0 is never",
    )
    no_invisible: bool = switch(False, "nobody may be invisible")
    show_idle_since: bool = switch(False, "tell watchers since when a user is idle whose devices all are")
    shards: int = count(64, "parts that the table of users is split into", most=65536)
    max_connections: int = count(0, "open connections; 0 is what the open-file limit allows", least=0)
    max_watched: int = count(MAX_WATCHED, "users that one connection may watch", most=1_000_000)
    max_devices: int = count(
        16, "devices of one user; a further one ends one whose link is gone, else the one longest idle", most=1000
    )
    on_full: str = text(
        OLDEST,
        "who gives way when a user has max_devices: oldest: one that is there, see max_devices; newest: who comes",
        choices=ON_FULL,
    )
    login_policy: str = text(
        MANY,
        "which devices of one user may be online at once; a newcomer ends those it may not stand beside, with 4409",
        choices=POLICIES,
    )
    device_classes: str = text(
        DEFAULT_CLASSES,
        "which platforms are one class, where login_policy lets a user have one device of each class",
    )
    max_batch: int = count(MAX_BATCH, "user ids in one query", most=100_000)
    limits: str = text(
        "auto",
        "whether rates below apply: auto: on loopback with auth none only those that differ from their defaults",
        choices=("auto", "on", "off"),
    )
    limit_burst: float = seconds(10.0, "worth of each rate below that may be used at once", most=3600.0)
    address_connections: int = count(100, "new connections a second from one address, or IPv6 /64; 0 is off", least=0)
    address_handshakes: int = count(100, "WebSocket handshakes a second for one client's address; 0 is off", least=0)
    address_requests: int = count(20, "unauthenticated requests a second for one client's address; 0 is off", least=0)
    user_messages: int = count(50, "messages and requests a second of one user; 0 is off", least=0)
    user_watches: int = count(10_000, "ids a second that one user may watch or unwatch; 0 is off", least=0)
    user_statuses: int = count(10, "changes of status or idleness a second of one user; 0 is off", least=0)
    user_queries: int = count(10_000, "ids a second that one user may ask about; 0 is off", least=0)
    user_polls: int = count(32, "long polls of one user at once; 0 is off", least=0)
    user_connections: int = count(64, "WebSocket connections of one user at once; 0 is off", least=0)
    service_messages: int = count(10_000, "messages and requests a second of one service; 0 is off", least=0)
    service_watches: int = count(1_000_000, "ids a second that one service may watch or unwatch; 0 is off", least=0)
    service_statuses: int = count(5_000, "changes of status or idleness a second by one service; 0 is off", least=0)
    service_queries: int = count(1_000_000, "ids a second that one service may ask about; 0 is off", least=0)
    service_polls: int = count(0, "long polls of one service at once; 0 is off", least=0)
    service_connections: int = count(0, "WebSocket connections of one service at once; 0 is off", least=0)
    feed_window: int = count(65_536, "transitions that are kept for readers of the feed who ask for every one")
    max_http_connections: int = count(
        0, "open connections that are not WebSockets; 0 is off: max_connections bounds both", least=0
    )
    max_edges: int = count(50_000_000, "pairs of watcher and watched user, of all together; 0 is off", least=0)
    max_watchers: int = count(0, "watchers of one user; 0 is off", least=0)
    max_memory: int = count(0, "resident, above which new work is refused; 0 is off", unit="bytes", least=0, most=2**50)
    admission_lag: float = seconds(
        0.1, "that the loop may be late or a flush last before new clients are let in slowly; 0 is off", least=0.0
    )
    max_header: int = count(
        65_536, "first line and headers of one HTTP request", unit="bytes", least=1024, most=1024**2
    )
    max_message: int = count(MAX_MESSAGE, "one message or REST body", unit="bytes", least=1024, most=16 * 1024**2)
    max_unsent: int = count(
        268_435_456,
        "that wait in full sockets, of all connections together; above it, those who hold most are dropped",
        unit="bytes",
        least=1024**2,
        most=2**40,
    )
    compression: bool = switch(False, "compress long messages for WebSocket clients that offer permessage-deflate")
    drain_timeout: float = seconds(30.0, "for clients to move elsewhere after SIGTERM", least=0.0)
    allowed_origins: tuple[str, ...] = text(
        (),
        "pages that may use it beside its own host's: scheme://host[:port], null or *, separated by commas",
        empty="same host",
    )
    auth: str = text(
        "none",
        "who is let in: none: clients of trusted_networks; jwt: a signed token; webhook: whom the application knows",
        choices=("none", "jwt", "webhook"),
    )
    jwt_key: str = text(
        "",
        "secret or PEM that tokens are verified with, or @path, or kid=@path,kid=@path",
        empty="none",
        is_secret=True,
    )
    jwks: str = text("", "URL or file of the issuer's key set", empty="none")
    jwt_issuer: str = text("", "what iss of a token must be", empty="anything")
    jwt_audience: str = text("", "what aud of a token must hold", empty="anything")
    jwt_leeway: float = seconds(5.0, "by which the clocks of issuer and server may differ", least=0.0, most=600.0)
    jwt_user_claim: str = text("sub", "claim of a token that holds the user id")
    auth_url: str = text("", "URL of the application that is asked about tokens", empty="none", is_secret=True)
    service_keys: str = text("", "file of back ends' keys: name, SHA-256 of the key, scopes", empty="none")
    webhooks: str = text("", "file of webhooks: who is sent what changes, signed (TOML)", empty="none")
    trusted_networks: tuple[str, ...] = text(
        LOOPBACK, "networks whose clients are let in and may act as any user, separated by commas"
    )
    trusted_proxies: tuple[str, ...] = text(
        (), "networks of proxies whose word on a client's address is believed, separated by commas", empty="none"
    )
    allowed_hosts: tuple[str, ...] = text(
        (), "names that requests may use for this server, beside localhost and addresses", empty="none"
    )
    root_path: str = text("", "path below which a proxy serves it, such as /presence", empty="none")
    platforms: tuple[str, ...] = text(
        USUAL, "platforms that devices may name, separated by commas: 32 at most, of capital letters, digits and _"
    )
    platform_status: bool = switch(False, "tell the status on each platform as well: platformStatus")
    user_ids: str = text(
        "number",
        "what user ids are: number: 1 to 2^53-1; int64: 1 to 2^63-1, strings in JSON; string: 1 to 64 characters",
        choices=tuple(KINDS),
    )
    visibility: str = text(
        "everyone",
        "who may see whom: everyone all; contacts: as the back end says; ask: as the application answers",
        choices=("everyone", "contacts", "ask"),
    )
    strangers: str = text(
        "hidden",
        "what those who are no contacts see of a user, with visibility contacts",
        choices=("hidden", "coarse", "full"),
    )
    visibility_url: str = text(
        "", "URL of the application that is asked who may see whom", empty="none", is_secret=True
    )
    reciprocal_last_seen: bool = switch(False, "who does not show when they were last seen is not shown that of others")
    state: str = text("", "directory in which everything outlives a restart", empty="none")
    return_period: float = seconds(
        30.0,
        "after a start from state for devices to come back unnoticed; at least grace_period",
        least=0.0,
    )
    takeover: bool = switch(
        False, "take the listening sockets and the state from the server that holds the directory of state"
    )
    fsync: bool = switch(False, "lose nothing of state at power loss, where up to a second may be lost otherwise")
    engine: str = text("memory", "where the table of users lives")
    log_format: str = text("auto", "auto is human on a terminal, else json", choices=("auto", "human", "json"))
    log_level: str = text("info", "least level that is logged", choices=("debug", "info", "warning", "error"))

    def __post_init__(self) -> None:
        for declaration in DECLARATIONS:
            try:
                declaration.check(getattr(self, declaration.name))
            except ValueError as error:
                raise SettingsError(declaration.name, str(error)) from None
        for host in self.hosts:
            check_host(host)
        for name, read in (("sources", parse_sources), ("lifetimes", parse_lifetimes)):
            try:
                read(getattr(self, name))
            except ValueError as error:
                raise SettingsError(name, str(error)) from None
        check_engine(self.engine)
        for entry in self.allowed_origins:
            check_origin(entry)
        for entry in self.allowed_hosts:
            check_allowed_host(entry)
        check_root_path(self.root_path)
        try:
            check_names(self.platforms)
        except ValueError as error:
            raise SettingsError("platforms", str(error)) from None
        _check_classes(self)
        check_networks("trusted_networks", self.trusted_networks)
        check_networks("trusted_proxies", self.trusted_proxies)
        _check_auth(self)
        _check_visibility(self)
        _check_together(self)

    @property
    def hosts(self) -> tuple[str, ...]:
        """All that `host` names, each once; at least one."""
        return hosts_of(self.host)

    @property
    def bound_to_loopback(self) -> bool:
        """Whether only this machine can reach the server."""
        return all(is_loopback_host(host) for host in self.hosts)

    def limit(self, name: str) -> int:
        """A rate or a count of one address, user or service, as it applies; 0 is none (see `limits`)."""
        value: int = getattr(self, name)
        is_at_home = self.bound_to_loopback and self.auth == "none"
        if self.limits == "off" or (self.limits == "auto" and is_at_home and value == _DEFAULTS[name]):
            return 0
        return value

    @property
    def lag_limit(self) -> float:
        """How long a watcher may be blocked: one that reads nothing answers no ping either."""
        return min(self.max_lag, self.ping_interval + self.pong_timeout)

    @property
    def rest_lifetime(self) -> float:
        """How long a REST device lives after its last /online or /heartbeat."""
        return REST_LIFETIME_FACTOR * self.heartbeat_interval

    @property
    def returning(self) -> float:
        """How long devices that were connected have to come back after a start from state."""
        return max(self.return_period, self.grace_period)

    @property
    def ghost_bound_websocket(self) -> float:
        """Within what time a device whose WebSocket died in whatever way is OFFLINE for all watchers."""
        return self.ping_interval + self.pong_timeout + self.grace_period + GHOST_SLACK + self._batching_excess

    @property
    def ghost_bound_rest(self) -> float:
        """Within what time of its last heartbeat a REST device is OFFLINE for all watchers."""
        return self.rest_lifetime + GHOST_SLACK + self._batching_excess

    @property
    def ghost_slack(self) -> float:
        """What sweeps and batching may take."""
        return GHOST_SLACK + self._batching_excess

    @property
    def _batching_excess(self) -> float:
        """What unusually long intervals may delay a change beyond the slack: the printed bounds must not lie."""
        return max(0.0, self.max_flush_interval + self.min_publish_interval - MAX_BATCHING_DELAY)

    def connection_limit(self, open_file_limit: int) -> int:
        """How many connections may be open, at least 1.

        ``open_file_limit``: descriptors that the process may have open; negative for no limit. It also bounds a
        ``max_connections`` that asks for more, so that a full server says so instead of failing to accept.
        """
        files = open_file_limit if open_file_limit >= 0 else UNLIMITED_FILES
        possible = max(1, files - RESERVED_FILES)
        return min(self.max_connections or possible, possible)


def _declarations() -> tuple[Declaration, ...]:
    blank: dict[str, Any] = {"unit": "", "least": -math.inf, "most": math.inf, "choices": (), "empty": ""}
    return tuple(
        Declaration(**{**blank, **one.metadata, "name": one.name, "default": one.default}) for one in fields(Settings)
    )


DECLARATIONS: Final = _declarations()
"""The declaration of every setting, in the order in which documents list them."""

_DEFAULTS: Final = {declaration.name: declaration.default for declaration in DECLARATIONS}


def hosts_of(host: str) -> tuple[str, ...]:
    """The addresses and names in a `host` setting, each once; at least one."""
    return tuple(dict.fromkeys(one.strip() for one in host.split(",")))


def _check_classes(settings: Settings) -> None:
    if settings.device_classes == DEFAULT_CLASSES:
        return  # names the usual platforms, whatever the operator's are
    try:
        parse_classes(settings.device_classes, settings.platforms)
    except ValueError as error:
        raise SettingsError("device_classes", str(error)) from None
    if settings.login_policy != ONE_PER_CLASS:
        involved = ("device_classes", "login_policy")
        raise SettingsError("device_classes", f"means nothing without login_policy {ONE_PER_CLASS}", involved)


def _check_auth(settings: Settings) -> None:
    for name in ("jwks", "auth_url"):
        url = getattr(settings, name)
        if "://" in url and not url.startswith(("http://", "https://")):
            raise SettingsError(name, "must start with http:// or https://")
    if settings.auth_url and "://" not in settings.auth_url:
        raise SettingsError("auth_url", "must start with http:// or https://")
    if settings.auth == "jwt" and not (settings.jwt_key or settings.jwks):
        raise SettingsError("auth", "jwt needs jwt_key or jwks", ("auth", "jwt_key", "jwks"))
    if settings.auth == "webhook" and not settings.auth_url:
        raise SettingsError("auth", "webhook needs auth_url", ("auth", "auth_url"))
    for name, mode in (("jwt_key", "jwt"), ("jwks", "jwt"), ("auth_url", "webhook")):
        if getattr(settings, name) and settings.auth != mode:
            raise SettingsError(name, f"means nothing without auth {mode}", (name, "auth"))


def _check_visibility(settings: Settings) -> None:
    url = settings.visibility_url
    if url and not url.startswith(("http://", "https://")):
        raise SettingsError("visibility_url", "must start with http:// or https://")
    if settings.visibility == "ask" and not url:
        raise SettingsError("visibility", "ask needs visibility_url", ("visibility", "visibility_url"))
    if url and settings.visibility != "ask":
        raise SettingsError("visibility_url", "means nothing without visibility ask", ("visibility_url", "visibility"))
    if settings.strangers != "hidden" and settings.visibility != "contacts":
        raise SettingsError("strangers", "means nothing without visibility contacts", ("strangers", "visibility"))


def _check_together(settings: Settings) -> None:
    if settings.takeover and not settings.state:
        raise SettingsError("takeover", "needs state", ("takeover", "state"))
    if settings.fsync and not settings.state:
        raise SettingsError("fsync", "means nothing without state", ("fsync", "state"))
    if bool(settings.tls_cert) != bool(settings.tls_key):
        there, missing = ("tls_cert", "tls_key") if settings.tls_cert else ("tls_key", "tls_cert")
        raise SettingsError(there, f"needs {missing}")
    if not settings.uds.isprintable() or len(settings.uds.encode()) > LONGEST_PATH:
        raise SettingsError("uds", f"must be a path of at most {LONGEST_PATH} bytes, without control characters")
    quiet, busy = settings.flush_interval, settings.max_flush_interval
    if quiet > busy:
        involved = ("flush_interval", "max_flush_interval")
        reason = (
            f"flush_interval ({number(quiet)} seconds) must not be greater than "
            f"max_flush_interval ({number(busy)} seconds)"
        )
        raise SettingsError(involved[0], reason, involved)
