"""What each action of the plan does. Most do nothing where they do not fit: that keeps a shortened plan valid."""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import Final

from presence_protocol.fields import format_time
from presence_protocol.messages import SetStatus
from presence_server.domain.claims import Word
from presence_server.domain.model import Claim, Source, Status
from simulator.clients import Client
from simulator.loop import LONGEST_STALL
from simulator.permission_actions import PERMISSION_ACTIONS
from simulator.rest import Poller, RestDevice
from simulator.scenario import Action
from simulator.world import World

LOST: Final = 4000
"""A code of the client's that begins the grace period, and with which it does not come back by itself."""
CLOSE_CODES: Final = (1000, 1001, 1001, 1005, LOST)
STATUSES: Final = ("BUSY", "AWAY", "ONLINE", "OFFLINE", "OFFLINE", None, None)
TEXTS: Final = (None, None, "in a meeting", "在开会")


def perform(world: World, action: Action) -> None:
    random = Random(action.what)
    if action.kind in CLIENT_ACTIONS:
        CLIENT_ACTIONS[action.kind](world, world.clients[action.who % len(world.clients)], random, action.what)
    elif action.kind in DEVICE_ACTIONS:
        DEVICE_ACTIONS[action.kind](world.devices[action.who % len(world.devices)], random)
    elif action.kind in POLL_ACTIONS:
        POLL_ACTIONS[action.kind](world, world.pollers[action.who % len(world.pollers)], random, action.what)
    elif action.kind in PERMISSION_ACTIONS:
        if world.permissions is not None:
            PERMISSION_ACTIONS[action.kind](world, world.permissions, random)
    else:
        WORLD_ACTIONS[action.kind](world, random, action.what)


# -- clients ---------------------------------------------------------------------------------------------------------


def _connect(world: World, client: Client, random: Random, what: int) -> None:
    hello: dict[str, object] = {}
    if random.random() < 0.3:
        hello["idle"] = random.random() < 0.5
    if random.random() < 0.15:
        hello["status"] = random.choice(STATUSES[:5])
    if random.random() < 0.15:
        hello["busy"] = random.random() < 0.5
    if not client.view.watched:
        client.watch(world.some_users(what))
    client.connect(is_mute=random.random() < 0.03, **hello)


def _cut(world: World, client: Client, random: Random, what: int) -> None:
    if client.link is not None:
        client.link.cut(random.random() < 0.7, random.random() < 0.7, random.random() < 0.5)


def _half_open(world: World, client: Client, random: Random, what: int) -> None:
    if client.link is not None:
        client.link.cut(False, False, False)


def _bye(world: World, client: Client, random: Random, what: int) -> None:
    client.bye()


def _close(world: World, client: Client, random: Random, what: int) -> None:
    client.close(random.choice(CLOSE_CODES))


def _watch(world: World, client: Client, random: Random, what: int) -> None:
    if len(client.view.watched) < world.scenario.most_watched:
        client.watch(world.some_users(what))


def _unwatch(world: World, client: Client, random: Random, what: int) -> None:
    watched = sorted(client.view.watched)
    if watched:
        client.unwatch(random.sample(watched, random.randint(1, min(3, len(watched)))))


def _status(world: World, client: Client, random: Random, what: int) -> None:
    if client.user_id:
        status = random.choice(STATUSES)
        has_end = status is not None and random.random() < 0.3
        until = format_time(int(world.clock.calendar() + random.randint(3, 8))) if has_end else None
        text = random.choice(TEXTS) if status is not None else None
        client.set_status(SetStatus(status=status, until=until, status_text=text))  # type: ignore[arg-type]


def _busy_or_not(random: Random) -> bool | None:
    return random.choice((None, None, None, True, False, False))


def _activity(world: World, client: Client, random: Random, what: int) -> None:
    if client.user_id:
        idle = random.random() < 0.5
        idle_for = random.choice((None, 0, 2_000)) if idle else None
        client.set_activity(idle, idle_for, _busy_or_not(random))


def _query(world: World, client: Client, random: Random, what: int) -> None:
    client.query(world.some_users(what))


def _ping(world: World, client: Client, random: Random, what: int) -> None:
    client.ping()


def _stop(world: World, client: Client, random: Random, what: int) -> None:
    if client.link is not None:
        client.link.stop_reading()


def _read(world: World, client: Client, random: Random, what: int) -> None:
    if client.link is not None:
        client.link.read_again()


def _sip(world: World, client: Client, random: Random, what: int) -> None:
    if client.link is not None and not client.link.is_read:
        client.link.read_again(is_sip=True)


CLIENT_ACTIONS: Final[dict[str, Callable[[World, Client, Random, int], None]]] = {
    "connect": _connect,
    "cut": _cut,
    "half_open": _half_open,
    "bye": _bye,
    "close": _close,
    "watch": _watch,
    "unwatch": _unwatch,
    "status": _status,
    "activity": _activity,
    "query": _query,
    "ping": _ping,
    "stop": _stop,
    "read": _read,
    "sip": _sip,
}

# -- REST ------------------------------------------------------------------------------------------------------------


def _idle_or_not(random: Random) -> bool | None:
    return random.choice((None, None, True, False))


DEVICE_ACTIONS: Final[dict[str, Callable[[RestDevice, Random], None]]] = {
    "rest_online": lambda device, random: device.online(_idle_or_not(random), _busy_or_not(random)),
    "rest_offline": lambda device, random: device.offline(),
    "rest_vanish": lambda device, random: device.vanish(),
    "rest_idle": lambda device, random: device.heartbeat(_idle_or_not(random), _busy_or_not(random)),
}


