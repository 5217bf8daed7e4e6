"""The console script `presence-server`."""

import os
import sys

from presence_server import app, logs, settings


def main() -> None:
    """Run the server with flags and `PRESENCE_*` variables. Exit 2: a wrong setting; 1: the address cannot be had."""
    chosen = settings.load_or_exit(sys.argv[1:], os.environ)
    logs.configure(chosen.log_level, chosen.log_format, sys.stderr)
    log = logs.get_logger(__name__)
    for written, meant in settings.misspelt_variables(os.environ).items():
        log.warning("unknown variable", name=written, meant=meant)
    try:
        app.run(chosen)
    except app.BindError as failed:
        sys.stderr.write(f"{settings.PROGRAM}: {failed}\n")
        sys.exit(1)


if __name__ == "__main__":
    main()
