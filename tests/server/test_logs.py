"""What stands in a log line, and what never does: secrets, forged lines, a terminal's escape sequences."""

from __future__ import annotations

import io
import json
import logging
import time
import warnings
from collections.abc import Callable, Iterator
from datetime import datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from presence_server.logs import (
    MAX_TEXT,
    OTHERS,
    OURS,
    SILENT,
    EventLogger,
    HumanFormatter,
    JsonFormatter,
    configure,
    flush,
    get_logger,
    redact,
)


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture
def configured() -> Iterator[Callable[..., None]]:
    """`configure`, undone after the test: handlers, levels and the capture of warnings are the process's."""
    names = ("", *OURS, *OTHERS, *SILENT)
    before = {
        name: (logger.level, list(logger.handlers), logger.propagate)
        for name in names
        for logger in [logging.getLogger(name)]
    }
    show = warnings.showwarning
    yield configure
    logging.captureWarnings(False)
    warnings.showwarning = show
    for name, (level, handlers, propagate) in before.items():
        logger = logging.getLogger(name)
        logger.setLevel(level)
        logger.handlers[:] = handlers
        logger.propagate = propagate


@pytest.fixture
def log() -> EventLogger:
    return get_logger("presence_server.transports.websocket.connection")


def text(stream: io.StringIO) -> str:
    flush()
    return stream.getvalue()


def lines(stream: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text(stream).splitlines()]


def shown(value: object, formatter: type[logging.Formatter] = JsonFormatter, name: str = "value") -> str:
    record = logging.makeLogRecord(
        {"name": "presence_server", "levelno": 20, "levelname": "INFO", "msg": "e", "presence_fields": {name: value}}
    )
    return formatter().format(record)


def test_a_collector_reads_one_object_per_line(configured: Callable[..., None], log: EventLogger) -> None:
    stream = io.StringIO()
    configured("info", "auto", stream)
    log.bind(session="s-42").info("session opened", userId=10001, platform="WEB", idle=False, since=1.5, until=None)
    log.warning("second")
    first, second = lines(stream)
    assert " ".join(first) == "time level event logger session userId platform idle since until"
    assert datetime.fromisoformat(first.pop("time")).utcoffset() is not None
    assert first == {
        "level": "info",
        "event": "session opened",
        "logger": "presence_server.transports.websocket.connection",
        "session": "s-42",
        "userId": 10001,
        "platform": "WEB",
        "idle": False,
        "since": 1.5,
        "until": None,
    }
    assert (second["level"], second["event"]) == ("warning", "second")


def test_a_person_reads_one_line(configured: Callable[..., None], log: EventLogger) -> None:
    stream = Terminal()
    configured("info", "auto", stream)
    log.info("session opened", session="s-42", userId=10001, text="two words", empty="", batch=[1, 2])
    stamp, rest = text(stream).split(" ", 1)
    assert stamp.endswith("Z")
    assert rest == 'INFO    session opened session=s-42 userId=10001 text="two words" empty="" batch=[1, 2]\n'


def test_the_style_asked_for_wins_over_the_terminal(configured: Callable[..., None], log: EventLogger) -> None:
    stream = Terminal()
    configured("info", "json", stream)
    log.info("started")
    assert lines(stream)[0]["event"] == "started"


def test_an_exception_is_a_field(configured: Callable[..., None], log: EventLogger) -> None:
    stream = io.StringIO()
    configured("info", "json", stream)
    try:
        raise LookupError("no such user")
    except LookupError as error:
        log.exception("lookup failed", request="r-7")
        kept = error
    log.exception("told later", kept, request="r-8")
    now, later = lines(stream)
    for line in (now, later):
        assert line["level"] == "error"
        assert line["error"].startswith("Traceback (most recent call last):\n")
        assert line["error"].endswith("LookupError: no such user")
    assert (now["request"], later["request"]) == ("r-7", "r-8")


def test_a_person_reads_a_traceback_indented(configured: Callable[..., None], log: EventLogger) -> None:
    stream = io.StringIO()
    configured("info", "human", stream)
    log.exception("failed", ValueError("odd\n2025-11-09T15:00:00.000Z INFO    forged \x1b[2J"))
    head, *rest = text(stream).splitlines()
    assert head.endswith("ERROR   failed")
    assert all(line.startswith("    ") for line in rest)
    assert "\x1b" not in text(stream)


