"""The composition root: settings in, a running service out. Everything is put together here and nowhere else."""

from __future__ import annotations

import asyncio
import errno
import os
import resource
import socket
import stat
import sys
from collections.abc import Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from random import Random
from typing import Any, Final

import uvicorn
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp

from presence_protocol.errors import FieldError
from presence_protocol.paths import BASE_PATH
from presence_protocol.user_ids import STRING, kind_of
from presence_server import __version__
from presence_server.access import Access
from presence_server.application.admission import Admission
from presence_server.application.allowances import AddressAllowance, Allowance, Allowances
from presence_server.application.ceilings import Ceilings
from presence_server.application.explanations import Times
from presence_server.application.fanout import Fanout
from presence_server.application.feed import FeedFilter
from presence_server.application.hub import Hub
from presence_server.application.hub_limits import HubLimits
from presence_server.application.keys import UserKeys, keys_again, keys_drawn
from presence_server.application.liveness import LinkTimes
from presence_server.application.polls import Polls
from presence_server.application.ports import Clock
from presence_server.application.turn import Turn
from presence_server.clock import SystemClock
from presence_server.domain.claims import Rules
from presence_server.domain.interest import Interest
from presence_server.domain.logins import NEWEST, ONE_PER_CLASS, Logins, groups_of
from presence_server.domain.model import SELF, Status
from presence_server.domain.platforms import USUAL, AnyPlatform, platforms_of
from presence_server.domain.shard import Lifetimes
from presence_server.domain.table import PresenceTable, TableOfStrings
from presence_server.engines.memory import MemoryEngine
from presence_server.garbage import collect_when_due, settle
from presence_server.identity.networks import Networks
from presence_server.log_output import say
from presence_server.logs import get_logger
from presence_server.process import PresenceServer
from presence_server.settings import Settings, SettingsError, hosts_of, returning_line, start_line
from presence_server.settings.claims import parse_lifetimes, parse_sources
from presence_server.settings.classes import parse_classes
from presence_server.state.folder import Held
from presence_server.state.hands import ThreadHands
from presence_server.state.life import State, boot_id, sight_of
from presence_server.state.restoring import StateSettings
from presence_server.tls import Certificate, CertificateError
from presence_server.transports.counts import Counts, Routes
from presence_server.transports.driver import Driver
from presence_server.transports.entrance import Entrance
from presence_server.transports.gateway import Gateway
from presence_server.transports.hosts import REASON, HostMiddleware, HostPolicy
from presence_server.transports.http.books import Books
from presence_server.transports.http.door import opened_for
from presence_server.transports.http.serving import HttpLimits, HttpPlaces, Serving
from presence_server.transports.journal import LogJournal
from presence_server.transports.metrics import LIMITS
from presence_server.transports.operations import Operations
from presence_server.transports.origins import CorsMiddleware, OriginPolicy
from presence_server.transports.pages import Pages
from presence_server.transports.rest.claims import ClaimsApi
from presence_server.transports.rest.credentials import CredentialsApi
from presence_server.transports.rest.crowd import CrowdApi
from presence_server.transports.rest.desk import Desk, forwarding_of, refused_by
from presence_server.transports.rest.devices import DevicesApi
from presence_server.transports.rest.endpoints import RestApi, on_http_exception
from presence_server.transports.rest.envelope import Refusal, failure
from presence_server.transports.rest.explain import ExplainApi
from presence_server.transports.rest.openapi import openapi_route
from presence_server.transports.rest.people import PeopleApi
from presence_server.transports.rest.public import PublicLimit
from presence_server.transports.rest.quick import QuickAnswers
from presence_server.transports.rest.reach import ReachApi
from presence_server.transports.rest.webhooks import WebhooksApi
from presence_server.transports.websocket.direct import RECEIVE_BUFFER, SEND_BUFFER, OpenSockets
from presence_server.transports.websocket.frames import FRAMERS, PING
from presence_server.transports.websocket.turns import Turns
from presence_server.transports.websocket.unsent import Unsent
from presence_server.transports.websocket.websockets import WebSockets
from presence_server.webhooks.deliveries import Deliveries
from presence_server.webhooks.file import Wanted, WebhookFileError
from presence_server.webhooks.file import read as read_webhooks
from presence_server.webhooks.ports import Positions, PositionsInMemory

