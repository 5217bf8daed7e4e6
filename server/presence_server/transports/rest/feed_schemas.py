"""The feed in the OpenAPI document."""

from __future__ import annotations

from typing import Final

from presence_protocol import limits
from presence_server.application.feed import MOST, PAGE
from presence_server.transports.rest import schemas
from presence_server.transports.rest.schemas import Schema
from presence_server.transports.rest.words import Words

LIMIT: Final[Schema] = {
    "type": ["integer", "null"],
    "minimum": 1,
    "maximum": MOST,
    "description": Words(
        f"Changes in one answer, without `userIds`; {PAGE} if it is left out.",
        f"一次返回的变化数，仅在没有 `userIds` 时可用；省略时为 {PAGE}。",
    ),
}
TRANSITIONS: Final[Schema] = {
    "enum": ["all", "last", None],
    "description": Words(
        "`all`: every transition, as long as the server holds them; else the last state of each user.",
        "`all`：服务器保留范围内的每一次变化；否则为每个用户的最后状态。",
    ),
}


def _parameter(name: str, schema: Schema, description: Words, place: str = "query") -> Schema:
    return {"name": name, "in": place, "required": False, "schema": schema, "description": description}


PARAMETERS: Final[list[Schema]] = [
    _parameter(
        "Last-Event-ID",
        {"type": "string"},
        Words("The cursor to go on from: the `id` of the last event.", "从此游标继续：最后一个事件的 `id`。"),
        "header",
    ),
    _parameter(
        "cursor", {"type": "string"}, Words("The same, where no header can be sent.", "同上，用于无法发送头时。")
    ),
    _parameter(
        "status",
        {"type": "array", "items": {"type": "string"}},
        Words("Only changes to these statuses, separated by commas.", "只要变为这些状态的变化，以逗号分隔。"),
    ),
    _parameter(
        "platform",
        {"type": "array", "items": {"type": "string"}},
        Words("Only users on these platforms, or changes by devices on them.", "只要这些平台上的用户或设备的变化。"),
    ),
    _parameter(
        "userIds",
        {"type": "array", "items": {"type": "string"}},
        Words("Only these users.", "只要这些用户。"),
    ),
    _parameter("transitions", {"type": "string"}, TRANSITIONS["description"]),
]

STREAM: Final[Schema] = {
    "description": Words(
        "Events as they happen: `change`, whose data is an entry of the feed, and `gap`. A comment every 15 seconds.",
        "实时事件：`change` 的数据是一条变化；`gap` 表示有缺失。每 15 秒一条注释。",
    ),
    "content": {
        "text/event-stream": {
            "schema": {},  # tools differ on what it would be of: the text, or each event
            "example": (
                "id: 2f9c11d0a4.1f3.f\nevent: change\n"
                'data: {"userId":10001,"status":"ONLINE","platforms":["IOS"],"version":1762700400000000,'
                '"cause":"connected","at":1762700400000,"device":{"deviceId":"device_123","platform":"IOS"}}\n\n'
            ),
        }
    },
}

CHANGES: Final = schemas.record(
    {
        "changes": schemas.list_of({"anyOf": [schemas.ref("StatusEntry"), schemas.ref("FeedEntry")]}),
        "cursor": {"type": "string"},
        "resumed": {"type": "boolean"},
    },
    {
        "gap": {
            "type": "boolean",
            "description": Words(
                "true: something was not told, since it is not known any more.", "true：有些变化已不可知，未能告知。"
            ),
        },
        "more": {
            "type": "boolean",
            "description": Words("true: there is more now; ask again at once.", "true：还有更多，请立即再次请求。"),
        },
    },
)


def changes_body(most: int) -> Schema:
    return schemas.request(
        {},
        {
            "userIds": {
                **schemas.list_of(schemas.USER_ID),
                "type": ["array", "null"],
                "description": Words(
                    f"At most {most} different ids. Left out: everybody, for services that may read.",
                    f"最多 {most} 个不同的 ID。省略时为所有人，仅限有读取权限的服务。",
                ),
            },
            "cursor": {"type": ["string", "null"]},
            "waitMs": {"type": ["integer", "null"], "minimum": 0, "maximum": limits.MAX_WAIT},
            "limit": LIMIT,
            "transitions": TRANSITIONS,
        },
    )
