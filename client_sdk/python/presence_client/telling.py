"""What a program is told without asking: the streams that it iterates, and the log when there is no connection."""

import asyncio
import logging
from typing import TypeVar
from weakref import WeakSet

from presence_client.actions import Action, Became, Changed, ConnectionState, Phase, SelfTold
from presence_client.core import NO_ANSWER, NOTICE
from presence_client.errors import ConnectionClosed
from presence_client.streams import ChangeStream, Latest
from presence_protocol.close_codes import Advice, CloseCode
from presence_protocol.messages import SelfView

T = TypeVar("T")

_log = logging.getLogger("presence_client")


class Telling:
    """Hands on what the core tells. A stream that nobody holds any more is forgotten."""

    def __init__(self) -> None:
        self.online = asyncio.Event()
        """Set while there is a connection, and once there will be none."""
        self.change_streams: WeakSet[ChangeStream] = WeakSet()
        self._state_streams: WeakSet[Latest[ConnectionState]] = WeakSet()
        self._self_streams: WeakSet[Latest[SelfView]] = WeakSet()
        self._state = ConnectionState(Phase.CONNECTING)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._notice: asyncio.TimerHandle | None = None
        self._was_noticed = False

    def begin(self, loop: asyncio.AbstractEventLoop) -> None:
        """The client starts, in this loop."""
        self._loop = loop
        self._begin_notice()

    def told(self, action: Action) -> None:
        """What the core has told."""
        match action:
            case Changed(changes):
                for change in changes:
                    for changed in self.change_streams:
                        changed.put(change)
            case Became(state):
                self._become(state)
            case SelfTold(self_view):
                for stream in self._self_streams:
                    stream.put(self_view)

    def add_states(self, stream: Latest[ConnectionState], state: ConnectionState) -> None:
        """`state`: the client's, now; a stream of one that is closed has ended."""
        _enlist(stream, self._state_streams, state)

    def add_self_views(self, stream: Latest[SelfView], state: ConnectionState) -> None:
        _enlist(stream, self._self_streams, state)

    def add_changes(self, stream: ChangeStream, state: ConnectionState) -> None:
        if state.phase is Phase.CLOSED:
            stream.finish(_end_of_changes(state))
        self.change_streams.add(stream)

    def _become(self, state: ConnectionState) -> None:
        _log.debug("= %s %s", state.phase.value, state.reason)
        self._state = state
        if state.phase in (Phase.ONLINE, Phase.CLOSED):
            self.online.set()
            self._stop_notice()
        else:
            self.online.clear()
            self._begin_notice()
        for states in self._state_streams:
            states.put(state)
        if state.phase is Phase.CLOSED:
            for states in self._state_streams:
                states.finish()
            for selves in self._self_streams:
                selves.finish()
            for changes in self.change_streams:
                changes.finish(_end_of_changes(state))

    def _begin_notice(self) -> None:
        """Tell the log once that there is no connection, if it lasts."""
        if self._notice is None and self._loop is not None:
            self._notice = self._loop.call_later(NOTICE, self._log_notice)

    def _log_notice(self) -> None:
        self._was_noticed = True
        _log.warning("not connected (%s); the client goes on trying", self._state.reason or NO_ANSWER)

    def _stop_notice(self) -> None:
        if self._notice is not None:
            self._notice.cancel()
            self._notice = None
        if self._was_noticed and self._state.phase is Phase.ONLINE:
            _log.warning("connected")
        self._was_noticed = False


def _enlist(stream: Latest[T], streams: WeakSet[Latest[T]], state: ConnectionState) -> None:
    if state.phase is Phase.CLOSED:
        stream.finish()
    streams.add(stream)


def _end_of_changes(state: ConnectionState) -> ConnectionClosed | None:
    """What the streams of changes end with; None: just so, since the program left."""
    if state.code == CloseCode.NORMAL:
        return None
    return ConnectionClosed(state.code, state.reason, Advice.STOP)
