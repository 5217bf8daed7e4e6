"""The file of `--webhooks`: TOML, a table `[[webhook]]` for each receiver.

    [[webhook]]
    name = "crm"
    url = "https://crm.example.com/presence"
    secrets = ["whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"]

`filter`, `scope`, `batch_size`, `batch_wait` and `allow_private` may be left out. What is wrong is told in one line
that names the table, the field and the reason, and never shows a secret.
"""

from __future__ import annotations

import binascii
import difflib
import math
import re
import tomllib
from base64 import b64decode
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple
from urllib.parse import SplitResult, urlsplit

from presence_protocol.user_ids import IdKind, UserId
from presence_server.application.principals import ADMIN, READ
from presence_server.domain.model import Status
from presence_server.settings.declaration import number, shown

MAX_WEBHOOKS: Final = 64
"""Webhooks in one file. Each is a label of metrics."""

MAX_BATCH: Final = 500
"""Changes in one message."""

MAX_USERS: Final = 10_000
"""Ids in one filter."""

MAX_SECRETS: Final = 8
"""Signatures of one message."""

USUAL_WAIT: Final = 1.0
MAX_WAIT: Final = 3600.0
"""Seconds for which changes are gathered."""

SAFE_SECRET: Final = 24
"""Bytes that a secret should have: Standard Webhooks, section "Signature scheme"."""

SECRET_PREFIX: Final = "whsec_"

_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


class WebhookFileError(Exception):
    """The file cannot be used. Its text is one line that names the file, the table, the field and the reason."""


class Wanted(NamedTuple):
    """The filter of a webhook: what is empty leaves nothing out."""

    statuses: frozenset[str] = frozenset()
    platforms: frozenset[str] = frozenset()
    users: frozenset[UserId] = frozenset()


class Webhook(NamedTuple):
    """One receiver. `batch_wait` in seconds; `scope`: `read`, which sees nobody who is invisible, or `admin`."""

    name: str
    url: str
    secrets: tuple[str, ...]
    wanted: Wanted = Wanted()
    scope: str = READ
    batch_size: int = MAX_BATCH
    batch_wait: float = USUAL_WAIT
    allow_private: bool = False

    def __repr__(self) -> str:
        return f"<Webhook {self.name}>"


def read(path: Path, ids: IdKind, platforms: Iterable[str]) -> tuple[Webhook, ...]:
    """The webhooks of a file. `platforms`: the names that the server knows.

    Raises:
        WebhookFileError: the file cannot be read, or something in it is wrong.
    """
    try:
        text = path.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as failure:
        reason = failure.strerror if isinstance(failure, OSError) else "is not UTF-8"
        raise WebhookFileError(f"{path}: {reason}") from None
    return parse(text, str(path), ids, platforms)


def parse(text: str, source: str, ids: IdKind, platforms: Iterable[str]) -> tuple[Webhook, ...]:
    """The webhooks of a file's text. Raises WebhookFileError; `source` is what it calls the file."""
    try:
        whole = tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError) as failure:
        raise WebhookFileError(f"{source}: is not TOML: {failure}") from None
    stranger = next((key for key in whole if key != "webhook"), None)
    if stranger is not None:
        raise WebhookFileError(f"{source}: {_key(stranger)}: is unknown; write a table [[webhook]] for each receiver")
    tables = whole.get("webhook", [])
    if not isinstance(tables, list) or not all(isinstance(table, dict) for table in tables):
        raise WebhookFileError(f"{source}: webhook: must be tables: write [[webhook]]")
    if len(tables) > MAX_WEBHOOKS:
        raise WebhookFileError(f"{source}: webhook: there may be at most {MAX_WEBHOOKS}")
    known = tuple(platforms)
    webhooks: dict[str, Webhook] = {}
    for place, table in enumerate(tables, 1):
        try:
            webhook = _webhook(table, ids, known)
            if webhook.name in webhooks:
                raise _Wrong("name", "is that of another webhook as well")
        except _Wrong as wrong:
            name = table.get("name")
            called = f" ({name})" if isinstance(name, str) and _NAME.fullmatch(name) else ""
            raise WebhookFileError(f"{source}: webhook {place}{called}: {wrong.field}: {wrong.reason}") from None
        webhooks[webhook.name] = webhook
    return tuple(webhooks.values())


class _Wrong(Exception):
    def __init__(self, field: str, reason: str) -> None:
        super().__init__(field, reason)
        self.field = field
        self.reason = reason


_FIELDS: Final = ("name", "url", "secrets", "filter", "scope", "batch_size", "batch_wait", "allow_private")
_FILTERS: Final = ("status", "platforms", "users")
_AS_IN_EVENTS: Final = {"platform": "platforms", "userIds": "users"}
"""What `GET /events` calls the same."""


def _webhook(table: Mapping[str, Any], ids: IdKind, platforms: tuple[str, ...]) -> Webhook:
    _check_keys(table, _FIELDS, "")
    for field in ("name", "url", "secrets"):
        if field not in table:
            raise _Wrong(field, "is missing")
    scope = table.get("scope", READ)
    if scope not in (READ, ADMIN):
        raise _Wrong("scope", f"must be {READ} or {ADMIN}, not {shown(scope)}")
    return Webhook(
        _name(table["name"]),
        _url(table["url"]),
        _secrets(table["secrets"]),
        _wanted(table.get("filter", {}), ids, platforms),
        scope,
        _batch_size(table.get("batch_size", MAX_BATCH)),
        _batch_wait(table.get("batch_wait", USUAL_WAIT)),
        _switch("allow_private", table.get("allow_private", False)),
    )


