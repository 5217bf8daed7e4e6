"""A batch of changes as a message of Standard Webhooks: body, id, time and signatures.

    {"type": "presence.changes", "timestamp": "2026-01-31T08:00:00Z",
     "data": {"changes": [...], "cursor": "...", "gap": false}}

Three headers go along: `webhook-id`, the same whenever the same message is sent again; `webhook-timestamp`, the time of
this attempt in seconds since 1970; `webhook-signature`, one signature for each secret, separated by spaces, so that a
secret is replaced without a gap.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from hashlib import sha256
from typing import Final

import msgspec
from standardwebhooks.webhooks import Webhook as Signer

from presence_protocol.feed import FeedEntry
from presence_protocol.fields import format_time
from presence_protocol.user_ids import told_in_json

TYPE: Final = "presence.changes"

_encoder: Final = msgspec.json.Encoder(enc_hook=told_in_json)


class Data(msgspec.Struct, frozen=True):
    changes: Sequence[FeedEntry]
    cursor: str
    gap: bool


class Message(msgspec.Struct, frozen=True):
    type: str
    timestamp: str
    data: Data


def body_of(changes: Sequence[FeedEntry], cursor: str, gap: bool, utc: float) -> bytes:
    """The body of a message that was made at `utc`, in seconds since 1970."""
    return _encoder.encode(Message(TYPE, format_time(int(utc)), Data(changes, cursor, gap)))


def digest_of(changes: Sequence[FeedEntry], cursor: str, gap: bool) -> bytes:
    """What tells two messages apart: the same for the same message at another time."""
    return sha256(_encoder.encode(Data(changes, cursor, gap))).digest()


def signers_of(secrets: Sequence[str]) -> tuple[Signer, ...]:
    return tuple(map(Signer, secrets))


def headers_of(signers: Sequence[Signer], message_id: str, body: bytes, utc: float) -> dict[str, str]:
    """The headers of an attempt at `utc`."""
    moment = datetime.fromtimestamp(int(utc), UTC)
    text = body.decode()
    return {
        "webhook-id": message_id,
        "webhook-timestamp": str(int(utc)),
        "webhook-signature": " ".join(signer.sign(message_id, moment, text) for signer in signers),
    }
