"""Those who have no WebSocket: devices that send heartbeats, long-pollers, and whoever asks once.

A request is read from a socket and handled two turns of the loop later, as an HTTP server does; its answer travels
back. What the endpoints do between the request and the hub stands in `transports.http`, and is mirrored here.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from presence_protocol.messages import StatusEntry
from presence_server.application.entries import entry_of
from presence_server.application.polls import Poll, PollAnswer
from presence_server.domain.claims import Word
from presence_server.domain.model import Claim, Shown, Source
from presence_server.domain.platforms import AnyPlatform
from presence_server.domain.transitions import (
    AnyTransition,
    Heartbeat,
    Offline,
    Online,
    Say,
    SetClaims,
    Transition,
)
from simulator.failure import require
from simulator.loop import SOCKET, SOON, Handle

if TYPE_CHECKING:
    from simulator.leaks import Leaks
    from simulator.world import World

ENGINE_TIMEOUT: Final = 10.0


class Requests:
    """The way of an HTTP request to the application and back."""

    def __init__(self, world: World) -> None:
        self._world = world

    def send(self, handle: Callable[[], None], transition: AnyTransition | None = None) -> None:
        self._world.loop.call_later(self._world.delay(), self._arrive, handle, transition)

    def _arrive(self, handle: Callable[[], None], transition: AnyTransition | None) -> None:
        if transition is not None:
            self._world.oracle.arrived(transition)
        self._world.loop.serve(SOCKET, 0.0, self._turn, handle)

    def _turn(self, handle: Callable[[], None]) -> None:
        self._world.loop.serve(SOON, 0.0, self._next_turn, handle)

    def _next_turn(self, handle: Callable[[], None]) -> None:
        self._world.loop.serve(SOON, 0.0, handle)

    def submit(self, transition: AnyTransition, answered: Callable[[Transition | None], None]) -> None:
        world = self._world

        def handle() -> None:
            def done(made: Transition | None) -> None:
                world.loop.call_later(world.delay(), answered, made)

            world.hub.submit(transition, world.clock.now(), done)

        self.send(handle, transition)

    def say(self, user_id: int, word: Word | None) -> None:
        self.submit(Say(user_id, word), _ignore)

    def claim(self, user_id: int, source: Source, claims: tuple[Claim, ...]) -> None:
        self.submit(SetClaims(user_id, source, claims), _ignore)

    def look_up(self, user_ids: list[int], viewer: int | None = None) -> None:
        world = self._world

        def done(found: list[Shown] | None) -> None:
            require(found is not None or world.may_be_away(), "a look-up was refused")
            for user_id, shown in zip(user_ids, found or (), strict=found is not None):
                require(world.people.keys.user_id(shown.presence.user_id) == user_id, "another order", user_ids)
                if viewer and world.leaks is not None:
                    world.leaks.shown(viewer, shown)
                else:
                    world.checker.shown(None, shown)

        self.send(lambda: world.hub.lookup(viewer or 0, user_ids, world.clock.now(), done))


class RestDevice:
    """Online by heartbeats, as the API document has it."""

    def __init__(self, world: World, user_id: int, device_id: str, platform: AnyPlatform) -> None:
        self._world = world
        self.user_id = user_id
        self.device_id = device_id
        self._platform = platform
        self.is_there = False
        self._beats = 0

    def online(self, idle: bool | None, busy: bool | None = None) -> None:
        self.is_there = True
        self._beats += 1
        self._say_online(idle, busy)
        self._beat_later(self._beats)

    def _say_online(self, idle: bool | None, busy: bool | None = None) -> None:
        number = self._world.hub.engine.next_number()
        online = Online(self.user_id, self.device_id, self._platform, number, idle, busy)
        self._world.requests.submit(online, _ignore)

    def _beat_later(self, beats: int) -> None:
        self._world.loop.call_later(self._world.scenario.heartbeat_interval, self._beat, beats)

    def _beat(self, beats: int) -> None:
        if self.is_there and beats == self._beats:
            self.heartbeat(None)
            self._beat_later(beats)

    def heartbeat(self, idle: bool | None, busy: bool | None = None) -> None:
        self._world.requests.submit(Heartbeat(self.user_id, self.device_id, idle, busy), self._answered)

    def _answered(self, made: Transition | None) -> None:
        if self.is_there and made is not None and made.device is None:
            self._say_online(None)  # 404: the client calls /online again

    def offline(self) -> None:
        self.is_there = False
        self._world.requests.submit(Offline(self.user_id, self.device_id), _ignore)

    def vanish(self) -> None:
        self.is_there = False


class Poller:
    """Asks for changes again and again, with the cursor that it was given last."""

    def __init__(self, world: World, number: int) -> None:
        self._world = world
        self._number = number
        self.user_id = 0
        self.viewer: int | None = None
        """Through whose eyes it sees; None: a service's."""
        if world.permissions is not None and number % 2:
            self.viewer = world.people.of(number % world.scenario.users)
        self.user_ids: list[int] = []
        self.entries: dict[int, StatusEntry] = {}
        self.cursor: str | None = None
        self.is_asking = False
        self.is_wanted = False
        self.is_fresh = False  # what it holds is an answer for the ids that it asks for
        self.given: list[tuple[str, dict[int, StatusEntry]]] = []
        self._under_way: _Poll | None = None

    def __repr__(self) -> str:
        return f"poller {self._number}"

    def ask(self, wait: float) -> None:
        self.is_wanted = True
        if not self.is_asking:
            self.is_asking = True
            self._under_way = _Poll(self, self._world, list(self.user_ids), self.cursor, wait)

    def ask_about(self, user_ids: list[int]) -> None:
        """From the next request on. The cursor goes with it, although it speaks for other users."""
        self.user_ids = user_ids
        self.is_fresh = False

    def cut(self) -> None:
        """The connection drops: no answer is heard, and the server sees that nobody waits."""
        if self._under_way is not None:
            self._under_way.hang_up()
            self._under_way = None
            self.is_asking = False

    def stop(self) -> None:
        self.is_wanted = False

    def answered(self, poll: _Poll, answer: PollAnswer | None) -> None:
        if poll is not self._under_way:
            return
        self._under_way, self.is_asking = None, False
        require(answer is not None or self._world.may_be_away(), "a poll was refused", self)
        if answer is not None and poll.user_ids == self.user_ids:
            self._fold(answer)
        if self.is_wanted:
            self._world.loop.call_later(0.0 if answer is not None else 1.0, self.ask_again)

    def ask_again(self) -> None:
        if self.is_wanted:
            self.ask(self._world.scenario.poll_wait)

    def _fold(self, answer: PollAnswer) -> None:
        world = self._world
        is_free = self.viewer is not None and world.permissions is not None  # see `Client._see`
        for presence in answer.changes:
            entry = entry_of(presence, world.people.keys)
            world.checker.entry(self.viewer, entry)
            held = self.entries.get(entry.user_id)
            if held is not None and (answer.resumed or entry.version) and not is_free:
                require(entry.version >= held.version, "a version went back", self, held, entry)
            self.entries[entry.user_id] = entry
        if not answer.resumed:
            named = {entry_of(presence, world.people.keys).user_id for presence in answer.changes}
            require(named == set(self.user_ids), "not everybody was told of", self, named)
        self.cursor, self.is_fresh = answer.cursor, True
        self.entries = {user_id: self.entries[user_id] for user_id in self.user_ids if user_id in self.entries}
        require(self.entries.keys() == set(self.user_ids), "asked for and not held", self)
        self._world.checker.cursor(answer.cursor, self.entries, self)
        self.given = [*self.given[-3:], (answer.cursor, dict(self.entries))]


