"""What the API document says of presence, of watching, and of who may see whom: paths."""

from __future__ import annotations

from presence_server.application.hub_limits import HubLimits
from presence_server.transports.rest import claim_schemas, feed_schemas, schemas
from presence_server.transports.rest.operation import operation_of, refusals
from presence_server.transports.rest.schemas import Schema, list_of, ref
from presence_server.transports.rest.words import Words


def presence_paths(limits: HubLimits, crowd: Schema) -> Schema:
    """`crowd`: paths below the base that are described elsewhere."""
    one = "/status/{userId}"
    return {
        "/online": crowd.pop("/online")
        | {
            "post": operation_of(
                "/online",
                "online",
                Words("User goes online", "用户上线"),
                Words(
                    "The device is online until it goes offline or sends no heartbeat for 2.5 intervals.",
                    "设备上线，直到下线，或者超过 2.5 个心跳间隔没有发送心跳。",
                ),
                ref("Summary"),
                409,
                body=schemas.ONLINE_BODY,
                message="上线成功",
            )
        },
        "/offline": {
            "post": operation_of(
                "/offline",
                "offline",
                Words("User goes offline", "用户下线"),
                Words(
                    "The device is offline at once. The user's other devices stay.",
                    "设备立即下线。该用户的其他设备不受影响。",
                ),
                {"type": "null"},
                body=schemas.DEVICE_BODY,
                message="下线成功",
            )
        },
        "/heartbeat": {
            "post": operation_of(
                "/heartbeat",
                "heartbeat",
                Words("Send a heartbeat", "发送心跳"),
                Words(
                    "The device stays online. The answer says when the next one is due.",
                    "保持设备在线。结果给出下一次心跳的间隔。",
                ),
                schemas.HEARTBEAT,
                404,
                body=schemas.HEARTBEAT_BODY,
                message="心跳成功",
            )
        },
        "/status/batch": {
            "post": operation_of(
                "/status/batch",
                "batch",
                Words("Query the status of several users", "批量查询状态"),
                Words(
                    "In the order of the ids. With `detail`, what watchers are told beside the status.",
                    "按 ID 的顺序返回。指定 `detail` 时，还返回关注者能看到的其他内容。",
                ),
                list_of(ref("BatchItem")),
                body=schemas.batch_body(limits.max_batch),
            )
        },
        one: {
            "get": operation_of(
                one,
                "status",
                Words("Query a user's status", "查询用户状态"),
                Words("What others see of the user, with the devices.", "其他人看到的用户状态和设备。"),
                ref("Presence"),
            ),
            "put": operation_of(
                one,
                "setStatus",
                Words("Set a user's status and text", "设置用户状态和文字"),
                Words(
                    "In place of all that the user said. The status covers what the devices say, until it is cleared "
                    "or `until` has come. OFFLINE is invisible.",
                    "取代用户之前设置的一切。状态覆盖设备的状态，直到被清除或到达 `until`。OFFLINE 即隐身。",
                ),
                ref("Presence"),
                body=schemas.STATUS_BODY,
            ),
            "patch": operation_of(
                one,
                "changeStatus",
                Words("Change some of a user's status and text", "修改用户状态或文字"),
                Words("What is left out stays as it is.", "省略的字段保持不变。"),
                ref("Presence"),
                body=schemas.STATUS_BODY,
            ),
            "delete": operation_of(
                one,
                "clearStatus",
                Words("Clear a user's status and text", "清除用户状态和文字"),
                Words("What the devices say holds again.", "恢复为设备的状态。"),
                ref("Presence"),
            ),
        },
        "/changes": {
            "post": operation_of(
                "/changes",
                "changes",
                Words("Changes since a cursor (long poll)", "游标之后的变化（长轮询）"),
                Words(
                    "With `waitMs`, the answer waits until something changes. Without a cursor, all is told as it is. "
                    "Without `userIds`: everybody's, for services, in parts of `limit`, in the order of the changes.",
                    "指定 `waitMs` 时，等到有变化才返回。没有游标时返回全部状态。"
                    "没有 `userIds` 时：所有人的变化（仅限服务），按变化的顺序，每次最多 `limit` 条。",
                ),
                ref("Changes"),
                body=feed_schemas.changes_body(limits.max_watched),
            )
        },
        "/events": {"get": events()},
        "/explain/{userId}": {
            "get": operation_of(
                "/explain/{userId}",
                "explain",
                Words("Why a user is shown as they are", "解释用户为何显示为该状态"),
                Words(
                    "For the user, and for services with the scope admin: one sentence, and the data behind it. "
                    "It tells what nobody else may know, such as that somebody is invisible.",
                    "仅限本人及具有 admin 权限的服务：一句话的说明及其依据。其中含他人无权知道的内容，例如隐身。",
                ),
                schemas.EXPLANATION,
            )
        },
        "/ticket": {
            "post": operation_of(
                "/ticket",
                "ticket",
                Words("Get a one-time ticket", "获取一次性票据"),
                Words(
                    "It stands for whoever asks. Put it into the URL of the WebSocket: `?ticket=`.",
                    "票据代表请求者。放在 WebSocket 的 URL 中：`?ticket=`。",
                ),
                schemas.TICKET,
                tag="credentials",
            )
        },
        "/revoke": {
            "post": operation_of(
                "/revoke",
                "revoke",
                Words("Revoke a user's older tokens", "吊销用户较早的令牌"),
                Words(
                    "They are refused from now on, and connections that came with one end. Needs the scope `admin`.",
                    "从现在起拒绝这些令牌，并断开使用它们的连接。需要具有 `admin` 权限的密钥。",
                ),
                schemas.REVOKED,
                body=schemas.REVOKE_BODY,
                tag="credentials",
            )
        },
        "/contacts/{userId}": {
            "put": _about(
                "contacts",
                "setContacts",
                Words("Set a user's contacts", "设置用户的联系人"),
                Words(
                    "These and no others may see the user; with `mutual` the user sees them as well. Needs a service.",
                    "只有这些用户可以看到该用户；指定 `mutual` 时，该用户也可以看到他们。需要服务密钥。",
                ),
                schemas.CONTACTS,
                schemas.CONTACTS_BODY,
            ),
            "patch": _about(
                "contacts",
                "changeContacts",
                Words("Add and remove a user's contacts", "增减用户的联系人"),
                Words("Whoever is not named stays as before. Needs a service.", "未提到的用户保持不变。需要服务密钥。"),
                schemas.CONTACTS,
                schemas.CONTACTS_CHANGE_BODY,
            ),
        },
        "/blocks/{userId}": {
            "put": _about(
                "blocks",
                "setBlocks",
                Words("Set whom a user has blocked", "设置用户的黑名单"),
                Words(
                    "These may not see the user, whatever any list of contacts says.",
                    "无论联系人列表如何，这些用户都看不到该用户。",
                ),
                schemas.BLOCKS,
                schemas.BLOCKS_BODY,
            ),
            "patch": _about(
                "blocks",
                "changeBlocks",
                Words("Block and unblock", "增减用户的黑名单"),
                Words("Whoever is not named stays as before.", "未提到的用户保持不变。"),
                schemas.BLOCKS,
                schemas.BLOCKS_CHANGE_BODY,
            ),
        },
        "/privacy/{userId}": {
            "put": operation_of(
                "/privacy/{userId}",
                "setPrivacy",
                Words("Set who is told when a user was last seen", "设置谁可以看到用户的最后活跃时间"),
                Words("Others see the user as before, without any time.", "其他人看到的状态不变，但没有最后活跃时间。"),
                schemas.PRIVACY,
                body=schemas.PRIVACY_BODY,
                tag="visibility",
            )
        },
        "/users/{userId}": {
            "delete": operation_of(
                "/users/{userId}",
                "erase",
                Words("Erase a user", "删除用户的全部数据"),
                Words(
                    "All that is kept of the user goes, and connections end. Needs the scope `admin`.",
                    "删除保存的全部用户数据，并断开其连接。需要具有 `admin` 权限的密钥。",
                ),
                schemas.REVOKED,
                tag="visibility",
            )
        },
        "/users/{userId}/export": {
            "get": operation_of(
                "/users/{userId}/export",
                "export",
                Words("Export a user's data", "导出用户的全部数据"),
                Words("All that is kept. Needs the scope `admin`.", "保存的全部数据。需要具有 `admin` 权限的密钥。"),
                claim_schemas.EXPORT,
                tag="visibility",
            )
        },
        **crowd,
        "/ws": {"get": websocket()},
    }


