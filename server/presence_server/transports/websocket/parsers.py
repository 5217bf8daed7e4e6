"""Parsers of WebSocket frames, lent to connections only while they are in the middle of something.

A `ServerProtocol` of websockets costs some 3.5 KB, and between two messages it holds nothing that another connection's
would not. So a connection takes one when bytes arrive and gives it back when it is between two frames; an idle
connection has none. A parser in the middle of a frame, of a fragmented message or of a closing handshake stays with
its connection.
"""

from __future__ import annotations

from codecs import IncrementalDecoder, getincrementaldecoder
from collections.abc import Callable
from types import GeneratorType
from typing import Any, Final, cast

from websockets.exceptions import PayloadTooBig
from websockets.extensions import Extension
from websockets.frames import Frame, Opcode
from websockets.protocol import OPEN
from websockets.server import ServerProtocol
from websockets.streams import StreamReader

MOST_KEPT: Final = 64
"""Parsers kept for the next who needs one: as many as are busy in one turn of the loop, roughly."""

_Utf8: Final = getincrementaldecoder("utf-8")
_BETWEEN_FRAMES: Final = StreamReader.at_eof.__code__


class Parser(ServerProtocol):
    """The Sans-I/O parser of an open connection, stricter than its base in one thing and fairer in two.

    A text message is checked frame by frame to be UTF-8: whoever breaks it is told with 1007 at once (RFC 6455 section
    8.1), not when a long message is complete. Control frames in the middle of a fragmented message (section 5.4) are
    taken as anywhere else: the base answers a close there with 1002, and holds pings to what is left for the message.
    """

    def __init__(self, max_message: int, logger: object, extensions: list[Extension]) -> None:
        # A limit on frames; `_take_data` holds the message to it as well.
        super().__init__(state=OPEN, max_size=(None, max_message), logger=logger)  # type: ignore[arg-type]
        self.extensions = extensions
        self._max_message = max_message
        self.checks_text = True
        self._text: IncrementalDecoder | None = None

    def recv_frame(self, frame: Frame) -> None:
        if frame.opcode is Opcode.CLOSE:
            self.current_size = None
        elif frame.opcode is Opcode.TEXT or frame.opcode is Opcode.CONT:
            self._take_data(frame)
        super().recv_frame(frame)

    def _take_data(self, frame: Frame) -> None:
        if frame.opcode is Opcode.TEXT and self.current_size is None:
            self._text = _Utf8() if self.checks_text else None
        elif frame.opcode is Opcode.CONT and self.current_size is not None:
            if self.current_size + len(frame.data) > self._max_message:
                raise PayloadTooBig(len(frame.data), self._max_message - self.current_size)
        else:
            return  # out of turn: the base will say so
        if self._text is not None:
            self._text.decode(frame.data, final=frame.fin)
            begun, _ = self._text.getstate()
            if begun[:1] == b"\xed" and begun[1:] > b"\x9f":  # the decoder sees a surrogate only at its last byte
                raise UnicodeDecodeError("utf-8", begun, 0, len(begun), "surrogates are not text")
            if frame.fin:
                self._text = None


class Parsers:
    def __init__(self, max_message: int, logger: object, extensions: Callable[[], list[Extension]] = list) -> None:
        """`extensions` are made anew for each parser: they hold what a message in fragments needs."""
        self._max_message = max_message
        self._logger = logger
        self._extensions = extensions
        self._idle: list[Parser] = []

    def take(self, checks_text: bool = True) -> Parser:
        """A parser of an open connection, between two frames. Where no message is text, it need not be checked."""
        parser = self._idle.pop() if self._idle else Parser(self._max_message, self._logger, self._extensions())
        parser.checks_text = checks_text
        return parser

    def give_back(self, parser: ServerProtocol) -> bool:
        """Take `parser` back if it is between two frames; False: it must stay where it is."""
        if not isinstance(parser, Parser) or not is_between_frames(parser):
            return False
        if len(self._idle) < MOST_KEPT:
            self._idle.append(parser)
        else:
            let_go(parser)
        return True

    def __repr__(self) -> str:
        return f"<Parsers, {len(self._idle)} idle>"


def let_go(parser: ServerProtocol) -> None:
    """Untie what will not be used again: it holds its generator and a method of its own, and they hold it.

    So do failures, by the frames in their tracebacks.
    """
    parser.parser.close()
    parser.__dict__.pop("select_subprotocol", None)
    parser.handshake_exc = None
    if parser.parser_exc is not None:
        parser.parser_exc.__traceback__ = None


def is_between_frames(parser: ServerProtocol) -> bool:
    """Whether `parser` is as good as new: it has consumed whole messages and nothing else.

    An empty buffer alone does not say so: the head of a frame is consumed before its payload has arrived. What the
    parser waits for does: between two frames, and only there, it asks whether the stream has ended.
    """
    return (
        parser.state is OPEN
        and parser.current_size is None
        and not parser.events
        and not parser.writes
        and not parser.reader.buffer
        and _innermost(cast("GeneratorType[None, None, None]", parser.parser)).gi_code is _BETWEEN_FRAMES
    )


def _innermost(generator: GeneratorType[Any, Any, Any]) -> GeneratorType[Any, Any, Any]:
    """The generator at which a chain of `yield from` has stopped."""
    while isinstance(inner := generator.gi_yieldfrom, GeneratorType):
        generator = inner
    return generator
