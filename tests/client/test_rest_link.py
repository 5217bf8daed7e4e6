"""A connection made of HTTP requests, without I/O: which requests, when, and what the client hears of them."""

from __future__ import annotations

from typing import Any

import pytest

from presence_client.attempts import End
from presence_client.http_exchange import Call, Cancel, HttpAnswer
from presence_client.rest_link import RestLink
from presence_protocol.close_codes import CloseCode
from presence_protocol.messages import (
    Activity,
    Bye,
    Diff,
    Error,
    Hello,
    Ok,
    Ping,
    Pong,
    Query,
    SetStatus,
    Snapshot,
    StatusEntry,
    Statuses,
    Unwatch,
    Watch,
    Welcome,
)

HELLO = Hello(user_id=1, device_id="d", platform="PC")
OBSERVER = Hello(observer=True)
DEVICE = {"userId": 1, "deviceId": "d"}
BEAT = HttpAnswer(200, {"nextHeartbeatInterval": 30_000})
GONE = HttpAnswer(404, {"error": "device_not_online", "details": []})


def raw(user_id: int, version: int = 1, status: str = "ONLINE") -> dict[str, Any]:
    return {"userId": user_id, "status": status, "platforms": ["WEB"], "lastActiveTime": None, "version": version}


def entry(user_id: int, version: int = 1, status: Any = "ONLINE") -> StatusEntry:
    return StatusEntry(user_id, status, ["WEB"], None, version)


def changes(*entries: dict[str, Any], cursor: str = "c1", resumed: bool = False) -> HttpAnswer:
    return HttpAnswer(200, {"changes": list(entries), "cursor": cursor, "resumed": resumed})


def user_ids(call: Call) -> list[int]:
    assert call.body is not None
    found: list[int] = call.body["userIds"]
    return found


class World:
    """A link and its clock. Requests are answered by hand."""

    def __init__(self) -> None:
        self.now = 100.0
        self.link = RestLink()
        self.calls: list[Call] = []
        self.cancelled: list[int] = []
        self._heard: list[Any] = []

    def _take(self) -> None:
        for action in self.link.take():
            if isinstance(action, Call):
                self.calls.append(action)
            elif isinstance(action, Cancel):
                self.cancelled.append(action.number)
                self.calls = [call for call in self.calls if call.number != action.number]
            else:
                self._heard.append(action)

    def say(self, *messages: Any) -> None:
        for message in messages:
            self.link.send(message, self.now)
        self.wait(0)

    def wait(self, seconds: float) -> None:
        end = self.now + seconds
        while (due := self.link.deadline()) is not None and due <= end:
            self.now = max(self.now, due)
            self.link.tick(self.now)
        self.now = end
        self._take()

    def call(self) -> Call:
        """The one request that is under way."""
        (call,) = self.calls
        return call

    def find(self, path: str) -> Call:
        (call,) = [call for call in self.calls if call.path == path]
        return call

    def answer(self, answer: HttpAnswer, call: Call | None = None) -> None:
        call = call or self.call()
        self.calls.remove(call)
        self.link.answered(call.number, answer, self.now)
        self._take()
        self.wait(0)

    def heard(self) -> list[Any]:
        heard, self._heard = self._heard, []
        return heard

    def welcomed(self, *watch: int) -> None:
        self.say(Hello(user_id=1, device_id="d", platform="PC", watch=list(watch) or None))
        self.answer(BEAT)
        if watch:
            self.answer(changes(*(raw(user_id) for user_id in watch)))
        self.heard()


def test_a_device_that_is_there_goes_on() -> None:
    world = World()
    world.say(Hello(user_id=1, device_id="d", platform="PC", idle=True))
    assert world.call()[1:4] == ("POST", "/heartbeat", DEVICE | {"idle": True})
    world.answer(BEAT)
    (welcome,) = world.heard()
    assert isinstance(welcome, Welcome)
    assert (welcome.continued, welcome.resumed, welcome.self_) == (True, False, None)
    assert welcome.limits.ping_interval == 30_000


def test_a_new_device_goes_online_and_asks_for_the_interval() -> None:
    world = World()
    world.say(HELLO)
    world.answer(GONE)
    assert world.call()[1:4] == ("POST", "/online", DEVICE | {"platform": "PC"})
    world.answer(HttpAnswer(200, {"userId": 1, "status": "ONLINE", "lastActiveTime": None}))
    assert world.call().path == "/heartbeat"
    world.answer(BEAT)
    (welcome,) = world.heard()
    assert not welcome.continued


