"""`/openapi.json`: what the REST endpoints take and answer, as OpenAPI 3.1.

Written by hand, since the API's document came first and is worded for people; the bounds come from `limits` and
`fields`, and a test holds every answer of the running server against it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from presence_protocol import fields, limits
from presence_server.transports.envelope import ERRORS, MESSAGES
from presence_server.transports.http import BASE_PATH

if TYPE_CHECKING:
    from presence_server.transports.gateway import Gateway

Schema = dict[str, Any]

USER_ID: Final[Schema] = {"type": "integer", "minimum": 1, "maximum": limits.MAX_USER_ID, "examples": [10001]}
DEVICE_ID: Final[Schema] = {
    "type": "string",
    "minLength": 1,
    "maxLength": limits.MAX_DEVICE_ID,
    "description": "Printable characters only.",
    "examples": ["device_123"],
}
STATUS: Final[Schema] = {"type": "string", "enum": list(fields.STATUSES)}
PLATFORM: Final[Schema] = {"type": "string", "enum": list(fields.PLATFORMS)}
TIME: Final[Schema] = {
    "type": "string",
    "pattern": r"^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}Z$",
    "examples": ["2025-11-09T15:00:00Z"],
}
LAST_ACTIVE: Final[Schema] = {**TIME, "type": ["string", "null"], "description": "null: never known."}
FLAG: Final[Schema] = {"type": ["boolean", "null"]}
STATUS_TEXT: Final[Schema] = {"type": "string", "maxLength": limits.MAX_STATUS_TEXT}


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
        "until": {**TIME, "type": ["string", "null"], "description": "Later than now, at most a year ahead."},
        "statusText": {**STATUS_TEXT, "type": ["string", "null"], "description": "Printable characters only."},
    },
)


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


def _envelope(message: str, data: Schema) -> Schema:
    return record({"code": {"const": 200}, "message": {"const": message}, "data": data})


def _json(description: str, schema: Schema) -> Schema:
    return {"description": description, "content": {"application/json": {"schema": schema}}}


def _refusals(*statuses: int) -> Schema:
    """The answers of `statuses`. What may befall any request is among them already."""
    return {
        str(status): {"$ref": f"#/components/responses/{status}"}
        for status in sorted({401, 403, 429, 500, 503, *statuses})
    }


def _operation(
    summary: str, message: str, data: Schema, *refused: int, body: Schema | None = None, with_path: bool = False
) -> Schema:
    operation: Schema = {
        "summary": summary,
        "tags": ["presence"],
        "responses": {"200": _json(message, _envelope(message, data)), **_refusals(*refused)},
    }
    if body is not None:
        operation["requestBody"] = {"required": True, "content": {"application/json": {"schema": body}}}
        operation["responses"] |= _refusals(400, 408, 413, 415, *refused)
    if with_path:
        operation["parameters"] = [{"name": "userId", "in": "path", "required": True, "schema": USER_ID}]
        operation["responses"] |= _refusals(400, *refused)
    return operation


def _paths(gateway: Gateway) -> Schema:
    most_batch, most_watched = gateway.hub.limits.max_batch, gateway.hub.limits.max_watched
    heartbeat = record({"nextHeartbeatInterval": {"type": "integer", "minimum": 1, "description": "Milliseconds."}})
    batch, presence, changes = list_of(ref("BatchItem")), ref("Presence"), ref("Changes")
    rest = {
        "/online": {"post": _operation("用户上线", "上线成功", ref("Summary"), body=_ONLINE_BODY)},
        "/offline": {"post": _operation("用户下线", "下线成功", {"type": "null"}, body=_DEVICE_BODY)},
        "/heartbeat": {"post": _operation("发送心跳", "心跳成功", heartbeat, 404, body=_HEARTBEAT_BODY)},
        "/status/batch": {"post": _operation("批量查询状态", "success", batch, body=_batch_body(most_batch))},
        "/status/{userId}": {
            "get": _operation("查询用户状态", "success", presence, with_path=True),
            "put": _operation("Set the user's override", "success", presence, body=_OVERRIDE_BODY, with_path=True),
            "delete": _operation("Clear the user's override", "success", presence, with_path=True),
        },
        "/changes": {
            "post": _operation("Changes since a cursor", "success", changes, body=_changes_body(most_watched))
        },
    }
    return {BASE_PATH + path: methods for path, methods in rest.items()} | _operations_paths()


def _operations_paths() -> Schema:
    health = record({"status": {"const": "ok"}, "version": {"type": "string"}})
    ready = record({"status": {"const": "ready"}})
    not_ready = record({"status": {"enum": ["draining", "full"]}})
    text = {"description": "Prometheus's text format", "content": {"text/plain": {"schema": {"type": "string"}}}}

    def get(summary: str, responses: Schema) -> Schema:
        return {"get": {"summary": summary, "tags": ["operations"], "responses": responses}}

    return {
        "/healthz": get("Is the process alive?", {"200": _json("It answers.", health)}),
        "/readyz": get(
            "Are new connections welcome?",
            {"200": _json("They are.", ready), "503": _json("They are not.", not_ready)},
        ),
        "/metrics": get("How is it doing?", {"200": text}),
    }


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
            "responses": {str(status): _json(message, ref("Error")) for status, (_, message) in ERRORS.items()},
        },
    }


def openapi_route(gateway: Gateway, version: str) -> Route:
    body = msgspec.json.encode(document(gateway, version))

    async def serve(_request: Request) -> Response:
        return Response(body, media_type="application/json")

    return Route("/openapi.json", serve)
