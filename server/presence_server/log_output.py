"""Where log lines go: to a stream, by a thread of their own, so that nobody waits for whoever reads it.

A pipe whose reader sleeps, a terminal that was stopped, a disk that is full: to write may take for ever, or fail. The
event loop must not do either. It hands lines over; the thread writes them. What does not fit is lost, and how much that
was is told once there is room. A stream that is closed, or that cannot be written, loses its lines and stops nobody.

Rejected: to make the descriptor non-blocking, since others write to the same open file (the shell, for one) and would
find it so.
"""

from __future__ import annotations

import json
import logging
import os
import re
import select
import threading
import time
from collections import deque
from collections.abc import Hashable
from contextlib import suppress
from typing import Final, TextIO

from presence_server.repeats import PERIOD, Repeats

MOST_WAITING: Final = 1_000_000
"""Characters of lines that wait for the stream, at most."""

PATIENCE: Final = 0.5
"""Seconds that `flush` waits for the stream: at the process's end nobody waits longer for whoever reads the log."""

FIELDS: Final = "presence_fields"
"""The attribute of a LogRecord that carries the fields of an event."""

Plain = tuple[str, int, str, tuple[tuple[str, object], ...]]
"""Who says it, how bad it is, what happened, and those of its fields that tell kinds apart."""

_NAMING: Final = ("request", "session")
"""Fields that differ from one event to the next of the same kind."""

_TELLING: Final = ("code", "status")
"""Fields that tell kinds apart, or a thousand of one close code would hide the only one of another."""

_BEYOND_ASCII: Final = re.compile("[^\x00-\x7f]")


