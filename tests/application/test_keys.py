"""User ids as the tables know them: what clients choose costs what anything else would."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from itertools import islice
from random import Random
from time import process_time

import msgspec
import pytest

from application.kit import PLAIN, World
from presence_protocol.codec import MSGPACK
from presence_protocol.errors import MalformedMessage
from presence_protocol.large import LARGE
from presence_protocol.limits import MAX_USER_ID
from presence_protocol.messages import Error, Ping, Snapshot, StatusEntry, Unwatch, Watch, Welcome
from presence_protocol.user_ids import UserId
from presence_protocol.view import apply_snapshot
from presence_server.application.hub_limits import HubLimits
from presence_server.application.keys import UserKeys
from presence_server.domain.model import Status, UserKey
from support.collisions import colliding
from support.frames import frames_of

MANY = 20_000
HARMLESS = 4.0
"""How many times what random integers cost is still work that grows with their number. Collisions cost 100 times."""


def keys(seed: int = 1) -> UserKeys:
    return UserKeys.drawn(Random(seed))


def at_random(count: int, below: int = 1 << 27) -> list[int]:
    random = Random(2)
    return [random.randrange(1, below) for _ in range(count)]


def cost(act: Callable[[], object]) -> float:
    """Seconds of processor time."""
    began = process_time()
    act()
    return process_time() - began


def times_dearer(one: Callable[[], object], other: Callable[[], object], rounds: int = 5) -> float:
    """How many times what `other` costs `one` does.

    The least of some rounds, in each of which both are done one after the other: a busy machine slows both, or spoils
    one round. What is dear for its own sake is so in every round.
    """
    return min(cost(one) / cost(other) for _ in range(rounds))


def dear(act: Callable[[list[int]], object], chosen: list[int], rounds: int = 5) -> float:
    """How many times what random integers cost the chosen ones do."""
    random = at_random(len(chosen))
    return times_dearer(lambda: act(chosen), lambda: act(random), rounds)


# -- what keys are ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("user_id", [1, 2, 10001, 2**30, 2**31 + 1, MAX_USER_ID - 1, MAX_USER_ID])
def test_an_id_comes_back_from_its_key(user_id: int) -> None:
    drawn = keys()
    assert drawn.user_id(drawn.key(user_id)) == user_id
    assert drawn.key(user_id) != user_id
    assert drawn.keys([user_id, 7, user_id]) == [drawn.key(user_id), drawn.key(7), drawn.key(user_id)]


def test_no_user_is_nobody_as_a_key_as_well() -> None:
    assert keys().key(0) == keys().user_id(0) == 0


def test_each_server_draws_its_own() -> None:
    assert len({UserKeys.drawn(Random(seed)).key(1) for seed in range(100)}) == 100


@pytest.mark.parametrize("repeats", [1, 2, 30, 5_000])
def test_repeats_count_once_however_many_there_are(repeats: int) -> None:
    drawn = keys()
    user_ids = [3, 1, 2] * repeats
    assert drawn.distinct(user_ids, 3) == drawn.keys([3, 1, 2])
    assert drawn.distinct(user_ids, 2) is None


def test_a_list_is_given_up_at_its_limit() -> None:
    class Told(Sequence[int]):
        read = 0

        def __len__(self) -> int:
            return 100_000

        def __getitem__(self, index: int) -> int:  # type: ignore[override]
            Told.read = index
            return index + 1

    assert keys().distinct(Told(), 5_000) is None
    assert Told.read < 5_300


def test_a_long_list_of_repeats_is_looked_at_for_so_long_and_no_longer() -> None:
    class Counted(UserKeys):
        told = 0

        def keys(self, user_ids: Iterable[UserId]) -> list[UserKey]:
            found = super().keys(user_ids)
            Counted.told += len(found)
            return found

    counted = Counted(3)
    round_and_round = [number % 5_000 + 1 for number in range(131_000)]
    assert counted.distinct(round_and_round[:20_000], 5_000) == counted.keys(range(1, 5_001))
    Counted.told = 0
    assert counted.distinct(round_and_round, 5_000) is None
    assert Counted.told < 20_300
    assert counted.distinct([1] * 131_000, 5_000) == counted.keys([1])
    Counted.told = 0
    assert counted.distinct([1] * 262_000, 5_000) is None
    assert Counted.told == 0


# -- what was chosen costs what anything else does ---------------------------------------------------------------------


def fill(found: Iterable[int]) -> None:
    dict.fromkeys(found)
    set(found)


def test_integers_that_collide_are_dear_as_they_are() -> None:
    """Or else the tests below could not fail."""
    assert dear(fill, colliding(MANY), 3) > 3 * HARMLESS


@pytest.mark.parametrize("seed", range(5))
def test_ids_that_collide_do_not_as_keys(seed: int) -> None:
    drawn = keys(seed)
    assert dear(lambda ids: fill(drawn.keys(ids)), colliding(MANY)) < HARMLESS


@pytest.mark.parametrize("step", [1, 64, 2**13, 2**16, 2**20, 2**27, 2**30, 2**36, 3 * 2**20, 2**20 - 1, 5**9])
def test_ids_that_are_alike_cost_little_more_as_keys(step: int) -> None:
    drawn = keys()
    alike = list(islice(range(step, MAX_USER_ID, step), MANY))
    assert dear(lambda ids: fill(drawn.keys(ids)), alike) < HARMLESS


def watching(ids: list[int], keys: UserKeys) -> None:
    """Twice the same; past the client, whose own tables hold ids as they are."""
    world = World(limits=HubLimits(max_watched=2 * MANY), keys=keys)
    client = world.connect(watch=[1])
    session, link = client.session, client.link
    for id in (1, 2):
        link.raw.clear()
        world.hub.handle(session, Watch(user_ids=ids, id=id), world.now)
        while session.can_go_on:
            world.hub.go_on(session, world.now)
        parts = [session.codec.decode_server(payload) for frame in link.raw for _, payload in frames_of(frame)]
        assert [entry.user_id for part in parts if isinstance(part, Snapshot) for entry in part.statuses] == ids


def test_a_watch_of_ids_that_collide_costs_what_one_of_others_does() -> None:
    chosen, random = colliding(MANY), list(dict.fromkeys(at_random(2 * MANY)))[:MANY]
    drawn = keys()
    assert times_dearer(lambda: watching(chosen, drawn), lambda: watching(random, drawn), 3) < HARMLESS
    assert times_dearer(lambda: watching(chosen, PLAIN), lambda: watching(random, drawn), 1) > 2, "what this is to find"


def test_clients_see_ids_and_never_keys() -> None:
    world = World(keys=keys())
    ann, bob = 10001, MAX_USER_ID
    watcher = world.connect(watch=[bob, ann, bob])
    welcome, snapshot = watcher.take()
    assert isinstance(welcome, Welcome)
    assert isinstance(snapshot, Snapshot)
    assert [entry.user_id for entry in snapshot.statuses] == [ann, bob]
    other = world.connect(bob, watch=[ann])
    welcome = other.take(Welcome)[0]
    assert welcome.self_ is not None
    assert welcome.self_.user_id == bob
    world.flush()
    assert watcher.status(bob) == "ONLINE"


@pytest.mark.parametrize("kind", [Watch, Unwatch])
def test_a_list_of_too_many_ids_is_refused(kind: type[Watch | Unwatch]) -> None:
    world = World(limits=HubLimits(max_watched=10))
    client = world.connect(watch=[1, 2])
    client.take()
    (refused,) = client.say(kind(user_ids=[*range(1, 12)] * 2, id=1))
    assert isinstance(refused, Error)
    assert refused.code == 400
    (done,) = client.say(kind(user_ids=[1, 2] * 30, id=2))
    assert not isinstance(done, Error)


# -- what else is keyed by what a peer says --------------------------------------------------------------------------


@pytest.mark.parametrize("many", [1_000, MANY], ids=["small", "large"])
def test_a_map_with_keys_that_collide_is_never_built(many: int) -> None:
    """A small message with one is refused; in a large one, what nobody asked for is passed over."""

    def ping(keys: list[int]) -> bytes:
        return msgspec.msgpack.encode({"type": "ping", "x": {"y": dict.fromkeys(keys)}})

    def read(data: bytes) -> None:
        if len(data) > LARGE:
            assert MSGPACK.decode_client(data) == Ping()
        else:
            with pytest.raises(MalformedMessage, match="key"):
                MSGPACK.decode_client(data)

    collide, random = ping(colliding(many)), ping(at_random(many))
    assert (len(collide) > LARGE) is (many == MANY)
    assert times_dearer(lambda: read(collide), lambda: read(random)) < HARMLESS


def test_a_server_that_names_whom_nobody_asked_for_costs_no_more_than_its_bytes() -> None:
    def fold(ids: list[int]) -> None:
        apply_snapshot({}, [StatusEntry(user_id, Status.OFFLINE.value, [], None, 0) for user_id in ids], [1, 2])

    assert dear(fold, colliding(MANY)) < HARMLESS
