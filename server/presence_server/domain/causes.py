"""Why something happened to a user or a device: one word for each reason, the same wherever it is told.

It is told to the user, to services and in the feed, never to watchers: it would tell invisible from absent.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Final


class Cause(StrEnum):
    CONNECTED = "connected"
    """A device came that was not there."""
    RESUMED = "resumed"
    """A device came back within its grace, or by its other way."""
    LEFT = "left"
    """A device said goodbye."""
    LINK_LOST = "link_lost"
    """The link of a device ended without a goodbye: its grace begins."""
    GRACE_OVER = "grace_over"
    HEARTBEAT_MISSED = "heartbeat_missed"
    """A REST device was not heard in time."""
    IDLE = "idle"
    ACTIVE = "active"
    BUSY = "busy"
    STATUS_SET = "status_set"
    """The person said a status or a text."""
    STATUS_ENDED = "status_ended"
    """What the person said was taken back, or is over."""
    CLAIM_BEGAN = "claim_began"
    """Another source says something, from now on."""
    CLAIM_ENDED = "claim_ended"
    REPLACED = "replaced"
    """A newer connection took the place of this one."""
    ENDED_BY_BACKEND = "ended_by_backend"
    TOO_MANY_DEVICES = "too_many_devices"
    NOT_ALLOWED = "not_allowed"
    """The device's credentials do not allow it any more."""
    ERASED = "erased"
    RESTORED = "restored"
    """The server started, and knew the user from before."""


NOT_BY_A_DEVICE: Final = frozenset(
    (Cause.STATUS_SET, Cause.STATUS_ENDED, Cause.CLAIM_BEGAN, Cause.CLAIM_ENDED, Cause.ERASED, Cause.RESTORED)
)
