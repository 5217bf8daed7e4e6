"""What is the server's own fault, or its engine's: an answer in the envelope all the same, and nothing given away."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from types import SimpleNamespace
from typing import Any, cast

import httpx
import pytest
from starlette.applications import Starlette

from application.engines import ManualClock
from presence_protocol.paths import BASE_PATH
from presence_protocol.user_ids import NUMBER
from presence_server.application.admission import Admission
from presence_server.application.ceilings import Ceilings
from presence_server.application.hub_limits import HubLimits
from presence_server.application.keys import PLAIN
from presence_server.application.ports import Peer, Wanted
from presence_server.application.principals import Denied, Principal, trusted
from presence_server.transports.rest.bodies import Bodies
from presence_server.transports.rest.desk import Desk
from presence_server.transports.rest.endpoints import RestApi
from support.rest import check_refusal, refused
from support.server import Answer


class BrokenHub:
    """Its engine cannot tell; or, with `bug`, it raises; or, with `denied`, it lets nobody in."""

    is_draining = False
    limits = HubLimits()
    keys = PLAIN
    allowances = None
    ceilings = Ceilings()

    def __init__(self, bug: Exception | None = None, denied: Denied | None = None) -> None:
        self.bug = bug
        self.denied = denied
        self.peers: list[Peer] = []

    def authenticate(
        self, peer: Peer, token: None, wanted: Wanted, now: float, done: Callable[[Principal | Denied], None]
    ) -> None:
        self.peers.append(peer)
        done(self.denied or trusted("test"))

    @property
    def engine(self) -> BrokenHub:
        return self

    def next_number(self) -> int:
        return 1

    def submit(self, _transition: object, _now: float, done: Callable[[None], None]) -> list[object]:
        if self.bug is not None:
            raise self.bug
        done(None)
        return []

    def lookup(
        self,
        _viewer: int | None,
        _ids: Sequence[int],
        _now: float,
        done: Callable[[None], None],
        with_devices: bool = False,
    ) -> None:
        self.submit(None, 0, done)


DEVICE = {"userId": 1, "deviceId": "a", "platform": "WEB"}
ALL: list[tuple[str, str, Any]] = [
    ("POST", "/online", DEVICE),
    ("POST", "/offline", DEVICE),
    ("POST", "/heartbeat", DEVICE),
    ("GET", "/status/1", None),
    ("PUT", "/status/1", {"status": "BUSY"}),
    ("DELETE", "/status/1", None),
    ("POST", "/status/batch", {"userIds": [1]}),
]


def ask(hub: BrokenHub, method: str, path: str, body: Any, headers: dict[str, str] | None = None) -> Answer:
    gateway = SimpleNamespace(
        hub=hub,
        clock=ManualClock(),
        max_message=1000,
        hello_timeout=5.0,
        user_ids=NUMBER,
        bodies=Bodies(),
        entrance=SimpleNamespace(
            clients_of=lambda _address, _headers: None, over_asking=lambda _address, _headers: None
        ),
        admission=Admission(0.0, 0.0),
        access=SimpleNamespace(authentication=SimpleNamespace(may_use_device=lambda _who, _device_id: None)),
    )

    async def call() -> httpx.Response:
        app = Starlette(routes=RestApi(cast("Any", gateway), Desk(cast("Any", gateway)), cast("Any", None)).routes())
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://server") as client:
            return await client.request(method, BASE_PATH + path, json=body, headers=headers)

    response = asyncio.run(call())
    return Answer(response.status_code, response.headers, response.content)


@pytest.mark.parametrize(("method", "path", "body"), ALL)
def test_an_engine_that_cannot_tell_is_503(method: str, path: str, body: Any) -> None:
    answer = ask(BrokenHub(), method, path, body)
    refused(answer, 503, "unavailable", "server")
    assert int(answer.headers["Retry-After"]) > 0


@pytest.mark.parametrize(("method", "path", "body"), ALL)
def test_a_bug_is_500_with_a_number_by_which_the_log_tells_more(method: str, path: str, body: Any) -> None:
    answer = ask(BrokenHub(bug=ZeroDivisionError("secret")), method, path, body)
    (reason,) = refused(answer, 500, "internal_error", "request")
    assert "secret" not in answer.text
    assert "Traceback" not in answer.text
    assert len(reason.split()[-1]) == 32


@pytest.mark.parametrize("status", [401, 403])
@pytest.mark.parametrize(("method", "path", "body"), ALL)
def test_whoever_is_not_let_in_is_told_why(status: int, method: str, path: str, body: Any) -> None:
    hub = BrokenHub(denied=Denied(status, "the token has expired"))
    answer = ask(hub, method, path, body, {"Authorization": "bearer  abc.def"})
    check_refusal(answer)
    assert answer.status == status
    assert answer.data["details"] == [{"field": "Authorization", "reason": "the token has expired"}]
    assert ("WWW-Authenticate" in answer.headers) is (status == 401)
    (peer,) = hub.peers
    assert peer.authorization == "bearer  abc.def"
    assert "abc.def" not in answer.text


def test_a_bug_is_logged_with_its_number_and_without_the_token(caplog: pytest.LogCaptureFixture) -> None:
    answer = ask(BrokenHub(bug=ZeroDivisionError()), *ALL[0], {"Authorization": "Bearer abc.def"})
    number = answer.data["details"][0]["reason"].split()[-1]
    (record,) = caplog.records
    assert record.getMessage() == "request failed"
    assert number in str(vars(record))
    assert "abc.def" not in str(vars(record))
