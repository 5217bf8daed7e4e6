"""The composition root: settings in, a running service out. Everything is put together here and nowhere else."""

from __future__ import annotations

import asyncio
import os
import resource
import sys
from contextlib import suppress
from functools import partial
from pathlib import Path
from random import Random

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
from presence_server.application.ceilings import Ceilings
from presence_server.application.explanations import Times
from presence_server.application.fanout import Fanout
from presence_server.application.feed import Feed, FeedFilter
from presence_server.application.hub import Hub
from presence_server.application.keys import UserKeys, keys_again, keys_drawn
from presence_server.application.polls import Polls
from presence_server.application.ports import Clock
from presence_server.application.turn import Turn
from presence_server.application.views import Views
from presence_server.clock import SystemClock
from presence_server.domain.claims import Rules
from presence_server.domain.interest import Interest
from presence_server.domain.model import SELF, Status
from presence_server.domain.platforms import AnyPlatform, platforms_of
from presence_server.domain.table import PresenceTable, TableOfStrings
from presence_server.engines.memory import MemoryEngine
from presence_server.garbage import collect_when_due, settle
from presence_server.handover.giving import Giving
from presence_server.handover.place import ServerPlace
from presence_server.handover.taking import NotGiven, take
from presence_server.identity.networks import Networks
from presence_server.limits import allowances_of, http_limits_of, hub_limits_of, lifetimes_of, limit_of, logins_of
from presence_server.listening import BindError, opened, url_of
from presence_server.log_output import say
from presence_server.logs import get_logger
from presence_server.process import PresenceServer
from presence_server.settings import Settings, SettingsError, returning_line, start_line
from presence_server.settings.claims import parse_lifetimes, parse_sources
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
from presence_server.transports.http.serving import HttpPlaces, Serving
from presence_server.transports.journal import LogJournal
from presence_server.transports.metrics import LIMITS
from presence_server.transports.operations import Operations
from presence_server.transports.origins import CorsMiddleware, OriginPolicy
from presence_server.transports.pacing import FEED_PAUSE, Paced
from presence_server.transports.pages import Pages
from presence_server.transports.rest.claims import ClaimsApi
from presence_server.transports.rest.credentials import CredentialsApi
from presence_server.transports.rest.crowd import CrowdApi
from presence_server.transports.rest.desk import Desk, forwarding_of, refused_by
from presence_server.transports.rest.devices import DevicesApi
from presence_server.transports.rest.endpoints import RestApi, on_http_exception
from presence_server.transports.rest.envelope import Refusal, failure
from presence_server.transports.rest.explain import ExplainApi
from presence_server.transports.rest.feed import FeedApi
from presence_server.transports.rest.openapi import openapi_route
from presence_server.transports.rest.people import PeopleApi
from presence_server.transports.rest.public import PublicLimit
from presence_server.transports.rest.quick import QuickAnswers
from presence_server.transports.rest.reach import ReachApi
from presence_server.transports.rest.webhooks import WebhooksApi
from presence_server.transports.websocket.direct import OpenSockets
from presence_server.transports.websocket.frames import FRAMERS, PING
from presence_server.transports.websocket.shares import Shares
from presence_server.transports.websocket.unsent import Unsent
from presence_server.transports.websocket.websockets import WebSockets
from presence_server.webhooks.deliveries import Deliveries
from presence_server.webhooks.file import Wanted, WebhookFileError
from presence_server.webhooks.file import read as read_webhooks
from presence_server.webhooks.ports import Positions, PositionsInMemory

_log = get_logger(__name__)


