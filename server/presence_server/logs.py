"""Structured logs on the standard library's logging: an event and its fields, not a sentence.

    log = get_logger(__name__)
    session_log = log.bind(session="s-42")
    session_log.info("session began", userId=10001, platform="WEB")

A person at a terminal reads one line per event; a collector reads one JSON object per line. What other libraries
log (uvicorn, websockets, asyncio) goes through the same formatter. Two rules hold for every line, whoever wrote it:

- Nobody's secrets. A field whose name speaks of a token, an authorization, a cookie, a password or a secret is
  replaced, however deep it lies; so is what follows such a name in a text (``?token=...``, ``Authorization: ...``,
  ``"token": "..."``), and a user's part of a URL.
- One event, one line. Control characters, escape sequences, line separators, direction marks and lone surrogates
  are escaped, so that a client can neither forge a line nor play with a terminal. A traceback of the human format is
  the exception: its lines are indented.

A text is cut at `MAX_TEXT` characters and a list at `MAX_ITEMS`, since clients choose some of them.
"""

from __future__ import annotations

import itertools
import json
import logging
import math
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final, TextIO

from presence_server.log_output import FIELDS, OutputHandler, escaped

REDACTED: Final = "[redacted]"
MAX_TEXT: Final = 2000
MAX_TRACEBACK: Final = 20_000
MAX_ITEMS: Final = 50
MAX_DEPTH: Final = 4

# Packages of ours log from the level asked for; the others only what is wrong. uvicorn's own news of its life would
# say twice what the server says itself, and its access log would cost a line per request.
OURS: Final = ("presence_server", "presence_protocol", "presence_client")
OTHERS: Final = ("uvicorn", "uvicorn.error", "uvicorn.asgi", "websockets", "asyncio")
SILENT: Final = ("uvicorn.access",)

_RESERVED: Final = ("time", "level", "event", "logger")

_SECRET_NAME: Final = re.compile("token|authorization|cookie|password|passwd|secret", re.IGNORECASE)
# How a secret's name ends. Bounded, and nothing optional stands before the name, so that no text that a client makes
# up takes more than linear time.
_NAME: Final = rf"(?:{_SECRET_NAME.pattern})[\w-]{{0,64}}"
_SECRET_TEXTS: Final = (
    # "token": "...", and (b'authorization', b'...') as Python prints it
    (re.compile(rf"""({_NAME}["']\s*[:=,]\s*b?)(["'])(?:\\.|(?!\2)[^\\])*\2?""", re.I | re.S), rf"\1\2{REDACTED}\2"),
    # Authorization: Bearer ..., Cookie: a=b; c=d, to the end of the line
    (re.compile(rf"({_NAME}\s*:\s*)[^\r\n\"']+", re.I), rf"\1{REDACTED}"),
    (re.compile(r"(\bbearer\s+)[\w.~+/=-]+", re.I), rf"\1{REDACTED}"),
    # token=... of a query string
    (re.compile(rf"({_NAME}(?:=|%3d))[^&\s\"'<>#,)]*", re.I), rf"\1{REDACTED}"),
    # scheme://user:password@host
    (re.compile(r"(://)[^/\s@\"']+@"), rf"\1{REDACTED}@"),
)

# C0 and C1 controls with DEL, line and paragraph separators, marks that reorder or hide text, lone surrogates.
_UNSAFE: Final = re.compile("[\x00-\x1f\x7f-\x9f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ud800-\udfff]")
_BARE: Final = re.compile(r"[^\s\"'=\\\[\]{}]+")


