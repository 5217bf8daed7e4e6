"""Why a user is shown as they are: the sentence, the data behind it, and who may know."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from presence_server.identity.service_keys import line_of, new_key, parse_scopes
from server.identity.keys import SECRET
from server.identity.test_over_sockets import bearer, token
from support.client import Client
from support.server import Server, run_server

ADMIN, READER = (new_key(lambda size, byte=byte: bytes([byte]) * size) for byte in (1, 2))


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with run_server(grace_period=1, heartbeat_interval=30) as running:
        yield running


def test_nobody(server: Server) -> None:
    found = server.get("/explain/404").data
    assert found["sentence"] == {"en": "404 is OFFLINE: no device is online.", "zh": "404 离线：没有设备在线。"}
    assert (found["statusBy"]["source"], found["next"], found["devices"], found["changes"]) == ("nothing", None, [], [])


def test_devices_decide_and_what_comes_next(server: Server) -> None:
    async def live() -> None:
        web = await Client.hello(server, 1, "web")
        await web.ask(type="activity", idle=True)
        server.online(1, "phone", "IOS")
        found = server.get("/explain/1").data
        assert found["statusBy"] == {"source": "devices"}
        assert found["sentence"]["en"].startswith("1 is ONLINE: 1 of 2 devices active; then AWAY at ")
        holders = {device["deviceId"]: device for device in found["devices"]}
        assert (holders["web"]["holder"], holders["phone"]["holder"]) == ("connection", "rest")
        assert holders["web"]["lastHeard"] <= holders["web"]["lapsesAt"]
        assert found["next"]["time"] == holders["phone"]["lapsesAt"]
        assert (found["next"]["status"], found["next"]["statusBy"]["cause"]) == ("AWAY", "heartbeat_missed")
        causes = [(change["before"], change["after"], change["cause"]) for change in found["changes"]]
        assert causes == [
            ("AWAY", "ONLINE", "connected"),
            ("ONLINE", "AWAY", "idle"),
            ("OFFLINE", "ONLINE", "connected"),
        ]
        web.vanish()
        server.post("/offline", {"userId": 1, "deviceId": "phone"})
        watcher = await Client.observe(server, [1])
        await watcher.receive(
            lambda message: any(
                entry["status"] == "OFFLINE" for entry in message.get("changes", message.get("statuses", ()))
            )
        )
        await watcher.close()
        assert server.get("/explain/1").data["changes"][0]["cause"] == "grace_over"

    asyncio.run(live())


def test_what_somebody_said_decides_until_it_ends(server: Server) -> None:
    until = (datetime.now(UTC) + timedelta(hours=1)).strftime("%Y-%m-%dT%H:%M:%SZ")
    server.online(2)
    server.request("PUT", "/status/2", {"status": "BUSY", "until": until, "statusText": "in a call"})
    found = server.get("/explain/2").data
    assert (found["statusBy"]["source"], found["until"]) == ("self", until)
    assert found["textBy"]["statusText"] == "in a call"
    assert found["sentence"]["en"].startswith(f"2 is BUSY until {until}: they said so; then ")
    assert "本人所设" in found["sentence"]["zh"]
    assert found["changes"][0]["cause"] == "status_set"
    server.request("PUT", "/claims/2/call", {"claims": [{"id": "c", "status": "AWAY", "until": until}]})
    found = server.get("/explain/2").data
    assert found["statusBy"]["source"] == "call"
    assert "the source call says so" in found["sentence"]["en"]
    assert found["changes"][0]["cause"] == "claim_began"
    server.post("/offline", {"userId": 2, "deviceId": "rest"})
    assert "AWAY, which call says, shows once one is" in server.get("/explain/2").data["sentence"]["en"]


def test_invisible_is_told_to_the_user_and_to_an_admin_alone(tmp_path: Path) -> None:
    keys = tmp_path / "keys"
    scopes = ((ADMIN, "admin"), (READER, "read"))
    keys.write_text("\n".join(line_of(scope, key, parse_scopes(scope)) for key, scope in scopes), "utf-8")
    with run_server(auth="jwt", jwt_key=SECRET, service_keys=keys) as server:
        own = bearer(token(7))
        server.request("POST", "/online", {"userId": 7, "deviceId": "d", "platform": "PC"}, own)
        server.request("PUT", "/status/7", {"status": "OFFLINE"}, own)
        for headers in (own, bearer(ADMIN)):
            found = server.request("GET", "/explain/7", headers=headers).data
            assert found["sentence"]["en"].startswith("7 is invisible, as they said, with no end")
            assert "隐身" in found["sentence"]["zh"]
        for headers in (bearer(token(8)), bearer(READER)):
            refused = server.request("GET", "/explain/7", headers=headers)
            assert refused.status == 403
            assert "invisible" not in refused.text
        assert server.request("GET", "/explain/7").status == 401


def test_the_command_says_it(server: Server) -> None:
    server.online(3, "desk", "PC")
    command = [sys.executable, "-m", "presence_client", "explain", "3", "--url", server.url]
    said = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert said.returncode == 0, said.stderr
    found = server.get("/explain/3").data
    assert found["next"]["statusBy"] == {"source": "nothing", "cause": "heartbeat_missed"}
    first, device, change = said.stdout.splitlines()
    assert first.startswith("3 is ONLINE: 1 of 1 device active; then OFFLINE at ")
    assert "desk (PC) active, rest, heard " in device
    assert change.endswith("OFFLINE -> ONLINE  connected")
