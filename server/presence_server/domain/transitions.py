"""What can happen to a user's presence, and what came of it.

Each transition is a value, so that it can be handed to an engine near or far. `user_id` says whom it is about.
"""

from __future__ import annotations

from enum import Enum
from typing import NamedTuple

from presence_server.domain.model import Change, Device, Override, Status, UserKey
from presence_server.domain.platforms import AnyPlatform


class Connect(NamedTuple):
    """A connection takes hold of a device. `session` is the number that a new session gets.

    `idle` None keeps what a continued session was, and makes a new one active. `status` counts only for a new one.
    """

    user_id: UserKey
    device_id: str
    platform: AnyPlatform
    holder: int
    session: int
    idle: bool | None = None
    idle_for: float | None = None
    status: Status | None = None


class Disconnect(NamedTuple):
    """The link of connection `holder` ended uncleanly: grace, if it still holds the device."""

    user_id: UserKey
    device_id: str
    holder: int


class Leave(NamedTuple):
    """Connection `holder` ended its device deliberately, if it still holds it."""

    user_id: UserKey
    device_id: str
    holder: int


class Online(NamedTuple):
    """REST `/online`. On a connected device it changes nothing but platform and idleness."""

    user_id: UserKey
    device_id: str
    platform: AnyPlatform
    session: int
    idle: bool | None = None


class Heartbeat(NamedTuple):
    """REST `/heartbeat`: refused (`Transition.device` None) for a device that is not online."""

    user_id: UserKey
    device_id: str
    idle: bool | None = None


class Offline(NamedTuple):
    """REST `/offline`: ends the device, whatever holds it."""

    user_id: UserKey
    device_id: str


class SetActivity(NamedTuple):
    """A connection says whether its device is idle, and for how many seconds already."""

    user_id: UserKey
    device_id: str
    holder: int
    idle: bool
    idle_for: float | None = None


class SetOverride(NamedTuple):
    """Set the user's override, or clear it with None."""

    user_id: UserKey
    override: Override | None


AnyTransition = Connect | Disconnect | Leave | Online | Heartbeat | Offline | SetActivity | SetOverride


class Loss(Enum):
    """Why a connection lost its device to something else than its own end."""

    REPLACED = "replaced"
    ENDED = "ended"
    TOO_MANY_DEVICES = "too many devices"


class Evicted(NamedTuple):
    """Connection `holder` no longer holds its device."""

    holder: int
    loss: Loss


class Transition(NamedTuple):
    """What came of a transition.

    `change` is the Change it made, or None. `device` is the device it was about: None if that is not online.
    `truth_changed` says whether anything changed that the user may see of themselves.
    `is_refused`: it was not carried out, since there is no room for the override of one more user who never came.
    """

    change: Change | None = None
    device: Device | None = None
    continued: bool = False
    evicted: tuple[Evicted, ...] = ()
    truth_changed: bool = False
    is_refused: bool = False


NOTHING = Transition()
REFUSED = Transition(is_refused=True)
