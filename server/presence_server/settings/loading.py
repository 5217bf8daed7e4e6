"""Settings from flags, environment variables and a file: a flag wins over a variable, a variable over the file.

A wrong one is a `SettingsError` that names it as it was written, where it was written.
"""

from __future__ import annotations

import argparse
import difflib
import sys
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final, NoReturn

from presence_server import __version__
from presence_server.log_output import say
from presence_server.settings.declaration import PREFIX, PROGRAM, Declaration, SettingsError, shown
from presence_server.settings.table import DECLARATIONS, Settings

KUBERNETES: Final = ("PRESENCE_SERVICE_HOST", "PRESENCE_SERVICE_PORT")
"""What it sets in every pod beside a service called `presence`."""

CONFIG: Final = "config"
"""The flag that names the file. It is no setting: a file cannot name another."""


def load(argv: Sequence[str], environ: Mapping[str, str]) -> Settings:
    """The settings from flags, environment variables and the file of ``--config``; an empty variable counts as unset.

    ``argv`` is without the program's name. Raises SettingsError, named as the user wrote it; ``--help`` and
    ``--version`` print to standard output and raise SystemExit(0).
    """
    flags = _read_flags(argv)
    path = flags.pop(CONFIG, "") or environ.get(f"{PREFIX}{CONFIG.upper()}", "").strip()
    filed = read_file(path) if path else {}
    written: dict[str, str] = {}
    values: dict[str, Any] = {}
    for declaration in DECLARATIONS:
        if declaration.name in flags:
            name, raw = declaration.flag, flags[declaration.name]
        elif (raw := environ.get(declaration.variable, "")).strip():
            name = declaration.variable
        elif declaration.name in filed:
            name, raw = f"{path}: {declaration.name}", filed[declaration.name]
        else:
            continue
        try:
            values[declaration.name] = declaration.parse(raw)
        except ValueError as error:
            raise SettingsError(name, str(error)) from None
        written[declaration.name] = name
    try:
        return Settings(**values)
    except SettingsError as error:
        name = next((written[name] for name in error.involved if name in written), error.name)
        raise SettingsError(name, error.reason) from None


def read_file(path: str) -> dict[str, str]:
    """What a TOML file says, by the names of the settings, in the words of a flag.

    Raises:
        SettingsError: it cannot be read, is no TOML, or holds what is no setting.
    """
    try:
        raw = tomllib.loads(Path(path).read_text("utf-8"))
    except OSError as failure:
        raise SettingsError(path, failure.strerror or "cannot be read") from None
    except UnicodeDecodeError:
        raise SettingsError(path, "is not UTF-8") from None
    except tomllib.TOMLDecodeError as failure:
        raise SettingsError(path, f"is not TOML: {failure}") from None
    known = {declaration.name: declaration for declaration in DECLARATIONS}
    filed: dict[str, str] = {}
    for key, value in raw.items():
        declaration = known.get(key)
        if declaration is None:
            close = difflib.get_close_matches(key.replace("-", "_").lower(), known, n=1)
            hint = f"did you mean {close[0]}?" if close else f"see {PROGRAM} --help"
            raise SettingsError(f"{path}: {key if key.isprintable() else shown(key)}", f"no such setting; {hint}")
        try:
            filed[key] = _as_written(declaration, value)
        except ValueError as error:
            raise SettingsError(f"{path}: {key}", str(error)) from None
    return filed


def _as_written(declaration: Declaration, value: object) -> str:
    """A TOML value in the words of a flag. Raises ValueError with the reason if it is of another type."""
    default = declaration.default
    if isinstance(value, list) and (isinstance(default, tuple) or declaration.repeats):
        if not all(isinstance(one, str) for one in value):
            raise ValueError("must be a list of strings")
        return ",".join(value)
    if isinstance(default, bool):
        fits = isinstance(value, bool | str)
        value = {True: "on", False: "off"}.get(value, value) if isinstance(value, bool) else value
    elif isinstance(default, int | float):
        fits = isinstance(value, int | float) and not isinstance(value, bool)
    else:
        fits = isinstance(value, str)
    if not fits:
        kinds = {bool: "true or false", int: "a whole number", float: "a number", str: "a string", tuple: "a list"}
        raise ValueError(f"must be {kinds[type(default)]}, not {shown(value)}")
    return str(value)


