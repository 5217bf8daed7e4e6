"""Who may see whom, as users and back ends meet it: over REST and WebSockets, with tokens."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import sha256
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import jwt
import pytest
from websockets.sync.client import ClientConnection, connect

from support.server import Answer, Server, run_server

SECRET = "s" * 32
ANN, BOB, EVE, NEVER = 10001, 10002, 10003, 10009
KEY = "psk_back_end"


def token(user_id: int) -> str:
    return jwt.encode({"sub": str(user_id), "exp": 4_000_000_000}, SECRET, "HS256")


@pytest.fixture
def keys(tmp_path: Path) -> Path:
    file = tmp_path / "keys"
    file.write_text(f"back {sha256(KEY.encode()).hexdigest()} write,read,admin\n")
    return file


@contextmanager
def served(keys: Path, **settings: Any) -> Iterator[Server]:
    with run_server(auth="jwt", jwt_key=SECRET, service_keys=keys, **settings) as server:
        yield server


def ask(server: Server, who: int | None, method: str, path: str, body: Any = None) -> Answer:
    credentials = KEY if who is None else token(who)
    return server.request(method, path, body, {"Authorization": f"Bearer {credentials}"})


def done(answer: Answer) -> Any:
    assert answer.status == 200, answer.text
    return answer.data


@contextmanager
def there(server: Server, who: int, *watch: int) -> Iterator[ClientConnection]:
    """A connection of a user, welcomed."""
    with connect(server.ws_url, proxy=None) as client:
        hello = {"type": "hello", "userId": who, "deviceId": "web", "platform": "WEB", "token": token(who)}
        client.send(json.dumps(hello | ({"watch": list(watch)} if watch else {})))
        assert heard(client)["type"] == "welcome"
        yield client


def heard(client: ClientConnection) -> dict[str, Any]:
    while True:
        message: dict[str, Any] = json.loads(client.recv(10))
        if message["type"] != "self":
            return message


def entry(client: ClientConnection) -> dict[str, Any]:
    message = heard(client)
    (only,) = message.get("statuses") or message["changes"]
    return dict(only)


def blank(entry: dict[str, Any]) -> None:
    assert (entry["status"], entry["platforms"], entry["lastActiveTime"]) == ("OFFLINE", [], None)


def test_contacts_see_each_other_and_strangers_look_as_if_they_never_were(keys: Path) -> None:
    with served(keys, visibility="contacts") as server:
        done(ask(server, None, "PUT", f"/contacts/{ANN}", {"userIds": [BOB], "mutual": True}))
        with there(server, BOB, ANN) as bob, there(server, EVE, ANN) as eve:
            entry(bob)
            blank(entry(eve))
            with there(server, ANN):
                assert entry(bob)["status"] == "ONLINE"
                assert done(ask(server, BOB, "GET", f"/status/{ANN}"))["status"] == "ONLINE"
                assert done(ask(server, None, "GET", f"/status/{ANN}"))["status"] == "ONLINE"
                hidden = done(ask(server, EVE, "GET", f"/status/{ANN}"))
                never = done(ask(server, EVE, "GET", f"/status/{NEVER}"))
                assert hidden | {"userId": 0} == never | {"userId": 0}
                many = done(ask(server, EVE, "POST", "/status/batch", {"userIds": [ANN, NEVER], "detail": True}))
                assert many[0] | {"userId": 0} == many[1] | {"userId": 0}
                changes = done(ask(server, EVE, "POST", "/changes", {"userIds": [ANN, NEVER]}))["changes"]
                assert changes[0] | {"userId": 0} == changes[1] | {"userId": 0}
                eve.send(json.dumps({"type": "query", "id": 1, "userIds": [ANN, NEVER]}))
                statuses = heard(eve)["statuses"]
                assert statuses[0] | {"userId": 0} == statuses[1] | {"userId": 0}


def test_a_block_withdraws_at_once_and_unblocking_tells_the_present_state(keys: Path) -> None:
    with (
        served(keys, visibility="contacts", strangers="full") as server,
        there(server, ANN) as ann,
        there(server, EVE, ANN) as eve,
    ):
        before = entry(eve)
        assert before["status"] == "ONLINE"
        done(ask(server, ANN, "PUT", f"/blocks/{ANN}", {"userIds": [EVE]}))
        withdrawn = entry(eve)
        blank(withdrawn)
        assert withdrawn["version"] > before["version"]
        ann.send(json.dumps({"type": "status", "id": 1, "status": "BUSY"}))
        assert heard(ann)["type"] == "ok"
        eve.send(json.dumps({"type": "ping", "id": 2}))
        assert heard(eve)["type"] == "pong"  # and nothing before it
        done(ask(server, None, "PATCH", f"/blocks/{ANN}", {"remove": [EVE]}))
        given = entry(eve)
        assert (given["status"], given["version"] > withdrawn["version"]) == ("BUSY", True)


def test_a_poll_that_waits_is_answered_when_its_permission_goes(keys: Path) -> None:
    with served(keys, visibility="contacts", strangers="full") as server, there(server, ANN):
        first = done(ask(server, EVE, "POST", "/changes", {"userIds": [ANN]}))
        answers: list[Any] = []
        body = {"userIds": [ANN], "cursor": first["cursor"], "waitMs": 30_000}
        waiting = threading.Thread(target=lambda: answers.append(done(ask(server, EVE, "POST", "/changes", body))))
        waiting.start()
        while not server.metric("presence_long_polls"):
            pass
        done(ask(server, None, "PUT", f"/blocks/{ANN}", {"userIds": [EVE]}))
        waiting.join(20)
        (answer,) = answers
        assert answer["resumed"] is False
        blank(answer["changes"][0])


def test_who_comes_back_after_a_block_is_told_everything_anew(keys: Path) -> None:
    with served(keys, visibility="contacts", strangers="full") as server, there(server, ANN):
        with connect(server.ws_url, proxy=None) as eve:
            hello = {"type": "hello", "userId": EVE, "deviceId": "d", "platform": "WEB", "token": token(EVE)}
            eve.send(json.dumps(hello | {"watch": [ANN]}))
            heard(eve)
            cursor = heard(eve)["cursor"]
        done(ask(server, None, "PUT", f"/blocks/{ANN}", {"userIds": [EVE]}))
        with connect(server.ws_url, proxy=None) as eve:
            eve.send(json.dumps(hello | {"watch": [ANN], "cursor": cursor}))
            assert heard(eve)["resumed"] is False
            blank(entry(eve))


def test_coarse_strangers_learn_the_status_and_the_day(keys: Path) -> None:
    with served(keys, visibility="contacts", strangers="coarse") as server, there(server, ANN) as ann:
        ann.send(json.dumps({"type": "status", "id": 1, "status": "BUSY", "statusText": "secret"}))
        assert heard(ann)["type"] == "ok"
        with there(server, EVE, ANN) as eve:
            shown = entry(eve)
            assert (shown["status"], shown["platforms"], shown["lastActiveTime"]) == ("BUSY", [], None)
            assert shown["lastSeen"] == "today"
            assert "statusText" not in shown
            one = done(ask(server, EVE, "GET", f"/status/{ANN}"))
            assert (one["devices"], one["lastActiveTime"], one["lastSeen"]) == ([], None, "today")
            done(ask(server, ANN, "PUT", f"/privacy/{ANN}", {"lastSeen": "nobody"}))
            assert "lastSeen" not in entry(eve)
            assert "lastSeen" not in done(ask(server, EVE, "GET", f"/status/{ANN}"))


def test_last_seen_is_the_users_own_to_show(keys: Path) -> None:
    with served(keys, reciprocal_last_seen="on") as server, there(server, ANN):
        done(ask(server, None, "POST", "/online", {"userId": EVE, "deviceId": "d", "platform": "WEB"}))
        assert done(ask(server, EVE, "GET", f"/status/{ANN}"))["lastActiveTime"] is not None
        done(ask(server, EVE, "PUT", f"/privacy/{EVE}", {"lastSeen": "nobody"}))
        assert done(ask(server, ANN, "GET", f"/status/{EVE}"))["lastActiveTime"] is None
        assert done(ask(server, EVE, "GET", f"/status/{EVE}"))["lastActiveTime"] is not None
        assert done(ask(server, None, "GET", f"/status/{EVE}"))["lastActiveTime"] is not None
        assert done(ask(server, EVE, "GET", f"/status/{ANN}"))["lastActiveTime"] is None  # in return
        assert ask(server, ANN, "PUT", f"/privacy/{EVE}", {"lastSeen": "everyone"}).status == 403


@pytest.mark.parametrize(
    ("who", "method", "path", "status"),
    [
        (ANN, "PUT", f"/contacts/{ANN}", 403),
        (ANN, "PATCH", f"/contacts/{ANN}", 403),
        (EVE, "PUT", f"/blocks/{ANN}", 403),
        (ANN, "DELETE", f"/users/{ANN}", 403),
        (ANN, "GET", f"/users/{ANN}/export", 403),
        (None, "PUT", f"/contacts/{ANN}", 409),
        (ANN, "PUT", f"/blocks/{ANN}", 409),
    ],
)
def test_nobody_sets_what_is_not_theirs(keys: Path, who: int | None, method: str, path: str, status: int) -> None:
    with served(keys) as server:
        assert ask(server, who, method, path, {"userIds": [EVE]}).status == status


def test_long_lists_of_several_back_ends_are_kept_whole_one_after_the_other(keys: Path) -> None:
    wanted = [[ANN + 10 * number + which for number in range(5_000)] for which in range(4)]
    with served(keys, visibility="contacts") as server:
        answers: list[Answer] = []

        def put(user_ids: list[int]) -> None:
            answers.append(ask(server, None, "PUT", f"/contacts/{EVE}", {"userIds": user_ids, "mutual": False}))

        threads = [threading.Thread(target=put, args=(user_ids,)) for user_ids in wanted]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert [done(answer)["contacts"] for answer in answers] == [5_000] * 4
        kept = done(ask(server, None, "GET", f"/users/{EVE}/export"))["contacts"]["oneWay"]
        assert kept in wanted


def test_all_that_is_kept_of_a_user_is_given_and_erased(keys: Path) -> None:
    with served(keys, visibility="contacts", strangers="full") as server, there(server, EVE, ANN) as eve:
        entry(eve)
        with there(server, ANN, BOB) as ann:
            entry(ann)
            assert entry(eve)["status"] == "ONLINE"
            done(ask(server, None, "PUT", f"/contacts/{ANN}", {"userIds": [BOB]}))
            done(ask(server, None, "PUT", f"/contacts/{BOB}", {"userIds": [ANN], "mutual": False}))
            done(ask(server, None, "PUT", f"/blocks/{ANN}", {"userIds": [NEVER]}))
            done(ask(server, None, "PUT", f"/privacy/{ANN}", {"lastSeen": "contacts"}))
            kept = done(ask(server, None, "GET", f"/users/{ANN}/export"))
            assert (kept["contacts"], kept["blocks"]) == ({"mutual": [BOB], "oneWay": []}, [NEVER])
            assert (kept["privacy"], kept["watching"]) == ({"lastSeen": "contacts"}, [BOB])
            assert [device["deviceId"] for device in kept["devices"]] == ["web"]
            assert done(ask(server, None, "DELETE", f"/users/{ANN}")) == {"userId": ANN, "connections": 1}
        while (told := entry(eve))["status"] != "OFFLINE":
            pass
        blank(told)
        kept = done(ask(server, None, "GET", f"/users/{ANN}/export"))
        assert (kept["contacts"], kept["blocks"], kept["devices"]) == ({"mutual": [], "oneWay": []}, [], [])
        assert (kept["lastActiveTime"], kept["version"], kept["privacy"]) == (None, 0, {"lastSeen": "everyone"})
        assert done(ask(server, None, "GET", f"/users/{BOB}/export"))["contacts"]["oneWay"] == []


# -- ask ---------------------------------------------------------------------------------------------------------------


class Application(ThreadingHTTPServer):
    """Says who may see whom; `lenses` by user id. `fails`: answers 500."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Answer)
        self.lenses: dict[str, str] = {}
        self.fails = False
        self.asked: list[dict[str, Any]] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/may"


