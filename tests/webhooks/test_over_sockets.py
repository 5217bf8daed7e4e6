"""Webhooks of a real server, sent to a real receiver, and looked after as an operator does."""

from __future__ import annotations

import json
import secrets
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from presence_server.commands import find
from presence_server.identity.service_keys import line_of, new_key
from server.identity.keys import SECRET as JWT_SECRET
from support.receiver import OTHER_SECRET, SECRET, Receiver, entry_of, receiving, verified
from support.rest import Rest, refused
from support.server import SCRIPT, Server, free_port, run_server

NODE = Path(__file__).parents[1] / "node" / "webhook.mjs"


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as made:
        yield made


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "hooks.toml"


def wait(what: Any, seconds: float = 60) -> None:
    """Until `what` holds; another process does it, so there is no clock to pass in."""
    give_up = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < give_up, "it did not come to that"
        time.sleep(0.02)


def standing(server: Server, name: str = "crm") -> dict[str, Any]:
    found: dict[str, Any] = next(one for one in server.get("/webhooks").data if one["name"] == name)
    return found


def reload(server: Server, said: str) -> None:
    seen = sum(said in line for line in server.log)
    server.process.send_signal(signal.SIGHUP)
    wait(lambda: sum(said in line for line in server.log) > seen)


def test_the_fold_of_what_is_received_is_the_table(receiver: Receiver, file: Path) -> None:
    file.write_text(entry_of(receiver.url))
    with run_server(webhooks=file) as server:
        for user in range(1, 11):
            server.online(user)
        server.request("PUT", "/status/3", {"status": "BUSY", "statusText": "开会中"})
        server.post("/offline", {"userId": 4, "deviceId": "rest"})
        expected = {user: "ONLINE" for user in range(1, 11) if user != 4} | {3: "BUSY"}
        receiver.wait(lambda: receiver.fold().statuses == expected)
        fold = receiver.fold()
        assert fold.out_of_order == []
        assert fold.users[3]["statusText"] == "开会中"
        assert fold.users[1]["platforms"] == ["WEB"]
        first = receiver.received[0].json
        assert (first["type"], first["data"]["gap"]) == ("presence.changes", True)
        assert not any(one.json["data"]["gap"] for one in receiver.received[1:])
        wait(lambda: standing(server)["lagMs"] == 0)
        view = standing(server)
        assert view["state"] == "active"
        assert view["cursor"] == receiver.received[-1].json["data"]["cursor"]
        assert view["delivered"]["batches"] == len(receiver.received)
        text = server.get("//metrics").text
        assert 'presence_webhook_active{webhook="crm"} 1' in text
        assert f'presence_webhook_batches_total{{webhook="crm",outcome="delivered"}} {len(receiver.received)}' in text
        assert 'presence_webhook_batches_total{webhook="crm",outcome="failed"} 0' in text


def test_the_signatures_are_right_by_a_library_of_another_language(receiver: Receiver, file: Path) -> None:
    file.write_text(entry_of(receiver.url, secrets=[SECRET, OTHER_SECRET]))
    with run_server(webhooks=file) as server:
        server.online(1)
        server.request("PUT", "/status/1", {"status": "BUSY", "statusText": "午饭 🍜"})
        receiver.wait(lambda: receiver.fold().statuses == {1: "BUSY"})
    one = receiver.received[-1]
    body, headers = one.body.decode(), one.headers
    assert len(headers["webhook-signature"].split(" ")) == 2
    asked = [
        {"secret": SECRET, "headers": headers, "body": body},
        {"secret": OTHER_SECRET, "headers": headers, "body": body},
        {"secret": SECRET, "headers": headers, "body": body.replace("BUSY", "AWAY")},
        {"secret": SECRET, "headers": headers | {"webhook-id": "msg_other"}, "body": body},
        {"secret": "whsec_" + "A" * 32, "headers": headers, "body": body},
    ]
    ran = subprocess.run(
        ["node", str(NODE), json.dumps(asked)], capture_output=True, text=True, timeout=60, check=False
    )
    assert ran.returncode == 0, ran.stderr
    wrong = "WebhookVerificationError"
    assert json.loads(ran.stdout) == [one.json, one.json, wrong, wrong, wrong]
    assert verified(one, OTHER_SECRET) == one.json


