"""What each address, user and service may have, and what whoever wants more is told."""

from __future__ import annotations

import pytest

from application.kit import ANN, BOB, EVE, Client, World
from presence_protocol.messages import (
    Activity,
    Auth,
    Bye,
    Error,
    Hello,
    Ok,
    Ping,
    Pong,
    Query,
    SetStatus,
    Snapshot,
    Watch,
)
from presence_server.application.allowances import AddressAllowance, Allowance, Allowances, TooMuch, network_of
from presence_server.application.ceilings import Ceilings
from presence_server.application.keys import PLAIN, StringKeys
from presence_server.application.principals import Principal, trusted
from support.who import ByTable

NOTHING = AddressAllowance()
UNLIMITED = Allowance()
USERS = ByTable({"ann": Principal("ann", ANN), "bob": Principal("bob", BOB), "service": trusted("service")})


def allowances(user: Allowance, service: Allowance = UNLIMITED, burst: float = 1.0) -> Allowances:
    return Allowances(user, service, NOTHING, burst, PLAIN)


def ann(world: World, device: str = "web", **more: object) -> Client:
    return world.connect(ANN, device, token="ann", **more)


def only_error(told: list[object]) -> Error:
    (error,) = told
    assert isinstance(error, Error), told
    return error


def test_a_message_too_many_is_refused_by_name_and_not_acted_on() -> None:
    world = World(authenticator=USERS, allowances=allowances(Allowance(messages=3)))
    client = ann(world)
    client.take()
    assert [type(client.say(Ping(id=number))[0]) for number in (1, 2)] == [Pong, Pong]  # hello was one
    error = only_error(client.say(SetStatus(status="BUSY", id=7)))
    assert (error.code, error.error, error.id) == (429, "too_many_requests", 7)
    assert error.details is not None
    assert error.details[0].field == "user_messages"
    assert error.retry_after_ms == 333
    assert world.entry(ANN).status == "ONLINE"
    world.wait(0.4)
    assert isinstance(client.say(Ping(id=8))[0], Pong)


def test_whoever_goes_on_is_closed_and_its_device_comes_back_within_its_grace() -> None:
    world = World(authenticator=USERS, allowances=allowances(Allowance(messages=3)))
    client = ann(world)
    for _ in range(20):
        client.say(Ping())
    assert client.link.closed is not None
    assert client.link.closed[0] == 4529
    errors = client.take(Error)
    assert 1 <= len(errors) <= 12
    assert all(error.retry_after_ms for error in errors)
    again = ann(world)
    assert (again.take(Error)[0].code, again.link.closed[0]) == (429, 4529)  # type: ignore[index]
    world.wait(1.1)
    assert ann(world).link.closed is None


def test_all_connections_of_a_user_share_and_others_have_their_own() -> None:
    world = World(authenticator=USERS, allowances=allowances(Allowance(messages=4)))
    first, second, bob = ann(world), ann(world, "phone"), world.connect(BOB, token="bob")
    assert isinstance(first.say(Ping())[-1], Pong)
    assert isinstance(second.say(Ping())[-1], Pong)
    assert only_error(second.say(Ping())).code == 429
    assert isinstance(bob.say(Ping())[-1], Pong)


def test_services_have_their_own() -> None:
    world = World(authenticator=USERS, allowances=allowances(Allowance(messages=1), Allowance(messages=3)))
    client = world.connect(EVE, token="service")
    assert isinstance(client.say(Ping())[-1], Pong)
    client.say(Ping())
    error = only_error(client.say(Ping()))
    assert error.details is not None
    assert error.details[0].field == "service_messages"


@pytest.mark.parametrize(
    ("limit", "message"),
    [
        ("watches", Watch(user_ids=[BOB, EVE], id=1)),
        ("queries", Query(user_ids=[BOB, EVE], id=1)),
        ("statuses", SetStatus(status="BUSY", id=1)),
        ("statuses", Activity(idle=True, id=1)),
    ],
)
def test_each_kind_is_counted_by_what_it_asks_for(limit: str, message: Watch) -> None:
    world = World(authenticator=USERS, allowances=allowances(Allowance(**{limit: 2})))
    client = ann(world)
    client.take()
    told = [answer for _ in range(3) for answer in client.say(message)]
    errors = [answer for answer in told if isinstance(answer, Error)]
    assert errors
    assert not isinstance(told[0], Error)
    assert {error.details[0].field for error in errors if error.details} == {f"user_{limit}"}
    assert world.hub.allowances is not None
    assert world.hub.allowances.refused()[f"user_{limit}"] == len(errors)


def test_a_list_in_hello_counts_as_a_watch() -> None:
    world = World(authenticator=USERS, allowances=allowances(Allowance(watches=2)))
    assert ann(world, watch=[BOB, EVE]).link.closed is None
    again = ann(world, "phone", watch=[BOB, EVE])
    (error,) = again.take(Error)
    assert (error.code, again.link.closed) == (429, (4529, f"user_watches: is used up; come back in {1000} ms"))


def test_connections_at_once_are_counted_and_given_back() -> None:
    world = World(authenticator=USERS, allowances=allowances(Allowance(connections=2)))
    first, second = ann(world, "a"), ann(world, "b")
    third = ann(world, "c")
    assert third.link.closed is not None
    assert third.link.closed[0] == 4529
    assert third.take(Error)[0].retry_after_ms == 5000
    first.lose()
    assert ann(world, "d").link.closed is None
    assert second.link.closed is None


