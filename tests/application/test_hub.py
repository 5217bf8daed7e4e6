"""Sessions from hello to their end, what each message does, and what a sweep brings."""

from __future__ import annotations

import pytest

from application.engines import BOOT
from application.kit import ANN, BOB, EVE, TICK, Client, World
from presence_protocol.close_codes import CloseCode
from presence_protocol.errors import FieldError, InvalidMessage
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
    Reconnect,
    SelfChanged,
    SetStatus,
    Snapshot,
    Statuses,
    Unwatch,
    Watch,
    Welcome,
)
from presence_server.application.hub_limits import HubLimits
from presence_server.application.principals import Denied, Principal
from presence_server.application.privacy import LastSeen
from presence_server.domain.lenses import Lens
from presence_server.domain.model import Status
from presence_server.domain.shared import Lifetimes
from support.who import ByRule, ByTable


def shown(world: World, user_id: int = ANN) -> str:
    return world.entry(user_id).status


def only(client: Client) -> object:
    (message,) = client.take()
    return message


def shy() -> ByRule:
    """Nobody but herself may see Eve."""
    return ByRule(lambda _viewer, user_id: Lens.HIDDEN if user_id == EVE else Lens.FULL)


# -- hello -----------------------------------------------------------------------------------------------------------


def test_welcome_says_all_that_a_client_needs() -> None:
    welcome = only(World().connect(ANN, id=7))
    assert isinstance(welcome, Welcome)
    assert (welcome.id, welcome.continued, welcome.resumed) == (7, False, False)
    assert welcome.server_time == "2025-11-09T15:00:00Z"
    assert welcome.session_id
    assert welcome.self_ is not None
    assert (welcome.self_.user_id, welcome.self_.status, welcome.self_.override) == (ANN, "ONLINE", None)
    assert [(device.device_id, device.idle) for device in welcome.self_.devices] == [("web", False)]
    limits = welcome.limits
    assert (limits.ping_interval, limits.pong_timeout, limits.max_watched) == (25_000, 10_000, 5_000)
    assert (limits.max_message, limits.max_batch) == (262_144, 1_000)


def test_with_a_watch_list_a_snapshot_follows_without_the_id() -> None:
    world = World()
    world.online(BOB)
    welcome, snapshot = world.connect(ANN, watch=[BOB, EVE], id=7).take()
    assert isinstance(welcome, Welcome)
    assert isinstance(snapshot, Snapshot)
    assert snapshot.id is None
    assert [(entry.user_id, entry.status) for entry in snapshot.statuses] == [(BOB, "ONLINE"), (EVE, "OFFLINE")]
    assert snapshot.cursor == world.fanout.cursor


def test_an_empty_watch_list_gets_an_empty_snapshot_with_a_cursor() -> None:
    _, snapshot = World().connect(ANN, watch=[]).take()
    assert isinstance(snapshot, Snapshot)
    assert (snapshot.statuses, snapshot.more) == ([], False)
    assert snapshot.cursor


def test_an_observer_has_no_self_and_may_only_watch_and_ask() -> None:
    world = World()
    client = world.connect(watch=[ANN])
    assert client.take(Welcome)[0].self_ is None
    for message in (SetStatus(status="BUSY", id=1), Activity(idle=True, id=2)):
        (error,) = client.say(message)
        assert isinstance(error, Error)
        assert (error.code, error.error, error.id) == (403, "forbidden", message.id)
    assert world.hub.statistics().observers == 1


def test_a_hello_may_come_idle_and_with_a_status() -> None:
    world = World()
    world.connect(ANN, idle=True, idle_for_ms=60_000)
    assert (shown(world), world.entry(ANN).last_active_time) == ("AWAY", "2025-11-09T14:59:00Z")
    world.connect(BOB, status="BUSY")
    assert shown(world, BOB) == "BUSY"


def test_a_second_hello_is_refused_and_the_session_goes_on() -> None:
    client = World().connect(ANN)
    (error,) = client.say(Hello(user_id=ANN, device_id="web", platform="WEB", id=3))
    assert isinstance(error, Error)
    assert (error.code, error.error, error.id) == (400, "already_greeted", 3)
    assert isinstance(client.say(Ping(id=4))[0], Pong)


