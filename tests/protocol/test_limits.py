"""The limits are part of the protocol: changing one changes what both sides may send."""

import json

from presence_protocol import limits
from presence_protocol.codec import CODECS, JSON, MSGPACK
from presence_protocol.messages import StatusEntry


def test_a_user_id_is_exact_in_javascript() -> None:
    assert limits.MAX_USER_ID == 2**53 - 1
    assert int(float(limits.MAX_USER_ID)) == limits.MAX_USER_ID
    assert float(limits.MAX_USER_ID + 1) == float(limits.MAX_USER_ID + 2)


def test_the_documented_limits() -> None:
    assert (limits.MAX_DEVICE_ID, limits.MAX_STATUS_TEXT) == (128, 140)
    assert (limits.MAX_WATCHED, limits.MAX_BATCH, limits.SNAPSHOT_PART) == (5000, 1000, 500)
    assert limits.MAX_MESSAGE == 262_144
    assert limits.MAX_WAIT == 60_000
    assert limits.MAX_IDLE_FOR == limits.MAX_UNTIL_AHEAD * 1000 == 366 * 24 * 60 * 60 * 1000


def test_a_full_watch_fits_a_message() -> None:
    watch = {"type": "watch", "id": -limits.MAX_USER_ID, "userIds": [limits.MAX_USER_ID] * limits.MAX_WATCHED}
    assert len(json.dumps(watch)) < limits.MAX_MESSAGE


def test_a_snapshot_part_fits_a_message_whatever_it_says() -> None:
    entry = StatusEntry(
        user_id=limits.MAX_USER_ID,
        status="OFFLINE",
        platforms=["WEB", "IOS", "ANDROID", "PC"],
        last_active_time="2025-11-09T15:00:00Z",
        version=limits.MAX_USER_ID,
        status_text="😀" * limits.MAX_STATUS_TEXT,
    )
    for codec in CODECS:
        whole = b"".join(codec.diff([codec.encode(entry)] * limits.SNAPSHOT_PART, "c" * 64))
        assert len(whole) < 2 * limits.MAX_MESSAGE


def test_subprotocols() -> None:
    assert (JSON.subprotocol, JSON.is_binary) == ("presence.v1.json", False)
    assert (MSGPACK.subprotocol, MSGPACK.is_binary) == ("presence.v1.msgpack", True)
