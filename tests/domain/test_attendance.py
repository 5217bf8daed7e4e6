"""Who is there: counted as others see them, and page after page while they come and go."""

from __future__ import annotations

from random import Random

import pytest

from domain.scene import ANN, BOB, EVE, Scene
from presence_server.domain import attendance
from presence_server.domain.attendance import FIRST, Place
from presence_server.domain.model import Platform, Status, UserKey
from presence_server.domain.people import People, Reach
from presence_server.domain.table import PresenceTable, TableOfStrings
from presence_server.domain.transitions import Offline, Online


def pages(people: People, most: int, **wanted: object) -> list[UserKey]:
    """All users on the pages of one walk."""
    found: list[UserKey] = []
    place: Place | None = FIRST
    while place is not None:
        users, place = people.page(place, most, **wanted)  # type: ignore[arg-type]
        assert len(users) <= most
        found += [presence.user_id for presence in users]
    return found


def test_users_are_counted_as_others_see_them() -> None:
    scene = Scene()
    people = scene.table.people
    scene.connect(ANN, "web", Platform.WEB)
    scene.connect(ANN, "phone", Platform.IOS)
    scene.connect(BOB, "phone", Platform.IOS, idle=True)
    scene.connect(EVE, "pc", Platform.PC)
    scene.say(Status.OFFLINE, EVE)
    assert people.figures()[:2] == (2, 1)
    assert people.by_platform(Platform) == {"WEB": 1, "IOS": 2, "ANDROID": 0, "PC": 0}
    assert people.by_status() == {Status.ONLINE: 1, Status.AWAY: 1, Status.BUSY: 0, Status.OFFLINE: 1}
    assert (people.figures().joined, people.figures().left) == (3, 1)
    scene.clear(EVE)
    assert people.figures() == (3, 0, 4, 1)
    for user_id in (ANN, BOB, EVE):
        for device_id in ("web", "phone", "pc"):
            scene.offline(user_id, device_id)
    assert people.figures() == (0, 0, 4, 4)
    assert sum(people.by_platform(Platform).values()) == 0
    assert pages(people, 10) == []


def test_a_page_holds_who_fits() -> None:
    scene = Scene()
    for user_id in range(1, 101):
        platform = Platform.IOS if user_id % 2 else Platform.WEB
        scene.connect(user_id, "d", platform, idle=user_id % 5 == 0)
    people = scene.table.people
    assert sorted(pages(people, 7)) == list(range(1, 101))
    assert sorted(pages(people, 7, status=Status.AWAY)) == list(range(5, 101, 5))
    assert sorted(pages(people, 100, status=Status.AWAY, platform=Platform.IOS)) == list(range(5, 101, 10))
    assert pages(people, 7, status=Status.BUSY) == []
    last = people.page(FIRST, 100)
    assert (len(last.users), last.next) == (100, None)


@pytest.mark.parametrize("is_named", [False, True])
def test_whoever_is_there_throughout_is_met_once_whatever_happens_meanwhile(is_named: bool) -> None:
    random = Random(7)
    table = (TableOfStrings if is_named else PresenceTable)(shards=4)

    def key(number: int) -> UserKey:
        return f"user {number}" if is_named else number << 14  # alike in the bits that are lowest

    def online(number: int) -> None:
        table.apply(Online(key(number), "d", Platform.WEB, number), 0.0, 1e9)

    everybody, stayed = range(1, 400), set(range(1, 400))
    for number in everybody:
        online(number)
    met: list[UserKey] = []
    place: Place | None = FIRST
    while place is not None:
        users, place = table.people.page(place, 10)
        met += [presence.user_id for presence in users]
        for _ in range(5):
            number = random.choice(everybody)
            stayed.discard(number)
            table.apply(Offline(key(number), "d"), 0.0, 1e9)
            online(random.randrange(1, 1000))
    for number in stayed:
        assert met.count(key(number)) == 1
    assert 100 < len(stayed) < 390


def test_a_page_looks_at_so_many_and_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(attendance, "LOOKED_AT", 10)
    scene = Scene()
    for user_id in range(1, 96):
        scene.connect(user_id, idle=user_id == 50)
    place: Place | None = FIRST
    walked, found = 0, []
    while place is not None:
        users, place = scene.table.people.page(place, 100, Status.AWAY)
        found += [presence.user_id for presence in users]
        walked += 1
    assert (walked, found) == (10, [50])


# -- reach -----------------------------------------------------------------------------------------------------------


def test_reach_is_that_of_the_devices() -> None:
    scene = Scene()
    people = scene.table.people
    assert people.reach(ANN, True) == (ANN, Reach.NONE, (), None)
    web = scene.connect(ANN, "web")
    began = int(scene.utc)
    scene.wait(50)
    phone = scene.connect(ANN, "phone", Platform.IOS, idle=True)
    assert people.reach(ANN, False) == (ANN, Reach.ACTIVE, (Platform.WEB,), began)
    scene.say(Status.AWAY)
    assert people.reach(ANN, False).reach is Reach.ACTIVE, "what a person says moves nobody away from the device"
    scene.wait(50)
    scene.activity(web, idle=True)
    idle_since = int(scene.utc)
    assert people.reach(ANN, False) == (ANN, Reach.BACKGROUND, (Platform.WEB, Platform.IOS), idle_since)
    scene.leave(web)
    scene.leave(phone)
    assert people.reach(ANN, False) == (ANN, Reach.NONE, (), idle_since)


def test_the_invisible_are_as_those_who_left_unless_one_may_see_all() -> None:
    scene = Scene()
    people = scene.table.people
    scene.connect(ANN)
    scene.wait(5)
    scene.say(Status.OFFLINE)
    before = people.reach(ANN, False)
    assert (before.reach, before.platforms) == (Reach.NONE, ())
    assert people.reach(ANN, True).reach is Reach.ACTIVE
    scene.wait(60)
    scene.online(ANN)
    assert people.reach(ANN, False) == before, "nothing moves"