_log = get_logger(__name__)


class BindError(Exception):
    """The address cannot be listened on. Its text is one line for whoever started the server."""


def build_gateway(
    settings: Settings, clock: Clock, random: Random, connection_limit: int, state: State | None = None
) -> Gateway:
    """The application with all its parts, not yet on any loop. `state` is restored, and kept from now on."""
    sources = parse_sources(settings.sources)
    kind = kind_of(settings.user_ids)
    table = (TableOfStrings if kind is STRING else PresenceTable)(
        Lifetimes(
            settings.grace_period,
            settings.rest_lifetime,
            settings.away_after,
            settings.max_devices,
            settings.unseen_for,
        ),
        shards=settings.shards,
        max_remembered=settings.max_remembered,
        max_unseen=settings.max_unseen,
        salt=random.randrange(1 << 24) | 1 << 24 | 1,
        rules=Rules(sources[SELF.name], parse_lifetimes(settings.lifetimes), settings.show_idle_since),
        logins=logins_of(settings),
    )
    keys = keys_drawn(kind, random)
    platforms = platforms_of(settings.platforms, settings.platform_status)
    epoch = random.getrandbits(48)
    if state is None:
        engine = MemoryEngine(table, epoch, clock)
    else:
        keys = state.restore(table, _state_settings(settings, platforms, epoch, keys)).keys
        engine = state.engine(table, infers=settings.away_after > 0)
    interest = Interest()
    driver = Driver(clock)
    sockets = OpenSockets()
    intervals = settings.flush_interval, settings.max_flush_interval
    turn = Turn(FRAMERS, PING, driver.wake)
    fanout = Fanout(engine, interest, clock, turn, keys, *intervals, sockets=sockets, max_message=settings.max_message)
    limits = HubLimits(
        settings.max_watched,
        settings.max_batch,
        settings.max_message,
        settings.min_publish_interval,
        LinkTimes(settings.hello_timeout, settings.ping_interval, settings.pong_timeout, settings.lag_limit),
        kind,
        platforms,
        allows_invisible=not settings.no_invisible,
    )
    access = Access(settings)
    allowances = allowances_of(settings, keys)
    journal, turns = LogJournal(engine, keys), Turns(clock, lambda callback: driver.call_soon(callback))
    hub = Hub(
        engine,
        interest,
        fanout,
        access.authentication,
        access.visibility(keys, clock.now),
        limits,
        clock,
        keys,
        random,
        turn,
        allowances,
        Ceilings(settings.max_edges, settings.max_watchers, settings.max_memory),
        Admission(settings.admission_lag, clock.now()),
        settings.reciprocal_last_seen,
        journal,
        turns.claim,
    )
    engine.attach(journal.following(hub.receive))
    driver.drives(hub, fanout)
    if state is not None:
        state.keep(hub, table, access.authentication.revocations)
    entrance = Entrance(
        hub,
        clock,
        OriginPolicy(settings.allowed_origins, settings.bound_to_loopback),
        HostPolicy(
            settings.allowed_origins,
            settings.bound_to_loopback,
            settings.allowed_hosts,
            is_off=settings.auth != "none",
        ),
        Networks(settings.trusted_proxies),
        settings.root_path.rstrip("/"),
    )
    books, counts = Books(connection_limit), Counts(sockets.traffic)
    unsent = Unsent(settings.max_unsent, lambda callback: driver.call_soon(callback))
    websockets = WebSockets(hub, driver, turns, entrance, sockets, books, counts, journal, unsent, settings.compression)
    http_limits = HttpLimits(
        settings.max_header,
        settings.header_timeout or settings.hello_timeout,
        settings.body_timeout or settings.hello_timeout,
        settings.keep_alive_timeout,
        settings.answer_timeout,
    )
    http = Serving(websockets, books, http_limits, HttpPlaces(settings.max_http_connections))
    polls = Polls(fanout, hub.sight, hub.edges, hub.permissions)
    gateway = Gateway(access, polls, http, sources, settings.heartbeat_interval)
    gateway.counts.limits = {name: limit_of(settings, name) for name in LIMITS if name != "max_connections"}
    gateway.counts.limits["max_connections"] = connection_limit
    driver.on_sweep = gateway.look
    return gateway