def _check_keys(table: Mapping[str, Any], known: tuple[str, ...], within: str) -> None:
    for key in table:
        if key not in known:
            close = difflib.get_close_matches(key.replace("-", "_").lower(), known, n=1)
            hint = f"did you mean {close[0]}?" if close else f"it may hold {', '.join(known)}"
            raise _Wrong(f"{within}{_key(key)}", f"is unknown; {hint}")


def _key(key: str) -> str:
    return key if len(key) <= 60 and key.isprintable() else shown(key)


def _name(value: Any) -> str:
    if not isinstance(value, str) or _NAME.fullmatch(value) is None:
        reason = "must be 1 to 64 letters, digits, dots, dashes and underscores, and begin with a letter or a digit"
        raise _Wrong("name", f"{reason}, not {shown(value)}")
    return value


def _url(value: Any) -> str:
    """The value is not shown: its query may hold a secret."""
    if not isinstance(value, str) or not value.isascii() or not value.isprintable() or " " in value:
        raise _Wrong("url", "must be a URL in ASCII, without spaces")
    try:
        parts = urlsplit(value)
        _ = parts.port
    except ValueError as reason:
        raise _Wrong("url", f"is no URL: {reason}") from None
    if parts.scheme not in ("http", "https"):
        raise _Wrong("url", "must start with https:// or http://")
    if not parts.hostname:
        raise _Wrong("url", "names no host")
    if "@" in parts.netloc:
        raise _Wrong("url", "must not hold a user or a password: messages are signed")
    if parts.fragment:
        raise _Wrong("url", "must not hold a fragment (#): it is never sent")
    return value


def _secrets(value: Any) -> tuple[str, ...]:
    secrets = [value] if isinstance(value, str) else value
    if not isinstance(secrets, list) or not secrets:
        raise _Wrong("secrets", f"must be a list of secrets that begin with {SECRET_PREFIX}")
    if len(secrets) > MAX_SECRETS:
        raise _Wrong("secrets", f"must hold at most {MAX_SECRETS}")
    for place, secret in enumerate(secrets, 1):
        if not isinstance(secret, str) or not secret.startswith(SECRET_PREFIX):
            raise _Wrong("secrets", f"number {place} must begin with {SECRET_PREFIX}")
        if not _bytes_of(secret):
            raise _Wrong("secrets", f"number {place} must have base64 after {SECRET_PREFIX}")
    return tuple(dict.fromkeys(secrets))


def _bytes_of(secret: str) -> bytes:
    """What a secret stands for; empty if it is no base64. The padding may be missing, as the library takes it."""
    text = secret.removeprefix(SECRET_PREFIX)
    try:
        return b64decode(text.rstrip("=") + "=" * (-len(text.rstrip("=")) % 4), validate=True)
    except (binascii.Error, ValueError):
        return b""


def is_short(secret: str) -> bool:
    """Whether somebody who has a message may find the secret by trying."""
    return len(_bytes_of(secret)) < SAFE_SECRET


def split_url(webhook: Webhook) -> SplitResult:
    return urlsplit(webhook.url)


def _wanted(value: Any, ids: IdKind, platforms: tuple[str, ...]) -> Wanted:
    if not isinstance(value, dict):
        raise _Wrong("filter", f"must be a table of {', '.join(_FILTERS)}")
    for other, field in _AS_IN_EVENTS.items():
        if other in value and field in value:
            raise _Wrong(f"filter.{other}", f"is the same as {field}; leave one of them out")
    given_names: list[str] = list(value)
    names = {_AS_IN_EVENTS.get(name, name): name for name in given_names}
    _check_keys(names, _FILTERS, "filter.")

    def listed(field: str, check: Callable[[Any], Any]) -> frozenset[Any]:
        field = names.get(field, field)
        if field not in value:
            return frozenset()
        given = [value[field]] if isinstance(value[field], str) else value[field]
        if not isinstance(given, list) or not given:
            raise _Wrong(f"filter.{field}", "must be a list that is not empty")
        if len(given) > MAX_USERS:
            raise _Wrong(f"filter.{field}", f"must hold at most {MAX_USERS}")
        try:
            return frozenset(map(check, given))
        except ValueError as reason:
            raise _Wrong(f"filter.{field}", str(reason)) from None

    return Wanted(
        listed("status", lambda one: _one_of(one, tuple(Status.__members__))),
        listed("platforms", lambda one: _one_of(one, platforms)),
        listed("users", ids.parse),
    )


def _one_of(value: Any, known: tuple[str, ...]) -> str:
    if value not in known:
        raise ValueError(f"must name {', '.join(known)}, not {shown(value)}")
    return str(value)


def _batch_size(value: Any) -> int:
    if type(value) is not int or not 1 <= value <= MAX_BATCH:
        raise _Wrong("batch_size", f"must be a whole number from 1 to {MAX_BATCH}, not {shown(value)}")
    return value


def _batch_wait(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise _Wrong("batch_wait", f"must be a number of seconds, not {shown(value)}")
    if not 0 <= value <= MAX_WAIT:
        raise _Wrong("batch_wait", f"must be from 0 to {number(MAX_WAIT)} seconds, not {shown(value)}")
    return float(value)


def _switch(field: str, value: Any) -> bool:
    if not isinstance(value, bool):
        raise _Wrong(field, f"must be true or false, not {shown(value)}")
    return value
