"""What the REST endpoints answer, as types. All times are UTC in whole seconds, such as `2025-11-09T15:00:00Z`."""

from typing import Any

import msgspec

from presence_protocol.messages import Detail, StatusEntry, StatusName, ToldUserId
from presence_protocol.user_ids import IdKind


class UserSummary(msgspec.Struct, rename="camel", frozen=True):
    """A user's public status. `last_active_time`: None if never known.

    `last_seen` (`today`, `this_week`, `this_month` or `earlier`) is told instead of `last_active_time` to who may see
    the status only.
    """

    user_id: ToldUserId
    status: StatusName
    last_active_time: str | None = None
    last_seen: str | None = None


class DeviceStatus(msgspec.Struct, rename="camel", frozen=True):
    """One device that is online. `online_time`: since when."""

    device_id: str
    platform: str
    online_time: str


class UserStatus(msgspec.Struct, rename="camel", frozen=True):
    """A user's public status with their devices, which are none when OFFLINE. `last_seen` as in `UserSummary`.

    `status_text` and `status_emoji` are told whatever the status is. `platform_status`: the status on each platform,
    where the server tells it; `idle_since`: where the server tells it, and all devices are idle.
    """

    user_id: ToldUserId
    status: StatusName
    last_active_time: str | None
    devices: list[DeviceStatus]
    status_text: str | None = None
    status_emoji: str | None = None
    idle_since: str | None = None
    platform_status: dict[str, StatusName] | None = None
    last_seen: str | None = None


class UserDetail(msgspec.Struct, rename="camel", frozen=True):
    """What watchers see of a user: status, the distinct platforms of their devices, text. `last_seen` as in
    `UserSummary`, the rest as in `UserStatus`."""

    user_id: ToldUserId
    status: StatusName
    last_active_time: str | None
    platforms: list[str]
    status_text: str | None = None
    status_emoji: str | None = None
    idle_since: str | None = None
    platform_status: dict[str, StatusName] | None = None
    last_seen: str | None = None


class ChangeSet(msgspec.Struct, rename="camel", frozen=True):
    """What `/changes` says. `changes` merge by greater version into what is held if `resumed`, else replace it.

    `cursor` goes into the next call for the same users.
    """

    changes: list[StatusEntry]
    cursor: str
    resumed: bool


class Decision(msgspec.Struct, rename="camel", frozen=True):
    """Whose word decides. `source`: of a claim, or `devices`, or `nothing`; `id`: the claim's; `until`: when it ends.

    `cause`: of what comes by itself when a device lapses, `grace_over` or `heartbeats_missed`.
    """

    source: str
    id: str | None = None
    until: str | None = None
    cause: str | None = None
    status_text: str | None = None
    status_emoji: str | None = None


class HeldClaim(msgspec.Struct, rename={"begins": "from", "status_text": "statusText", "status_emoji": "statusEmoji",
                                        "in_force": "inForce"}, frozen=True):  # fmt: skip
    """One claim that is made of a user, over or to come included until it has ended. `until` None: it has no end.

    `in_force`: it has begun, and not ended; not whether it wins.
    """

    source: str
    weight: int
    begins: str
    in_force: bool
    id: str = ""
    status: StatusName | None = None
    status_text: str | None = None
    status_emoji: str | None = None
    until: str | None = None
    alone: bool = False


class Standing(msgspec.Struct, rename="camel", frozen=True):
    """What a user's claims and devices come to, and which of them decides. `at`: when that begins; None: it holds."""

    status: StatusName
    status_by: Decision
    text_by: Decision | None
    status_text: str | None = None
    status_emoji: str | None = None
    at: str | None = None


class Claims(msgspec.Struct, rename="camel", frozen=True):
    """All that is claimed of a user, in the order of who wins; what wins `now`, and what wins `next`, if their devices
    stay as they are (None: no claim that is known of changes anything)."""

    user_id: ToldUserId
    claims: list[HeldClaim]
    now: Standing
    next: Standing | None


class NotClaimed(msgspec.Struct, rename="camel", frozen=True):
    """A user of a batch for whom nothing was done; `field` and `reason` say why."""

    user_id: ToldUserId
    field: str
    reason: str


class Claimed(msgspec.Struct, rename="camel", frozen=True):
    """What came of claims of many users: for how many they were set, and for whom not."""

    users: int
    refused: list[NotClaimed]


class Coming(msgspec.Struct, rename="camel", frozen=True):
    """What comes by itself, and when."""

    time: str
    status: StatusName
    status_by: Decision


class ExplainedDevice(msgspec.Struct, rename="camel", frozen=True):
    """A device, and what keeps it: `holder` is `connection`, `grace` or `rest`. `lapses_at`: if nothing is heard."""

    device_id: str
    platform: str
    online_time: str
    idle: bool
    holder: str
    last_heard: str
    lapses_at: str
    busy: bool = False


class ExplainedChange(msgspec.Struct, rename="camel", frozen=True):
    """A change of the public state. `cause`: a stable English code, such as `link_lost`; more may be added."""

    time: str
    before: StatusName
    after: StatusName
    platforms: list[str]
    cause: str
    version: int


class Explanation(msgspec.Struct, rename="camel", frozen=True):
    """Why a user is shown as they are. `sentence`: by language, `en` and `zh`.

    `status_by` decides till `until` (None: with no end); `next` is what comes by itself. `changes`: the last ones that
    the server still knows, newest first.
    """

    user_id: ToldUserId
    status: StatusName
    sentence: dict[str, str]
    status_by: Decision
    until: str | None
    next: Coming | None
    devices: list[ExplainedDevice]
    changes: list[ExplainedChange]
    text_by: Decision | None = None
    last_active_time: str | None = None


class Interval(msgspec.Struct, rename="camel", frozen=True):
    """What a heartbeat is answered: milliseconds until the next."""

    next_heartbeat_interval: int


class Refusal(msgspec.Struct):
    """What stands in the envelope of an error."""

    error: str
    details: list[Detail] = []


def other_ids(data: Any, ours: IdKind) -> str:
    """That the user ids of an answer's `data` are of another kind than `ours`, in words; empty where they are not."""
    told = data.get("changes", data) if isinstance(data, dict) else data
    first = told[0] if isinstance(told, list) and told else told
    user_id = first.get("userId") if isinstance(first, dict) else None
    if user_id is None or ours.refusal(user_id) is None:
        return ""
    return f"the server's user ids are not of the kind {ours.name}: pass user_ids (--user-ids)"
