"""The console script `presence-server`: serves, or does what a command names (see `commands`)."""

import os
import sys

from presence_server import borrowed, commands, logs, settings
from presence_server.log_output import open_standard_streams, say

EXTRA = "presence-service[server]"
"""What an installation needs for a server: without it there is a client, and this script."""


def main() -> None:
    """Run the server with flags and `PRESENCE_*` variables.

    Exit codes: 2, a wrong setting; 1, the address cannot be had, or what a server needs is not installed, or not as
    this server knows it.
    """
    open_standard_streams()
    if sys.argv[1:2] and sys.argv[1] in commands.NAMES:
        sys.exit(_run(sys.argv[1], sys.argv[2:]))
    chosen = settings.load_or_exit(sys.argv[1:], os.environ)
    logs.configure(chosen.log_level, chosen.log_format, sys.stderr)
    log = logs.get_logger(__name__)
    for written, meant in settings.misspelt_variables(os.environ).items():
        log.warning("unknown variable", name=written, meant=meant)
    if os.environ.get("PYTHONHASHSEED", "random") not in ("", "random"):
        log.warning("strings are not salted", name="PYTHONHASHSEED", meant="unset: clients could choose what collides")
    try:
        lost = borrowed.missing()  # before anything imports such a name
        if lost is not None:
            say(sys.stderr, f"{settings.PROGRAM}: {lost}")
            sys.exit(1)
        from presence_server import app, listening  # here, so that --help, --version and what is wrong need no extra
    except ModuleNotFoundError as missing:
        sys.exit(_tell_missing(missing))
    try:
        app.run(chosen)
    except settings.SettingsError as wrong:  # a file that a setting names
        say(sys.stderr, f"{settings.PROGRAM}: {wrong}")
        sys.exit(2)
    except listening.BindError as failed:
        say(sys.stderr, f"{settings.PROGRAM}: {failed}")
        sys.exit(1)


def _run(name: str, argv: list[str]) -> int:
    """One of the commands beside serving."""
    try:
        run = commands.find(name)
    except ModuleNotFoundError as missing:
        return _tell_missing(missing)
    return run(argv, os.environ)


def _tell_missing(missing: ModuleNotFoundError) -> int:
    """Raises `missing` again if it is a module of ours."""
    package = (missing.name or "").partition(".")[0]
    if package in ("", "presence_server", "presence_protocol"):
        raise missing
    say(sys.stderr, f"{settings.PROGRAM}: {package} is not installed; a server needs: pip install '{EXTRA}'")
    return 1


if __name__ == "__main__":
    main()
