"""The feed over REST: `POST /changes` without ids, and `GET /events`. Who may, what is told, and how it ends."""

from __future__ import annotations

import http.client
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from presence_server.identity.service_keys import line_of, new_key, parse_scopes
from server.identity.keys import SECRET
from server.identity.test_over_sockets import bearer, token
from support.raw import RawClient
from support.rest import Rest
from support.server import Server, run_server

_users = count(1000, 10)
ADMIN, READER, WRITER = (new_key(lambda size, byte=byte: bytes([byte]) * size) for byte in (1, 2, 3))


@pytest.fixture(scope="module")
def rest() -> Iterator[Rest]:
    with run_server(min_publish_interval=0, grace_period=1) as server:
        yield Rest(server)


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    keys = tmp_path_factory.mktemp("keys") / "keys"
    scopes = ((ADMIN, "admin"), (READER, "read"), (WRITER, "write"))
    keys.write_text("\n".join(line_of(scope, key, parse_scopes(scope)) for key, scope in scopes), "utf-8")
    with run_server(auth="jwt", jwt_key=SECRET, service_keys=keys, min_publish_interval=0) as server:
        yield server


@pytest.fixture
def user() -> int:
    """The first of ten users of each test's own."""
    return next(_users)


def changes(rest: Rest, cursor: str | None = None, **more: Any) -> Any:
    answer = rest.post("/changes", more | ({} if cursor is None else {"cursor": cursor}))
    assert answer.status == 200, answer.text
    assert list(answer.data)[:3] == ["changes", "cursor", "resumed"]
    return answer.data


def now(rest: Rest) -> str:
    """A cursor after all that was told until now."""
    answer = changes(rest)
    while answer.get("more"):
        answer = changes(rest, answer["cursor"])
    cursor: str = answer["cursor"]
    return cursor


class Events:
    """A stream, read event by event."""

    def __init__(self, server: Server, query: str = "", headers: dict[str, str] | None = None) -> None:
        url = urlsplit(server.url)
        assert url.hostname is not None
        self._connection = http.client.HTTPConnection(url.hostname, url.port, timeout=30)
        self._connection.request("GET", f"/api/v1/presence/events{query}", headers=headers or {})
        self.response = self._connection.getresponse()

    def next(self) -> dict[str, str]:
        """The next event, by field; {} at the end."""
        event: dict[str, str] = {}
        for raw in self.response:
            line = raw.decode().rstrip("\n")
            if not line and event.get("event"):
                return event
            name, _, value = line.partition(": ")
            event[name] = value
        return {}

    def entry(self) -> Any:
        event = self.next()
        assert event["event"] == "change", event
        return json.loads(event["data"]) | {"id": event["id"]}

    def close(self) -> None:
        self._connection.close()


@contextmanager
def events(server: Server, query: str = "", headers: dict[str, str] | None = None) -> Iterator[Events]:
    stream = Events(server, query, headers)
    try:
        yield stream
    finally:
        stream.close()


# -- POST /changes -----------------------------------------------------------------------------------------------------


def test_the_first_page_tells_everybody_present_and_the_next_what_changed(rest: Rest, user: int) -> None:
    rest.online(user, "phone", "IOS")
    rest.online(user + 1)
    rest.offline(user + 1)
    first = changes(rest)
    mine = [entry for entry in first["changes"] if user <= entry["userId"] < user + 10]
    assert not first["resumed"]
    assert [(entry["userId"], entry["status"], entry["platforms"]) for entry in mine] == [(user, "ONLINE", ["IOS"])]
    assert (mine[0]["cause"], mine[0]["device"]) == ("connected", {"deviceId": "phone", "platform": "IOS"})
    assert type(mine[0]["at"]) is int
    rest.put(user, status="BUSY", statusText="in a call")
    rest.online(user + 2)
    rest.offline(user, "phone")
    second = changes(rest, first["cursor"])
    assert second["resumed"]
    assert [(entry["userId"], entry["status"], entry["cause"]) for entry in second["changes"]] == [
        (user + 2, "ONLINE", "connected"),
        (user, "OFFLINE", "left"),
    ]
    assert second["changes"][1]["statusText"] == "in a call"
    assert changes(rest, second["cursor"])["changes"] == []


def test_a_poll_waits_for_the_first_change(rest: Rest, user: int) -> None:
    cursor = now(rest)
    later = threading.Timer(0.2, lambda: rest.online(user))
    later.start()
    answer = changes(rest, cursor, waitMs=30_000)
    later.join()
    assert [entry["userId"] for entry in answer["changes"]] == [user]
    assert changes(rest, answer["cursor"], waitMs=50)["changes"] == []


def test_pages_of_any_size_make_the_same_whole(rest: Rest, user: int) -> None:
    for number in range(7):
        rest.online(user + number)
    held: dict[int, Any] = {}
    answer = changes(rest, limit=2)
    held = {entry["userId"]: entry for entry in answer["changes"]}
    while answer.get("more"):
        answer = changes(rest, answer["cursor"], limit=2)
        assert answer["resumed"]
        assert len(answer["changes"]) <= 2
        held |= {entry["userId"]: entry for entry in answer["changes"]}
    assert set(range(user, user + 7)) <= held.keys()
    assert {entry["userId"]: entry for entry in changes(rest)["changes"]} == held


