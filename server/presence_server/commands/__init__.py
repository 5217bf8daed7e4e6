"""What `presence-server` does beside serving: keys, tokens for tests, a look at the settings and at webhooks.

Each module has `run(argv, environ)`, which prints and returns an exit code: 0, 1 (see there), or 2 for what was
written wrong.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Final

Run = Callable[[Sequence[str], Mapping[str, str]], int]

NAMES: Final = ("check", "key", "token", "webhooks")


def find(name: str) -> Run:
    """Imported when it is needed: each needs what only an installed server has."""
    if name == "check":
        from presence_server.commands import check

        return check.run
    if name == "key":
        from presence_server.commands import key

        return key.run
    if name == "webhooks":
        from presence_server.commands import webhooks

        return webhooks.run
    from presence_server.commands import token

    return token.run
