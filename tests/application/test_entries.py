"""From records to what goes over the wire, in parts that each fit one message."""

from __future__ import annotations

from presence_protocol.codec import JSON
from presence_protocol.limits import MAX_MESSAGE, MAX_STATUS_TEXT, MAX_USER_ID, SNAPSHOT_PART
from presence_protocol.messages import Deciding, Snapshot, StatusEntry
from presence_server.application.entries import entry_of, parts, self_view_of, unknown
from presence_server.application.keys import PLAIN
from presence_server.domain.model import (
    SELF,
    Claim,
    Device,
    Idle,
    Platform,
    PublicState,
    Source,
    Status,
    Truth,
    UserPresence,
)

NINE = 1_762_668_000  # 2025-11-09T06:00:00Z


def someone(user_id: int = 1, text: str | None = None) -> UserPresence:
    return UserPresence(user_id, PublicState(Status.BUSY, (Platform.WEB, Platform.IOS), text), NINE, 7, 9)


def test_an_entry_is_the_public_state_at_its_version() -> None:
    entry = entry_of(someone(text="hi"), PLAIN)
    assert entry == StatusEntry(1, "BUSY", ["WEB", "IOS"], "2025-11-09T06:00:00Z", 7, "hi")


def test_who_is_unknown_is_offline_since_ever() -> None:
    assert entry_of(unknown(5), PLAIN) == StatusEntry(5, "OFFLINE", [], None, 0)


def test_the_own_view_tells_what_others_may_not_see() -> None:
    device = Device(1, "web", Platform.WEB, 1, 5_000.9, NINE)
    idle = Device(1, "phone", Platform.IOS, 2, 5_000.0, NINE)
    idle.activity = Idle(NINE, is_said=True)
    hidden = Claim(SELF, "status", NINE - 60, NINE, Status.OFFLINE)
    away = Claim(SELF, "text", NINE - 60, None, None, "away")
    busy = Claim(Source("call", 80), "c1", NINE - 60, NINE, Status.BUSY, "call")
    truth = Truth(1, PublicState(Status.OFFLINE, (), "away"), (busy, hidden, away), (device, idle), NINE - 1)
    view = self_view_of(truth, PLAIN)
    assert (view.user_id, view.status) == (1, "OFFLINE")
    assert view.override is not None
    assert (view.override.until, view.status_text, view.text_until) == ("2025-11-09T06:00:00Z", "away", None)
    assert view.status_by == Deciding("self", "status", "2025-11-09T06:00:00Z")
    assert view.text_by == Deciding("self", "text", None, "away")
    assert [(d.device_id, d.platform, d.online_time, d.idle) for d in view.devices] == [
        ("web", "WEB", "2025-11-09T06:00:00Z", False),
        ("phone", "IOS", "2025-11-09T06:00:00Z", True),
    ]
    lasting = Claim(SELF, "status", NINE, None, Status.BUSY)
    forever = self_view_of(Truth(1, PublicState(Status.BUSY), (lasting,), (), NINE), PLAIN).override
    assert forever is not None
    assert forever.until is None


def test_parts_keep_order_and_lose_nobody() -> None:
    users = [someone(number) for number in range(1, 2 * SNAPSHOT_PART + 2)]
    cut = list(parts(users))
    assert [len(part) for part in cut] == [SNAPSHOT_PART, SNAPSHOT_PART, 1]
    assert [presence for part in cut for presence in part] == users
    assert list(parts([])) == [[]]


def test_however_heavy_the_entries_a_part_fits_one_message() -> None:
    text = "\U0001f600" * MAX_STATUS_TEXT
    cut = list(parts(someone(MAX_USER_ID - number, text) for number in range(SNAPSHOT_PART)))
    assert len(cut) > 1
    for part in cut:
        message = Snapshot(statuses=[entry_of(presence, PLAIN) for presence in part], cursor="e.1")
        assert len(JSON.encode(message)) < MAX_MESSAGE