def test_every_transition_is_told_to_who_asks_for_it(rest: Rest, user: int) -> None:
    cursor = now(rest)
    changes(rest, cursor, transitions="all")  # from now on
    rest.online(user)
    rest.put(user, status="BUSY")
    rest.put(user, status="AWAY")
    rest.offline(user)
    told = changes(rest, cursor, transitions="all")
    assert [(entry["status"], entry["cause"]) for entry in told["changes"]] == [
        ("ONLINE", "connected"),
        ("BUSY", "status_set"),
        ("AWAY", "status_set"),
        ("OFFLINE", "left"),
    ]
    assert [entry["status"] for entry in changes(rest, cursor)["changes"]] == ["OFFLINE"]


def test_a_gap_is_told(user: int) -> None:
    with run_server(feed_window=2, min_publish_interval=0) as server:
        rest = Rest(server)
        cursor = changes(rest, transitions="all")["cursor"]
        for number in range(4):
            rest.online(user + number)
        told = changes(rest, cursor, transitions="all")
        assert told["gap"]
        assert told["resumed"]
        assert [entry["userId"] for entry in told["changes"]] == [user, user + 1, user + 2, user + 3]
        foreign = changes(rest, "1.1.t")
        assert (foreign["gap"], foreign["resumed"], len(foreign["changes"])) == (True, False, 4)


@pytest.mark.parametrize(
    "body",
    [{"limit": 0}, {"limit": 10_001}, {"limit": "1"}, {"transitions": "some"}, {"cursor": 1}, {"waitMs": -1}],
    ids=str,
)
def test_what_is_wrong_is_named(rest: Rest, body: dict[str, Any]) -> None:
    answer = rest.post("/changes", body)
    assert answer.status == 400
    assert [detail["field"] for detail in answer.json["data"]["details"]] == list(body)


def test_what_is_asked_of_everybody_cannot_be_asked_of_some(rest: Rest) -> None:
    answer = rest.post("/changes", {"userIds": [1], "limit": 5, "transitions": "all"})
    assert answer.status == 400
    assert [detail["field"] for detail in answer.json["data"]["details"]] == ["limit", "transitions"]


# -- GET /events -------------------------------------------------------------------------------------------------------


def test_events_are_told_as_they_happen_and_go_on_from_the_last(rest: Rest, user: int) -> None:
    with events(rest.server, f"?cursor={now(rest)}") as stream:
        assert stream.response.status == 200
        assert stream.response.headers["Content-Type"].startswith("text/event-stream")
        rest.online(user, "phone", "IOS")
        first = stream.entry()
        assert (first["userId"], first["status"], first["cause"]) == (user, "ONLINE", "connected")
    rest.put(user, status="BUSY")
    with events(rest.server, headers={"Last-Event-ID": first["id"]}) as stream:
        second = stream.entry()
        assert (second["status"], second["cause"]) == ("BUSY", "status_set")
        rest.offline(user, "phone")
        assert stream.entry()["cause"] == "left"


def test_a_stream_without_a_cursor_begins_with_everybody(rest: Rest, user: int) -> None:
    rest.online(user)
    with events(rest.server) as stream:
        while stream.entry()["userId"] != user:
            pass


def test_filters_choose_what_is_told(rest: Rest, user: int) -> None:
    cursor = now(rest)
    rest.online(user, "phone", "IOS")
    rest.online(user + 1, "web", "WEB")
    rest.put(user + 1, status="BUSY")
    rest.offline(user, "phone")
    rest.online(user + 2, "tablet", "ANDROID")
    with events(rest.server, f"?cursor={cursor}&userIds={user},{user + 2}") as stream:
        assert [stream.entry()["userId"] for _ in range(2)] == [user, user + 2]
    with events(rest.server, f"?cursor={cursor}&status=BUSY,OFFLINE&userIds={user}&userIds={user + 1}") as stream:
        assert [stream.entry()["userId"] for _ in range(2)] == [user + 1, user]
    with events(rest.server, f"?cursor={cursor}&platform=IOS") as stream:
        entry = stream.entry()
        assert (entry["userId"], entry["status"], entry["device"]["platform"]) == (user, "OFFLINE", "IOS")


def test_a_cursor_that_cannot_be_used_is_told_as_a_gap(rest: Rest, user: int) -> None:
    rest.online(user)
    with events(rest.server, headers={"Last-Event-ID": "1.1.t"}) as stream:
        event = stream.next()
        assert (event["event"], json.loads(event["data"])) == ("gap", {"resumed": False})
        assert stream.next()["event"] == "change"


@pytest.mark.parametrize("query", ["status=ALIVE", "platform=TOASTER", "userIds=x", "transitions=some"])
def test_a_wrong_parameter_is_named(rest: Rest, query: str) -> None:
    answer = rest.get(f"/events?{query}")
    assert answer.status == 400
    assert [detail["field"] for detail in answer.json["data"]["details"]] == [query.partition("=")[0]]