def test_the_status_to_begin_with_is_set_before_anybody_sees_the_device() -> None:
    world = World()
    world.say(Hello(user_id=1, device_id="d", platform="PC", status="OFFLINE"))
    world.answer(GONE)
    assert world.call()[1:4] == ("PATCH", "/status/1", {"status": "OFFLINE"})
    world.answer(HttpAnswer(200, {}))
    assert world.call().path == "/online"


def test_the_status_to_begin_with_is_not_for_a_device_that_goes_on() -> None:
    world = World()
    world.say(Hello(user_id=1, device_id="d", platform="PC", status="BUSY"))
    world.answer(BEAT)
    assert world.calls == []


def test_hello_is_answered_with_what_the_first_poll_says() -> None:
    world = World()
    world.say(Hello(observer=True, watch=[2, 3], cursor="c7"))
    assert world.call()[1:4] == ("POST", "/changes", {"userIds": [2, 3], "waitMs": 0, "cursor": "c7"})
    world.answer(changes(raw(2, 9), cursor="c9", resumed=True))
    welcome, snapshot = world.heard()
    assert welcome.resumed
    assert snapshot == Snapshot(statuses=[entry(2, 9)], cursor="c9")
    world.wait(0.25)
    assert world.call()[3] == {"userIds": [2, 3], "waitMs": 25_000, "cursor": "c9"}
    assert world.call().timeout == 35


def test_a_poll_is_a_diff_or_a_snapshot_and_leads_to_the_next() -> None:
    world = World()
    world.welcomed(2)
    world.wait(0.25)
    world.answer(changes(raw(2, 5, "AWAY"), cursor="c5", resumed=True))
    assert world.heard() == [Diff(changes=[entry(2, 5, "AWAY")], cursor="c5")]
    world.wait(0.25)
    world.answer(changes(raw(2, 2, "BUSY"), cursor="x", resumed=False))
    assert world.heard() == [Snapshot(statuses=[entry(2, 2, "BUSY")], cursor="x")]


def test_polls_do_not_follow_each_other_in_a_frenzy() -> None:
    world = World()
    world.welcomed(2)
    polls = 0
    for _ in range(100):
        world.wait(0.01)
        if world.calls:
            polls += 1
            world.answer(changes(raw(2, polls + 1), resumed=True))
    assert polls == 4


def test_who_watches_nobody_does_not_poll() -> None:
    world = World()
    world.welcomed()
    world.wait(20)
    assert world.calls == []


def test_watches_in_a_row_are_answered_by_one_poll() -> None:
    world = World()
    world.welcomed(2)
    world.wait(0.25)
    waiting = world.call()
    world.link.send(Watch(id=5, user_ids=[3]), world.now)
    world.link.send(Watch(id=6, user_ids=[4]), world.now)
    world.wait(0)
    assert world.cancelled == [waiting.number]
    assert world.call()[3] == {"userIds": [2, 3, 4], "waitMs": 0}, "no cursor: it would speak for another set"
    world.answer(changes(raw(2), raw(3), raw(4), cursor="c9"))
    assert world.heard() == [
        Snapshot(id=5, statuses=[entry(3)]),
        Snapshot(id=6, statuses=[entry(4)]),
        Snapshot(statuses=[entry(2)], cursor="c9"),
    ]


def test_a_watch_while_another_is_looked_up_loses_neither() -> None:
    world = World()
    world.welcomed()
    world.say(Watch(id=5, user_ids=[3]))
    world.say(Watch(id=6, user_ids=[4]))
    world.answer(changes(raw(3), raw(4)))
    assert [snapshot.id for snapshot in world.heard()] == [5, 6, None]


def test_a_refused_watch_is_an_error_and_the_others_go_on() -> None:
    world = World()
    world.welcomed(2)
    world.say(Watch(id=5, user_ids=[3]))
    details = [{"field": "userIds", "reason": "must be at most 1 different ids"}]
    world.answer(HttpAnswer(400, {"error": "invalid_request", "details": details}, "请求参数错误"))
    (error,) = world.heard()
    assert (error.id, error.code, error.error, error.details[0].field) == (5, 400, "invalid_request", "userIds")
    assert user_ids(world.call()) == [2]