def _poll(world: World, poller: Poller, random: Random, what: int) -> None:
    if not poller.user_ids:
        poller.ask_about(world.some_users(what))
    poller.ask(random.choice((0.0, world.scenario.poll_wait)))


def _poll_cut(world: World, poller: Poller, random: Random, what: int) -> None:
    poller.cut()
    world.loop.call_later(random.random(), poller.ask_again)


def _poll_others(world: World, poller: Poller, random: Random, what: int) -> None:
    poller.ask_about(world.some_users(what))


POLL_ACTIONS: Final[dict[str, Callable[[World, Poller, Random, int], None]]] = {
    "poll": _poll,
    "poll_cut": _poll_cut,
    "poll_others": _poll_others,
}


def _override(world: World, random: Random, what: int) -> None:
    user_id = world.people.of(random.randrange(world.scenario.users))
    status = random.choice(STATUSES)
    until = int(world.clock.calendar() + random.randint(3, 8)) if random.random() < 0.3 else None
    word = None if status is None else Word(Status(status), until, random.choice(TEXTS), None, None)
    world.requests.say(user_id, word)


LONGEST_CLAIM: Final = 300
"""Seconds."""
SOURCES: Final = (Source("call", 80), Source("calendar", 40))


def _claim(world: World, random: Random, what: int) -> None:
    """A back end says what it knows, ahead of time; seldom of somebody who has no device."""
    user_id = world.people.of(random.randrange(world.scenario.users))
    source, now = random.choice(SOURCES), int(world.clock.calendar())
    claims = []
    for _ in range(random.choice((0, 1, 1, 2))):
        begins = random.choice((None, now + random.randint(1, 6)))
        status = random.choice((Status.BUSY, Status.AWAY, Status.OFFLINE, None))
        text = random.choice(TEXTS) if status else "out of office"
        until = (begins or now) + random.choice((random.randint(3, 9), random.randint(30, LONGEST_CLAIM)))
        is_alone = random.random() < 0.2
        claim = Claim(source, "", begins or now, until, status, text, None, begins is not None, is_alone)
        claims.append(claim)
    world.requests.claim(user_id, source, tuple(claims))


def _look_up(world: World, random: Random, what: int) -> None:
    world.requests.look_up(world.some_users(what))


# -- the world -------------------------------------------------------------------------------------------------------


def _stall(world: World, random: Random, what: int) -> None:
    world.loop.stall(random.choice((0.05, 0.3, 1.0, 2.0, 5.0, LONGEST_STALL)))


def _clock(world: World, random: Random, what: int) -> None:
    """Somebody sets the system's clock."""
    world.oracle.calendar_moves()
    world.clock.set(random.choice((-3_600.0, -5.0, 2.0, 60.0, 86_400.0)))


def _suspend(world: World, random: Random, what: int) -> None:
    """The machine sleeps, and meanwhile some who were there by heartbeats go away."""
    for device in world.devices:
        if random.random() < 0.3:
            device.vanish()
    seconds = random.choice((3.0, 60.0, 3_600.0, 20_000.0))
    world.oracle.calendar_moves()
    world.clock.sleep(seconds)
    world.oracle.slept(seconds)


def _both(world: World, random: Random, what: int) -> None:
    """One device comes both ways, and goes on by one of them or by neither: in this order or in any other."""
    if not world.pairs:
        return
    client, device = world.pairs[random.randrange(len(world.pairs))]
    steps = [lambda: device.online(None), device.vanish, client.connect, lambda: client.close(LOST)]
    if random.random() < 0.5:
        steps = random.sample(steps, random.randint(2, len(steps)))
    at = 0.0
    for step in steps:
        at += 0.5 * random.random()
        world.loop.call_later(at, step)


def _full(world: World, random: Random, what: int) -> None:
    """Somebody who watches stops reading, and is answered, right when somebody whom they watch changes."""
    watchers = [client for client in world.clients if client.is_live and client.view.watched]
    if not watchers:
        return
    watcher = watchers[random.randrange(len(watchers))]
    watched = [each for each in world.clients if each.is_live and each.user_id in watcher.view.watched]
    if not watched or watcher.link is None:
        return
    watcher.link.stop_reading()
    who = watched[random.randrange(len(watched))]
    who.set_activity(random.random() < 0.5, None, _busy_or_not(random))
    world.loop.call_later(0.05 * random.random(), watcher.query, [who.user_id])
    world.loop.call_later(0.2 + random.random(), _read, world, watcher, random, what)


def _crowd(world: World, random: Random, what: int) -> None:
    """All devices of one user come, one after the other, and some of them are lost on the way."""
    user_id = world.people.of(random.randrange(world.scenario.users))
    for client in [client for client in world.clients if client.user_id == user_id]:
        at = 2 * random.random()
        world.loop.call_later(at, client.connect)
        if random.random() < 0.6:
            world.loop.call_later(at + random.random(), lambda client=client: client.close(LOST))
    for device in [device for device in world.devices if device.user_id == user_id]:
        world.loop.call_later(2 * random.random(), lambda device=device: device.online(None))
        if random.random() < 0.6:
            world.loop.call_later(2 * random.random(), device.vanish)


WORLD_ACTIONS: Final[dict[str, Callable[[World, Random, int], None]]] = {
    "override": _override,
    "claim": _claim,
    "look_up": _look_up,
    "stall": _stall,
    "both": _both,
    "full": _full,
    "crowd": _crowd,
    "clock": _clock,
    "suspend": _suspend,
    "engine_cut": lambda world, random, what: world.cut_engine(),
    "engine_mend": lambda world, random, what: world.mend_engine(),
}
