"""What the REST endpoints take and answer, as JSON Schema. Bounds come from `limits` and `fields`."""

from __future__ import annotations

from typing import Any, Final

from presence_protocol import fields, limits
from presence_protocol.text import REFUSED
from presence_protocol.user_ids import MAX_INT64, MAX_LETTERS
from presence_server.application.contacts import MAX_LIST
from presence_server.domain.causes import Cause
from presence_server.transports.rest.envelope import ERRORS, MESSAGES
from presence_server.transports.rest.words import Words

Schema = dict[str, Any]

USER_ID: Final[Schema] = {"type": "integer", "minimum": 1, "maximum": limits.MAX_USER_ID, "examples": [10001]}
_ANY_DIGITS: Final[Schema] = {"type": "string", "pattern": "^[1-9][0-9]{0,18}$", "examples": ["10001"]}
# Not all that the server refuses: beyond the basic plane, and for surrogates, the dialects of patterns differ.
_REFUSED: Final = "".join(
    f"\\u{first:04x}-\\u{last:04x}" for first, last, kind in REFUSED if last < 0x10000 and kind != "a surrogate"
)
HUMAN_TEXT: Final[Schema] = {
    "pattern": f"^[^{_REFUSED}]*$",
    "description": Words(
        "No control or separator characters, no bidirectional controls, no non-characters.",
        "不得含有控制字符、分隔符、双向控制符或非字符码位。",
    ),
}
USER_IDS: Final[dict[str, Schema]] = {
    "number": USER_ID,
    "int64": {
        "anyOf": [_ANY_DIGITS, {"type": "integer", "minimum": 1, "maximum": MAX_INT64}],
        "description": Words("Answered as a string.", "响应中为字符串。"),
    },
    "string": {
        "type": "string",
        "minLength": 1,
        "maxLength": MAX_LETTERS,
        "pattern": f"^[^/{_REFUSED}]*$",
        "examples": ["ann"],
    },
}
"""By kind, as `--user-ids` names it."""
DEVICE_ID: Final[Schema] = {
    "type": "string",
    "minLength": 1,
    "maxLength": limits.MAX_DEVICE_ID,
    **HUMAN_TEXT,
    "examples": ["device_123"],
}
STATUS: Final[Schema] = {"type": "string", "enum": list(fields.STATUSES)}
PLATFORM: Final[Schema] = {"type": "string", "enum": list(fields.PLATFORMS)}
TIME: Final[Schema] = {
    "type": "string",
    "pattern": r"^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}Z$",
    "examples": ["2025-11-09T15:00:00Z"],
}
UNTIL: Final[Schema] = {
    "type": ["string", "null"],
    "pattern": r"^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}(\.\d{1,9})?(Z|[+-]\d{2}:\d{2})$",
    "description": Words(
        "An RFC 3339 time, later than now and at most a year ahead. A fraction is rounded up.",
        "RFC 3339 时间，晚于现在，最多一年之后。小数部分向上取整。",
    ),
    "examples": ["2025-11-09T15:00:00Z", "2025-11-09T15:00:00.000Z", "2025-11-09T23:00:00+08:00"],
}
LAST_ACTIVE: Final[Schema] = {
    **TIME,
    "type": ["string", "null"],
    "description": Words("null: never known.", "null：从未知道。"),
}
FLAG: Final[Schema] = {"type": ["boolean", "null"]}
STATUS_TEXT: Final[Schema] = {"type": "string", "maxLength": limits.MAX_STATUS_TEXT, **HUMAN_TEXT}
STATUS_EMOJI: Final[Schema] = {
    "type": "string",
    "maxLength": 64,
    "description": Words(
        f"One emoji of at most {limits.MAX_STATUS_EMOJI} bytes, or a short code.",
        f"一个表情符号（最多 {limits.MAX_STATUS_EMOJI} 字节），或短代码。",
    ),
    "examples": ["🌴", ":palm_tree:"],
}


def record(required: Schema, optional: Schema | None = None, closed: bool = True) -> Schema:
    """An object schema. Answers are closed: they hold nothing that is not said here. Requests may hold more."""
    schema: Schema = {"type": "object", "properties": required | (optional or {}), "required": list(required)}
    return schema | {"additionalProperties": False} if closed else schema


def request(required: Schema, optional: Schema | None = None) -> Schema:
    return record(required, optional, closed=False)


def list_of(item: Schema, most: int | None = None) -> Schema:
    schema: Schema = {"type": "array", "items": item}
    return schema if most is None else schema | {"maxItems": most}


