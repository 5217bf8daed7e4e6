"""A connection between one client and the server: an ordered pipe each way, and every way in which it can end.

The server's end behaves as `transports.websocket` does: it is a `Link`, reads when the session does not have to wait,
hands bytes to a socket that takes only so much while the client does not read, and says `blocked` and `drained`.

A cut loses whatever is on its way. It may be noticed by either end, by both, or by none (half-open).
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Final

from websockets.frames import Opcode

from presence_protocol.close_codes import CloseCode
from presence_server.application.ports import Peer
from presence_server.application.sessions import Session
from simulator.loop import SOCKET, SOON

if TYPE_CHECKING:
    from simulator.clients import Client
    from simulator.world import World

MESSAGE, CLOSE, LOST = "message", "close", "lost"
LOOPBACK: Final = Peer("127.0.0.1")


class Link:
    """Implements `application.ports.Link` at the server's end; the client's end calls the rest."""

    def __init__(self, world: World, client: Client) -> None:
        self._world = world
        self.client = client
        self.session: Session | None = None
        self.inbox: deque[tuple[str, bytes, int]] = deque()
        self.unsent: list[bytes] = []
        self.unsent_bytes = 0
        self.is_read = True  # by the client
        self.stopped_at = float("-inf")  # when the client last did not read
        self.is_blocked = False
        self.has_turn = False  # or will have one, to go on with an answer
        self.blocked_at = 0.0
        self.opened_at = 0.0
        self.alive_at = 0.0  # when the server last had a sign of life
        self.is_cut = False
        self.is_over_there = False  # the client is done with it
        self.is_over_here = False  # so is the server
        self.said_hello = self.said_goodbye = self.was_welcomed = False
        self._greets = False  # a welcome was written
        self.down_at: float | None = None
        self._there = self._back = 0.0

    def __repr__(self) -> str:
        number = "-" if self.session is None else self.session.number
        return f"<Link {number} of {self.client}>"

    @property
    def is_true(self) -> bool:
        """Whether an omniscient observer would say that the two ends are connected."""
        return self.down_at is None

    def _goes_down(self) -> None:
        if self.down_at is None:
            self.down_at = self._world.clock.now()
            self._world.oracle.link_down(self)

    # -- the client's end ----------------------------------------------------------------------------------------------

    def open(self) -> None:
        self._world.loop.serve(SOCKET, self._world.delay(), self._accept)

    def _accept(self) -> None:
        world = self._world
        if self.is_over_there or self.is_cut:
            return
        self.opened_at = world.clock.now()
        self.session = world.hub.open(self, self.client.codec_number, LOOPBACK, self.opened_at)
        world.links[self.session.number] = self
        world.loop.call_later(world.delay(), self.client.opened, self)

    def send(self, kind: str, payload: bytes = b"", code: int = 0) -> None:
        """From the client. What is sent after it is done with the link goes nowhere."""
        if self.is_over_there or self.is_cut:
            return
        self._there = max(self._there, self._world.loop.time + self._world.delay())
        self._world.loop.serve_at(self._there, SOCKET, self._arrive, kind, payload, code)

    def close_from_client(self, code: int) -> None:
        """With a close frame; 1005: without a code."""
        if not self.is_over_there:
            self.said_goodbye |= code in (CloseCode.NORMAL, CloseCode.NO_STATUS)
            self.send(CLOSE, code=code)
            self.is_over_there = True
            self._goes_down()

    def says_goodbye(self) -> None:
        """A bye was sent: the device may be gone from now on."""
        self.said_goodbye = True
        self._goes_down()

    def cut(self, server_notices: bool, client_notices: bool, is_orderly: bool) -> None:
        """An orderly end is seen behind what had arrived before; the other at once."""
        if self.is_cut or self.is_over_there:
            return
        self.is_cut = True
        self._goes_down()
        self._world.loop.call_later(self._world.delay(), self._notice, server_notices, client_notices, is_orderly)

    def _notice(self, server_notices: bool, client_notices: bool, is_orderly: bool) -> None:
        if client_notices:
            self.client.lost(self, CloseCode.ABNORMAL)
        if server_notices:
            self._world.loop.serve(SOCKET, 0.0, self._reset if not is_orderly else self._end_of_file)

    def give_up(self) -> None:
        """The client has heard nothing for too long, and drops its end."""
        self.cut(server_notices=True, client_notices=False, is_orderly=True)
        self.is_over_there = True

    def stop_reading(self) -> None:
        self.is_read = False

    def read_again(self, is_sip: bool = False) -> None:
        """The client reads what waits; then it goes on reading, unless it was a sip."""
        self.is_read = not is_sip
        self.stopped_at = self._world.clock.now()
        if self.is_cut:
            return
        waiting, self.unsent, self.unsent_bytes = self.unsent, [], 0
        for data in waiting:
            self._put(data)
        if self.is_blocked:
            self._world.loop.serve(SOCKET, self._world.delay(), self._writable)

    # -- the server's end ----------------------------------------------------------------------------------------------

    def _arrive(self, kind: str, payload: bytes, code: int) -> None:
        if not self.is_cut and not self.is_over_here:
            self.inbox.append((kind, payload, code))
            self.read_on()

    def _end_of_file(self) -> None:
        if not self.is_over_here:
            self.inbox.append((LOST, b"", CloseCode.ABNORMAL))
            self.read_on()

    def _reset(self) -> None:
        self.inbox.clear()
        self._end_of_file()

    def read_on(self) -> None:
        world, session = self._world, self.session
        if session is not None and session.can_go_on and not self.has_turn:
            # Each step of an answer has a turn of the loop to itself, and anything may happen in between.
            self.has_turn = True
            world.loop.serve(SOON, world.scenario.turn, self._go_on)
        while self.inbox and session is not None and not self.is_over_here:
            kind, payload, code = self.inbox[0]
            if session.must_wait and kind is not LOST:
                return
            self.inbox.popleft()
            now = world.clock.now()
            if kind is MESSAGE:
                self.alive_at = now
                world.hub.heard(session, now)
                if payload:  # else a pong
                    message = world.people.codecs[session.codec_number].decode_client(payload)
                    world.hub.handle(session, message, now)
            else:
                self.is_over_here = True
                world.hub.lost(session, code, now)

    def _go_on(self) -> None:
        self.has_turn = False
        if self.session is not None and not self.is_over_here:
            self._world.hub.go_on(self.session, self._world.clock.now())
            self.read_on()

    def _writable(self) -> None:
        if self.is_blocked and not self.unsent_bytes and not self.is_over_here and self.session is not None:
            self.is_blocked = False
            self.alive_at = self._world.clock.now()
            self._world.hub.unblocked(self.session, self._world.clock.now())

    def _put(self, data: bytes, close: int = 0) -> None:
        self._back = max(self._back, self._world.loop.time + self._world.delay())
        self._world.loop.call_at(self._back, self._deliver, data, close)

    def _deliver(self, data: bytes, close: int) -> None:
        if self.is_cut or self.is_over_there:
            return
        if close:
            self.is_over_there = True
            self.client.lost(self, close)
        else:
            self.client.received(self, data)

    # -- ports.Link ----------------------------------------------------------------------------------------------------

    def write(self, frame: bytes) -> None:
        if self.is_over_here:
            return
        if not self._greets and self.session is not None:
            self._greets = self._world.checker.greeting(self._world.people.codecs[self.session.codec_number], frame)
        if self._world.leaks is not None and self.session is not None:
            self._world.leaks.written(self.session, frame)
        if self.is_read and not self.is_cut and not self.unsent:
            self._put(frame)
            return
        self.unsent.append(frame)
        self.unsent_bytes += len(frame)
        if not self.is_blocked and self.unsent_bytes > self._world.scenario.socket_room:
            self.is_blocked = True
            self.blocked_at = self._world.clock.now()
            if self.session is not None:
                self._world.hub.blocked(self.session, self.blocked_at)

    def has_room(self) -> bool:
        return not self.is_over_here and self.unsent_bytes <= 2 * self._world.scenario.socket_room

    def close(self, code: int, reason: str) -> None:
        if self.is_over_here:
            return
        self._world.oracle.closed(self, code, reason)
        self.is_over_here = True
        self._goes_down()
        if not self.is_cut:
            # Behind a full socket the close frame is never seen.
            self._put(b"", CloseCode.ABNORMAL if self.unsent else code)

    def abort(self) -> None:
        if self.is_over_here:
            return
        self._world.oracle.aborted(self)
        self.is_over_here = True
        self._goes_down()
        if not self.is_cut:
            self._put(b"", CloseCode.ABNORMAL)


IS_PING: Final = int(Opcode.PING)