def test_a_receiver_that_fails_is_tried_again_and_a_dead_one_holds_up_nobody(receiver: Receiver, file: Path) -> None:
    with receiving() as dead:
        dead.behave = lambda _delivered, _handler: dead.over.wait(600) and None
        file.write_text(entry_of(receiver.url) + entry_of(dead.url, "dead"))
        fails = [500, 503, 302]
        receiver.behave = lambda _delivered, _handler: fails.pop() if fails else 200
        with run_server(webhooks=file) as server:
            server.online(1)
            dead.wait(lambda: dead.at_once == 1)
            receiver.wait(lambda: receiver.fold().statuses == {1: "ONLINE"})
            assert [one.headers["webhook-id"] for one in receiver.asked].count(
                receiver.received[0].headers["webhook-id"]
            ) >= 2, "the same message has the same id"
            wait(lambda: standing(server)["state"] == "active")
            view = standing(server)
            assert view["failed"] == 3
            assert view["lastError"]["reason"] in ("answered 500", "answered 503")
            server.online(2)
            receiver.wait(lambda: receiver.fold().statuses == {1: "ONLINE", 2: "ONLINE"})
            assert dead.most_at_once == 1
            server.terminate()
            assert server.wait() == 0
            assert server.says("webhook fails")
            assert server.says("webhook works again")


def test_a_slow_receiver_gets_one_message_at_a_time(receiver: Receiver, file: Path) -> None:
    def slowly(_delivered: Any, _handler: Any) -> int:
        receiver.over.wait(0.1)
        return 200

    receiver.behave = slowly
    file.write_text(entry_of(receiver.url, batch_size=2, batch_wait=0))
    with run_server(webhooks=file) as server:
        for user in range(1, 13):
            server.online(user)
        receiver.wait(lambda: len(receiver.fold().statuses) == 12)
    assert receiver.most_at_once == 1
    assert max(len(one.changes) for one in receiver.received) == 2


def test_410_ends_it_until_sighup(receiver: Receiver, file: Path) -> None:
    receiver.behave = lambda _delivered, _handler: 410
    file.write_text(entry_of(receiver.url))
    with run_server(webhooks=file) as server:
        server.online(1)
        wait(lambda: standing(server)["state"] == "gone")
        assert server.says("webhook is gone")
        assert 'presence_webhook_active{webhook="crm"} 0' in server.get("//metrics").text
        asked = len(receiver.asked)
        server.online(2)
        receiver.behave = lambda _delivered, _handler: 200
        reload(server, "webhooks read anew")
        receiver.wait(lambda: receiver.fold().statuses == {1: "ONLINE", 2: "ONLINE"})
        assert len(receiver.asked) == asked + 1, "nothing was sent between"


def test_sighup_adds_changes_and_removes(receiver: Receiver, file: Path) -> None:
    with receiving() as other:
        file.write_text(entry_of(receiver.url))
        with run_server(webhooks=file) as server:
            server.online(1)
            receiver.wait(lambda: receiver.fold().statuses == {1: "ONLINE"})
            wait(lambda: standing(server)["lagMs"] == 0)
            # another receiver, and another secret for the first, which goes on from where it was
            file.write_text(entry_of(receiver.url, secrets=[OTHER_SECRET]) + entry_of(other.url, "other"))
            reload(server, "webhooks read anew")
            other.wait(lambda: other.fold().statuses == {1: "ONLINE"})
            server.online(2)
            receiver.wait(lambda: receiver.fold().statuses == {1: "ONLINE", 2: "ONLINE"})
            assert [entry["userId"] for entry in receiver.received[-1].changes] == [2]
            assert not receiver.received[-1].json["data"]["gap"]
            assert verified(receiver.received[-1], OTHER_SECRET)
            # a wrong file leaves them as they were
            file.write_text("[[webhook]]\nname = 7")
            reload(server, "webhooks not read anew")
            server.online(3)
            other.wait(lambda: 3 in other.fold().statuses)
            # and what is removed is sent nothing
            file.write_text(entry_of(receiver.url, secrets=[OTHER_SECRET]))
            reload(server, "webhooks read anew")
            sent = len(other.asked)
            server.online(4)
            receiver.wait(lambda: 4 in receiver.fold().statuses)
            assert len(other.asked) == sent
            assert [one["name"] for one in server.get("/webhooks").data] == ["crm"]