def test_anything_before_hello_ends_the_connection() -> None:
    world = World()
    client = world.client().open()
    client.say(Ping())
    assert client.link.closed is not None
    assert client.link.closed[0] == CloseCode.MALFORMED
    assert client.say(Ping()) == []
    assert world.hub.statistics().sessions == 0


@pytest.mark.parametrize(("status", "code"), [(401, 4401), (403, 4403), (503, 4503)])
def test_who_is_not_let_in_is_told_why(status: int, code: int) -> None:
    door = ByTable({"key": Principal("user", ANN)}, Denied(status, "needs a key"))
    world = World(authenticator=door)
    assert world.connect(ANN).link.closed == (code, "Authorization: needs a key")
    assert world.connect().link.closed == (code, "Authorization: needs a key")
    assert [wanted.user_id for _, _, wanted in door.asked] == [ANN, None]
    assert world.connect(ANN, token="key").link.closed is None
    assert world.table.statistics().devices == 1


def test_a_hello_that_watches_too_many_is_refused_as_a_whole() -> None:
    world = World(limits=HubLimits(max_watched=2))
    client = world.connect(ANN, watch=[1, 2, 3])
    assert client.link.closed is not None
    assert client.link.closed[0] == CloseCode.MALFORMED
    assert "too_many_watched" in client.link.closed[1]
    assert shown(world) == "OFFLINE"
    assert world.connect(ANN, watch=[1, 2, 2, 1]).is_up


def test_a_wrong_message_is_answered_but_a_wrong_hello_ends_the_connection() -> None:
    world = World()
    failure = InvalidMessage("invalid_request", [FieldError("userIds", "is required")], 5)
    client, newcomer = world.connect(ANN), world.client().open()
    client.take()
    world.hub.refuse(client.session, failure, world.now)
    error = only(client)
    assert isinstance(error, Error)
    assert (error.id, error.code, error.error) == (5, 400, "invalid_request")
    world.hub.refuse(newcomer.session, failure, world.now)
    assert newcomer.link.closed == (4400, "not a valid hello: userIds: is required")
    world.hub.refuse(newcomer.session, failure, world.now)
    assert newcomer.take() == []


def test_what_is_no_message_ends_the_connection_once() -> None:
    world = World()
    client = world.connect(ANN)
    for _ in range(2):
        world.hub.fail(client.session, CloseCode.MALFORMED, "not json", world.now)
    assert client.link.closed == (4400, "not json")


# -- resuming --------------------------------------------------------------------------------------------------------


def test_a_cursor_brings_only_what_changed_and_the_device_goes_on() -> None:
    world = World()
    world.online(BOB)
    client = world.connect(ANN, watch=[BOB, EVE])
    client.lose()
    world.online(EVE)
    client.take()
    world.clock.time += 5
    client.open().hello(ANN)
    welcome, snapshot = client.take()
    assert isinstance(welcome, Welcome)
    assert isinstance(snapshot, Snapshot)
    assert (welcome.resumed, welcome.continued) == (True, True)
    assert [entry.user_id for entry in snapshot.statuses] == [EVE]
    world.check_converged()


@pytest.mark.parametrize("cursor", ["", "garbage", "f.1", "e.fffffffffffff", "e.-1", "e.0.digest"])
def test_a_cursor_that_is_not_covered_brings_everything(cursor: str) -> None:
    world = World()
    client = world.connect(ANN, watch=[BOB, EVE], cursor=cursor)
    welcome, snapshot = client.take()
    assert isinstance(welcome, Welcome)
    assert isinstance(snapshot, Snapshot)
    assert not welcome.resumed
    assert len(snapshot.statuses) == 2


def test_who_may_not_be_seen_looks_never_heard_of_on_every_path() -> None:
    world = World(visibility=shy())
    world.online(EVE)
    world.online(BOB)
    client = world.connect(ANN, watch=[EVE, BOB])
    assert [entry.version > 0 for entry in client.take(Snapshot)[0].statuses] == [True, False]  # Bob, Eve
    (answer,) = client.say(Query(user_ids=[EVE, BOB, EVE], id=1))
    assert isinstance(answer, Statuses)
    assert [(entry.user_id, entry.status) for entry in answer.statuses] == [
        (EVE, "OFFLINE"),
        (BOB, "ONLINE"),
        (EVE, "OFFLINE"),
    ]
    client.take()
    world.override(Status.BUSY, EVE)
    world.flush()
    assert client.take() == []
    (own,) = world.connect(EVE, watch=[EVE]).take(Snapshot)
    assert own.statuses[0].status == "BUSY"