class _Poll:
    """One request, from its arrival to its answer."""

    def __init__(self, poller: Poller, world: World, user_ids: list[int], cursor: str | None, wait: float) -> None:
        self.user_ids = user_ids
        self._poller = poller
        self._world = world
        self._cursor = cursor
        self._wait = wait
        self._poll: Poll | None = None
        self._answers: list[PollAnswer | None] = []
        self._timer: Handle | None = None
        self._is_over = False
        self._is_hung_up = False
        world.requests.send(self._begin)

    def _begin(self) -> None:
        if self._is_hung_up:
            return
        world = self._world
        now = world.clock.now()
        self._timer = world.loop.serve(1, ENGINE_TIMEOUT, self._finish)
        self._poll = world.polls.open(
            self._poller.viewer or 0,
            list(dict.fromkeys(self.user_ids)),
            self._cursor,
            self._wait > 0,
            now,
            self._answered,
            self._knows,
        )
        if self._answers:
            self._finish()

    def _answered(self, answer: PollAnswer | None) -> None:
        if not self._answers:
            self._answers.append(answer)
            self._world.loop.serve(SOON, 0.0, self._finish)

    def _knows(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self._world.loop.serve(2, self._wait, self._finish)

    def _worded(self, answer: PollAnswer, leaks: Leaks) -> PollAnswer:
        """As the endpoint does: if a permission has changed since it was read, what may still be told of it."""
        sight, viewer = self._world.hub.sight, self._poller.viewer or 0
        if sight.stamp(viewer) != answer.stamp:
            answer = answer._replace(changes=sight.still(viewer, answer.changes))
        leaks.entries(viewer, [entry_of(presence, self._world.people.keys) for presence in answer.changes])
        return answer

    def hang_up(self) -> None:
        self._is_hung_up = True
        self._world.loop.serve(SOCKET, self._world.delay(), self._finish)

    def _finish(self) -> None:
        if self._is_over or self._poll is None:
            return
        self._is_over = True
        if self._timer is not None:
            self._timer.cancel()
        late = self._world.polls.close(self._poll)
        answer = (self._answers[0] if self._answers else None) or late
        if answer is not None and self._world.leaks is not None:
            answer = self._worded(answer, self._world.leaks)
        if not self._is_hung_up:
            self._world.loop.call_later(self._world.delay(), self._poller.answered, self, answer)


def _ignore(_made: object) -> None:
    """Nobody waits for what came of it."""
