"""`presence-server key new NAME --scopes read,write`: a key for a back end, shown once, and its line for the file.

Standard output has the key and the line, a line each.

The file of `--service-keys` holds the line, never the key: who reads the file cannot use it. `--file` appends the line.
"""

from __future__ import annotations

import os
import secrets
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from presence_server.commands.arguments import CommandParser, complain
from presence_server.identity.service_keys import KeyFileError, line_of, new_key, parse, parse_scopes
from presence_server.log_output import say
from presence_server.settings import PROGRAM


def run(argv: Sequence[str], environ: Mapping[str, str]) -> int:
    parser = CommandParser(prog=f"{PROGRAM} key", description="Keys of back ends.", allow_abbrev=False)
    new = parser.add_subparsers(dest="command", metavar="new", required=True).add_parser(
        "new", help="make a key and print it, once", description="Make a key and print it, once.", allow_abbrev=False
    )
    new.add_argument("name", help="whose it is: letters, digits, dots, dashes, underscores")
    new.add_argument("--scopes", required=True, help="what it may do: some of read,write,admin")
    new.add_argument("--file", type=Path, help="append its line to this file, that of --service-keys")
    given = parser.parse_args(argv)
    key = new_key(secrets.token_bytes)
    try:
        line = line_of(given.name, key, parse_scopes(given.scopes))
        if given.file is not None:
            append(given.file, line)
    except (ValueError, KeyFileError) as reason:
        return complain(reason)
    except OSError as failure:
        return complain(f"{given.file}: {failure.strerror}")
    say(sys.stdout, key)
    say(sys.stdout, line)
    place = (
        "Put the second line into the file of --service-keys."
        if given.file is None
        else f"Its line is in {given.file}."
    )
    say(sys.stderr, f"The key is not shown again. {place} A server that runs reads the file anew on SIGHUP.")
    return 0


def append(path: Path, line: str) -> None:
    """Put `line` at the end of the file, which is made for its owner alone where there is none.

    Raises:
        OSError: it cannot be read or written.
        KeyFileError: it holds what is no key, so that the server would refuse the whole file.
    """
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600)
    with os.fdopen(descriptor, "r+", encoding="utf-8") as file:
        try:
            text = file.read()
        except UnicodeDecodeError:
            raise KeyFileError(f"{path}: is not UTF-8") from None
        parse(text, str(path))
        gap = "" if not text or text.endswith("\n") else "\n"
        file.write(f"{gap}{line}\n")
