"""The console script `presence-client`: see who is online, watch them, and be online oneself.

    $ presence-client status 10001 10002
    10001  BUSY     WEB,IOS  last active 2025-11-09T15:00:00Z  in a meeting
    10002  OFFLINE  -        never seen

    $ presence-client watch 10001 10002
    $ presence-client online --user 10001 --device laptop

Exit codes: 0, it was done, or left by Ctrl-C; 1, the server could not be asked, or refused; 2, what was typed makes
no sense. Whatever goes wrong is one line on standard error. A token, where one is needed, is in `PRESENCE_TOKEN`:
on the command line everybody on the machine could read it.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import signal
import sys
from collections.abc import Coroutine, Sequence
from typing import Any, Final

from presence_client.address import DEFAULT_URL, Address
from presence_client.commands import online, status, watch
from presence_client.errors import PresenceError, RequestFailed
from presence_protocol import fields
from presence_protocol.limits import MAX_USER_ID

PROGRAM: Final = "presence-client"


def _user_id(text: str) -> int:
    if text.isascii() and text.isdigit() and len(text) <= 16 and 1 <= int(text) <= MAX_USER_ID:
        return int(text)
    raise argparse.ArgumentTypeError(f"{text[:40]!r} is not a user id: an integer from 1 to {MAX_USER_ID}")


def _device_id(text: str) -> str:
    if (reason := fields.device_id(text)) is not None:
        raise argparse.ArgumentTypeError(reason)
    return text


def _url(text: str) -> str:
    try:
        return Address.parse(text).given
    except ValueError as reason:
        raise argparse.ArgumentTypeError(str(reason)) from None


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> Any:
        self.exit(2, f"{PROGRAM}: {message}\n")


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(prog=PROGRAM, description="See who is online, and be online.", allow_abbrev=False)
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")

    asked = commands.add_parser("status", help="print one line per user", allow_abbrev=False)
    asked.add_argument("user_ids", nargs="+", type=_user_id, metavar="USER_ID")

    watched = commands.add_parser("watch", help="show users as they change, until Ctrl-C", allow_abbrev=False)
    watched.add_argument("user_ids", nargs="+", type=_user_id, metavar="USER_ID")
    watched.add_argument("--json", action="store_true", help="one JSON object per change")

    stay = commands.add_parser(
        "online", help="be online until Ctrl-C", description=f"Stay online. Type {online.HELP}.", allow_abbrev=False
    )
    stay.add_argument("--user", type=_user_id, required=True, metavar="USER_ID")
    stay.add_argument("--device", type=_device_id, required=True, metavar="DEVICE_ID")
    stay.add_argument("--platform", choices=fields.PLATFORMS, default="PC", help="default: PC")

    for command in (asked, watched, stay):
        command.add_argument(
            "--url",
            type=_url,
            default=os.environ.get("PRESENCE_URL") or DEFAULT_URL,
            help=f"the server (default: PRESENCE_URL, else {DEFAULT_URL})",
        )
    return parser


def _work(chosen: argparse.Namespace) -> Coroutine[Any, Any, int]:
    token = os.environ.get("PRESENCE_TOKEN") or None
    match chosen.command:
        case "watch":
            return watch.run(chosen.url, token, chosen.user_ids, is_json=chosen.json)
        case "online":
            return online.run(chosen.url, token, chosen.user, chosen.device, chosen.platform)
        case _:
            return status.run(chosen.url, token, chosen.user_ids)


async def _until_told(work: Coroutine[Any, Any, int]) -> int:
    """Do the work until it is done, or until a signal says to leave, which is no failure."""
    task = asyncio.ensure_future(work)
    told: list[int] = []

    def leave(number: int) -> None:
        told.append(number)
        task.cancel()

    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, leave, number)
    try:
        return await task
    except asyncio.CancelledError:
        if told:
            return 0
        raise


def _words(failure: BaseException, url: str) -> str:
    if isinstance(failure, BaseExceptionGroup):
        return _words(failure.exceptions[0], url)
    return f"{url} refused: {failure}" if isinstance(failure, RequestFailed) else str(failure)


def main(argv: Sequence[str] | None = None) -> None:
    """Run the command in `argv` (by default that of the process), and exit."""
    chosen = _parser().parse_args(argv)
    try:
        code = asyncio.run(_until_told(_work(chosen)))
    except* PresenceError as failed:
        sys.stderr.write(f"{PROGRAM}: {_words(failed, chosen.url)}\n")
        code = 1
    except* BrokenPipeError:  # who read the output has had enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = 0
    raise SystemExit(code)


if __name__ == "__main__":
    main()
