"""What nearly every part of the hub needs, in one hand."""

from __future__ import annotations

from collections import Counter
from typing import NamedTuple

from presence_server.application.hub_limits import HubLimits
from presence_server.application.keys import UserKeys
from presence_server.application.ports import Clock, Engine
from presence_server.application.turn import Turn
from presence_server.application.views import Views


class Common(NamedTuple):
    """`refused` counts what was refused for a limit, by the setting's name.

    `part_bytes`: of the entries in one message at most.
    """

    engine: Engine
    views: Views
    turn: Turn
    clock: Clock
    keys: UserKeys
    limits: HubLimits
    refused: Counter[str]
    part_bytes: int
