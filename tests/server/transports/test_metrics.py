"""/metrics, as Prometheus and whoever watches the server see it."""

from __future__ import annotations

import asyncio
import json
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator

import pytest

from presence_server import __version__
from presence_server.transports.counts import OTHER, Counts, Routes
from presence_server.transports.exposition import text_of
from presence_server.transports.metrics import DECLARATIONS, LIMITS, PROCESS, collect
from support.client import Client
from support.raw import RawClient, upgrade
from support.rest import Rest
from support.server import run_server
from support.transport import Wire

SAMPLE = re.compile(r'([a-z_]+)(?:\{((?:[a-z]+="[^"\n]*",?)+)\})? ([0-9.]+(?:e[+-]?[0-9]+)?)')
API = "/api/v1/presence"


@pytest.fixture(scope="module")
def rest() -> Iterator[Rest]:
    with run_server() as server:
        yield Rest(server)


def test_promtool_finds_nothing_wrong(rest: Rest) -> None:
    promtool = shutil.which("promtool")
    assert promtool is not None, "promtool is not installed: run .ci/promtool"
    text = rest.get("//metrics").text
    checked = subprocess.run([promtool, "check", "metrics"], input=text, capture_output=True, text=True, timeout=60)
    assert (checked.returncode, checked.stdout, checked.stderr) == (0, "", "")


def test_every_sample_is_declared(rest: Rest) -> None:
    answer = rest.get("//metrics")
    assert answer.headers["Content-Type"] == "text/plain; version=0.0.4; charset=utf-8"
    assert answer.headers["Cache-Control"] == "no-store"
    assert answer.text.endswith("\n")
    declared = {each.name: each.kind for each in DECLARATIONS} | {name: kind for name, (kind, _) in PROCESS.items()}
    kinds: dict[str, str] = {}
    for line in answer.text.splitlines():
        if line.startswith("# TYPE "):
            _, _, name, kind = line.split()
            assert name not in kinds
            kinds[name] = kind
        elif line.startswith("# HELP "):
            assert re.fullmatch(r"# HELP [a-z_]+ \S.*\.", line)
        else:
            match = SAMPLE.fullmatch(line.replace("+Inf", "inf"))
            assert match is not None, line
            assert match[1] in kinds or re.sub("_(bucket|sum|count)$", "", match[1]) in kinds
    assert kinds == declared
    assert all(name.endswith("_total") is (kind == "counter") for name, kind in kinds.items())


def test_what_runs_is_told(rest: Rest) -> None:
    python = ".".join(map(str, sys.version_info[:3]))
    assert rest.server.metric(f'presence_build_info{{version="{__version__}",python="{python}"}}') == 1


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_the_process_is_told_as_the_system_sees_it(rest: Rest) -> None:
    server = rest.server
    assert server.metric("process_resident_memory_bytes") == pytest.approx(server.resident_kb() * 1024, rel=0.2)
    assert server.metric("process_virtual_memory_bytes") > server.metric("process_resident_memory_bytes")
    assert 5 < server.metric("process_open_fds") < server.metric("process_max_fds")
    assert 0 < time.time() - server.metric("process_start_time_seconds") < 3600
    before = server.metric("process_cpu_seconds_total")
    assert 0 < before <= server.metric("process_cpu_seconds_total")


def test_metrics_tell_what_happens(rest: Rest) -> None:
    names = (
        "presence_devices",
        'presence_users{status="ONLINE"}',
        'presence_users{status="BUSY"}',
        "presence_websocket_connections",
        "presence_watches",
        "presence_changes_total",
        "presence_deliveries_total",
        "presence_delivery_latency_seconds_count",
    )

    def read() -> list[float]:
        return [rest.server.metric(name) for name in names]

    async def story() -> None:
        before = read()
        watcher = await Client.observe(rest.server, [50, 51])
        await watcher.receive("snapshot")
        rest.online(50)
        await watcher.change_of(50, "ONLINE")
        rest.put(50, status="BUSY")
        await watcher.change_of(50, "BUSY")
        assert [now - then for now, then in zip(read(), before, strict=True)] == [1, 0, 1, 1, 2, 2, 2, 2]
        await watcher.close()
        rest.offline(50)
        assert rest.server.metric("presence_devices") == before[0]

    asyncio.run(story())


def test_requests_are_told_by_route_method_and_status(rest: Rest) -> None:
    def told(route: str, method: str, status: int) -> float:
        name = f'presence_http_requests_total{{route="{route}",method="{method}",status="{status}"}}'
        try:
            return rest.server.metric(name)
        except KeyError:
            return 0

    of_one, of_many, none = f"{API}/status/{{user_id}}", f"{API}/status/batch", OTHER
    cases = [(of_one, "GET", 200), (of_one, "GET", 400), (of_many, "POST", 200), (none, "GET", 404), (none, OTHER, 404)]
    before = [told(*case) for case in cases]
    for user_id in ("1", "2", "3"):
        assert rest.get(f"/status/{user_id}").status == 200
    assert rest.get("/status/0").status == 400
    assert rest.post("/status/batch", {"userIds": [1]}).status == 200
    for path in ("//nothing", "/status/1/2", f"//{'x' * 100}"):
        assert rest.get(path).status == 404
    assert rest.call("PROPFIND", "//nothing").status == 404
    assert [told(*case) - then for case, then in zip(cases, before, strict=True)] == [3, 1, 1, 3, 1]