# -- the end of a session --------------------------------------------------------------------------------------------


def test_a_newer_connection_of_the_device_replaces_the_older_whose_end_ends_nothing() -> None:
    world = World()
    watcher = world.connect(watch=[ANN])
    older = world.connect(ANN)
    world.flush()
    watcher.take()
    newer = world.connect(ANN)
    assert older.link.closed is not None
    assert older.link.closed[0] == CloseCode.REPLACED
    (welcome,) = newer.take()
    assert isinstance(welcome, Welcome)
    assert welcome.continued
    world.hub.lost(older.session, 1006, world.now)
    world.wait(20)
    assert shown(world) == "ONLINE"
    assert watcher.take() == []


def test_bye_ends_the_device_at_once() -> None:
    world = World()
    client = world.connect(ANN)
    client.say(Bye(id=1))
    assert client.link.closed == (1000, "bye")
    assert shown(world) == "OFFLINE"


@pytest.mark.parametrize("code", [1000, 1005, 4403, 4410])
def test_a_deliberate_end_is_the_devices(code: int) -> None:
    world = World()
    world.connect(ANN).lose(code)
    assert shown(world) == "OFFLINE"


@pytest.mark.parametrize("code", [1001, 1006, 1009, 1011, 4400, 4508])
def test_any_other_end_leaves_a_grace_period(code: int) -> None:
    world = World()
    world.connect(ANN).lose(code)
    world.wait(9.5)
    assert shown(world) == "ONLINE"
    world.wait(1)
    assert shown(world) == "OFFLINE"


def test_the_back_end_may_end_a_device_and_its_connection() -> None:
    world = World()
    client = world.connect(ANN)
    world.offline(ANN, "web")
    assert client.link.closed == (4410, "ended by the back end")
    assert shown(world) == "OFFLINE"
    world.check_empty()


def test_one_device_too_many_ends_the_oldest() -> None:
    world = World(lifetimes=Lifetimes(max_devices=2))
    first, second, third = (world.connect(ANN, name) for name in ("a", "b", "c"))
    assert first.link.closed == (4411, "too many devices")
    assert second.is_up
    assert third.is_up


# -- self ------------------------------------------------------------------------------------------------------------


def test_the_truth_goes_to_all_sessions_of_the_user_whenever_it_changes() -> None:
    world = World()
    web, phone, other = world.connect(ANN), world.connect(ANN, "phone"), world.connect(BOB)
    for client in (web, phone, other):
        client.take()
    web.say(SetStatus(status="OFFLINE"))
    assert [told.status for told in web.take(SelfChanged)] == ["OFFLINE"]
    (told,) = phone.take(SelfChanged)
    assert told.override is not None
    assert told.override.status == "OFFLINE"
    assert [device.device_id for device in told.devices] == ["web", "phone"]
    assert other.take() == []


def test_the_one_just_welcomed_is_not_told_again() -> None:
    world = World()
    web = world.connect(ANN)
    web.take()
    phone = world.connect(ANN, "phone")
    assert [type(message) for message in phone.take()] == [Welcome]
    assert [type(message) for message in web.take()] == [SelfChanged]


def test_what_changes_nothing_tells_nothing() -> None:
    client = World().connect(ANN)
    client.take()
    client.say(Activity(idle=False))
    client.say(SetStatus(status=None))
    assert client.take() == []


# -- messages --------------------------------------------------------------------------------------------------------


