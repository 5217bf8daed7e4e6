"""What arrives at one WebSocket connection: when it is read from, and how much of that is parsed in one turn.

Nearly always one whole message or pong arrives, which needs no parser (see `frames.plain_frame`). All else
is parsed in small chunks, in a turn of the loop that all who ask for much share (see `shares`), so that those who flood
delay nobody by more than that, however many they are. A session that must wait (it is behind, or being greeted) is not
read from.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Final

from websockets.frames import Frame, Opcode
from websockets.protocol import OPEN
from websockets.server import ServerProtocol

from presence_protocol.close_codes import CloseCode
from presence_server.application.sessions import Session
from presence_server.transports.websocket.direct import DirectProtocol
from presence_server.transports.websocket.frames import plain_frame, pong_frame
from presence_server.transports.websocket.parsers import Parsers, let_go

if TYPE_CHECKING:
    from presence_server.transports.websocket.websockets import WebSockets

CHUNK: Final = 4096
"""Bytes parsed at once."""

MESSAGES_PER_TURN: Final = 32
"""Frames handled before others get their turn."""

CHUNKS_PER_TURN: Final = 32
"""Chunks parsed before others get their turn. Who waits for one is not read from: uvloop would read it up to 32 times
on end otherwise, 256 KB each time."""

BRIEF: Final = 256
"""Bytes of a message that is handled whoever else has used the turn: not even the clock is asked, unless what it asks
for is dear."""

TEXT: Final = Opcode.TEXT  # an enum's member costs 50 ns to look up
BINARY: Final = Opcode.BINARY


class ReadingProtocol(DirectProtocol):
    """The reading half of a connection. The methods without a body say what it needs of the other."""

    __slots__ = ("_fragments", "_frames", "_is_paused", "_is_waiting", "_session", "_shared", "_unparsed", "_ws")

    _chunk: ClassVar = CHUNK

    def __init__(self, shared: WebSockets) -> None:
        super().__init__(shared.sockets.traffic)
        self._shared = shared
        self._session: Session | None = None
        self._ws: ServerProtocol | None = None
        """Lent while something is under way."""
        self._unparsed = b""
        self._frames: list[Any] = []
        # The kind of message and what has come of it: one buffer, since fragments may be of two bytes each.
        self._fragments: tuple[Opcode, bytearray] | None = None
        self._is_paused = False
        self._is_waiting = False
        """For a turn."""

    def take_turn(self, now: float, ends_at: float) -> bool:
        """A turn of the loop, until `ends_at`. Returns whether there is more to do."""
        raise NotImplementedError

    def _message(self, opcode: Opcode, payload: bytes, now: float) -> None:
        """A whole message has arrived."""
        raise NotImplementedError

    def _go_on(self, session: Session, now: float) -> None:
        """The session has begun an answer in steps: take the next."""
        raise NotImplementedError

    def _end(self, code: int, reason: str | None = None) -> None:
        """The session is over; `reason`: this end closed it."""
        raise NotImplementedError

    def _flush(self) -> None:
        """Send what the parser has to send."""
        raise NotImplementedError

    def _finish(self) -> None:
        """Everything was sent: no more is read."""
        raise NotImplementedError

    def data_received(self, data: bytes) -> None:
        session, shared = self._session, self._shared
        if self._is_closing:
            return
        if session is None:
            return
        now = shared.clock.now()
        size, shares = len(data), shared.shares
        self._traffic.received += size
        # While it is read from and waits for nothing, nothing is left unparsed.
        is_idle = self._ws is None and not (self._is_waiting or self._is_paused or session.must_wait)
        if is_idle and size <= CHUNK and (size <= BRIEF or shares.left > 0):
            plain = plain_frame(data, shared.max_message)
            if plain is not None:
                self._is_waiting = True  # within a turn nothing asks for another
                self._handle_plain(*plain, now)
                self._is_waiting = False
                if size > BRIEF or shares.is_claimed:
                    shares.charge(self, shared.clock.now() - now)
                if session.can_go_on:
                    self._read_now(shared.clock.now())
                else:
                    self._end_turn(session, False)
                return
        shared.hub.heard(session, now)
        self._unparsed = self._unparsed + data if self._unparsed else data
        if self._is_waiting:
            self._pause_reading()
        elif not self._is_paused:
            self._read_now(now)

    def _read_now(self, now: float) -> None:
        """Read what has arrived, if anything is left of this turn of the loop, or wait for the next."""
        shares = self._shared.shares
        if shares.left <= 0:
            self._wait()
            return
        self._is_waiting = True  # within a turn nothing asks for another
        wants_more = self._read(now, now + shares.left)
        self._is_waiting = False
        shares.charge(self, self._shared.clock.now() - now)
        if wants_more:
            self._wait()

    def _wait(self) -> None:
        """Ask for a turn. What arrives until then is kept, once; then the socket is paused."""
        if not self._is_waiting:
            self._is_waiting = True
            self._shared.shares.ask(self)

    def _read(self, now: float, ends_at: float) -> bool:
        """Parse and handle what has arrived, as far as session and turn allow. Returns whether there is more to do."""
        session, clock = self._session, self._shared.clock
        messages, chunks = MESSAGES_PER_TURN, CHUNKS_PER_TURN
        is_spent = False
        while session is not None and not (self._is_closing or is_spent):
            if session.can_go_on:
                self._go_on(session, now)
                now = clock.now()
                is_spent = now >= ends_at
            elif session.must_wait:
                break
            elif self._frames:
                messages -= 1
                self._handle(self._frames.pop(), now)
                now = clock.now()
                is_spent = not messages or now >= ends_at
            elif self._unparsed:
                chunks -= 1
                chunk, self._unparsed = self._unparsed[: self._chunk], self._unparsed[self._chunk :]
                self._parse(chunk)
                is_spent = not chunks
            else:
                break
        return session is not None and self._end_turn(session, is_spent)

    def _end_turn(self, session: Session, is_spent: bool) -> bool:
        """Let others have the parser, and take up reading or have it wait. Returns whether there is more to do."""
        if self._is_closing:
            return False
        if self._ws is not None and not self._frames and self._parsers.give_back(self._ws):
            self._ws = None
        if session.must_wait:
            self._pause_reading()
            return session.can_go_on
        if is_spent and (self._frames or self._unparsed):
            self._pause_reading()
            return True
        self._resume_reading()
        return False

    @property
    def _parsers(self) -> Parsers:
        return self._shared.parsers

    def _parse(self, chunk: bytes) -> None:
        if self._ws is None:
            assert self._session is not None
            self._ws = self._parsers.take(checks_text=not self._session.codec.is_binary)
        self._ws.receive_data(chunk)
        self._frames = self._ws.events_received()
        self._frames.reverse()
        if self._ws.parser_exc is not None and not self._frames:
            self._fail_parsing(self._ws)
        elif not self._is_closing and self._ws.state is OPEN:
            self._flush()  # pongs

    def _fail_parsing(self, ws: ServerProtocol) -> None:
        """What arrived breaks RFC 6455, or a limit: the close frame is the parser's own."""
        sent = ws.close_sent
        self._shared.hub.refused["max_message"] += sent is not None and sent.code == CloseCode.TOO_BIG
        if sent is None:
            self._end(CloseCode.ABNORMAL)
        else:
            self._end(sent.code, sent.reason)
        self._flush()
        self._finish()

    def _handle(self, frame: Frame, now: float) -> None:
        if frame.opcode is Opcode.TEXT or frame.opcode is Opcode.BINARY:
            if frame.fin:
                self._message(frame.opcode, bytes(frame.data), now)
            else:
                self._fragments = frame.opcode, bytearray(frame.data)
        elif frame.opcode is Opcode.CONT:
            self._continue(frame, now)
        elif frame.opcode is Opcode.CLOSE:
            received = self._ws.close_rcvd if self._ws is not None else None
            self._end(CloseCode.NO_STATUS if received is None else received.code)
            self._flush()
            self._finish()
        if self._ws is not None and self._ws.parser_exc is not None and not self._frames and not self._is_closing:
            self._fail_parsing(self._ws)

    def _continue(self, frame: Frame, now: float) -> None:
        assert self._fragments is not None, "the parser let a continuation without a beginning pass"
        kind, payload = self._fragments
        payload += frame.data
        if frame.fin:
            self._fragments = None
            self._message(kind, bytes(payload), now)

    def _handle_plain(self, opcode: Opcode, payload: bytes, now: float) -> None:
        if opcode is TEXT or opcode is BINARY:
            self._message(opcode, payload, now)
        elif self._session is not None:
            self._shared.hub.heard(self._session, now)
            if opcode is Opcode.PING:
                self.write(pong_frame(payload))

    def _pause_reading(self) -> None:
        if not self._is_paused and self._transport is not None:
            self._is_paused = True
            self._transport.pause_reading()

    def _resume_reading(self) -> None:
        if self._is_paused and self._transport is not None and not self._is_closing:
            self._is_paused = False
            self._transport.resume_reading()

    def _drop_unread(self) -> None:
        """What has arrived and was not handled is of no interest any more."""
        self._unparsed, self._frames, self._fragments = b"", [], None
        if self._ws is not None:
            let_go(self._ws)
            self._ws = None
