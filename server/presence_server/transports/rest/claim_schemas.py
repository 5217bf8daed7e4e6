"""Schemas of what `/claims` takes and answers, beside those in `schemas`."""

from __future__ import annotations

from typing import Final

from presence_protocol import fields, limits
from presence_server.domain.claims import MAX_CLAIMS
from presence_server.transports.rest.schemas import (
    DEVICE_ID,
    FLAG,
    HUMAN_TEXT,
    LAST_ACTIVE,
    MANY,
    PLATFORM,
    SHOWN_TO,
    STATUS,
    STATUS_EMOJI,
    STATUS_TEXT,
    TIME,
    UNTIL,
    USER_ID,
    Schema,
    list_of,
    record,
    request,
)
from presence_server.transports.rest.words import Words

CLAIM_ID: Final[Schema] = {"type": "string", "minLength": 1, "maxLength": limits.MAX_CLAIM_ID, **HUMAN_TEXT}
SOURCE: Final[Schema] = {"type": "string", "examples": ["calendar"]}

_SAID: Final[Schema] = {
    "status": {"type": ["string", "null"], "enum": [*fields.STATUSES, None]},
    "statusText": {**STATUS_TEXT, "type": ["string", "null"]},
    "statusEmoji": {**STATUS_EMOJI, "type": ["string", "null"]},
    "from": {
        **UNTIL,
        "description": Words(
            "An RFC 3339 time, at most a year ahead; at once if it is left out.",
            "RFC 3339 时间，最多一年之后；省略表示立即开始。",
        ),
    },
    "until": UNTIL,
    "alone": FLAG,
}
_CLAIMS: Final[Schema] = {
    "claims": list_of(request({}, {"id": {**CLAIM_ID, "type": ["string", "null"]}, **_SAID}), MAX_CLAIMS)
}
CLAIMS_BODY: Final = request(_CLAIMS)
CLAIM_PATCH: Final = request({"id": CLAIM_ID}, _SAID)

_TEXTS: Final[Schema] = {"statusText": STATUS_TEXT, "statusEmoji": STATUS_EMOJI}
_CLAIM: Final = record(
    {"source": SOURCE, "weight": {"type": "integer", "minimum": 0}, "from": TIME, "inForce": {"type": "boolean"}},
    {"id": CLAIM_ID, "status": STATUS, **_TEXTS, "until": TIME, "alone": {"const": True}},
)
_DECIDING: Final = record({"source": SOURCE}, {"id": CLAIM_ID, "until": TIME})
_WINS: Final[Schema] = {
    "status": STATUS,
    "statusBy": _DECIDING,
    "textBy": {"anyOf": [_DECIDING, {"type": "null"}]},
}
CLAIMS: Final = record(
    {
        "userId": USER_ID,
        "claims": list_of(_CLAIM),
        "now": record(_WINS, _TEXTS),
        "next": {"anyOf": [record({"at": TIME, **_WINS}, _TEXTS), {"type": "null"}]},
    }
)
CLAIMED: Final = record(
    {
        "users": {"type": "integer", "minimum": 0},
        "refused": list_of(record({"userId": USER_ID, "field": {"type": "string"}, "reason": {"type": "string"}})),
    }
)


def claims_batch_body(most: int) -> Schema:
    return request({"source": SOURCE, "userIds": list_of(USER_ID, most), **_CLAIMS})


EXPORT: Final = record(
    {
        "userId": USER_ID,
        "status": STATUS,
        "version": {"type": "integer", "minimum": 0},
        "lastActiveTime": LAST_ACTIVE,
        "claims": list_of(_CLAIM),
        "devices": list_of(
            record(
                {
                    "deviceId": DEVICE_ID,
                    "platform": PLATFORM,
                    "onlineTime": TIME,
                    "idle": {"type": "boolean"},
                },
                {"busy": {"type": "boolean"}},
            )
        ),
        "privacy": record({"lastSeen": SHOWN_TO}),
        "contacts": record({"mutual": MANY, "oneWay": MANY}),
        "blocks": MANY,
        "watching": MANY,
    }
)
"""All that is kept of one user."""