class OutputHandler(logging.Handler):
    """Formats records where they are made, and writes their lines from a thread. None: a stream that was closed."""

    def __init__(self, stream: TextIO | None) -> None:
        super().__init__()
        self._stream = stream
        self._ready = threading.Condition()  # with a lock that the same thread may take again: a finalizer may log
        self._lines: deque[str] = deque()
        self._waiting = 0
        self._lost = 0
        self._is_writing = False
        self._is_closed = False
        self._repeats: Repeats[Plain] = Repeats()
        self._thread: threading.Thread | None = None

    # -- whoever logs ------------------------------------------------------------------------------------------------

    def emit(self, record: logging.LogRecord) -> None:
        if self._stream is None:
            return
        with self._ready:
            try:
                if record.levelno <= logging.DEBUG or self._is_first(record):
                    self._put(self._line(record))
            except Exception:
                self.handleError(record)

    def _is_first(self, record: logging.LogRecord) -> bool:
        return self._repeats.admit(plain(record), kind_of(record), details_of(record), time.monotonic())

    def _line(self, record: logging.LogRecord) -> str:
        """The line in characters that the stream can take: not every one of them speaks UTF-8."""
        line = self.format(record) + "\n"
        encoding = getattr(self._stream, "encoding", None) or "utf-8"
        return line if encoding.lower().startswith("utf") else _BEYOND_ASCII.sub(escaped, line)

    def _put(self, line: str) -> None:
        if self._waiting + len(line) > MOST_WAITING:
            self._lost += 1
            return
        self._lines.append(line)
        self._waiting += len(line)
        self._start()
        self._ready.notify_all()

    def _start(self) -> None:
        if self._thread is None and not self._is_closed:
            self._thread = threading.Thread(target=self._run, name="log", daemon=True)
            self._thread.start()

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 (the name is logging's)
        """A log that cannot be written (a closed pipe, a full disk) must not stop the server nor print more."""

    # -- the thread --------------------------------------------------------------------------------------------------

    def _run(self) -> None:
        while True:
            with self._ready:
                self._is_writing = False
                self._ready.notify_all()
                while not (self._lines or self._is_closed):
                    self._ready.wait(PERIOD / 10 if len(self._repeats) else None)
                    self._tell_left_out(time.monotonic())
                if not self._lines:
                    return
                self._tell_left_out(time.monotonic())
                line = self._lines.popleft()
                self._waiting -= len(line)
                self._is_writing = True
                if self._lost and self._waiting < MOST_WAITING / 2:
                    lost, self._lost = self._lost, 0
                    self._put(self._line(_note("log lines lost", count=lost)))
            self._write(line)

    def _tell_left_out(self, now: float) -> None:
        for (name, level, event, told), count in self._repeats.due(now):
            with suppress(Exception):
                self._put(self._line(_made(name, level, event, **dict(told), left_out=count)))

    def _write(self, line: str) -> None:
        assert self._stream is not None
        with suppress(Exception):  # closed, or full: this line is lost
            descriptor = descriptor_of(self._stream)
            if descriptor is None:
                self._stream.write(line)
                self._stream.flush()
            else:
                write_all(descriptor, line.encode(self._stream.encoding or "utf-8", "backslashreplace"))

    # -- the end -----------------------------------------------------------------------------------------------------

    def flush(self) -> None:
        """Wait until all is written, for `PATIENCE` at most."""
        with self._ready:
            self._ready.wait_for(lambda: not (self._lines or self._is_writing), PATIENCE)

    def close(self) -> None:
        """Tell what was left out, write what waits, and end."""
        with self._ready:
            if not self._is_closed:
                self._tell_left_out(float("inf"))
                self._is_closed = True
                self._ready.notify_all()
        self.flush()
        super().close()


def kind_of(record: logging.LogRecord) -> Hashable:
    """What events of one kind have in common: who says it, how bad it is, the event, and where an error came from.

    Of closes and refusals the code as well.
    """
    error, place = (record.exc_info[1], record.exc_info[2]) if record.exc_info else (None, None)
    while place is not None and place.tb_next is not None:
        place = place.tb_next
    where = None if place is None else (place.tb_frame.f_code, place.tb_lineno)
    return record.name, record.levelno, str(record.msg), telling(record), type(error), where


def telling(record: logging.LogRecord) -> tuple[tuple[str, object], ...]:
    fields = getattr(record, FIELDS, {})
    return tuple((name, fields[name]) for name in _TELLING if isinstance(fields.get(name), int))


def details_of(record: logging.LogRecord) -> Hashable:
    """In what else equal events are equal."""
    fields = getattr(record, FIELDS, {})
    return repr((record.args, [(name, value) for name, value in fields.items() if name not in _NAMING]))


def plain(record: logging.LogRecord) -> Plain:
    """What is kept of a record: nothing that keeps a traceback, and with it whatever was at work, alive."""
    try:
        return record.name, record.levelno, record.getMessage(), telling(record)
    except Exception:  # another library's arguments do not fit its own text
        return record.name, record.levelno, str(record.msg), ()


def _note(event: str, **fields: object) -> logging.LogRecord:
    return _made("presence_server", logging.WARNING, event, **fields)


def _made(name: str, level: int, event: str, **fields: object) -> logging.LogRecord:
    record = logging.LogRecord(name, level, "", 0, event, None, None)
    setattr(record, FIELDS, fields)
    return record


def escaped(match: re.Match[str]) -> str:
    """Characters as JSON escapes them."""
    return json.dumps(match[0])[1:-1]


# -- streams ---------------------------------------------------------------------------------------------------------


def descriptor_of(stream: TextIO) -> int | None:
    """The stream's descriptor; None for one that has none, such as a test's."""
    try:
        return stream.fileno()
    except (OSError, ValueError, AttributeError):
        return None


def write_all(descriptor: int, data: bytes) -> None:
    """Write all of it, however long that takes.

    Raises:
        OSError: it cannot be written.
    """
    while data:
        try:
            data = data[os.write(descriptor, data) :]
        except BlockingIOError:  # somebody else made it non-blocking
            select.select([], [descriptor], [])


def say(stream: TextIO | None, line: str) -> None:
    """A line for the person who started the server. A stream that is closed, full or not read keeps nobody waiting."""
    handler = OutputHandler(stream)
    handler.setFormatter(logging.Formatter("%(message)s"))
    handler.emit(_note(line))
    handler.close()


def open_standard_streams() -> None:
    """Where standard streams were closed, open them on nothing: else the first sockets would take their numbers.

    What libraries print would then be sent to a client.
    """
    for descriptor in (0, 1, 2):
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest number that is free, which is this
