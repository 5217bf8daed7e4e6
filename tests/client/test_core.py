"""The client without I/O, on virtual time: what it does about everything that a connection can do to it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, TypeVar

import pytest

from presence_client.actions import Action, AskToken, Became, Changed, Close, Open, Phase, Send, Settled
from presence_client.attempts import End, Policy
from presence_client.backoff import Backoff
from presence_client.conversation import Kind
from presence_client.core import Core
from presence_client.errors import ConnectionClosed, NotConnected, RequestFailed, RequestTimedOut
from presence_client.identity import Identity
from presence_protocol.close_codes import Advice
from presence_protocol.messages import (
    Activity,
    AnyServerMessage,
    Bye,
    Diff,
    Error,
    Hello,
    Limits,
    Ok,
    Ping,
    Pong,
    Query,
    Reconnect,
    SetStatus,
    Snapshot,
    StatusEntry,
    Statuses,
    Unwatch,
    Watch,
    Welcome,
)

LIMITS = Limits(ping_interval=25_000, pong_timeout=10_000, max_watched=5000, max_message=262_144, max_batch=1000)
T = TypeVar("T")


def entry(user_id: int, version: int = 1, status: Any = "ONLINE") -> StatusEntry:
    return StatusEntry(user_id, status, ["WEB"], None, version)


def welcome(*, resumed: bool = False, continued: bool = False) -> Welcome:
    return Welcome(session_id="s", server_time="t", continued=continued, resumed=resumed, self_=None, limits=LIMITS)


class World:
    """A core, its clock, and what it did. `chance` is always 1: waits are at their ceiling."""

    def __init__(self, *, policy: Policy | None = None, chance: float = 1.0, **identity: Any) -> None:
        self.now = 1000.0
        self.done: list[Action] = []
        who: dict[str, Any] = {"user_id": 1, "device_id": "d", "platform": "PC"} | identity
        self.core = Core(Identity(**who), self.now, lambda: chance, policy or Policy())

    def begin(self) -> World:
        self.core.start(self.now)
        return self

    def take(self, kind: type[T]) -> list[T]:
        """What it did of this kind since this kind was last asked for; the rest waits for its turn."""
        self.done += self.core.take()
        found: list[T] = [action for action in self.done if isinstance(action, kind)]
        self.done = [action for action in self.done if not isinstance(action, kind)]
        return found

    def one(self, kind: type[T]) -> T:
        (action,) = self.take(kind)
        return action

    def sent(self) -> list[Any]:
        return [action.message for action in self.take(Send)]

    def wait(self, seconds: float) -> None:
        """Let time pass, with all that falls due in it."""
        end = self.now + seconds
        while (due := self.core.deadline()) is not None and due <= end:
            self.now = max(self.now, due)
            self.core.tick(self.now)
        self.now = end

    def next_open(self, seconds: float = 60.0) -> Open:
        """Let time pass until it asks for a link; a link that is pinged answers."""
        end = self.now + seconds
        while True:
            if asked := self.take(Open):
                return asked[0]
            for action in self.take(Send):
                if isinstance(action.message, Ping):
                    self.hear(action.link, Pong())
            due = self.core.deadline()
            assert due is not None
            assert due <= end, "it does not ask for a link"
            self.wait(due - self.now)

    def open(self) -> Open:
        """The link that it asks for is connected."""
        asked = self.one(Open)
        self.core.opened(asked.link, self.now)
        return asked

    def hear(self, link: int, *messages: AnyServerMessage) -> None:
        for message in messages:
            self.core.received(link, message, self.now)

    def live(self, *entries: StatusEntry, cursor: str = "c1") -> int:
        """Connect, welcomed, with a first snapshot of these; returns the link."""
        link = self.open().link
        self.hear(link, welcome())
        if entries:
            self.hear(link, Snapshot(statuses=list(entries), cursor=cursor))
        self.sent()
        return link

    def lose(self, link: int, code: int = 1006, reason: str = "", **more: Any) -> None:
        self.core.lost(link, End(code, reason, **more), self.now)

    def phase(self) -> Phase:
        return self.core.state.phase


def watching(*user_ids: int) -> World:
    world = World()
    world.core.watch(user_ids)
    return world.begin()


def kinds(actions: Iterable[Open]) -> list[Kind]:
    return [action.kind for action in actions]


# --- hello, watch, changes -------------------------------------------------------------------------------------------


def test_it_says_hello_and_is_online_when_welcomed() -> None:
    world = World(token="secret").begin()
    assert world.phase() is Phase.CONNECTING
    world.open()
    assert world.sent() == [Hello(user_id=1, device_id="d", platform="PC", token="secret")]
    world.hear(1, welcome())
    assert world.phase() is Phase.ONLINE
    assert world.core.view.stale_since is None


def test_an_observer_names_neither_user_nor_device() -> None:
    world = World(user_id=None, device_id=None, platform=None, observer=True).begin()
    world.open()
    assert world.sent() == [Hello(observer=True)]


def test_an_sdk_says_what_it_is_and_that_it_comes_back_by_itself() -> None:
    world = World(client="presence-python/1.0.0").begin()
    first = world.open().link
    assert world.sent() == [Hello(user_id=1, device_id="d", platform="PC", client="presence-python/1.0.0")]
    world.hear(first, welcome())
    world.lose(first)
    again = world.next_open()
    world.core.opened(again.link, world.now)
    (hello,) = world.sent()
    assert (hello.client, hello.returning) == ("presence-python/1.0.0", True)


def test_a_watch_is_settled_when_the_entries_are_there() -> None:
    world = World().begin()
    link = world.live()
    ticket = world.core.watch([2, 3])
    (asked,) = world.sent()
    assert asked == Watch(id=asked.id, user_ids=[2, 3])
    world.hear(link, Snapshot(id=asked.id, statuses=[entry(2)], more=True))
    assert world.take(Settled) == []
    world.hear(link, Snapshot(id=asked.id, statuses=[entry(3)], cursor="c"))
    assert world.take(Settled) == [Settled(ticket, None)]
    changed = [change for action in world.take(Changed) for change in action.changes]
    assert [(change.before, change.user_id) for change in changed] == [(None, 2), (None, 3)]


def test_a_user_who_is_named_in_no_part_is_unknown_and_there() -> None:
    world = World().begin()
    link = world.live()
    ticket = world.core.watch([2])
    world.hear(link, Snapshot(id=world.sent()[0].id, statuses=[], cursor="c"))
    assert world.one(Settled).ticket == ticket
    assert world.core.view.entries[2].status == "OFFLINE"


def test_a_change_knows_what_was_before() -> None:
    world = watching(2)
    link = world.live(entry(2))
    world.take(Changed)
    world.hear(link, Diff(changes=[entry(2, 5, "BUSY")], cursor="c2"))
    (change,) = world.one(Changed).changes
    assert (change.before, change.after) == (entry(2), entry(2, 5, "BUSY"))
    assert (change.status, change.platforms, change.text) == ("BUSY", ["WEB"], None)


def test_a_refused_watch_says_why_and_is_not_restored() -> None:
    world = World().begin()
    link = world.live()
    ticket = world.core.watch([2])
    id = world.sent()[0].id
    world.hear(link, Error(id=id, code=400, error="too_many_watched", message="more than 0"))
    settled = world.one(Settled)
    assert settled.ticket == ticket
    assert isinstance(settled.error, RequestFailed)
    assert settled.error.error == "too_many_watched"
    assert world.core.view.watched == set()


def test_a_watch_that_cannot_be_looked_up_now_is_asked_again() -> None:
    world = World().begin()
    link = world.live()
    ticket = world.core.watch([2, 3])
    world.core.unwatch([3])
    world.hear(link, Error(id=world.sent()[0].id, code=503, error="unavailable", message="not now"))
    assert world.core.view.watched == {2}, "nobody wants 3 any more"
    world.wait(4)
    again = world.sent()[-1]
    assert again == Watch(id=again.id, user_ids=[2])
    assert isinstance(world.core.give_up(ticket, 5), RequestFailed)


def test_a_hello_that_cannot_be_looked_up_is_followed_by_a_watch() -> None:
    world = watching(2)
    link = world.open().link
    world.sent()
    world.hear(link, welcome(), Error(code=503, error="unavailable", message="not now"))
    world.wait(4)
    assert [message.user_ids for message in world.sent()] == [[2]]


# --- coming back -----------------------------------------------------------------------------------------------------


def test_it_resumes_by_cursor_with_those_whose_entries_it_holds() -> None:
    world = watching(2)
    link = world.live(entry(2))
    world.lose(link)
    assert world.phase() is Phase.WAITING
    assert world.core.view.stale_since == world.now
    world.core.watch([3])
    world.wait(1)
    link = world.open().link
    (hello,) = world.sent()
    assert (hello.watch, hello.cursor) == ([2], "c1")
    world.hear(link, welcome(resumed=True))
    (added,) = world.sent()
    assert added == Watch(id=added.id, user_ids=[3]), "a cursor speaks only for those held"
    world.hear(link, Snapshot(statuses=[entry(2, 7, "AWAY")], cursor="c7"))
    assert world.core.view.entries[2].status == "AWAY"
    assert world.core.view.stale_since is None


def test_a_cursor_that_is_not_covered_gets_everything_anew() -> None:
    world = watching(2)
    link = world.live(entry(2, 900))
    world.lose(link)
    world.wait(1)
    link = world.open().link
    world.hear(link, welcome(resumed=False), Snapshot(statuses=[entry(2, 3, "BUSY")], cursor="x"))
    assert world.core.view.entries[2] == entry(2, 3, "BUSY")


def test_who_was_unwatched_between_hello_and_welcome_is_unwatched_after_it() -> None:
    world = watching(2, 3)
    link = world.open().link
    world.core.unwatch([3])
    world.sent()
    world.hear(link, welcome())
    (gone,) = world.sent()
    assert gone == Unwatch(id=gone.id, user_ids=[3])
    world.hear(link, Snapshot(statuses=[entry(2), entry(3)], cursor="c"))
    assert set(world.core.view.entries) == {2}


def test_the_backoff_doubles_to_its_cap_and_begins_anew_after_a_connection_that_lasted() -> None:
    world = World(policy=Policy(Backoff(1, 10))).begin()
    waits = []
    for _ in range(6):
        world.lose(world.one(Open).link, was_reached=False)
        waits.append(world.core.state.retry_in)
        world.wait(waits[-1] or 0)
    assert waits == [1, 2, 4, 8, 10, 10]
    link = world.live()
    world.wait(5)
    world.lose(link)
    assert world.core.state.retry_in == 1


def test_a_connection_that_is_closed_soon_does_not_begin_the_backoff_anew() -> None:
    world = World().begin()
    for wait in (1, 2, 4):
        world.lose(world.live(), 4508)
        assert world.core.state.retry_in == wait
        world.wait(wait)


@pytest.mark.parametrize("chance", [0.0, 0.25])
def test_the_jitter_is_full(chance: float) -> None:
    world = World(chance=chance).begin()
    world.lose(world.one(Open).link)
    assert world.core.state.retry_in == chance


def test_retry_after_is_the_least_that_is_waited() -> None:
    world = World().begin()
    world.lose(world.one(Open).link, 4503, retry_after=7)
    assert world.core.state.retry_in == 8
    world.wait(7.9)
    assert world.take(Open) == []
    world.wait(0.2)
    assert world.take(Open) != []


def test_a_retry_after_of_a_day_is_not_believed() -> None:
    world = World().begin()
    world.lose(world.one(Open).link, 4503, retry_after=86_400)
    assert world.core.state.retry_in == 301


@pytest.mark.parametrize("code", [4400, 4403, 4409, 4410, 4411, 4413, 1000, 1009, 4999, 3000])
def test_codes_that_say_stop_stop(code: int) -> None:
    world = World().begin()
    link = world.live()
    query = world.core.request(Query(user_ids=[2]))
    watch = world.core.watch([2])
    world.lose(link, code, "why")
    assert (world.phase(), world.core.deadline()) == (Phase.CLOSED, None)
    assert world.core.state.code == code
    errors = {settled.ticket: settled.error for settled in world.take(Settled)}
    assert set(errors) == {query, watch}
    assert all(isinstance(error, ConnectionClosed) and error.advice is Advice.STOP for error in errors.values())
    late = world.core.watch([5])
    assert world.one(Settled).ticket == late


@pytest.mark.parametrize("code", [1001, 1005, 1006, 1011, 1012, 1013, 4500, 4503, 4504, 4508, 4529, 4599])
def test_codes_that_say_reconnect_reconnect(code: int) -> None:
    world = World().begin()
    world.lose(world.live(), code)
    world.wait(1)
    assert len(world.take(Open)) == 1


# --- tokens ----------------------------------------------------------------------------------------------------------


def test_a_token_that_is_not_taken_is_asked_for_once_more_at_once() -> None:
    world = World(has_tokens=True).begin()
    world.core.token(world.one(AskToken).link, "old", world.now)
    world.lose(world.open().link, 4401)
    world.core.token(world.one(AskToken).link, "new", world.now)
    world.open()
    assert [message.token for message in world.sent()] == ["old", "new"]
    world.lose(2, 4401)
    assert world.phase() is Phase.CLOSED


def test_after_a_connection_that_lasted_a_token_may_expire_again() -> None:
    world = World(has_tokens=True).begin()
    for _ in range(3):
        world.core.token(world.one(AskToken).link, "t", world.now)
        link = world.open().link
        world.hear(link, welcome())
        world.now += 5
        world.lose(link, 4401)
    assert world.phase() is Phase.CONNECTING


def test_a_welcome_alone_does_not_earn_another_try() -> None:
    world = World(has_tokens=True).begin()
    for _ in range(2):
        world.core.token(world.one(AskToken).link, "t", world.now)
        link = world.open().link
        world.hear(link, welcome())
        world.lose(link, 4401)
    assert (world.phase(), world.take(AskToken)) == (Phase.CLOSED, [])


def test_who_is_signed_out_leaves_for_good() -> None:
    world = World(has_tokens=True).begin()
    ticket = world.core.request(SetStatus(status="BUSY"))
    world.core.signed_out(world.one(AskToken).link, "signed out", world.now)
    assert (world.phase(), world.core.deadline()) == (Phase.CLOSED, None)
    settled = world.one(Settled)
    assert (settled.ticket, str(settled.error)[:40]) == (ticket, "the server closed for good (4401: signed")


def test_who_is_signed_out_while_moving_leaves_with_a_bye() -> None:
    world = World(has_tokens=True).begin()
    world.core.token(world.one(AskToken).link, "t", world.now)
    link = world.live()
    world.hear(link, Reconnect(after_ms=0, reason="draining"))
    world.wait(0)
    world.core.signed_out(world.one(AskToken).link, "signed out", world.now)
    assert world.sent() == [Bye()]
    assert world.phase() is Phase.CLOSED


def test_a_token_that_is_a_string_is_not_tried_twice() -> None:
    world = World(token="wrong").begin()
    world.lose(world.open().link, 4401)
    assert world.phase() is Phase.CLOSED


def test_a_token_that_cannot_be_had_is_asked_for_after_the_backoff() -> None:
    world = World(has_tokens=True).begin()
    world.core.token_failed(world.one(AskToken).link, "no network", world.now)
    assert world.core.state.reason == "no token: no network"
    world.wait(1)
    world.core.token(world.one(AskToken).link, "t", world.now)
    assert kinds(world.take(Open)) == [Kind.WEBSOCKET]


def test_a_token_that_never_comes_is_given_up() -> None:
    world = World(has_tokens=True).begin()
    link = world.one(AskToken).link
    world.wait(30)
    assert world.one(Close) == Close(link, 1006, "no token in time")
    world.core.token(link, "late", world.now)
    assert world.take(Open) == []


# --- life of the link ------------------------------------------------------------------------------------------------


def test_silence_is_asked_about_and_then_given_up() -> None:
    world = World().begin()
    link = world.live()
    world.wait(25)
    assert world.sent() == [], "not before the interval is over"
    world.wait(1)
    assert world.sent() == [Ping()]
    world.wait(9.9)
    assert world.phase() is Phase.ONLINE
    world.wait(0.2)
    assert world.one(Close) == Close(link, 1006, "no answer to ping")
    assert world.phase() is Phase.WAITING


@pytest.mark.parametrize("is_frame", [True, False])
def test_any_sign_of_life_will_do(is_frame: bool) -> None:
    world = World().begin()
    link = world.live()
    for _ in range(4):
        world.wait(26)
        assert world.sent() == [Ping()]
        world.wait(5)
        if is_frame:
            world.core.heard(link, world.now)
        else:
            world.hear(link, Pong())
    assert world.phase() is Phase.ONLINE


def test_a_server_that_pings_is_not_pinged() -> None:
    world = World().begin()
    link = world.live()
    for _ in range(10):
        world.wait(25.5)
        world.core.heard(link, world.now)
    assert world.sent() == []


def test_after_a_pause_of_the_machine_the_link_gets_another_chance() -> None:
    world = World().begin()
    world.live()
    world.wait(26)
    world.sent()
    world.now += 3600
    world.core.tick(world.now)
    assert (world.phase(), world.sent()) == (Phase.ONLINE, [Ping()])
    world.wait(10)
    assert world.phase() is Phase.WAITING


def test_a_welcome_that_does_not_come_is_given_up() -> None:
    world = World().begin()
    link = world.open().link
    world.wait(15)
    assert world.one(Close) == Close(link, 1006, "no welcome in time")
    assert world.phase() is Phase.WAITING


def test_a_server_that_does_not_keep_to_the_protocol_is_closed() -> None:
    world = World().begin()
    link = world.open().link
    world.hear(link, Ok(id=1))
    assert world.one(Close).code == 4400
    assert world.phase() is Phase.WAITING


# --- requests --------------------------------------------------------------------------------------------------------


def test_a_status_waits_for_the_connection_and_is_sent_once() -> None:
    world = World().begin()
    ticket = world.core.request(SetStatus(status="BUSY"))
    link = world.open().link
    assert [type(message) for message in world.sent()] == [Hello]
    world.hear(link, welcome())
    (asked,) = world.sent()
    assert asked == SetStatus(id=asked.id, status="BUSY")
    world.hear(link, Ok(id=asked.id))
    assert world.one(Settled) == Settled(ticket, Ok(id=asked.id))


def test_a_status_is_never_replayed() -> None:
    world = World().begin()
    link = world.live()
    ticket = world.core.request(SetStatus(status="BUSY"))
    world.lose(link)
    settled = world.one(Settled)
    assert settled.ticket == ticket
    assert isinstance(settled.error, ConnectionClosed)
    assert settled.error.advice is Advice.RECONNECT
    world.sent()
    world.wait(1)
    link = world.open().link
    world.hear(link, welcome())
    assert [type(message) for message in world.sent()] == [Hello]


def test_the_status_to_begin_with_is_said_until_the_first_welcome() -> None:
    world = World(status="BUSY").begin()
    world.lose(world.open().link)
    world.wait(1)
    link = world.open().link
    world.hear(link, welcome())
    world.lose(link)
    world.wait(2)
    world.open()
    assert [hello.status for hello in world.sent()] == ["BUSY", "BUSY", None]


def test_a_query_is_asked_again() -> None:
    world = World().begin()
    link = world.live()
    ticket = world.core.request(Query(user_ids=[2]))
    world.lose(link)
    assert world.take(Settled) == []
    world.sent()
    world.wait(1)
    link = world.open().link
    world.hear(link, welcome())
    asked = world.sent()[-1]
    assert asked == Query(id=asked.id, user_ids=[2])
    world.hear(link, Statuses(id=asked.id, statuses=[entry(2)]))
    assert world.one(Settled).ticket == ticket


def test_idleness_is_a_level_and_goes_with_the_next_hello() -> None:
    world = World().begin()
    ticket = world.core.activity(True, 60, world.now)
    world.wait(2)
    world.open()
    (hello,) = world.sent()
    assert (hello.idle, hello.idle_for_ms) == (True, 62_000)
    assert world.take(Settled) == [], "nobody has heard it yet"
    world.hear(1, welcome())
    assert world.one(Settled) == Settled(ticket, None)
    ticket = world.core.activity(False, 0, world.now)
    (said,) = world.sent()
    assert said == Activity(id=said.id, idle=False)
    world.lose(1)
    world.wait(1)
    world.open()
    assert world.sent()[0].idle is False
    assert world.take(Settled) == []
    world.hear(2, welcome())
    assert world.one(Settled) == Settled(ticket, None), "the hello said it"
    assert world.sent() == []


def test_patience_that_ends_says_why() -> None:
    world = World().begin()
    world.lose(world.one(Open).link, 1006, "Connection refused", was_reached=False)
    query, watch = world.core.request(Query(user_ids=[2])), world.core.watch([2])
    error = world.core.give_up(query, 5)
    assert isinstance(error, NotConnected)
    assert str(error) == (
        "not connected within 5 s (last try: Connection refused); the client goes on trying: call again, or wait longer"
    )
    assert isinstance(world.core.give_up(watch, 5), NotConnected)
    world.wait(1)
    world.live()
    assert world.core.view.watched == {2}, "stays in the list"
    assert isinstance(world.core.give_up(world.core.request(Query(user_ids=[2])), 5), RequestTimedOut)


# --- leaving ---------------------------------------------------------------------------------------------------------


def test_it_leaves_with_a_bye() -> None:
    world = World().begin()
    link = world.live()
    ticket = world.core.request(Query(user_ids=[2]))
    world.sent()
    world.core.leave(world.now)
    assert world.sent() == [Bye()]
    assert world.take(Became)[-1].state.phase is Phase.CLOSED
    assert world.take(Close) == [], "a reply is awaited"
    world.hear(link, Statuses(id=1, statuses=[]))
    assert world.one(Settled) == Settled(ticket, Statuses(id=1, statuses=[]), None)
    assert world.one(Close) == Close(link, 1000, "bye")
    world.lose(link, 1000)
    assert (world.phase(), world.core.deadline()) == (Phase.CLOSED, None)


def test_who_leaves_before_hello_only_drops_the_link() -> None:
    world = World().begin()
    link = world.one(Open).link
    world.core.leave(world.now)
    assert (world.sent(), world.one(Close).code) == ([], 1006)
    world.core.opened(link, world.now)
    assert world.sent() == []


# --- moving ----------------------------------------------------------------------------------------------------------


def moving(*user_ids: int) -> tuple[World, int]:
    """A client that was asked to move, after a second."""
    world = watching(*user_ids)
    link = world.live(*(entry(user_id) for user_id in user_ids))
    world.hear(link, Reconnect(after_ms=1000, reason="draining"))
    world.take(Settled)
    world.take(Became)
    return world, link


def test_it_connects_anew_first_and_then_lets_go_of_the_old_connection() -> None:
    world, old = moving(2)
    world.wait(0.9)
    assert world.take(Open) == []
    world.wait(0.1)
    new = world.open().link
    (hello,) = world.sent()
    assert (hello.watch, hello.cursor) == ([2], "c1")
    world.hear(old, Diff(changes=[entry(2, 5, "BUSY")], cursor="c5"))
    assert world.core.view.entries[2].status == "BUSY", "the old connection counts until the new one is welcomed"
    world.hear(new, welcome(resumed=True, continued=True))
    assert world.one(Close) == Close(old, 1001, "moved to another connection")
    assert world.core.view.entries[2].status == "BUSY", "nothing goes back"
    world.lose(old, 4409)
    world.hear(new, Snapshot(statuses=[entry(2, 5, "BUSY")], cursor="c5"))
    assert (world.phase(), world.core.view.stale_since) == (Phase.ONLINE, None)
    assert world.take(Became) == [], "never anything but online"


def test_while_it_is_refused_it_keeps_the_old_connection_and_tries_again() -> None:
    world, old = moving(2)
    world.wait(1)
    world.lose(world.one(Open).link, 4503, "HTTP 503", retry_after=5)
    assert world.phase() is Phase.ONLINE
    world.wait(5.9)
    assert world.take(Open) == []
    world.wait(0.1)
    new = world.open().link
    world.hear(old, Diff(changes=[entry(2, 9, "AWAY")], cursor="c9"))
    world.lose(new, 4503)
    assert world.core.view.cursor == "c9", "what the refused one began is forgotten"
    assert (world.phase(), world.take(Close)) == (Phase.ONLINE, [])


def test_replies_that_the_old_connection_owes_are_awaited() -> None:
    world, old = moving(2)
    world.wait(1)
    new = world.open().link
    ticket = world.core.request(SetStatus(status="BUSY"))
    asked = world.sent()[-1]
    world.hear(new, welcome(resumed=True))
    assert world.take(Close) == []
    world.hear(old, Ok(id=asked.id))
    assert world.one(Settled).ticket == ticket
    assert world.one(Close).link == old


def test_replies_that_never_come_are_not_awaited_forever() -> None:
    world, old = moving(2)
    world.wait(1)
    new = world.open().link
    world.core.request(SetStatus(status="BUSY"))
    world.hear(new, welcome(resumed=True))
    world.wait(5)
    assert isinstance(world.one(Settled).error, ConnectionClosed)
    assert world.one(Close).link == old


def test_a_watch_during_the_move_is_asked_on_the_new_connection_too() -> None:
    world, _ = moving(2)
    world.wait(1)
    new = world.open().link
    ticket = world.core.watch([3])
    world.core.unwatch([2])
    asked_of_old = [message for message in world.sent() if isinstance(message, Watch)]
    assert [message.user_ids for message in asked_of_old] == [[3]]
    world.hear(new, welcome(resumed=True))
    unwatch, watch = world.sent()
    assert (watch.user_ids, unwatch.user_ids) == ([3], [2])
    world.hear(new, Snapshot(statuses=[], cursor="c2"), Snapshot(id=watch.id, statuses=[entry(3)], cursor="c2"))
    assert ticket in [settled.ticket for settled in world.take(Settled)]
    assert set(world.core.view.entries) == {3}


def test_the_old_connection_may_end_before_the_new_one_is_welcomed() -> None:
    world, old = moving(2)
    world.wait(1)
    new = world.open().link
    world.lose(old, 4409, "replaced")
    assert world.phase() is Phase.CONNECTING
    world.hear(new, welcome(resumed=True), Snapshot(statuses=[], cursor="c2"))
    assert (world.phase(), world.core.view.stale_since) == (Phase.ONLINE, None)
    assert world.core.view.entries == {2: entry(2)}


# --- REST ------------------------------------------------------------------------------------------------------------


def test_three_connections_that_fail_before_their_welcome_lead_to_rest() -> None:
    world = World().begin()
    tried = []
    for _ in range(4):
        asked = world.next_open()
        tried.append(asked.kind)
        world.lose(asked.link, 1006, "HTTP 403")
    assert tried == [Kind.WEBSOCKET] * 3 + [Kind.REST]


def test_a_server_that_cannot_be_reached_says_nothing_about_websockets() -> None:
    world = World().begin()
    for _ in range(6):
        asked = world.next_open()
        assert asked.kind is Kind.WEBSOCKET
        world.lose(asked.link, was_reached=False)


def test_what_a_server_says_itself_does_not_lead_to_rest() -> None:
    world = World().begin()
    for _ in range(6):
        asked = world.next_open()
        assert asked.kind is Kind.WEBSOCKET
        world.lose(asked.link, 4503)


def test_if_rest_fails_as_well_tries_alternate() -> None:
    world = World(policy=Policy(fallback_after=1)).begin()
    tried = []
    for _ in range(5):
        asked = world.next_open()
        tried.append(asked.kind)
        world.lose(asked.link)
    assert tried == [Kind.WEBSOCKET, Kind.REST, Kind.WEBSOCKET, Kind.REST, Kind.WEBSOCKET]


def on_rest() -> tuple[World, int]:
    world = World(policy=Policy(fallback_after=1)).begin()
    world.lose(world.one(Open).link)
    world.wait(1)
    link = world.live()
    assert world.core.state.kind is Kind.REST
    return world, link


def test_from_rest_it_tries_websocket_again_ever_more_rarely() -> None:
    world, _ = on_rest()
    waited = []
    for _ in range(6):
        began = world.now
        world.lose(world.next_open(2000).link, 1006, "HTTP 403")
        waited.append((world.now - began) / 60)
        assert (world.phase(), world.core.state.kind) == (Phase.ONLINE, Kind.REST)
    assert waited == [1, 2, 4, 8, 16, 16]


def test_back_on_websocket_it_lets_go_of_rest() -> None:
    world, rest = on_rest()
    new = world.next_open().link
    world.core.opened(new, world.now)
    world.hear(new, welcome(continued=True))
    assert world.one(Close) == Close(rest, 1001, "moved to another connection")
    assert world.core.state.kind is Kind.WEBSOCKET
    world.lose(new)
    world.wait(1)
    assert kinds(world.take(Open)) == [Kind.WEBSOCKET]


def test_a_client_may_be_told_to_use_one_transport_only() -> None:
    world = World(policy=Policy(fallback_after=None)).begin()
    for _ in range(6):
        asked = world.next_open()
        assert asked.kind is Kind.WEBSOCKET
        world.lose(asked.link)
    world = World(policy=Policy(fallback_after=0, upgrade=None)).begin()
    assert world.open().kind is Kind.REST
    world.hear(1, welcome())
    world.wait(20)
    assert world.take(Open) == []
