"""Which cause a transition has, where that hangs on more than its kind."""

from __future__ import annotations

from typing import Final

from presence_server.domain.causes import Cause
from presence_server.domain.claims import LEAVE, Claims, Word, is_in_force, is_own
from presence_server.domain.model import SELF, Device, Idle, Source

_BUSY, _IDLE, _ACTIVE = Cause.BUSY, Cause.IDLE, Cause.ACTIVE  # an enum's member costs 50 ns to look up


def cause_of_stirring(device: Device, was_busy: bool) -> Cause:
    """Why: a device said, or let be inferred, what its person does."""
    if device.busy and not was_busy:
        return _BUSY
    return _IDLE if isinstance(device.activity, Idle) else _ACTIVE


def cause_of_saying(word: Word | None) -> Cause:
    """Why: the person said `word`. One that says nothing takes back what was said."""
    if word is None:
        return Cause.STATUS_ENDED
    says = any(each is not LEAVE and each is not None and each != "" for each in word)
    return Cause.STATUS_SET if says else Cause.STATUS_ENDED


def cause_of_claiming(source: Source, before: Claims, after: Claims, utc: float) -> Cause:
    """Why: the claims of `source` are others. If it says nothing now, and did, it has ended."""
    ends = not _speaks(source, after, utc) and (_speaks(source, before, utc) or not _is_there(source, after))
    if source.name == SELF.name:
        return Cause.STATUS_ENDED if ends else Cause.STATUS_SET
    return Cause.CLAIM_ENDED if ends else Cause.CLAIM_BEGAN


def _speaks(source: Source, claims: Claims, utc: float) -> bool:
    return any(claim.source.name == source.name and is_in_force(claim, utc) for claim in claims)


def _is_there(source: Source, claims: Claims) -> bool:
    return any(claim.source.name == source.name for claim in claims)


def cause_of_edge(claims: Claims, utc: float) -> Cause:
    """Why: the calendar reached the beginning or end of one of `claims`. Of several, that of the heaviest."""
    for claim in claims:
        if claim.until is not None and claim.until <= utc:
            return Cause.STATUS_ENDED if is_own(claim) else Cause.CLAIM_ENDED
        if claim.is_planned and claim.since <= utc:
            return Cause.STATUS_SET if is_own(claim) else Cause.CLAIM_BEGAN
    raise ValueError("none of them has begun or ended")


_ARRIVALS: Final = frozenset((Cause.CONNECTED, Cause.CLAIM_BEGAN, Cause.CLAIM_ENDED, Cause.RESTORED))
_DEPARTURES: Final = frozenset(
    (
        Cause.LEFT,
        Cause.LINK_LOST,
        Cause.GRACE_OVER,
        Cause.HEARTBEAT_MISSED,
        Cause.CLAIM_BEGAN,
        Cause.CLAIM_ENDED,
        Cause.REPLACED,
        Cause.ENDED_BY_BACKEND,
        Cause.TOO_MANY_DEVICES,
        Cause.NOT_ALLOWED,
        Cause.ERASED,
        Cause.RESTORED,
    )
)


def cause_for_all(
    is_coming: bool, cause: Cause, by: Device | None, devices: tuple[Device, ...]
) -> tuple[Cause, Device | None]:
    """Why, and by which device, for those who may not know who is invisible: the user comes into sight, or goes.

    Who says OFFLINE looks like one whose device left, and who takes it back like one whose device came.
    """
    if cause in (_ARRIVALS if is_coming else _DEPARTURES):
        return cause, by
    if not devices:
        return (Cause.CLAIM_BEGAN if is_coming else Cause.CLAIM_ENDED), None
    return (Cause.CONNECTED if is_coming else Cause.LEFT), devices[-1]
