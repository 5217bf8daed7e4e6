"""Moves a world through a plan, step by step, then to rest, and checks all along.

A step is one thing that happens: an action, something that arrives, a sweep, a flush, a message of the engine.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import partial
from itertools import islice
from typing import NamedTuple

from msgspec.structs import replace

from presence_protocol.close_codes import CloseCode
from presence_server.application import entries, fanout, lists, slices
from presence_server.application.entries import self_view_of
from simulator.actions import LONGEST_CLAIM, perform
from simulator.clients import Client
from simulator.failure import Violation, require
from simulator.people import People
from simulator.rest import Poller
from simulator.scenario import Action, Scenario, plan, scenario_of
from simulator.world import World

CHECK_EVERY = 0.5
"""Seconds of virtual time between two checks of what the server keeps."""
MOST_RESUMED = 60
"""Cursors from which somebody resumes for real in the end."""
PART_SIZES = (
    (entries, "SNAPSHOT_PART"),
    (fanout, "FEW"),
    (slices, "PIECE"),
    (lists, "PIECE"),
    (slices, "AT_ONCE"),
)

MakeWorld = Callable[[Scenario], World]


class Outcome(NamedTuple):
    seed: int
    engine: str
    steps: int
    actions: list[Action]
    """Those that were performed."""
    virtual: float
    """Seconds of virtual time."""
    violation: Violation | Exception | None
    sees: str = "everyone"

    @property
    def kind(self) -> str:
        if isinstance(self.violation, Violation):
            return self.violation.kind
        return type(self.violation).__name__


class Run:
    def __init__(self, scenario: Scenario, make_world: MakeWorld = World) -> None:
        self.scenario = scenario
        self.world = make_world(scenario)
        self.steps = 0
        self.performed: list[Action] = []
        self._start = self.world.loop.time
        self.is_planned_out = False

    # -- moving --------------------------------------------------------------------------------------------------------

    def step(self) -> None:
        call, arguments = self.world.loop.pop()
        self.steps += 1
        call(*arguments)

    def until(self, seconds: float) -> None:
        """Let virtual time pass."""
        end = self.world.loop.time + seconds
        while (when := self.world.loop.next_at()) is not None and when <= end:
            self.step()
        self.world.loop.time = end

    def _perform_next(self) -> None:
        action = next(self._actions, None)
        if action is None:
            self.is_planned_out = True
            return
        self.world.loop.call_at(self._start + action.at, self._perform, action)

    def _perform(self, action: Action) -> None:
        if self.is_planned_out:
            return
        self.performed.append(action)
        perform(self.world, action)
        self._perform_next()

    def _check(self) -> None:
        if not self.world.loop.is_stalled:
            self.world.checker.structure()
            if self.world.leaks is not None:
                self.world.leaks.statistics()
            if not self.world.hub.is_draining:  # then no grace runs out any more
                self.world.oracle.check_ghosts()
                self.world.oracle.check_winners()
                self.world.checker.untils()
        self.world.loop.call_later(CHECK_EVERY, self._check)

    def go(self, actions: Iterable[Action], steps: int | None) -> None:
        """Perform the actions, until so many steps were made; then come to rest.

        Raises:
            Violation: a promise did not hold.
        """
        self._actions = iter(actions)
        self._perform_next()
        self.world.loop.call_later(CHECK_EVERY, self._check)
        while not self.is_planned_out and (steps is None or self.steps < steps):
            self.step()
        self.is_planned_out = True
        self.come_to_rest()

    # -- the end -------------------------------------------------------------------------------------------------------

    def come_to_rest(self) -> None:
        world, scenario = self.world, self.scenario
        world.mend_engine()
        if world.permissions is not None:
            world.permissions.mend()
        for client in world.clients:
            if client.link is not None:
                client.link.read_again()
        self.until(10)  # a stall may be under way
        self.until(scenario.ghost_bound + scenario.lifetimes.rest)
        self._let_arrive()
        self._check_rest()
        self._check_resumes()
        self._check_end()

    def _let_arrive(self) -> None:
        """Wait for what was told last, which is of a claim that began or ended, if all else is at rest."""
        world, arrival = self.world, 2 * self.scenario.min_publish_interval + 3
        self.until(arrival)
        given_up = world.loop.time + LONGEST_CLAIM
        while world.loop.time - world.changed_at() < arrival and world.loop.time < given_up:
            self.until(CHECK_EVERY)

    def _check_rest(self) -> None:
        world = self.world
        world.checker.structure()
        for client in world.clients:
            if client.wants_to_be_there:
                require(client.is_live, "did not come back", client)
            if client.is_live:
                self._check_live(client)
        for poller in world.pollers:
            if poller.is_wanted and poller.is_fresh:
                world.checker.converged(poller, poller.entries, poller.user_ids)

    def _check_live(self, client: Client) -> None:
        require(client.view.stale_since is None, "stale at rest", client)
        pending = [reply for reply in client.outstanding.values() if reply != "pong"]
        require(not pending, "never answered", client, client.outstanding)
        self.world.checker.converged(client, client.view.entries, client.view.watched)
        if client.user_id:
            if self.world.oracle.user(client.user_id).is_at_an_edge(self.world.clock.calendar()):
                return
            truth = self_view_of(self.world.spy.truth(client.user_id), self.world.people.keys)
            told = client.self_view
            if told is not None:
                told = replace(told, cause=None, device=None)  # why it last changed is no part of what is so
            require(told == truth, "another truth", client, told, truth)
            client.check_levels()

    def _check_resumes(self) -> None:
        """Whoever comes back with any cursor that was given converges."""
        world = self.world
        whose: list[Client | Poller] = [*world.clients, *world.pollers]
        if world.scenario.hides_some:
            whose = [*world.pollers, *(client for client in world.clients if not client.user_id)]
        given = [(item, world.viewer_of(each)) for each in whose for item in each.given if item[1]]
        chosen = given if len(given) <= MOST_RESUMED else world.random.sample(given, MOST_RESUMED)
        resumed = []
        for number, ((cursor, held), viewer) in enumerate(chosen):
            viewer = None if world.permissions is None else viewer
            # A poller's cursor has a digest: over WebSocket it stands for the same seq.
            resumed.append(world.resumed_from(".".join(cursor.split(".")[:2]), held, 100_000 + number, viewer))
        self.until(8)
        self._let_arrive()
        for client in resumed:
            require(client.is_live, "did not come back", client)
            world.checker.converged(client, client.view.entries, client.view.watched)
            client.wants_to_be_there = False

    def _check_end(self) -> None:
        """Everybody leaves, and nothing is left."""
        world = self.world
        world.is_ending = True
        for client in world.clients:
            client.wants_to_be_there = False
        for device in world.devices:
            device.vanish()
        for poller in world.pollers:
            poller.stop()
        if self.scenario.drains:
            world.hub.drain(1.0)
            self.until(2)
        now = world.clock.now()
        world.hub.dismissals.close_all(CloseCode.SERVICE_RESTART, "ending", now)
        world.loop.serve(1, 0.0, world.polls.wake_all)
        self.until(world.scenario.lifetimes.rest + world.scenario.lifetimes.grace + 13)
        world.checker.structure()
        world.checker.empty()


@contextmanager
def parts_of(most: int) -> Iterator[None]:
    """Let messages and steps hold at most so many entries, so that few users make several."""
    kept = [(module, name, getattr(module, name)) for module, name in PART_SIZES]
    for module, name, size in kept:
        setattr(module, name, min(size, most))
    try:
        yield
    finally:
        for module, name, size in kept:
            setattr(module, name, size)


def simulate(
    seed: int,
    steps: int | None,
    is_late: bool,
    only: list[int] | None = None,
    make_world: MakeWorld = World,
    user_ids: str = "number",
    sees: str = "everyone",
) -> Outcome:
    """One run. With `only`, the actions of the plan with these numbers, and no others."""
    scenario = scenario_of(seed, is_late, sees)
    actions: Iterable[Action] = plan(scenario)
    if only is not None:
        wanted = set(only)
        actions = [action for action in islice(plan(scenario), max(only, default=-1) + 1) if action.number in wanted]
        steps = None
    violation: Violation | Exception | None = None
    if user_ids != "number":
        make_world = partial(make_world, people=People(user_ids))
    run = Run(scenario, make_world)
    try:
        with parts_of(scenario.part):
            run.go(actions, steps)
    except Exception as failure:
        violation = failure
    virtual = run.world.loop.time - run._start
    return Outcome(seed, "late" if is_late else "memory", run.steps, run.performed, virtual, violation, sees)
