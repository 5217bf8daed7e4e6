"""`/openapi.json`: what the REST endpoints take and answer, as OpenAPI 3.1, in English or (`?lang=zh`) in Chinese.

Written by hand, since the API's document came first and is worded for people; the schemas are in `schemas`, the
examples are the document's own, and the REST tests hold every answer of the running server against it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from presence_protocol.paths import BASE_PATH, WS_PATH
from presence_server.transports.rest import claim_schemas, feed_schemas, schemas, webhook_schemas
from presence_server.transports.rest.crowd_docs import crowd_paths
from presence_server.transports.rest.envelope import ERRORS
from presence_server.transports.rest.schemas import Schema, list_of, record, ref
from presence_server.transports.rest.words import LANGUAGES, Words, in_language

if TYPE_CHECKING:
    from presence_server.transports.gateway import Gateway

# The examples of the API document, by path below the base: the request's body, and the answer's `data`.
_DEVICE_EXAMPLE: Final = {"userId": 10001, "deviceId": "device_123"}
_STATE_EXAMPLE: Final = {"userId": 10001, "status": "ONLINE", "lastActiveTime": "2025-11-09T15:00:00Z"}
_DEVICES_EXAMPLE: Final = [{"deviceId": "device_123", "platform": "WEB", "onlineTime": "2025-11-09T14:00:00Z"}]
_BATCH_EXAMPLE: Final = [
    {"userId": user_id, "status": status}
    for user_id, status in ((10001, "ONLINE"), (10002, "OFFLINE"), (10003, "AWAY"))
]
EXAMPLES: Final[dict[str, tuple[Any, Any]]] = {
    "/online": ({**_DEVICE_EXAMPLE, "platform": "WEB"}, _STATE_EXAMPLE),
    "/offline": (_DEVICE_EXAMPLE, None),
    "/heartbeat": (_DEVICE_EXAMPLE, {"nextHeartbeatInterval": 30000}),
    "/status/batch": ({"userIds": [10001, 10002, 10003]}, _BATCH_EXAMPLE),
    "/status/{userId}": (
        {"status": "BUSY", "statusText": "开会中"},
        {**_STATE_EXAMPLE, "devices": _DEVICES_EXAMPLE},
    ),
}

_SECONDS: Final = {"description": Words("Seconds.", "秒。"), "schema": {"type": "string", "pattern": r"^\d+$"}}
_ALLOW: Final = {"description": Words("The methods that are right.", "允许的方法。"), "schema": {"type": "string"}}
_HEADERS: Final[dict[int, Schema]] = {
    401: {"WWW-Authenticate": {"schema": {"type": "string"}}},
    405: {"Allow": _ALLOW},
    426: {"Upgrade": {"schema": {"const": "websocket"}}},
    429: {"Retry-After": _SECONDS},
    503: {"Retry-After": _SECONDS},
}
"""What comes in the head of a refusal, by status."""

_REASONS: Final = {
    400: "The request is wrong; `details` names each field at fault.",
    401: "Nobody in particular: credentials are missing or no longer good.",
    403: "Not allowed to whoever asks, or to the page that it comes from.",
    404: "There is no such thing; for a heartbeat: the device is not online, call /online again.",
    405: "The method is wrong; `Allow` names those that are right.",
    409: "In conflict with how the server is set up, or with what there is: `error` says which.",
    408: "The request took too long to arrive.",
    413: "The body is larger than the server takes.",
    415: "The body is not JSON, or is compressed.",
    421: "The Host is not one of this server's names.",
    426: "Only a request to upgrade to a WebSocket is answered here.",
    429: "Over a limit, which `details` names. Try again after `Retry-After`.",
    431: "The head of the request is too large.",
    500: "A bug of the server's; `details` names the entry in its log.",
    501: "The body comes in a transfer coding that is not known here.",
    503: "Not now: the server is full, about to end, or cannot tell. Try again after `Retry-After`.",
}

_ANY: Final = (400, 401, 403, 405, 408, 421, 429, 431, 500, 501, 503)
"""The refusals that may befall any request."""

_SECURITY: Final[list[Schema]] = [{"token": []}, {"serviceKey": []}, {"ticket": []}, {}]
_SCHEMES: Final[Schema] = {
    "token": {
        "type": "http",
        "scheme": "bearer",
        "bearerFormat": "JWT",
        "description": Words(
            "A user's token: a signed JWT where the server runs with `--auth jwt`, whatever the application knows with "
            "`--auth webhook`. With `--auth none` clients of `trusted_networks` need none.",
            "用户的令牌：服务器以 `--auth jwt` 运行时为签名的 JWT，以 `--auth webhook` 运行时为应用认识的任意令牌。"
            "以 `--auth none` 运行时，`trusted_networks` 中的客户端不需要令牌。",
        ),
    },
    "serviceKey": {
        "type": "http",
        "scheme": "bearer",
        "description": Words(
            "A back end's key (`psk_...`), with the scopes that it was given.",
            "后端的密钥（`psk_...`），权限以授予的范围为限。",
        ),
    },
    "ticket": {
        "type": "apiKey",
        "in": "query",
        "name": "ticket",
        "description": Words(
            "Good once, for half a minute; `POST /ticket` gives it. Browsers cannot set headers on a WebSocket.",
            "由 `POST /ticket` 发放，半分钟内有效，只能使用一次。供不能为 WebSocket 设置请求头的浏览器使用。",
        ),
    },
}

_TAGS: Final = [
    {
        "name": "presence",
        "description": Words("Who is online, and with what status.", "谁在线，以及在线状态。"),
    },
    {
        "name": "credentials",
        "description": Words("One-time tickets, and the end of tokens.", "一次性票据与令牌的吊销。"),
    },
    {
        "name": "visibility",
        "description": Words(
            "Who may see whom, and all that is kept of one user.", "谁可以看到谁，以及某个用户的全部数据。"
        ),
    },
    {
        "name": "operations",
        "description": Words("For those who run the server.", "供运维人员使用。"),
    },
]


def _envelope(message: str, data: Schema) -> Schema:
    return record({"code": {"const": 200}, "message": {"const": message}, "data": data})


def _json(description: Words, schema: Schema) -> Schema:
    return {"description": description, "content": {"application/json": {"schema": schema}}}


def _refusals(*statuses: int) -> Schema:
    return {str(status): {"$ref": f"#/components/responses/{status}"} for status in sorted({*_ANY, *statuses})}


def _operation(
    path: str,
    name: str,
    summary: Words,
    description: Words,
    data: Schema,
    *refused: int,
    message: str = "success",
    body: Schema | None = None,
    tag: str = "presence",
) -> Schema:
    """One operation of the API. `name` is its operationId; `refused` are statuses beyond the usual ones."""
    asked, answered = EXAMPLES.get(path, (None, None))
    answer = _json(Words("Done; `data` holds the answer.", "成功；`data` 为结果。"), _envelope(message, data))
    if path in EXAMPLES:
        answer["content"]["application/json"]["example"] = {"code": 200, "message": message, "data": answered}
    usual = (413, 415) if body is not None else ()
    if "{userId}" in path:
        usual = (*usual, 404)  # of an id with a slash in it
    operation: Schema = {
        "operationId": name,
        "summary": summary,
        "description": description,
        "tags": [tag],
        "responses": {"200": answer, **_refusals(*usual, *refused)},
    }
    if body is not None:
        content = {"schema": body} if asked is None else {"schema": body, "example": asked}
        operation["requestBody"] = {"required": True, "content": {"application/json": content}}
    if "{userId}" in path:
        parameter = {"name": "userId", "in": "path", "required": True, "schema": schemas.USER_ID}
        operation["parameters"] = [parameter | {"description": Words("Whose status.", "用户 ID。")}]
    if "{source}" in path:
        of = Words("Whose word it is (--sources).", "声明的来源（--sources）。")
        parameter = {"name": "source", "in": "path", "required": True, "schema": claim_schemas.SOURCE}
        operation["parameters"].append(parameter | {"description": of})
    if "{name}" in path:
        parameter = {"name": "name", "in": "path", "required": True, "schema": webhook_schemas.NAME}
        operation["parameters"] = [parameter | {"description": Words("Which webhook.", "Webhook 的名称。")}]
    return operation


def _paths(gateway: Gateway) -> Schema:
    limits, one = gateway.hub.limits, "/status/{userId}"
    crowd = crowd_paths(_operation, limits.max_batch)
    rest = {
        "/online": crowd.pop("/online")
        | {
            "post": _operation(
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
            "post": _operation(
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
            "post": _operation(
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
            "post": _operation(
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
            "get": _operation(
                one,
                "status",
                Words("Query a user's status", "查询用户状态"),
                Words("What others see of the user, with the devices.", "其他人看到的用户状态和设备。"),
                ref("Presence"),
            ),
            "put": _operation(
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
            "patch": _operation(
                one,
                "changeStatus",
                Words("Change some of a user's status and text", "修改用户状态或文字"),
                Words("What is left out stays as it is.", "省略的字段保持不变。"),
                ref("Presence"),
                body=schemas.STATUS_BODY,
            ),
            "delete": _operation(
                one,
                "clearStatus",
                Words("Clear a user's status and text", "清除用户状态和文字"),
                Words("What the devices say holds again.", "恢复为设备的状态。"),
                ref("Presence"),
            ),
        },
        "/changes": {
            "post": _operation(
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
        "/events": {"get": _events()},
        "/explain/{userId}": {
            "get": _operation(
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
            "post": _operation(
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
            "post": _operation(
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
            "put": _operation(
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
            "delete": _operation(
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
            "get": _operation(
                "/users/{userId}/export",
                "export",
                Words("Export a user's data", "导出用户的全部数据"),
                Words("All that is kept. Needs the scope `admin`.", "保存的全部数据。需要具有 `admin` 权限的密钥。"),
                claim_schemas.EXPORT,
                tag="visibility",
            )
        },
        **crowd,
        "/ws": {"get": _websocket()},
        **_claims_paths(limits.max_batch),
        **_webhooks_paths(),
    }
    return {BASE_PATH + path: methods for path, methods in rest.items()} | _operations_paths()


def _claims_paths(most_batch: int) -> Schema:
    one, by_source = "/claims/{userId}", "/claims/{userId}/{source}"
    stack = ref("Claims")
    return {
        "/claims/batch": {
            "post": _operation(
                "/claims/batch",
                "claimForMany",
                Words("Replace one source's claims of many users", "批量替换一个来源的声明"),
                Words("The same claims for each of them.", "每个用户的声明相同。"),
                claim_schemas.CLAIMED,
                body=claim_schemas.claims_batch_body(most_batch),
            )
        },
        one: {
            "get": _operation(
                one,
                "claims",
                Words("What is claimed of a user", "查询用户的声明"),
                Words(
                    "In the order of who wins; and what wins now and next.", "按优先顺序；以及现在和接下来生效的声明。"
                ),
                stack,
            )
        },
        by_source: {
            "put": _operation(
                by_source,
                "setClaims",
                Words("Replace a source's claims", "替换一个来源的声明"),
                Words("All claims of that source at once.", "一次替换该来源的全部声明。"),
                stack,
                body=claim_schemas.CLAIMS_BODY,
            ),
            "patch": _operation(
                by_source,
                "changeClaim",
                Words("Add or change one claim", "添加或修改一个声明"),
                Words("What is left out stays as it is, null clears it.", "省略的字段保持不变，null 表示清除。"),
                stack,
                body=claim_schemas.CLAIM_PATCH,
            ),
            "delete": _operation(
                by_source,
                "endClaims",
                Words("End a source's claims", "结束一个来源的声明"),
                Words("All of them, or with `?id=` one.", "全部结束；指定 `?id=` 时结束一个。"),
                stack,
            ),
        },
    }


def _webhooks_paths() -> Schema:
    one = "/webhooks/{name}/replay"
    return {
        "/webhooks": {
            "get": _operation(
                "/webhooks",
                "webhooks",
                Words("Where each webhook stands", "查询 Webhook 的状态"),
                Words("In the order of the file of --webhooks.", "按 --webhooks 文件中的顺序。"),
                list_of(ref("Webhook")),
                tag="operations",
            )
        },
        one: {
            "post": _operation(
                one,
                "replayWebhook",
                Words("Send again from a cursor on", "从指定位置重新推送"),
                Words(
                    "At once, also where it had ended. Each user's last state is sent, not each change.",
                    "立即开始，已停止的也会恢复。每个用户只推送最新状态，而不是每次变更。",
                ),
                ref("Webhook"),
                404,
                body=webhook_schemas.REPLAY_BODY,
                tag="operations",
            )
        },
    }


def _about(path: str, name: str, summary: Words, description: Words, data: Schema, body: Schema) -> Schema:
    """An operation that means nothing unless contacts decide who may see whom."""
    return _operation(f"/{path}/{{userId}}", name, summary, description, data, 409, body=body, tag="visibility")


def _websocket() -> Schema:
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
            **_refusals(426),
        },
    }


def _events() -> Schema:
    operation = _operation(
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


def _operations_paths() -> Schema:
    def get(name: str, summary: Words, description: Words, responses: Schema) -> Schema:
        told = {"405": {"$ref": "#/components/responses/405"}, **responses}
        operation = {"operationId": name, "summary": summary, "description": description, "tags": ["operations"]}
        return {"get": operation | {"security": [], "responses": told}}

    text = {"text/plain": {"schema": {"type": "string"}}}
    language = {
        "name": "lang",
        "in": "query",
        "schema": {"type": "string"},
        "description": Words("`zh`: in Chinese. Anything else: in English.", "`zh`：中文。其他值：英文。"),
    }
    document = get(
        "openapi",
        Words("This document", "本文档"),
        Words("OpenAPI 3.1, in one language.", "OpenAPI 3.1，单一语言。"),
        {"200": _json(Words("The document.", "文档。"), {"type": "object"})},
    )
    document["get"]["parameters"] = [language]
    return {
        "/healthz": get(
            "health",
            Words("Is the process alive?", "进程是否存活"),
            Words("Answered as long as the process answers at all.", "只要进程还能应答就返回 200。"),
            {"200": _json(Words("It is.", "存活。"), schemas.HEALTH)},
        ),
        "/readyz": get(
            "ready",
            Words("Are new connections welcome?", "是否接受新连接"),
            Words("For load balancers.", "供负载均衡器使用。"),
            {
                "200": _json(Words("They are.", "接受。"), schemas.READY),
                "503": _json(Words("They are not.", "不接受。"), schemas.NOT_READY) | {"headers": _HEADERS[503]},
            },
        ),
        "/metrics": get(
            "metrics",
            Words("How is it doing?", "运行指标"),
            Words("In Prometheus's text format.", "Prometheus 文本格式。"),
            {"200": {"description": Words("The metrics.", "指标。"), "content": text}},
        ),
        "/openapi.json": document,
    }


def _refusal(status: int) -> Schema:
    response = _json(Words(_REASONS[status], f"{ERRORS[status][1]}。"), ref("Error"))
    return response | {"headers": _HEADERS[status]} if status in _HEADERS else response


def document(gateway: Gateway, version: str, language: str = "en") -> Schema:
    """The whole document in one of `LANGUAGES`, with the limits that this server was started with."""
    whole = {
        "openapi": "3.1.0",
        "info": {
            "title": "presence-service",
            "version": version,
            "summary": Words("Realtime presence", "实时在线状态服务"),
            "description": Words(
                f"Who is online. The WebSocket at `{WS_PATH}` is the heartbeat and tells changes as they "
                "happen; docs/protocol.md describes it. REST stands beside it. An answer is "
                '`{"code", "message", "data"}`, the HTTP status equal to `code`; a refusal has a stable code in '
                "`data.error`.",
                f"在线状态服务。`{WS_PATH}` 上的 WebSocket 就是心跳，并实时推送变化，见 docs/protocol.md；"
                '另有 REST 接口。响应为 `{"code", "message", "data"}`，HTTP 状态码与 `code` 相同；'
                "出错时 `data.error` 为稳定的错误码。",
            ),
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": gateway.entrance.root_path or "/", "description": Words("This server.", "本服务器。")}],
        "security": _SECURITY,
        "tags": _TAGS,
        "paths": _paths(gateway),
        "webhooks": webhook_schemas.WEBHOOKS,
        "components": {
            "securitySchemes": _SCHEMES,
            "schemas": schemas.COMPONENTS
            | {
                "Claims": claim_schemas.CLAIMS,
                "Changes": feed_schemas.CHANGES,
                "FeedEntry": webhook_schemas.FEED_ENTRY,
                "Webhook": webhook_schemas.WEBHOOK,
            },
            "responses": {str(status): _refusal(status) for status in _REASONS},
        },
    }
    found: Schema = in_language(whole, language)
    fit: Schema = fitted(found, gateway)
    return fit


def fitted(schema: Any, gateway: Gateway) -> Any:
    """`schema` with this server's kind of user ids, and its platforms, in place of the usual ones."""
    platforms = [platform.value for platform in gateway.hub.limits.platforms]
    kind = gateway.user_ids
    told = kind.name != "number"

    def fit(value: Any, name: str = "") -> Any:
        if value == schemas.USER_ID:
            return schemas.USER_IDS[kind.name]
        if value == schemas.PLATFORM:
            return schemas.PLATFORM | {"enum": platforms}
        if isinstance(value, dict):
            return {key: fit(one, key) for key, one in value.items()}
        if isinstance(value, list):
            return [fit(one, name) for one in value]
        return str(value) if told and name in ("userId", "userIds") and isinstance(value, int) else value

    return fit(schema)


def openapi_route(gateway: Gateway, version: str) -> Route:
    bodies = {language: msgspec.json.encode(document(gateway, version, language)) for language in LANGUAGES}

    async def serve(request: Request) -> Response:
        language = request.query_params.get("lang", "")
        headers = {"Cache-Control": "no-cache", "Content-Language": language if language in bodies else "en"}
        return Response(bodies.get(language, bodies["en"]), headers=headers, media_type="application/json")

    return Route("/openapi.json", serve)