def test_a_private_address_is_refused_unless_it_is_allowed(receiver: Receiver, file: Path) -> None:
    file.write_text(entry_of(receiver.url, allow_private=False))
    with run_server(webhooks=file) as server:
        server.online(1)
        wait(lambda: standing(server)["state"] == "retrying")
        assert "is loopback" in standing(server)["lastError"]["reason"]
        assert not receiver.asked
        file.write_text(entry_of(receiver.url))
        reload(server, "webhooks read anew")
        receiver.wait(lambda: receiver.fold().statuses == {1: "ONLINE"})


def test_a_filter_lets_through_what_it_names(receiver: Receiver, file: Path) -> None:
    with receiving() as all_of_it:
        some = {"status": ["ONLINE", "OFFLINE"], "platforms": ["IOS"], "users": [1, 2, 3]}
        file.write_text(entry_of(receiver.url, filter=some) + entry_of(all_of_it.url, "all"))
        with run_server(webhooks=file) as server:
            server.online(1, platform="IOS")
            server.online(2, platform="WEB")
            server.online(4, platform="IOS")
            server.online(3, platform="IOS")
            server.request("PUT", "/status/3", {"status": "BUSY"})
            server.post("/offline", {"userId": 1, "deviceId": "rest"})
            all_of_it.wait(lambda: all_of_it.fold().statuses == {2: "ONLINE", 3: "BUSY", 4: "ONLINE"})
            wait(lambda: all(one["lagMs"] == 0 for one in server.get("/webhooks").data))
            # A position passes what the filter leaves out: a replay from it sends nothing again.
            before = len(receiver.asked)
            assert server.post("/webhooks/crm/replay", {"cursor": standing(server)["cursor"]}).status == 200
            server.online(1, platform="IOS")
            receiver.wait(
                lambda: receiver.received[-1].changes[-1]["status"] == "ONLINE" and len(receiver.asked) > before
            )
            assert not receiver.received[-1].json["data"]["gap"]
        told = {entry["userId"] for one in receiver.received for entry in one.changes}
        assert told <= {1, 3}
        assert {entry["status"] for one in receiver.received for entry in one.changes} <= {"ONLINE", "OFFLINE"}


def test_who_is_invisible_is_so_for_read_and_not_for_admin(receiver: Receiver, file: Path) -> None:
    with receiving() as admin:
        file.write_text(entry_of(receiver.url) + entry_of(admin.url, "admin", scope="admin"))
        with run_server(webhooks=file) as server:
            for user in (1, 2):
                server.online(user)
            server.request("PUT", "/status/1", {"status": "OFFLINE"})
            server.online(3)
            receiver.wait(lambda: receiver.fold().statuses == {2: "ONLINE", 3: "ONLINE"})
            admin.wait(lambda: admin.fold().statuses == {1: "ONLINE", 2: "ONLINE", 3: "ONLINE"})
            server.post("/webhooks/crm/replay", {})
            server.post("/webhooks/admin/replay", {})
            receiver.wait(lambda: len([one for one in receiver.received if one.json["data"]["gap"]]) == 2)
            admin.wait(lambda: len([one for one in admin.received if one.json["data"]["gap"]]) == 2)
            receiver.wait(lambda: receiver.fold().statuses == {2: "ONLINE", 3: "ONLINE"})
            admin.wait(lambda: admin.fold().statuses == {1: "ONLINE", 2: "ONLINE", 3: "ONLINE"})