def test_a_level_that_is_off_costs_no_formatting(configured: Callable[..., None], log: EventLogger) -> None:
    class Costly:
        def __str__(self) -> str:
            raise AssertionError("formatted")

    stream = io.StringIO()
    configured("warning", "json", stream)
    log.debug("off", value=Costly())
    log.info("off", value=Costly())
    assert (text(stream), log.is_enabled(logging.INFO), log.is_enabled(logging.WARNING)) == ("", False, True)


def test_debug_is_ours_alone(configured: Callable[..., None], log: EventLogger) -> None:
    stream = io.StringIO()
    configured("debug", "json", stream)
    log.debug("ours")
    for name in ("uvicorn.error", "websockets.server", "asyncio", "somebody"):
        logging.getLogger(name).info("theirs")
    assert [line["event"] for line in lines(stream)] == ["ours"]


def test_what_others_log_has_the_same_shape(configured: Callable[..., None]) -> None:
    stream = io.StringIO()
    logging.getLogger("uvicorn.error").addHandler(logging.StreamHandler(io.StringIO()))
    configured("info", "json", stream)
    logging.getLogger("uvicorn.error").warning("refused %s", "GET /ws?token=abc123&v=1")
    logging.getLogger("websockets.server").error("opening handshake failed")
    logging.getLogger("uvicorn.access").info("GET / 200")
    logging.getLogger("uvicorn.access").error("GET / 500")
    assert [(line["logger"], line["event"]) for line in lines(stream)] == [
        ("uvicorn.error", "refused GET /ws?token=[redacted]&v=1"),
        ("websockets.server", "opening handshake failed"),
    ]


def test_arguments_that_do_not_fit_their_text_lose_no_event() -> None:
    record = logging.makeLogRecord({"name": "other", "levelname": "INFO", "msg": "%d users", "args": ("many",)})
    assert json.loads(JsonFormatter().format(record))["event"] == "%d users"


def test_a_person_reads_who_else_logged(configured: Callable[..., None]) -> None:
    stream = io.StringIO()
    configured("info", "human", stream)
    logging.getLogger("websockets.server").error("opening handshake failed")
    assert text(stream).endswith("ERROR   opening handshake failed logger=websockets.server\n")


def test_at_level_error_others_are_as_quiet_as_we_are(configured: Callable[..., None], log: EventLogger) -> None:
    stream = io.StringIO()
    configured("error", "json", stream)
    log.warning("ours")
    logging.getLogger("uvicorn.error").warning("theirs")
    log.error("ours")
    assert [(line["level"], line["event"]) for line in lines(stream)] == [("error", "ours")]


def test_configuring_again_replaces_and_never_doubles(configured: Callable[..., None], log: EventLogger) -> None:
    old, new = io.StringIO(), io.StringIO()
    configured("info", "json", old)
    configured("info", "json", new)
    log.info("once")
    assert (text(old), len(lines(new))) == ("", 1)


def test_a_stream_that_cannot_be_written_stops_nobody(
    configured: Callable[..., None], log: EventLogger, capsys: pytest.CaptureFixture[str]
) -> None:
    class Full(io.StringIO):
        def write(self, text: str) -> int:
            raise OSError("no space left on device")

    configured("info", "json", Full())
    log.info("lost")
    flush()
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize("style", ["json", "human"])
def test_a_stream_of_plain_ascii_loses_nothing(configured: Callable[..., None], log: EventLogger, style: str) -> None:
    buffer = io.BytesIO()
    configured("info", style, io.TextIOWrapper(buffer, encoding="ascii", write_through=True))
    log.info("上线", text="é😀")
    flush()
    line = buffer.getvalue().decode("ascii")
    assert "\\u4e0a\\u7ebf" in line
    assert "\\u00e9\\ud83d\\ude00" in line


@pytest.mark.parametrize(
    "name", ["token", "Token", "accessToken", "authorization", "Authorization", "cookie", "set_cookie", "password"]
)
@pytest.mark.parametrize("formatter", [JsonFormatter, HumanFormatter])
def test_a_field_with_a_secret_name_is_replaced(name: str, formatter: type[logging.Formatter]) -> None:
    line = shown("s3cr3t", formatter, name)
    assert "[redacted]" in line
    assert "s3cr3t" not in line


