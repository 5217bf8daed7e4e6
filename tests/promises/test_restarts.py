"""Promise 2 with `--state`: a restart is told to nobody who was back in time, whichever way the server ended."""

from __future__ import annotations

import asyncio
import signal
from pathlib import Path

import pytest

from support.client import Client
from support.server import free_port, run_server

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
