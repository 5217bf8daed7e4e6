"""Override and devices of one user -> what anybody may see of that user."""

from collections.abc import Iterable, Sequence
from typing import Final

from presence_server.domain.model import OFFLINE, Device, Override, PublicState, Status
from presence_server.domain.platforms import AnyPlatform, PlatformSets, sets_of

# The common states without a text are shared: a million users have a few dozen.
_SHARED: dict[tuple[Status, tuple[AnyPlatform, ...]], PublicState] = {}
_MOST_SHARED: Final = 8192


_INVISIBLE = Status.OFFLINE  # an enum's member costs 50 ns to look up


def aggregate(override: Override | None, devices: Sequence[Device]) -> PublicState:
    """A user with no device is OFFLINE; else the override if there is one; else ONLINE if any device is active.

    Whoever is OFFLINE shows no platforms and no text, so that being invisible cannot be told from being away
    from every device.
    """
    if not devices or (override is not None and override.status is _INVISIBLE):
        return OFFLINE
    status, text = _said(override) if override is not None else (_from_activity(devices), None)
    sets = sets_of(devices[0].platform)
    platforms = _platforms(sets, devices)
    if text is None and not sets.tells_status:
        return _SHARED.get((status, platforms)) or _share(PublicState(status, platforms))
    if not sets.tells_status:
        return PublicState(status, platforms, text)
    # What a user says, and what others say of them, holds on all their platforms.
    each = (status,) * len(platforms) if override is not None else _statuses(platforms, devices)
    return PublicState(status, platforms, text, each)


def _share(state: PublicState) -> PublicState:
    if len(_SHARED) < _MOST_SHARED:
        _SHARED[state.status, state.platforms] = state
    return state


def _said(override: Override) -> tuple[Status, str | None]:
    return override.status, override.text


def _from_activity(devices: Iterable[Device]) -> Status:
    return Status.ONLINE if any(device.idle is None for device in devices) else Status.AWAY


def _platforms(sets: PlatformSets, devices: Sequence[Device]) -> tuple[AnyPlatform, ...]:
    mask = 0
    for device in devices:
        mask |= device.platform.bit
    return sets.of(mask)


def _statuses(platforms: Sequence[AnyPlatform], devices: Sequence[Device]) -> tuple[Status, ...]:
    """What the devices of each platform say."""
    return tuple(
        _from_activity([device for device in devices if device.platform is platform]) for platform in platforms
    )
