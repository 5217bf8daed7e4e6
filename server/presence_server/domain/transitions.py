"""What can happen to a user's presence, and what came of it.

Each transition is a value, so that it can be handed to an engine near or far. `user_id` says whom it is about.
"""

from __future__ import annotations

from typing import NamedTuple

from presence_server.domain.causes import Cause
from presence_server.domain.claims import Patch, Word, Wrong
from presence_server.domain.farewells import Farewell
from presence_server.domain.model import Change, Claim, Device, Source, Status, UserKey
from presence_server.domain.platforms import AnyPlatform


class Connect(NamedTuple):
    """A connection takes hold of a device. `session` is the number that a new session gets.

    `idle` and `busy` None keep what a continued session was, and make a new one active. `status` counts only for that.
    `returning`: nobody has signed in, the client has come back by itself. If its session was ended, or others are there
    that may not stand beside it, it is not let in (`Transition.farewell`).
    """

    user_id: UserKey
    device_id: str
    platform: AnyPlatform
    holder: int
    session: int
    idle: bool | None = None
    idle_for: float | None = None
    status: Status | None = None
    busy: bool | None = None
    returning: bool = False


class Disconnect(NamedTuple):
    """The link of connection `holder` ended uncleanly: grace, if it still holds the device."""

    user_id: UserKey
    device_id: str
    holder: int


class Leave(NamedTuple):
    """Connection `holder` ended its device deliberately, or is not let in any more, if it still holds it."""

    user_id: UserKey
    device_id: str
    holder: int
    cause: Cause = Cause.LEFT


class Online(NamedTuple):
    """REST `/online`. On a connected device it changes nothing but platform and idleness."""

    user_id: UserKey
    device_id: str
    platform: AnyPlatform
    session: int
    idle: bool | None = None
    busy: bool | None = None


class Heartbeat(NamedTuple):
    """REST `/heartbeat`: refused (`Transition.device` None) for a device that is not online."""

    user_id: UserKey
    device_id: str
    idle: bool | None = None
    busy: bool | None = None


class Offline(NamedTuple):
    """REST `/offline`: ends the device, whatever holds it. `cause` None: by what holds it."""

    user_id: UserKey
    device_id: str
    cause: Cause | None = None


class Kick(NamedTuple):
    """A back end ends devices of the user: all, or those on `platform`, or with that id. `reason`: for the person."""

    user_id: UserKey
    platform: AnyPlatform | None = None
    device_id: str | None = None
    reason: str = ""


class SetActivity(NamedTuple):
    """A connection says whether its device is idle, and for how many seconds already, or busy. None: as it was."""

    user_id: UserKey
    device_id: str
    holder: int
    idle: bool | None = None
    idle_for: float | None = None
    busy: bool | None = None


class Say(NamedTuple):
    """The user says something of themselves; None takes all back that they said."""

    user_id: UserKey
    word: Word | None


class SetClaims(NamedTuple):
    """`claims` take the place of all that `source` said of the user."""

    user_id: UserKey
    source: Source
    claims: tuple[Claim, ...]


class ChangeClaim(NamedTuple):
    """Change the claim of `source` with that id, or add it."""

    user_id: UserKey
    source: Source
    id: str
    patch: Patch


class EndClaims(NamedTuple):
    """Take back the claim of `source` with that id; None: all of the source."""

    user_id: UserKey
    source: Source
    id: str | None = None


class Restate(NamedTuple):
    """The user's public state is told again, under its next version: others see it otherwise now.

    It makes a Change whose `before` equals its `after`; none of a user of whom nothing was ever told.
    """

    user_id: UserKey


class Erase(NamedTuple):
    """Everything that is kept of the user goes: devices, override, times. Watchers are told OFFLINE, once."""

    user_id: UserKey


AnyClaiming = Say | SetClaims | ChangeClaim | EndClaims

AnyTransition = (
    Connect | Disconnect | Leave | Online | Heartbeat | Offline | Kick | SetActivity | AnyClaiming | Restate | Erase
)


class Evicted(NamedTuple):
    """Connection `holder` no longer holds its device, which something else than its own end took from it.

    `reason`: in words for the person at it; empty: what is usual for the cause.
    """

    holder: int
    cause: Cause
    reason: str = ""


class Transition(NamedTuple):
    """What came of a transition.

    `change` is the Change it made, or None; `cause` is why, also where there is none. `device` is the device it was
    about: None if that is not online.
    `truth_changed` says whether anything changed that the user may see of themselves.
    `is_refused`: it was not carried out, since there is no room for the claims of one more user who never came.
    `wrong`: it was not carried out, since it does not fit what is known of the user.
    `is_full`: it was not carried out, since the user has as many devices as one may have.
    `ended`: how many devices a `Kick` ended. `farewell`: the device was ended lately, and why.
    """

    change: Change | None = None
    device: Device | None = None
    continued: bool = False
    evicted: tuple[Evicted, ...] = ()
    truth_changed: bool = False
    is_refused: bool = False
    wrong: Wrong | None = None
    cause: Cause | None = None
    is_full: bool = False
    ended: int = 0
    farewell: Farewell | None = None


NOTHING = Transition()
REFUSED = Transition(is_refused=True)
FULL = Transition(is_full=True)