def build_gateway(
    settings: Settings, clock: Clock, random: Random, connection_limit: int, state: State | None = None
) -> Gateway:
    """The application with all its parts, not yet on any loop. `state` is restored, and kept from now on."""
    sources = parse_sources(settings.sources)
    kind = kind_of(settings.user_ids)
    table = (TableOfStrings if kind is STRING else PresenceTable)(
        lifetimes_of(settings),
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
    views = Views(engine, clock, keys)
    fanout = Fanout(views, interest, clock, turn, *intervals, sockets=sockets, max_message=settings.max_message)
    limits = hub_limits_of(settings, platforms)
    feed = Feed(engine, keys, Paced(clock, FEED_PAUSE), settings.feed_window)
    access = Access(settings)
    allowances = allowances_of(settings, keys)
    journal, shares = LogJournal(engine, keys), Shares(clock, lambda callback: driver.call_soon(callback))
    hub = Hub(
        engine,
        interest,
        fanout,
        views,
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
        shares.claim,
        feed,
    )
    engine.attach(journal.following(hub.receive))
    driver.drives(hub, fanout)
    if state is not None:
        state.keep(hub, table, access.authentication.revocations)
        if (devices := table.statistics().devices) and settings.returning:
            hub.admission.expect(devices, settings.returning, clock.now())
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
    websockets = WebSockets(
        hub, driver, shares, entrance, sockets, books, counts, journal, unsent, settings.compression
    )
    http = Serving(websockets, books, http_limits_of(settings), HttpPlaces(settings.max_http_connections))
    polls = Polls(views, fanout, hub.sight, hub.edges, hub.permissions)
    gateway = Gateway(access, polls, http, sources, settings.heartbeat_interval, feed)
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


def _pages(gateway: Gateway, grace: float) -> Pages:
    platforms = [platform.value for platform in gateway.hub.limits.platforms]
    return Pages(grace, gateway.entrance.root_path, gateway.user_ids.name, platforms)


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


def build_http(gateway: Gateway, settings: Settings) -> ASGIApp:
    """All that is served over plain HTTP."""
    desk = Desk(gateway)
    feed = FeedApi(gateway, desk)
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
            *RestApi(gateway, desk, feed).routes(),
            *feed.routes(),
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
            *_pages(gateway, grace).routes(),
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
    taking = None
    try:
        if settings.takeover:
            taking = take(Path(settings.state))
        settings, sockets, listeners = opened(settings, () if taking is None else taking.sockets)
        if taking is not None:
            taking.wait_released()
    except NotGiven as refused:
        raise BindError(str(refused)) from None
    url = url_of(settings, listeners, certificate is not None)
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
    engine = gateway.hub.engine
    gateway.driver.start()
    await engine.start()
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
    server = PresenceServer(config, gateway, settings.drain_timeout, certificate, sockets)
    if taking is not None:
        server.on_started.append(taking.ready)
    place = giving = None
    if state is not None:
        place = ServerPlace(server, gateway, state, hands, settings.returning / 2)
        giving = Giving(Path(settings.state), place)
        server.on_started.append(giving.start)
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
    except NotGiven as refused:
        raise BindError(str(refused)) from None
    finally:
        collecting.cancel()
        if giving is not None:
            await giving.stop()
        if gateway.webhooks is not None:
            await gateway.webhooks.stop()
        gateway.driver.stop()
        await gateway.access.stop()
        await engine.stop()
        if state is not None:
            state.finish()
            await hands.close()
            state.close()
        if settings.uds and not sockets.are_held and (place is None or not place.is_left):
            with suppress(OSError):
                os.unlink(settings.uds)
    _log.info("ended")


def _certificate(settings: Settings) -> Certificate | None:
    """Raises SettingsError: certificate or key cannot be used."""
    if not settings.tls_cert:
        return None
    try:
        return Certificate(settings.tls_cert, settings.tls_key)
    except CertificateError as failure:
        raise SettingsError("tls_cert", str(failure)) from None


def run(settings: Settings) -> None:
    """Run the service on a loop of its own."""
    try:
        import uvloop
    except ImportError:  # it has no build for every system
        asyncio.run(serve(settings))
    else:
        uvloop.run(serve(settings))
