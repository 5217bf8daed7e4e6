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
from presence_server.application.hub_limits import HubLimits
from presence_server.transports.rest import claim_schemas, feed_schemas, schemas, webhook_schemas
from presence_server.transports.rest.claims_docs import claims_paths
from presence_server.transports.rest.crowd_docs import crowd_paths
from presence_server.transports.rest.operation import REASONS, operation_of, refusal
from presence_server.transports.rest.operations_docs import operations_paths, webhooks_paths
from presence_server.transports.rest.presence_docs import presence_paths
from presence_server.transports.rest.schemas import Schema
from presence_server.transports.rest.words import LANGUAGES, Words, in_language

if TYPE_CHECKING:
    from presence_server.transports.gateway import Gateway

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


def _paths(limits: HubLimits) -> Schema:
    crowd = crowd_paths(operation_of, limits.max_batch)
    rest = presence_paths(limits, crowd) | claims_paths(limits.max_batch) | webhooks_paths()
    return {BASE_PATH + path: methods for path, methods in rest.items()} | operations_paths()


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
        "paths": _paths(gateway.hub.limits),
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
            "responses": {str(status): refusal(status) for status in REASONS},
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