class EventLogger:
    """Logs events with fields; costs one comparison while its level is off. Made by `get_logger`."""

    __slots__ = ("_bound", "_logger")

    def __init__(self, logger: logging.Logger, bound: Mapping[str, object] | None = None) -> None:
        self._logger = logger
        self._bound = dict(bound or {})

    def bind(self, **fields: object) -> EventLogger:
        """A logger that adds these fields to each event: ``session`` or ``request``, above all."""
        return EventLogger(self._logger, {**self._bound, **fields})

    def is_enabled(self, level: int) -> bool:
        """Whether an event of this level would be logged, for fields that are costly to make."""
        return self._logger.isEnabledFor(level)

    def debug(self, event: str, /, **fields: object) -> None:
        if self._logger.isEnabledFor(logging.DEBUG):
            self._emit(logging.DEBUG, event, fields)

    def info(self, event: str, /, **fields: object) -> None:
        if self._logger.isEnabledFor(logging.INFO):
            self._emit(logging.INFO, event, fields)

    def warning(self, event: str, /, **fields: object) -> None:
        if self._logger.isEnabledFor(logging.WARNING):
            self._emit(logging.WARNING, event, fields)

    def error(self, event: str, /, **fields: object) -> None:
        if self._logger.isEnabledFor(logging.ERROR):
            self._emit(logging.ERROR, event, fields)

    def exception(self, event: str, /, error: BaseException | None = None, **fields: object) -> None:
        """An error with its traceback: that of ``error``, else of the exception that is being handled."""
        if self._logger.isEnabledFor(logging.ERROR):
            self._emit(logging.ERROR, event, fields, error if error is not None else True)

    def _emit(
        self, level: int, event: str, fields: dict[str, object], error: BaseException | bool | None = None
    ) -> None:
        extra = {FIELDS: {**self._bound, **fields}}
        # no arguments: a per cent sign in an event is only that
        self._logger.log(level, event, exc_info=error, extra=extra, stacklevel=3)

    def __repr__(self) -> str:
        return f"<EventLogger {self._logger.name} {self._bound}>"


def get_logger(name: str) -> EventLogger:
    """The event logger of a module: ``get_logger(__name__)``."""
    return EventLogger(logging.getLogger("presence_server" if name == "__main__" else name))


def configure(level: str, style: str, stream: TextIO | None) -> None:
    """Send all logs of the process to ``stream``; may be called again, and then replaces what it did before.

    None is a stream that was closed before the process began: nothing is logged. See `log_output` for how lines are
    written, and `repeats` for what is counted instead.

    ``level``: debug, info, warning or error. ``style``: human, json, or auto (human if the stream is a terminal).
    uvicorn must be given ``log_config=None`` and no ``log_level``, or it would undo this.
    """
    least = logging.getLevelNamesMapping()[level.upper()]
    chosen = ("human" if stream is not None and stream.isatty() else "json") if style == "auto" else style
    handler = OutputHandler(stream)
    handler.setFormatter({"human": HumanFormatter, "json": JsonFormatter}[chosen]())

    root = logging.getLogger()
    for old in [old for old in root.handlers if isinstance(old, OutputHandler)]:
        root.removeHandler(old)
        old.close()
    root.addHandler(handler)
    root.setLevel(max(least, logging.WARNING))
    for name in OURS:
        logging.getLogger(name).setLevel(least)
    for name in OTHERS:
        logger = logging.getLogger(name)
        logger.handlers.clear()
        logger.propagate = True
        logger.setLevel(max(least, logging.WARNING))
    for name in SILENT:
        logger = logging.getLogger(name)
        logger.handlers.clear()
        logger.propagate = False
    logging.captureWarnings(True)


def flush() -> None:
    """Wait until what was logged is written, for a second at most."""
    for handler in logging.getLogger().handlers:
        handler.flush()


class JsonFormatter(logging.Formatter):
    """``{"time", "level", "event", "logger", fields..., "error"}``; ``error`` is the traceback of an exception.

    A field that is called like one of the first four gets an underscore behind its name.
    """

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, object] = {
            "time": _time(record),
            "level": record.levelname.lower(),
            "event": _clean(_event(record)),
            "logger": record.name,
        }
        error = _traceback(self, record)
        taken = _RESERVED if error is None else (*_RESERVED, "error")
        for name, value in _fields(record).items():
            line[name + "_" if name in taken else name] = value
        if error is not None:
            line["error"] = error
        # JSON's own escapes leave out what only a terminal or a log viewer would obey
        return _UNSAFE.sub(escaped, json.dumps(line, ensure_ascii=False, separators=(",", ":")))