@pytest.mark.parametrize("end", [signal.SIGTERM, signal.SIGKILL])
def test_with_state_a_position_outlives_a_restart(
    receiver: Receiver, file: Path, tmp_path: Path, end: signal.Signals
) -> None:
    file.write_text(entry_of(receiver.url))
    settings: dict[str, Any] = {"webhooks": file, "state": tmp_path / "state"}
    with run_server(**settings) as server:
        for user in (1, 2, 3):
            server.online(user)
        receiver.wait(lambda: len(receiver.fold().statuses) == 3)
        receiver.behave = lambda _delivered, _handler: 503  # what happens now is missed
        server.post("/offline", {"userId": 2, "deviceId": "rest"})
        position = standing(server)["cursor"].split(".")[0]
        receiver.wait(lambda: any(one.changes[-1]["status"] == "OFFLINE" for one in receiver.asked))
        server.process.send_signal(end)
        server.wait()
    missed = len(receiver.received)
    receiver.behave = lambda _delivered, _handler: 200
    with run_server(**settings) as server:
        receiver.wait(lambda: receiver.fold().statuses == {1: "ONLINE", 3: "ONLINE"})
        assert not any(one.json["data"]["gap"] for one in receiver.received[missed:])
        assert standing(server)["cursor"].split(".")[0] == position
        assert receiver.fold().out_of_order == []


def test_replay_over_rest(receiver: Receiver, file: Path) -> None:
    file.write_text(entry_of(f"{receiver.url}?key=hush"))
    with run_server(webhooks=file) as server:
        rest = Rest(server)
        server.online(1)
        receiver.wait(lambda: receiver.fold().statuses == {1: "ONLINE"})
        cursor = receiver.received[0].json["data"]["cursor"]
        server.online(2)
        receiver.wait(lambda: 2 in receiver.fold().statuses)
        (view,) = rest.get("/webhooks").data
        assert view["url"] == receiver.url, "the query may hold a secret"
        before = len(receiver.received)
        assert rest.post("/webhooks/crm/replay", {"cursor": cursor}).data["name"] == "crm"
        receiver.wait(lambda: len(receiver.received) > before)
        again = receiver.received[before].json["data"]
        assert ([entry["userId"] for entry in again["changes"]], again["gap"]) == ([2], False)
        before = len(receiver.received)
        rest.post("/webhooks/crm/replay", {})
        receiver.wait(lambda: len(receiver.received) > before)
        again = receiver.received[before].json["data"]
        assert ({entry["userId"] for entry in again["changes"]}, again["gap"]) == ({1, 2}, True)

        refused(rest.post("/webhooks/none/replay", {}), 404, "not_found", "name")
        refused(rest.post("/webhooks/crm/replay", {"cursor": "yesterday"}), 400, "invalid_request", "cursor")
        refused(rest.post("/webhooks/crm/replay", {"cursor": 7}), 400, "invalid_request", "cursor")
        refused(rest.call("PUT", "/webhooks", {}), 405, "method_not_allowed", "method")


def test_only_the_scope_admin_sees_webhooks(receiver: Receiver, file: Path, tmp_path: Path) -> None:
    keys = {scope: new_key(secrets.token_bytes) for scope in ("read", "write", "admin")}
    lines = [line_of(scope, key, frozenset((scope,))) for scope, key in keys.items()]
    (tmp_path / "keys").write_text("\n".join(lines))
    file.write_text(entry_of(receiver.url))
    with run_server(webhooks=file, auth="jwt", jwt_key=JWT_SECRET, service_keys=tmp_path / "keys") as server:
        for method, path, body in (("GET", "/webhooks", None), ("POST", "/webhooks/crm/replay", {})):
            found = {
                scope: server.request(method, path, body, {"Authorization": f"Bearer {key}"}).status
                for scope, key in keys.items()
            }
            assert found == {"read": 403, "write": 403, "admin": 200}
            assert server.request(method, path, body).status == 401


def test_without_a_file_there_are_none() -> None:
    with run_server() as server:
        assert server.get("/webhooks").data == []
        assert server.post("/webhooks/crm/replay", {}).status == 404