def ref(name: str) -> Schema:
    return {"$ref": f"#/components/schemas/{name}"}


PLATFORM_STATUS: Final[Schema] = {
    "type": "object",
    "additionalProperties": STATUS,
    "description": Words("The status on each platform (--platform-status).", "各平台上的状态（--platform-status）。"),
}
LAST_SEEN: Final[Schema] = {
    "enum": ["today", "this_week", "this_month", "earlier"],
    "description": Words(
        "Instead of lastActiveTime, for who may see the status only.", "只能看到状态的人看到它，代替 lastActiveTime。"
    ),
}
DEVICE: Final = record({"deviceId": DEVICE_ID, "platform": PLATFORM, "onlineTime": TIME})
PRESENCE: Final = record(
    {"userId": USER_ID, "status": STATUS, "lastActiveTime": LAST_ACTIVE, "devices": list_of(ref("Device"))},
    {
        "statusText": STATUS_TEXT,
        "statusEmoji": STATUS_EMOJI,
        "idleSince": TIME,
        "platformStatus": PLATFORM_STATUS,
        "lastSeen": LAST_SEEN,
    },
)
SUMMARY: Final = record({"userId": USER_ID, "status": STATUS, "lastActiveTime": LAST_ACTIVE}, {"lastSeen": LAST_SEEN})
BATCH_ITEM: Final = record(
    {"userId": USER_ID, "status": STATUS},
    {
        "lastActiveTime": LAST_ACTIVE,
        "lastSeen": LAST_SEEN,
        "platforms": list_of(PLATFORM),
        "statusText": STATUS_TEXT,
        "statusEmoji": STATUS_EMOJI,
        "idleSince": TIME,
        "platformStatus": PLATFORM_STATUS,
    },
)
ENTRY: Final = record(
    {
        "userId": USER_ID,
        "status": STATUS,
        "platforms": list_of(PLATFORM),
        "lastActiveTime": LAST_ACTIVE,
        "version": {"type": "integer", "minimum": 0, "maximum": limits.MAX_USER_ID},
    },
    {
        "statusText": STATUS_TEXT,
        "statusEmoji": STATUS_EMOJI,
        "idleSince": TIME,
        "platformStatus": PLATFORM_STATUS,
        "lastSeen": LAST_SEEN,
    },
)
ERROR: Final = record(
    {
        "code": {"type": "integer", "enum": sorted(ERRORS)},
        "message": {"type": "string"},
        "data": record(
            {
                "error": {"type": "string", "enum": sorted({error for error, _ in ERRORS.values()} | set(MESSAGES))},
                "details": list_of(record({"field": {"type": "string"}, "reason": {"type": "string"}})),
            }
        ),
    }
)

_LEVELS: Final[Schema] = {"idle": FLAG, "busy": FLAG}
ONLINE_BODY: Final = request({"userId": USER_ID, "deviceId": DEVICE_ID, "platform": PLATFORM}, _LEVELS)
DEVICE_BODY: Final = request({"userId": USER_ID, "deviceId": DEVICE_ID})
HEARTBEAT_BODY: Final = request({"userId": USER_ID, "deviceId": DEVICE_ID}, _LEVELS)
STATUS_BODY: Final[Schema] = request(
    {},
    {
        "status": {"type": ["string", "null"], "enum": [*fields.STATUSES, None]},
        "until": UNTIL,
        "statusText": {**STATUS_TEXT, "type": ["string", "null"]},
        "statusEmoji": {**STATUS_EMOJI, "type": ["string", "null"]},
        "textUntil": UNTIL,
    },
) | {
    "description": Words(
        "PATCH leaves as it is what is left out, and null clears it; PUT clears what is left out.",
        "PATCH 中省略的字段保持不变，null 表示清除；PUT 会清除省略的字段。",
    ),
}

