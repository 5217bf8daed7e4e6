"""Webhooks as a back end takes them: verified, typed, folded; and whatever else may come to a public URL."""

from __future__ import annotations

import base64
import json
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from standardwebhooks import webhooks as library

from presence_client import PresenceError, Presences
from presence_client.webhooks import FeedEntry, PresenceChanges, UnknownEvent, WebhookReceiver, WebhookRefused

VECTORS = json.loads((Path(__file__).parents[1] / "vectors" / "webhooks.json").read_text("utf-8"))
SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"


@pytest.fixture
def at_the_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """The library asks the system's clock."""

    class Then(datetime):
        @classmethod
        def now(cls, tz: Any = None) -> Any:
            return datetime.fromtimestamp(VECTORS["now"], tz)

    monkeypatch.setattr(library, "datetime", Then)


@pytest.mark.usefixtures("at_the_time")
@pytest.mark.parametrize("case", [pytest.param(case, id=case["name"]) for case in VECTORS["cases"]])
def test_vectors(case: dict[str, Any]) -> None:
    receiver = WebhookReceiver(*case["secrets"])
    headers = {name.title(): value for name, value in case["headers"].items()}
    if "refused" in case:
        with pytest.raises(WebhookRefused) as refused:
            receiver.verify(case["body"].encode(), headers)
        assert refused.value.reason.startswith(case["refused"])
        assert isinstance(refused.value, PresenceError)
        return
    event = receiver.verify(case["body"].encode(), headers)
    assert (event.id, event.timestamp) == (case["headers"]["webhook-id"], datetime(2025, 11, 9, 15, 0, 1, tzinfo=UTC))
    if isinstance(event, PresenceChanges):
        assert case["event"] == {"type": "presence.changes", "changes": len(event.changes), "gap": event.gap}
    else:
        assert event.type == case["event"]["type"]


def signed(body: str, secret: str = SECRET) -> dict[str, str]:
    now = datetime.now(UTC)
    signature = library.Webhook(secret).sign("msg_1", now, body)
    return {"webhook-id": "msg_1", "webhook-timestamp": str(int(now.timestamp())), "webhook-signature": signature}


def batch(*changes: dict[str, Any], gap: bool = False) -> str:
    data = {"changes": changes, "cursor": "c.1", "gap": gap}
    return json.dumps({"type": "presence.changes", "timestamp": "2025-11-09T15:00:01Z", "data": data})


def entry(user_id: Any, status: str = "ONLINE", version: int = 1, **more: Any) -> dict[str, Any]:
    said = {"userId": user_id, "status": status, "platforms": [], "version": version, "cause": "connected", "at": 1}
    return said | more


def test_a_change_has_all_its_fields() -> None:
    body = batch(entry(1, statusText="lunch", statusEmoji="🍜", device={"deviceId": "d", "platform": "TV"}))
    event = WebhookReceiver(SECRET).verify(body, signed(body))
    assert isinstance(event, PresenceChanges)
    (change,) = event.changes
    assert (change.user_id, change.status, change.status_text, change.status_emoji) == (1, "ONLINE", "lunch", "🍜")
    assert (change.cause, change.at, change.version, event.cursor) == ("connected", 1, 1, "c.1")
    assert change.device is not None
    assert (change.device.device_id, change.device.platform) == ("d", "TV")


@pytest.mark.parametrize(
    ("kind", "told", "is_one"), [("int64", "9223372036854775807", 2**63 - 1), ("string", "ann 用户", "ann 用户")]
)
def test_user_ids_of_each_kind(kind: Any, told: Any, is_one: Any) -> None:
    body = batch(entry(told))
    event = WebhookReceiver(SECRET, user_ids=kind).verify(body, signed(body))
    assert isinstance(event, PresenceChanges)
    assert event.changes[0].user_id == is_one
    with pytest.raises(WebhookRefused, match="the body is not an event: must be"):
        WebhookReceiver(SECRET).verify(body, signed(body))


def test_what_a_framework_has_parsed_is_not_what_was_signed() -> None:
    with pytest.raises(TypeError, match="bytes of the request as they came, not dict"):
        WebhookReceiver(SECRET).verify({"type": "presence.changes"}, {})  # type: ignore[arg-type]


@pytest.mark.parametrize("secret", ["", "whsec_", "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "whsec_%%%", "psk_abcd", None])
def test_a_secret_that_cannot_be_right_is_named_and_not_shown(secret: Any) -> None:
    with pytest.raises(ValueError, match=r"^secrets\[1\] must be whsec_ and base64$"):
        WebhookReceiver(SECRET, secret)
    with pytest.raises(ValueError, match="a secret is needed"):
        WebhookReceiver()


def test_a_body_nested_too_deep_is_refused() -> None:
    body = '{"type":"presence.changes","timestamp":"2025-11-09T15:00:01Z","data":' + "[" * 200_000 + "]" * 200_000 + "}"
    with pytest.raises(WebhookRefused):
        WebhookReceiver(SECRET).verify(body, signed(body))


NAMES = st.sampled_from(["webhook-id", "Webhook-Timestamp", "WEBHOOK-SIGNATURE"])


@given(st.binary(max_size=64), st.dictionaries(NAMES, st.text(max_size=40) | st.integers()))
def test_whatever_comes_to_a_public_url_is_refused(body: bytes, headers: dict[str, Any]) -> None:
    with pytest.raises(WebhookRefused):
        WebhookReceiver(SECRET).verify(body, headers)


def test_an_unpadded_secret_is_the_same() -> None:
    secret = "whsec_" + base64.b64encode(b"a secret of 25 bytes, all.").decode()
    body = batch()
    assert WebhookReceiver(secret.rstrip("=")).verify(body, signed(body, secret)).id == "msg_1"


def test_a_type_of_tomorrow_is_let_pass() -> None:
    body = json.dumps({"type": "presence.x", "timestamp": "2025-11-09T15:00:01Z", "data": [1]})
    event = WebhookReceiver(SECRET).verify(body, signed(body))
    assert isinstance(event, UnknownEvent)
    assert (event.type, event.data) == ("presence.x", [1])


def test_without_the_extra_it_says_what_to_install() -> None:
    code = (
        "import sys; sys.modules['standardwebhooks'] = None\n"
        "from presence_client.webhooks import WebhookReceiver\n"
        f"WebhookReceiver('{SECRET}')"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=30)
    assert ran.stderr.endswith(
        "ImportError: verified webhooks need an extra: pip install 'presence-client[webhooks]'\n"
    )


# -- folding ----------------------------------------------------------------------------------------------------------


def change(user_id: int, status: str, version: int, text: str | None = None) -> FeedEntry:
    return FeedEntry(user_id, status, [], version, "connected", 1, text)


def test_late_and_doubled_entries_change_nothing_and_a_gap_makes_void() -> None:
    held = Presences()
    assert [each.user_id for each in held.take([change(1, "ONLINE", 5), change(2, "AWAY", 6)])] == [1, 2]
    assert held.take([change(1, "ONLINE", 5), change(1, "BUSY", 4)]) == []
    assert held.take([change(2, "OFFLINE", 7)]) == [change(2, "OFFLINE", 7)]
    assert held.take([change(2, "AWAY", 6)]) == [], "a late entry brings nobody back"
    held.take([change(3, "OFFLINE", 8, "on leave")])
    assert {user_id: each.status for user_id, each in held.items()} == {1: "ONLINE", 3: "OFFLINE"}
    held.take([change(4, "ONLINE", 1)], gap=True)
    assert list(held) == [4]
    assert repr(held) == "<Presences of 1 users>"
