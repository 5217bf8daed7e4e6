"""What the API document says of kicks, devices, statistics, pages of who is there, and reach: paths and schemas."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from presence_protocol import limits
from presence_server.transports.rest.crowd import MOST_ON_A_PAGE, THERE, USUAL_PAGE
from presence_server.transports.rest.schemas import (
    DEVICE_ID,
    HELD_DEVICE,
    HUMAN_TEXT,
    LAST_ACTIVE,
    PLATFORM,
    TIME,
    USER_ID,
    Schema,
    list_of,
    record,
    ref,
    request,
)
from presence_server.transports.rest.words import Words

_COUNT: Final[Schema] = {"type": "integer", "minimum": 0}
_COUNTS: Final[Schema] = {"type": "object", "additionalProperties": _COUNT}
_STATUSES: Final = ("ONLINE", "AWAY", "BUSY", "OFFLINE")

KICK_BODY: Final = request(
    {"userId": USER_ID},
    {
        "platform": {"anyOf": [PLATFORM, {"type": "null"}]},
        "deviceId": {**DEVICE_ID, "type": ["string", "null"]},
        "reason": {
            **HUMAN_TEXT,
            "type": ["string", "null"],
            "description": Words(
                f"What the person is told, in at most {limits.MAX_REASON} bytes of UTF-8.",
                f"告知用户的原因，最多 {limits.MAX_REASON} 字节（UTF-8）。",
            ),
        },
    },
)
KICKED: Final = record({"userId": USER_ID, "ended": _COUNT})

DEVICES: Final = record({"userId": USER_ID, "devices": list_of(HELD_DEVICE)})

_PEAK: Final = record({"count": _COUNT, "at": TIME})
STATISTICS: Final = record(
    {
        "users": record(dict.fromkeys(_STATUSES, _COUNT)),
        "online": {
            **_COUNT,
            "description": Words("Users who are not OFFLINE.", "状态不是 OFFLINE 的用户数。"),
        },
        "platforms": _COUNTS,
        "clients": {
            **_COUNTS,
            "description": Words(
                "Users with a WebSocket, by the SDK and version that `hello` names.",
                "有 WebSocket 连接的用户数，按 `hello` 中的 SDK 及版本统计。",
            ),
        },
        "devices": _COUNT,
        "connections": _COUNT,
        "joinsPerMinute": _COUNT,
        "leavesPerMinute": _COUNT,
        "peaks": record(
            {
                "day": {"type": "string", "pattern": r"^\d{4}-\d{2}-\d{2}$"},
                "users": _PEAK,
                "connections": _PEAK,
            }
        ),
    },
    {
        "invisible": {
            **_COUNT,
            "description": Words(
                "Users who have a device, and are OFFLINE to others. For services with the scope admin.",
                "有设备在线但对他人显示为 OFFLINE 的用户数。仅限具有 admin 权限的服务。",
            ),
        }
    },
)

ONLINE: Final = record(
    {
        "users": list_of(ref("StatusEntry")),
        "cursor": {
            "type": ["string", "null"],
            "description": Words("For the next page; null: there is none.", "下一页的游标；null：没有下一页。"),
        },
    }
)

_WITHIN: Final[Schema] = {
    "type": ["number", "null"],
    "minimum": 0,
    "maximum": limits.MAX_WAIT // 1000,
    "description": Words(
        "Seconds to wait until one of them is active.", "等待其中任一用户变为 active 的最长时间（秒）。"
    ),
}


def reach_body(most: int) -> Schema:
    return request({"userIds": list_of(USER_ID, most)}, {"within": _WITHIN})


REACH: Final = list_of(
    record(
        {
            "userId": USER_ID,
            "reach": {"type": "string", "enum": ["active", "background", "none"]},
            "platforms": list_of(PLATFORM),
            "since": LAST_ACTIVE,
        }
    )
)


def _query(name: str, schema: Schema, description: Words) -> Schema:
    return {"name": name, "in": "query", "schema": schema, "description": description}


_PAGE: Final = [
    _query("cursor", {"type": "string"}, Words("Of the page before; none: the first.", "上一页的游标。")),
    _query(
        "limit",
        {"type": "integer", "minimum": 1, "maximum": MOST_ON_A_PAGE},
        Words(f"Users on a page at most; {USUAL_PAGE} if it is left out.", f"每页最多的用户数；默认 {USUAL_PAGE}。"),
    ),
    _query("status", {"type": "string", "enum": list(THERE)}, Words("Only these.", "只返回该状态的用户。")),
    _query("platform", PLATFORM, Words("Only those who are on it.", "只返回在该平台上的用户。")),
]


def crowd_paths(operation: Callable[..., Schema], most_batch: int) -> Schema:
    """The paths; `GET /online` is under `online`, whose other methods are told elsewhere. `operation` makes one."""
    online = operation(
        "/online",
        "present",
        Words("Page through who is online", "分页查询在线用户"),
        Words(
            "Whoever is online throughout is on one page, once. A page may hold fewer than `limit`, also none: the "
            "last has no cursor. Needs a service with the scope `read`.",
            "始终在线的用户会且只会出现一次。一页可能少于 `limit`，甚至为空；最后一页没有游标。"
            "需要具有 `read` 权限的服务密钥。",
        ),
        ONLINE,
    )
    # The example of the path is that of POST.
    online["responses"]["200"]["content"]["application/json"].pop("example", None)
    online["parameters"] = _PAGE
    return {
        "/online": {"get": online},
        "/kick": {
            "post": operation(
                "/kick",
                "kick",
                Words("End a user's sessions", "踢下线"),
                Words(
                    "All, or those on a platform, or one. Connections are closed with 4410 and the reason; clients do "
                    "not come back by themselves. Needs a service with the scope `write`.",
                    "全部会话、某个平台的会话或某一设备的会话。连接以 4410 及原因关闭，客户端不会自动重连。"
                    "需要具有 `write` 权限的服务密钥。",
                ),
                KICKED,
                body=KICK_BODY,
            )
        },
        "/users/{userId}/devices": {
            "get": operation(
                "/users/{userId}/devices",
                "devices",
                Words("A user's devices", "查询用户的设备"),
                Words(
                    "Each with who holds it, and when it was heard. Of the invisible only services with the scope "
                    "`admin` are told. Needs a service with the scope `read`.",
                    "每个设备的持有方式及最近活动时间。隐身用户的设备仅返回给具有 `admin` 权限的服务。"
                    "需要具有 `read` 权限的服务密钥。",
                ),
                DEVICES,
            )
        },
        "/statistics": {
            "get": operation(
                "/statistics",
                "statistics",
                Words("How many people are there", "在线人数统计"),
                Words(
                    "People, not connections. Who is invisible is OFFLINE. Needs a service with the scope `read`.",
                    "统计的是用户，而不是连接。隐身用户计为 OFFLINE。需要具有 `read` 权限的服务密钥。",
                ),
                STATISTICS,
            )
        },
        "/reach": {
            "post": operation(
                "/reach",
                "reach",
                Words("Push, or will they see it?", "需要推送，还是用户会看到？"),
                Words(
                    "`active`: a person is at a device now. `background`: there is a device, and nobody at it. In the "
                    "order of the ids. With `within` the answer waits until one of them is active. Who is invisible "
                    "is `none`, except to services with the scope `admin`. Needs a service with the scope `read`.",
                    "`active`：用户正在使用设备。`background`：有设备在线但无人使用。按 ID 的顺序返回。"
                    "指定 `within` 时，等到其中任一用户变为 active 才返回。隐身用户为 `none`，"
                    "但具有 `admin` 权限的服务除外。需要具有 `read` 权限的服务密钥。",
                ),
                REACH,
                body=reach_body(most_batch),
            )
        },
    }
