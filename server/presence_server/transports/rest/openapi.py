"""`/openapi.json`: what the REST endpoints take and answer, as OpenAPI 3.1.

Written by hand, since the API's document came first and is worded for people; the bounds come from `limits` and
`fields`, the examples are the document's own, and the REST tests hold every answer of the running server against it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from presence_protocol import fields, limits
from presence_protocol.text import REFUSED
from presence_server.transports.rest.desk import BASE_PATH
from presence_server.transports.rest.envelope import ERRORS, MESSAGES

if TYPE_CHECKING:
    from presence_server.transports.gateway import Gateway

Schema = dict[str, Any]

USER_ID: Final[Schema] = {"type": "integer", "minimum": 1, "maximum": limits.MAX_USER_ID, "examples": [10001]}
# Not all that the server refuses: beyond the basic plane, and for surrogates, the dialects of patterns differ.
_REFUSED: Final = "".join(
    f"\\u{first:04x}-\\u{last:04x}" for first, last, kind in REFUSED if last < 0x10000 and kind != "a surrogate"
)
HUMAN_TEXT: Final[Schema] = {
    "pattern": f"^[^{_REFUSED}]*$",
    "description": "No control or separator characters, no bidirectional controls, no non-characters.",
}
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
    "description": "An RFC 3339 time, later than now and at most a year ahead. A fraction is rounded up.",
    "examples": ["2025-11-09T15:00:00Z", "2025-11-09T15:00:00.000Z", "2025-11-09T23:00:00+08:00"],
}
LAST_ACTIVE: Final[Schema] = {**TIME, "type": ["string", "null"], "description": "null: never known."}
FLAG: Final[Schema] = {"type": ["boolean", "null"]}
STATUS_TEXT: Final[Schema] = {"type": "string", "maxLength": limits.MAX_STATUS_TEXT, **HUMAN_TEXT}


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


_DEVICE = record({"deviceId": DEVICE_ID, "platform": PLATFORM, "onlineTime": TIME})
_PRESENCE = record(
    {"userId": USER_ID, "status": STATUS, "lastActiveTime": LAST_ACTIVE, "devices": list_of(ref("Device"))}
)
_SUMMARY = record({"userId": USER_ID, "status": STATUS, "lastActiveTime": LAST_ACTIVE})
_BATCH_ITEM = record(
    {"userId": USER_ID, "status": STATUS},
    {"lastActiveTime": LAST_ACTIVE, "platforms": list_of(PLATFORM), "statusText": STATUS_TEXT},
)
_ENTRY = record(
    {
        "userId": USER_ID,
        "status": STATUS,
        "platforms": list_of(PLATFORM),
        "lastActiveTime": LAST_ACTIVE,
        "version": {"type": "integer", "minimum": 0, "maximum": limits.MAX_USER_ID},
    },
    {"statusText": STATUS_TEXT},
)
_CHANGES = record(
    {"changes": list_of(ref("StatusEntry")), "cursor": {"type": "string"}, "resumed": {"type": "boolean"}}
)
_ERROR = record(
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

_ONLINE_BODY = request({"userId": USER_ID, "deviceId": DEVICE_ID, "platform": PLATFORM}, {"idle": FLAG})
_DEVICE_BODY = request({"userId": USER_ID, "deviceId": DEVICE_ID})
_HEARTBEAT_BODY = request({"userId": USER_ID, "deviceId": DEVICE_ID}, {"idle": FLAG})
_OVERRIDE_BODY = request(
    {"status": STATUS},
    {
        "until": UNTIL,
        "statusText": {**STATUS_TEXT, "type": ["string", "null"]},
    },
)

_REVOKE_BODY = request(
    {"userId": USER_ID},
    {
        "issuedBefore": {
            "anyOf": [UNTIL, {"type": "integer", "minimum": 0, "maximum": 100_000_000_000}, {"type": "null"}],
            "description": "Tokens issued before are refused; all until now if it is left out.",
        },
        "deviceId": {**DEVICE_ID, "type": ["string", "null"]},
    },
)
_TICKET = record({"ticket": {"type": "string"}, "expiresIn": {"type": "integer", "description": "Seconds."}})
_REVOKED = record({"userId": USER_ID, "connections": {"type": "integer", "minimum": 0}})


def _batch_body(most: int) -> Schema:
    return request({"userIds": list_of(USER_ID, most)}, {"detail": FLAG})


def _changes_body(most: int) -> Schema:
    return request(
        {"userIds": {**list_of(USER_ID), "description": f"At most {most} different ids."}},
        {
            "cursor": {"type": ["string", "null"]},
            "waitMs": {"type": ["integer", "null"], "minimum": 0, "maximum": limits.MAX_WAIT},
        },
    )


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

_HEADERS: Final[dict[int, Schema]] = {
    401: {"WWW-Authenticate": {"schema": {"type": "string"}}},
    405: {"Allow": {"description": "The methods that are right.", "schema": {"type": "string"}}},
    426: {"Upgrade": {"schema": {"const": "websocket"}}},
    429: {"Retry-After": {"description": "Seconds.", "schema": {"type": "string", "pattern": r"^\d+$"}}},
    503: {"Retry-After": {"description": "Seconds.", "schema": {"type": "string", "pattern": r"^\d+$"}}},
}
"""What comes in the head of a refusal, by status."""

_ANY: Final = (400, 401, 403, 405, 408, 421, 429, 431, 500, 501, 503)
"""The refusals that may befall any request."""


def _envelope(message: str, data: Schema) -> Schema:
    return record({"code": {"const": 200}, "message": {"const": message}, "data": data})


def _json(description: str, schema: Schema) -> Schema:
    return {"description": description, "content": {"application/json": {"schema": schema}}}


def _refusals(*statuses: int) -> Schema:
    return {str(status): {"$ref": f"#/components/responses/{status}"} for status in sorted({*_ANY, *statuses})}


def _operation(
    path: str,
    name: str,
    summary: str,
    data: Schema,
    *refused: int,
    message: str = "success",
    body: Schema | None = None,
) -> Schema:
    """One operation of the API. `name` is its operationId; `refused` are statuses beyond the usual ones."""
    asked, answered = EXAMPLES.get(path, (None, None))
    answer = _json(message, _envelope(message, data))
    if path in EXAMPLES:
        answer["content"]["application/json"]["example"] = {"code": 200, "message": message, "data": answered}
    usual = (413, 415) if body is not None else ()
    if "{userId}" in path:
        usual = (*usual, 404)  # of an id with a slash in it
    operation: Schema = {
        "operationId": name,
        "summary": summary,
        "tags": ["presence"],
        "responses": {"200": answer, **_refusals(*usual, *refused)},
    }
    if body is not None:
        content = {"schema": body} if asked is None else {"schema": body, "example": asked}
        operation["requestBody"] = {"required": True, "content": {"application/json": content}}
    if "{userId}" in path:
        operation["parameters"] = [{"name": "userId", "in": "path", "required": True, "schema": USER_ID}]
    return operation


def _paths(gateway: Gateway) -> Schema:
    most_batch, most_watched = gateway.hub.limits.max_batch, gateway.hub.limits.max_watched
    heartbeat = record({"nextHeartbeatInterval": {"type": "integer", "minimum": 1, "description": "Milliseconds."}})
    nothing, presence = {"type": "null"}, ref("Presence")

    def post(path: str, summary: str, data: Schema, *refused: int, body: Schema, message: str = "success") -> Schema:
        name = "batch" if path == "/status/batch" else path[1:]
        return {"post": _operation(path, name, summary, data, *refused, body=body, message=message)}

    one = "/status/{userId}"
    rest = {
        "/online": post("/online", "用户上线", ref("Summary"), body=_ONLINE_BODY, message="上线成功"),
        "/offline": post("/offline", "用户下线", nothing, body=_DEVICE_BODY, message="下线成功"),
        "/heartbeat": post("/heartbeat", "发送心跳", heartbeat, 404, body=_HEARTBEAT_BODY, message="心跳成功"),
        "/status/batch": post("/status/batch", "批量查询状态", list_of(ref("BatchItem")), body=_batch_body(most_batch)),
        one: {
            "get": _operation(one, "status", "查询用户状态", presence),
            "put": _operation(one, "setOverride", "Set the user's override", presence, body=_OVERRIDE_BODY),
            "delete": _operation(one, "clearOverride", "Clear the user's override", presence),
        },
        "/changes": post(
            "/changes", "Changes since a cursor (long poll)", ref("Changes"), body=_changes_body(most_watched)
        ),
        "/ticket": {"post": _operation("/ticket", "ticket", "A one-time ticket for the WebSocket's URL", _TICKET)},
        "/revoke": post("/revoke", "Refuse a user's older tokens", _REVOKED, body=_REVOKE_BODY),
        "/ws": {"get": _websocket()},
    }
    return {BASE_PATH + path: methods for path, methods in rest.items()} | _operations_paths()


def _websocket() -> Schema:
    return {
        "operationId": "connect",
        "summary": "The WebSocket: subprotocols presence.v1.json and presence.v1.msgpack, see docs/protocol.md",
        "tags": ["presence"],
        "responses": {"101": {"description": "The connection is a WebSocket now."}, **_refusals(426)},
    }


def _operations_paths() -> Schema:
    health = record({"status": {"const": "ok"}, "version": {"type": "string"}})
    ready = record({"status": {"const": "ready"}})
    not_ready = record({"status": {"enum": ["draining", "full"]}})
    text = {"description": "Prometheus's text format", "content": {"text/plain": {"schema": {"type": "string"}}}}

    def get(name: str, summary: str, responses: Schema) -> Schema:
        told = {"405": {"$ref": "#/components/responses/405"}, **responses}
        return {"get": {"operationId": name, "summary": summary, "tags": ["operations"], "responses": told}}

    return {
        "/healthz": get("health", "Is the process alive?", {"200": _json("It answers.", health)}),
        "/readyz": get(
            "ready",
            "Are new connections welcome?",
            {
                "200": _json("They are.", ready),
                "503": _json("They are not.", not_ready) | {"headers": _HEADERS[503]},
            },
        ),
        "/metrics": get("metrics", "How is it doing?", {"200": text}),
        "/openapi.json": get("openapi", "This document", {"200": _json("OpenAPI 3.1", {"type": "object"})}),
    }


def _refusal(status: int) -> Schema:
    response = _json(ERRORS[status][1], ref("Error"))
    return response | {"headers": _HEADERS[status]} if status in _HEADERS else response


def document(gateway: Gateway, version: str) -> Schema:
    """The whole document, with the limits that this server was started with."""
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "presence-service",
            "version": version,
            "description": "在线状态服务。The WebSocket at /api/v1/presence/ws is described in docs/protocol.md.",
        },
        "paths": _paths(gateway),
        "components": {
            "schemas": {
                "Device": _DEVICE,
                "Presence": _PRESENCE,
                "Summary": _SUMMARY,
                "BatchItem": _BATCH_ITEM,
                "StatusEntry": _ENTRY,
                "Changes": _CHANGES,
                "Error": _ERROR,
            },
            "responses": {str(status): _refusal(status) for status in ERRORS},
        },
    }


def openapi_route(gateway: Gateway, version: str) -> Route:
    body = msgspec.json.encode(document(gateway, version))

    async def serve(_request: Request) -> Response:
        return Response(body, headers={"Cache-Control": "no-cache"}, media_type="application/json")

    return Route("/openapi.json", serve)