def webhooks_of(settings: Settings, gateway: Gateway, positions: Positions) -> Deliveries | None:
    """The webhooks of the file, not yet at work; None if there is no file.

    Raises:
        SettingsError: the file cannot be used.
    """
    if not settings.webhooks:
        return None
    feed, platforms = gateway.feed, [one.value for one in gateway.hub.limits.platforms]
    if feed is None:
        raise SettingsError("webhooks", f"the engine {settings.engine} has no feed")
    path, ids = Path(settings.webhooks), gateway.user_ids

    def filter_of(wanted: Wanted) -> FeedFilter:
        return FeedFilter(
            frozenset(map(Status, wanted.statuses)) or None,
            wanted.platforms or None,
            frozenset(wanted.users) or None,
        )

    try:
        return Deliveries(
            lambda: read_webhooks(path, ids, platforms), feed, filter_of, positions, gateway.clock, Random()
        )
    except WebhookFileError as failure:
        raise SettingsError("webhooks", str(failure)) from None


def _state_settings(settings: Settings, platforms: type[AnyPlatform], epoch: int, keys: UserKeys) -> StateSettings:
    kind = kind_of(settings.user_ids)
    return StateSettings(
        kind.name,
        {platform.value: platform for platform in platforms},
        parse_sources(settings.sources),
        settings.returning,
        boot_id(),
        sight_of(settings.visibility, settings.strangers, settings.reciprocal_last_seen),
        epoch,
        keys.multiplier,
        partial(keys_again, kind),
    )


def logins_of(settings: Settings) -> Logins:
    """Which devices of a user may be online together."""
    classes: dict[str, tuple[str, ...]] = {}
    if settings.login_policy == ONE_PER_CLASS:
        # The usual classes may name platforms that this server does not take.
        classes = parse_classes(settings.device_classes, (*settings.platforms, *USUAL))
    groups = groups_of(settings.login_policy, settings.platforms, classes)
    return Logins(groups, settings.on_full == NEWEST)


def limit_of(settings: Settings, name: str) -> float:
    """What a limit is set to, as it applies; 0 is none."""
    kind = name.partition("_")[0]
    value: float = settings.limit(name) if kind in ("user", "service", "address") else getattr(settings, name)
    if name in ("body_timeout", "header_timeout"):
        return value or settings.hello_timeout
    return value


def allowances_of(settings: Settings, keys: UserKeys) -> Allowances | None:
    """What each address, user and service may have; None if nothing is limited."""

    def of(kind: str) -> Allowance:
        return Allowance(*(settings.limit(f"{kind}_{name}") for name in Allowance._fields))

    user, service = of("user"), of("service")
    address = AddressAllowance(*(settings.limit(f"address_{name}") for name in AddressAllowance._fields))
    if not any((*user, *service, *address)):
        return None
    return Allowances(user, service, address, settings.limit_burst, keys)


