"""Log lines are written by a thread: whoever logs waits for nobody, and a stream that is broken stops nobody."""

from __future__ import annotations

import io
import json
import logging
import os
import threading
import weakref
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from presence_server import log_output
from presence_server.log_output import FIELDS, MOST_WAITING, OutputHandler, say
from presence_server.logs import JsonFormatter
from presence_server.repeats import MOST_OF_A_KIND

WAIT = 20
"""Seconds that a reader gives a thread on a busy machine."""


def event(text: str, level: int = logging.WARNING, error: BaseException | None = None, **fields: Any) -> Any:
    info = None if error is None else (type(error), error, error.__traceback__)
    record = logging.LogRecord("presence_server.x", level, "", 0, text, None, info)
    setattr(record, FIELDS, fields)
    return record


def handler_on(stream: Any) -> OutputHandler:
    handler = OutputHandler(stream)
    handler.setFormatter(JsonFormatter())
    return handler


def written(handler: OutputHandler, stream: io.StringIO) -> list[dict[str, Any]]:
    handler.flush()
    return [json.loads(line) for line in stream.getvalue().splitlines()]


@contextmanager
def unread_pipe() -> Iterator[tuple[io.BufferedReader, Any]]:
    """A pipe that is full, since nobody reads it yet: the end to read, and a stream on the other."""
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    with suppress(BlockingIOError):
        while True:
            os.write(writing, b"x" * 4095 + b"\n")
    os.set_blocking(writing, True)
    with open(writing, "w", encoding="utf-8") as stream, open(reading, "rb") as reader:
        yield reader, stream


def test_a_pipe_that_nobody_reads_blocks_nobody_and_what_was_lost_is_told() -> None:
    """2,000 events of 1 KB: bounded memory, and the number of those that did not fit."""
    with unread_pipe() as (reader, stream):
        handler = handler_on(stream)
        for number in range(2_000):
            handler.emit(event("debug", logging.DEBUG, number=number, filler="y" * 1000))
        assert handler._waiting <= MOST_WAITING
        told: list[dict[str, Any]] = []
        found = threading.Event()

        def read() -> None:
            for line in reader:
                if line.startswith(b"{"):
                    told.append(json.loads(line))
                    if told[-1]["event"] == "log lines lost":
                        found.set()
                        return

        thread = threading.Thread(target=read, daemon=True)
        thread.start()
        assert found.wait(WAIT)
        thread.join(WAIT)
        lines = [line for line in told if line["event"] == "debug"]
        assert [line["number"] for line in lines] == list(range(len(lines))), "the oldest are kept, in their order"
        assert told[-1]["count"] == 2_000 - len(lines)
        handler.close()


def test_equal_events_are_one_line_and_a_count() -> None:
    stream = io.StringIO()
    handler = handler_on(stream)
    for number in range(1000):
        handler.emit(event("request failed", request=f"r{number}", path="/x"))
    assert [line["event"] for line in written(handler, stream)] == ["request failed"]
    handler.close()
    first, last = written(handler, stream)
    assert (first["request"], first["path"]) == ("r0", "/x")
    assert (last["event"], last["level"], last["left_out"]) == ("request failed", "warning", 999)


def test_events_that_differ_are_written_but_not_without_end() -> None:
    stream = io.StringIO()
    handler = handler_on(stream)
    for number in range(1000):
        handler.emit(event("unknown variable", name=f"PRESENCE_{number}"))
    assert len(written(handler, stream)) == MOST_OF_A_KIND
    handler.close()
    assert written(handler, stream)[-1]["left_out"] == 1000 - MOST_OF_A_KIND


def test_whoever_asks_for_debug_gets_it_all() -> None:
    stream = io.StringIO()
    handler = handler_on(stream)
    for _ in range(100):
        handler.emit(event("connection opened", logging.DEBUG))
    assert len(written(handler, stream)) == 100


def test_errors_of_different_places_are_told_apart_and_nothing_of_them_is_kept() -> None:
    class Here(Exception):
        pass

    alive: list[Any] = []

    def fail(where: str) -> Exception:
        try:
            if where == "a":
                raise Here
            raise Here
        except Here as error:
            return error

    stream = io.StringIO()
    handler = handler_on(stream)
    for where in "ababab":
        error = fail(where)
        alive.append(weakref.ref(error))
        handler.emit(event("message failed", logging.ERROR, error))
        del error
    assert len(written(handler, stream)) == 2
    assert not any(reference() for reference in alive), "a traceback keeps whatever was at work"


@pytest.mark.parametrize("stream", [None, "closed", "full"])
def test_a_stream_that_is_closed_or_full_stops_nobody(stream: str | None, capfd: pytest.CaptureFixture[str]) -> None:
    with ExitStack() as stack:
        opened: Any = None
        if stream is not None:
            opened = stack.enter_context(Path("/dev/full").open("w", encoding="utf-8"))
        if stream == "closed":
            opened.close()
        handler = handler_on(opened)
        handler.emit(event("lost"))
        handler.close()
        say(opened, "lost as well")
    assert capfd.readouterr() == ("", "")


def test_an_end_waits_for_a_pipe_but_not_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(log_output, "PATIENCE", 0.01)
    with unread_pipe() as (reader, stream):
        handler = handler_on(stream)
        handler.emit(event("kept"))
        handler.close()
        assert handler._lines or handler._is_writing
        os.read(reader.fileno(), 1_000_000)
        monkeypatch.setattr(log_output, "PATIENCE", WAIT)
        handler.flush()
        assert not handler._lines
        assert b'"event":"kept"' in os.read(reader.fileno(), 100_000)