def test_a_new_token_is_no_new_connection() -> None:
    world = World(authenticator=USERS, allowances=allowances(Allowance(connections=1)))
    client = ann(world)
    client.take()
    assert isinstance(client.say(Auth(token="ann", id=1))[0], Ok)
    client.lose()
    assert ann(world).link.closed is None


def test_to_leave_is_always_allowed() -> None:
    world = World(authenticator=USERS, allowances=allowances(Allowance(messages=1)))
    client = ann(world)
    client.say(Bye())
    assert client.link.closed == (1000, "bye")


# -- what all together have ------------------------------------------------------------------------------------------


def test_edges_beyond_the_ceiling_are_refused_and_those_that_are_there_stay() -> None:
    world = World(ceilings=Ceilings(max_edges=2))
    client = world.connect(ANN, watch=[BOB])
    client.take()
    error = only_error(client.say(Watch(user_ids=[EVE, 77], id=4)))
    assert (error.code, error.error, error.id, error.retry_after_ms) == (503, "unavailable", 4, 5000)
    assert isinstance(client.say(Watch(user_ids=[EVE], id=5))[0], Snapshot)
    assert world.interest.edges == 2
    welcomed = world.connect(EVE, watch=[ANN])
    assert welcomed.link.closed is None
    assert welcomed.take(Error)[0].details[0].field == "max_edges"  # type: ignore[index]


def test_watchers_of_one_user_are_bounded() -> None:
    world = World(ceilings=Ceilings(max_watchers=2))
    for user in (1, 2):
        world.connect(100 + user, watch=[BOB])
    client = world.connect(ANN)
    client.take()
    error = only_error(client.say(Watch(user_ids=[BOB], id=4)))
    assert (error.code, error.error) == (429, "too_many_requests")
    assert error.details is not None
    assert error.details[0].field == "max_watchers"


def test_short_of_memory_nobody_new_is_taken_on() -> None:
    world = World(ceilings=Ceilings(max_memory=1000))
    client = world.connect(ANN)
    client.take()
    world.hub.ceilings.observe_memory(1001)
    refused = world.connect(BOB)
    assert (refused.take(Error)[0].code, refused.link.closed[0]) == (503, 4503)  # type: ignore[index]
    assert only_error(client.say(Watch(user_ids=[EVE], id=1))).code == 503
    assert isinstance(client.say(Ping())[0], Pong)
    world.hub.ceilings.observe_memory(990)  # just below is not enough
    assert world.connect(BOB).link.closed is not None
    world.hub.ceilings.observe_memory(900)
    assert world.connect(BOB).link.closed is None


# -- words -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("address", "network"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:db8:1:2::1", "2001:db8:1:2::/64"),
        ("2001:db8:1:3::1", "2001:db8:1:3::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("a socket", "a socket"),
    ],
)
def test_addresses_count_as_networks(address: str, network: str) -> None:
    assert network_of(address) == network


def test_when_to_come_back_is_at_least_a_second_in_the_header() -> None:
    assert [TooMuch("x", wait).retry_after for wait in (0.01, 1.0, 1.2, 9.99)] == ["1", "1", "2", "10"]
    assert TooMuch("x", 0.0001).retry_after_ms == 1


def test_an_address_has_a_bucket_for_each_kind() -> None:
    one = Allowances(Allowance(), Allowance(), AddressAllowance(1, 2, 3), 1.0, PLAIN)
    for name, most in (("connections", 1), ("handshakes", 2), ("requests", 3)):
        told = [one.address(name, "2001:db8::1", 0.0) for _ in range(most)]
        assert told == [None] * most
        over = one.address(name, "2001:db8::ffff", 0.0)
        assert over is not None
        assert over.limit == f"address_{name}"
        assert one.address(name, "2001:db8:0:1::1", 0.0) is None


def test_hello_is_needed_for_a_purse() -> None:
    world = World(authenticator=USERS, allowances=allowances(Allowance(messages=1)))
    client = world.client().open()
    client.say(Hello(user_id=ANN, device_id="d", platform="WEB", token="nobody"))
    assert client.link.closed is not None
    assert client.link.closed[0] == 4401


def test_a_user_whose_id_is_a_string_pays_as_users_do_and_never_from_a_service() -> None:
    kept = Allowances(Allowance(messages=1), UNLIMITED, NOTHING, 1.0, StringKeys())
    user, service = Principal("user crm", "crm"), trusted("crm")
    assert kept.purse(user) is not kept.purse(service)
    assert kept.purse(user).message(0.0) is None
    assert kept.purse(user).message(0.0) is not None
    assert kept.purse(service).message(0.0) is None


def test_purses_are_bounded_and_those_of_the_connected_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("presence_server.application.allowances.MAX_BUCKETS", 3)
    kept = allowances(Allowance(messages=1, connections=1))
    connected = kept.purse(Principal("ann", ANN))
    assert connected.connect() is None
    for user_id in range(1, 50):
        kept.purse(Principal("", user_id))
    assert kept.purse(Principal("ann", ANN)) is connected
    assert kept.purse(Principal("ann", ANN)).connect() is not None
    connected.disconnect()
    for user_id in range(1, 50):
        kept.purse(Principal("", user_id))
    assert kept.purse(Principal("ann", ANN)) is not connected
