"""Webhooks in the OpenAPI document: the endpoints about them, and what a receiver is sent."""

from __future__ import annotations

from typing import Final

from presence_protocol import limits
from presence_server.domain.causes import Cause
from presence_server.transports.rest.schemas import (
    DEVICE_ID,
    PLATFORM,
    STATUS,
    STATUS_EMOJI,
    STATUS_TEXT,
    TIME,
    USER_ID,
    Schema,
    list_of,
    record,
    ref,
    request,
)
from presence_server.transports.rest.words import Words
from presence_server.webhooks.delivery import State
from presence_server.webhooks.file import MAX_BATCH

_COUNT: Final[Schema] = {"type": "integer", "minimum": 0}
_CURSOR: Final[Schema] = {"type": "string", "description": Words("A place in the feed.", "变更流中的位置。")}

NAME: Final[Schema] = {"type": "string", "pattern": "^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$", "examples": ["crm"]}

WEBHOOK: Final = record(
    {
        "name": NAME,
        "url": {"type": "string", "description": Words("Without its query.", "不含查询参数。")},
        "scope": {"enum": ["read", "admin"]},
        "state": {"enum": [state.value for state in State]},
        "cursor": {
            "type": ["string", "null"],
            "description": Words("Up to where it was received; null: nothing yet.", "已送达的位置；null：尚未送达。"),
        },
        "lagMs": {
            "type": "integer",
            "minimum": 0,
            "description": Words(
                "For how long there has been something that was not received.", "存在未送达变更的时长（毫秒）。"
            ),
        },
        "attempts": {
            "type": "integer",
            "minimum": 0,
            "description": Words("Failed attempts in a row.", "连续失败的次数。"),
        },
        "delivered": record({"batches": _COUNT, "changes": _COUNT}),
        "failed": {
            "type": "integer",
            "minimum": 0,
            "description": Words("Failed attempts since the server started.", "服务启动以来失败的次数。"),
        },
    },
    {
        "nextAttemptInMs": _COUNT,
        "lastDelivery": TIME,
        "lastError": record({"reason": {"type": "string"}, "time": TIME}),
    },
)

REPLAY_BODY: Final = request(
    {},
    {
        "cursor": {
            "type": ["string", "null"],
            "maxLength": limits.MAX_MESSAGE,
            "description": Words(
                "From where on; left out: everybody present.", "起始位置；省略时从当前在线的所有人开始。"
            ),
        }
    },
)

FEED_ENTRY: Final = record(
    {
        "userId": USER_ID,
        "status": STATUS,
        "platforms": list_of(PLATFORM),
        "version": {"type": "integer", "minimum": 0, "maximum": limits.MAX_USER_ID},
        "cause": {"enum": [cause.value for cause in Cause]},
        "at": {
            "type": "integer",
            "minimum": 0,
            "description": Words("Milliseconds since 1970.", "1970 年以来的毫秒数。"),
        },
    },
    {
        "statusText": STATUS_TEXT,
        "statusEmoji": STATUS_EMOJI,
        "device": record({"deviceId": DEVICE_ID, "platform": PLATFORM}),
        "invisible": {
            "type": "boolean",
            "description": Words(
                "true: to others the user is OFFLINE by their own word.", "true：该用户对他人隐身（显示为离线）。"
            ),
        },
    },
)

_MESSAGE: Final = record(
    {
        "type": {"const": "presence.changes"},
        "timestamp": TIME,
        "data": record(
            {
                "changes": list_of(ref("FeedEntry"), MAX_BATCH),
                "cursor": _CURSOR,
                "gap": {
                    "type": "boolean",
                    "description": Words(
                        "true: what you hold is void; everybody present follows, in this message and the next ones.",
                        "true：已有的数据作废；本消息及后续消息会给出当前在线的所有人。",
                    ),
                },
            }
        ),
    }
)

EXAMPLE: Final = {
    "type": "presence.changes",
    "timestamp": "2025-11-09T15:00:01Z",
    "data": {
        "changes": [
            {
                "userId": 10001,
                "status": "ONLINE",
                "platforms": ["IOS"],
                "version": 1762700400000000,
                "cause": "connected",
                "at": 1762700400000,
                "device": {"deviceId": "device_123", "platform": "IOS"},
            }
        ],
        "cursor": "19a6b1f0c3e.2f",
        "gap": False,
    },
}


def _header(name: str, schema: Schema, description: Words) -> Schema:
    return {"name": name, "in": "header", "required": True, "schema": schema, "description": description}


WEBHOOKS: Final[Schema] = {
    "presence.changes": {
        "post": {
            "operationId": "presenceChanges",
            "summary": Words("Who changed", "状态变更"),
            "description": Words(
                "Sent to each receiver in the file of `--webhooks`, signed as Standard Webhooks says. At least once: "
                "take of each user what has the greatest `version`. Answer 2xx once you have it; 410 ends the webhook, "
                "anything else has it sent again later. docs/operations.md tells more.",
                "发送给 `--webhooks` 文件中的每个接收方，按 Standard Webhooks 签名。至少送达一次：每个用户以 `version` "
                "最大的为准。收到后应答 2xx；410 表示停止推送；其他应答会稍后重试。详见 docs/operations.md。",
            ),
            "tags": ["operations"],
            "security": [],
            "parameters": [
                _header(
                    "webhook-id",
                    {"type": "string", "examples": ["msg_0123456789abcdef0123456789abcdef"]},
                    Words("The same whenever the same message is sent again.", "同一消息重发时不变。"),
                ),
                _header(
                    "webhook-timestamp",
                    {"type": "string", "pattern": r"^\d+$"},
                    Words("Of this attempt, in seconds since 1970.", "本次发送的时间（1970 年以来的秒数）。"),
                ),
                _header(
                    "webhook-signature",
                    {"type": "string", "pattern": "^v1,"},
                    Words("One for each secret, separated by spaces.", "每个密钥一个签名，以空格分隔。"),
                ),
            ],
            "requestBody": {
                "required": True,
                "content": {"application/json": {"schema": _MESSAGE, "example": EXAMPLE}},
            },
            "responses": {
                "2XX": {"description": Words("You have it.", "已收到。")},
                "410": {"description": Words("You want no more of it.", "不再接收。")},
                "default": {"description": Words("It is sent again later.", "稍后重试。")},
            },
        }
    }
}