@pytest.mark.parametrize("command", [(), ("check",)])
def test_a_wrong_file_is_one_line(file: Path, command: tuple[str, ...]) -> None:
    file.write_text(entry_of("gopher://crm.example.com"))
    ran = subprocess.run(
        [SCRIPT, *command, "--port", str(free_port()), "--webhooks", file],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert ran.returncode == 2
    assert ran.stderr.count("\n") == 1
    assert f"webhooks: {file}: webhook 1 (crm): url: must start with https:// or http://" in ran.stderr


# -- the command -------------------------------------------------------------------------------------------------------


def command(*argv: str, environ: dict[str, str] | None = None) -> int:
    try:
        return find("webhooks")(argv, environ or {})
    except SystemExit as ended:
        return int(ended.code or 0)


def test_the_command_tells_where_each_stands_and_replays(
    receiver: Receiver, file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file.write_text(entry_of(receiver.url) + entry_of("http://127.0.0.1:1/", "down"))
    with run_server(webhooks=file) as server:
        server.online(1)
        receiver.wait(lambda: receiver.fold().statuses == {1: "ONLINE"})
        wait(lambda: standing(server, "down")["state"] == "retrying" and standing(server)["lagMs"] == 0)
        assert command("--port", str(server.port)) == 0
        crm, down, error = capsys.readouterr().out.splitlines()
        assert crm.startswith("crm: active, lag 0 s, position ")
        assert "1 batches with 1 changes, the last at " in crm
        assert crm.endswith(f" | {receiver.url}")
        assert down.startswith("down: retrying, lag ")
        assert error.startswith("  last error at 20")
        before = len(receiver.received)
        assert command("replay", "crm", "--url", server.url, "--json") == 0
        assert json.loads(capsys.readouterr().out)["name"] == "crm"
        receiver.wait(lambda: len(receiver.received) > before)
        assert command("replay", "crm", "--from", "rubbish", "--url", server.url) == 1
        assert "cursor: is none that a server gave out" in capsys.readouterr().err
        assert command("replay", "none", environ={"PRESENCE_URL": server.url}) == 1
        assert "name: there is no such webhook" in capsys.readouterr().err


def test_the_command_lets_itself_in_with_the_servers_key(
    receiver: Receiver, file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file.write_text(entry_of(receiver.url))
    with run_server(webhooks=file, auth="jwt", jwt_key=JWT_SECRET, jwt_audience="presence") as server:
        flags = ("--port", str(server.port))
        assert command(*flags, "--auth", "jwt", "--jwt-key", JWT_SECRET, "--jwt-audience", "presence") == 0
        assert capsys.readouterr().out.startswith("crm: active")
        assert command(*flags) == 1
        assert "a key with the scope admin is needed" in capsys.readouterr().err
        (tmp_path / "token").write_text("psk_wrong")
        assert command(*flags, "--token-file", str(tmp_path / "token")) == 1
        assert "refused with 401" in capsys.readouterr().err
        assert command(*flags, "--token-file", str(tmp_path / "none")) == 2


def test_the_command_says_when_nobody_is_there(capsys: pytest.CaptureFixture[str]) -> None:
    assert command("--url", "http://127.0.0.1:1") == 1
    said = capsys.readouterr().err
    assert said.startswith("presence-server: http://127.0.0.1:1 cannot be reached: ")
    assert said.count("\n") == 1


@pytest.mark.parametrize("argv", [("replay",), ("list",), ("replay", "crm", "x"), ("--url",)])
def test_the_command_takes_no_rubbish(argv: tuple[str, ...], capsys: pytest.CaptureFixture[str]) -> None:
    assert command(*argv) == 2
    assert capsys.readouterr().err.count("\n") == 1


# -- check -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fields", "finding"),
    [
        ({"url": "https://crm.example.com/"}, None),
        ({"url": "http://127.0.0.1:9000/"}, None),
        ({"url": "http://crm.example.com/"}, "the URL of webhook crm is not https"),
        (
            {"url": "https://crm.example.com/", "secrets": ["whsec_c2hvcnQ="]},
            "a secret of webhook crm has less than 24",
        ),
    ],
)
def test_what_is_unsafe_is_told(
    fields: dict[str, Any], finding: str | None, file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file.write_text(entry_of(**fields))
    ended = find("check")(("--webhooks", str(file)), {})
    said = capsys.readouterr().out
    assert (ended, finding is None or f"unsafe: {finding}" in said) == (int(finding is not None), True), said


def test_a_file_that_everybody_may_write_is_unsafe(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file.write_text(entry_of("https://crm.example.com/"))
    file.chmod(0o666)
    assert find("check")(("--webhooks", str(file)), {}) == 1
    assert f"everybody on this machine may write {file}" in capsys.readouterr().out
