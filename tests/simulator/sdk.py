"""The Python SDK in the simulation: its core, which decides everything, on virtual time and the simulated network.

Where the model client shows what the protocol allows, this one shows what a program sees: it folds the Changes that
the core hands out, and what it was handed must be what the view says.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Final

from presence_client.actions import Action, Became, Changed, Close, Open, Phase, SelfTold, Send, Settled
from presence_client.attempts import End, Policy
from presence_client.backoff import Backoff
from presence_client.core import Core
from presence_client.errors import ConnectionClosed, RequestFailed
from presence_client.identity import Identity
from presence_protocol.close_codes import CloseCode
from presence_protocol.messages import Bye, Query, SetStatus, StatusEntry, Statuses
from presence_protocol.view import is_shown_alike
from simulator.clients import Client
from simulator.failure import require
from simulator.network import IS_PING, MESSAGE, Link
from support.frames import frames_of

if TYPE_CHECKING:
    from simulator.world import World

POLICY: Final = Policy(Backoff(0.1, 2.0), fallback_after=None)
FROZEN: Final = 0.5
"""Seconds between two looks at whether a process that stands still goes on."""


class SdkClient(Client):
    """One program with one `Core` after another: a core that has stopped does not start again."""

    def __init__(self, world: World, number: int, codec_number: int, user_id: int, device_id: str, platform: str):
        super().__init__(world, number, codec_number, user_id, device_id, platform)
        self._links: dict[int, Link] = {}
        self._waiting: dict[int, str] = {}
        """Tickets that nobody has settled, and what they are for."""
        self._handed_out: dict[int, StatusEntry] = {}
        self._last_level = 0
        """The ticket of what was said last of idleness; 0 once that was refused, and the program told so."""
        self._core = self._new_core(None)

    def __repr__(self) -> str:
        return f"sdk {super().__repr__()}"

    @property
    def is_live(self) -> bool:
        return self.link is not None and self._core.state.phase is Phase.ONLINE

    def _new_core(self, status: Any) -> Core:
        if self.user_id:
            identity = Identity(self.user_id, self.device_id, self.platform, status=status, ids=self.world.people.kind)  # type: ignore[arg-type]
        else:
            identity = Identity(observer=True, ids=self.world.people.kind)
        self._links, self._waiting, self._handed_out = {}, {}, {}
        return Core(identity, self.world.loop.time, self.world.random.random, POLICY)

    # -- connections ---------------------------------------------------------------------------------------------------

    def connect(self, is_mute: bool = False, **hello: Any) -> None:
        if self.wants_to_be_there:
            return
        self.wants_to_be_there = True
        watched = sorted(self.view.watched)
        self._core = self._new_core(hello.get("status"))
        self._call(self._core.watch(watched), "watch")
        if ("idle" in hello or "busy" in hello) and self.user_id:
            idle, busy = hello.get("idle", False), hello.get("busy")
            self._say_level(idle, 0.0, busy)
        self._core.start(self.world.loop.time)
        self._perform()

    def opened(self, link: Link) -> None:
        link.said_hello = True
        self._core.opened(self._number(link), self.world.loop.time)
        self._perform()

    def lost(self, link: Link, code: int) -> None:
        link.is_over_there = True
        number = self._number(link)
        self._core.lost(number, End(code), self.world.loop.time)
        self._links.pop(number, None)
        self._perform()

    def _number(self, link: Link) -> int:
        """0, which no link has, for one that is no longer ours."""
        return next((number for number, each in self._links.items() if each is link), 0)

    def close(self, code: int) -> None:
        """1001: the process dies, and its system closes the connection; the program is started again."""
        if self.link is None:
            return
        if code != CloseCode.GOING_AWAY:
            self.bye()
            return
        for link in self._links.values():
            link.close_from_client(code)
        kept = set(self.view.watched)
        self._core = self._new_core(None)
        self._sync()
        self.view.watched = kept
        self.wants_to_be_there = False
        self.world.loop.call_later(self.world.random.uniform(0, 1), self.connect)

    def bye(self) -> None:
        self.wants_to_be_there = False
        self._core.leave(self.world.loop.time)
        self._perform()

    # -- what it says --------------------------------------------------------------------------------------------------

    def watch(self, user_ids: Iterable[int]) -> None:
        self._call(self._core.watch(user_ids), "watch")
        self._perform()

    def unwatch(self, user_ids: list[int]) -> None:
        for user_id in user_ids:
            self._handed_out.pop(user_id, None)
        self._call(self._core.unwatch(user_ids), "ok")
        self._perform()

    def set_status(self, message: SetStatus) -> None:
        self._call(self._core.request(message), "ok")
        self._perform()

    def set_activity(self, idle: bool, idle_for_ms: int | None, busy: bool | None) -> None:
        self._say_level(idle, (idle_for_ms or 0) / 1000, busy)
        self._perform()

    def _say_level(self, idle: bool, idle_for: float, busy: bool | None) -> None:
        self._last_level = self._core.activity(idle, idle_for, self.world.loop.time, busy)
        self._call(self._last_level, "ok")

    def check_levels(self) -> None:
        """Whatever state the connection was in when it was said: the server has heard it.

        Of idleness and being busy only: whoever is active is not for ever.
        """
        said = self._core._idle
        is_shared = any((each.user_id, each.device_id) == (self.user_id, self.device_id) for each in self.world.devices)
        if said is not None and self._last_level and not is_shared and self.self_view is not None:
            shown = {device.device_id: (device.idle, device.busy) for device in self.self_view.devices}
            require(self.device_id in shown, "a live session was not there", self, shown)
            idle, busy = shown[self.device_id]
            require(idle or not said.idle, "idleness was not told", self, said, shown)
            require(busy or not said.busy, "being busy was not told", self, said, shown)

    def query(self, user_ids: list[int]) -> None:
        self._call(self._core.request(Query(user_ids=user_ids)), "query")
        self._perform()

    def ping(self) -> None:
        """The SDK asks by itself."""

    def _call(self, ticket: int, kind: str) -> None:
        self._waiting[ticket] = kind

    # -- what it hears -------------------------------------------------------------------------------------------------

    def received(self, link: Link, data: bytes) -> None:
        for opcode, payload in frames_of(data):
            number = self._number(link)
            if not number:
                return
            if opcode == IS_PING:
                link.send(MESSAGE)  # a pong
                self._core.heard(number, self.world.loop.time)
            else:
                message = self.codec.decode_server(payload)
                link.was_welcomed |= type(message).__name__ == "Welcome"
                self._core.received(number, message, self.world.loop.time)
            self._perform()

    # -- running the core ----------------------------------------------------------------------------------------------

    def _perform(self) -> None:
        while actions := self._core.take():
            for action in actions:
                self._do(action)
        self._sync()
        self._arm()
        if self.is_live and self.view.stale_since is None:
            entries = self.view.entries
            # Of whom the server could not look up nothing is held until it can; what was handed out may be more.
            for user_id, entry in entries.items():
                handed_out = self._handed_out.get(user_id)
                require(is_alike(handed_out, entry), "handed out something else", self, handed_out, entry)
            if self.view.cursor is not None:
                self.world.checker.cursor(self.view.cursor, self.view.entries, self)
                self._keep(self.view.cursor)

    def _sync(self) -> None:
        main = self._core._main
        self.link = None if main is None else self._links.get(main.number)
        self.view = self._core.view
        self.self_view = self._core.self_view
        self.outstanding = dict(self._waiting)
        if self._core.state.phase is Phase.CLOSED:
            self.wants_to_be_there = False

    def _arm(self) -> None:
        deadline = self._core.deadline()
        if deadline is not None:
            self.world.loop.call_at(max(deadline, self.world.loop.time), self._tick, self._core, deadline)

    def _tick(self, core: Core, deadline: float) -> None:
        if core is not self._core or core.deadline() != deadline:
            return
        if self.link is not None and not self.link.is_read and not self.link.is_cut:
            self.world.loop.call_later(FROZEN, self._tick, core, deadline)
            return
        core.tick(self.world.loop.time)
        self._perform()

    def _do(self, action: Action) -> None:
        match action:
            case Open(number):
                if self.world.is_ending:
                    return
                self._links[number] = Link(self.world, self)
                self._links[number].open()
            case Send(number, message):
                link = self._links[number]
                link.send(MESSAGE, self.codec.encode(message))
                if isinstance(message, Bye):
                    link.says_goodbye()
            case Close(number, code, _):
                self._close(number, code)
            case Changed(changes):
                for change in changes:
                    self.world.checker.entry(self.user_id or None, change.after)
                    before = self._handed_out.get(change.user_id)
                    require(is_alike(before, change.before), "a change from elsewhere", self, before, change)
                    self._handed_out[change.user_id] = change.after
            case Settled(ticket, reply, error):
                if ticket == self._last_level and isinstance(error, RequestFailed):
                    self._last_level = 0
                self._settled(self._waiting.pop(ticket, None), reply, error)
            case Became() | SelfTold():
                pass  # read from the core

    def _close(self, number: int, code: int) -> None:
        link = self._links.get(number)
        if link is None or code == CloseCode.NORMAL:
            return  # the server closes it, in answer to the bye
        del self._links[number]
        if code == CloseCode.ABNORMAL:
            link.give_up()
        else:
            link.close_from_client(code)

    def _settled(self, kind: str | None, reply: object, error: Exception | None) -> None:
        require(kind is not None, "settled twice, or never asked", self, reply, error)
        if isinstance(reply, Statuses):
            for entry in reply.statuses:
                self.world.checker.entry(self.user_id or None, entry)
        if isinstance(error, RequestFailed):
            is_late = "until: must be later than now" in str(error)  # so long was it on its way
            require(is_late or (error.code == 503 and self.world.may_be_away()), "refused", self, error)
        else:
            require(error is None or isinstance(error, ConnectionClosed), "failed", self, error)


def is_alike(one: StatusEntry | None, other: StatusEntry | None) -> bool:
    return one is other if one is None or other is None else is_shown_alike(one, other)