def test_unwatch_is_confirmed_and_goes_into_the_next_poll() -> None:
    world = World()
    world.welcomed(2, 3)
    world.say(Unwatch(id=5, user_ids=[3]))
    assert world.heard() == [Ok(id=5)]
    world.wait(0.25)
    assert user_ids(world.call()) == [2]


def test_heartbeats_come_at_the_interval_that_the_server_asks_for() -> None:
    world = World()
    world.welcomed()
    world.wait(30)
    world.answer(HttpAnswer(200, {"nextHeartbeatInterval": 60_000}))
    world.wait(59)
    assert world.calls == []
    world.wait(1)
    assert world.call().path == "/heartbeat"


def test_a_device_that_was_ended_comes_online_again() -> None:
    world = World()
    world.welcomed()
    world.wait(30)
    world.answer(GONE)
    assert world.call()[2:4] == ("/online", DEVICE | {"platform": "PC"})
    world.answer(HttpAnswer(200, {}))
    assert world.call().path == "/heartbeat"
    assert world.heard() == []


def test_a_device_that_was_ended_is_as_idle_as_it_was() -> None:
    world = World()
    world.welcomed()
    world.say(Activity(id=1, idle=True, idle_for_ms=60_000))
    world.answer(BEAT)
    assert world.heard() == [Ok(id=1)]
    world.wait(30)
    world.answer(GONE)
    assert world.call()[1:4] == ("POST", "/online", DEVICE | {"platform": "PC", "idle": True})


def test_a_device_that_is_gone_again_at_once_ends_the_connection() -> None:
    world = World()
    world.welcomed()
    world.wait(30)
    world.answer(GONE)
    world.answer(HttpAnswer(200, {"userId": 1, "status": "ONLINE", "lastActiveTime": None}))
    world.answer(GONE)
    (end,) = world.heard()
    assert (end.code, end.http_status) == (1006, 404), "and it comes back with backoff"
    assert (world.calls, world.link.deadline()) == ([], None)


def test_what_changes_something_is_asked_one_after_the_other() -> None:
    world = World()
    world.welcomed()
    world.say(Activity(id=1, idle=True), SetStatus(id=2, status="BUSY"), Activity(id=3, idle=False))
    assert world.call().body == DEVICE | {"idle": True}, "two requests at once may arrive in either order"
    world.answer(GONE)
    assert world.call().path == "/online"
    world.answer(HttpAnswer(200, {"userId": 1, "status": "ONLINE", "lastActiveTime": None}))
    world.answer(BEAT)
    assert world.call()[1:4] == ("PATCH", "/status/1", {"status": "BUSY"})
    world.answer(HttpAnswer(503, None, "later"))
    assert world.call().body == DEVICE | {"idle": False}
    world.answer(BEAT)
    assert [message.id for message in world.heard()] == [1, 2, 3]


def test_an_interval_of_nothing_is_no_loop() -> None:
    world = World()
    world.say(HELLO)
    world.answer(HttpAnswer(200, {"nextHeartbeatInterval": 1}))
    assert world.link.deadline() == world.now + 0.1


def test_the_welcome_tells_the_servers_time() -> None:
    world = World()
    world.say(HELLO)
    world.answer(BEAT._replace(epoch=1_767_225_600))
    (welcome,) = world.heard()
    assert welcome.server_time == "2026-01-01T00:00:00Z"


def test_requests_become_calls_and_their_answers_replies() -> None:
    world = World()
    world.welcomed()
    world.say(SetStatus(id=1, status="BUSY", status_text="x"))
    assert world.call()[1:4] == ("PATCH", "/status/1", {"status": "BUSY", "statusText": "x"})
    world.answer(HttpAnswer(200, {}))
    world.say(SetStatus(id=2, status=None))
    assert world.call()[1:4] == ("PATCH", "/status/1", {"status": None})
    world.answer(HttpAnswer(200, {}))
    world.say(Activity(id=3, idle=True, idle_for_ms=5))
    assert world.call()[2:4] == ("/heartbeat", DEVICE | {"idle": True})
    world.answer(BEAT)
    world.say(Query(id=4, user_ids=[2, 3, 2]))
    assert world.call()[3] == {"userIds": [2, 3]}
    world.answer(changes(raw(2), raw(3)))
    world.say(Ping(id=5))
    assert world.heard() == [
        Ok(id=1),
        Ok(id=2),
        Ok(id=3),
        Statuses(id=4, statuses=[entry(2), entry(3), entry(2)]),
        Pong(id=5),
    ]