REVOKE_BODY: Final = request(
    {"userId": USER_ID},
    {
        "issuedBefore": {
            "anyOf": [UNTIL, {"type": "integer", "minimum": 0, "maximum": 100_000_000_000}, {"type": "null"}],
            "description": Words(
                "Tokens issued before are refused; all until now if it is left out. Seconds since 1970, or a time.",
                "在此之前签发的令牌被拒绝；省略时为现在。可以是 1970 年以来的秒数，也可以是时间。",
            ),
        },
        "deviceId": {**DEVICE_ID, "type": ["string", "null"]},
    },
)
TICKET: Final = record(
    {"ticket": {"type": "string"}, "expiresIn": {"type": "integer", "description": Words("Seconds.", "秒。")}}
)
_EXPLAINED_BY: Final[Schema] = {
    **record({"source": {"type": "string"}}, {"id": {"type": "string"}, "until": TIME, "cause": {"type": "string"}}),
    "description": Words(
        "A claim's source; devices; or nothing: there is no device.", "声明的来源；devices：设备；nothing：没有设备。"
    ),
}
HELD_DEVICE: Final = record(
    {
        "deviceId": DEVICE_ID,
        "platform": PLATFORM,
        "onlineTime": TIME,
        "idle": {"type": "boolean"},
        "busy": {"type": "boolean"},
        "holder": {"type": "string", "enum": ["connection", "grace", "rest"]},
        "lastHeard": TIME,
        "lapsesAt": TIME,
    }
)
EXPLANATION: Final = record(
    {
        "userId": USER_ID,
        "status": STATUS,
        "sentence": record({"en": {"type": "string"}, "zh": {"type": "string"}}),
        "statusBy": _EXPLAINED_BY,
        "until": LAST_ACTIVE | {"description": Words("null: it has no end.", "null：没有期限。")},
        "next": {
            "anyOf": [record({"time": TIME, "status": STATUS, "statusBy": _EXPLAINED_BY}), {"type": "null"}],
            "description": Words("What comes by itself, if nobody does anything.", "若无人操作，接下来自动发生的事。"),
        },
        "textBy": {"anyOf": [{"type": "object"}, {"type": "null"}]},
        "devices": list_of(HELD_DEVICE),
        "lastActiveTime": LAST_ACTIVE,
        "changes": list_of(
            record(
                {
                    "time": TIME,
                    "before": STATUS,
                    "after": STATUS,
                    "platforms": list_of(PLATFORM),
                    "cause": {"enum": [cause.value for cause in Cause]},
                    "version": {"type": "integer"},
                },
                {"device": record({"deviceId": DEVICE_ID, "platform": PLATFORM})},
            )
        ),
    }
)
REVOKED: Final = record({"userId": USER_ID, "connections": {"type": "integer", "minimum": 0}})

SHOWN_TO: Final[Schema] = {"enum": ["everyone", "contacts", "nobody"]}
MANY: Final = list_of(USER_ID)
_SOME: Final[Schema] = {**MANY, "type": ["array", "null"]}
_COUNT: Final[Schema] = {"type": "integer", "minimum": 0}
_LISTED: Final[Schema] = {**MANY, "description": Words(f"At most {MAX_LIST} ids.", f"最多 {MAX_LIST} 个 ID。")}
_MUTUAL: Final[Schema] = {
    **FLAG,
    "description": Words(
        "The user may see them as well; true if it is left out.", "该用户也可以看到他们；省略时为 true。"
    ),
}
CONTACTS_BODY: Final = request({"userIds": _LISTED}, {"mutual": _MUTUAL})
CONTACTS_CHANGE_BODY: Final = request({}, {"add": _SOME, "remove": _SOME, "mutual": _MUTUAL})
BLOCKS_BODY: Final = request({"userIds": _LISTED})
BLOCKS_CHANGE_BODY: Final = request({}, {"add": _SOME, "remove": _SOME})
PRIVACY_BODY: Final = request({"lastSeen": SHOWN_TO})
CONTACTS: Final = record({"userId": USER_ID, "contacts": _COUNT})
BLOCKS: Final = record({"userId": USER_ID, "blocks": _COUNT})
PRIVACY: Final = record({"userId": USER_ID, "lastSeen": SHOWN_TO})


def batch_body(most: int) -> Schema:
    return request({"userIds": list_of(USER_ID, most)}, {"detail": FLAG})


HEARTBEAT: Final = record(
    {
        "nextHeartbeatInterval": {
            "type": "integer",
            "minimum": 1,
            "description": Words("Milliseconds.", "毫秒。"),
        }
    }
)
HEALTH: Final = record({"status": {"const": "ok"}, "version": {"type": "string"}})
READY: Final = record({"status": {"const": "ready"}})
NOT_READY: Final = record({"status": {"enum": ["draining", "full", "unreachable"]}})

COMPONENTS: Final = {
    "Device": DEVICE,
    "Presence": PRESENCE,
    "Summary": SUMMARY,
    "BatchItem": BATCH_ITEM,
    "StatusEntry": ENTRY,
    "Error": ERROR,
}
"""The schemas that have a name, which `ref` refers to."""
