"""Override and devices of one user -> what anybody may see of that user."""

from collections.abc import Iterable, Sequence
from itertools import combinations

from presence_server.domain.model import OFFLINE, Device, Override, Platform, PublicState, Status

# Every set of platforms, in enum order, once: a million users share these sixteen tuples.
_PLATFORM_SETS = {
    frozenset(chosen): chosen for size in range(len(Platform) + 1) for chosen in combinations(Platform, size)
}
# The common states without a text are shared for the same reason.
_SHARED: dict[tuple[Status, tuple[Platform, ...]], PublicState] = {
    (status, platforms): PublicState(status, platforms)
    for status in Status
    if status is not Status.OFFLINE
    for platforms in _PLATFORM_SETS.values()
    if platforms
}


_INVISIBLE = Status.OFFLINE  # an enum's member costs 50 ns to look up


def aggregate(override: Override | None, devices: Sequence[Device]) -> PublicState:
    """A user with no device is OFFLINE; else the override if there is one; else ONLINE if any device is active.

    Whoever is OFFLINE shows no platforms and no text, so that being invisible cannot be told from being away
    from every device.
    """
    if not devices or (override is not None and override.status is _INVISIBLE):
        return OFFLINE
    status, text = _said(override) if override is not None else (_from_activity(devices), None)
    platforms = _platforms(devices)
    return _SHARED[status, platforms] if text is None else PublicState(status, platforms, text)


def _said(override: Override) -> tuple[Status, str | None]:
    return override.status, override.text


def _from_activity(devices: Iterable[Device]) -> Status:
    return Status.ONLINE if any(device.idle is None for device in devices) else Status.AWAY


def _platforms(devices: Sequence[Device]) -> tuple[Platform, ...]:
    if len(devices) == 1:
        return _PLATFORM_SETS[frozenset((devices[0].platform,))]
    return _PLATFORM_SETS[frozenset(device.platform for device in devices)]
