"""What changes who may see whom, and who tries to see more than that."""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import Final

from presence_protocol.messages import StatusEntry
from presence_protocol.user_ids import UserId
from presence_server.application.privacy import LastSeen
from simulator.clients import Client
from simulator.permissions import Permissions
from simulator.world import World

STAYS: Final = 3.0
"""Seconds after which whoever came with the cursor of another leaves."""


class Thief(Client):
    """Comes with a cursor that somebody else was given, and holds what they held: what it is promised is nothing."""

    def _check(self) -> None:
        """It lies, so its view is its own affair."""


def _somebody(world: World, random: Random) -> UserId:
    return world.people.of(random.randrange(world.scenario.users))


def _some(world: World, random: Random, share: float) -> list[UserId]:
    return [world.people.of(number) for number in range(world.scenario.users) if random.random() < share]


def _put_contacts(world: World, permissions: Permissions, random: Random) -> None:
    members = _some(world, random, random.choice((0.0, 0.3, 0.8)))
    permissions.put_contacts(_somebody(world, random), members, random.random() < 0.5)


def _patch_contacts(world: World, permissions: Permissions, random: Random) -> None:
    add, remove = _some(world, random, 0.2), _some(world, random, 0.2)
    permissions.patch_contacts(_somebody(world, random), add, remove, random.random() < 0.5)


def _put_blocks(world: World, permissions: Permissions, random: Random) -> None:
    permissions.put_blocks(_somebody(world, random), _some(world, random, random.choice((0.0, 0.0, 0.3))))


def _patch_blocks(world: World, permissions: Permissions, random: Random) -> None:
    permissions.patch_blocks(_somebody(world, random), _some(world, random, 0.1), _some(world, random, 0.3))


def _privacy(world: World, permissions: Permissions, random: Random) -> None:
    permissions.set_privacy(_somebody(world, random), random.choice(list(LastSeen)))


def _say(world: World, permissions: Permissions, random: Random) -> None:
    """The application thinks otherwise; the server is to find out when its answers have run out."""
    viewer = _somebody(world, random)
    for whom in _some(world, random, 0.3):
        permissions.application.say(viewer, whom, random.choice(("full", "full", "coarse", "hidden")))


def _fail(world: World, permissions: Permissions, random: Random) -> None:
    permissions.application.fails = random.random() < 0.3


def _look_up(world: World, permissions: Permissions, random: Random) -> None:
    world.requests.look_up(_some(world, random, 0.5)[:10], _somebody(world, random))


def _steal(world: World, permissions: Permissions, random: Random) -> None:
    given: list[tuple[str, dict[int, StatusEntry]]] = [
        item for each in (*world.clients, *world.pollers) for item in each.given if item[1]
    ]
    if not given or world.is_ending:
        return
    cursor, held = given[random.randrange(len(given))]
    viewer = _somebody(world, random)
    thief = world.resumed_from(
        ".".join(cursor.split(".")[:2]), held, 200_000 + random.randrange(100_000), viewer, Thief
    )
    thief.wants_to_be_there = False
    world.loop.call_later(STAYS, thief.close, 1000)


PERMISSION_ACTIONS: Final[dict[str, Callable[[World, Permissions, Random], None]]] = {
    "put_contacts": _put_contacts,
    "patch_contacts": _patch_contacts,
    "put_blocks": _put_blocks,
    "patch_blocks": _patch_blocks,
    "privacy": _privacy,
    "say": _say,
    "fail": _fail,
    "look_up_as": _look_up,
    "steal": _steal,
}