def build_http(gateway: Gateway, settings: Settings) -> ASGIApp:
    """All that is served over plain HTTP."""
    desk = Desk(gateway)
    grace = settings.grace_period
    times = Times(settings.ping_interval + settings.pong_timeout + grace, grace, settings.rest_lifetime)

    async def on_unknown(request: Request, raised: Exception) -> Response:
        """A path that there is not: whoever asks for it has not been asked who they are."""
        over = None
        if request.url.path.startswith(BASE_PATH):
            address = request.client.host if request.client else ""
            over = gateway.entrance.over_asking(address, forwarding_of(request))
        return await on_http_exception(request, raised) if over is None else failure(refused_by(over))

    app = Starlette(
        routes=[
            *RestApi(gateway, desk).routes(),
            *ClaimsApi(gateway, desk).routes(),
            *ExplainApi(gateway, desk, times).routes(),
            *CredentialsApi(gateway, desk, gateway.access.authentication).routes(),
            *PeopleApi(gateway, desk).routes(),
            *WebhooksApi(gateway, desk).routes(),
            *DevicesApi(gateway, desk, times).routes(),
            *CrowdApi(gateway, desk).routes(),
            *ReachApi(gateway, desk).routes(),
            *Operations(gateway, __version__).routes(),
            openapi_route(gateway, __version__),
            *Pages(grace, gateway.entrance.root_path).routes(),
        ],
        exception_handlers={HTTPException: on_unknown},
    )
    app.router.redirect_slashes = False
    gateway.counts.routes = Routes(route.path for route in app.routes if isinstance(route, Route))
    refused = failure(Refusal(403, [FieldError("Origin", "is not allowed here")]))
    a_form = failure(Refusal(415, [FieldError("Content-Type", "must be application/json from a web page")]))
    misdirected = failure(Refusal(421, [FieldError("Host", REASON)]))
    entrance = gateway.entrance
    whole = HostMiddleware(CorsMiddleware(app, entrance.origins, refused, a_form), entrance.hosts, misdirected)
    return QuickAnswers(PublicLimit(whole, gateway), gateway)


async def serve(settings: Settings) -> None:
    """Run the service until it is told to end.

    Raises:
        BindError: the address is taken, or not this machine's.
    """
    certificate = _certificate(settings)
    listeners = listen(settings.host, settings.port)
    url = page_url(settings.hosts[0], listeners[0].getsockname()[1], certificate is not None)
    if settings.uds:
        listeners.append(listen_at(settings.uds))
    open_files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    limit = settings.connection_limit(open_files)
    clock = SystemClock()
    try:
        hands = ThreadHands()
        state = State(settings.state, clock, hands, settings.fsync) if settings.state else None
    except Held as held:
        raise BindError(str(held)) from None
    gateway = build_gateway(settings, clock, Random(), limit, state)
    gateway.webhooks = webhooks_of(settings, gateway, PositionsInMemory() if state is None else state.positions)
    gateway.driver.start()
    await gateway.access.start()
    if gateway.webhooks is not None:
        gateway.webhooks.start()

    config = uvicorn.Config(
        build_http(gateway, settings),
        http=opened_for(gateway.http),  # type: ignore[arg-type]
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        proxy_headers=False,
        server_header=False,
        timeout_graceful_shutdown=1,
    )
    server = PresenceServer(config, gateway, settings.drain_timeout, certificate)
    gateway.http.books.on_crowd = server.on_crowd
    settle()
    returning = ""
    if state is not None and state.restored is not None:
        returning = returning_line(settings, state.restored.users, state.restored.ends_in)
    say(sys.stdout, start_line(settings, url, limit, returning))
    if settings.auth == "none" and not settings.bound_to_loopback:
        trusted = ",".join(settings.trusted_networks)
        _log.warning(
            "no credentials are asked for: whoever is in a trusted network may act as any user", trusted=trusted
        )
    _log.info("started", url=url, connections=limit, engine=settings.engine)
    collecting = asyncio.ensure_future(collect_when_due())
    try:
        await server.serve(sockets=listeners)
    finally:
        collecting.cancel()
        if gateway.webhooks is not None:
            await gateway.webhooks.stop()
        gateway.driver.stop()
        await gateway.access.stop()
        if state is not None:
            state.finish()
            await hands.close()
            state.close()
        if settings.uds:
            with suppress(OSError):
                os.unlink(settings.uds)
    _log.info("ended")


def listen(host: str, port: int) -> list[socket.socket]:
    """Sockets for every address that `host` stands for and this machine has, all on one port.

    `host` may be several, separated by commas. `::` stands for every address of both families, as 0.0.0.0 does for
    those of one; those that are named beside it are among them. With port 0 the system chooses the port for the first
    address; if another address has it in use, another port is chosen, up to 20 times.

    Raises:
        BindError: one of them has no such address, or the port is taken on one of them.
    """
    for _ in range(_CHOICES - 1 if port == 0 else 0):
        with suppress(_TakenError):
            return _listen_at_all(host, port)
    return _listen_at_all(host, port)


_CHOICES: Final = 20