@pytest.mark.parametrize(
    ("path", "route"),
    [
        ("/a", "/a"),
        ("/users/1", "/users/{user_id}"),
        ("/users/1/devices", "/users/{user_id}/devices"),
        ("/users/1/export", "/users/{user_id}/export"),
        ("/claims/1/call", "/claims/{user_id}/{source}"),
        ("/claims/batch", "/claims/batch"),
        ("/claims/1", "/claims/{user_id}"),
        ("/users/1/devices/2", OTHER),
        ("/users/1/secrets", OTHER),
        ("/users//devices", OTHER),
        ("/claims/1/call/2", OTHER),
        ("/b", OTHER),
    ],
)
def test_a_route_is_named_by_all_of_its_path(path: str, route: str) -> None:
    templates = ("/a", "/claims/batch", "/claims/{user_id}", "/claims/{user_id}/{source}", "/users/{user_id}")
    assert Routes((*templates, "/users/{user_id}/export", "/users/{user_id}/devices")).name(path) == route


def test_clients_make_up_no_label() -> None:
    counts = Counts()
    for number in range(100):
        counts.request(f"/{number}", f"X{number}", 404)
    assert dict(counts.requests) == {(OTHER, OTHER, 404): 100}


def test_handshakes_and_ends_are_told_by_code(rest: Rest) -> None:
    server = rest.server

    def told(name: str) -> float:
        try:
            return server.metric(f"presence_websocket_{name}")
        except KeyError:
            return 0

    async def story() -> None:
        for code in (1000, 1001, 4999):
            client = await Client.hello(server, 1)
            await client.close(code)
        client = await Client.hello(server, 2)
        await client.connection.send("{")
        assert await client.closed() == 4400

    names = [
        'handshakes_total{status="101"}',
        'handshakes_total{status="400"}',
        'closes_total{code="1000",by="client"}',
        'closes_total{code="1001",by="client"}',
        'closes_total{code="other",by="client"}',
        'closes_total{code="4400",by="server"}',
    ]
    before = [told(name) for name in names]
    asyncio.run(story())
    refused = RawClient(server)
    with refused:
        refused.send(upgrade({"Sec-WebSocket-Key": None}))
        assert refused.reply().status == 400
    assert [told(name) - then for name, then in zip(names, before, strict=True)] == [4, 1, 1, 1, 1, 1]


def test_refusals_are_told_by_limit(rest: Rest) -> None:
    def told() -> dict[str, float]:
        return {limit: rest.server.metric(f'presence_limit_refusals_total{{limit="{limit}"}}') for limit in LIMITS}

    async def story() -> None:
        client = await Client.hello(rest.server, 1)
        await client.send(type="query", userIds=list(range(1, 1002)))
        await client.receive("error")
        await client.send(type="watch", userIds=list(range(1, 5002)))
        await client.receive("error")
        await client.close()

    before = told()
    asyncio.run(story())
    assert rest.post("/status/batch", {"userIds": list(range(1, 1002))}).status == 400
    assert rest.post("/changes", {"userIds": list(range(1, 5002))}).status == 400
    assert rest.post("/status/batch", {"userIds": [1] * 200_000}).status == 413
    after = told()
    grown = {limit: after[limit] - before[limit] for limit in LIMITS if after[limit] != before[limit]}
    assert grown == {"max_batch": 2, "max_watched": 2, "max_message": 1}


def test_limits_are_gauges_beside_what_is_used_of_them(rest: Rest) -> None:
    assert rest.server.metric('presence_limit{limit="max_watched"}') == 5000
    assert rest.server.metric('presence_limit{limit="body_timeout"}') == 10
    for limit in ("max_connections", "max_remembered", "max_unseen", "max_unsent"):
        used = rest.server.metric(f'presence_limit_used{{limit="{limit}"}}')
        assert 0 <= used < 0.8 * rest.server.metric(f'presence_limit{{limit="{limit}"}}')


def test_bytes_and_writes_are_told_by_protocol(rest: Rest) -> None:
    server = rest.server

    def told() -> list[float]:
        kinds = ("received_bytes", "sent_bytes", "writes")
        return [server.metric(f'presence_{kind}_total{{protocol="websocket"}}') for kind in kinds]

    async def story() -> None:
        client = await Client.observe(server, [])
        await client.receive("snapshot")
        before = told()
        await client.send(type="ping", id=1)
        await client.receive("pong")
        received, sent, writes = (now - then for now, then in zip(told(), before, strict=True))
        assert (received, sent, writes) == (
            6 + len(json.dumps({"type": "ping", "id": 1})),
            2 + len('{"type":"pong","id":1}'),
            1,
        )
        await client.close()

    asyncio.run(story())
    before = server.metric('presence_sent_bytes_total{protocol="http"}')
    answer = rest.get("/status/1")
    assert server.metric('presence_sent_bytes_total{protocol="http"}') - before > len(answer.text)


def test_the_loops_lag_is_looked_at_all_the_time(rest: Rest) -> None:
    before = rest.server.metric("presence_event_loop_lag_seconds_count")
    give_up = time.monotonic() + 30
    while rest.server.metric("presence_event_loop_lag_seconds_count") < before + 3:
        assert time.monotonic() < give_up


def test_a_scrape_costs_the_same_however_many_are_connected() -> None:
    def cost() -> float:
        times = []
        for _ in range(20):
            began = time.process_time()
            text_of(collect(wire.gateway, __version__))
            times.append(time.process_time() - began)
        return min(times)

    wire = Wire()
    alone = cost()
    wires = [wire.another() for _ in range(3000)]
    assert len(wire.gateway.websockets.connections) == 1 + len(wires)
    assert cost() < 2 * alone
