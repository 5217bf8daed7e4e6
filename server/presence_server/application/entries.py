"""From the domain's records to what goes over the wire."""

from collections.abc import Iterable, Iterator
from typing import Final

from presence_protocol.feed import FeedDevice
from presence_protocol.fields import format_time
from presence_protocol.limits import SNAPSHOT_PART
from presence_protocol.messages import Deciding, Override, SelfDevice, SelfView, StatusEntry, StatusName
from presence_server.application.keys import UserKeys
from presence_server.domain.aggregate import decide
from presence_server.domain.claims import own_text
from presence_server.domain.model import OFFLINE, Claim, Device, PublicState, Status, Truth, UserKey, UserPresence

PART_BYTES = 98_304
"""Bytes of entries in one answer at most. One part is made when the one before has gone out, so that this is what a
client that asks and does not read makes the server hold."""

ENVELOPE = 256
"""Bytes of a message around its entries: type, id, cursor."""

# To ask an enum's member for its value takes 0.1 us.
_STATUSES: Final[dict[Status, StatusName]] = {status: status.value for status in Status}


def entry_of(presence: UserPresence, keys: UserKeys) -> StatusEntry:
    """The public state of one user at its version."""
    public, last_active = presence.public, presence.last_active
    return StatusEntry(
        keys.user_id(presence.user_id),
        _STATUSES[public.status],
        [platform.label for platform in public.platforms],
        None if last_active is None else format_time(last_active),
        presence.version,
        public.text,
        public.emoji,
        None if public.idle_since is None else format_time(public.idle_since),
        None if public.by_platform is None else platform_status_of(public),
        presence.last_seen,
    )


def platform_status_of(public: PublicState) -> dict[str, str] | None:
    """The status on each platform; None where it is not told, or there is none."""
    if public.by_platform is None:
        return None
    each = zip(public.platforms, public.by_platform, strict=True)
    return {platform.value: status.value for platform, status in each}


def unknown(user_id: UserKey) -> UserPresence:
    """What is shown of a user never heard of, or of one whom the asker may not see."""
    return UserPresence(user_id, OFFLINE, None, 0, 0)


def self_view_of(truth: Truth, keys: UserKeys) -> SelfView:
    """What a user may see of themselves."""
    claims = truth.claims
    override = text = text_by = None
    status_by = _DEVICES
    if claims:
        decided = decide(claims, truth.devices, truth.utc)
        own = decided.own
        if own is not None and own.status is not None:
            override = Override(_STATUSES[own.status], time_of(own.until))
        if decided.by is not None:
            status_by = deciding(decided.by)
        if decided.text_by is not None:
            text, text_by = own_text(claims, truth.utc), deciding(decided.text_by, with_text=True)
    devices = [
        SelfDevice(
            device.device_id,
            device.platform.label,
            format_time(device.online_time),
            device.idle is not None,
            device.busy,
        )
        for device in truth.devices
    ]
    user_id, status = keys.user_id(truth.user_id), _STATUSES[truth.public.status]
    if text is None:
        return SelfView(user_id, status, override, devices, status_by=status_by, text_by=text_by)
    return SelfView(user_id, status, override, devices, text.text, text.emoji, time_of(text.until), status_by, text_by)


def device_of(device: Device | None) -> FeedDevice | None:
    """The device that caused something, as it is told."""
    return None if device is None else FeedDevice(device.device_id, device.platform.label)


_DEVICES = Deciding("devices")


def deciding(claim: Claim, with_text: bool = False) -> Deciding:
    """What decides, as it is told; with its text, where that is what it decides."""
    said = (claim.text, claim.emoji) if with_text else (None, None)
    return Deciding(claim.source.name, claim.id or None, time_of(claim.until), *said)


def time_of(seconds: int | None) -> str | None:
    return None if seconds is None else format_time(seconds)


def part_bytes(max_message: int, most: int = PART_BYTES) -> int:
    """Bytes of entries in one message that respects `max_message` (1,024 at least: room for any one entry)."""
    return min(most, max_message - ENVELOPE)


def parts(presences: Iterable[UserPresence], most_bytes: int = PART_BYTES) -> Iterator[list[UserPresence]]:
    """Cut into parts that each fit one message; at least one part, even of nothing."""
    part: list[UserPresence] = []
    weight = 0
    for presence in presences:
        public = presence.public
        text = public.text
        heavy = 192 + (4 * len(text) if text else 0)
        if len(public.platforms) > 4 or public.by_platform is not None:
            heavy += 64 * len(public.platforms)  # a name may have 24 letters, and stand in there twice
        if len(part) == SNAPSHOT_PART or (part and weight + heavy > most_bytes):
            yield part
            part, weight = [], 0
        part.append(presence)
        weight += heavy
    yield part


def byte_parts(box: list[bytes], most_bytes: int) -> Iterator[list[bytes]]:
    """Cut entries that are encoded into parts that each fit one message."""
    part: list[bytes] = []
    size = 0
    for entry in box:
        if len(part) == SNAPSHOT_PART or (part and size + len(entry) > most_bytes):
            yield part
            part, size = [], 0
        part.append(entry)
        size += len(entry)
    yield part