def _about(path: str, name: str, summary: Words, description: Words, data: Schema, body: Schema) -> Schema:
    """An operation that means nothing unless contacts decide who may see whom."""
    return operation_of(f"/{path}/{{userId}}", name, summary, description, data, 409, body=body, tag="visibility")


def websocket() -> Schema:
    return {
        "operationId": "connect",
        "summary": Words("Open the WebSocket", "打开 WebSocket"),
        "description": Words(
            "The subprotocols are `presence.v1.json` and `presence.v1.msgpack`; docs/protocol.md describes them.",
            "子协议为 `presence.v1.json` 和 `presence.v1.msgpack`，见 docs/protocol.md。",
        ),
        "tags": ["presence"],
        "responses": {
            "101": {"description": Words("The connection is a WebSocket now.", "连接已升级为 WebSocket。")},
            **refusals(426),
        },
    }


def events() -> Schema:
    operation = operation_of(
        "/events",
        "events",
        Words("Everybody's changes as server-sent events", "所有人的变化（服务器发送事件）"),
        Words(
            "For services that may read: those with the scope admin see invisible users as they are. A reader that is "
            "slow is told the last state of each user, and costs no memory.",
            "仅限有读取权限的服务；具有 admin 权限的服务可看到隐身用户的真实状态。"
            "读取慢的一方会收到每个用户的最后状态。",
        ),
        {},
        429,
    )
    operation["parameters"] = feed_schemas.PARAMETERS
    operation["responses"]["200"] = feed_schemas.STREAM
    return operation
