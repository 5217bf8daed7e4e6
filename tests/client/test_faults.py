"""The SDK against the real server through the fault proxy: each fault, what the application saw, that it converged."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager

import pytest

from presence_client import Backoff, ConnectionClosed, Kind, NotConnected, Phase, PresenceClient, connect
from support.proxy import FaultProxy, run_proxy
from support.server import Server, run_server

ME, FRIEND = 50, 51
QUICK = Backoff(base=0.05, cap=0.2)


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with run_server(grace_period=1.5, ping_interval=0.5, pong_timeout=0.5, min_publish_interval=0) as running:
        yield running


@asynccontextmanager
async def through_proxy(server: Server) -> AsyncIterator[tuple[FaultProxy, PresenceClient, list[Phase]]]:
    """A client that watches a friend, the proxy it goes through, and the phases that a UI would have shown."""
    async with run_proxy(server.port) as proxy:
        client = connect(
            proxy.url, user_id=ME, device_id="sdk", platform="PC", watch=[FRIEND], backoff=QUICK, open_timeout=5
        )
        phases: list[Phase] = []

        async def note_phases() -> None:
            async for state in client.states():
                phases.append(state.phase)  # noqa: PERF401 (it is looked at meanwhile)

        async with client:
            noting = asyncio.create_task(note_phases())
            await asyncio.sleep(0)
            yield proxy, client, phases
            noting.cancel()


async def until(condition: Callable[[], bool], seconds: float = 8) -> None:
    async with asyncio.timeout(seconds):
        while True:
            if condition():
                return
            await asyncio.sleep(0.02)


def sees(client: PresenceClient, status: str) -> bool:
    return not client.view.stale and FRIEND in client.view and client.view[FRIEND].status == status


def flip(server: Server) -> str:
    """The friend comes or goes. Returns the status that a watcher must come to see."""
    if server.status_of(FRIEND) == "ONLINE":
        server.post("/offline", {"userId": FRIEND, "deviceId": "rest"})
        return "OFFLINE"
    server.online(FRIEND)
    return "ONLINE"


FAULTS: dict[str, Callable[[FaultProxy], None]] = {
    "the link is reset": FaultProxy.cut,
    "the server's side stays open": FaultProxy.cut_client_side,
    "half-closed": FaultProxy.half_close,
    "1001": lambda proxy: proxy.close_with(1001),
    "1011": lambda proxy: proxy.close_with(1011),
    "1012": lambda proxy: proxy.close_with(1012, "the server is ending"),
    "4503": lambda proxy: proxy.close_with(4503),
    "4508": lambda proxy: proxy.close_with(4508),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_it_comes_back_sees_what_it_missed_and_nobody_saw_it_go(server: Server, fault: str) -> None:
    async def story() -> None:
        async with through_proxy(server) as (proxy, client, phases):
            await until(lambda: not client.view.stale)
            FAULTS[fault](proxy)
            status = flip(server)
            await until(lambda: sees(client, status))
            await until(lambda: phases[-1] is Phase.ONLINE)
            assert Phase.WAITING in phases
            assert server.status_of(ME) == "ONLINE"
        assert server.status_of(ME) == "OFFLINE"  # leaving says goodbye

    asyncio.run(story())


@pytest.mark.parametrize("code", [4400, 4403, 4409, 4410, 4411])
def test_it_stays_away_when_it_is_told_to(server: Server, code: int) -> None:
    async def story() -> None:
        async with through_proxy(server) as (proxy, client, phases):
            proxy.close_with(code, "stay away")
            await until(lambda: client.state.phase is Phase.CLOSED)
            assert client.state.code == code
            seen = proxy.upgrades
            with pytest.raises(ConnectionClosed) as closed:
                await client.watch([60])
            assert closed.value.code == code
            await asyncio.sleep(0.5)
            assert proxy.upgrades == seen
            await until(lambda: phases[-1] is Phase.CLOSED)

    asyncio.run(story())


def test_a_half_open_link_is_noticed_by_both_ends(server: Server) -> None:
    async def story() -> None:
        async with through_proxy(server) as (proxy, client, _):
            await until(lambda: not client.view.stale)
            proxy.faults.black_hole = True
            await until(lambda: client.view.stale)
            assert client.view.stale_since is not None
            proxy.faults.black_hole = False
            proxy.cut()
            status = flip(server)
            await until(lambda: sees(client, status))

    asyncio.run(story())


def test_swallowed_pongs_and_a_slow_wire(server: Server) -> None:
    async def story() -> None:
        async with through_proxy(server) as (proxy, client, phases):
            proxy.faults.swallow_pongs = True
            await until(lambda: Phase.WAITING in phases)  # the server took it for dead
            proxy.faults.swallow_pongs = False
            proxy.faults.delay = 0.1
            status = flip(server)
            await until(lambda: sees(client, status))

    asyncio.run(story())


def test_refused_upgrades_lead_to_rest_with_the_same_view(server: Server) -> None:
    async def story() -> None:
        async with run_proxy(server.port) as proxy:
            proxy.faults.refuse_upgrades = 403
            client = connect(
                proxy.url, user_id=ME, device_id="sdk", platform="PC", watch=[FRIEND], backoff=QUICK, open_timeout=8
            )
            async with client:
                assert client.state.kind is Kind.REST
                await until(lambda: not client.view.stale)
                for _ in range(2):
                    status = flip(server)
                    await until(lambda status=status: sees(client, status))  # type: ignore[misc]
                assert server.status_of(ME) == "ONLINE"
                await client.watch([60])
                assert 60 in client.view
            assert server.status_of(ME) == "OFFLINE"

    asyncio.run(story())


def test_nobody_there_is_said_clearly(server: Server) -> None:
    async def story() -> None:
        async with run_proxy(server.port) as proxy:
            proxy.faults.refuse_connections = True
            with pytest.raises(NotConnected):
                async with connect(
                    proxy.url, user_id=ME, device_id="sdk", platform="PC", backoff=QUICK, open_timeout=0.6
                ):
                    pass

    asyncio.run(story())
