"""What the commands share: arguments that are read as the settings are, one line for what is wrong."""

from __future__ import annotations

import argparse
import sys
from typing import NoReturn

from presence_server.log_output import say
from presence_server.settings import PROGRAM


class CommandParser(argparse.ArgumentParser):
    """Says what is wrong in one line and ends with 2, as the server does."""

    def error(self, message: str) -> NoReturn:
        say(sys.stderr, f"{PROGRAM}: {' '.join(message.split())}")
        raise SystemExit(2)


def complain(reason: object) -> int:
    say(sys.stderr, f"{PROGRAM}: {reason}")
    return 2
