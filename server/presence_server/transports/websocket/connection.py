"""One WebSocket connection: a protocol of our own, on websockets' Sans-I/O `ServerProtocol`.

uvicorn's own implementations report a dropped TCP connection as 1005, so that a grace period could not be told from
a deliberate end; and they spend tasks, queues and events on every idle connection. Here an idle connection owns
none: bytes come in through `data_received`, and frames go out through `write`.

What is read when is decided in `reading`.

**Closing.** The close frame is sent, then FIN; what still arrives is discarded for up to a second, so that the code
reaches a client that is still sending: closing a socket with unread bytes resets it.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, ClassVar, Final

from websockets.frames import Opcode
from websockets.protocol import OPEN

from presence_protocol.close_codes import CloseCode
from presence_protocol.errors import InvalidMessage, MalformedMessage
from presence_server.application.ports import Peer
from presence_server.application.sessions import Session
from presence_server.logs import get_logger
from presence_server.transports.addresses import peer_of
from presence_server.transports.websocket import deflate
from presence_server.transports.websocket.direct import SEND_BUFFER
from presence_server.transports.websocket.frames import close_frame
from presence_server.transports.websocket.handshake import Handshake
from presence_server.transports.websocket.parsers import Parsers
from presence_server.transports.websocket.reading import BINARY, ReadingProtocol

if TYPE_CHECKING:
    from presence_server.transports.websocket.websockets import WebSockets

LINGER: Final = 1.0
"""Seconds for which what arrives after our close frame is discarded."""

MAX_REASON: Final = 123
"""Bytes of a close reason (RFC 6455 section 5.5: a control frame carries 125)."""

_log = get_logger(__name__)


class WebSocketConnection(ReadingProtocol):
    """From the answer to the upgrade request to the end of the TCP connection. A `Link` for its session."""

    __slots__ = ("_is_lost",)

    def __init__(self, shared: WebSockets) -> None:
        super().__init__(shared)
        self._is_lost = False
        """The link dropped, and the hub is still to be told."""

    # -- asyncio.Protocol ------------------------------------------------------------------------------------------

    def connection_lost(self, exc: Exception | None) -> None:
        self._shared.leave(self)
        self._shared.shares.forget(self)
        self._shared.unsent.discard(self)
        self._shared.driver.discard_timeout(self.abort)
        super().connection_lost(exc)
        self._lose()
        self._drop_unread()

    def eof_received(self) -> bool:
        self._lose()
        # The transport closes once all is written. Whoever reads nothing must not keep it for ever.
        self._is_closing = True
        self._shared.driver.set_timeout(self.abort, LINGER)
        return False

    def pause_writing(self) -> None:
        super().pause_writing()
        if self._session is not None:
            self._put_socket(self._session)
            self._shared.hub.blocked(self._session, self._shared.clock.now())

    def _keep_count(self) -> None:
        if self._transport is not None and (size := self._transport.get_write_buffer_size()):
            self._shared.unsent.put(self, size)

    def give_up(self) -> None:
        """Too much is unsent in all, and most of it here: 4508, which it will hardly see."""
        if self._session is not None:
            now = self._shared.clock.now()
            reason = "too slow to read what is sent"
            self._shared.hub.fail(self._session, CloseCode.TOO_SLOW, reason, now)
        self.abort()

    def resume_writing(self) -> None:
        super().resume_writing()
        self._shared.unsent.discard(self)
        if self._session is not None:
            self._put_socket(self._session)
            self._shared.hub.unblocked(self._session, self._shared.clock.now())

    # -- handshake -------------------------------------------------------------------------------------------------

    def open(self, handshake: Handshake) -> None:
        """The handshake has been answered so: say it, and begin or end."""
        self.write(handshake.answer)
        self._shared.counts.handshakes[handshake.status] += 1
        assert self._transport is not None
        address = (peer_of(self._transport) or ("", 0))[0]
        if not handshake.is_accepted:
            self._shared.journal.handshake_refused(handshake.status, handshake.answer, address)
            self._finish()
            return
        self._shared.enter(self)
        if handshake.is_deflating:
            self.__class__ = DeflatingConnection
        clients = self._shared.entrance.clients_of(address, handshake.forwarding)
        peer = Peer(address, handshake.authorization, clients, handshake.ticket)
        session = self._shared.hub.open(self, handshake.codec_number, peer, self._shared.clock.now())
        self._session = session
        self._put_socket(session)

    def _put_socket(self, session: Session) -> None:
        """Say whether what goes to many may go past this connection."""
        self._shared.sockets.put(session.slot, self._descriptor)

    # -- messages and turns ----------------------------------------------------------------------------------------

    def take_turn(self, now: float, ends_at: float) -> bool:
        if self._is_lost:
            self._is_waiting = False
            self._end(CloseCode.ABNORMAL)
        else:
            self._is_waiting = not self._is_closing and self._read(now, ends_at)
        return self._is_waiting

    def _message(self, opcode: Opcode, payload: bytes, now: float) -> None:
        session, hub = self._session, self._shared.hub
        assert session is not None
        codec = session.codec
        try:
            if (opcode is BINARY) is not codec.is_binary:
                raise MalformedMessage(f"{codec.subprotocol} takes {'binary' if codec.is_binary else 'text'} frames")
            message = self._shared.codecs[session.codec_number].decode_client(payload)
            hub.handle(session, message, now)
        except MalformedMessage as malformed:
            hub.fail(session, CloseCode.MALFORMED, malformed.reason, now)
        except InvalidMessage as invalid:
            hub.refuse(session, invalid, now)
        except Exception as bug:
            _log.exception("message failed", bug, session=hub.engine.session_id(session.session_number))
            hub.fail(session, CloseCode.INTERNAL_ERROR, "internal error", now)

    def _go_on(self, session: Session, now: float) -> None:
        hub = self._shared.hub
        try:
            hub.go_on(session, now)
        except Exception as bug:
            _log.exception("answer failed", bug, session=hub.engine.session_id(session.session_number))
            hub.fail(session, CloseCode.INTERNAL_ERROR, "internal error", now)

    # -- Link ------------------------------------------------------------------------------------------------------

    def has_room(self) -> bool:
        # Not "nothing waits": uvloop writes at the end of its turn, so even an idle socket looks busy until then.
        return self._transport is not None and self._transport.get_write_buffer_size() < SEND_BUFFER

    def read_on(self) -> None:
        # Within a turn, it goes on by itself; one that waits for a turn will have it.
        session = self._session
        if session is None or self._is_waiting or self._is_closing:
            return
        if self._is_paused:
            self._resume_reading()
            self._read_now(self._shared.clock.now())
        elif session.can_go_on:
            self._wait()

    def close(self, code: int, reason: str) -> None:
        if self._is_closing or self._transport is None:
            return
        self._flush()
        if self._ws is None or self._ws.state is OPEN:
            self.write(_close_frame(code, reason))
        self._finish()

    def abort(self) -> None:
        self._is_closing = True
        if self._transport is not None:
            self._transport.abort()

    # -- the end ---------------------------------------------------------------------------------------------------

    def _lose(self) -> None:
        """The link dropped. Those of twenty thousand may at once, and a network's end must not stop the loop: what that
        takes is done in turns."""
        session, shares, clock = self._session, self._shared.shares, self._shared.clock
        if session is None or self._is_lost:
            return
        if session.is_over:  # as after every bye: the hub knows
            self._session = None
            return
        if shares.left > 0:
            now = clock.now()
            self._end(CloseCode.ABNORMAL)
            shares.charge(self, clock.now() - now)
            shares.forget(self)
            return
        self._is_lost = self._is_closing = True
        self._shared.sockets.put(session.slot, -1)  # the descriptor may be another connection's before that
        self._wait()

    def _end(self, code: int, reason: str | None = None) -> None:
        """Tell the hub, once, how the session ended; and the `reason` if it is this end that closed it."""
        session, self._session = self._session, None
        if session is not None:
            self._shared.hub.lost(session, code, self._shared.clock.now(), reason)

    def _flush(self) -> None:
        """Send what the parser has to send, in one write. Its request to half-close is ours to time: see `_finish`."""
        if self._ws is not None and (data := b"".join(self._ws.data_to_send())):
            self.write(data)

    def _finish(self) -> None:
        """Everything was sent: half-close, and discard what still arrives for a while."""
        self._is_closing = True
        self._drop_unread()
        if self._transport is None:
            return
        if self._is_paused:
            self._is_paused = False
            self._transport.resume_reading()
        if self._transport.can_write_eof():
            self._transport.write_eof()
        else:
            self._transport.close()  # under TLS, which says its own goodbye
        self._shared.driver.set_timeout(self.abort, LINGER)

    def __repr__(self) -> str:
        return f"<WebSocketConnection {self._session!r}>"


class DeflatingConnection(WebSocketConnection):
    """One that has agreed on permessage-deflate. It becomes so by its handshake: no other pays a thing for it."""

    __slots__ = ()

    _chunk: ClassVar = deflate.CHUNK

    @property
    def _parsers(self) -> Parsers:
        return self._shared.deflation.parsers

    def _put_socket(self, session: Session) -> None:
        """Nothing may go past it."""

    def write(self, frame: bytes) -> None:
        super().write(self._shared.deflation.compressed(frame))


@lru_cache(maxsize=64)
def _close_frame(code: int, reason: str) -> bytes:
    """Nearly all that are closed are told one of a few things, and most a bye's."""
    return close_frame(code, _short(reason))


def _short(reason: str) -> bytes:
    return reason.encode()[:MAX_REASON].decode(errors="ignore").encode()