@pytest.mark.parametrize(
    "value",
    [
        {"headers": {"Authorization": "Bearer s3cr3t"}},
        [(b"authorization", b"Bearer s3cr3t"), (b"host", b"h")],
        {"a": {"b": {"c": {"d": {"e": {"token": "s3cr3t"}}}}}},
        "ws://h/api/v1/presence/ws?v=1&token=s3cr3t",
        "token=s3cr3t&v=1",
        b"access_token=s3cr3t",
        "/ws?next=%2Fws%3Ftoken%3Ds3cr3t",
        "GET /ws\r\nAuthorization: Basic s3cr3t\r\nCookie: a=s3cr3t; b=s3cr3t",
        '{"type":"hello","token":"s3cr3t"}',
        '{"type":"hello","token":"a\\"s3cr3t"}',
        '{"type":"hello","token": "s3cr3t',
        "{'token': b's3cr3t'}",
        "Bearer s3cr3t",
        "redis://user:s3cr3t@host:6379/0",
        ValueError("bad token=s3cr3t"),
    ],
)
def test_a_secret_is_found_wherever_it_lies(value: object) -> None:
    assert "s3cr3t" not in shown(value)
    assert "s3cr3t" not in shown(value, HumanFormatter)


def test_the_rest_of_a_text_stays_readable() -> None:
    url = "http://h/ws?v=1&token=abc&w=2#top"
    assert redact(url) == "http://h/ws?v=1&token=[redacted]&w=2#top"
    assert redact("user 10001 opened http://h:8004/") == "user 10001 opened http://h:8004/"


def test_a_traceback_holds_no_secret(configured: Callable[..., None], log: EventLogger) -> None:
    stream = io.StringIO()
    configured("info", "json", stream)
    log.exception("failed", ValueError("refused /ws?token=" + "s3cr3t"))
    assert "s3cr3t" not in text(stream)


@given(st.text(st.characters(categories=["Cc", "Cf", "Cs", "Zl", "Zp", "L", "P"])))
@pytest.mark.parametrize("formatter", [JsonFormatter, HumanFormatter])
def test_no_value_breaks_its_line(formatter: type[logging.Formatter], text: str) -> None:
    line = shown(text, formatter)
    assert len(line.splitlines()) == 1
    assert not any(ord(c) < 32 or 127 <= ord(c) < 160 or c in "\u2028\u2029\u202e\u200f" for c in line)
    line.encode()


def test_an_event_cannot_be_forged_either(configured: Callable[..., None], log: EventLogger) -> None:
    stream = io.StringIO()
    configured("info", "human", stream)
    log.info("a\nb\x1b[31m")
    assert text(stream).endswith("INFO    a\\nb\\u001b[31m\n")


@pytest.mark.parametrize("value", ["plain", "a b", 'a"b', "a=b", "上线", "\\n", "{x}"])
def test_a_person_can_tell_values_apart(value: str) -> None:
    text = shown(value, HumanFormatter).split("value=", 1)[1]
    assert (json.loads(text) if text.startswith('"') else text) == value


def test_what_json_does_not_have_is_shown_as_text() -> None:
    class Broken:
        def __str__(self) -> str:
            raise RuntimeError

    assert json.loads(shown([float("nan"), float("inf"), Broken(), b"\xff", 10**5000]))["value"] == [
        "nan",
        "inf",
        "<Broken>",
        "\\xff",
        "<int>",
    ]


def test_a_value_that_a_client_made_long_is_cut() -> None:
    assert json.loads(shown("x" * (MAX_TEXT + 5)))["value"] == "x" * MAX_TEXT + "... (5 more)"
    assert json.loads(shown(list(range(60))))["value"][-1] == "... (10 more)"


@pytest.mark.parametrize("text", ["a" * 20_000, "token" * 4000, 'token":"' * 2500 + "\\", "://a" * 5000])
def test_no_text_takes_long_to_redact(text: str) -> None:
    started = time.process_time()
    redact(text)
    assert time.process_time() - started < 0.5


def test_a_field_never_replaces_what_every_line_has() -> None:
    record = logging.makeLogRecord(
        {"name": "n", "levelname": "INFO", "msg": "e", "presence_fields": {"time": 1, "logger": 2, "error": "bad"}}
    )
    line = json.loads(JsonFormatter().format(record))
    assert (line["logger"], line["time_"], line["logger_"], line["error"]) == ("n", 1, 2, "bad")


def test_a_logger_can_be_read() -> None:
    assert repr(get_logger("__main__").bind(session="s")) == "<EventLogger presence_server {'session': 's'}>"
