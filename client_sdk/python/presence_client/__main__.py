"""The console script `presence-client`: see who is online, watch them, and be online oneself.

    $ presence-client status 10001 10002
    10001  BUSY     WEB,IOS  last active 2025-11-09T15:00:00Z  in a meeting
    10002  OFFLINE  -        never seen

    $ presence-client watch 10001 10002
    $ presence-client online --user 10001 --device laptop

Exit codes: 0, it was done, or left by Ctrl-C where that is the way to leave; 1, the server could not be asked, or
refused; 2, what was typed or set makes no sense; 130 (143), `status` was interrupted before it was done. Whatever goes
wrong is one line on standard error. A token, where one is needed, is in `PRESENCE_TOKEN` or in the file of
`--token-file`: on the command line everybody on the machine could read it.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import os
import signal
import sys
from collections.abc import Coroutine, Sequence
from typing import Any, Final

from presence_client.address import Address
from presence_client.commands import explain, online, people, status, watch
from presence_client.commands.console import Unwritable, discard_output, prepare, say
from presence_client.commands.reach import Reach, add_flags, reach_of
from presence_client.commands.signals import until_told
from presence_client.errors import InvalidSetting, PresenceError, RequestFailed
from presence_protocol import __version__, fields
from presence_protocol.user_ids import IdKind, UserId, kind_of

PROGRAM: Final = "presence-client"


def _user_id(text: str, kind: IdKind) -> UserId:
    """The id that `text` is. Raises InvalidSetting."""
    try:
        return kind.of_text(text)
    except ValueError as reason:
        raise InvalidSetting("argument USER_ID:", f"{text[:40]!r} is not a user id: it {reason}") from None


def _device_id(text: str) -> str:
    if (reason := fields.device_id(text)) is not None:
        raise argparse.ArgumentTypeError(reason)
    return text


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> Any:
        self.exit(2, f"{PROGRAM}: {message}\n")


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(prog=PROGRAM, description="See who is online, and be online.", allow_abbrev=False)
    parser.add_argument("--version", action="version", version=f"{PROGRAM} {__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")

    asked = commands.add_parser("status", help="print one line per user", allow_abbrev=False)
    asked.add_argument("users", nargs="+", metavar="USER_ID")

    why = commands.add_parser("explain", help="say why users are shown as they are", allow_abbrev=False)
    why.add_argument("users", nargs="+", metavar="USER_ID")
    why.add_argument("--lang", choices=("en", "zh"), default="en", help="of the sentence (default: en)")
    why.add_argument("--json", action="store_true", help="one JSON object per user")

    held = commands.add_parser("devices", help="print what users are online with", allow_abbrev=False)
    held.add_argument("users", nargs="+", metavar="USER_ID")

    ended = commands.add_parser("kick", help="end a user's devices: all, or those chosen", allow_abbrev=False)
    ended.add_argument("user", metavar="USER_ID")
    ended.add_argument("--platform", help="those on that platform")
    ended.add_argument("--device", type=_device_id, metavar="DEVICE_ID", help="that one")
    ended.add_argument("--reason", help="what the person is told, 123 bytes at most")

    counted = commands.add_parser("statistics", help="print how many people are there", allow_abbrev=False)
    counted.add_argument("--json", action="store_true", help="as one JSON object")

    watched = commands.add_parser("watch", help="show users as they change, until Ctrl-C", allow_abbrev=False)
    watched.add_argument("users", nargs="+", metavar="USER_ID")
    watched.add_argument("--json", action="store_true", help="one JSON object per change")

    stay = commands.add_parser(
        "online", help="be online until Ctrl-C", description=f"Stay online. Type {online.HELP}.", allow_abbrev=False
    )
    stay.add_argument("--user", required=True, metavar="USER_ID")
    stay.add_argument("--device", type=_device_id, required=True, metavar="DEVICE_ID")
    stay.add_argument("--platform", default="PC", help="one of the server's list (default: PC)")

    for command in (asked, why, held, ended, counted, watched, stay):
        add_flags(command)
    return parser


def _work(chosen: argparse.Namespace, reach: Reach) -> Coroutine[Any, Any, int]:
    kind = kind_of(reach.user_ids)
    match chosen.command:
        case "watch":
            return watch.run(reach, [_user_id(text, kind) for text in chosen.users], is_json=chosen.json)
        case "explain":
            users = [_user_id(text, kind) for text in chosen.users]
            return explain.run(reach, users, chosen.lang, is_json=chosen.json)
        case "devices":
            return people.devices(reach, [_user_id(text, kind) for text in chosen.users])
        case "kick":
            user = _user_id(chosen.user, kind)
            return people.kick(reach, user, chosen.platform, chosen.device, chosen.reason)
        case "statistics":
            return people.statistics(reach, is_json=chosen.json)
        case "online":
            return online.run(reach, _user_id(chosen.user, kind), chosen.device, chosen.platform)
        case _:
            return status.run(reach, [_user_id(text, kind) for text in chosen.users])


def _first(failure: BaseException) -> BaseException:
    return _first(failure.exceptions[0]) if isinstance(failure, BaseExceptionGroup) else failure


def _run(chosen: argparse.Namespace, reach: Reach) -> int:
    """The command's exit code."""
    work = _work(chosen, reach)
    code = asyncio.run(until_told(work))
    if code < 0:  # told to leave, by a signal: only `status` has something left to do
        return 128 - code if chosen.command not in ("watch", "online") else 0
    return code


def _failed(failure: BaseException, url: str) -> int:
    """Say what went wrong. Returns the exit code."""
    if isinstance(failure, Unwritable):
        discard_output()
        if failure.is_gone:  # who read the output has had enough
            return 0
    words = f"{url} refused: {failure}" if isinstance(failure, RequestFailed) else str(failure)
    say(f"{PROGRAM}: {words}", sys.stderr)
    return 2 if isinstance(failure, InvalidSetting) else 1


def main(argv: Sequence[str] | None = None) -> None:
    """Run the command in `argv` (by default that of the process), and exit."""
    prepare()
    logging.getLogger("presence_client").addHandler(logging.NullHandler())  # the commands tell it in their own words
    chosen = _parser().parse_args(argv)
    url = ""
    try:
        reach = reach_of(chosen, os.environ)
        url = Address.parse(reach.url).given
        code = _run(chosen, reach)
    except* (PresenceError, Unwritable) as failed:
        code = _failed(_first(failed), url)
    except* KeyboardInterrupt:  # before or after the work
        code = 128 + signal.SIGINT
    raise SystemExit(code)


if __name__ == "__main__":
    main()
