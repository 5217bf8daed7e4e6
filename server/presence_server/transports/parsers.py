"""Parsers of WebSocket frames, lent to connections only while they are in the middle of something.

A `ServerProtocol` of websockets costs some 3.5 KB, and between two messages it holds nothing that another connection's
would not. So a connection takes one when bytes arrive and gives it back when it is between two frames; an idle
connection has none. A parser in the middle of a frame, of a fragmented message or of a closing handshake stays with
its connection.
"""

from __future__ import annotations

from collections.abc import Callable
from types import GeneratorType
from typing import Any, Final, cast

from websockets.extensions import Extension
from websockets.protocol import OPEN
from websockets.server import ServerProtocol
from websockets.streams import StreamReader

MOST_KEPT: Final = 64
"""Parsers kept for the next who needs one: as many as are busy in one turn of the loop, roughly."""

_BETWEEN_FRAMES: Final = StreamReader.at_eof.__code__


class Parsers:
    def __init__(self, max_message: int, logger: object, extensions: Callable[[], list[Extension]] = list) -> None:
        """`extensions` are made anew for each parser: they hold what a message in fragments needs."""
        self._max_message = max_message
        self._logger = logger
        self._extensions = extensions
        self._idle: list[ServerProtocol] = []

    def take(self) -> ServerProtocol:
        """A parser of an open connection, between two frames."""
        if self._idle:
            return self._idle.pop()
        parser = ServerProtocol(state=OPEN, max_size=self._max_message, logger=self._logger)  # type: ignore[arg-type]
        parser.extensions = self._extensions()
        return parser

    def give_back(self, parser: ServerProtocol) -> bool:
        """Take `parser` back if it is between two frames; False: it must stay where it is."""
        if not is_between_frames(parser):
            return False
        if len(self._idle) < MOST_KEPT:
            self._idle.append(parser)
        return True

    def __repr__(self) -> str:
        return f"<Parsers, {len(self._idle)} idle>"


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