def load_or_exit(argv: Sequence[str], environ: Mapping[str, str]) -> Settings:
    """`load`, but a wrong setting is one line on standard error and SystemExit(2)."""
    try:
        return load(argv, environ)
    except SettingsError as error:
        say(sys.stderr, f"{PROGRAM}: {error}")
        raise SystemExit(2) from None


def misspelt_variables(environ: Mapping[str, str]) -> dict[str, str]:
    """``PRESENCE_*`` variables that mean nothing but look like one that does: written name -> meant name.

    For a warning, not an error: a platform may set variables of its own under the same prefix.
    """
    known = [f"{PREFIX}{CONFIG.upper()}", *(declaration.variable for declaration in DECLARATIONS)]
    found: dict[str, str] = {}
    for name in sorted(environ):
        if name.startswith(PREFIX) and name not in known and not name.startswith(KUBERNETES):
            for meant in difflib.get_close_matches(name, known, n=1, cutoff=0.85):
                found[name] = meant
    return found


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise SettingsError(PROGRAM, " ".join(message.split()))


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog=PROGRAM,
        usage=f"{PROGRAM} [COMMAND] [--SETTING VALUE ...]",
        description="Who is online: presence over WebSocket and REST.",
        epilog="Commands, each with --help: check says what of the settings is unsafe for the address to listen on; "
        "key new NAME --scopes read,write makes a key for a back end; token --user ID signs a token for tests; "
        "webhooks tells where each webhook of a running server stands, and replays one. "
        f"Each setting is also an environment variable: --grace-period is {PREFIX}GRACE_PERIOD. "
        "A flag wins over a variable, a variable over the file; an empty variable counts as unset.",
        allow_abbrev=False,  # a name that is written is a name that exists
        exit_on_error=False,
        formatter_class=lambda prog: argparse.HelpFormatter(prog, max_help_position=34),
    )
    parser.add_argument("--version", action="version", version=f"{PROGRAM} {__version__}")
    parser.add_argument(
        f"--{CONFIG}", metavar="FILE", default=argparse.SUPPRESS, help="a TOML file with settings: grace_period = 5"
    )
    for declaration in DECLARATIONS:
        parser.add_argument(
            declaration.flag,
            metavar=declaration.metavar,
            default=argparse.SUPPRESS,
            action="append" if declaration.repeats else "store",
            help=f"{declaration.help} (default: {declaration.default_text})".replace("%", "%%"),
        )
    return parser


def _read_flags(argv: Sequence[str]) -> dict[str, str]:
    """Flags as they were written, by the name of the setting; of those that do not repeat the last one wins."""
    try:
        known, unknown = _parser().parse_known_args(_with_values(argv))
    except argparse.ArgumentError as error:
        reason = "needs a value" if "expected one argument" in str(error) else str(error.message)
        raise SettingsError(error.argument_name or PROGRAM, reason) from None
    if unknown:
        name = unknown[0].partition("=")[0]
        flags = [f"--{CONFIG}", *(declaration.flag for declaration in DECLARATIONS)]
        close = difflib.get_close_matches(name, flags, n=1)
        hint = f"did you mean {close[0]}?" if close else f"see {PROGRAM} --help"
        kind = "no such flag" if name.startswith("-") else "not a flag"
        raise SettingsError(name if name.isprintable() else shown(name), f"{kind}; {hint}")
    return {name: _written(raw) for name, raw in vars(known).items()}


def _with_values(argv: Sequence[str]) -> list[str]:
    """A switch without a value is on: `--no-invisible`."""
    switches = {one.flag for one in DECLARATIONS if isinstance(one.default, bool)}
    following = [*argv[1:], "--"][: len(argv)]
    return [
        f"{arg}=on" if arg in switches and after.startswith("--") else arg
        for arg, after in zip(argv, following, strict=True)
    ]


def _written(raw: Any) -> str:
    """The value of a flag, or of one that was given several times."""
    if isinstance(raw, str):
        return raw
    # of `--host=--` argparse leaves an empty list
    return ",".join(map(_written, raw)) if raw else "--"