def test_each_request_with_an_id_gets_one_reply_with_it_and_ok_needs_one() -> None:
    client = World().connect(ANN)
    client.take()
    for message, reply in (
        (Watch(user_ids=[BOB], id=1), Snapshot),
        (Unwatch(user_ids=[BOB], id=2), Ok),
        (SetStatus(status="BUSY", id=3), Ok),
        (Activity(idle=True, id=4), Ok),
        (Query(user_ids=[BOB], id=5), Statuses),
        (Ping(id=6), Pong),
    ):
        replies = [answer for answer in client.say(message) if answer.id is not None]
        assert [(type(answer), answer.id) for answer in replies] == [(reply, message.id)]
    client.take()
    for quiet in (Unwatch(user_ids=[BOB]), Activity(idle=True)):
        assert client.say(quiet) == []
    assert [answer.id for answer in client.say(Ping())] == [None]


def test_a_status_has_a_text_and_an_end() -> None:
    world = World()
    client = world.connect(ANN)
    client.say(SetStatus(status="BUSY", until="2025-11-09T15:00:30Z", status_text="lunch"))
    assert (shown(world), world.entry(ANN).status_text) == ("BUSY", "lunch")
    world.wait(31)
    assert shown(world) == "ONLINE"
    assert client.take(SelfChanged)[-1].override is None
    client.say(SetStatus(status="BUSY", status_text=""))
    assert world.entry(ANN).status_text is None


@pytest.mark.parametrize(
    ("until", "reason"), [("2025-11-09T15:00:00Z", "later than now"), ("2026-11-11T00:00:00Z", "a year")]
)
def test_an_end_that_is_past_or_too_far_is_refused(until: str, reason: str) -> None:
    world = World()
    (error,) = world.connect(ANN).say(SetStatus(status="BUSY", until=until, id=1))
    assert isinstance(error, Error)
    assert (error.code, error.id) == (400, 1)
    assert error.details is not None
    assert error.details[0].field == "until"
    assert reason in error.details[0].reason
    assert shown(world) == "ONLINE"


def test_a_query_keeps_order_and_repeats_and_has_a_limit() -> None:
    world = World(limits=HubLimits(max_batch=3))
    world.online(BOB)
    client = world.connect(ANN)
    (answer,) = client.say(Query(user_ids=[BOB, ANN, BOB]))
    assert isinstance(answer, Statuses)
    assert [entry.user_id for entry in answer.statuses] == [BOB, ANN, BOB]
    (error,) = client.say(Query(user_ids=[1, 2, 3, 4], id=9))
    assert isinstance(error, Error)
    assert (error.code, error.error, error.id) == (400, "invalid_request", 9)


def test_inferred_idleness_lasts_until_any_message_but_a_ping() -> None:
    world = World(lifetimes=Lifetimes(away_after=5))
    client = world.connect(ANN)
    for message in (Watch(user_ids=[BOB]), Query(user_ids=[]), SetStatus(status=None), Activity(idle=False)):
        world.wait(5.5)
        assert shown(world) == "AWAY"
        client.say(Ping())
        assert shown(world) == "AWAY"
        client.say(message)
        assert shown(world) == "ONLINE"


def test_said_idleness_after_an_inferred_one_makes_nobody_look_back() -> None:
    world = World(lifetimes=Lifetimes(away_after=5))
    client = world.connect(ANN)
    world.wait(5.5)
    version = world.entry(ANN).version
    client.say(Activity(idle=True))
    assert world.entry(ANN).version == version


# -- an engine that answers later ------------------------------------------------------------------------------------


def test_nothing_is_said_or_read_until_the_engine_has_answered_the_hello() -> None:
    world = World(is_late=True)
    client = world.connect(ANN, watch=[BOB])
    client.say(Ping(id=1))
    assert client.take() == []
    world.late.answer_next()
    assert client.take() == []
    world.late.answer_next()
    world.turn()
    assert [type(message) for message in client.take()] == [Welcome, Snapshot, Pong]


def test_a_truth_that_changes_during_the_greeting_waits_for_welcome() -> None:
    world = World(is_late=True)
    client = world.connect(ANN, watch=[BOB])
    world.late.answer_next()
    world.override(Status.BUSY, ANN)
    world.late.waiting.pop().answer(True)
    world.turn()
    assert client.take() == []
    world.late.answer_all()
    world.turn()
    (welcome,) = client.take(Welcome)
    assert welcome.self_ is not None
    assert welcome.self_.status == "BUSY"


