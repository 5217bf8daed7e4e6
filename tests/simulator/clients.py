"""A model client: the protocol's client role, folding what it receives, coming back after each loss.

It is made of `presence_protocol.session` and `presence_protocol.view`. Beside its view it keeps a fold of its own,
as plain as can be, to which the view must agree whenever nothing is outstanding.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from presence_protocol.close_codes import Advice, CloseCode, advice
from presence_protocol.messages import (
    Activity,
    AnyClientMessage,
    AnyServerMessage,
    Bye,
    Diff,
    Error,
    Hello,
    Ping,
    Query,
    Reconnect,
    SelfChanged,
    SelfView,
    SetStatus,
    Snapshot,
    StatusEntry,
    Statuses,
    Unwatch,
    Watch,
    Welcome,
)
from presence_protocol.session import CLOSE, LOST, Role, Session, State, event_of
from presence_protocol.view import View
from simulator.failure import Violation, require
from simulator.network import IS_PING, MESSAGE, Link
from simulator.permissions import SEES
from support.frames import frames_of

if TYPE_CHECKING:
    from simulator.world import World

KEPT_CURSORS = 6
"""Cursors of each client with which others resume in the end."""


class Client:
    """An observer has user 0 and no device."""

    def __init__(self, world: World, number: int, codec_number: int, user_id: int, device_id: str, platform: str):
        self.world = world
        self.number = number
        self.codec_number = codec_number
        self.user_id = user_id
        self.device_id = device_id
        self.platform = platform
        self.viewer = user_id or None
        """Through whose eyes it sees; None: a service's."""
        self._token: str | None = None
        self.codec = world.people.codecs[codec_number]
        self.view = View(world.loop.time)
        self.link: Link | None = None
        self.session = Session(Role.CLIENT)
        self.wants_to_be_there = False
        self.self_view: SelfView | None = None
        self.outstanding: dict[int, str] = {}
        self.given: list[tuple[str, dict[int, StatusEntry]]] = []
        self._cursors_given = 0
        self._next_id = 0
        self._fold: dict[int, StatusEntry] = {}
        self._seen: dict[int, int] = {}
        self._merges_hello = False
        self._backoff = 0.0
        self._heard_at = 0.0
        self._is_asking = False
        self._is_mute = False
        self._extra: dict[str, Any] = {}

    def __repr__(self) -> str:
        whose = f"{self.user_id}/{self.device_id}" if self.user_id else "observer"
        return f"client {self.number} ({whose})"

    @property
    def is_live(self) -> bool:
        return self.link is not None and self.session.state is State.LIVE

    def sees_as(self, viewer: int) -> None:
        """An observer who is somebody."""
        self.viewer, self._token = viewer, f"{SEES}{viewer}"

    # -- connections ---------------------------------------------------------------------------------------------------

    def connect(self, is_mute: bool = False, **hello: Any) -> None:
        """Open a connection if there is none; `hello` adds to the hello that it begins with, unless it is mute."""
        self.wants_to_be_there = True
        if self.link is not None:
            return
        self._is_mute = is_mute
        self.link = Link(self.world, self)
        self.session = Session(Role.CLIENT)
        self._extra = hello
        self.link.open()
        self._watch_silence(self.link)

    def opened(self, link: Link) -> None:
        if link is not self.link or self._is_mute:
            return
        ids, cursor = self.view.hello()
        fields: dict[str, Any] = {"watch": ids or None, "cursor": cursor} | self._extra
        if self.user_id:
            fields |= {"user_id": self.user_id, "device_id": self.device_id, "platform": self.platform}
        else:
            fields = {"watch": ids or None, "cursor": cursor, "observer": True, "token": self._token}
        self.outstanding = {}
        link.said_hello = True
        self.say(Hello(**fields))

    def lost(self, link: Link, code: int) -> None:
        """The connection ended, as the client sees it."""
        if link is not self.link:
            return
        link.is_over_there = True
        self.session.receive(CLOSE if code != CloseCode.ABNORMAL else LOST)
        self.leave_link()
        if advice(code) is Advice.STOP:
            self.wants_to_be_there = False
        elif self.wants_to_be_there:
            self._backoff = min(2.0, 2 * self._backoff + 0.1)
            self.world.loop.call_later(self.world.random.uniform(0, self._backoff), self._come_back)

    def leave_link(self) -> None:
        self.link = None
        self.outstanding = {}
        self.view.lost(self.world.loop.time)

    def _come_back(self) -> None:
        if self.wants_to_be_there:
            self.connect()

    def close(self, code: int) -> None:
        """The person leaves, or the page is reloaded (1001)."""
        if self.link is not None:
            self.wants_to_be_there = code == CloseCode.GOING_AWAY
            self.link.close_from_client(code)
            self.leave_link()
            if self.wants_to_be_there:
                self.world.loop.call_later(self.world.random.uniform(0, 1), self._come_back)

    def bye(self) -> None:
        self.wants_to_be_there = False
        if self.link is not None and self.session.state in (State.GREETED, State.LIVE):
            self.say(Bye())
            self.link.says_goodbye()

    def _watch_silence(self, link: Link) -> None:
        """Browsers do not see pings: who hears nothing asks, and in the end gives up."""
        self._heard_at = self.world.loop.time
        self._is_asking = False
        self.world.loop.call_later(self.world.scenario.times.ping_interval, self._check_silence, link)

    def _check_silence(self, link: Link) -> None:
        if link is not self.link:
            return
        times = self.world.scenario.times
        silence = self.world.loop.time - self._heard_at
        if silence >= times.ping_interval + times.pong_timeout and link.is_read:
            link.give_up()
            self.lost(link, CloseCode.ABNORMAL)
            return
        if silence >= times.ping_interval and not self._is_asking and self.is_live:
            self._is_asking = True
            self.say(Ping(id=self.new_id("pong")))
        wait = times.pong_timeout if silence >= times.ping_interval else times.ping_interval - silence
        self.world.loop.call_later(wait + 0.01, self._check_silence, link)

    # -- what it says --------------------------------------------------------------------------------------------------

    def new_id(self, reply: str) -> int:
        self._next_id += 1
        self.outstanding[self._next_id] = reply
        return self._next_id

    def say(self, message: AnyClientMessage) -> None:
        assert self.link is not None
        self.session.send(event_of(message))
        self.link.send(MESSAGE, self.codec.encode(message))

    def watch(self, user_ids: Iterable[int]) -> None:
        if not self.is_live:
            self.view.watch(user_ids)
            return
        id = self.new_id("snapshot")
        wanted = self.view.watch(user_ids, id)
        if wanted:
            self.say(Watch(user_ids=wanted, id=id))
        else:
            del self.outstanding[id]

    def unwatch(self, user_ids: list[int]) -> None:
        self.view.unwatch(user_ids)
        if self.is_live:
            self.say(Unwatch(user_ids=user_ids, id=self.new_id("ok")))

    def set_status(self, message: SetStatus) -> None:
        if self.is_live:
            message.id = self.new_id("ok")
            self.say(message)

    def check_levels(self) -> None:
        """At rest: what was said of idleness has arrived. The model client promises nothing."""

    def set_activity(self, idle: bool, idle_for_ms: int | None, busy: bool | None) -> None:
        if self.is_live:
            self.say(Activity(idle=idle, idle_for_ms=idle_for_ms, busy=busy, id=self.new_id("ok")))

    def query(self, user_ids: list[int]) -> None:
        if self.is_live:
            self.say(Query(user_ids=user_ids, id=self.new_id("statuses")))

    def ping(self) -> None:
        if self.is_live:
            self.say(Ping(id=self.new_id("pong")))

    # -- what it hears -------------------------------------------------------------------------------------------------

    def received(self, link: Link, data: bytes) -> None:
        self._heard_at, self._is_asking = self.world.loop.time, False
        for opcode, payload in frames_of(data):
            if link is not self.link:
                return
            if opcode == IS_PING:
                link.send(MESSAGE)  # a pong
            else:
                self.hear(self.codec.decode_server(payload))

    def hear(self, message: AnyServerMessage) -> None:
        if not self.session.receive(event_of(message)):
            return
        self._answered(message)
        if isinstance(message, Welcome):
            self._welcomed(message)
        elif isinstance(message, Snapshot):
            self._fold_snapshot(message)
        elif isinstance(message, Diff):
            self._merge(message.changes)
        elif isinstance(message, Statuses):
            for entry in message.statuses:
                self._see(entry, replaces=not entry.version)  # who was forgotten has none
        elif isinstance(message, SelfChanged):
            self.self_view = message.view
        elif isinstance(message, Reconnect):
            require(self.world.is_ending, "asked to move", self)
        self.view.receive(message)
        if isinstance(message, Snapshot | Diff):
            self._check()
        if isinstance(message, Error) and message.error == "unavailable" and message.id is None:
            self._watch_left_out()

    def _answered(self, message: AnyServerMessage) -> None:
        if message.id is None or (isinstance(message, Snapshot | Statuses) and message.more):
            return
        expected = self.outstanding.pop(message.id, None)
        if expected is None:
            raise Violation("answered twice", f"{self} {message}")
        kind = event_of(message)
        if kind == "error":
            assert isinstance(message, Error)
            is_late = message.message == "until: must be later than now"  # so long was it on its way
            require(is_late or (message.code == 503 and self.world.may_be_away()), "refused", self, message)
        else:
            require(kind == expected, "another answer", self, expected, message)

    def _welcomed(self, welcome: Welcome) -> None:
        assert self.link is not None
        self.link.was_welcomed = True
        self._backoff = 0.0
        self._merges_hello = welcome.resumed
        self.self_view = welcome.self_
        self.world.loop.call_later(0.0, self._watch_left_out)

    def _watch_left_out(self) -> None:
        if self.is_live:
            self.watch(self.view.left_out())

    def hold(self, entries: dict[int, StatusEntry]) -> None:
        """Begin with these."""
        self._fold = dict(entries)

    # -- its own fold --------------------------------------------------------------------------------------------------

    def _fold_snapshot(self, part: Snapshot) -> None:
        if part.id is None and self._merges_hello:
            self._merges_hello = part.more
            self._merge(part.statuses)
            return
        for entry in part.statuses:
            self._see(entry, replaces=True)
            self._fold[entry.user_id] = entry

    def _merge(self, entries: list[StatusEntry]) -> None:
        for entry in entries:
            self._see(entry, replaces=False)
            held = self._fold.get(entry.user_id)
            if held is None or held.version < entry.version:
                self._fold[entry.user_id] = entry

    def _see(self, entry: StatusEntry, replaces: bool) -> None:
        self.world.checker.entry(self.viewer, entry)
        if self.viewer and self.world.permissions is not None:
            return  # a permission that was given is told under a version of its own, which a later answer need not have
        held = self._fold.get(entry.user_id)
        if held is not None and (entry.version or not replaces):
            require(entry.version >= held.version, "a version went back", self, held, entry)
        # A query may be answered before a look-up that a full snapshot was made from.
        seen = 0 if replaces else self._seen.get(entry.user_id, 0)
        require(entry.version >= seen or not entry.version, "a version went back", self, seen, entry)
        self._seen[entry.user_id] = entry.version

    def _check(self) -> None:
        """Right after something was folded."""
        view = self.view
        if view.stale_since is not None:
            return
        if not self.outstanding:
            for user_id, entry in view.entries.items():
                folded = self._fold.get(user_id)
                require(folded == entry, "the view is not the fold", self, entry, folded)
        if view.cursor is not None:
            self.world.checker.cursor(view.cursor, view.entries, self)
            self._keep(view.cursor)

    def _keep(self, cursor: str) -> None:
        """A sample of all cursors ever given, each as likely as the others."""
        self._cursors_given += 1
        if len(self.given) < KEPT_CURSORS:
            self.given.append((cursor, dict(self.view.entries)))
        elif (place := self.world.random.randrange(self._cursors_given)) < KEPT_CURSORS:
            self.given[place] = (cursor, dict(self.view.entries))
