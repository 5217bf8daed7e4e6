"""Promise 2 with `--state`: a restart is told to nobody who was back in time, whichever way the server ended."""

from __future__ import annotations

import asyncio
import signal
from contextlib import ExitStack
from pathlib import Path
from random import Random
from typing import Any

import pytest

from support.client import Client
from support.server import free_port, run_server
from support.swarm import Swarm

WATCHER, ACTIVE, IDLE, GONE, REST = 1, 2, 3, 4, 5


@pytest.mark.parametrize("end", [signal.SIGTERM, signal.SIGKILL])
def test_who_comes_back_after_a_restart_has_never_been_away(tmp_path: Path, end: signal.Signals) -> None:
    port, state = free_port(), tmp_path / "state"
    watched = [ACTIVE, IDLE, GONE, REST]

    async def story() -> None:
        with run_server(port=port, state=state, drain_timeout=0.2) as server:
            watcher = await Client.hello(server, WATCHER, watch=watched)
            clients = [await Client.hello(server, user, idle=user == IDLE) for user in (ACTIVE, IDLE, GONE)]
            server.online(REST)
            await watcher.change_of(REST, "ONLINE")
            seen = {entry["userId"]: entry for message in watcher.heard for entry in message.get("changes", ())}
            cursor = next(message["cursor"] for message in reversed(watcher.heard) if "cursor" in message)
            before = {user: server.get(f"/status/{user}").data["devices"] for user in watched}
            sessions = [client.heard[0]["sessionId"] for client in clients]
            server.process.send_signal(end)
            server.wait()
        with run_server(port=port, state=state, return_period=2, grace_period=0.1) as server:
            watcher = await Client.hello(server, WATCHER, watch=watched, cursor=cursor)
            assert watcher.heard[0]["continued"] is True
            assert watcher.heard[0]["resumed"] is True
            again = [await Client.hello(server, user) for user in (ACTIVE, IDLE)]
            assert [client.heard[0]["continued"] for client in again] == [True, True]
            assert [client.heard[0]["sessionId"] for client in again] == sessions[:2]
            assert server.post("/heartbeat", {"userId": REST, "deviceId": "rest"}).status == 200
            for user in (ACTIVE, IDLE, REST):
                assert server.get(f"/status/{user}").data["devices"] == before[user]
            assert server.status_of(IDLE) == "AWAY"
            await watcher.change_of(GONE, "OFFLINE")
            told = [entry for message in watcher.heard for entry in message.get("changes", message.get("statuses", ()))]
            assert {entry["userId"] for entry in told if entry["status"] == "OFFLINE"} == {GONE}
            assert all(entry["version"] >= seen[entry["userId"]]["version"] for entry in told)

    asyncio.run(story())


ROUNDS = 2
SWARM, WATCHED = 100, 20


def test_a_swarm_through_stops_and_kills_is_told_nothing_wrong(tmp_path: Path) -> None:
    """Changes go on all the time, so that a kill falls into the middle of something."""
    port, random = free_port(), Random(7)

    async def story() -> Swarm:
        swarm = Swarm(port, SWARM, WATCHED)
        loop = asyncio.get_running_loop()
        for number in range(2 * ROUNDS + 1):
            running = run_server(port=port, state=tmp_path, drain_timeout=0.3, return_period=60, limits="off")
            with ExitStack() as stack:
                server = await loop.run_in_executor(None, stack.enter_context, running)
                if number == 0:
                    await swarm.come()
                await swarm.all_there()
                stirring = asyncio.ensure_future(swarm.stirring(300))
                await asyncio.sleep(random.uniform(0.3, 0.8))
                server.process.send_signal(signal.SIGKILL if number % 2 else signal.SIGTERM)
                await loop.run_in_executor(None, server.wait)
                stirring.cancel()
        await swarm.leave()
        return swarm

    swarm = asyncio.run(story())
    again = 2 * ROUNDS * SWARM
    assert swarm.wrongs == []
    assert swarm.counts["arrived"] == SWARM + again
    assert swarm.counts["continued"] == again
    assert swarm.counts["resumed"] >= 0.9 * again, swarm.counts


@pytest.mark.parametrize("end", [signal.SIGTERM, signal.SIGKILL])
def test_what_was_held_back_of_who_flaps_is_told_after_the_restart(tmp_path: Path, end: signal.Signals) -> None:
    """A cursor from after such a change does not speak for it: it was not told yet, and only memory knew so."""
    flapper, others = 2, range(10, 18)
    settings = {"port": free_port(), "state": tmp_path, "min_publish_interval": 30, "drain_timeout": 0.2}

    async def story() -> None:
        with run_server(**settings) as server:
            people = [await Client.hello(server, flapper)]
            watcher = await Client.hello(server, WATCHER, watch=[flapper, *others])
            for number, other in enumerate(others):
                # More than may be told at once, and a flush between any two.
                await people[0].ask(
                    type="status", status="ONLINE" if other == others[-1] else ("BUSY", "AWAY")[number % 2]
                )
                people.append(await Client.hello(server, other))
                told = await watcher.receive(lambda message, other=other: _says(message, other, "ONLINE"))  # type: ignore[misc]
            cursor = told["cursor"]
            said = [message for message in watcher.heard if any(_says(message, flapper, one) for one in STATUSES)]
            assert not _says(said[-1], flapper, "ONLINE")
            server.process.send_signal(end)
            server.wait()
        with run_server(**settings) as server:
            watcher = await Client.hello(server, WATCHER, watch=[flapper, *others], cursor=cursor)
            assert watcher.heard[0]["resumed"] is True
            await watcher.receive(lambda message: _says(message, flapper, "ONLINE"))

    asyncio.run(story())


STATUSES = ("ONLINE", "AWAY", "BUSY")


def _says(message: dict[str, Any], user_id: int, status: str) -> bool:
    told = message.get("changes", message.get("statuses", ()))
    return any((entry["userId"], entry["status"]) == (user_id, status) for entry in told)