class _Answer(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        application = self.server
        assert isinstance(application, Application)
        question = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        application.asked.append(question)
        body = json.dumps({"lenses": application.lenses, "expiresIn": 1}).encode()
        self.send_response(500 if application.fails else 200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_words: object) -> None:
        """Tests are silent."""


@pytest.fixture
def application() -> Iterator[Application]:
    server = Application()
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def test_the_application_decides_and_is_asked_again(keys: Path, application: Application) -> None:
    application.lenses = {str(ANN): "full", str(BOB): "coarse"}
    with served(keys, visibility="ask", visibility_url=application.url) as server, there(server, ANN):
        done(ask(server, None, "POST", "/online", {"userId": BOB, "deviceId": "d", "platform": "WEB"}))
        many = done(ask(server, EVE, "POST", "/status/batch", {"userIds": [ANN, BOB, NEVER], "detail": True}))
        assert [(one["status"], one["platforms"]) for one in many] == [
            ("ONLINE", ["WEB"]),
            ("ONLINE", []),
            ("OFFLINE", []),
        ]
        assert application.asked[0] == {"viewer": EVE, "userIds": [ANN, BOB, NEVER]}
        with there(server, EVE, ANN) as eve:
            assert entry(eve)["status"] == "ONLINE"
            application.lenses = {}
            blank(entry(eve))  # the second is over, and it was asked about again
            application.lenses = {str(ANN): "full"}
            assert entry(eve)["status"] == "ONLINE"
            application.fails = True
            blank(entry(eve))


def test_a_thousand_ids_at_most_are_asked_about_at_once(keys: Path, application: Application) -> None:
    with served(keys, visibility="ask", visibility_url=application.url) as server:
        done(ask(server, EVE, "POST", "/changes", {"userIds": list(range(1, 2502))}))
        assert sorted(len(question["userIds"]) for question in application.asked) == [501, 1000, 1000]


@pytest.mark.parametrize(("kind", "ann", "eve"), [("string", "ann", "eve"), ("int64", str(2**62 + 1), str(2**62 + 2))])
def test_it_holds_for_every_kind_of_user_ids(keys: Path, kind: str, ann: str, eve: str) -> None:
    with served(keys, visibility="contacts", strangers="coarse", user_ids=kind) as server:

        def hello(client: ClientConnection, who: str, *watch: str) -> None:
            signed = jwt.encode({"sub": who, "exp": 4_000_000_000}, SECRET, "HS256")
            said = {"type": "hello", "userId": who, "deviceId": "web", "platform": "WEB", "token": signed}
            client.send(json.dumps(said | ({"watch": list(watch)} if watch else {})))
            assert heard(client)["type"] == "welcome"

        with connect(server.ws_url, proxy=None) as one, connect(server.ws_url, proxy=None) as other:
            hello(one, ann)
            hello(other, eve, ann)
            shown = entry(other)
            assert (shown["userId"], shown["status"], shown["platforms"]) == (ann, "ONLINE", [])
            assert shown["lastSeen"] == "today"
            done(ask(server, None, "PUT", f"/contacts/{ann}", {"userIds": [eve]}))
            assert entry(other)["platforms"] == ["WEB"]
            done(ask(server, None, "PUT", f"/blocks/{ann}", {"userIds": [eve]}))
            blank(entry(other))
            kept = done(ask(server, None, "GET", f"/users/{ann}/export"))
            assert (kept["userId"], kept["contacts"]["mutual"], kept["blocks"]) == (ann, [eve], [eve])
            done(ask(server, None, "PATCH", f"/blocks/{ann}", {"remove": [eve]}))
            assert entry(other)["platforms"] == ["WEB"]
            done(ask(server, None, "PUT", f"/privacy/{ann}", {"lastSeen": "nobody"}))
            assert entry(other)["lastActiveTime"] is None
            done(ask(server, None, "DELETE", f"/users/{ann}"))
            while entry(other)["status"] != "OFFLINE":
                pass