class _TakenError(BindError):
    """The port is in use on one of the addresses."""


def _listen_at_all(host: str, port: int) -> list[socket.socket]:
    listeners: list[socket.socket] = []
    bound: set[tuple[Any, ...]] = set()
    try:
        for one in sorted(hosts_of(host), key=lambda one: one not in _EVERY):
            try:
                listeners += _listen(one, port, listeners, bound)
            except OSError as failed:
                kind = _TakenError if failed.errno == errno.EADDRINUSE else BindError
                raise kind(f"cannot listen on {one}:{port}: {failed.strerror or failed}") from None
    except BindError:
        for listener in listeners:
            listener.close()
        raise
    return listeners


_EVERY: Final = ("::", "0.0.0.0")
"""Each stands for all addresses of its family."""


def _listen(host: str, port: int, others: Sequence[socket.socket], bound: set[tuple[Any, ...]]) -> list[socket.socket]:
    listeners: list[socket.socket] = []
    missing: OSError | None = None
    try:
        for name in _EVERY if host == "::" else (host,):
            found = socket.getaddrinfo(name, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
            for family, kind, protocol, _, address in dict.fromkeys(found):
                if (family, address) in bound or any(of == family and every[0] in _EVERY for of, every in bound):
                    continue
                bound.add((family, address))
                if port == 0 and (first := next(iter((*others, *listeners)), None)) is not None:
                    address = (address[0], first.getsockname()[1], *address[2:])
                try:
                    listeners.append(_listener(family, kind, protocol, address))
                except OSError as failed:
                    # `localhost` is ::1 as well in many a hosts file, also where there is no IPv6.
                    if failed.errno not in (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT):
                        raise
                    missing = failed
        if missing is not None and not listeners:
            raise missing
    except OSError:
        for listener in listeners:
            listener.close()
        raise
    return listeners


def _listener(family: int, kind: int, protocol: int, address: tuple[Any, ...]) -> socket.socket:
    listener = socket.socket(family, kind, protocol)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER)
        listener.bind(address)
        listener.listen(2048)  # already here, so that a taken port is seen before anything is said to run
        listener.setblocking(False)
    except OSError:
        listener.close()
        raise
    return listener


def listen_at(path: str) -> socket.socket:
    """A Unix socket at `path`, which anybody may open who may enter its folder.

    One that is there already, and that nobody listens on any more, is replaced.

    Raises:
        BindError: somebody listens there, or the path cannot be had.
    """
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        _remove_if_dead(path)
        listener.bind(path)
        os.chmod(path, 0o666)
        listener.listen(2048)
        listener.setblocking(False)
    except OSError as failed:
        listener.close()
        raise BindError(f"cannot listen on {path}: {failed.strerror or failed}") from None
    return listener


def _remove_if_dead(path: str) -> None:
    """Raises OSError: it is no socket, or one that is in use."""
    try:
        is_socket = stat.S_ISSOCK(os.stat(path).st_mode)
    except FileNotFoundError:
        return
    if not is_socket:
        raise OSError(errno.EEXIST, "there is a file that is no socket")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        try:
            probe.connect(path)
        except ConnectionRefusedError:
            os.unlink(path)
        else:
            raise OSError(errno.EADDRINUSE, os.strerror(errno.EADDRINUSE))


def _certificate(settings: Settings) -> Certificate | None:
    """Raises SettingsError: certificate or key cannot be used."""
    if not settings.tls_cert:
        return None
    try:
        return Certificate(settings.tls_cert, settings.tls_key)
    except CertificateError as failure:
        raise SettingsError("tls_cert", str(failure)) from None


def page_url(host: str, port: int, is_tls: bool = False) -> str:
    """The link to the page, for somebody on this machine."""
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)
    scheme = "https" if is_tls else "http"
    return f"{scheme}://[{host}]:{port}/" if ":" in host else f"{scheme}://{host}:{port}/"


def run(settings: Settings) -> None:
    """Run the service on a loop of its own."""
    try:
        import uvloop
    except ImportError:  # it has no build for every system
        asyncio.run(serve(settings))
    else:
        uvloop.run(serve(settings))