def test_a_stream_ends_whole_when_the_server_drains() -> None:
    with run_server() as server:
        rest = Rest(server)
        with events(server) as stream:
            rest.online(1)
            assert stream.entry()["userId"] == 1
            server.process.terminate()
            assert stream.next() == {}  # http.client raises IncompleteRead where the last chunk is missing
            assert server.process.wait(20) == 0


def test_a_cursor_is_good_after_a_restart(tmp_path: Path, user: int) -> None:
    state = tmp_path / "state"
    with run_server(state=state, drain_timeout=0.2) as server:
        rest = Rest(server)
        rest.online(user, "phone", "IOS")
        rest.online(user + 1)
        cursor = now(rest)
        rest.put(user, status="BUSY")
    with run_server(state=state) as server:
        rest = Rest(server)
        answer = changes(rest, cursor)
        assert answer["resumed"]
        told = {(entry["userId"], entry["status"], entry["cause"]) for entry in answer["changes"]}
        assert (user, "BUSY", "status_set") in told  # what was told just before the end may be told again
        everybody = {entry["userId"]: entry for entry in changes(rest)["changes"]}
        assert everybody.keys() == {user, user + 1}
        assert everybody[user + 1]["device"] == {"deviceId": "rest", "platform": "WEB"}


def test_who_takes_nothing_is_dropped(user: int) -> None:
    """Once nothing of what was written was taken for `answer_timeout`."""
    with run_server(answer_timeout=1, min_publish_interval=0) as server, RawClient(server, receive_buffer=4096) as raw:
        rest, before = Rest(server), server.metric("presence_connections")
        raw.socket.sendall(b"GET /api/v1/presence/events HTTP/1.1\r\nHost: localhost\r\n\r\n")
        for number in count():
            rest.online(user + number % 500)
            rest.put(user + number % 500, statusText=chr(0x1F600 + number % 9) * 140)
            if number > 500 and server.metric("presence_connections") <= before:
                break
            assert number < 20_000


def test_head_has_no_stream(rest: Rest) -> None:
    answer = rest.server.request("HEAD", "/events")
    assert (answer.status, answer.text) == (200, "")


# -- who may -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("who", ["a user", "a writer"])
def test_only_services_that_may_read_follow_everybody(guarded: Server, who: str) -> None:
    credentials = bearer(token(7) if who == "a user" else WRITER)  # made now: a token ends while other tests run
    assert guarded.request("POST", "/changes", {}, credentials).status == 403
    assert guarded.request("GET", "/events", headers=credentials).status == 403
    assert guarded.request("GET", "/events").status == 401


def test_who_is_invisible_is_seen_by_admin_alone(guarded: Server) -> None:
    def told(key: str, cursor: str | None = None) -> Any:
        body = {} if cursor is None else {"cursor": cursor}
        return guarded.request("POST", "/changes", body, bearer(key)).data

    own = bearer(token(7))
    guarded.request("PUT", "/status/7", {"status": "OFFLINE"}, own)
    cursors = {key: told(key)["cursor"] for key in (ADMIN, READER)}
    guarded.request("POST", "/online", {"userId": 7, "deviceId": "d", "platform": "PC"}, own)
    seen = told(ADMIN, cursors[ADMIN])["changes"]
    assert [(entry["status"], entry["cause"], entry["invisible"]) for entry in seen] == [("ONLINE", "connected", True)]
    assert told(READER, cursors[READER])["changes"] == []
    assert [entry["userId"] for entry in told(ADMIN)["changes"]] == [7]
    assert told(READER)["changes"] == []
    guarded.request("DELETE", "/status/7", None, own)
    shown = told(READER, cursors[READER])["changes"]
    assert [(entry["status"], entry["cause"]) for entry in shown] == [("ONLINE", "connected")]
    assert "invisible" not in shown[0]
    assert told(ADMIN, cursors[ADMIN])["changes"][0]["cause"] == "status_ended"
    guarded.request("PUT", "/status/7", {"status": "OFFLINE"}, own)
    hidden = told(READER, cursors[READER])["changes"][0]
    assert (hidden["status"], hidden["cause"], hidden["device"]["deviceId"]) == ("OFFLINE", "left", "d")
    assert told(ADMIN, cursors[ADMIN])["changes"][0]["cause"] == "status_set"
    # The eyes of one are not those of another.
    assert told(ADMIN, cursors[READER])["resumed"] is False


def test_the_connections_and_polls_of_a_service_are_counted(tmp_path: Path) -> None:
    keys = tmp_path / "keys"
    keys.write_text(line_of("read", READER, parse_scopes("read")), "utf-8")
    limits = {"limits": "on", "service_connections": 1, "service_polls": 1}
    with (
        run_server(auth="jwt", jwt_key=SECRET, service_keys=keys, **limits) as server,
        events(server, headers=bearer(READER)) as stream,
    ):
        assert stream.response.readline() == b"retry: 2000\n"
        refused = server.request("GET", "/events", headers=bearer(READER))
        assert (refused.status, refused.json["data"]["details"][0]["field"]) == (429, "service_connections")