def test_what_the_engine_cannot_do_now_is_answered_so() -> None:
    world = World(is_late=True)
    refused = world.connect(ANN)
    world.late.answer_next(well=False)
    assert refused.link.closed == (4503, "not available now")
    world.late.answer_all()
    client = world.connect(BOB)
    world.late.answer_all()
    world.turn()
    client.take()
    for message in (SetStatus(status="BUSY", id=1), Query(user_ids=[ANN], id=2)):
        client.say(message)
        world.late.answer_next(well=False)
        error = only(client)
        assert isinstance(error, Error)
        assert (error.code, error.error, error.id) == (503, "unavailable", message.id)


def test_who_leaves_while_being_greeted_leaves_nothing_behind() -> None:
    world = World(is_late=True)
    client = world.connect(ANN, watch=[BOB])
    client.lose(1000)
    world.late.answer_all()
    later = world.connect(ANN, watch=[BOB])
    world.late.answer_next()
    later.lose(1000)
    world.late.answer_all()
    world.turn()
    assert shown(world) == "OFFLINE"
    world.check_empty()


def test_an_answer_is_not_overtaken_by_what_changes_after_it() -> None:
    """The engine answers outside of any of the hub's entries; the loop may flush before it hands anything out."""
    world = World(is_late=True)
    client = world.connect()
    client.say(Watch(user_ids=[ANN], id=1))
    client.view.watch([ANN], 1)
    world.late.answer_next()
    world.online(ANN)
    world.late.answer_next()
    world.fanout.step(world.now)
    world.turn()
    assert [type(message) for message in client.take()] == [Welcome, Snapshot, Diff]
    world.check_converged()


def test_one_that_waits_long_for_the_engine_is_not_taken_for_dead() -> None:
    world = World(is_late=True)
    client = world.connect(ANN)
    client.link.is_stopped = True  # it is not read from, so its pongs cannot be seen
    world.wait(60)
    assert client.is_up
    client.link.is_stopped = False
    world.late.answer_all()
    world.turn()
    assert client.take(Welcome)


def test_an_engine_that_cannot_tell_of_whom_one_may_see_is_answered_so_as_well() -> None:
    world = World(is_late=True, visibility=shy())
    client = world.connect()
    client.take()
    client.say(Query(user_ids=[EVE, BOB], id=1))
    world.late.answer_next(well=False)
    assert isinstance(only(client), Error)
    client.say(Ping())
    assert isinstance(only(client), Pong)
    client.lose()
    world.hub.handle(client.session, Ping(), world.now)
    assert client.take() == []


def test_a_truth_that_waits_for_its_slice_is_not_told_after_a_newer_one() -> None:
    world = World(slice_writes=1)
    web, phone = world.connect(ANN, "web"), world.connect(ANN, "phone")
    world.connect(BOB, watch=[ANN])
    world.flush()
    world.clock.time += 1
    web.say(SetStatus(status="BUSY"))
    world.fanout.step(world.now)
    assert world.fanout.is_under_way
    phone.take()
    phone.say(Activity(idle=True))
    world.flush()
    newest = phone.take(SelfChanged)[-1]
    assert [device.idle for device in newest.devices] == [False, True]


def test_a_truth_goes_out_with_the_diff_in_one_write() -> None:
    world = World()
    client = world.connect(ANN, watch=[ANN])
    world.flush()
    world.clock.time += 1
    client.link.raw.clear()
    client.say(SetStatus(status="BUSY"))
    world.flush()
    assert len(client.link.raw) == 1
    assert client.take(SelfChanged)[-1].status == client.status(ANN) == "BUSY"


# -- time ------------------------------------------------------------------------------------------------------------


def test_a_stall_before_the_first_sweep_ends_nobody_either() -> None:
    world = World(was_swept=False)
    world.online(ANN)  # by REST
    world.clock.time += 9 * 60
    world.sweep()
    assert world.table.presence(ANN).public.status is Status.ONLINE
    world.sweep()
    assert world.table.presence(ANN).public.status is Status.OFFLINE


def test_after_a_stall_sockets_are_read_before_anything_expires() -> None:
    world = World()
    client = world.connect(ANN)
    client.lose()
    world.wait(1)
    world.clock.time += 60
    world.sweep()
    assert shown(world) == "ONLINE"
    client.open().hello(ANN)
    world.wait(1)
    assert shown(world) == "ONLINE"


