"""`presence-server webhooks`: where each webhook of a running server stands. `... replay NAME`: what it missed again.

It asks the server over REST, with the scope `admin`. It takes the server's own settings, which say where that is; and
if they hold a key that signs, it lets itself in. Elsewhere: `--url`, and a key with `admin` in `PRESENCE_TOKEN` or in
the file of `--token-file`. Exit code 1: the server cannot be reached, or refuses.
"""

from __future__ import annotations

import argparse
import json
import ssl
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

import httpx

from presence_protocol.paths import BASE_PATH
from presence_server.application.principals import ADMIN
from presence_server.commands.arguments import CommandParser, complain
from presence_server.identity.claims import CLAIM
from presence_server.identity.jwt_keys import UnusableKey
from presence_server.identity.signing import sign
from presence_server.log_output import say
from presence_server.settings import PROGRAM, Settings, SettingsError, load

TIMEOUT: Final = 15.0
"""Seconds for the server's answer."""

LIFE: Final = 60
"""Seconds for which a token is good that this command signs for itself."""


def run(argv: Sequence[str], environ: Mapping[str, str]) -> int:
    replays = argv[:1] == ("replay",) or argv[:1] == ["replay"]
    given, rest = _parser(replays).parse_known_args(list(argv[1:] if replays else argv))
    try:
        settings = load(rest, environ)
        url = given.url or environ.get("PRESENCE_URL", "").strip() or _url_of(settings)
        headers = _credentials(given, environ, settings)
        trust = _trust_of(settings) if settings.tls_cert and not given.url else True
    except SettingsError as wrong:
        return complain(wrong)
    except (OSError, UnicodeDecodeError) as failure:
        return complain(f"--token-file: {given.token_file}: {getattr(failure, 'strerror', None) or 'is not UTF-8'}")
    try:
        with httpx.Client(base_url=url.rstrip("/") + BASE_PATH, timeout=TIMEOUT, verify=trust, headers=headers) as to:
            if replays:
                answer = to.post(f"/webhooks/{quote(given.name, safe='')}/replay", json={"cursor": given.cursor})
            else:
                answer = to.get("/webhooks")
        return _told(answer, given.json)
    except (httpx.HTTPError, httpx.InvalidURL, UnicodeError) as failure:
        say(sys.stderr, f"{PROGRAM}: {url} cannot be reached: {failure or type(failure).__name__}")
        return 1


def _parser(replays: bool) -> CommandParser:
    parser = CommandParser(
        prog=f"{PROGRAM} webhooks{' replay' if replays else ''}",
        usage=f"{PROGRAM} webhooks [replay NAME [--from CURSOR]] [--url URL] [--token-file FILE] [--json]",
        description="Where each webhook stands; or, for one, what changed since a cursor once more: everybody present, "
        "if none is given. Takes the server's own settings.",
        allow_abbrev=False,
    )
    if replays:
        parser.add_argument("name", help="which webhook")
        parser.add_argument("--from", dest="cursor", metavar="CURSOR", help="a cursor that the webhook was sent")
    parser.add_argument("--url", help="the server (default: PRESENCE_URL, else where the settings say)")
    parser.add_argument("--token-file", metavar="FILE", help="a file that holds a key with the scope admin")
    parser.add_argument("--json", action="store_true", help="one JSON object per webhook")
    return parser


def _url_of(settings: Settings) -> str:
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(settings.hosts[0], settings.hosts[0])
    scheme = "https" if settings.tls_cert else "http"
    return f"{scheme}://{f'[{host}]' if ':' in host else host}:{settings.port}"


def _trust_of(settings: Settings) -> ssl.SSLContext:
    """The server's own certificate, by whatever name it goes: it is read from its file."""
    context = ssl.create_default_context(cafile=settings.tls_cert)
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    context.check_hostname = False
    return context


def _credentials(given: argparse.Namespace, environ: Mapping[str, str], settings: Settings) -> dict[str, str]:
    token = environ.get("PRESENCE_TOKEN", "").strip()
    if given.token_file is not None:
        token = Path(given.token_file).read_text("utf-8").strip()
    if not token and settings.jwt_key:
        token = _signed(settings)
    return {"Authorization": f"Bearer {token}"} if token else {}


def _signed(settings: Settings) -> str:
    """A token of this command's own; empty if the key signs nothing."""
    now = int(time.time())
    claims: dict[str, Any] = {"iat": now, "exp": now + LIFE, CLAIM: {"scopes": [ADMIN]}}
    if settings.jwt_issuer:
        claims["iss"] = settings.jwt_issuer
    if settings.jwt_audience:
        claims["aud"] = settings.jwt_audience
    try:
        return sign(claims, settings.jwt_key)
    except UnusableKey:
        return ""


def _told(answer: httpx.Response, in_json: bool) -> int:
    try:
        body = answer.json()
        data = body["data"]
    except (ValueError, TypeError, KeyError):
        say(sys.stderr, f"{PROGRAM}: {answer.url.copy_with(query=None)} is no presence server: {answer.status_code}")
        return 1
    if answer.status_code != 200:
        details = data.get("details", []) if isinstance(data, dict) else []
        reasons = "; ".join(f"{one['field']}: {one['reason']}" for one in details)
        say(sys.stderr, f"{PROGRAM}: refused with {answer.status_code}: {reasons}")
        if answer.status_code in (401, 403):
            say(sys.stderr, f"{PROGRAM}: a key with the scope {ADMIN} is needed, in PRESENCE_TOKEN or --token-file")
        return 1
    webhooks = data if isinstance(data, list) else [data]
    for webhook in webhooks:
        for line in [json.dumps(webhook, ensure_ascii=False)] if in_json else lines_of(webhook):
            say(sys.stdout, line)
    if not webhooks and not in_json:
        say(sys.stdout, "There are no webhooks: the server has no file of --webhooks, or an empty one.")
    return 0


def lines_of(webhook: Mapping[str, Any]) -> Iterator[str]:
    """One webhook in words; what went wrong on a line of its own."""
    delivered = webhook["delivered"]
    last = f", the last at {webhook['lastDelivery']}" if "lastDelivery" in webhook else ""
    yield (
        f"{webhook['name']}: {webhook['state']}, lag {webhook['lagMs'] / 1000:g} s, "
        f"position {webhook['cursor'] or 'none'}, {delivered['batches']} batches with {delivered['changes']} changes"
        f"{last} | {webhook['url']}"
    )
    error = webhook.get("lastError")
    if error is not None:
        pause = webhook.get("nextAttemptInMs")
        soon = "" if pause is None else f"; {webhook['attempts']} in a row, next in {pause / 1000:.1f} s"
        yield f"  last error at {error['time']}: {error['reason']}{soon}"
