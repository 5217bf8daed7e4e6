"""Who gives way when a user has a device too many, as far as an observer can be sure.

The order is the one that is promised: in grace, REST near its deadline, idle, active. An observer knows it of some
devices only, and of some not to the step.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from simulator.oracle import DeviceTruth
    from simulator.scenario import Scenario

GRACE, OVERDUE, IDLE, ACTIVE = range(4)
TICK: Final = 0.1
"""Seconds by which the server's deadlines may be later than asked for, and more."""


class Standing(NamedTuple):
    """The device stands at one of these steps."""

    lowest: int
    highest: int


def standing(device: DeviceTruth, now: float, scenario: Scenario) -> Standing | None:
    """None: it is not sure that the device is there at all."""
    is_held = device.holder > 0 and device.link is not None and device.is_holder_sure
    if not is_held and not device.must_live(now):
        return None
    step = ACTIVE if device.idle is False else IDLE
    is_idleness_sure = device.idle is not None and not device.unsure_idle and not scenario.lifetimes.away_after
    alive = Standing(step, step) if is_idleness_sure else Standing(IDLE, ACTIVE)
    if is_held:
        return alive
    if device.promised_until <= device.live_until:
        return Standing(GRACE, GRACE)
    spare = device.promised_until - now - scenario.lifetimes.rest / 2
    if abs(spare) <= TICK:
        return Standing(OVERDUE, ACTIVE)
    return alive if spare > 0 else Standing(OVERDUE, OVERDUE)


def spared(devices: Iterable[DeviceTruth], now: float, scenario: Scenario) -> set[DeviceTruth]:
    """Those of `devices` that one of the others gives way to, whichever it is."""
    known = {device: found for device in devices if (found := standing(device, now, scenario)) is not None}
    first = min((found.highest for found in known.values()), default=GRACE)
    return {device for device, found in known.items() if found.lowest > first}