class HumanFormatter(logging.Formatter):
    """``2025-11-09T15:00:00.123Z INFO    session began session=s-42 userId=10001``, then an indented traceback."""

    def format(self, record: logging.LogRecord) -> str:
        parts = [_time(record), f"{record.levelname:<7}", _UNSAFE.sub(escaped, _clean(_event(record)))]
        if not record.name.startswith(OURS):
            parts.append(f"logger={record.name}")
        parts += [f"{_UNSAFE.sub(escaped, name)}={_human(value)}" for name, value in _fields(record).items()]
        error = _traceback(self, record)
        lines = [" ".join(parts)]
        if error is not None:
            lines += ["    " + _UNSAFE.sub(escaped, line) for line in error.split("\n")]
        return "\n".join(lines)


def redact(text: str) -> str:
    """The text without what follows the name of a secret in it, and without the user's part of a URL."""
    for pattern, replacement in _SECRET_TEXTS:
        text = pattern.sub(replacement, text)
    return text


def _time(record: logging.LogRecord) -> str:
    stamp = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
    return stamp.replace("+00:00", "Z")


def _event(record: logging.LogRecord) -> str:
    try:
        return record.getMessage()
    except Exception:  # another library's arguments do not fit its own text
        return str(record.msg)


def _fields(record: logging.LogRecord) -> dict[str, object]:
    """The record's fields, safe to show: of types that JSON has, without secrets, bounded."""
    fields: Mapping[str, object] = getattr(record, FIELDS, {})
    return {name: REDACTED if _SECRET_NAME.search(name) else _plain(value) for name, value in fields.items()}


def _plain(value: object, depth: int = 0) -> Any:
    if value is None or (isinstance(value, int) and value.bit_length() <= 64):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else str(value)
    if isinstance(value, str):
        return _clean(value)
    if isinstance(value, bytes | bytearray | memoryview):
        return _clean(bytes(value).decode("utf-8", "backslashreplace"))
    if depth < MAX_DEPTH:
        if isinstance(value, Mapping):
            shown = dict(itertools.islice(value.items(), MAX_ITEMS))
            return {
                (key := _clean(_as_text(name))): (REDACTED if _SECRET_NAME.search(key) else _plain(inner, depth + 1))
                for name, inner in shown.items()
            }
        if isinstance(value, list | tuple | set | frozenset):
            items = list(itertools.islice(value, MAX_ITEMS))
            if len(items) == 2 and isinstance(items[0], str | bytes) and _SECRET_NAME.search(_as_text(items[0])):
                return [_clean(_as_text(items[0])), REDACTED]  # a header as ASGI has it
            more = [f"... ({len(value) - MAX_ITEMS} more)"] if len(value) > MAX_ITEMS else []
            return [_plain(item, depth + 1) for item in items] + more
    return _clean(_as_text(value))


def _as_text(value: object) -> str:
    if isinstance(value, bytes):
        return value.decode("utf-8", "backslashreplace")
    try:
        return str(value)
    except Exception:  # a value that cannot be shown must not lose the event
        return f"<{type(value).__name__}>"


def _clean(text: str, limit: int = MAX_TEXT) -> str:
    # cut first, so that a long text costs no more than a short one
    rest = len(text) - limit
    return redact(text) if rest <= 0 else f"{redact(text[:limit])}... ({rest} more)"


def _traceback(formatter: logging.Formatter, record: logging.LogRecord) -> str | None:
    if not record.exc_info or record.exc_info[0] is None:
        return None
    return _clean(formatter.formatException(record.exc_info), MAX_TRACEBACK)


def _human(value: object) -> str:
    """A field's value: bare if that is unmistakable, else as JSON."""
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    if isinstance(value, str) and not _BARE.fullmatch(text):
        text = json.dumps(text, ensure_ascii=False)
    return _UNSAFE.sub(escaped, text)