def test_of_sweeps_that_are_all_late_no_two_in_a_row_are_skipped() -> None:
    """Else whatever keeps the loop busy keeps the dead ONLINE."""
    world = World()
    world.connect(ANN).lose()
    for _ in range(11):  # the grace lasts ten seconds
        world.clock.time += 2
        world.sweep()
    assert shown(world) == "OFFLINE"


def test_who_does_not_say_hello_in_time_is_closed() -> None:
    world = World()
    client = world.client().open()
    world.wait(10 - TICK)
    assert client.is_up
    world.wait(2 * TICK)
    assert client.link.closed == (4504, "no hello in time")


def test_a_link_that_does_not_answer_pings_is_dropped_and_has_its_grace() -> None:
    world = World()
    client = world.connect(ANN)
    client.link.is_stopped = True
    world.wait(25 + 10 + 1)
    assert client.link.is_aborted
    assert shown(world) == "ONLINE"
    world.wait(10)
    assert shown(world) == "OFFLINE"


def test_one_that_is_blocked_too_long_is_closed() -> None:
    world = World()
    client = world.connect(ANN)
    client.link.stop()
    client.say(Ping())
    world.wait(29)
    assert client.is_up
    world.wait(2)
    assert client.link.closed == (4508, "too slow to read what is sent")


# -- draining --------------------------------------------------------------------------------------------------------


def test_draining_asks_everybody_to_connect_elsewhere_spread_out() -> None:
    world = World()
    clients = [world.connect(user_id) for user_id in range(1, 21)]
    newcomer = world.client().open()
    for client in clients:
        client.take()
    world.hub.drain(10)
    asked = [only(client) for client in clients]
    assert all(isinstance(message, Reconnect) and 0 <= message.after_ms <= 10_000 for message in asked)
    assert len({message.after_ms for message in asked if isinstance(message, Reconnect)}) > 10
    assert newcomer.take() == []
    newcomer.hello(ANN)
    assert newcomer.link.closed == (4503, "the server is draining")


def test_grace_does_not_run_out_while_draining_and_talk_goes_on() -> None:
    world = World()
    client, stays = world.connect(ANN), world.connect(BOB)
    world.hub.drain(10)
    client.lose(1001)
    world.wait(30)
    assert shown(world) == "ONLINE"
    assert isinstance(stays.say(Ping(id=1))[-1], Pong)
    world.hub.dismissals.close_all(CloseCode.SERVICE_RESTART, "the server ends", world.now)
    assert stays.link.closed == (1012, "the server ends")
    assert world.hub.statistics().sessions == 0


def test_one_that_is_greeted_while_draining_begins_is_asked_as_well() -> None:
    world = World(is_late=True)
    client = world.connect(ANN)
    world.hub.drain(10)
    world.late.answer_all()
    world.turn()
    assert [type(message) for message in client.take()] == [Welcome, Reconnect]


# -- to be read ------------------------------------------------------------------------------------------------------


def test_statistics_and_reprs_tell_what_is_there() -> None:
    world = World()
    client, observer = world.connect(ANN, watch=[BOB]), world.connect()
    assert repr(client.session) == f"<Session 1 {ANN}/web LIVE>"
    client.link.stop()
    world.online(BOB)
    world.flush()
    assert repr(client.session) == f"<Session 1 {ANN}/web LIVE behind>"
    assert repr(observer.session) == "<Session 2 observer LIVE>"
    statistics = world.hub.statistics()
    assert (statistics.sessions, statistics.observers, statistics.users_with_sessions) == (2, 1, 1)
    assert (statistics.behind, statistics.messages, statistics.changes) == (1, 2, 2)
    assert world.now == BOOT


def test_whoever_hides_when_they_were_last_seen_is_cut_off_when_they_are_erased() -> None:
    world = World()
    client = world.connect(ANN)
    assert world.hub.permissions.set_last_seen(ANN, LastSeen.NOBODY, world.now, world.told.append)
    assert world.hub.dismissals.erase(ANN, world.now, world.told.append) == 1
    assert client.link.closed == (4403, "the user was erased")