def test_a_refused_request_is_an_error_and_the_connection_goes_on() -> None:
    world = World()
    world.welcomed()
    world.say(SetStatus(id=1, status="BUSY"), Query(id=2, user_ids=[2]))
    world.answer(HttpAnswer(403, {"error": "forbidden", "details": []}, "没有权限"), world.find("/status/1"))
    world.answer(HttpAnswer(503, None, "Service Unavailable"), world.find("/changes"))
    first, second = world.heard()
    assert (first.id, first.code, first.error, first.message) == (1, 403, "forbidden", "没有权限")
    assert (second.id, second.code, second.error) == (2, 503, "unavailable")


def test_an_observer_has_no_heartbeat_and_no_status() -> None:
    world = World()
    world.say(OBSERVER)
    assert world.calls == []
    world.heard()
    world.say(SetStatus(id=1, status="BUSY"), Activity(id=2, idle=True))
    assert [(error.id, error.code) for error in world.heard() if isinstance(error, Error)] == [(1, 403), (2, 403)]
    world.wait(100)
    assert world.calls == []
    world.say(Bye())
    assert world.heard() == [End(1000, "bye")]


def test_bye_is_offline() -> None:
    world = World()
    world.welcomed(2)
    world.wait(0.25)
    world.say(Bye())
    assert world.call()[2:4] == ("/offline", DEVICE), "and the poll is given up"
    world.answer(HttpAnswer(200))
    assert world.heard() == [End(1000, "bye")]
    assert world.link.deadline() is None


def test_to_be_given_up_is_no_offline() -> None:
    world = World()
    world.welcomed(2)
    world.wait(0.25)
    world.link.stop()
    world.say(Ping())
    world.wait(100)
    assert (world.calls, world.heard()) == ([], [])


@pytest.mark.parametrize(
    ("answer", "end"),
    [
        (HttpAnswer(0, reason="Connection refused", was_reached=False), End(1006, "Connection refused", None, False)),
        (HttpAnswer(401, None, "no"), End(4401, "no", http_status=401)),
        (HttpAnswer(403, None, "no"), End(4403, "no", http_status=403)),
        (HttpAnswer(503, None, "full", 7.0), End(4503, "full", 7.0, http_status=503)),
        (HttpAnswer(429, None, "slow down", 2.0), End(4529, "slow down", 2.0, http_status=429)),
        (HttpAnswer(502, None, "Bad Gateway"), End(1006, "HTTP 502 Bad Gateway", http_status=502)),
        (HttpAnswer(200, "nonsense"), End(1006, "an answer, but not as a presence server answers")),
    ],
)
def test_what_fails_ends_the_connection(answer: HttpAnswer, end: End) -> None:
    world = World()
    world.say(HELLO)
    world.answer(answer)
    assert world.heard() == [end]
    later = World()
    later.welcomed(2)
    later.wait(0.25)
    later.answer(answer)
    assert later.heard() == [end]
    assert later.calls == []


@pytest.mark.parametrize(
    ("error", "code"), [("device_replaced", CloseCode.REPLACED), ("device_ended", CloseCode.ENDED)]
)
def test_a_device_that_was_ended_elsewhere_does_not_come_back_by_itself(error: str, code: CloseCode) -> None:
    world = World()
    world.welcomed()
    world.wait(30)
    refusal = {"error": error, "details": [{"field": "deviceId", "reason": "signed in on another device: IOS, x"}]}
    world.answer(HttpAnswer(404, refusal, "gone"), world.find("/heartbeat"))
    assert world.heard() == [End(code, "signed in on another device: IOS, x")]
    assert world.link.deadline() is None


def test_who_connects_anew_takes_over_again() -> None:
    world = World()
    world.say(HELLO)
    world.answer(HttpAnswer(404, {"error": "device_replaced", "details": []}), world.find("/heartbeat"))
    refusal = {"error": "too_many_devices", "details": [{"field": "deviceId", "reason": "is one too many"}]}
    world.answer(HttpAnswer(409, refusal), world.find("/online"))
    assert world.heard() == [End(CloseCode.TOO_MANY_DEVICES, "is one too many")]
