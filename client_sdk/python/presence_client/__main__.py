"""The console script `presence-client`: ask a presence server once, and print a line per user.

    $ presence-client status 10001 10002
    10001  BUSY     WEB,IOS  last active 2025-11-09T15:00:00Z  in a meeting
    10002  OFFLINE  -        never seen

Exit codes: 0, the server answered; 1, it could not be asked or refused; 2, what was typed makes no sense. Whatever
goes wrong is one line on standard error.
"""

from __future__ import annotations

import argparse
import json
import sys
import urllib.error
import urllib.request
from collections.abc import Sequence
from typing import Any, Final, NamedTuple
from urllib.parse import urlsplit

from presence_protocol.limits import MAX_USER_ID

PROGRAM: Final = "presence-client"
DEFAULT_URL: Final = "http://127.0.0.1:8004"
BATCH_PATH: Final = "/api/v1/presence/status/batch"
TIMEOUT: Final = 10.0
"""Seconds that the server is waited for."""


class AskError(Exception):
    """The server could not be asked, or refused. Its text is one line for whoever asked."""


class UserStatus(NamedTuple):
    """What the server said of one user. `last_active`: UTC as in `2025-11-09T15:00:00Z`, None if never known."""

    user_id: int
    status: str
    platforms: list[str]
    last_active: str | None
    text: str | None


def ask(url: str, user_ids: Sequence[int], timeout: float = TIMEOUT) -> list[UserStatus]:
    """The status of each of `user_ids`, in their order, from the server at `url`.

    Raises:
        AskError: it cannot be reached, is no presence server, or refused.
    """
    body = json.dumps({"userIds": list(user_ids), "detail": True}).encode()
    request = urllib.request.Request(url.rstrip("/") + BATCH_PATH, body, {"Content-Type": "application/json"})
    try:
        with urllib.request.urlopen(request, timeout=timeout) as answer:
            return _read(url, answer.read())
    except urllib.error.HTTPError as refused:
        raise AskError(f"{url} refused: {_reason(refused)}") from None
    except urllib.error.URLError as failed:
        raise AskError(f"cannot reach {url}: {_words(failed.reason)}") from None
    except OSError as failed:  # while the answer was on its way
        raise AskError(f"cannot reach {url}: {_words(failed)}") from None


def _read(url: str, body: bytes) -> list[UserStatus]:
    try:
        return [
            UserStatus(
                entry["userId"], entry["status"], entry["platforms"], entry["lastActiveTime"], entry.get("statusText")
            )
            for entry in json.loads(body)["data"]
        ]
    except (ValueError, TypeError, KeyError):
        raise AskError(f"{url} answered, but not as a presence server does") from None


def _reason(refused: urllib.error.HTTPError) -> str:
    """The envelope's own reasons, or the bare HTTP status from whoever does not speak in envelopes."""
    try:
        data = json.loads(refused.read())["data"]
        reasons = "; ".join(f"{detail['field']}: {detail['reason']}" for detail in data["details"])
        return f"{refused.code} {data['error']}" + (f" ({reasons})" if reasons else "")
    except (ValueError, TypeError, KeyError):
        return f"{refused.code} {refused.reason}"


def _words(reason: object) -> str:
    return (reason.strerror if isinstance(reason, OSError) else None) or str(reason) or type(reason).__name__


def line_of(user: UserStatus, width: int = 1) -> str:
    """One line for a person. `width`: characters for the user id."""
    seen = f"last active {user.last_active}" if user.last_active else "never seen"
    line = f"{user.user_id:<{width}}  {user.status:<7}  {','.join(user.platforms) or '-':<7}  {seen}"
    return f"{line}  {user.text}" if user.text else line


def _user_id(text: str) -> int:
    if text.isascii() and text.isdigit() and len(text) <= 16 and 1 <= int(text) <= MAX_USER_ID:
        return int(text)
    raise argparse.ArgumentTypeError(f"{text[:40]!r} is not a user id: an integer from 1 to {MAX_USER_ID}")


def _url(text: str) -> str:
    try:
        parts = urlsplit(text)
        fits = parts.scheme in ("http", "https") and parts.hostname and not (parts.query or parts.fragment)
        _ = parts.port  # raises if it is none
    except ValueError:
        fits = False
    if not fits:
        raise argparse.ArgumentTypeError(f"{text!r} is not a server's URL, such as {DEFAULT_URL}")
    return text


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> Any:
        self.exit(2, f"{PROGRAM}: {message}\n")


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(prog=PROGRAM, description="Ask a presence server who is online.", allow_abbrev=False)
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    status = commands.add_parser("status", help="print one line per user", allow_abbrev=False)
    status.add_argument("user_ids", nargs="+", type=_user_id, metavar="USER_ID")
    status.add_argument("--url", type=_url, default=DEFAULT_URL, help=f"the server (default: {DEFAULT_URL})")
    return parser


def main(argv: Sequence[str] | None = None) -> None:
    """Run the command in `argv` (by default that of the process), and exit."""
    chosen = _parser().parse_args(argv)
    try:
        users = ask(chosen.url, chosen.user_ids)
    except AskError as failed:
        sys.stderr.write(f"{PROGRAM}: {failed}\n")
        raise SystemExit(1) from None
    width = max(len(str(user.user_id)) for user in users)
    for user in users:
        print(line_of(user, width))


if __name__ == "__main__":
    main()
