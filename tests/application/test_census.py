"""Who comes and goes in a minute, and the peaks of a day, on clocks that the test moves; and what SDKs people use."""

from __future__ import annotations

from presence_server.application.census import DAY, Census, Peak
from presence_server.application.clients import Client, Clients

NOON = 20_000 * DAY + DAY // 2


def test_joins_and_leaves_are_those_of_the_last_minute() -> None:
    census = Census(5_000)
    assert census.in_a_minute(0, 0) == (0, 0)
    assert census.in_a_minute(3, 1) == (3, 1)  # before it has looked for the first time
    joined = left = 0
    for tick in range(3_000):  # five minutes, ten looks a second: one user joins each second, one leaves each five
        joined, left = tick // 10, tick // 50
        census.look(5_000 + tick / 10, NOON, 0, 0, joined, left)
    assert joined - 61 <= joined - census.in_a_minute(joined, left)[0] <= joined - 59
    assert 11 <= census.in_a_minute(joined, left)[1] <= 13
    census.look(10_000, NOON, 0, 0, joined, left)
    census.look(10_061, NOON, 0, 0, joined, left)
    assert census.in_a_minute(joined, left) == (0, 0)


def test_who_came_before_the_first_look_has_joined() -> None:
    census = Census(5_000)
    census.look(5_001.5, NOON, 3, 3, 3, 0)
    assert census.in_a_minute(3, 0) == (3, 0)


def test_a_peak_is_of_the_day_and_of_its_first_moment() -> None:
    census = Census(0)
    for second, users, connections in ((0, 3, 9), (1, 7, 5), (2, 7, 4), (3, 1, 1)):
        census.look(second, NOON + second, users, connections, 0, 0)
    peaks = census.peaks
    assert (peaks.users, peaks.connections) == (Peak(7, NOON + 1), Peak(9, NOON))
    assert peaks.day == 20_000 * DAY
    midnight = 20_001 * DAY
    census.look(50_000, midnight + 0.5, 2, 1, 0, 0)
    assert census.peaks == (midnight, Peak(2, midnight), Peak(1, midnight))


def named(clients: list[Client | None]) -> list[str]:
    return [client.name for client in clients if client is not None]


def test_a_user_counts_once_for_each_sdk_that_they_use() -> None:
    clients = Clients()
    held: list[Client | None] = []
    for name in ("presence-js/1", "presence-js/1", "presence-js/2", None):
        held.append(clients.joined(name, held))
    assert named(held) == ["presence-js/1", "presence-js/1", "presence-js/2", "unknown"]
    assert clients.by_name() == {"presence-js/1": 1, "presence-js/2": 1, "unknown": 1}
    assert clients.by_sdk() == {"presence-js": 2, "presence-python": 0, "other": 0, "unknown": 1}
    while held:
        clients.left(held.pop(0), held)
    assert clients.by_name() == {}
    clients.left(None, [])  # it had not joined


def test_names_are_bounded_and_those_that_nobody_uses_make_room() -> None:
    clients = Clients(most=2)
    held = [clients.joined(name, ()) for name in ("a/1", "b/1", "c/1", "a/1")]
    assert named(list(held)) == ["a/1", "b/1", "other", "a/1"]
    clients.left(held[1], ())
    assert clients.joined("c/1", ()).name == "c/1"
    assert clients.by_name() == {"a/1": 2, "c/1": 1, "other": 1}
    assert repr(held[0]) == "<Client a/1, 2 users>"
