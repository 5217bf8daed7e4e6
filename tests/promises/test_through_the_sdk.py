"""The five promises once more, as an application sees them through the SDK."""

import asyncio
from collections.abc import Callable, Iterator

import pytest

from presence_client import Backoff, Phase, PresenceClient, connect
from support.proxy import FaultProxy, run_proxy
from support.server import Server, Span, run_server

ME, FRIEND = 90, 91
GRACE = 0.8
QUICK = Backoff(base=0.05, cap=0.2)
BOUND = 0.5 + 0.5 + GRACE + 2


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with run_server(grace_period=GRACE, ping_interval=0.5, pong_timeout=0.5, min_publish_interval=0) as running:
        yield running


def watcher(server: Server, *users: int) -> PresenceClient:
    return connect(server.url, observer=True, watch=users, backoff=QUICK)


def friend(url: str) -> PresenceClient:
    return connect(url, user_id=FRIEND, device_id="sdk", platform="IOS", backoff=QUICK)


async def until(condition: Callable[[], bool], seconds: float = 60) -> None:
    """Wait until it is so."""
    async with asyncio.timeout(seconds):
        while True:
            if condition():
                return
            await asyncio.sleep(0.02)


def sees(client: PresenceClient, status: str) -> bool:
    return FRIEND in client.view and client.view[FRIEND].status == status


async def cut_for_good(proxy: FaultProxy) -> None:
    proxy.faults.refuse_connections = True
    proxy.cut()


async def pull_the_cable(proxy: FaultProxy) -> None:
    proxy.faults.refuse_connections = True
    proxy.faults.black_hole = True


@pytest.mark.parametrize("die", [cut_for_good, pull_the_cable])
def test_no_ghosts(server: Server, die: Callable[[FaultProxy], object]) -> None:
    async def story() -> None:
        async with watcher(server, FRIEND) as client, run_proxy(server.port) as proxy, friend(proxy.url):
            await until(lambda: sees(client, "ONLINE"))
            await die(proxy)  # type: ignore[misc]
            began = Span(server)
            await until(lambda: sees(client, "OFFLINE"))
            assert began.fair <= BOUND

    asyncio.run(story())


def test_no_false_word(server: Server) -> None:
    async def story() -> None:
        async with watcher(server, FRIEND) as client, run_proxy(server.port) as proxy, friend(proxy.url) as other:
            await other.activity(idle=True)
            await until(lambda: sees(client, "AWAY"))
            told = []

            async def note() -> None:
                async for change in client.changes(initial=False):
                    told.append(change)  # noqa: PERF401 (it is looked at meanwhile)

            noting = asyncio.create_task(note())
            for number in range(1, 5):
                proxy.cut()
                await until(lambda number=number: proxy.upgrades > number and other.state.phase is Phase.ONLINE)  # type: ignore[misc]
                await asyncio.sleep(0.3)
            await asyncio.sleep(GRACE * 1.3)
            noting.cancel()
            assert told == []
            assert sees(client, "AWAY")

    asyncio.run(story())


def test_watchers_converge_and_time_moves_forward(server: Server) -> None:
    users = list(range(200, 230))

    async def story() -> None:
        async with run_proxy(server.port) as proxy:
            client = connect(proxy.url, observer=True, watch=users, backoff=QUICK)
            seen: dict[int, int] = {}

            async def note() -> None:
                async for change in client.changes():
                    assert change.after.version >= seen.get(change.user_id, 0)
                    seen[change.user_id] = change.after.version

            async with client:
                noting = asyncio.create_task(note())
                for turn in range(6):
                    for user_id in users[turn::3]:
                        server.online(user_id)
                        server.request("PUT", f"/status/{user_id}", {"status": "BUSY", "statusText": f"turn {turn}"})
                        await asyncio.sleep(0)
                    proxy.cut()
                    for user_id in users[turn::5]:
                        server.post("/offline", {"userId": user_id, "deviceId": "rest"})
                        await asyncio.sleep(0)
                truth = server.post("/status/batch", {"userIds": users, "detail": True}).data
                expected = {user["userId"]: (user["status"], user.get("statusText")) for user in truth}
                await until(
                    lambda: (
                        not client.view.stale
                        and {id: (entry.status, entry.status_text) for id, entry in client.view.items()} == expected
                    )
                )
                await asyncio.sleep(0)
                assert not noting.done()
                noting.cancel()
                assert seen

    asyncio.run(story())


def test_bounded(server: Server) -> None:
    """A consumer that falls behind is told the last value of each user, not a growing queue."""

    async def story() -> None:
        async with watcher(server, FRIEND, ME) as client, friend(server.url) as other:
            changes = client.changes(initial=False)  # nobody reads it for now
            for number in range(50):
                await other.set_status("BUSY", text=str(number))
            await until(lambda: FRIEND in client.view and client.view[FRIEND].status_text == "49")
            assert (await anext(changes)).text == "49"
            waiting = asyncio.ensure_future(anext(changes))
            done, _ = await asyncio.wait({waiting}, timeout=0.2)
            assert not done
            waiting.cancel()
            await asyncio.gather(waiting, return_exceptions=True)

    asyncio.run(story())
